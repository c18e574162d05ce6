//! Texts, sets, counters and queues against an oracle that tries every order, on small
//! random histories.

use gameday_checker::generate::Random;
use gameday_checker::log::{Act, Effect, Log, Push};
use gameday_checker::{Options, check};
use gameday_record::Verdict;
use std::collections::{BTreeSet, HashSet};

#[derive(Clone, Debug)]
enum Op {
    Write(i64),
    Read(Option<i64>),
    Cas(Option<i64>, i64),
    Put(String),
    Append(String),
    Get(String),
    AddElement(i64),
    ReadSet(BTreeSet<i64>),
    Add(i64, Option<i64>),
    Sum(i64),
    Enqueue(i64),
    /// What it gave; where it may have given anything, nothing is known of it.
    Dequeue(Option<i64>),
    DequeueSomething,
    /// Dequeues one after the other until there is nothing; of one of unknown
    /// outcome nobody knows how many there were.
    Drain(Vec<i64>),
    DrainSomething,
}

#[derive(Clone, Debug)]
struct Call {
    start: u64,
    finish: Option<u64>,
    op: Op,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    value: Option<i64>,
    text: String,
    set: BTreeSet<i64>,
    sum: i64,
    queue: Vec<i64>,
}

/// The state after it, if it is legal.
fn apply(op: &Op, state: &State) -> Option<State> {
    let mut next = state.clone();
    match op {
        Op::Write(v) => next.value = Some(*v),
        Op::Read(v) => return (*v == state.value).then_some(next),
        Op::Cas(expected, new) => {
            next.value = Some(*new);
            return (*expected == state.value).then_some(next);
        }
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
        Op::Enqueue(v) => next.queue.push(*v),
        Op::Dequeue(found) => {
            let head = state.queue.first().copied();
            next.queue.drain(..1.min(state.queue.len()));
            return (head == *found).then_some(next);
        }
        Op::DequeueSomething => _ = next.queue.drain(..1.min(state.queue.len())),
        Op::Drain(all) => {
            next.queue.clear();
            return (*all == state.queue).then_some(next);
        }
        Op::DrainSomething => next.queue.clear(),
    }
    Some(next)
}

/// The same where what is put in comes out in any order.
fn apply_unordered(op: &Op, state: &State) -> Vec<State> {
    let without = |at: usize| {
        let mut next = state.clone();
        next.queue.remove(at);
        next
    };
    let mut values = state.queue.iter();
    match op {
        Op::Dequeue(Some(v)) => values
            .position(|x| x == v)
            .map(without)
            .into_iter()
            .collect(),
        Op::DequeueSomething => (0..state.queue.len())
            .map(without)
            .chain([state.clone()])
            .collect(),
        other => apply(other, state).into_iter().collect(),
    }
}

/// Drains as the dequeues that they are, each with the one it comes after.
fn expanded(calls: &[Call]) -> Vec<(Call, Option<usize>)> {
    let mut all = Vec::new();
    for call in calls {
        let parts: Vec<Op> = match &call.op {
            Op::Drain(values) => {
                let values = values.iter().map(|v| Op::Dequeue(Some(*v)));
                values.chain([Op::Dequeue(None)]).collect()
            }
            // No more than there are values.
            Op::DrainSomething => {
                let enqueues = |c: &&Call| matches!(c.op, Op::Enqueue(_));
                let most = calls.iter().filter(enqueues).count();
                vec![Op::DequeueSomething; most]
            }
            other => vec![other.clone()],
        };
        let first = all.len();
        for op in parts {
            let before = (all.len() > first).then(|| all.len() - 1);
            all.push((Call { op, ..call.clone() }, before));
        }
    }
    all
}

fn linearizable(calls: &[Call]) -> bool {
    explained(calls, |op, state| apply(op, state).into_iter().collect())
}

/// Whether any order explains every result.
fn explained(calls: &[Call], apply: impl Fn(&Op, &State) -> Vec<State>) -> bool {
    let calls = expanded(calls);
    assert!(calls.len() <= 32);
    let mut seen = HashSet::new();
    let mut todo = vec![(0u32, State::default())];
    while let Some((taken, state)) = todo.pop() {
        if !seen.insert((taken, state.clone())) {
            continue;
        }
        let open = |i: &usize| taken >> i & 1 == 0;
        if (0..calls.len())
            .filter(open)
            .all(|i| calls[i].0.finish.is_none())
        {
            return true;
        }
        for i in (0..calls.len()).filter(open) {
            let (call, after) = &calls[i];
            let before = |j: usize| calls[j].0.finish.is_some_and(|f| f < call.start);
            if !after.is_some_and(|j| open(&j)) && !(0..calls.len()).filter(open).any(before) {
                let next = apply(&call.op, &state);
                todo.extend(next.into_iter().map(|s| (taken | 1 << i, s)));
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
            Op::Write(v) => Act::Write(*v),
            Op::Read(found) => Act::Read {
                strong: true,
                found: *found,
            },
            Op::Cas(expected, new) => Act::Cas {
                expected: *expected,
                new: *new,
                found: None,
            },
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
            Op::Enqueue(v) => Act::Enqueue(*v),
            Op::Dequeue(found) => Act::Dequeue(*found),
            Op::DequeueSomething => Act::Dequeue(None),
            Op::Drain(values) => Act::Drain(values),
            Op::DrainSomething => Act::Drain(&[]),
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
            effect: c.finish.map_or(Effect::Unknown, |_| Effect::Ok),
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
        let pure = matches!(op, Op::Read(_) | Op::Get(_) | Op::ReadSet(_) | Op::Sum(_));
        let unknown = !pure && r.chance(0.15);
        let op = match op {
            Op::Add(delta, _) if unknown => Op::Add(delta, None),
            Op::Dequeue(_) if unknown => Op::DequeueSomething,
            Op::Drain(_) if unknown => Op::DrainSomething,
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
            // Nothing says what it found.
            let finds = |c: &Call| {
                matches!(
                    c.op,
                    Op::Read(_) | Op::Cas(..) | Op::Get(_) | Op::ReadSet(_)
                )
            };
            let reads = |c: &Call| c.finish.is_some() && finds(c);
            assert!(!calls.iter().any(reads), "{calls:#?}");
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

/// Few values, so that it is never known which write a read found.
#[test]
fn registers_of_repeated_values_and_oracle_agree() {
    agree(|r, _, s| match r.below(4) {
        0 | 1 => Op::Write(r.below(3) as i64),
        _ => Op::Read(s.value),
    });
    agree(|r, _, s| match r.below(6) {
        0 | 1 => Op::Write(r.below(2) as i64),
        2 => Op::Cas(s.value, r.below(3) as i64),
        _ => Op::Read(s.value),
    });
}

#[test]
fn texts_and_oracle_agree() {
    agree(text);
}

#[test]
fn sets_and_oracle_agree() {
    agree(set);
}

/// Parts that are distinct need no search.
#[test]
fn texts_of_distinct_parts_and_oracle_agree() {
    agree(|r, i, s| match r.below(6) {
        0 => Op::Put(format!("{i}.")),
        1 | 2 => Op::Append(format!("{i}.")),
        _ => Op::Get(s.text.clone()),
    });
}

/// A pass means that an order explains every sum, a fail that none does.
#[test]
fn counters_and_oracle_agree() {
    let (mut ok, mut bad) = (0, 0);
    for seed in 0..10_000 {
        let draw = |r: &mut Random, i, s: &State| match r.chance(0.2) {
            true => Op::Add(-1 - r.below(3) as i64, None),
            false => counter(r, i, s),
        };
        let calls = history(seed, draw);
        let truth = linearizable(&calls);
        let found = verdict(&calls, "counters");
        if matches!(found, None | Some(Verdict::Unknown)) {
            let tells = |c: &Call| matches!(c.op, Op::Sum(_) | Op::Add(_, Some(_)));
            let told = |c: &Call| c.finish.is_some() && tells(c);
            // What is only read is no counter.
            let adds = calls.iter().any(|c| matches!(c.op, Op::Add(..)));
            assert!(!adds || !calls.iter().any(told), "seed {seed}: {calls:#?}");
            continue;
        }
        assert_eq!(
            found == Some(Verdict::Pass),
            truth,
            "seed {seed}: {calls:#?}"
        );
        if truth { ok += 1 } else { bad += 1 }
    }
    assert!(ok > 1000 && bad > 1000, "{ok} legal, {bad} not");
}

fn queue(r: &mut Random, i: u64, s: &State) -> Op {
    match r.below(2) {
        0 => Op::Enqueue(i as i64),
        _ => Op::Dequeue(s.queue.first().copied()),
    }
}

fn drained_queue(r: &mut Random, i: u64, s: &State) -> Op {
    match r.below(8) {
        0..4 => Op::Enqueue(i as i64),
        4..6 => Op::Dequeue(s.queue.first().copied()),
        6 => Op::Drain(s.queue.clone()),
        _ => {
            let mut values = s.queue.clone();
            values.reverse();
            Op::Drain(values)
        }
    }
}

/// What says nothing about the order of a queue for sure: what is of unknown
/// outcome took, and what a drain found that others overlap.
fn may_be_open(calls: &[Call]) -> bool {
    let loose = |c: &Call| {
        let others = calls.iter().filter(|o| !std::ptr::eq(*o, c));
        let mut overlapping = others
            .filter(|o| c.finish.is_none_or(|f| o.start <= f))
            .filter(|o| o.finish.is_none_or(|f| f >= c.start));
        matches!(&c.op, Op::Drain(values) if values.len() > 1) && overlapping.next().is_some()
    };
    let took = |c: &Call| matches!(c.op, Op::DequeueSomething | Op::DrainSomething);
    calls.iter().any(|c| took(c) || loose(c))
}

fn queues_agree(draw: fn(&mut Random, u64, &State) -> Op) {
    let (mut ok, mut bad, mut open) = (0, 0, 0);
    for seed in 0..20_000 {
        let calls = history(seed, draw);
        let truth = linearizable(&calls);
        let checks = check(&log(&calls), &Options::default());
        let failed = checks.iter().any(|c| c.verdict == Verdict::Fail);
        let order = checks.iter().find(|c| c.name == "linearizability");
        let order = order.expect("a queue has an order").verdict;
        assert!(!(failed && truth), "seed {seed}: {calls:#?} {checks:#?}");
        match (failed, order) {
            (true, _) => bad += 1,
            (false, Verdict::Unknown) => {
                // Or nothing came out.
                let says = |c: &Call| matches!(c.op, Op::Dequeue(_) | Op::Drain(_));
                assert!(
                    may_be_open(&calls) || !calls.iter().any(says),
                    "seed {seed}: {calls:#?}"
                );
                open += 1;
            }
            (false, _) => {
                assert!(truth, "seed {seed}: {calls:#?} {checks:#?}");
                ok += 1;
            }
        }
    }
    assert!(
        ok > 2000 && bad > 2000 && open < 2 * ok,
        "{ok} legal, {bad} not, {open} open"
    );
}

#[test]
fn queues_and_oracle_agree() {
    queues_agree(queue);
}

#[test]
fn queues_that_are_drained_and_oracle_agree() {
    queues_agree(drained_queue);
}

/// A queue in any order: what fails has no order at all, and what passes let
/// out what was acknowledged, and each value once.
#[test]
fn total_queues_and_oracle_agree() {
    let (mut ok, mut bad, mut open) = (0, 0, 0);
    for seed in 0..20_000 {
        let calls = history(seed, drained_queue);
        let mut unordered = log(&calls);
        unordered.in_order = false;
        let checks = check(&unordered, &Options::default());
        let Some(total) = checks.iter().find(|c| c.name == "total-queue") else {
            let puts = |c: &Call| matches!(c.op, Op::Enqueue(_) | Op::Dequeue(_) | Op::Drain(_));
            assert!(!calls.iter().any(puts), "seed {seed}: {calls:#?}");
            continue;
        };
        let out: Vec<i64> = calls
            .iter()
            .flat_map(|c| match &c.op {
                Op::Dequeue(found) => found.iter().copied().collect(),
                Op::Drain(values) => values.clone(),
                _ => Vec::new(),
            })
            .collect();
        let once = BTreeSet::from_iter(&out).len() == out.len();
        let enqueued = |v: &i64| {
            calls
                .iter()
                .any(|c| matches!(c.op, Op::Enqueue(x) if x == *v))
        };
        let kept = calls.iter().any(|c| match c.op {
            Op::Enqueue(v) => c.finish.is_some() && !out.contains(&v),
            _ => false,
        });
        let said = format!("seed {seed}: {calls:#?} {total:#?}");
        match total.verdict {
            Verdict::Fail => {
                assert!(!explained(&calls, apply_unordered), "{said}");
                bad += 1;
            }
            Verdict::Pass => {
                assert!(once && !kept && out.iter().all(enqueued), "{said}");
                ok += 1;
            }
            Verdict::Unknown => {
                assert!(once && out.iter().all(enqueued), "{said}");
                open += 1;
            }
        }
    }
    assert!(
        ok > 1000 && bad > 2000 && open > 1000,
        "{ok} legal, {bad} not, {open} open"
    );
}
