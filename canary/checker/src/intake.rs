//! From a recorded history to registers: one list of operations for each key,
//! and the preconditions without which nothing can be judged.

use crate::register::{Action, FOREVER, LATEST, RegisterOp};
use gameday_record::operation::{Call, ErrorClass, Operation, Outcome};
use std::collections::HashMap;

/// The operations of a history, grouped by key, keys in order of first use.
#[derive(Debug)]
pub(crate) struct Intake<'a> {
    pub operations: &'a [Operation],
    keys: Vec<&'a str>,
    /// Positions in `operations`, key after key.
    order: Vec<u32>,
    /// `order[bounds[k]..bounds[k + 1]]` is key k.
    bounds: Vec<usize>,
}

/// The part of one key that takes part in linearizability.
#[derive(Debug, Default)]
pub(crate) struct KeyOps {
    /// Strongly consistent operations.
    pub ops: Vec<RegisterOp>,
    /// Where each of them is in the history.
    pub at: Vec<u32>,
}

impl<'a> Intake<'a> {
    /// Groups by key.
    ///
    /// # Errors
    /// What makes the history invalid, in words.
    pub fn new(operations: &'a [Operation]) -> Result<Self, String> {
        if operations.len() >= u32::MAX as usize {
            return Err(format!("{} operations are too many", operations.len()));
        }
        check_times(operations)?;
        check_processes(operations)?;
        let mut ids: HashMap<&str, u32> = HashMap::new();
        let mut keys = Vec::new();
        let mut key_of = Vec::with_capacity(operations.len());
        for op in operations {
            let id = *ids.entry(op.call.key()).or_insert_with(|| {
                keys.push(op.call.key());
                keys.len() as u32 - 1
            });
            key_of.push(id);
        }
        let mut bounds = vec![0; keys.len() + 1];
        for id in &key_of {
            bounds[*id as usize + 1] += 1;
        }
        for i in 1..bounds.len() {
            bounds[i] += bounds[i - 1];
        }
        let mut next = bounds.clone();
        let mut order = vec![0; operations.len()];
        for (i, id) in (0u32..).zip(&key_of) {
            order[next[*id as usize]] = i;
            next[*id as usize] += 1;
        }
        Ok(Intake {
            operations,
            keys,
            order,
            bounds,
        })
    }

    /// Every key with the positions of its operations.
    pub fn keys(&self) -> impl Iterator<Item = (&'a str, &[u32])> {
        self.keys
            .iter()
            .zip(self.bounds.windows(2))
            .map(|(key, b)| (*key, &self.order[b[0]..b[1]]))
    }

    /// The operation at a position.
    pub fn op(&self, at: u32) -> &'a Operation {
        &self.operations[at as usize]
    }
}

impl KeyOps {
    /// Takes over the strongly consistent operations among those at `positions`.
    pub fn fill(&mut self, intake: &Intake<'_>, positions: &[u32]) {
        self.ops.clear();
        self.at.clear();
        for at in positions {
            if let Some(op) = register_op(intake.op(*at)) {
                self.ops.push(op);
                self.at.push(*at);
            }
        }
    }
}

/// The form in which the checkers take it; `None` for what takes no part:
/// eventual reads, and reads that found nothing out.
pub(crate) fn register_op(op: &Operation) -> Option<RegisterOp> {
    let action = match (&op.call, &op.outcome) {
        (Call::Read { strong: false, .. }, _) => return None,
        (Call::Read { .. }, Outcome::Ok { value }) => Action::Read(*value),
        (Call::Read { .. }, _) => return None,
        // Sums are judged by what may be in them, not as registers.
        (Call::Add { .. }, _) => return None,
        (Call::Write { value, .. } | Call::Insert { value, .. }, Outcome::Failed { .. }) => {
            Action::FailedWrite(*value)
        }
        (Call::Write { value, .. } | Call::Insert { value, .. }, _) => Action::Write(*value),
        (Call::Cas { expected, new, .. }, Outcome::Failed { failure, observed }) => {
            if observed.is_none() && failure.class != ErrorClass::Condition {
                Action::FailedWrite(*new)
            } else {
                Action::FailedCas {
                    expected: *expected,
                    new: *new,
                    found: *observed,
                }
            }
        }
        (Call::Cas { expected, new, .. }, _) => Action::Cas {
            expected: *expected,
            new: *new,
        },
    };
    let finish = match (&op.outcome, op.returned) {
        (Outcome::Unknown { .. }, _) | (_, None) => FOREVER,
        (_, Some(t)) => t.0,
    };
    Some(RegisterOp {
        start: op.invoked.0,
        finish,
        action,
    })
}

fn check_times(operations: &[Operation]) -> Result<(), String> {
    for op in operations {
        let problem = match op.returned {
            Some(t) if t < op.invoked => "returned before it was invoked",
            Some(t) if t.0 > LATEST => "has a time out of range",
            None if !matches!(op.outcome, Outcome::Unknown { .. }) => {
                "has an outcome but no time of return"
            }
            _ if op.invoked.0 > LATEST => "has a time out of range",
            _ => continue,
        };
        return Err(format!(
            "operation {} of process {} {problem}",
            op.index, op.process
        ));
    }
    Ok(())
}

/// A process has at most one call open. One of unknown outcome stays open for
/// ever: its caller must go on under a new number.
fn check_processes(operations: &[Operation]) -> Result<(), String> {
    let mut order: Vec<(u64, u64, u64, u32)> = (0u32..)
        .zip(operations)
        .map(|(i, op)| (op.process, op.invoked.0, op.index, i))
        .collect();
    order.sort_unstable();
    for pair in order.windows(2) {
        let before = &operations[pair[0].3 as usize];
        let after = &operations[pair[1].3 as usize];
        if before.process != after.process {
            continue;
        }
        let problem = match (&before.outcome, before.returned) {
            (Outcome::Unknown { .. }, _) => "although the outcome of its last call is unknown",
            (_, Some(t)) if t <= after.invoked => continue,
            _ => "while its last call is open",
        };
        return Err(format!(
            "process {} invokes operation {} {problem} (operation {})",
            after.process, after.index, before.index
        ));
    }
    Ok(())
}
