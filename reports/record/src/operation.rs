//! What a canary did and what came of it.

use crate::time::Nanos;
use serde::{Deserialize, Serialize};

/// What was asked: availability is never merged over these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Writes of every sort: conditional, inserting, counting.
    Write,
    /// Strongly consistent reads.
    StrongRead,
    /// Eventually consistent reads.
    EventualRead,
}

impl Kind {
    /// All kinds, in the order in which reports show them.
    pub const ALL: [Kind; 3] = [Kind::Write, Kind::StrongRead, Kind::EventualRead];

    /// The kind of a call.
    pub fn of(call: &Call) -> Kind {
        match call {
            Call::Write { .. } | Call::Insert { .. } | Call::Cas { .. } | Call::Add { .. } => {
                Kind::Write
            }
            Call::Read { strong: true, .. } => Kind::StrongRead,
            Call::Read { strong: false, .. } => Kind::EventualRead,
        }
    }

    /// `write`, `strong read`, `eventual read`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Write => "write",
            Kind::StrongRead => "strong read",
            Kind::EventualRead => "eventual read",
        }
    }
}

/// One call on one key. Written values are unique in the whole run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// A read. `strong` asks for strong consistency, else eventual.
    Read {
        /// Key read.
        key: String,
        /// Strongly consistent, else eventually.
        strong: bool,
    },
    /// An unconditional write.
    Write {
        /// Key written.
        key: String,
        /// Value written.
        value: i64,
    },
    /// A write of a key that nobody else ever writes: one element of a durable
    /// set. Nothing can hide its loss.
    Insert {
        /// Key written.
        key: String,
        /// Value written.
        value: i64,
    },
    /// Adds to a counter. An answer reports the sum that it made, if the store
    /// tells; a key that is added to is never written otherwise.
    Add {
        /// Key of the counter.
        key: String,
        /// What is added.
        delta: i64,
    },
    /// Compare-and-set: writes `new` if the current value is `expected`
    /// (`None`: if there is no item). A failed one reports the current value.
    Cas {
        /// Key written.
        key: String,
        /// Value that must be there.
        expected: Option<i64>,
        /// Value written.
        new: i64,
    },
}

impl Call {
    /// The key it is about.
    pub fn key(&self) -> &str {
        match self {
            Call::Read { key, .. }
            | Call::Write { key, .. }
            | Call::Insert { key, .. }
            | Call::Add { key, .. }
            | Call::Cas { key, .. } => key,
        }
    }

    /// What it is called in a history: `read`, `eventual-read`, `write`,
    /// `insert`, `add` or `cas`.
    pub fn name(&self) -> &'static str {
        match self {
            Call::Read { strong: true, .. } => "read",
            Call::Read { strong: false, .. } => "eventual-read",
            Call::Write { .. } => "write",
            Call::Insert { .. } => "insert",
            Call::Add { .. } => "add",
            Call::Cas { .. } => "cas",
        }
    }

    /// True for everything but reads.
    pub fn is_write(&self) -> bool {
        !matches!(self, Call::Read { .. })
    }
}

/// Why a call did not succeed. The class decides whether it may have had an
/// effect; the canary's `classify` function is the only place that chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorClass {
    /// The condition of a conditional write did not hold: an answer, not an error.
    Condition,
    /// No answer in time.
    Timeout,
    /// The connection was refused: nothing was sent.
    Refused,
    /// No connection in time: nothing was sent.
    ConnectTimeout,
    /// The connection broke after the request was (partly) sent.
    Reset,
    /// The service could not: HTTP 5xx, or what stands for it elsewhere.
    Server,
    /// Throttled by design.
    Throttled,
    /// Refused for another reason, such as an HTTP 4xx that is none of the above: a bug of the
    /// canary or the store.
    Rejected,
    /// The service refused whom it does not know, or what is wrong: credentials,
    /// signature, clock, rights, a table that is not there. The canary's own fault,
    /// as long as nothing shows that others with the same right are answered.
    Misconfigured,
    /// The answer could not be understood.
    Protocol,
    /// The canary could not send it in time (in-flight cap): its own fault.
    Unsent,
    /// The canary died, or the run ended, while the call was in flight.
    Abandoned,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Machine-readable class.
    pub class: ErrorClass,
    /// Short text for people, at most 200 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// The three outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It happened. For a read: the value read (`None`: no item).
    Ok {
        /// Value read, or the sum that an addition reported; `None` for other writes.
        value: Option<i64>,
    },
    /// It certainly had no effect.
    Failed {
        /// Why.
        failure: Failure,
        /// A failed compare-and-set reports the value it found:
        /// `Some(None)` is "no item", `None` is "not reported".
        observed: Option<Option<i64>>,
    },
    /// It may have had effect.
    Unknown {
        /// Why.
        failure: Failure,
    },
}

impl Outcome {
    /// True if the service answered as promised: success, or a condition that did not hold.
    pub fn answered(&self) -> bool {
        match self {
            Outcome::Ok { .. } => true,
            Outcome::Failed { failure, .. } => failure.class == ErrorClass::Condition,
            Outcome::Unknown { .. } => false,
        }
    }

    /// The failure, if any.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Outcome::Ok { .. } => None,
            Outcome::Failed { failure, .. } | Outcome::Unknown { failure } => Some(failure),
        }
    }
}

/// One call with its times, its caller and its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Index of its invocation in the history.
    pub index: u64,
    /// Logical client: at most one operation in flight, retired after an unknown outcome.
    pub process: u64,
    /// AZ of the canary.
    pub az: String,
    /// AZ whose endpoint it called.
    pub endpoint: String,
    /// Table; empty where there is only one and it has no name.
    pub table: String,
    /// What it asked for.
    pub call: Call,
    /// When the schedule wanted it sent. Latency counts from here.
    pub due: Nanos,
    /// When it was sent: the last instant before anything of it left the canary,
    /// so never later than the service can have seen it. That is the write of
    /// the request on a connection that was kept, else the beginning of connecting.
    pub invoked: Nanos,
    /// When the outcome was known; `None` for calls abandoned in flight.
    pub returned: Option<Nanos>,
    /// What came of it.
    pub outcome: Outcome,
    /// True for the final reads after recovery, which are not part of the measured load.
    pub last: bool,
    /// True if a connection was opened for it alone; else it used one that was kept.
    pub fresh: bool,
    /// Which attempt of its request it was.
    pub attempt: Attempt,
}

/// Attempts are operations of their own: a retried write has a new value and
/// may take effect beside the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// Number of the request, unique among those of the canaries of a run that
    /// retry; 0 where nothing is retried.
    pub request: u64,
    /// Retries before it: 0 for the first attempt. Only first attempts are
    /// paced, and only they count for per-attempt availability.
    pub retry: u32,
}

impl Attempt {
    /// True for the first attempt.
    pub fn is_first(&self) -> bool {
        self.retry == 0
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Attempt::default()
    }
}
