//! How well a canary keeps its pace, against a stub of the service whose delay
//! and stall are known:
//!
//! ```text
//! cargo bench -p gameday-canary
//! ```
//!
//! The goal, on a machine that does nothing else, at 1,000 operations per
//! second: a send lag of at most 0.3 ms at p99, at most 0.6 s of CPU per 10,000
//! operations, and the p99 of a server that stalls for a second within 10 % of
//! the truth. Takes about a minute.
//!
//! The canary and the stub are processes of their own, so that the CPU of the
//! canary is its alone, its start included. Most of it is the kernel's and
//! differs between machines: so a bare client is measured as well, which sends
//! as many bytes at the same pace on one blocking socket and understands
//! nothing. To wake a server that sleeps on another CPU is dear on a virtual
//! machine (the interrupt to that CPU goes through the hypervisor), and it is
//! the sender who is charged. So the quiet run is made once where the kernel
//! places the processes, and once with both on one CPU.
//!
//! The truth of a run of `T` seconds in which the server stood still for `S`:
//! a share `S / T` of the requests met the stall, and waited for a time uniform
//! in 0 to `S`. So quantile `q` is `S - (1 - q) * T` if that is above zero.

mod client;
mod process;
mod stub;

use gameday_canary::{CanaryConfig, Command, Endpoint, Line, Notice};
use gameday_record::history::Pairing;
use gameday_record::{Operation, RunClock, WorkloadSpec};
use process::{Place, child, cpu_of};
use std::io::{Read, Write};
use std::time::Duration;
use stub::Server;

type Failure = Box<dyn std::error::Error>;

const RATE: f64 = 1000.0;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", delay_ms, stall_ms] => stub::serve(delay_ms.parse()?, stall_ms.parse()?),
        ["canary"] => client::canary(),
        ["bare", addr, calls] => client::bare(addr.parse()?, calls.parse()?),
        // Only as a benchmark: tests assert nothing about time.
        _ if !args.iter().any(|a| a == "--bench") => Ok(()),
        _ => {
            for (name, place) in [
                ("quiet", Place::Anywhere),
                ("quiet, server on the same CPU", Place::OneCpu),
            ] {
                let cpu = measure(name, 8, 0, 0, place)?;
                let least = measure_bare(8, place)?;
                println!(
                    "  a bare client: {least:.3} s; the canary costs {:.2} times that",
                    cpu / least
                );
            }
            measure("answers after 5 ms", 4, 5, 0, Place::Anywhere)?;
            measure("stalls for 1 s", 10, 0, 1000, Place::Anywhere)?;
            Ok(())
        }
    }
}

/// CPU of a bare client, in seconds per 10 000 operations.
fn measure_bare(seconds: u64, place: Place) -> Result<f64, Failure> {
    let server = Server::start(0, 0, place)?;
    let calls = seconds * RATE as u64;
    let client = child(
        &["bare", &server.addr.to_string(), &calls.to_string()],
        place,
    )?;
    let (user, system) = cpu_of(&client)?;
    server.stop()?;
    Ok((user + system) * 10_000.0 / calls as f64)
}

/// One run of so many seconds; prints what came of it. Returns the canary's
/// CPU, in seconds per 10 000 operations.
fn measure(
    name: &str,
    seconds: u64,
    delay_ms: u64,
    stall_ms: u64,
    place: Place,
) -> Result<f64, Failure> {
    let clock = RunClock::start();
    let server = Server::start(delay_ms, stall_ms, place)?;
    let config = CanaryConfig {
        az: "a".into(),
        index: 0,
        clock,
        seed: 1,
        endpoints: vec![Endpoint::plain("a", server.addr)],
        service: Default::default(),
        table: "canary".into(),
        attributes: Default::default(),
        alone: false,
        workload: WorkloadSpec {
            rate: RATE,
            ..WorkloadSpec::default()
        },
    };
    let mut canary = child(&["canary"], place)?;
    let mut stdin = canary.stdin.take().ok_or("no input")?;
    writeln!(stdin, "{}", serde_json::to_string(&config)?)?;
    let mut lines = canary.stdout.take().ok_or("no output")?;
    // Lines are only kept while the run goes on: judging them takes CPU.
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        lines.read_to_end(&mut all).map(|_| all)
    });
    stdin.write_all(Command::Start.line().as_bytes())?;
    std::thread::sleep(Duration::from_secs(seconds));
    stdin.write_all(Command::Stop.line().as_bytes())?;
    let all = reader.join().map_err(|_| "the reader died")??;
    let cpu = cpu_of(&canary)?;
    let arrivals = server.stop()?;

    let mut pairing = Pairing::default();
    let mut operations = Vec::new();
    let mut totals = None;
    for line in all.split_inclusive(|b| *b == b'\n') {
        match Line::parse(line)? {
            Line::Event(e) => operations.extend(pairing.push(&e)?),
            Line::Notice(Notice::Done(t)) => totals = Some(t.counts),
            Line::Notice(_) => {}
        }
    }
    let totals = totals.ok_or("the canary did not end well")?;
    let micros = |f: fn(&Operation) -> u64| {
        let mut all: Vec<u64> = operations.iter().map(f).collect();
        all.sort_unstable();
        all
    };
    let lag = micros(|o| (o.invoked.0 - o.due.0) / 1000);
    let latency = micros(|o| o.returned.map_or(0, |r| r.0 - o.due.0) / 1000);
    let due =
        |pick: fn(Vec<u64>) -> Option<u64>| pick(operations.iter().map(|o| o.due.0).collect());
    let first = due(|all| all.into_iter().min()).ok_or("nothing was due")?;
    let last = due(|all| all.into_iter().max()).ok_or("nothing was due")?;
    let span = (last - first) as f64 / 1e9;
    println!("\n{name}: {seconds} s");
    println!(
        "  rate asked {RATE:.1}/s, achieved {:.1}/s; {} due, {} unsent, {} failed or unknown",
        (totals.sent.max(1) - 1) as f64 / span,
        totals.due,
        totals.unsent,
        totals.failed + totals.unknown,
    );
    let ms = |v: &[u64], q: f64| rank(v, q) as f64 / 1000.0;
    for (what, v) in [("send lag", &lag), ("latency ", &latency)] {
        println!(
            "  {what} ms: p50 {:.3}  p90 {:.3}  p99 {:.3}  max {:.3}",
            ms(v, 0.5),
            ms(v, 0.9),
            ms(v, 0.99),
            ms(v, 1.0)
        );
    }
    if stall_ms > 0 {
        let truth = |q: f64| (stall_ms as f64 - (1.0 - q) * span * 1000.0).max(0.0);
        let (p99, t) = (ms(&latency, 0.99), truth(0.99));
        println!(
            "  truth    ms: p50 {:.0}      p90 {:.0}      p99 {t:.0}      max {stall_ms}; \
             measured p99 is off by {:+.1} %",
            truth(0.5),
            truth(0.9),
            (p99 / t - 1.0) * 100.0
        );
    } else {
        let per = per_ten_ms(&arrivals);
        println!(
            "  arrivals per 10 ms: p1 {}  p50 {}  p99 {}",
            rank(&per, 0.01),
            rank(&per, 0.5),
            rank(&per, 0.99)
        );
    }
    let per_10k = |s: f64| s * 10_000.0 / totals.sent as f64;
    println!(
        "  CPU per 10 000 operations: {:.3} s ({:.3} s user, {:.3} s system)",
        per_10k(cpu.0 + cpu.1),
        per_10k(cpu.0),
        per_10k(cpu.1)
    );
    Ok(per_10k(cpu.0 + cpu.1))
}

/// Nearest rank of sorted values.
fn rank(sorted: &[u64], q: f64) -> u64 {
    let at = (sorted.len() as f64 * q).ceil() as usize;
    sorted.get(at.max(1) - 1).copied().unwrap_or(0)
}

fn per_ten_ms(arrivals: &[u64]) -> Vec<u64> {
    let (Some(first), Some(last)) = (arrivals.first(), arrivals.last()) else {
        return Vec::new();
    };
    let slot = |t: u64| ((t - first) / 10_000_000) as usize;
    let mut counts = vec![0; slot(*last) + 1];
    for t in arrivals {
        counts[slot(*t)] += 1;
    }
    // The last slot is not over.
    counts.pop();
    counts.sort_unstable();
    counts
}
