//! Undoing what a dead runner left, by its marks alone: what `gameday revert`
//! and the watchdog have in common.

use crate::recording;
use gameday_chaos::runtime::leftovers::{self, Leftover};
use gameday_chaos::runtime::marks::{Kind, RunMarks, WATCHDOG};
use gameday_record::timeline::TimelineWriter;
use gameday_record::{
    Nanos, Proof, ProofSide, RunClock, RunFolder, RunState, TimelineEvent, TimelineLine, Verdict,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// Looks after the removal, at most. What the engine was doing when the runner
/// died may come to light only later.
const LOOKS: u32 = 10;
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Removes one run's things until two looks in a row find nothing, says what it
/// does, and closes the timeline in the name of `who`. True if nothing is left.
pub async fn undo(run: &str, folder: &Path, mut things: Vec<Leftover>, who: &str) -> bool {
    let mut removed = 0;
    let mut empty = 0;
    let mut unseen = None;
    for _ in 0..LOOKS {
        let results = leftovers::remove(&things).await;
        for (thing, result) in things.iter().zip(&results) {
            let unit = if thing.unit.is_empty() {
                String::new()
            } else {
                format!(" ({})", thing.unit)
            };
            match result {
                Ok(()) => say!("{run}: removed {}{unit}", thing.thing),
                Err(e) => say!("{run}: {}{unit} could not be removed: {e}", thing.thing),
            }
            removed += u32::from(result.is_ok());
        }
        let found = leftovers::find(Some(run)).await;
        unseen = unsearched(folder, &found.unsearched);
        things = found.things;
        empty = if things.is_empty() { empty + 1 } else { 0 };
        if empty == 2 || unseen.is_some() {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    for left in &things {
        say!("{run}: still there: {}", left.thing);
    }
    if let Some(why) = &unseen {
        say!("{run}: it is not known whether anything is left: {why}");
    }
    let clean = things.is_empty() && unseen.is_none();
    let evidence = match &unseen {
        Some(why) => {
            format!("{removed} things of the run were removed; could not look again: {why}")
        }
        None => format!(
            "{removed} things of the run were removed; looked for again by their marks: {} left",
            things.len()
        ),
    };
    if let Err(why) = close_timeline(folder, clean, &evidence, who) {
        say!("{run}: its timeline was not closed: {why}");
    }
    clean
}

/// Why nobody knows what this run left, if it ran where could not be looked.
fn unsearched(folder: &Path, unsearched: &[String]) -> Option<String> {
    let docker = unsearched.iter().find(|why| why.starts_with("Docker"));
    let processes = unsearched.iter().find(|why| !why.starts_with("Docker"));
    let ran = RunFolder::at(folder).read_run().map(|run| run.runtime);
    match ran.as_deref() {
        Ok("docker") => docker.or(processes).cloned(),
        // A run of processes; or one whose folder is gone, found by its marks.
        _ => processes.cloned(),
    }
}

/// What dead runs left on this machine, a sentence for each run.
pub async fn dead_runs() -> Vec<String> {
    let mut runs: BTreeMap<String, (usize, bool)> = BTreeMap::new();
    for thing in leftovers::find(None).await.things {
        if thing.marks.kind == Kind::Run && thing.runner.is_dead() {
            let run = runs.entry(thing.marks.run).or_default();
            run.0 += 1;
            run.1 |= thing.unit == WATCHDOG;
        }
    }
    let say = |(run, (count, watched)): (String, (usize, bool))| {
        let what = match watched {
            true => "its watchdog is removing them".to_string(),
            false => format!("gameday revert {run} removes them"),
        };
        format!("the runner of {run} died, and {count} things of it are left; {what}")
    };
    runs.into_iter().map(say).collect()
}

/// `RUN` is an id or a folder, whose name is the id.
pub fn run_id(run: &Path) -> Result<String, String> {
    let name = run.file_name().and_then(|n| n.to_str());
    name.map(String::from)
        .ok_or_else(|| format!("{} names no run", run.display()))
}

/// The marks of the run of this folder, as far as it says itself who runs it.
pub fn marks_of_folder(folder: &Path) -> Option<RunMarks> {
    let info = RunFolder::at(folder).read_run().ok()?;
    Some(RunMarks {
        run: info.id,
        kind: Kind::Run,
        runner: info.runner.parse().ok()?,
        folder: std::path::absolute(folder).ok()?,
    })
}

/// Ids of injections whose revert is not on the timeline, and whether the run has ended.
fn unfinished(lines: &[TimelineLine]) -> (BTreeSet<u32>, bool) {
    let mut open = BTreeSet::new();
    let mut ended = false;
    for line in lines {
        match &line.event {
            TimelineEvent::Intent { injection } => {
                open.insert(injection.id);
            }
            TimelineEvent::Reverted { id } => {
                open.remove(id);
            }
            TimelineEvent::Ended { .. } => ended = true,
            _ => {}
        }
    }
    (open, ended)
}

fn close_timeline(folder: &Path, clean: bool, evidence: &str, who: &str) -> Result<(), String> {
    let folder = RunFolder::at(folder);
    recording::free(&folder);
    if !folder.timeline().exists() {
        return Ok(());
    }
    let mut writer = TimelineWriter::open(&folder.timeline()).map_err(|e| e.to_string())?;
    let lines = folder.read_timeline()?;
    let (open, ended) = unfinished(&lines);
    if ended {
        return Ok(());
    }
    let last = lines.last().map_or(Nanos::ZERO, |l| l.time);
    // After a reboot the clock starts anew; times on a timeline never go back.
    let now = folder.read_run().map_or(last, |run| {
        RunClock {
            epoch: run.epoch_monotonic_ns,
        }
        .now()
        .max(last)
    });
    let mut say = |event| {
        writer
            .append(&TimelineLine { time: now, event })
            .map_err(|e| e.to_string())
    };
    for id in open {
        say(TimelineEvent::Reverting { id })?;
        if !clean {
            say(TimelineEvent::RevertFailed {
                id,
                error: evidence.into(),
            })?;
            continue;
        }
        say(TimelineEvent::Reverted { id })?;
        let proof = Proof {
            verdict: Verdict::Pass,
            evidence: vec![evidence.into()],
        };
        say(TimelineEvent::Proof {
            id,
            side: ProofSide::Reverted,
            proof,
        })?;
    }
    let reason = format!("the runner died; reverted by {who}");
    say(TimelineEvent::Ended {
        state: RunState::Interrupted,
        reason: Some(reason),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameday_record::Injection;

    fn at(event: TimelineEvent) -> TimelineLine {
        TimelineLine {
            time: Nanos(5),
            event,
        }
    }

    fn intent(id: u32) -> TimelineLine {
        let injection = Injection {
            id,
            step: "s".into(),
            fault: "pause".into(),
            selector: String::new(),
            targets: vec![],
            hurt: vec![],
            azs: vec![],
            hold_ms: 1,
            undo: String::new(),
        };
        at(TimelineEvent::Intent { injection })
    }

    #[test]
    fn a_dead_runs_timeline_is_closed_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::at(dir.path());
        let mut w = TimelineWriter::open(&folder.timeline()).unwrap();
        for line in [intent(1), at(TimelineEvent::Reverted { id: 1 }), intent(2)] {
            w.append(&line).unwrap();
        }
        close_timeline(dir.path(), true, "gone", "a test").unwrap();
        let lines = folder.read_timeline().unwrap();
        assert_eq!(unfinished(&lines), (BTreeSet::new(), true));
        assert!(
            lines
                .iter()
                .any(|l| matches!(&l.event, TimelineEvent::Reverted { id: 2 }))
        );
        close_timeline(dir.path(), true, "gone", "a test").unwrap();
        assert_eq!(
            folder.read_timeline().unwrap(),
            lines,
            "closing twice changes nothing"
        );
    }

    #[test]
    fn what_could_not_be_reverted_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::at(dir.path());
        TimelineWriter::open(&folder.timeline())
            .unwrap()
            .append(&intent(1))
            .unwrap();
        close_timeline(dir.path(), false, "2 left", "a test").unwrap();
        let lines = folder.read_timeline().unwrap();
        assert!(
            lines
                .iter()
                .any(|l| matches!(&l.event, TimelineEvent::RevertFailed { id: 1, .. }))
        );
    }
}
