//! Who may run beside whom.

use std::sync::{Condvar, Mutex};
use std::thread::available_parallelism;

/// What a test needs while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// A core's worth of this machine.
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
}

/// What is taken now.
struct Taken {
    slots: usize,
    docker: bool,
}

/// Turns of this process's tests.
pub struct Turns {
    taken: Mutex<Taken>,
    ended: Condvar,
}

impl Turns {
    pub const fn new() -> Self {
        Turns {
            taken: Mutex::new(Taken {
                slots: 0,
                docker: false,
            }),
            ended: Condvar::new(),
        }
    }

    /// Waits until what it needs is free, and takes it.
    pub fn wait(&self, needs: Needs) -> Turn<'_> {
        let all = available_parallelism().map_or(2, |n| n.get().max(2));
        let slots = match needs {
            Needs::Alone | Needs::DockerAlone => all,
            Needs::Slot | Needs::Docker | Needs::DockerIfThere => 1,
        };
        let docker = !matches!(needs, Needs::Slot | Needs::Alone);
        let taken = self.taken.lock().unwrap_or_else(|e| e.into_inner());
        let busy = |t: &mut Taken| t.slots + slots > all || (docker && t.docker);
        let waited = self.ended.wait_while(taken, busy);
        let mut taken = waited.unwrap_or_else(|e| e.into_inner());
        taken.slots += slots;
        taken.docker |= docker;
        Turn {
            turns: self,
            slots,
            docker,
        }
    }
}

/// Given back when it is dropped, also by a test that panics.
pub struct Turn<'a> {
    turns: &'a Turns,
    slots: usize,
    docker: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut taken = self.turns.taken.lock().unwrap_or_else(|e| e.into_inner());
        taken.slots -= self.slots;
        taken.docker &= !self.docker;
        self.turns.ended.notify_all();
    }
}
