//! `gameday stop`: ask runs in progress to revert, judge and end.

use crate::ask::{MAX_REASON, reason};
use crate::cli::StopArgs;
use crate::exit::Exit;
use crate::undo::{marks_of_folder, run_id};
use gameday_chaos::runtime::leftovers;
use gameday_chaos::runtime::liveness::Liveness;
use gameday_chaos::runtime::marks::{Kind, RunMarks};
use gameday_record::RunFolder;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Reverting, final reads, judging and taking down are each bounded; this is more than all of them.
const LIMIT: Duration = Duration::from_secs(300);
/// How often it is looked whether a runner has ended.
const LOOK: Duration = Duration::from_millis(200);

/// Asks one run or all of them, and waits for their ends.
pub async fn main(args: StopArgs) -> Exit {
    let runs = match find(args.run.as_deref()).await {
        Ok(runs) => runs,
        Err(why) => {
            warn!("{why}");
            return Exit::Usage;
        }
    };
    if runs.is_empty() {
        say!("no run is in progress");
        return Exit::Pass;
    }
    let text = match args.reason {
        Some(text) => reason(text.as_bytes()),
        None => "gameday stop".into(),
    };
    let mut all_ended = true;
    let mut asked = Vec::new();
    for (id, marks) in runs {
        let runner = marks.runner.told();
        match ask(&RunFolder::at(&marks.folder), &text) {
            Ok(()) => {
                say!("{id}: asked to revert and to end ({runner})");
                asked.push((id, marks));
            }
            Err(why) => {
                warn!("{id}: {why}; Ctrl-C in its terminal, or a SIGINT to {runner}, asks it too");
                all_ended = false;
            }
        }
    }
    let began = Instant::now();
    for (id, marks) in asked {
        while marks.liveness().is_alive() && began.elapsed() < LIMIT {
            tokio::time::sleep(LOOK).await;
        }
        let report = RunFolder::at(&marks.folder).report_html();
        if marks.liveness().is_alive() {
            warn!(
                "{id}: still there after {} s; if it hangs, kill {}: then its watchdog reverts",
                LIMIT.as_secs(),
                marks.runner.told()
            );
            all_ended = false;
        } else if report.exists() {
            say!("{id}: ended; report {}", report.display());
        } else {
            say!("{id}: ended, without a report");
        }
    }
    if all_ended {
        Exit::Pass
    } else {
        Exit::NotClean
    }
}

/// Runs in progress: the one that is named, by id or folder, or all that have left marks.
async fn find(run: Option<&Path>) -> Result<BTreeMap<String, RunMarks>, String> {
    let id = run.map(run_id).transpose()?;
    let mut runs = BTreeMap::new();
    let found = leftovers::find(id.as_deref()).await;
    for why in &found.unsearched {
        say!("not looked at: {why}");
    }
    // What is said of the others.
    let mut others = BTreeMap::new();
    for thing in found
        .things
        .into_iter()
        .filter(|l| l.marks.kind == Kind::Run)
    {
        let (marks, run) = (thing.marks, thing.runner);
        match run {
            Liveness::Alive => drop(runs.insert(marks.run.clone(), marks)),
            run => drop(others.insert(marks.run.clone(), advice(&marks, &run))),
        }
    }
    let (Some(path), Some(id)) = (run, id) else {
        for why in others.values() {
            say!("{why}");
        }
        return Ok(runs);
    };
    if runs.is_empty() {
        // A folder knows its runner, even where its things cannot be looked for.
        match marks_of_folder(path).map(|marks| (marks.liveness(), marks)) {
            Some((Liveness::Alive, marks)) => drop(runs.insert(marks.run.clone(), marks)),
            Some((run @ Liveness::Unknown(_), marks)) => return Err(advice(&marks, &run)),
            Some((Liveness::Dead, _)) | None => {
                let advice = others.remove(&id);
                return Err(advice.unwrap_or_else(|| format!("no run {id} is in progress")));
            }
        }
    }
    Ok(runs)
}

/// What to do about a run that cannot be asked.
fn advice(marks: &RunMarks, runner: &Liveness) -> String {
    let run = &marks.run;
    match runner {
        Liveness::Unknown(why) => marks.unknown(why),
        Liveness::Alive | Liveness::Dead => format!(
            "no run {run} is in progress: its runner died; gameday revert {run} removes what it left"
        ),
    }
}

/// Puts the file there, whole from the moment that it is seen.
fn ask(folder: &RunFolder, reason: &str) -> Result<(), String> {
    if !folder.run_json().exists() {
        return Err(format!(
            "{} is no run folder: it cannot be asked",
            folder.path().display()
        ));
    }
    let path = folder.stop();
    let say = |e: std::io::Error| format!("{}: {e}", path.display());
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let bytes = reason.as_bytes();
    let mut file = std::fs::File::create(&new).map_err(say)?;
    file.write_all(&bytes[..bytes.len().min(MAX_REASON)])
        .and_then(|()| file.write_all(b"\n"))
        .map_err(say)?;
    std::fs::rename(&new, &path).map_err(say)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_asked_is_read_by_the_other_side() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::at(dir.path());
        let refused = ask(&folder, "why").unwrap_err();
        assert!(refused.contains("no run folder"), "{refused}");
        std::fs::write(folder.run_json(), "{}").unwrap();
        ask(&folder, "customers call").unwrap();
        let read = crate::ask::asked(&folder.stop()).await;
        assert!(read.ends_with(": customers call"), "{read}");
        let names = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, 2, "run.json and stop, nothing else");
    }
}
