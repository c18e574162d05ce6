//! What the report of a large run takes: `cargo run --release -p
//! gameday-reports --example large -- FOLDER [OPERATIONS]` writes a synthetic
//! run folder of 1 000 000 operations (nine pairs, 1 % missed in two outages)
//! unless it is there, and in a process of its own reports on it: time, peak
//! memory, size of the page.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{AZS, Synthetic, answered_write, ms, spoil};
use gameday_record::{Call, ErrorClass, RunFolder};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

fn main() -> Result<(), String> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("usage: large FOLDER [OPERATIONS]")?;
    let total: u64 = match args.next() {
        Some(n) => n.parse().map_err(|e| format!("'{n}': {e}"))?,
        None => 1_000_000,
    };
    let folder = Path::new(&folder);
    if folder.exists() {
        return report(&RunFolder::at(folder));
    }
    write(folder, total);
    // The memory of another process is not that of the run's writer.
    let this = std::env::current_exe().map_err(|e| e.to_string())?;
    let ended = Command::new(this).arg(folder).status();
    match ended.map_err(|e| e.to_string())?.success() {
        true => Ok(()),
        false => Err("the report failed".into()),
    }
}

fn write(folder: &Path, total: u64) {
    let mut s = Synthetic::az_power_off();
    s.operations.clear();
    let pairs: Vec<_> = AZS
        .iter()
        .flat_map(|a| AZS.iter().map(move |e| (*a, *e)))
        .collect();
    let step = Duration::from_nanos(55_000_000_000 / (total / 9).max(1));
    s.run.workload.rate = 1.0 / step.as_secs_f64();
    for n in 0..total {
        let (az, endpoint) = pairs[(n % 9) as usize];
        let due = ms(5_000) + step * (n / 9) as u32;
        let mut o = answered_write(az, endpoint, due, n);
        if n % 20 >= 8 {
            let key = "k".into();
            let strong = n % 20 < 16;
            o.call = Call::Read { key, strong };
        }
        if (20_000..20_300).contains(&(due.0 / 1_000_000)) || (endpoint == "b" && n % 97 == 0) {
            spoil(&mut o, ErrorClass::Timeout, "no answer", true, 2_000);
        }
        s.operations.push(o);
    }
    s.write(folder);
}

fn report(folder: &RunFolder) -> Result<(), String> {
    let began = Instant::now();
    let report = gameday_reports::assemble(folder)?;
    println!("assembled, reading included: {:?}", began.elapsed());
    let began = Instant::now();
    gameday_reports::render_all(folder, &report)?;
    println!("rendered: {:?}", began.elapsed());
    for path in [folder.history(), folder.report_json(), folder.report_html()] {
        let size = std::fs::metadata(&path).map_err(|e| e.to_string())?.len();
        println!("{}: {} KiB", path.display(), size.div_ceil(1024));
    }
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find(|l| l.starts_with("VmHWM"));
        println!("{}", peak.unwrap_or("VmHWM is not known here"));
    }
    println!("{}", report.overall.sentence);
    Ok(())
}
