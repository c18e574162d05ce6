//! What can be seen at a glance, whether values are unique or not: values that
//! nobody can have written yet.

use crate::budget::{Budget, Exhausted};
use crate::register::{Action, Operations, Value};
use crate::sort::sort;
use crate::violation::{Kind, Violations};

/// Looks for reads (and conditional writes) of values that nobody wrote, whose
/// every write certainly failed, or whose every write began later.
/// O(n log n). Nothing found proves nothing.
pub(crate) fn screen<O: Operations + ?Sized>(
    ops: &O,
    initial: Value,
    missing: bool,
    budget: &mut Budget,
) -> Result<Violations, Exhausted> {
    let mut found = Violations::of(missing);
    // Value, whether its write failed, when it began, which operation.
    let mut writes: Vec<(i64, bool, u64, u32)> = Vec::new();
    for i in 0..ops.len() as u32 {
        budget.spend()?;
        let op = ops.get(i);
        match op.action {
            Action::Write(v) | Action::Cas { new: v, .. } => writes.push((v, false, op.start, i)),
            Action::FailedWrite(v) | Action::FailedCas { new: v, .. } => {
                writes.push((v, true, op.start, i));
            }
            Action::Read(_) | Action::Append(_) => {}
        }
    }
    sort(&mut writes, budget)?;
    for i in 0..ops.len() as u32 {
        budget.spend()?;
        let op = ops.get(i);
        let seen = match op.action {
            _ if op.unknown() => continue,
            Action::Read(v) => v,
            Action::Cas { expected, .. } => expected,
            Action::FailedCas { found: Some(v), .. } => v,
            _ => continue,
        };
        let Some(value) = seen.filter(|_| seen != initial) else {
            continue;
        };
        // The earliest write that may have happened comes first.
        let first = writes.partition_point(|w| w.0 < value);
        match writes.get(first).filter(|w| w.0 == value) {
            None => found.push(Kind::PhantomRead, i, None, [None; 2]),
            Some((_, true, _, w)) => found.push(Kind::DirtyRead, i, Some(*w), [None; 2]),
            Some((_, _, start, w)) if op.finish < *start => {
                found.push(Kind::FutureRead, i, Some(*w), [None; 2]);
            }
            Some(_) => {}
        }
    }
    Ok(found)
}
