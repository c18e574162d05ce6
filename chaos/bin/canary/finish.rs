//! From what a canary left to a verdict and a report: the same as of a game day.

use super::publisher::{Judged, Publisher};
use super::setup::Setup;
use crate::exit::Exit;
use crate::{identity, judge, print};
use gameday_canary::names::EndpointUrl;
use gameday_canary::publish::segments::{Segment, merge};
use gameday_canary::service::url::redacted;
use gameday_chaos::runtime::marks::{Kind, RunMarks};
use gameday_record::folder::write_json;
use gameday_record::{
    Anomaly, Check, Replay, RunClock, RunFolder, RunInfo, Topology, Unpromised, Verdict,
};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;

/// `run.json` of a canary that runs alone: AZs, but no node and no plan.
///
/// # Errors
/// This process cannot be told apart from others.
pub fn info(
    setup: &Setup,
    seed: u64,
    id: &str,
    folder: &RunFolder,
    clock: RunClock,
    epoch_utc: &str,
) -> Result<RunInfo, String> {
    let marks = RunMarks::new(id, Kind::Run, folder.path())?;
    let hosts = setup.endpoints.iter().flat_map(|(_, hosts)| hosts);
    let where_to: Vec<String> = hosts.map(EndpointUrl::host_header).collect();
    let azs = setup.endpoints.iter().map(|(az, _)| az.clone()).collect();
    Ok(RunInfo {
        id: id.into(),
        playbook: format!("canary-{}", setup.az),
        title: format!("canary in AZ {} on {}", setup.az, where_to.join(", ")),
        playbook_text: setup.text.clone(),
        seed,
        runtime: "canary".into(),
        epoch_utc: epoch_utc.into(),
        epoch_monotonic_ns: clock.epoch,
        topology: Topology {
            azs,
            ..Topology::default()
        },
        cluster: None,
        workload: setup.measuring.workload.clone(),
        slo: setup.measuring.slo.clone(),
        alarms: setup.measuring.alarms.clone(),
        unpromised: setup.unpromised.clone(),
        versions: identity::versions(None),
        replay: Replay {
            command: command(std::env::args().skip(1), seed),
            options: Vec::new(),
            features: Vec::new(),
        },
        plan: Vec::new(),
        runner: marks.runner.to_string(),
    })
}

/// The command line that measures the same again, quoted for a shell.
fn command(words: impl Iterator<Item = String>, seed: u64) -> String {
    let mut words: Vec<String> = words.map(|w| redacted(&w)).collect();
    // Headers may hold keys; their names are enough.
    for n in 1..words.len() {
        if words[n - 1] == "--http-header" {
            words[n] = without_value(&words[n]);
        } else if let Some(header) = words[n].strip_prefix("--http-header=") {
            words[n] = format!("--http-header={}", without_value(header));
        }
    }
    if !words
        .iter()
        .any(|w| w == "--seed" || w.starts_with("--seed="))
    {
        words.extend(["--seed".into(), seed.to_string()]);
    }
    identity::command(&words)
}

/// A header without its value.
fn without_value(header: &str) -> String {
    let name = header.split(':').next().unwrap_or_default();
    format!("{name}: ***")
}

/// Judges segments as they are finished, one after the other.
pub async fn judge_segments(
    mut finished: mpsc::UnboundedReceiver<Segment>,
    unpromised: Arc<[Unpromised]>,
    publisher: Arc<Publisher>,
) {
    while let Some(segment) = finished.recv().await {
        let unpromised = unpromised.clone();
        let judged = move || of_segment(&segment.path, &unpromised);
        let judged = tokio::task::spawn_blocking(judged).await;
        let (verdict, total, examples) = judged.unwrap_or((Verdict::Unknown, 0, Vec::new()));
        if total > 0 {
            say!("the checker found {total} anomalies in a segment of the history");
        }
        publisher.judged(verdict, total, examples);
    }
}

fn of_segment(path: &Path, unpromised: &[Unpromised]) -> (Verdict, u64, Vec<Anomaly>) {
    let Ok(log) = judge::read_log(path) else {
        return (Verdict::Unknown, 0, Vec::new());
    };
    let checks = judge::promised(judge::of_log(&log), unpromised);
    // What these say without the final reads, which are made at the end, is
    // only what is wrong.
    let at_the_end = |c: &Check| c.name == "lost-writes" || c.name == "durable-set";
    let checks = checks
        .into_iter()
        .filter(|c| c.verdict != Verdict::Unknown || !at_the_end(c));
    let (mut verdict, mut total, mut examples) = (Verdict::Pass, 0, Vec::new());
    for check in checks {
        verdict = verdict.and(check.verdict);
        total += check.anomalies_total.max(check.anomalies.len() as u64);
        examples.extend(check.anomalies);
    }
    (verdict, total, examples)
}

/// Makes one history of the segments that are left; what was judged before and
/// is gone is kept as a check of its own.
///
/// # Errors
/// Those of the file system.
pub fn history(
    folder: &RunFolder,
    publisher: &Publisher,
    note: &mut dyn FnMut(&str),
) -> Result<(), String> {
    let ended = publisher.finish()?;
    merge(&ended.kept, &folder.history())?;
    if let Some(until) = ended.forgotten {
        note(&format!(
            "writes that were sent before {until} may be too old to be remembered from one segment \
             of the history to the next: reads that found one of them are not judged"
        ));
    }
    if ended.removed > 0 {
        let counts = publisher.look(|fold, _| fold.totals(|_| true));
        note(&format!(
            "{} segments of the history were removed to keep the folder small: this report is \
             about the newest part. Since the start, {} of {} operations were answered.",
            ended.removed,
            counts.answered,
            counts.attempts()
        ));
        let check = earlier(ended.removed, &publisher.judgement());
        write_json(&judge::earlier(folder), &check)?;
    }
    Ok(())
}

/// What is known of segments that are gone.
fn earlier(removed: u64, judged: &Judged) -> Check {
    let (verdict, detail) = if judged.anomalies > 0 {
        let what = format!("{} anomalies in all segments", judged.anomalies);
        (Verdict::Fail, what)
    } else if judged.segments < removed || judged.unknown > 0 {
        let what = format!(
            "{removed} segments were removed; of {} that were judged, {} could not be decided",
            judged.segments, judged.unknown
        );
        (Verdict::Unknown, what)
    } else {
        let what = format!(
            "{removed} segments were judged before they were removed. Whether a write of them \
             was lost for good is known only of the last one of each key, which was read at the end."
        );
        (Verdict::Pass, what)
    };
    Check {
        name: "earlier-segments".into(),
        verdict,
        detail,
        anomalies: judged.examples.clone(),
        anomalies_total: judged.anomalies,
        measures: Vec::new(),
    }
}

/// Judges, renders, and says how it went.
///
/// # Errors
/// There is no report.
pub fn conclude(folder: &RunFolder) -> Result<Exit, String> {
    if let Err(why) = judge::data(folder) {
        warn!("{why}");
    }
    let report = judge::report(folder).map_err(|why| format!("no report: {why}"))?;
    let path = folder.report_html().display().to_string();
    let text = gameday_reports::terminal(&report, &path, print::is_coloured());
    say!("\n{}", text.trim_end_matches('\n'));
    Ok(Exit::Code(report.overall.exit_code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted() {
        let words = ["canary", "--out", "my runs", "--az=it's"].map(String::from);
        assert_eq!(
            command(words.into_iter(), 7),
            r"gameday canary --out 'my runs' '--az=it'\''s' --seed 7"
        );
        let words = ["canary", "--seed", "3"].map(String::from);
        assert_eq!(command(words.into_iter(), 3), "gameday canary --seed 3");
        let words = [
            "canary",
            "--seed=1",
            "--redis",
            "redis://u:secret@h",
            "--http-header",
            "key: secret",
            "--http-header=a: secret",
        ];
        assert_eq!(
            command(words.map(String::from).into_iter(), 3),
            "gameday canary --seed=1 --redis 'redis://u:***@h' --http-header 'key: ***' \
             '--http-header=a: ***'"
        );
    }

    #[test]
    fn segments_that_are_gone_are_a_pass_only_if_all_were_judged() {
        let judged = |segments, unknown, anomalies| Judged {
            segments,
            unknown,
            anomalies,
            examples: Vec::new(),
        };
        for (j, expected) in [
            (judged(5, 0, 0), Verdict::Pass),
            (judged(2, 0, 0), Verdict::Unknown),
            (judged(5, 1, 0), Verdict::Unknown),
            (judged(5, 1, 2), Verdict::Fail),
        ] {
            assert_eq!(earlier(3, &j).verdict, expected, "{j:?}");
        }
    }
}
