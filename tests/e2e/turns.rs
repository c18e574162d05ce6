//! Who may run beside whom.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

/// What a test needs while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The part of this machine that a game day takes.
    Slot,
    /// All of it: what it measures is its own.
    Alone,
    /// Docker as well, for itself: all containers of tests are in one network.
    Docker,
    /// The same where Docker answers.
    DockerIfThere,
    /// Docker, and nothing else on this machine.
    DockerAlone,
}

impl Needs {
    /// Whether it makes no sense without Docker.
    pub fn docker(self) -> bool {
        matches!(self, Needs::Docker | Needs::DockerAlone)
    }

    fn taken(self) -> Taken {
        Taken {
            slots: match self {
                Needs::Alone | Needs::DockerAlone => slots(),
                Needs::Slot | Needs::Docker | Needs::DockerIfThere => 1,
            },
            docker: !matches!(self, Needs::Slot | Needs::Alone),
        }
    }
}

/// A game day spends most of its time waiting, but its measurement wants room: one more than there
/// are processors keep them busy, and wait for them no longer than they allow for.
fn slots() -> usize {
    available_parallelism().map_or(2, |n| n.get().max(2)) + 1
}

#[derive(Clone, Copy)]
struct Taken {
    slots: usize,
    docker: bool,
}

struct State {
    taken: Taken,
    /// By their places in the list.
    waiting: BTreeMap<usize, Taken>,
}

impl State {
    fn fits(&self, wanted: &Taken) -> bool {
        self.taken.slots + wanted.slots <= slots() && !(wanted.docker && self.taken.docker)
    }

    /// Whose turn it is: the first for whom all is free.
    fn next(&self) -> Option<usize> {
        let mut waiting = self.waiting.iter();
        let first = waiting.find(|(_, wanted)| self.fits(wanted));
        first.map(|(place, _)| *place)
    }
}

/// Turns of this process's tests.
pub struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

impl Turns {
    pub const fn new() -> Self {
        Turns {
            state: Mutex::new(State {
                taken: Taken {
                    slots: 0,
                    docker: false,
                },
                waiting: BTreeMap::new(),
            }),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until what it needs is free and wanted by nobody before it in the list, and takes it.
    pub fn wait(&self, place: usize, needs: Needs) -> Turn<'_> {
        let taken = needs.taken();
        let mut state = self.state();
        state.waiting.insert(place, taken);
        let waited = self
            .changed
            .wait_while(state, |state| state.next() != Some(place));
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting.remove(&place);
        state.taken.slots += taken.slots;
        state.taken.docker |= taken.docker;
        // Something may be left for the next one.
        self.changed.notify_all();
        Turn { turns: self, taken }
    }
}

/// Given back when it is dropped, also by a test that panics.
pub struct Turn<'a> {
    turns: &'a Turns,
    taken: Taken,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        state.taken.slots -= self.taken.slots;
        state.taken.docker &= !self.taken.docker;
        self.turns.changed.notify_all();
    }
}
