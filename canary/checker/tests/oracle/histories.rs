//! Random small register histories, and an oracle that tries every order.

use gameday_checker::generate::Random;
use gameday_checker::register::{Action, FOREVER, RegisterOp, Value};
use std::collections::HashSet;

/// Whether some order of the operations explains every result: tries them all,
/// remembering (set taken, state). Written for obviousness, not for speed.
pub fn linearizable(ops: &[RegisterOp], initial: Value) -> bool {
    assert!(ops.len() <= 32);
    let mut seen = HashSet::new();
    let mut todo = vec![(0u32, initial)];
    while let Some((taken, state)) = todo.pop() {
        if !seen.insert((taken, state)) {
            continue;
        }
        let open = |i: &usize| taken >> i & 1 == 0;
        let must = |op: &RegisterOp| op.finish != FOREVER && !ignored(op);
        if (0..ops.len()).filter(open).all(|i| !must(&ops[i])) {
            return true;
        }
        for i in (0..ops.len()).filter(open) {
            let op = &ops[i];
            let blocked = (0..ops.len())
                .filter(open)
                .any(|j| must(&ops[j]) && ops[j].finish < op.start);
            if blocked || ignored(op) {
                continue;
            }
            let next = match op.action {
                Action::Read(v) => (v == state).then_some(state),
                Action::Write(v) => Some(Some(v)),
                Action::Cas { expected, new } => (expected == state).then_some(Some(new)),
                Action::FailedCas {
                    expected, found, ..
                } => (expected != state && found.is_none_or(|v| v == state)).then_some(state),
                Action::FailedWrite(_) | Action::Append(_) => None,
            };
            if let Some(next) = next {
                todo.push((taken | 1 << i, next));
            }
        }
    }
    false
}

/// Takes no part at all.
fn ignored(op: &RegisterOp) -> bool {
    matches!(op.action, Action::FailedWrite(_))
}

/// How histories are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub most: u64,
    pub times: u64,
    /// Written values are unique, or drawn from this many.
    pub repeat: Option<u64>,
    pub bare: bool,
    pub cas: bool,
    pub unknown: f64,
}

/// Operations with random intervals and random results: mostly illegal.
pub fn random(shape: Shape, r: &mut Random) -> Vec<RegisterOp> {
    let n = 1 + r.below(shape.most);
    (0..n)
        .map(|i| {
            let start = r.below(shape.times);
            let finish = start + r.below(shape.times / 2);
            let new = match shape.repeat {
                None => i as i64 + 1,
                Some(k) => r.below(k) as i64 + 1,
            };
            let pool = shape.repeat.unwrap_or(n) + 1;
            let value = |r: &mut Random| match r.below(pool + 1) as i64 {
                0 => None,
                v => Some(v),
            };
            let action = match r.below(if shape.cas { 20 } else { 14 }) {
                0..8 => Action::Read(value(r)),
                8..14 => Action::Write(new),
                14..17 => {
                    let expected = value(r);
                    Action::Cas { expected, new }
                }
                17..19 => {
                    let expected = value(r);
                    let found = (!shape.bare || r.chance(0.3)).then(|| value(r));
                    Action::FailedCas {
                        expected,
                        new,
                        found,
                    }
                }
                _ => Action::FailedWrite(new),
            };
            let may_hang = matches!(action, Action::Write(_) | Action::Cas { .. });
            let finish = if may_hang && r.chance(shape.unknown) {
                FOREVER
            } else {
                finish
            };
            RegisterOp {
                start,
                finish,
                action,
            }
        })
        .collect()
}

/// A legal history: operations take effect at drawn instants.
pub fn legal(shape: Shape, r: &mut Random) -> Vec<RegisterOp> {
    let n = 1 + r.below(shape.most);
    let mut points: Vec<u64> = (0..n).map(|_| r.below(shape.times)).collect();
    points.sort_unstable();
    let mut past: Vec<Value> = vec![None];
    let mut ops: Vec<RegisterOp> = Vec::new();
    for (i, point) in points.into_iter().enumerate() {
        let now = past[past.len() - 1];
        let older = past[r.below(past.len() as u64) as usize];
        let start = point.saturating_sub(r.below(1 + shape.times / 3));
        let mut finish = point + r.below(1 + shape.times / 3);
        let new = match shape.repeat {
            None => i as i64 + 1,
            Some(k) => r.below(k) as i64 + 1,
        };
        let lost = r.chance(shape.unknown);
        let happens = !lost || r.chance(0.5);
        let action = match r.below(if shape.cas { 20 } else { 14 }) {
            0..8 => Action::Read(now),
            8..14 => {
                if happens {
                    past.push(Some(new));
                }
                Action::Write(new)
            }
            14..19 => {
                let expected = if r.chance(0.6) { now } else { older };
                if expected == now || lost {
                    if happens && expected == now {
                        past.push(Some(new));
                    }
                    Action::Cas { expected, new }
                } else {
                    let found = (!shape.bare || r.chance(0.3)).then_some(now);
                    Action::FailedCas {
                        expected,
                        new,
                        found,
                    }
                }
            }
            _ => Action::FailedWrite(new),
        };
        if lost && matches!(action, Action::Write(_) | Action::Cas { .. }) {
            finish = FOREVER;
        }
        ops.push(RegisterOp {
            start,
            finish,
            action,
        });
    }
    ops
}

/// Changes one thing: a result, a time, or an outcome.
pub fn corrupt(ops: &mut [RegisterOp], r: &mut Random) {
    let values = ops.len() as u64 + 1;
    let i = r.below(ops.len() as u64) as usize;
    let value = match r.below(values) as i64 {
        0 => None,
        v => Some(v),
    };
    let op = &mut ops[i];
    match &mut op.action {
        Action::Read(v) => *v = value,
        Action::FailedCas { found: Some(v), .. } => *v = value,
        Action::Cas { expected, .. } | Action::FailedCas { expected, .. } => *expected = value,
        Action::Write(_) | Action::FailedWrite(_) if op.finish != FOREVER => {
            op.start = op.start.saturating_sub(r.below(4));
            op.finish = op.start + r.below(1 + (op.finish - op.start));
        }
        Action::Write(_) | Action::FailedWrite(_) | Action::Append(_) => {}
    }
}

/// How many histories to draw: `GAMEDAY_FUZZ` or so many.
pub fn amount(default: u64) -> u64 {
    std::env::var("GAMEDAY_FUZZ")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(default)
}
