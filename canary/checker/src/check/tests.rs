use super::*;
use crate::generate::{self, Calls, Keys};
use crate::log::{Act, Effect, Push};
use gameday_record::Verdict;
use gameday_record::operation::Outcome;
use std::collections::BTreeSet;

fn called(key: &str, start: u64, act: Act<'_>) -> impl Fn(&mut Log) {
    move |log| {
        let push = Push {
            index: start,
            process: start,
            az: "",
            endpoint: "",
            table: "",
            key,
            start: 10 * start,
            finish: Some(10 * start + 15),
            effect: Effect::Ok,
            act,
            last: false,
        };
        log.push(&push).expect("small");
    }
}

/// Registers, sums, sets and texts, each a log of its own.
fn objects() -> [Log; 4] {
    let registers = Log::of(&generate::history(&generate::Options {
        operations: 300,
        ..generate::Options::default()
    }))
    .expect("small");
    let [mut sums, mut sets, mut texts] = [Log::default(), Log::default(), Log::default()];
    let mut text = String::new();
    for i in 0..40u64 {
        let (at, value) = (3 * i, i as i64);
        called(
            "sum",
            at,
            Act::Add {
                delta: 1,
                sum: None,
            },
        )(&mut sums);
        let found = Some(value + 1);
        called(
            "sum",
            at + 2,
            Act::Read {
                strong: true,
                found,
            },
        )(&mut sums);
        called("set", at, Act::AddElement(value))(&mut sets);
        let found: Vec<i64> = (0..=value).collect();
        called("set", at + 2, Act::ReadSet(&found))(&mut sets);
        called("text", at, Act::Append("x"))(&mut texts);
        text.push('x');
        called("text", at + 2, Act::Get(&text))(&mut texts);
    }
    [registers, sums, sets, texts]
}

/// Whatever the step at which a budget runs out: nothing that was not
/// judged to its end passes, and nothing is made up.
#[test]
fn a_budget_that_runs_out_anywhere_leaves_no_pass() {
    let mut open: BTreeSet<String> = BTreeSet::new();
    for log in objects() {
        let whole = check_within(&log, Budget::unlimited(), 1);
        let passed = |c: &Check| c.verdict == Verdict::Pass;
        assert!(whole.iter().all(passed), "{whole:#?}");
        let enough = (0..)
            .find(|steps| {
                let checks = check_within(&log, Budget::unlimited().steps(*steps), 1);
                for c in checks.iter().filter(|c| !passed(c)) {
                    assert_eq!(c.verdict, Verdict::Unknown, "{c:#?}");
                    assert!(c.detail.contains("steps were not enough"), "{c:#?}");
                    open.insert(c.name.clone());
                }
                let all = checks.iter().all(passed);
                assert!(!all || checks == whole, "{steps} steps: {checks:#?}");
                all
            })
            .expect("the whole takes a finite number of steps");
        // Sorting alone takes two steps for each operation.
        assert!(enough > 2 * log.len() as u64, "{enough}");
    }
    let all = [
        "counters",
        "durable-set",
        "eventual-reads",
        "linearizability",
        "lost-writes",
        "session-guarantees",
    ];
    assert_eq!(open.iter().map(String::as_str).collect::<Vec<_>>(), all);
}

/// A long history is not given up for its length.
#[test]
fn the_time_grows_with_the_history() {
    let time = |operations| {
        let log = Log::of(&generate::history(&generate::Options {
            operations,
            ..generate::Options::default()
        }))
        .unwrap();
        (Options::for_log(&log).time, log.len() as u32)
    };
    let ((short, few), (long, many)) = (time(100), time(1_100));
    assert!(short >= Options::default().time);
    assert_eq!(long - short, TIME_EACH * (many - few));
}

/// Histories as those of stores under test: 50 clients on ten keys, 2,000
/// operations. What is counted is the work, which no machine makes larger.
#[test]
fn generated_histories_are_decided_with_little_work() {
    for keys_hold in [Keys::Texts, Keys::Registers(5)] {
        for (seed, broken) in (0..6).flat_map(|seed| [(seed, false), (seed, true)]) {
            let of = Calls {
                seed,
                keys_hold,
                keys: 10,
                clients: 50,
                operations: 2_000,
                broken,
            };
            let log = generate::calls(&of).expect("small");
            let checks = check_within(&log, Budget::unlimited().steps(200_000), 1);
            let right = match broken {
                true => Verdict::Fail,
                false => Verdict::Pass,
            };
            assert_eq!(checks[0].verdict, right, "{of:?}: {checks:#?}");
        }
    }
}

/// A store that does not say what it found when a condition did not hold:
/// where values are unique, an order is mostly found without a search.
#[test]
fn bare_refusals_of_unique_values_are_decided_with_little_work() {
    for (seed, clients) in (0..6).flat_map(|seed| [(seed, 5), (seed, 20)]) {
        let mut history = generate::history(&generate::Options {
            seed,
            clients,
            keys: 2,
            operations: 5_000,
            unknown: 0.0,
            eventual: 0.0,
            ..generate::Options::default()
        });
        let mut bare = 0;
        for op in &mut history.operations {
            if let Outcome::Failed { observed, .. } = &mut op.outcome
                && observed.take().is_some()
            {
                bare += 1;
            }
        }
        assert!(bare > 100, "{bare}");
        let log = Log::of(&history).expect("small");
        let work = 60 * log.len() as u64;
        let checks = check_within(&log, Budget::unlimited().steps(work), 1);
        let order = checks.iter().find(|c| c.name == "linearizability");
        let order = order.expect("there are registers");
        assert_eq!(order.verdict, Verdict::Pass, "seed {seed}: {order:#?}");
    }
}

/// Changes that all overlap, from one of six values to another, two more of
/// them from the first value than to it: no trail takes all, and every set of
/// them has to be tried.
fn hard(log: &mut Log, key: &str, from: u64) {
    let mut push = |process: u64, start: u64, finish: u64, act: Act<'_>| {
        let push = Push {
            index: process,
            process,
            az: "",
            endpoint: "",
            table: "",
            key,
            start: from + start,
            finish: Some(from + finish),
            effect: Effect::Ok,
            act,
            last: false,
        };
        log.push(&push).expect("small");
    };
    push(from, 0, 10, Act::Write(0));
    for i in 0..60 {
        let (value, by) = (i % 6, 1 + i / 6 % 3);
        let to = if i < 12 && value == 0 {
            3
        } else {
            (value + by) % 6
        };
        let change = Act::Cas {
            expected: Some(value),
            new: to,
            found: None,
        };
        push(from + i as u64, 20 + i as u64, 1000 + i as u64, change);
    }
}

/// The first key is never decided. The others are none the worse for it.
#[test]
fn a_hard_key_starves_no_other() {
    let mut log = Log::default();
    hard(&mut log, "hard", 0);
    let checks = |log: &Log| check_within(log, Budget::unlimited().steps(3_000_000), 1);
    // A key that one slice is not enough for: in depth and in breadth it is less than this.
    let slice = |log: &Log| check_within(log, Budget::unlimited().steps(60_000), 1);
    let only = (0..200).find_map(|seed| {
        let of = Calls {
            seed,
            keys_hold: Keys::Registers(30),
            keys: 1,
            clients: 50,
            operations: 800,
            broken: false,
        };
        let only = generate::calls(&of).expect("small");
        (slice(&only)[0].verdict == Verdict::Unknown).then_some(only)
    });
    let only = only.expect("there are such");
    let mut with = log.clone();
    for at in 0..only.len() as u32 {
        let e = only.entry(at);
        let act = match e.found() {
            Some(found) => Act::Read {
                strong: true,
                found,
            },
            None => Act::Write(e.second()),
        };
        let push = Push {
            index: u64::from(at),
            process: 1_000 + e.process,
            az: "",
            endpoint: "",
            table: "",
            key: "other",
            start: 10_000 + e.start,
            finish: Some(10_000 + e.finish),
            effect: Effect::Ok,
            act,
            last: false,
        };
        with.push(&push).expect("small");
    }
    let found = checks(&with);
    assert_eq!(found[0].verdict, Verdict::Unknown, "{found:#?}");
    assert!(found[0].detail.contains("(key hard)"), "{found:#?}");
    // A violation ends the search, and is the verdict.
    called("wrong", 9_000, Act::Write(1))(&mut with);
    called("wrong", 9_001, Act::Write(1))(&mut with);
    let found = Some(2);
    let strong = true;
    called("wrong", 9_010, Act::Read { strong, found })(&mut with);
    let found = checks(&with);
    assert_eq!(found[0].verdict, Verdict::Fail, "{found:#?}");
    assert!(found[0].detail.contains("found elsewhere"), "{found:#?}");
}

/// What was never tried is not said to have been given up.
#[test]
fn a_key_that_was_never_tried_is_said_to_be_so() {
    let mut log = Log::default();
    hard(&mut log, "hard", 0);
    let steps = 3 * log.len() as u64;
    let found = check_within(&log, Budget::unlimited().steps(steps), 1);
    assert_eq!(found[0].verdict, Verdict::Unknown, "{found:#?}");
    assert!(!found[0].detail.contains("after 0"), "{found:#?}");
}
