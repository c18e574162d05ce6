//! What a canary did and what came of it.

use crate::time::Nanos;
use serde::{Deserialize, Serialize};

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
            Call::Read { key, .. } | Call::Write { key, .. } | Call::Cas { key, .. } => key,
        }
    }

    /// True for writes and conditional writes.
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
    /// HTTP 5xx.
    Server,
    /// Throttled by design.
    Throttled,
    /// HTTP 4xx that is not one of the above: a bug of the canary or the store.
    Rejected,
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
        /// Value read; `None` also for writes.
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
    /// What it asked for.
    pub call: Call,
    /// When the schedule wanted it sent. Latency counts from here.
    pub due: Nanos,
    /// When it was sent.
    pub invoked: Nanos,
    /// When the outcome was known; `None` for calls abandoned in flight.
    pub returned: Option<Nanos>,
    /// What came of it.
    pub outcome: Outcome,
    /// True for the final reads after recovery, which are not part of the measured load.
    pub last: bool,
}
