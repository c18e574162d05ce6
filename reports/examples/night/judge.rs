//! The checks of a folder's history, as the binary makes them.

use gameday_checker::read::{Lines, Options};
use gameday_checker::{Log, check, replicas_equal};
use gameday_record::folder::{read_json, write_json};
use gameday_record::{DataVerdict, PartitionDigests, RunFolder, history};
use std::io::BufRead;

/// Reads the history; its log is all that is kept.
///
/// # Errors
/// It is no history.
pub fn log(folder: &RunFolder) -> Result<Log, String> {
    let mut input = history::open(&folder.history()).map_err(|e| e.to_string())?;
    let mut lines = Lines::new(&Options::default());
    let mut line = Vec::new();
    loop {
        line.clear();
        let n = input
            .read_until(b'\n', &mut line)
            .map_err(|e| e.to_string())?;
        if n == 0 {
            return Ok(lines.finish().map_err(|e| e.to_string())?.log);
        }
        lines.line(&line).map_err(|e| e.to_string())?;
    }
}

/// Judges it and saves the verdict.
///
/// # Errors
/// The verdict could not be written, or there is nothing to judge.
pub fn judge(folder: &RunFolder) -> Result<DataVerdict, String> {
    let log = log(folder)?;
    let mut checks = check(&log, &gameday_checker::Options::for_log(&log));
    let digests: Vec<PartitionDigests> = read_json(&folder.replicas())?;
    checks.push(replicas_equal(&digests));
    let verdict = DataVerdict::new(checks);
    write_json(&folder.verdict(), &verdict)?;
    Ok(verdict)
}
