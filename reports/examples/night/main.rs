//! What a night takes: `cargo run --release -p gameday-reports --example night
//! -- FOLDER [HOURS] [RATE] [INJECTIONS] [SEED]` writes the folder of a run that
//! never was (24 hours, 20 operations per second of each of nine pairs, 700
//! injections) unless it is there, and then checks its history and reports on it,
//! each in a process of its own: time, peak memory, sizes.

mod day;
mod folder;
mod judge;
mod random;
mod service;

use folder::Size;
use gameday_record::RunFolder;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: night FOLDER [HOURS] [RATE] [INJECTIONS] [SEED]";
    let out = Path::new(args.first().ok_or(usage)?);
    let run = RunFolder::at(out);
    match args.get(1).map(String::as_str) {
        Some("check") => return timed("checked", || check(&run)),
        Some("report") => return timed("reported", || report(&run)),
        _ => {}
    }
    if !out.exists() {
        let number = |n: usize, default: f64| match args.get(n) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|e| format!("'{text}': {e}\n{usage}")),
        };
        let size = Size {
            length: Duration::from_secs_f64(number(1, 24.0)? * 3600.0),
            rate: number(2, 20.0)?,
            injections: number(3, 700.0)? as u32,
            packed: true,
        };
        let seed = number(4, 1.0)? as u64;
        timed("generated", || {
            let operations = folder::write(out, &size, seed)?;
            let bytes = size_of(&run.history())?;
            println!(
                "{operations} operations, {bytes} bytes: {:.1} each",
                bytes as f64 / operations as f64
            );
            Ok(())
        })?;
    }
    // The memory of another process is not that of the folder's writer.
    let this = std::env::current_exe().map_err(|e| e.to_string())?;
    for what in ["check", "report"] {
        let ended = Command::new(&this).arg(out).arg(what).status();
        if !ended.map_err(|e| e.to_string())?.success() {
            return Err(format!("the {what} failed"));
        }
    }
    Ok(())
}

fn check(run: &RunFolder) -> Result<(), String> {
    let verdict = judge::judge(run)?;
    for check in &verdict.checks {
        println!("{}: {:?}: {}", check.name, check.verdict, check.detail);
    }
    Ok(())
}

fn report(run: &RunFolder) -> Result<(), String> {
    let report = gameday_reports::assemble(run)?;
    println!("{}", report.overall.sentence);
    gameday_reports::render_all(run, &report)?;
    for path in [run.report_json(), run.report_html()] {
        println!("{}: {} KiB", path.display(), size_of(&path)?.div_ceil(1024));
    }
    Ok(())
}

fn size_of(path: &Path) -> Result<u64, String> {
    let meta = std::fs::metadata(path);
    Ok(meta.map_err(|e| format!("{}: {e}", path.display()))?.len())
}

fn timed(what: &str, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let began = Instant::now();
    work()?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|l| l.starts_with("VmHWM"));
    println!(
        "{what} in {:.1?}, {}",
        began.elapsed(),
        peak.unwrap_or("VmHWM is not known here")
    );
    Ok(())
}
