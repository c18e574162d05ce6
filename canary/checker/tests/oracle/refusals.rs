//! Conditional writes that failed without saying what they found, in histories
//! of unique values, against the oracle.

use crate::histories::{Shape, amount, corrupt, legal, linearizable, random};
use gameday_checker::generate::Random;
use gameday_checker::log::{Act, Effect, Log, Push};
use gameday_checker::register::{Action, FOREVER, RegisterOp};
use gameday_checker::{Options, check};
use gameday_record::Verdict;

fn verdict(ops: &[RegisterOp]) -> Verdict {
    let mut log = Log::default();
    for (i, op) in (0u64..).zip(ops) {
        let (act, effect) = match op.action {
            Action::Read(found) => {
                let strong = true;
                (Act::Read { strong, found }, Effect::Ok)
            }
            Action::Write(v) => (Act::Write(v), Effect::Ok),
            Action::FailedWrite(v) => (Act::Write(v), Effect::Failed),
            Action::Append(_) => panic!("not drawn"),
            Action::Cas { expected, new } => {
                let found = None;
                let act = Act::Cas {
                    expected,
                    new,
                    found,
                };
                (act, Effect::Ok)
            }
            Action::FailedCas {
                expected,
                new,
                found,
            } => {
                let act = Act::Cas {
                    expected,
                    new,
                    found,
                };
                (act, Effect::Refused)
            }
        };
        let unknown = op.finish == FOREVER;
        log.push(&Push {
            index: i,
            process: i,
            az: "",
            endpoint: "",
            table: "",
            key: "k",
            start: op.start,
            finish: (!unknown).then_some(op.finish),
            effect: if unknown { Effect::Unknown } else { effect },
            act,
            last: false,
        })
        .expect("small");
    }
    let checks = check(&log, &Options::default());
    let order = checks.into_iter().find(|c| c.name == "linearizability");
    order.expect("a register has an order").verdict
}

#[test]
fn bare_refusals_of_unique_values_and_oracle_agree() {
    let (mut ok, mut bad) = (0u64, 0u64);
    for n in 0..amount(40_000) {
        let mut r = Random::new(n ^ 0xba2e_0000);
        let shape = Shape {
            most: 3 + n % 8,
            times: 6 + 6 * (n % 4),
            repeat: None,
            bare: true,
            cas: true,
            unknown: 0.15,
        };
        let ops = match n % 3 {
            0 => random(shape, &mut r),
            1 => legal(shape, &mut r),
            _ => {
                let mut ops = legal(shape, &mut r);
                corrupt(&mut ops, &mut r);
                ops
            }
        };
        let bare = |op: &RegisterOp| matches!(op.action, Action::FailedCas { found: None, .. });
        if !ops.iter().any(bare) {
            continue;
        }
        let truth = linearizable(&ops, None);
        match verdict(&ops) {
            Verdict::Pass => {
                assert!(truth, "seed {n}: {ops:#?}");
                ok += 1;
            }
            Verdict::Fail => {
                assert!(!truth, "seed {n}: {ops:#?}");
                bad += 1;
            }
            Verdict::Unknown => {
                // Nothing says what it found.
                let says = |op: &RegisterOp| {
                    op.finish != FOREVER
                        && matches!(
                            op.action,
                            Action::Read(_)
                                | Action::Cas { .. }
                                | Action::FailedCas { found: Some(_), .. }
                        )
                };
                assert!(!ops.iter().any(says), "seed {n}: {ops:#?}");
            }
        }
    }
    assert!(ok > 2_000 && bad > 2_000, "{ok} legal, {bad} not");
}

const fn op(start: u64, finish: u64, action: Action) -> RegisterOp {
    RegisterOp {
        start,
        finish,
        action,
    }
}

const fn refused(expected: i64) -> Action {
    Action::FailedCas {
        expected: Some(expected),
        new: 100 + expected,
        found: None,
    }
}

/// Neither refusal lies within the zone of what it refuses: 1 was seen until
/// 12, and nobody saw 2. But 1 must have been replaced by 30, for the first,
/// and not before 50, for the second. So it is not enough to look at each of
/// them alone, as a linear test would.
#[test]
fn two_refusals_can_want_one_change_at_different_times() {
    let ops = [
        op(0, 10, Action::Write(1)),
        op(11, 12, Action::Read(Some(1))),
        op(14, 100, Action::Write(2)),
        op(20, 30, refused(1)),
        op(50, 60, refused(2)),
    ];
    assert!(!linearizable(&ops, None));
    assert_eq!(verdict(&ops), Verdict::Fail);
    for left_out in [3, 4] {
        let mut one = ops.to_vec();
        one.remove(left_out);
        assert!(linearizable(&one, None));
        assert_eq!(verdict(&one), Verdict::Pass);
    }
}

/// What nobody managed to write never was there, whoever tried it and whatever
/// he found instead.
#[test]
fn a_refusal_of_what_was_never_written_is_right() {
    let ops = [
        op(0, 10, Action::Write(1)),
        op(
            11,
            12,
            Action::FailedCas {
                expected: Some(5),
                new: 7,
                found: Some(Some(1)),
            },
        ),
        op(20, 30, refused(7)),
        op(40, 50, Action::Read(Some(1))),
    ];
    assert!(linearizable(&ops, None));
    assert_eq!(verdict(&ops), Verdict::Pass);
}
