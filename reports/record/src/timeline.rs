//! `timeline.jsonl`: what was done to the cluster and what it did by itself.
//! An injection's intent is on disk before the act.

use crate::time::Nanos;
use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Write};

/// The phases of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The cluster starts.
    Up,
    /// Canaries measure the healthy cluster.
    Baseline,
    /// Steps inject and revert faults.
    Steps,
    /// Everything is reverted; the cluster recovers.
    Cooldown,
    /// Final reads and replica digests.
    Checks,
    /// The cluster is taken down.
    Down,
}

impl Phase {
    /// Its name in words.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Up => "up",
            Phase::Baseline => "baseline",
            Phase::Steps => "steps",
            Phase::Cooldown => "cooldown",
            Phase::Checks => "checks",
            Phase::Down => "down",
        }
    }
}

/// Which side of an injection a proof is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProofSide {
    /// That the fault took effect.
    Injected,
    /// That it is in force again after a gap.
    Again,
    /// That it was still in force at the end of its hold.
    Held,
    /// That it is gone.
    Reverted,
}

/// A verdict with its evidence: that a fault took effect, or is gone, or that a baseline is healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Pass: shown. Fail: shown that it did not. Unknown: could not be probed.
    pub verdict: Verdict,
    /// What was observed, for people, one line per target.
    pub evidence: Vec<String>,
}

/// One fault on one target in one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injection {
    /// Number in the run, from 1.
    pub id: u32,
    /// Name of the step.
    pub step: String,
    /// Name of the fault, for example `power-off`.
    pub fault: String,
    /// The selector as the playbook says it.
    pub selector: String,
    /// What it resolved to: node names.
    pub targets: Vec<String>,
    /// The nodes that it takes away, or cuts off from somebody whom they need: the targets, but
    /// of a leader and its followers only the leader, and around a bridge those beside it. Empty
    /// in timelines of older versions.
    #[serde(default)]
    pub hurt: Vec<String>,
    /// The AZs of those nodes.
    pub azs: Vec<String>,
    /// Planned hold, in milliseconds.
    pub hold_ms: u64,
    /// How to undo it, in a sentence an operator could follow by hand.
    pub undo: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum TimelineEvent {
    /// A phase begins.
    Phase {
        /// Which.
        phase: Phase,
        /// How long some task of this machine had waited for a processor by then, since the
        /// machine started, in milliseconds; none where the kernel does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cpu_wait_ms: Option<u64>,
    },
    /// An injection is about to begin. On disk before the act.
    Intent {
        /// The injection.
        injection: Injection,
    },
    /// The act was carried out (not yet proven).
    Injected {
        /// Injection id.
        id: u32,
    },
    /// A proof was taken.
    Proof {
        /// Injection id.
        id: u32,
        /// Of which side.
        side: ProofSide,
        /// What it showed.
        proof: Proof,
    },
    /// The revert begins.
    Reverting {
        /// Injection id.
        id: u32,
    },
    /// The revert was carried out (not yet proven).
    Reverted {
        /// Injection id.
        id: u32,
    },
    /// The revert failed: the run is not clean.
    RevertFailed {
        /// Injection id.
        id: u32,
        /// Why.
        error: String,
    },
    /// Every node's links to every other and to the canaries, looked at after the last revert.
    Reachability {
        /// Pass: all of them carry.
        proof: Proof,
    },
    /// What was done to the links of these units ended behind our back, for what did it was started
    /// anew, and was put back or not. A proof that it is in force again follows for each injection
    /// concerned, or a held proof that is no pass.
    Gap {
        /// Whose links.
        units: Vec<String>,
        /// When they were last known to be as wanted.
        since: Nanos,
        /// Ids of the injections that were in force there; none if nothing was wrong there.
        injections: Vec<u32>,
        /// What happened and what was done about it, for people.
        text: String,
    },
    /// Something the cluster did by itself, for example a new leader.
    Cluster {
        /// Node it concerns.
        node: String,
        /// Kind, for example `leader`.
        kind: String,
        /// For people.
        detail: String,
    },
    /// An alarm of the playbook fired or cleared, as it was seen live.
    Alarm {
        /// Its name.
        name: String,
        /// True if it fired.
        firing: bool,
        /// What was seen, for people.
        text: String,
    },
    /// A remark of the runner, for example why a baseline was unhealthy.
    Note {
        /// For people.
        text: String,
    },
    /// The run ended; the last line.
    Ended {
        /// How.
        state: crate::run::RunState,
        /// Why, if not completed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimelineLine {
    /// When.
    pub time: Nanos,
    /// What.
    #[serde(flatten)]
    pub event: TimelineEvent,
}

/// Appends to `timeline.jsonl`; every line is on disk before `append` returns.
#[derive(Debug)]
pub struct TimelineWriter {
    file: std::fs::File,
    /// Bytes of whole lines.
    whole: u64,
}

impl TimelineWriter {
    /// Opens (or creates) the file for appending. A torn last line, left by a
    /// runner that was killed while writing, is cut off first.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &std::path::Path) -> io::Result<Self> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(e),
        };
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?;
        if whole < bytes.len() {
            file.set_len(whole as u64)?;
        }
        Ok(TimelineWriter {
            file,
            whole: whole as u64,
        })
    }

    /// Writes one line and syncs it. One that fails leaves nothing behind that a later one would
    /// be appended to.
    ///
    /// # Errors
    /// Those of the file system. No intent on disk, no injection.
    pub fn append(&mut self, line: &TimelineLine) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        // What a failed write left, if it could not be cut off then.
        if self.file.metadata()?.len() > self.whole {
            self.file.set_len(self.whole)?;
        }
        let written = self
            .file
            .write_all(&bytes)
            .and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.whole += bytes.len() as u64,
            // Failing that, the next line tries again.
            Err(_) => drop(self.file.set_len(self.whole)),
        }
        written
    }
}

/// Reads a timeline. A torn last line (the runner was killed while writing) is
/// dropped.
///
/// # Errors
/// A line that is not of the format, with its number; an I/O error.
pub fn read(input: impl BufRead) -> Result<Vec<TimelineLine>, String> {
    let mut out = Vec::new();
    let mut lines = input.split(b'\n').enumerate().peekable();
    while let Some((i, line)) = lines.next() {
        let line = line.map_err(|e| format!("line {}: {e}", i + 1))?;
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(l) => out.push(l),
            Err(_) if lines.peek().is_none() => break,
            Err(e) => return Err(format!("line {}: {e}", i + 1)),
        }
    }
    Ok(out)
}
