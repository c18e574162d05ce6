//! What can be seen at a glance, whether values are unique or not: values that
//! nobody can have written yet, or that had certainly been replaced.

use crate::budget::{Budget, Exhausted};
use crate::register::{Action, Operations, Value};
use crate::sort::sort;
use crate::violation::{Kind, Violations};

/// Looks for reads (and conditional writes) of values that nobody wrote, whose
/// every write certainly failed, or whose every write began later; and for
/// those that are stale whichever write they found: every write of their value
/// that had begun had ended before another value was there, and that was before
/// they began.
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
    let ends = latest_ends(&writes, ops);
    let sightings = match missing {
        // What is missing may have been written at any time.
        true => Sightings::default(),
        false => Sightings::of(ops, budget)?,
    };
    for i in 0..ops.len() as u32 {
        budget.spend()?;
        let op = ops.get(i);
        if op.unknown() {
            continue;
        }
        let Some(seen) = finds(op.action) else {
            continue;
        };
        if let Some(value) = seen.filter(|_| seen != initial) {
            // The earliest write that may have happened comes first.
            let first = writes.partition_point(|w| w.0 < value);
            let (kind, against) = match writes.get(first).filter(|w| w.0 == value) {
                None => (Some(Kind::PhantomRead), None),
                Some((_, true, _, w)) => (Some(Kind::DirtyRead), Some(*w)),
                Some((_, _, start, w)) if op.finish < *start => (Some(Kind::FutureRead), Some(*w)),
                Some(_) => (None, None),
            };
            if let Some(kind) = kind {
                found.push(kind, i, against, [None; 2]);
                continue;
            }
        }
        // The last end of a write of it that had begun, and whose.
        let last = seen.and_then(|value| {
            let begun = writes.partition_point(|w| (w.0, w.1, w.2) <= (value, false, op.finish));
            let last = begun.checked_sub(1)?;
            (writes[last].0 == value && !writes[last].1).then(|| ends[last])
        });
        if let Some(other) = sightings.of_another(seen, op.start)
            && last.is_none_or(|(end, _)| end < other.start)
        {
            let wrote = last.map(|(_, w)| w);
            found.push(Kind::StaleRead, i, Some(other.at), [wrote, None]);
        }
    }
    Ok(found)
}

/// What an operation says that it found.
fn finds(action: Action) -> Option<Value> {
    match action {
        Action::Read(v) | Action::FailedCas { found: Some(v), .. } => Some(v),
        Action::Cas { expected, .. } => Some(expected),
        _ => None,
    }
}

/// Of sorted writes: the last end of one of the same value up to each, and whose.
fn latest_ends<O: Operations + ?Sized>(
    writes: &[(i64, bool, u64, u32)],
    ops: &O,
) -> Vec<(u64, u32)> {
    let mut ends: Vec<(u64, u32)> = Vec::with_capacity(writes.len());
    for (n, (value, _, _, i)) in writes.iter().enumerate() {
        let own = (ops.finish(*i), *i);
        let before = n.checked_sub(1).filter(|b| writes[*b].0 == *value);
        ends.push(before.map_or(own, |b| ends[b].max(own)));
    }
    ends
}

/// A value that was certainly there at some moment of an operation.
#[derive(Clone, Copy)]
struct Sighting {
    start: u64,
    value: Value,
    at: u32,
}

/// For every operation that tells what was there, in order of their ends: of
/// those that ended by then, the one that began last, and the one that began
/// last of those with another value.
#[derive(Default)]
struct Sightings(Vec<(u64, [Option<Sighting>; 2])>);

impl Sightings {
    fn of<O: Operations + ?Sized>(ops: &O, budget: &mut Budget) -> Result<Self, Exhausted> {
        let mut order: Vec<(u64, u32)> = Vec::new();
        for i in 0..ops.len() as u32 {
            budget.spend()?;
            let op = ops.get(i);
            if !op.unknown() && (op.writes().is_some() || finds(op.action).is_some()) {
                order.push((op.finish, i));
            }
        }
        sort(&mut order, budget)?;
        let mut best: [Option<Sighting>; 2] = [None; 2];
        let newest = order.into_iter().map(|(finish, at)| {
            let op = ops.get(at);
            let value = match op.writes() {
                Some(new) => Some(new),
                None => finds(op.action).flatten(),
            };
            let start = op.start;
            let sighting = Sighting { start, value, at };
            best = match best {
                [Some(first), second] if first.value == value => match first.start < start {
                    true => [Some(sighting), second],
                    false => best,
                },
                [Some(first), _] if first.start < start => [Some(sighting), Some(first)],
                [first @ Some(_), Some(second)] if second.start >= start => [first, Some(second)],
                [first @ Some(_), _] => [first, Some(sighting)],
                [None, _] => [Some(sighting), None],
            };
            (finish, best)
        });
        Ok(Sightings(newest.collect()))
    }

    /// Of those that ended before `start` and saw another value than this, the
    /// one that began last.
    fn of_another(&self, value: Value, start: u64) -> Option<Sighting> {
        let before = self.0.partition_point(|(finish, _)| *finish < start);
        let (_, best) = self.0.get(before.checked_sub(1)?)?;
        best.iter().flatten().find(|s| s.value != value).copied()
    }
}
