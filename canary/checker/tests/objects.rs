//! Texts, sets and counters against an oracle that tries every order, on small
//! random histories.

use gameday_checker::generate::Random;
use gameday_checker::log::{Act, Log, Outcome, Push};
use gameday_checker::{Options, check};
use gameday_record::Verdict;
use std::collections::{BTreeSet, HashSet};

#[derive(Clone, Debug)]
enum Op {
    Put(String),
    Append(String),
    Get(String),
    AddElement(i64),
    ReadSet(BTreeSet<i64>),
    Add(i64, Option<i64>),
    Sum(i64),
}

#[derive(Clone, Debug)]
struct Call {
    start: u64,
    finish: Option<u64>,
    op: Op,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    text: String,
    set: BTreeSet<i64>,
    sum: i64,
}

/// The state after it, if it is legal.
fn apply(op: &Op, state: &State) -> Option<State> {
    let mut next = state.clone();
    match op {
        Op::Put(s) => next.text = s.clone(),
        Op::Append(s) => next.text.push_str(s),
        Op::Get(s) => return (*s == state.text).then_some(next),
        Op::AddElement(v) => {
            next.set.insert(*v);
        }
        Op::ReadSet(s) => return (*s == state.set).then_some(next),
        Op::Add(delta, sum) => {
            next.sum += delta;
            return sum.is_none_or(|s| s == next.sum).then_some(next);
        }
        Op::Sum(s) => return (*s == state.sum).then_some(next),
    }
    Some(next)
}

fn linearizable(calls: &[Call]) -> bool {
    let mut seen = HashSet::new();
    let mut todo = vec![(0u32, State::default())];
    while let Some((taken, state)) = todo.pop() {
        if !seen.insert((taken, state.clone())) {
            continue;
        }
        let open = |i: &usize| taken >> i & 1 == 0;
        if (0..calls.len())
            .filter(open)
            .all(|i| calls[i].finish.is_none())
        {
            return true;
        }
        for i in (0..calls.len()).filter(open) {
            let before = |j: usize| calls[j].finish.is_some_and(|f| f < calls[i].start);
            if !(0..calls.len()).filter(open).any(before) {
                let next = apply(&calls[i].op, &state);
                todo.extend(next.map(|s| (taken | 1 << i, s)));
            }
        }
    }
    false
}

fn log(calls: &[Call]) -> Log {
    let mut log = Log::default();
    for (i, c) in (0u64..).zip(calls) {
        let elements: Vec<i64>;
        let act = match &c.op {
            Op::Put(s) => Act::Put(s),
            Op::Append(s) => Act::Append(s),
            Op::Get(s) => Act::Get(s),
            Op::AddElement(v) => Act::AddElement(*v),
            Op::ReadSet(s) => {
                elements = s.iter().copied().collect();
                Act::ReadSet(&elements)
            }
            Op::Add(delta, sum) => Act::Add {
                delta: *delta,
                sum: *sum,
            },
            Op::Sum(s) => Act::Read {
                strong: true,
                found: Some(*s),
            },
        };
        log.push(&Push {
            index: i,
            process: i,
            az: "",
            endpoint: "",
            table: "",
            key: "k",
            start: c.start,
            finish: c.finish,
            outcome: c.finish.map_or(Outcome::Unknown, |_| Outcome::Ok),
            act,
            last: false,
        })
        .expect("small");
    }
    log
}

/// Operations that take effect at drawn instants; then, half the time, one
/// result is changed. `draw` makes an operation that is legal in a state.
fn history(seed: u64, draw: fn(&mut Random, u64, &State) -> Op) -> Vec<Call> {
    let mut r = Random::new(seed);
    let mut state = State::default();
    let mut past = vec![state.clone()];
    let mut calls = Vec::new();
    for i in 0..2 + r.below(7) {
        let point = 4 * i;
        // Now and then from the past: what a stale replica would answer.
        let seen = match r.chance(0.5) {
            true => past[r.below(past.len() as u64) as usize].clone(),
            false => state.clone(),
        };
        let op = draw(&mut r, i, &seen);
        let pure = matches!(op, Op::Get(_) | Op::ReadSet(_) | Op::Sum(_));
        let unknown = !pure && r.chance(0.15);
        let op = match op {
            Op::Add(delta, _) if unknown => Op::Add(delta, None),
            op => op,
        };
        if !(unknown && r.chance(0.5)) {
            state = apply(&op, &state).unwrap_or(state);
            past.push(state.clone());
        }
        calls.push(Call {
            start: (point + 20).saturating_sub(r.below(8)),
            finish: (!unknown).then(|| point + 20 + r.below(8)),
            op,
        });
    }
    calls
}

fn text(r: &mut Random, i: u64, s: &State) -> Op {
    // Some parts repeat.
    let part = ["x".to_string(), format!("{i}.")][r.below(2) as usize].clone();
    match r.below(5) {
        0 => Op::Put(part),
        1 | 2 => Op::Append(part),
        _ => Op::Get(s.text.clone()),
    }
}

fn set(r: &mut Random, i: u64, s: &State) -> Op {
    match r.below(2) {
        0 => Op::AddElement(i as i64),
        _ => Op::ReadSet(s.set.clone()),
    }
}

fn counter(r: &mut Random, _: u64, s: &State) -> Op {
    let delta = 1 + r.below(3) as i64;
    match r.below(3) {
        0 => Op::Sum(s.sum),
        1 => Op::Add(delta, None),
        _ => Op::Add(delta, Some(s.sum + delta)),
    }
}

fn verdict(calls: &[Call], name: &str) -> Option<Verdict> {
    let checks = check(&log(calls), &Options::default());
    for c in &checks {
        for a in &c.anomalies {
            assert!((1..=4).contains(&a.operations.len()), "{a:#?}");
            assert!(a.around.len() <= 12 && !a.violates.is_empty(), "{a:#?}");
        }
    }
    checks.iter().find(|c| c.name == name).map(|c| c.verdict)
}

fn agree(draw: fn(&mut Random, u64, &State) -> Op) {
    let (mut ok, mut bad) = (0, 0);
    for seed in 0..10_000 {
        let calls = history(seed, draw);
        let truth = linearizable(&calls);
        let found = verdict(&calls, "linearizability");
        if found == Some(Verdict::Unknown) {
            // Nothing but unknown outcomes.
            assert!(calls.iter().all(|c| c.finish.is_none()), "{calls:#?}");
            continue;
        }
        assert_eq!(
            found == Some(Verdict::Pass),
            truth,
            "seed {seed}: {calls:#?}"
        );
        if truth { ok += 1 } else { bad += 1 }
    }
    assert!(ok > 1000 && bad > 400, "{ok} legal, {bad} not");
}

#[test]
fn texts_and_oracle_agree() {
    agree(text);
}

#[test]
fn sets_and_oracle_agree() {
    agree(set);
}

/// Bounds are necessary, not sufficient: what they find is wrong.
#[test]
fn counters_never_make_a_violation_up() {
    let (mut found, mut bad) = (0, 0);
    for seed in 0..10_000 {
        let calls = history(seed, counter);
        let truth = linearizable(&calls);
        bad += u64::from(!truth);
        if verdict(&calls, "counters") == Some(Verdict::Fail) {
            found += 1;
            assert!(!truth, "seed {seed}: {calls:#?}");
        }
    }
    assert!(found * 10 > bad * 5 && found > 400, "{found} of {bad}");
}
