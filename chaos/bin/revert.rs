//! `gameday revert`: undo what an interrupted run left, by its marks alone.

use crate::cli::RevertArgs;
use crate::exit::Exit;
use crate::undo::{marks_of_folder, run_id, undo};
use gameday_chaos::runtime::leftovers::{self, Leftover};
use gameday_chaos::runtime::liveness::Liveness;
use gameday_chaos::runtime::marks::{Kind, RunMarks};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Reverts one run or all dead ones.
pub async fn main(args: RevertArgs) -> Exit {
    let id = match args.run.as_deref().map(run_id).transpose() {
        Ok(id) => id,
        Err(why) => {
            warn!("{why}");
            return Exit::Usage;
        }
    };
    let found = leftovers::find(id.as_deref()).await;
    for why in &found.unsearched {
        say!("not looked at: {why}");
    }
    let mut sorted = Sorted::default();
    for thing in found.things {
        if let Some(thing) = sorted.take(thing, args.force) {
            let run = sorted.runs.entry(thing.marks.run.clone());
            let folder = thing.marks.folder.clone();
            run.or_insert_with(|| (folder, Vec::new())).1.push(thing);
        }
    }
    // A run that left nothing may still have injections without an end on its timeline.
    if let Some(folder) = args.run.filter(|p| p.join("timeline.jsonl").exists()) {
        let id = id.clone().unwrap_or_default();
        // Whoever began it may go on with it, with things that cannot be seen from here.
        let is_over = match marks_of_folder(&folder) {
            Some(marks) => sorted.may_go(&marks, &marks.liveness(), args.force),
            None => true,
        };
        if is_over && !sorted.stays(&id) {
            let run = sorted.runs.entry(id);
            run.or_insert_with(|| (folder, Vec::new()));
        }
    }
    for line in sorted.kept.values().chain(sorted.unknown.values()) {
        say!("{line}");
    }
    let mut clean = sorted.unknown.is_empty();
    let is_named = !sorted.kept.is_empty() || !clean;
    for (run, (folder, things)) in sorted.runs {
        clean &= undo(&run, &folder, things, "gameday revert").await;
    }
    if args.all {
        clean &= images().await;
    }
    if clean {
        let but = if is_named {
            " but what is named above"
        } else {
            ""
        };
        say!("nothing of ours is left{but}");
        Exit::Pass
    } else {
        Exit::NotClean
    }
}

/// What was found, by what may be done with it.
#[derive(Default)]
struct Sorted {
    /// What goes: folder and things of each run.
    runs: BTreeMap<String, (PathBuf, Vec<Leftover>)>,
    /// What stays on purpose, and why, by run.
    kept: BTreeMap<String, String>,
    /// What stays because nobody knows whether it may go, and what to do, by run.
    unknown: BTreeMap<String, String>,
}

impl Sorted {
    /// The thing, if it may go.
    fn take(&mut self, thing: Leftover, force: bool) -> Option<Leftover> {
        self.may_go(&thing.marks, &thing.runner, force)
            .then_some(thing)
    }

    /// Whether what has these marks may go; remembers why not.
    fn may_go(&mut self, marks: &RunMarks, runner: &Liveness, force: bool) -> bool {
        let run = &marks.run;
        if marks.kind == Kind::Cluster {
            let line = format!("{run} is a kept cluster; to end it: gameday cluster down {run}");
            self.kept.insert(run.clone(), line);
            return false;
        }
        match runner {
            Liveness::Dead => true,
            Liveness::Alive => {
                let runner = marks.runner.told();
                let line =
                    format!("{run} is in progress ({runner}); to end it: gameday stop {run}");
                self.kept.insert(run.clone(), line);
                false
            }
            Liveness::Unknown(_) if force => true,
            Liveness::Unknown(why) => {
                self.unknown.insert(run.clone(), marks.unknown(why));
                false
            }
        }
    }

    fn stays(&self, run: &str) -> bool {
        self.kept.contains_key(run) || self.unknown.contains_key(run)
    }
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
            Ok(()) => say!("removed image {image}"),
            Err(e) => {
                say!("{e}");
                clean = false;
            }
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_dead_may_go_and_the_unknown_by_force() {
        let marks = RunMarks::new("run-1", Kind::Run, "/nowhere/run-1").unwrap();
        let unknown = Liveness::Unknown("it is far away".into());
        let mut sorted = Sorted::default();
        assert!(sorted.may_go(&marks, &Liveness::Dead, false));
        assert!(!sorted.stays("run-1"));
        for force in [false, true] {
            let mut sorted = Sorted::default();
            assert!(!sorted.may_go(&marks, &Liveness::Alive, force));
            assert!(sorted.kept["run-1"].contains("gameday stop run-1"));
            let cluster = RunMarks {
                kind: Kind::Cluster,
                ..marks.clone()
            };
            assert!(!sorted.may_go(&cluster, &Liveness::Dead, force));
            assert!(sorted.unknown.is_empty());
            assert_eq!(sorted.may_go(&marks, &unknown, force), force);
            assert_eq!(sorted.unknown.len(), usize::from(!force));
        }
        assert!(!sorted.may_go(&marks, &unknown, false));
        let said = &sorted.unknown["run-1"];
        assert!(said.contains("it is far away"), "{said}");
        assert!(said.contains("gameday revert run-1 --force"), "{said}");
    }
}
