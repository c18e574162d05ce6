//! From a run folder to its verdict and report: used at the end of a run and
//! again by `gameday check` and `gameday report`.

use gameday_checker::log::Log;
use gameday_checker::{Options, check_history, replicas_equal, resolve};
use gameday_record::applied::{AppliedWrites, Fate};
use gameday_record::folder::{read_json, write_json};
use gameday_record::history::{self, History};
use gameday_record::{
    Call, Check, DataVerdict, Nanos, Outcome, PartitionDigests, Resolution, RunFolder, Verdict,
};
use gameday_reports::Report;
use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Judges the data of a run and saves `verdict.json`.
///
/// # Errors
/// The verdict could not be written. What could not be read is an unknown
/// check, not an error.
pub fn data(folder: &RunFolder) -> Result<DataVerdict, String> {
    let (mut checks, resolution) = match folder.read_history() {
        Ok(h) => (of_history(&h), resolution(folder, &h)),
        Err(why) => (
            vec![unknown("history", format!("no history to judge: {why}"))],
            None,
        ),
    };
    checks.extend(replicas(folder));
    let mut verdict = DataVerdict::new(checks);
    verdict.resolution = resolution;
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

/// What a run's folder holds beside its history: the digests of its replicas,
/// and what was found in segments that are gone.
pub fn replicas(folder: &RunFolder) -> Vec<Check> {
    let mut checks = Vec::new();
    // A canary that ran alone saw no replicas; in doubt there were some.
    let alone = folder
        .read_run()
        .is_ok_and(|run| run.topology.nodes.is_empty());
    if !alone {
        checks.push(
            match read_json::<Vec<PartitionDigests>>(&folder.replicas()) {
                Ok(digests) => replicas_equal(&digests),
                Err(why) => unknown(
                    "replicas-equal",
                    format!("the replicas were not compared: {why}"),
                ),
            },
        );
    }
    if earlier(folder).exists() {
        checks.push(match read_json::<Check>(&earlier(folder)) {
            Ok(check) => check,
            Err(why) => unknown("earlier-segments", why),
        });
    }
    checks
}

/// What was found in segments of the history that are gone, if there were such.
pub fn earlier(folder: &RunFolder) -> PathBuf {
    folder.path().join("earlier.json")
}

/// What became of the writes of unknown outcome: by what was read, and by what
/// the replicas said at the end (`applied.json`), if they were asked.
pub fn resolution(folder: &RunFolder, history: &History) -> Option<Resolution> {
    let log = Log::of(history).ok()?;
    let applied = read_json::<AppliedWrites>(&folder.applied()).ok();
    let sent: HashMap<i64, Nanos> = history
        .operations
        .iter()
        .filter(|o| matches!(o.outcome, Outcome::Unknown { .. }))
        .filter_map(|o| match o.call {
            Call::Write { value, .. } | Call::Insert { value, .. } => Some((value, o.invoked)),
            Call::Cas { new, .. } => Some((new, o.invoked)),
            Call::Read { .. } | Call::Add { .. } => None,
        })
        .collect();
    Some(resolve(&log, |table, _, value| {
        match applied.as_ref()?.fate(table, value, *sent.get(&value)?) {
            Fate::Applied => Some(true),
            Fate::Absent => Some(false),
            Fate::Open => None,
        }
    }))
}

/// Judges a history alone.
pub fn of_history(history: &History) -> Vec<Check> {
    check_history(history, &Options::default())
}

/// Reads one history file.
///
/// # Errors
/// It is missing or no history; with its path.
pub fn read_history(path: &Path) -> Result<History, String> {
    let file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    history::read(BufReader::new(file)).map_err(|e| format!("{}: {e}", path.display()))
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
