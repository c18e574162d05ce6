//! From a run folder to its verdict and report: used at the end of a run and
//! again by `gameday check` and `gameday report`.

use gameday_checker::{Options, check_history, replicas_equal};
use gameday_record::folder::{read_json, write_json};
use gameday_record::{Check, DataVerdict, PartitionDigests, RunFolder, Verdict};
use gameday_reports::Report;

/// Judges the data of a run and saves `verdict.json`.
///
/// # Errors
/// The verdict could not be written. What could not be read is an unknown
/// check, not an error.
pub fn data(folder: &RunFolder) -> Result<DataVerdict, String> {
    let mut checks = match folder.read_history() {
        Ok(h) => check_history(&h, &Options::default()),
        Err(why) => vec![unknown("history", format!("no history to judge: {why}"))],
    };
    checks.push(replicas(folder));
    let verdict = DataVerdict::new(checks);
    save(folder, &verdict)?;
    Ok(verdict)
}

/// Saves `verdict.json`.
///
/// # Errors
/// It could not be written.
pub fn save(folder: &RunFolder, verdict: &DataVerdict) -> Result<(), String> {
    write_json(&folder.verdict(), verdict)
}

/// Compares the digests of a run's replicas.
pub fn replicas(folder: &RunFolder) -> Check {
    match read_json::<Vec<PartitionDigests>>(&folder.replicas()) {
        Ok(digests) => replicas_equal(&digests),
        Err(why) => unknown(
            "replicas-equal",
            format!("the replicas were not compared: {why}"),
        ),
    }
}

/// Assembles and renders the report.
///
/// # Errors
/// `run.json` cannot be read, or a file cannot be written.
pub fn report(folder: &RunFolder) -> Result<Report, String> {
    let report = gameday_reports::assemble(folder)?;
    gameday_reports::render_all(folder, &report)?;
    Ok(report)
}

fn unknown(name: &str, detail: String) -> Check {
    Check {
        name: name.into(),
        verdict: Verdict::Unknown,
        detail,
        anomalies: Vec::new(),
        anomalies_total: 0,
        measures: Vec::new(),
    }
}
