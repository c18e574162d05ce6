//! Reads a history of any format and explains the first thing that is wrong
//! with it: `cargo run -p gameday-checker --example explain -- history.edn`.
//! Without a file it takes the history below.

use gameday_checker::read::{self, read};
use gameday_checker::{Options, check};
use std::process::ExitCode;

/// A register of two clients. The second read is too old.
const STALE: &str = "
{:process 0, :type :invoke, :f :write, :value 1,   :time 1000000}
{:process 0, :type :ok,     :f :write, :value 1,   :time 2000000}
{:process 0, :type :invoke, :f :write, :value 2,   :time 3000000}
{:process 1, :type :invoke, :f :read,  :value nil, :time 3500000}
{:process 0, :type :ok,     :f :write, :value 2,   :time 4000000}
{:process 1, :type :ok,     :f :read,  :value 2,   :time 4500000}
{:process 1, :type :invoke, :f :read,  :value nil, :time 5000000}
{:process 1, :type :ok,     :f :read,  :value 1,   :time 6000000}
";

fn main() -> ExitCode {
    let bytes = match std::env::args_os().nth(1) {
        None => STALE.into(),
        Some(path) => match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) => return refuse(&format!("{}: {e}", path.display())),
        },
    };
    // Format, model, the meaning of nil and the initial value are taken from
    // the file where the options do not say them.
    let reading = match read(&bytes, &read::Options::default()) {
        Ok(reading) => reading,
        Err(e) => return refuse(&e.to_string()),
    };
    println!(
        "{} operations on {} keys, read as {} of format {}",
        reading.log.len(),
        reading.log.keys(),
        reading.model,
        reading.format.name()
    );
    let checks = check(&reading.log, &Options::default());
    for c in &checks {
        println!("{:?}: {}: {}", c.verdict, c.name, c.detail);
    }
    if let Some(a) = checks.iter().flat_map(|c| &c.anomalies).next() {
        println!(
            "\n{}, which violates {}:\n{}",
            a.name, a.violates, a.summary
        );
        // At most four operations prove it; `a.around` are their neighbours.
        for o in &a.operations {
            let returned = o.returned.map_or("never".into(), |t| t.0.to_string());
            println!(
                "  process {}: {}, from {} to {returned}: {}",
                o.process, o.what, o.invoked.0, o.outcome
            );
        }
    }
    ExitCode::SUCCESS
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(64)
}
