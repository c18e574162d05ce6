//! From a run folder to its verdict and report: used at the end of a run and
//! again by `gameday check` and `gameday report`.

use gameday_checker::log::Log;
use gameday_checker::read::{self, Lines, ReadError, Reading};
use gameday_checker::{Options, check, replicas_equal, resolve};
use gameday_record::applied::{AppliedWrites, Fate};
use gameday_record::folder::{read_json, write_json};
use gameday_record::history::{self, MAX_LINE};
use gameday_record::{
    Check, DataVerdict, Nanos, PartitionDigests, Resolution, RunFolder, Unpromised, Verdict,
};
use gameday_reports::Report;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

/// Name of the check of replicas.
pub const EQUAL: &str = "replicas-equal";

/// Judges the data of a run and saves `verdict.json`.
///
/// # Errors
/// The verdict could not be written. What could not be read is an unknown
/// check, not an error.
pub fn data(folder: &RunFolder) -> Result<DataVerdict, String> {
    let (mut checks, resolution) = match read_log(&folder.history()) {
        Ok(log) => {
            let checks = promised(of_log(&log), &unpromised(folder));
            (checks, Some(resolution(folder, &log)))
        }
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
    let nobody = folder.read_run().is_ok_and(|run| {
        run.topology.nodes.is_empty() || run.unpromised.iter().any(|u| u.check == EQUAL)
    });
    if !nobody {
        checks.push(
            match read_json::<Vec<PartitionDigests>>(&folder.replicas()) {
                Ok(digests) => replicas_equal(&digests),
                Err(why) => unknown(EQUAL, format!("the replicas were not compared: {why}")),
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
pub fn resolution(folder: &RunFolder, log: &Log) -> Resolution {
    let applied = read_json::<AppliedWrites>(&folder.applied()).ok();
    resolve(log, |table, _, value, sent| {
        match applied.as_ref()?.fate(table, value, Nanos(sent)) {
            Fate::Applied => Some(true),
            Fate::Absent => Some(false),
            Fate::Open => None,
        }
    })
}

/// Checks that are left out of a run's verdict; none in doubt.
pub fn unpromised(folder: &RunFolder) -> Vec<Unpromised> {
    folder.read_run().map_or(Vec::new(), |run| run.unpromised)
}

/// Without the checks that are left out.
pub fn promised(mut checks: Vec<Check>, unpromised: &[Unpromised]) -> Vec<Check> {
    checks.retain(|c| !unpromised.iter().any(|u| u.check == c.name));
    if checks.is_empty() && !unpromised.is_empty() {
        // Nothing was asked of the data: that is no doubt about them.
        checks.push(Check {
            name: DataVerdict::NOT_JUDGED.into(),
            verdict: Verdict::Pass,
            detail: "Every check was left out: the data were not judged.".into(),
            anomalies: Vec::new(),
            anomalies_total: 0,
            measures: Vec::new(),
        });
    }
    checks
}

/// Judges a history alone.
pub fn of_log(log: &Log) -> Vec<Check> {
    check(log, &Options::for_log(log))
}

/// Reads one history file, plain or packed.
///
/// # Errors
/// It is missing or no history; with its path.
pub fn read_log(path: &Path) -> Result<Log, String> {
    let say = |e: String| format!("{}: {e}", path.display());
    let mut input = history::open(path).map_err(|e| say(e.to_string()))?;
    match stream(&mut input, &read::Options::default()) {
        Ok(reading) => Ok(reading.log),
        Err(e) => Err(say(e.to_string())),
    }
}

/// Reads our own history line by line: one of any length takes no more memory than its log.
///
/// # Errors
/// It is no history, or cannot be read.
pub fn stream(input: &mut impl BufRead, options: &read::Options) -> Result<Reading, ReadError> {
    let mut lines = Lines::new(options);
    let mut line = Vec::new();
    loop {
        line.clear();
        let n = Read::take(&mut *input, MAX_LINE as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(|e| ReadError::whole(e.to_string()))?;
        if n == 0 {
            return lines.finish();
        }
        lines.line(&line)?;
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
