//! `gameday revert`: undo what an interrupted run left, by its marks alone.

use crate::cli::RevertArgs;
use crate::exit::Exit;
use crate::undo::{run_id, undo};
use gameday_chaos::runtime::leftovers::{self, Leftover};
use gameday_chaos::runtime::marks::Kind;
use std::collections::{BTreeMap, BTreeSet};
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
    let (ours, kept) = sort(found.things);
    for line in &kept {
        say!("{line}");
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
        clean &= undo(&run, &folder, things, "gameday revert").await;
    }
    if args.all {
        clean &= images().await;
    }
    if clean {
        say!(
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
                "{run} is in progress (process {}); to end it: gameday stop {run}",
                thing.marks.runner.pid
            ));
        } else {
            ours.push(thing);
        }
    }
    (ours, kept.into_iter().collect())
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
