//! `gameday stop`: ask runs in progress to revert, judge and end.

use crate::ask::{MAX_REASON, reason};
use crate::cli::StopArgs;
use crate::exit::Exit;
use crate::undo::run_id;
use gameday_chaos::runtime::leftovers;
use gameday_chaos::runtime::marks::{Kind, RunnerId};
use gameday_record::RunFolder;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Reverting, final reads, judging and taking down are each bounded; this is more than all of them.
const LIMIT: Duration = Duration::from_secs(300);
/// How often it is looked whether a runner has ended.
const LOOK: Duration = Duration::from_millis(200);

/// A run in progress.
struct Live {
    folder: RunFolder,
    runner: RunnerId,
}

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
    for (id, live) in runs {
        match ask(&live.folder, &text) {
            Ok(()) => {
                say!(
                    "{id}: asked to revert and to end (process {})",
                    live.runner.pid
                );
                asked.push((id, live));
            }
            Err(why) => {
                warn!(
                    "{id}: {why}; Ctrl-C in its terminal, or a SIGINT to process {}, asks it too",
                    live.runner.pid
                );
                all_ended = false;
            }
        }
    }
    let began = Instant::now();
    for (id, live) in asked {
        while live.runner.is_alive() && began.elapsed() < LIMIT {
            tokio::time::sleep(LOOK).await;
        }
        let report = live.folder.report_html();
        if live.runner.is_alive() {
            warn!(
                "{id}: still there after {} s; if it hangs, kill process {}: then its watchdog reverts",
                LIMIT.as_secs(),
                live.runner.pid
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
async fn find(run: Option<&Path>) -> Result<BTreeMap<String, Live>, String> {
    let id = run.map(run_id).transpose()?;
    let mut runs = BTreeMap::new();
    let found = leftovers::find(id.as_deref()).await;
    for why in &found.unsearched {
        say!("not looked at: {why}");
    }
    let mut dead = false;
    for thing in found.things {
        if thing.marks.kind != Kind::Run {
            continue;
        }
        dead |= !thing.runner_alive;
        if thing.runner_alive {
            let live = Live {
                folder: RunFolder::at(&thing.marks.folder),
                runner: thing.marks.runner,
            };
            runs.insert(thing.marks.run, live);
        }
    }
    let (Some(path), Some(id)) = (run, id) else {
        return Ok(runs);
    };
    // A folder knows its runner, even where its things cannot be looked for.
    if runs.is_empty()
        && let Ok(info) = RunFolder::at(path).read_run()
    {
        match info.runner.parse::<RunnerId>() {
            Ok(runner) if runner.is_alive() => {
                let folder = RunFolder::at(path);
                runs.insert(info.id, Live { folder, runner });
            }
            _ => return Err(format!("{id} is not in progress{}", advice(dead, &id))),
        }
    }
    if runs.is_empty() {
        return Err(format!("no run {id} is in progress{}", advice(dead, &id)));
    }
    Ok(runs)
}

fn advice(dead: bool, id: &str) -> String {
    match dead {
        true => format!("; its runner died: gameday revert {id} removes what it left"),
        false => String::new(),
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
