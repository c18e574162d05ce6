use super::*;
use crate::generate;
use crate::log::{Act, Outcome, Push};
use gameday_record::Verdict;
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
            outcome: Outcome::Ok,
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
