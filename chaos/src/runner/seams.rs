//! What the runner needs from whoever runs it: who leads, whether the
//! baseline was healthy, who wants to know, and when to stop.

use crate::quorum::Group;
use futures_util::future::BoxFuture;
use gameday_record::timeline::{Injection, Proof, ProofSide};
use gameday_record::{Phase, Verdict};
use std::time::Duration;

/// Knows the store's replication groups.
pub trait Roles: Send + Sync {
    /// All groups as they are now. Bounded in time by the caller.
    ///
    /// # Errors
    /// For people: who was asked, and what went wrong.
    fn groups(&self) -> BoxFuture<'_, Result<Vec<Group>, String>>;
}

/// Judges the baseline.
pub trait Health: Send + Sync {
    /// Asked at the end of a baseline about its length, until now: whether the cluster is healthy
    /// enough to be hurt. Unknown if nothing is wrong with what was measured, but too little was;
    /// the evidence tells why it is not a pass, one reason each. Bounded in time by the caller.
    fn baseline(&self, lasted: Duration) -> BoxFuture<'_, Proof>;
}

/// Knows the playbook's alarms.
pub trait Firing: Send + Sync {
    /// Resolves with what was seen when the alarm of this name fires; at once if it does already.
    fn fires<'a>(&'a self, alarm: &'a str) -> BoxFuture<'a, String>;
}

/// What the live view is told. The timeline has the same, for keeps.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// A phase begins.
    Phase {
        /// Which.
        phase: Phase,
        /// How long it takes at least.
        lasts: Duration,
    },
    /// A fault is about to be injected.
    Begun {
        /// The injection.
        injection: Injection,
    },
    /// A proof was taken.
    Proven {
        /// Injection id.
        id: u32,
        /// Of which side.
        side: ProofSide,
        /// What it showed.
        verdict: Verdict,
    },
    /// The revert begins.
    Reverting {
        /// Injection id.
        id: u32,
    },
    /// The injection is closed: reverted, or its revert was given up.
    Ended {
        /// Injection id.
        id: u32,
    },
    /// A remark.
    Note {
        /// For people.
        text: String,
    },
}

/// Wants to know. Called from the runner's tasks: must not block.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn observe(&self, update: &Update);
}

/// Why a run is stopped from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A signal, named.
    Interrupted(String),
    /// A stop condition, and what it saw.
    Condition(String),
    /// Somebody asked for it, and why.
    Asked(String),
    /// Whoever runs it cannot go on, and why.
    Failed(String),
}
