//! Whether the process that made something still runs, from wherever one looks:
//! beside it, from another PID namespace, from another machine. What cannot be
//! known is not dead.

use crate::runtime::control::lock;
use crate::runtime::marks::{ProcStat, RunMarks, RunnerId};
use crate::runtime::place::{FIRST_PID_NAMESPACE, Place};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

/// What is known of a runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It runs.
    Alive,
    /// It has ended.
    Dead,
    /// Neither can be known from here, for this reason.
    Unknown(String),
}

impl Liveness {
    /// Whether it is certain that it has ended.
    pub fn is_dead(&self) -> bool {
        *self == Liveness::Dead
    }

    /// Whether it is certain that it runs.
    pub fn is_alive(&self) -> bool {
        *self == Liveness::Alive
    }
}

/// What was seen of a runner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// The very process runs, whatever its number is here.
    runs: bool,
    /// Whether its run folder, if it is there, is locked by a process of this machine.
    folder_is_locked: Option<bool>,
}

/// What that means.
fn judge(runner: &RunnerId, place: &Place, seen: Seen) -> Liveness {
    let unknown = |why: &str| Liveness::Unknown(why.into());
    // A lock is held by somebody who runs, wherever that is.
    if seen.folder_is_locked == Some(true) {
        return Liveness::Alive;
    }
    let Some(boot_id) = &place.boot_id else {
        return unknown("the kernel does not say which start of it this is");
    };
    if *boot_id != runner.boot_id {
        return match (&place.machine, &runner.machine) {
            (Some(here), Some(there)) if here == there => Liveness::Dead,
            _ => unknown("it was started on another machine, or before this one was started"),
        };
    }
    if seen.runs {
        return Liveness::Alive;
    }
    // Who does not say where it was started did not lock its folder either.
    if seen.folder_is_locked == Some(false) && runner.pid_namespace.is_some() {
        return Liveness::Dead;
    }
    if !place.shows_others {
        return unknown("/proc does not show the processes of other users here");
    }
    match (place.pid_namespace, runner.pid_namespace) {
        (Some(FIRST_PID_NAMESPACE), _) => Liveness::Dead,
        (Some(here), Some(there)) if here == there => Liveness::Dead,
        (_, Some(_)) => unknown("it was started in another PID namespace, as of another container"),
        (_, None) => {
            unknown("its mark is of an older gameday and does not say in which PID namespace")
        }
    }
}

impl RunMarks {
    /// Whether who made this still runs, as far as can be known from here.
    pub fn liveness(&self) -> Liveness {
        let place = Place::here();
        let seen = Seen {
            runs: runs(&self.runner, &place),
            folder_is_locked: folder_is_locked(self),
        };
        judge(&self.runner, &place, seen)
    }
}

fn runs(runner: &RunnerId, place: &Place) -> bool {
    if place.boot_id.as_ref() != Some(&runner.boot_id) {
        return false;
    }
    let is = |pid: u32| {
        ProcStat::read(pid).is_some_and(|s| s.start_ticks == runner.start_ticks && !s.is_dead())
    };
    if runner.pid_namespace == place.pid_namespace || runner.pid_namespace.is_none() {
        if is(runner.pid) {
            return true;
        }
        if runner.pid_namespace.is_some() {
            return false;
        }
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = entries.filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.any(|pid: u32| is(pid) && innermost_pid(pid) == Some(runner.pid))
}

/// Its number in its own PID namespace.
fn innermost_pid(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let all = status.lines().find_map(|l| l.strip_prefix("NSpid:"))?;
    all.split_ascii_whitespace().next_back()?.parse().ok()
}

/// The run's folder, if these marks name one: its name is the run's.
fn folder_of(marks: &RunMarks) -> Option<&Path> {
    let named = marks.folder.file_name().and_then(|n| n.to_str()) == Some(&marks.run);
    named.then_some(marks.folder.as_path())
}

fn folder_is_locked(marks: &RunMarks) -> Option<bool> {
    let folder = File::open(folder_of(marks)?).ok()?;
    match folder.try_lock_shared() {
        Ok(()) => Some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        // This file system has no locks.
        Err(TryLockError::Error(_)) => None,
    }
}

/// Locks the run's folder for as long as this process lives, so that everybody who reaches it
/// knows that the run goes on, whatever else can be seen from there.
///
/// # Errors
/// There is none, or somebody else has locked it.
pub fn hold_folder(marks: &RunMarks) -> Result<(), String> {
    static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
    /// Whoever looks whether it is locked has it locked for a moment.
    const TRIES: u32 = 100;
    const AGAIN: Duration = Duration::from_millis(5);
    let path = folder_of(marks).ok_or_else(|| format!("run {} has no folder", marks.run))?;
    let say = |e: io::Error| format!("{}: {e}", path.display());
    let folder = File::open(path).map_err(say)?;
    for _ in 0..TRIES {
        match folder.try_lock() {
            Ok(()) => {
                lock(&HELD).push(folder);
                return Ok(());
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(AGAIN),
            // A file system without locks: nobody takes it for unlocked either.
            Err(TryLockError::Error(_)) => return Ok(()),
        }
    }
    Err(format!(
        "{} is locked by another process: is another gameday running this run?",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::marks::Kind;

    fn runner() -> RunnerId {
        RunnerId {
            boot_id: "b1".into(),
            pid: 7,
            start_ticks: 70,
            pid_namespace: Some(100),
            machine: Some("m1".into()),
        }
    }

    fn place(boot_id: &str, pid_namespace: u64) -> Place {
        Place {
            boot_id: Some(boot_id.into()),
            machine: Some("m1".into()),
            pid_namespace: Some(pid_namespace),
            shows_others: true,
        }
    }

    fn is(runner: &RunnerId, place: &Place, runs: bool, locked: Option<bool>) -> &'static str {
        let seen = Seen {
            runs,
            folder_is_locked: locked,
        };
        match judge(runner, place, seen) {
            Liveness::Alive => "alive",
            Liveness::Dead => "dead",
            Liveness::Unknown(_) => "unknown",
        }
    }

    #[test]
    fn only_who_would_see_a_process_may_call_it_dead() {
        let first = FIRST_PID_NAMESPACE;
        for (namespace, runs, locked, expected) in [
            (100, true, None, "alive"),
            (100, false, None, "dead"),
            (first, true, None, "alive"),
            (first, false, None, "dead"),
            (200, false, None, "unknown"),
            // Its PID namespace is within this one.
            (200, true, None, "alive"),
            (200, false, Some(true), "alive"),
            (200, false, Some(false), "dead"),
        ] {
            let seen = is(&runner(), &place("b1", namespace), runs, locked);
            assert_eq!(seen, expected, "{namespace} {runs} {locked:?}");
        }
        let hidden = Place {
            shows_others: false,
            ..place("b1", first)
        };
        assert_eq!(is(&runner(), &hidden, false, None), "unknown");
        assert_eq!(is(&runner(), &hidden, false, Some(false)), "dead");
        assert_eq!(is(&runner(), &Place::default(), false, None), "unknown");
    }

    #[test]
    fn another_start_is_the_death_of_a_runner_only_on_the_same_machine() {
        let rebooted = place("b2", 100);
        assert_eq!(is(&runner(), &rebooted, false, None), "dead");
        let other = Place {
            machine: Some("m2".into()),
            ..rebooted.clone()
        };
        assert_eq!(is(&runner(), &other, false, None), "unknown");
        // A folder that both reach: its lock there is not seen here by every file system.
        assert_eq!(is(&runner(), &other, false, Some(false)), "unknown");
        assert_eq!(is(&runner(), &other, false, Some(true)), "alive");
        let contained = RunnerId {
            machine: None,
            ..runner()
        };
        assert_eq!(is(&contained, &rebooted, false, None), "unknown");
    }

    #[test]
    fn the_mark_of_an_older_gameday_tells_less() {
        let older = RunnerId {
            pid_namespace: None,
            machine: None,
            ..runner()
        };
        for locked in [None, Some(false)] {
            assert_eq!(is(&older, &place("b1", 100), false, locked), "unknown");
        }
        assert_eq!(is(&older, &place("b1", 100), true, None), "alive");
        // Who sees all processes needs no more.
        let first = place("b1", FIRST_PID_NAMESPACE);
        assert_eq!(is(&older, &first, false, None), "dead");
        assert_eq!(is(&older, &place("b2", 100), false, None), "unknown");
    }

    #[test]
    fn the_living_are_told_from_the_dead_and_from_their_successors() {
        let me = RunMarks::new("x", Kind::Run, "/nowhere/x").unwrap();
        assert_eq!(me.liveness(), Liveness::Alive);
        let successor = RunnerId {
            start_ticks: me.runner.start_ticks + 1,
            ..me.runner.clone()
        };
        let successor = RunMarks {
            runner: successor,
            ..me.clone()
        };
        let dead = successor.liveness();
        assert!(dead.is_dead() || !Place::here().shows_others, "{dead:?}");
    }

    #[test]
    fn a_folder_that_is_held_says_so_to_everybody_who_reaches_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run-1");
        fs::create_dir(&path).unwrap();
        let marks = RunMarks::new("run-1", Kind::Run, &path).unwrap();
        assert_eq!(folder_is_locked(&marks), Some(false));
        hold_folder(&marks).unwrap();
        assert_eq!(folder_is_locked(&marks), Some(true));
        // As seen from elsewhere, by the folder alone.
        let elsewhere = RunMarks {
            runner: runner(),
            ..marks.clone()
        };
        assert_eq!(elsewhere.liveness(), Liveness::Alive);
        let again = hold_folder(&marks).unwrap_err();
        assert!(again.contains("locked"), "{again}");

        let not_its_own = RunMarks {
            run: "run-2".into(),
            ..marks
        };
        assert_eq!(folder_is_locked(&not_its_own), None);
        hold_folder(&not_its_own).unwrap_err();
    }
}
