//! One slice of the search for an order of one key.

use crate::budget::Budget;
use crate::counters;
use crate::frontier::{Answer, Prepared};
use crate::intake::{Intake, KeyOps, Object, takes_part};

/// Searches a key, `n` slices after the first. The operation that the answer
/// names is a position in the log. Unknown for want of
/// [steps](crate::Exhausted::Steps): a larger slice may know more.
pub(crate) fn attempt(key: u32, intake: &Intake<'_>, n: u32, budget: &mut Budget) -> Answer {
    let log = intake.log;
    let positions = intake.of(key);
    let (prepared, at) = match intake.object(positions) {
        Object::Counter => {
            let (ops, at) = counters::operations(positions, intake);
            let initial = log.initial.unwrap_or(0);
            (Prepared::sums(&ops, initial, budget), at)
        }
        object => {
            let all = positions.iter().copied();
            let at: Vec<u32> = all.filter(|p| takes_part(intake.op(*p))).collect();
            let ops = KeyOps { log, at: &at };
            let prepared = match object {
                Object::Text => Prepared::texts(&ops, "", |id| log.text_of(id), budget),
                _ => Prepared::registers(&ops, log.initial, budget),
            };
            (prepared, at)
        }
    };
    let answer = match prepared {
        Ok(prepared) => prepared.slice(n, budget),
        Err(e) => Answer::untried(e),
    };
    budget.release();
    let placed = |i: u32| at[i as usize];
    match answer {
        Answer::Linearizable => Answer::Linearizable,
        Answer::Illegal { at } => Answer::Illegal { at: placed(at) },
        Answer::Unknown { why, explained, at } => Answer::Unknown {
            why,
            explained,
            at: at.map(placed),
        },
    }
}
