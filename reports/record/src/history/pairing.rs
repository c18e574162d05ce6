//! Events become operations.

use super::{Event, EventKind, EventValue};
use crate::operation::{Call, ErrorClass, Failure, Operation, Outcome};
use std::collections::HashMap;

/// Pairs invocations with completions as they arrive: the one place where
/// events become operations, used live and from the file.
#[derive(Debug, Default)]
pub struct Pairing {
    open: HashMap<u64, Operation>,
}

impl Pairing {
    /// Takes one event; returns the operation it completes, if it does.
    ///
    /// # Errors
    /// An event that does not fit: a process that invokes twice at once, a
    /// completion without invocation or of another call.
    pub fn push<S: AsRef<str>>(&mut self, e: &Event<S>) -> Result<Option<Operation>, String> {
        if e.kind == EventKind::Invoke {
            let op = Operation {
                index: e.index,
                process: e.process,
                az: e.az.as_ref().into(),
                endpoint: e.endpoint.as_ref().into(),
                table: e.table.as_ref().into(),
                call: e.call()?,
                due: e.due.unwrap_or(e.time),
                invoked: e.time,
                returned: None,
                outcome: Outcome::Unknown {
                    failure: Failure {
                        class: ErrorClass::Abandoned,
                        message: String::new(),
                    },
                },
                last: e.last,
                fresh: e.fresh,
                attempt: e.attempt,
            };
            if self.open.insert(e.process, op).is_some() {
                return Err(format!(
                    "process {} invokes while its last call is still open",
                    e.process
                ));
            }
            return Ok(None);
        }
        let mut op = self.open.remove(&e.process).ok_or_else(|| {
            format!(
                "process {} completes a call that it did not invoke",
                e.process
            )
        })?;
        if op.call.key() != e.key.as_ref() || op.table != e.table.as_ref() {
            return Err(format!(
                "process {} completes a call on another key",
                e.process
            ));
        }
        if op.call.name() != e.f.as_ref() {
            return Err(format!(
                "process {} completes '{}', but it invoked '{}'",
                e.process,
                e.f.as_ref(),
                op.call.name()
            ));
        }
        if e.time < op.invoked {
            return Err(format!(
                "process {} completes a call before it began",
                e.process
            ));
        }
        let failure = || {
            e.error.clone().unwrap_or(Failure {
                class: ErrorClass::Protocol,
                message: "no error given".into(),
            })
        };
        op.returned = Some(e.time);
        op.outcome = match e.kind {
            EventKind::Ok => Outcome::Ok {
                value: match (&op.call, e.value) {
                    (Call::Read { .. } | Call::Add { .. }, EventValue::One(v)) => v,
                    (Call::Read { .. } | Call::Add { .. }, EventValue::Pair(..)) => {
                        return Err(format!("'{}' returned a pair", e.f.as_ref()));
                    }
                    _ => None,
                },
            },
            EventKind::Fail => Outcome::Failed {
                failure: failure(),
                observed: e.observed,
            },
            EventKind::Info | EventKind::Invoke => Outcome::Unknown { failure: failure() },
        };
        Ok(Some(op))
    }

    /// The call that a process has in flight.
    pub fn open(&self, process: u64) -> Option<&Operation> {
        self.open.get(&process)
    }

    /// The calls still in flight, as unknown; in order of invocation.
    pub fn finish(self) -> Vec<Operation> {
        let mut rest: Vec<_> = self.open.into_values().collect();
        rest.sort_unstable_by_key(|o| (o.invoked, o.index, o.process));
        rest
    }
}
