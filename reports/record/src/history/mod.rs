//! `history.jsonl`: every invocation and completion, one event per line, with
//! Jepsen's field names. The first line is a header, the last an end marker;
//! a history without its end marker is never a pass.
//!
//! A long history is `history.jsonl.zst`: the same lines in frames of Zstandard
//! with an index of them (see [`Packed`]). [`open`] reads either.

mod pack;
mod pairing;
mod read;
mod write;

pub use pack::{Frame, HistoryFile, Packed, frames, open};
pub use pairing::Pairing;
pub use read::{Ending, History, Reader, Refused, read, stream};
pub use write::HistoryWriter;

use crate::operation::{Attempt, Call, Failure, Operation, Outcome};
use crate::time::Nanos;
use serde::{Deserialize, Serialize};

/// Version of the format that this crate writes.
pub const HISTORY_VERSION: u32 = 2;

/// Oldest version that it reads.
pub const OLDEST_HISTORY: u32 = 1;

/// Longest line that is read, in bytes.
pub const MAX_LINE: usize = 1 << 20;

/// Header line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryHeader {
    /// Format version.
    pub version: u32,
    /// Run id.
    pub run: String,
    /// Seed of the run.
    pub seed: u64,
    /// Clock that the times were taken from.
    pub clock: String,
    /// UTC time of the epoch, RFC 3339.
    pub epoch_utc: String,
    /// Writes that were sent up to this time may be missing although later
    /// operations can find their values: a segment of a long recording, whose
    /// recorder remembers only so many. `None`: every write is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgotten: Option<Nanos>,
}

/// Jepsen's four event types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A call starts.
    Invoke,
    /// It happened.
    Ok,
    /// It certainly had no effect.
    Fail,
    /// It may have had effect.
    Info,
}

/// A value on the wire: absent, one number, or `[expected, new]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EventValue {
    /// One value; `null` is "no item".
    One(Option<i64>),
    /// `[expected, new]` of a compare-and-set.
    Pair(Option<i64>, i64),
}

/// One line of a history. Its texts are its own, or borrowed from the operation
/// that it is written from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "S: Serialize + AsRef<str>",
    deserialize = "S: Deserialize<'de> + Default"
))]
pub struct Event<S = String> {
    /// Position in the file, given by the writer that merges the canaries' streams.
    #[serde(default)]
    pub index: u64,
    /// When.
    pub time: Nanos,
    /// Logical client.
    pub process: u64,
    /// invoke, ok, fail or info.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// `read`, `eventual-read`, `write`, `insert`, `cas` or `add`.
    pub f: S,
    /// Table, if it has a name.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub table: S,
    /// Key.
    pub key: S,
    /// Invocation: what is written or added. `ok` of a read: what was read; of
    /// an addition: the sum that it made, or `null`.
    pub value: EventValue,
    /// `fail` of a compare-and-set: the current value, if it was reported.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "maybe_observed"
    )]
    pub observed: Option<Option<i64>>,
    /// Why it is `fail` or `info`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Invocation only: when the schedule wanted it sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Nanos>,
    /// Invocation only: AZ of the canary.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub az: S,
    /// Invocation only: AZ whose endpoint is called.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub endpoint: S,
    /// Invocation only: a final read after recovery.
    #[serde(default, skip_serializing_if = "is_false")]
    pub last: bool,
    /// Invocation only: a connection was opened for it alone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fresh: bool,
    /// Invocation only: which attempt of its request it is.
    #[serde(default, skip_serializing_if = "Attempt::is_default")]
    pub attempt: Attempt,
}

fn is_false(b: &bool) -> bool {
    !*b
}

fn is_empty(s: &impl AsRef<str>) -> bool {
    s.as_ref().is_empty()
}

mod maybe_observed {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    pub fn serialize<S: Serializer>(v: &Option<Option<i64>>, s: S) -> Result<S::Ok, S::Error> {
        v.unwrap_or(None).serialize(s)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Option<i64>>, D::Error> {
        Option::<i64>::deserialize(d).map(Some)
    }
}

/// Any line of a history file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HistoryLine {
    /// First line.
    Header {
        /// The header.
        gameday_history: HistoryHeader,
    },
    /// Last line.
    End {
        /// Number of events before it.
        gameday_end: u64,
    },
    /// Everything between.
    Event(Event),
}

impl HistoryLine {
    /// Reads one line.
    ///
    /// # Errors
    /// It is none of the three.
    pub fn parse(line: &[u8]) -> serde_json::Result<Self> {
        // Nearly all are events, and trying that alone takes half the time.
        serde_json::from_slice(line)
            .map(HistoryLine::Event)
            .or_else(|_| serde_json::from_slice(line))
    }
}

impl<'a> Event<&'a str> {
    /// The invocation of `op`, to be written.
    pub fn of_invocation(op: &'a Operation) -> Self {
        let value = match &op.call {
            Call::Read { .. } => EventValue::One(None),
            Call::Write { value, .. } | Call::Insert { value, .. } => EventValue::One(Some(*value)),
            Call::Add { delta, .. } => EventValue::One(Some(*delta)),
            Call::Cas { expected, new, .. } => EventValue::Pair(*expected, *new),
        };
        Event {
            index: op.index,
            time: op.invoked,
            process: op.process,
            kind: EventKind::Invoke,
            f: op.call.name(),
            table: &op.table,
            key: op.call.key(),
            value,
            observed: None,
            error: None,
            due: Some(op.due),
            az: &op.az,
            endpoint: &op.endpoint,
            last: op.last,
            fresh: op.fresh,
            attempt: op.attempt,
        }
    }

    /// The completion of `op` at `at`, to be written.
    pub fn of_completion(op: &'a Operation, at: Nanos) -> Self {
        let mut e = Event {
            time: at,
            due: None,
            az: "",
            endpoint: "",
            last: false,
            fresh: false,
            attempt: Attempt::default(),
            ..Event::of_invocation(op)
        };
        match &op.outcome {
            Outcome::Ok { value } => {
                e.kind = EventKind::Ok;
                if let Call::Read { .. } | Call::Add { .. } = op.call {
                    e.value = EventValue::One(*value);
                }
            }
            Outcome::Failed { failure, observed } => {
                e.kind = EventKind::Fail;
                e.error = Some(failure.clone());
                e.observed = *observed;
            }
            Outcome::Unknown { failure } => {
                e.kind = EventKind::Info;
                e.error = Some(failure.clone());
            }
        }
        e
    }

    fn owned(self) -> Event {
        Event {
            index: self.index,
            time: self.time,
            process: self.process,
            kind: self.kind,
            f: self.f.into(),
            table: self.table.into(),
            key: self.key.into(),
            value: self.value,
            observed: self.observed,
            error: self.error,
            due: self.due,
            az: self.az.into(),
            endpoint: self.endpoint.into(),
            last: self.last,
            fresh: self.fresh,
            attempt: self.attempt,
        }
    }
}

impl Event {
    /// The invocation of `op`.
    pub fn invoke(op: &Operation) -> Event {
        Event::of_invocation(op).owned()
    }

    /// The completion of `op` at `at`.
    pub fn complete(op: &Operation, at: Nanos) -> Event {
        Event::of_completion(op, at).owned()
    }
}

impl<S: AsRef<str>> Event<S> {
    fn call(&self) -> Result<Call, String> {
        let key = self.key.as_ref().to_string();
        Ok(match (self.f.as_ref(), self.value) {
            ("read", _) => Call::Read { key, strong: true },
            ("eventual-read", _) => Call::Read { key, strong: false },
            ("write", EventValue::One(Some(value))) => Call::Write { key, value },
            ("insert", EventValue::One(Some(value))) => Call::Insert { key, value },
            ("add", EventValue::One(Some(delta))) => Call::Add { key, delta },
            ("cas", EventValue::Pair(expected, new)) => Call::Cas { key, expected, new },
            (f @ ("write" | "insert" | "add" | "cas"), _) => {
                return Err(format!("'{f}' has no value to write"));
            }
            (f, _) => {
                return Err(format!(
                    "unknown call '{f}' (known: read, eventual-read, write, insert, cas, add)"
                ));
            }
        })
    }
}
