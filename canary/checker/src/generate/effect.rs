//! What happens when operations take effect.

use super::Random;
use super::plan::{Fate, Planned};
use gameday_record::operation::{Call, ErrorClass, Failure, Outcome};

/// Lets everything happen in order of its instant, and writes the results down.
pub(super) fn take_effect(planned: &mut [Planned], random: &mut Random) {
    let mut order: Vec<(u64, usize)> = planned
        .iter()
        .enumerate()
        .map(|(i, p)| (p.point.unwrap_or(p.operation.invoked.0), i))
        .collect();
    order.sort_unstable();
    // What each key held, from the beginning: an eventual read finds any of it.
    let keys = planned.iter().map(|p| p.key + 1).max().unwrap_or(0);
    let mut past: Vec<Vec<Option<i64>>> = vec![vec![None]; keys];
    for (_, i) in order {
        let p = &mut planned[i];
        let past = &mut past[p.key];
        let now = past[past.len() - 1];
        let older = past[random.below(past.len() as u64) as usize];
        let happens = p.point.is_some();
        let mut observed = None;
        let mut value = None;
        match &mut p.operation.call {
            Call::Read { strong: true, .. } => value = now,
            Call::Read { strong: false, .. } => value = older,
            Call::Write { value, .. } | Call::Insert { value, .. } if happens => {
                past.push(Some(*value));
            }
            Call::Add { delta, .. } if happens => {
                value = Some(now.unwrap_or(0) + *delta);
                past.push(value);
            }
            Call::Write { .. } | Call::Insert { .. } | Call::Add { .. } => {}
            Call::Cas { expected, new, .. } => {
                *expected = if random.chance(0.5) { now } else { older };
                if *expected != now {
                    observed = Some(now);
                } else if happens {
                    past.push(Some(*new));
                }
            }
        }
        p.operation.outcome = outcome(p.fate, value, observed);
    }
}

fn outcome(fate: Fate, value: Option<i64>, observed: Option<Option<i64>>) -> Outcome {
    let failure = |class| Failure {
        class,
        message: String::new(),
    };
    match (fate, observed) {
        (Fate::Answered, None) => Outcome::Ok { value },
        (Fate::Answered, Some(_)) => Outcome::Failed {
            failure: failure(ErrorClass::Condition),
            observed,
        },
        (Fate::Failed, _) => Outcome::Failed {
            failure: failure(ErrorClass::Refused),
            observed: None,
        },
        (Fate::Unknown, _) => Outcome::Unknown {
            failure: failure(ErrorClass::Timeout),
        },
    }
}
