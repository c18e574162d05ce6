//! What runs left behind, found by its marks over both runtimes, and its
//! removal. Nothing without our marks is ever touched; whether a living
//! runner's or a kept cluster's things may go is for the caller to decide.

use crate::runtime::docker::leftovers as containers;
pub use crate::runtime::leftover::{Leftover, Thing};
use crate::runtime::liveness::Liveness;
use crate::runtime::marks::{ProcStat, WATCHDOG};
use crate::runtime::process::{folder, scan};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use crate::runtime::docker::image::{remove_images, unused_images};

/// Deadline of a process's end after SIGKILL.
const END: Duration = Duration::from_secs(10);

/// What a search found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Ours, of every kind, of living and dead runners.
    pub things: Vec<Leftover>,
    /// Where could not be looked, and why.
    pub unsearched: Vec<String>,
}

/// Everything that carries our marks, of one run or of all.
pub async fn find(run: Option<&str>) -> Found {
    let mut found = Found::default();
    match scan::find() {
        Ok(things) => found.things.extend(things),
        Err(e) => found.unsearched.push(format!("processes: {e}")),
    }
    match containers::find(run).await {
        Ok(things) => found.things.extend(things),
        Err(e) => found.unsearched.push(format!("Docker: {e}")),
    }
    found
        .things
        .retain(|l| run.is_none_or(|run| l.marks.run == run));
    agree(&mut found.things);
    found
}

/// One thing may tell more of a runner than another one of the same run.
fn agree(things: &mut [Leftover]) {
    let alive = things.iter().filter(|l| l.runner.is_alive());
    let alive: BTreeSet<String> = alive.map(|l| l.marks.run.clone()).collect();
    for thing in things.iter_mut().filter(|l| alive.contains(&l.marks.run)) {
        thing.runner = Liveness::Alive;
    }
}

/// Removes these things; an answer for each, in the order given. Something that is gone already
/// counts as removed. Processes end before the folders they write to are removed, containers
/// before their volumes and networks.
pub async fn remove(things: &[Leftover]) -> Vec<Result<(), String>> {
    let order = |thing: &Thing| match thing {
        Thing::Process { .. } | Thing::Container { .. } => 0,
        Thing::Folder(_) | Thing::Volume(_) | Thing::Network { .. } => 1,
    };
    let mut results: BTreeMap<usize, Result<(), String>> = BTreeMap::new();
    for round in 0..2 {
        let now = things
            .iter()
            .enumerate()
            .filter(|(_, l)| order(&l.thing) == round);
        let removed = now.map(|(i, l)| async move {
            let result = remove_one(l).await.map_err(|e| format!("{}: {e}", l.thing));
            (i, result)
        });
        results.extend(futures_util::future::join_all(removed).await);
    }
    results.into_values().collect()
}

async fn remove_one(leftover: &Leftover) -> Result<(), String> {
    match &leftover.thing {
        Thing::Process { pid, start_ticks } => {
            end_process(*pid, *start_ticks, &leftover.marks.run).await
        }
        Thing::Folder(path) => folder::remove(path),
        docker => containers::remove_one(docker).await,
    }
}

/// SIGKILLs a process if it is still the one that was found, and waits for its end.
async fn end_process(pid: u32, start_ticks: u64, run: &str) -> Result<(), String> {
    if !scan::kill_marked(pid, start_ticks, run)? {
        return Ok(());
    }
    let gone = || ProcStat::read(pid).is_none_or(|s| s.start_ticks != start_ticks || s.is_dead());
    let wait = async {
        while !gone() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(END, wait)
        .await
        .map_err(|_| format!("still there {END:?} after SIGKILL"))
}

/// Ends every process with the marks of this run, but its watchdog, which watches on until the
/// runner has nothing left to do.
pub(crate) async fn end_processes_of(run: &str) -> Result<(), String> {
    let mut things = scan::find()?;
    things.retain(|l| {
        l.marks.run == run && l.unit != WATCHDOG && matches!(l.thing, Thing::Process { .. })
    });
    remove(&things).await.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::marks::{Kind, RunMarks};

    #[test]
    fn what_one_thing_tells_of_a_runner_holds_for_all_of_its_run() {
        let of = |run: &str, runner| Leftover {
            runner,
            ..Leftover::new(
                "docker",
                RunMarks::new(run, Kind::Run, "/nowhere").unwrap(),
                String::new(),
                Thing::Volume(run.into()),
            )
        };
        let unknown = || Liveness::Unknown("x".into());
        let mut things = [
            of("a", unknown()),
            of("a", Liveness::Alive),
            of("b", unknown()),
            of("c", Liveness::Dead),
        ];
        agree(&mut things);
        let said = things.map(|l| l.runner);
        let alive = Liveness::Alive;
        assert_eq!(said, [alive.clone(), alive, unknown(), Liveness::Dead]);
    }
}
