//! What it means if no answer came to a call, and how outcomes are made: with what each
//! service says of its answers ([`crate::service`]), the only places that choose between
//! ok, failed and unknown.
//!
//! | what happened | class | a write | a read |
//! | --- | --- | --- | --- |
//! | connection refused or unreachable | refused | failed | failed |
//! | no connection in time | connect-timeout | failed | failed |
//! | no means to connect on our side | unsent | failed | failed |
//! | connected, but not let in | what the service said | failed | failed |
//! | no answer in time | timeout | unknown | failed |
//! | connection broke after sending began | reset | unknown | failed |
//! | connection closed before anything of the call came (if it was a kept one, a fresh one is tried) | refused | failed | failed |
//! | an answer that makes no sense | protocol | unknown | failed |
//!
//! A write that may have been sent, even in part, is never failed unless the
//! service itself said that it had no effect. A read has no effect, ever.

use gameday_record::operation::Failure;
use gameday_record::{Call, ErrorClass, Outcome};
use std::fmt;

/// Longest message of a failure, in bytes.
const MAX_MESSAGE: usize = 200;

/// Why no answer came to an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// No connection: nothing was sent.
    NotConnected(String),
    /// No connection in time: nothing was sent.
    ConnectTimeout,
    /// We had no file descriptor, port or memory for a connection: nothing was sent.
    NoMeans(String),
    /// A connection on which the service does not serve, with its reason: nothing of the
    /// call was sent.
    NotServed(ErrorClass, String),
    /// No whole answer in time.
    Timeout,
    /// The connection ended before the answer did.
    Broken(String),
    /// The other side closed the connection in order, and not one byte of an answer came.
    Closed,
    /// The connection was closed before anything of the request came: certainly
    /// nobody met it.
    Unseen,
    /// The answer was none of the protocol, or too long.
    Garbled(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoAnswer::NotConnected(why)
            | NoAnswer::NoMeans(why)
            | NoAnswer::NotServed(_, why)
            | NoAnswer::Broken(why)
            | NoAnswer::Garbled(why) => why,
            NoAnswer::ConnectTimeout => "no connection in time",
            NoAnswer::Timeout => "no answer in time",
            NoAnswer::Closed => "connection closed without an answer",
            NoAnswer::Unseen => "connection closed before the request came",
        })
    }
}

/// What came of a call without an answer.
pub fn without_answer(call: &Call, why: &NoAnswer) -> Outcome {
    let said = why.to_string();
    match why {
        NoAnswer::NotConnected(_) | NoAnswer::Unseen => failed(ErrorClass::Refused, &said),
        NoAnswer::ConnectTimeout => failed(ErrorClass::ConnectTimeout, &said),
        NoAnswer::NoMeans(_) => failed(ErrorClass::Unsent, &said),
        NoAnswer::NotServed(class, _) => failed(*class, &said),
        NoAnswer::Timeout => uncertain(call, ErrorClass::Timeout, &said),
        NoAnswer::Broken(_) | NoAnswer::Closed => uncertain(call, ErrorClass::Reset, &said),
        NoAnswer::Garbled(_) => uncertain(call, ErrorClass::Protocol, &said),
    }
}

/// Certainly without effect.
pub fn failed(class: ErrorClass, message: &str) -> Outcome {
    Outcome::Failed {
        failure: failure(class, message),
        observed: None,
    }
}

/// A condition that did not hold: an answer. `observed` is what was there, if that was
/// told.
pub(crate) fn condition_failed(observed: Option<Option<i64>>) -> Outcome {
    Outcome::Failed {
        failure: failure(ErrorClass::Condition, ""),
        observed,
    }
}

/// Unknown for a write; a read had no effect in any case.
pub(crate) fn uncertain(call: &Call, class: ErrorClass, message: &str) -> Outcome {
    if call.is_write() {
        Outcome::Unknown {
            failure: failure(class, message),
        }
    } else {
        failed(class, message)
    }
}

fn failure(class: ErrorClass, message: &str) -> Failure {
    let mut end = message.len().min(MAX_MESSAGE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    Failure {
        class,
        message: message[..end].to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `ok 5`, `failed throttled`, `failed condition saw 5`, `unknown server`.
    pub(crate) fn short(o: &Outcome) -> String {
        let class = |f: &Failure| {
            let name = serde_json::to_value(f.class).unwrap();
            name.as_str().unwrap().to_string()
        };
        match o {
            Outcome::Ok { value: None } => "ok".into(),
            Outcome::Ok { value: Some(v) } => format!("ok {v}"),
            Outcome::Failed { failure, observed } => {
                let saw = match observed {
                    None => String::new(),
                    Some(None) => " saw nothing".into(),
                    Some(Some(v)) => format!(" saw {v}"),
                };
                format!("failed {}{saw}", class(failure))
            }
            Outcome::Unknown { failure } => format!("unknown {}", class(failure)),
        }
    }

    /// One of each: a strong read, an eventual read, a write, an insert, a compare-and-set, an
    /// addition.
    pub(crate) fn one_of_each(key: &str) -> [Call; 6] {
        let key = || key.to_string();
        let read = |strong| Call::Read { key: key(), strong };
        [
            read(true),
            read(false),
            Call::Write {
                key: key(),
                value: 9,
            },
            Call::Insert {
                key: key(),
                value: 9,
            },
            Call::Cas {
                key: key(),
                expected: Some(4),
                new: 9,
            },
            Call::Add {
                key: key(),
                delta: 2,
            },
        ]
    }

    #[test]
    fn the_table() {
        let io = |make: fn(String) -> NoAnswer| make("why".into());
        let let_in = NoAnswer::NotServed(ErrorClass::Misconfigured, "who?".into());
        // What happened, then the outcomes of reads and of everything that writes.
        for (why, read, write) in [
            (
                io(NoAnswer::NotConnected),
                "failed refused",
                "failed refused",
            ),
            (NoAnswer::Unseen, "failed refused", "failed refused"),
            (
                NoAnswer::ConnectTimeout,
                "failed connect-timeout",
                "failed connect-timeout",
            ),
            (io(NoAnswer::NoMeans), "failed unsent", "failed unsent"),
            (let_in, "failed misconfigured", "failed misconfigured"),
            (NoAnswer::Timeout, "failed timeout", "unknown timeout"),
            (io(NoAnswer::Broken), "failed reset", "unknown reset"),
            (NoAnswer::Closed, "failed reset", "unknown reset"),
            (io(NoAnswer::Garbled), "failed protocol", "unknown protocol"),
        ] {
            for call in one_of_each("k1") {
                let expected = if call.is_write() { write } else { read };
                assert_eq!(short(&without_answer(&call, &why)), expected, "{call:?}");
            }
        }
    }

    #[test]
    fn messages_are_short() {
        let [call, ..] = one_of_each("k1");
        let message = |why: String| {
            let outcome = without_answer(&call, &NoAnswer::Broken(why));
            outcome.failure().unwrap().message.clone()
        };
        assert_eq!(message("ü".repeat(300)), "ü".repeat(100));
        assert_eq!(message(format!("x{}", "ü".repeat(300))).len(), 199);
    }
}
