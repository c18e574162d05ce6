//! `gameday revert`: undo what an interrupted run left, by its marks alone.

use crate::cli::RevertArgs;
use crate::exit::Exit;
use gameday_chaos::runtime::leftovers::{self, Leftover};
use gameday_chaos::runtime::marks::Kind;
use gameday_record::timeline::TimelineWriter;
use gameday_record::{
    Nanos, Proof, ProofSide, RunClock, RunFolder, RunState, TimelineEvent, TimelineLine, Verdict,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Reverts one run or all dead ones.
pub async fn main(args: RevertArgs) -> Exit {
    let id = match args.run.as_deref().map(run_id).transpose() {
        Ok(id) => id,
        Err(why) => {
            eprintln!("{why}");
            return Exit::Usage;
        }
    };
    let found = leftovers::find(id.as_deref()).await;
    for why in &found.unsearched {
        println!("not looked at: {why}");
    }
    let (ours, kept) = sort(found.things);
    for line in &kept {
        println!("{line}");
    }
    let mut runs: BTreeMap<String, (PathBuf, Vec<Leftover>)> = BTreeMap::new();
    for thing in ours {
        runs.entry(thing.marks.run.clone())
            .or_insert_with(|| (thing.marks.folder.clone(), Vec::new()))
            .1
            .push(thing);
    }
    // A run that left nothing may still have injections without an end on its timeline.
    if let Some(folder) = args
        .run
        .as_deref()
        .filter(|p| p.join("timeline.jsonl").exists())
    {
        let id = id.clone().unwrap_or_default();
        runs.entry(id)
            .or_insert_with(|| (folder.to_path_buf(), Vec::new()));
    }
    let mut clean = true;
    for (run, (folder, things)) in runs {
        clean &= revert(&run, &folder, things).await;
    }
    if args.all {
        clean &= images().await;
    }
    if clean {
        println!(
            "nothing of ours is left{}",
            if kept.is_empty() {
                ""
            } else {
                " but what is named above"
            }
        );
        Exit::Pass
    } else {
        Exit::NotClean
    }
}

/// Removes one run's things, looks again, and closes its timeline.
async fn revert(run: &str, folder: &Path, things: Vec<Leftover>) -> bool {
    let results = leftovers::remove(&things).await;
    for (thing, result) in things.iter().zip(&results) {
        let unit = if thing.unit.is_empty() {
            String::new()
        } else {
            format!(" ({})", thing.unit)
        };
        match result {
            Ok(()) => println!("{run}: removed {}{unit}", thing.thing),
            Err(e) => println!("{run}: {}{unit} could not be removed: {e}", thing.thing),
        }
    }
    let again = leftovers::find(Some(run)).await.things;
    for left in &again {
        println!("{run}: still there: {}", left.thing);
    }
    let clean = again.is_empty();
    let evidence = format!(
        "{} things of the run were removed; looked for again by their marks: {} left",
        things.len(),
        again.len()
    );
    if let Err(why) = close_timeline(folder, clean, &evidence) {
        println!("{run}: its timeline was not closed: {why}");
    }
    clean
}

/// What may go, and why the rest stays.
fn sort(things: Vec<Leftover>) -> (Vec<Leftover>, Vec<String>) {
    let mut kept = BTreeSet::new();
    let mut ours = Vec::new();
    for thing in things {
        let run = &thing.marks.run;
        if thing.marks.kind == Kind::Cluster {
            kept.insert(format!(
                "{run} is a kept cluster; to end it: gameday cluster down {run}"
            ));
        } else if thing.runner_alive {
            kept.insert(format!(
                "{run} is in progress (process {}); Ctrl-C there reverts it",
                thing.marks.runner.pid
            ));
        } else {
            ours.push(thing);
        }
    }
    (ours, kept.into_iter().collect())
}

/// `RUN` is an id or a folder, whose name is the id.
fn run_id(run: &Path) -> Result<String, String> {
    let name = run.file_name().and_then(|n| n.to_str());
    name.map(String::from)
        .ok_or_else(|| format!("{} names no run", run.display()))
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

fn close_timeline(folder: &Path, clean: bool, evidence: &str) -> Result<(), String> {
    let folder = RunFolder::at(folder);
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
    let reason = "the runner died; reverted by gameday revert".to_string();
    say(TimelineEvent::Ended {
        state: RunState::Interrupted,
        reason: Some(reason),
    })
}

/// Removes images of older binaries that nothing uses. Where Docker does not
/// answer there is nothing to look at, which was said already.
async fn images() -> bool {
    let Ok(unused) = leftovers::unused_images().await else {
        return true;
    };
    let results = match leftovers::remove_images(&unused).await {
        Ok(results) => results,
        Err(why) => vec![Err(why); unused.len()],
    };
    let mut clean = true;
    for (image, result) in unused.iter().zip(results) {
        match result {
            Ok(()) => println!("removed image {image}"),
            Err(e) => {
                println!("{e}");
                clean = false;
            }
        }
    }
    clean
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
        close_timeline(dir.path(), true, "gone").unwrap();
        let lines = folder.read_timeline().unwrap();
        assert_eq!(unfinished(&lines), (BTreeSet::new(), true));
        assert!(
            lines
                .iter()
                .any(|l| matches!(&l.event, TimelineEvent::Reverted { id: 2 }))
        );
        close_timeline(dir.path(), true, "gone").unwrap();
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
        close_timeline(dir.path(), false, "2 left").unwrap();
        let lines = folder.read_timeline().unwrap();
        assert!(
            lines
                .iter()
                .any(|l| matches!(&l.event, TimelineEvent::RevertFailed { id: 1, .. }))
        );
    }
}
