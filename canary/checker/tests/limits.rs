//! A search that may not finish says so.

use gameday_checker::frontier::{Answer, MAX_OPEN, Why, search};
use gameday_checker::register::{Action, FOREVER, RegisterOp};
use gameday_checker::{Budget, Exhausted};
use std::time::Duration;

/// Many changes at once from one of six values to another, two more of them
/// from the first value than to it: no trail takes all, and every set of them
/// has to be tried.
fn hard(changes: u64) -> Vec<RegisterOp> {
    let op = |start, finish, action| RegisterOp {
        start,
        finish,
        action,
    };
    let change = |i: i64| {
        let (from, by) = (i % 6, 1 + i / 6 % 3);
        let to = if i < 12 && from == 0 {
            3
        } else {
            (from + by) % 6
        };
        Action::Cas {
            expected: Some(from),
            new: to,
        }
    };
    let changes = (0..changes).map(|i| op(20 + i, 1000 + i, change(i as i64)));
    std::iter::once(op(0, 10, Action::Write(0)))
        .chain(changes)
        .collect()
}

fn gave_up(answer: Answer) -> Exhausted {
    match answer {
        Answer::Unknown {
            why: Why::Budget(e),
            explained,
            ..
        } => {
            assert!(explained < 61, "not all can be explained");
            e
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn steps_run_out() {
    let mut budget = Budget::unlimited().steps(10_000);
    let why = gave_up(search(&hard(42), None, &mut budget));
    assert_eq!(why, Exhausted::Steps(10_000));
    assert_eq!(budget.steps_taken(), 10_000);
}

#[test]
fn memory_runs_out() {
    let mut budget = Budget::unlimited().bytes(1 << 20);
    let why = gave_up(search(&hard(42), None, &mut budget));
    assert_eq!(why, Exhausted::Bytes(1 << 20));
}

#[test]
fn time_runs_out() {
    let limit = Duration::from_millis(20);
    let mut budget = Budget::unlimited().time(limit);
    let why = gave_up(search(&hard(60), None, &mut budget));
    assert_eq!(why, Exhausted::Time(limit));
}

#[test]
fn a_budget_is_shared_by_the_searches_that_use_it() {
    let mut budget = Budget::unlimited().steps(100);
    let easy = [RegisterOp {
        start: 0,
        finish: 1,
        action: Action::Write(1),
    }];
    let mut searches = 0;
    while search(&easy, None, &mut budget) == Answer::Linearizable {
        searches += 1;
    }
    assert!((10..=100).contains(&searches), "{searches}");
}

#[test]
fn more_open_operations_than_can_be_held() {
    // Without the read nobody could miss the writes.
    let read = RegisterOp {
        start: 0,
        finish: 1 << 20,
        action: Action::Read(Some(1)),
    };
    let writes = (0..MAX_OPEN as u64).map(|i| RegisterOp {
        start: i,
        finish: FOREVER,
        action: Action::Write(1),
    });
    let mut ops: Vec<RegisterOp> = std::iter::once(read).chain(writes).collect();
    let answer = search(&ops, None, &mut Budget::unlimited());
    let why = Why::TooManyOpen(MAX_OPEN + 1);
    assert_eq!(
        answer,
        Answer::Unknown {
            why,
            explained: 0,
            at: None
        }
    );
    ops.pop();
    let answer = search(&ops, None, &mut Budget::unlimited());
    assert_eq!(answer, Answer::Linearizable);
}

/// The masks of every width, with identical and different unknown writes.
#[test]
fn many_unknown_writes_of_few_values_are_easy() {
    for unknown in [0, 10, 70, 200, 900] {
        let mut ops: Vec<RegisterOp> = (0..unknown)
            .map(|i| RegisterOp {
                start: 0,
                finish: FOREVER,
                action: Action::Write(i % 2),
            })
            .collect();
        // Each read needs one more of them.
        for i in 0..unknown as u64 {
            ops.push(RegisterOp {
                start: 10 + 10 * i,
                finish: 15 + 10 * i,
                action: Action::Read(Some(i as i64 % 2)),
            });
        }
        let mut budget = Budget::unlimited();
        assert_eq!(search(&ops, None, &mut budget), Answer::Linearizable);
        let last = 20 + 10 * unknown as u64;
        ops.push(RegisterOp {
            start: last,
            finish: last + 5,
            action: Action::Read(Some(unknown % 2)),
        });
        let at = ops.len() as u32 - 1;
        assert_eq!(search(&ops, None, &mut budget), Answer::Illegal { at });
    }
}

/// Of all the ways in which different unknown writes may have been overwritten
/// unseen, only the smallest need to be followed.
#[test]
fn unknown_writes_that_nobody_saw_do_not_multiply() {
    let mut ops: Vec<RegisterOp> = (0..24)
        .map(|i| RegisterOp {
            start: 0,
            finish: FOREVER,
            action: Action::Write(i),
        })
        .collect();
    for i in 0..50 {
        for (start, action) in [
            (10, Action::Write(1000 + i)),
            (20, Action::Read(Some(1000 + i))),
        ] {
            let start = start + 100 * i as u64;
            ops.push(RegisterOp {
                start,
                finish: start + 5,
                action,
            });
        }
    }
    let mut budget = Budget::unlimited().steps(200_000);
    assert_eq!(search(&ops, None, &mut budget), Answer::Linearizable);
}
