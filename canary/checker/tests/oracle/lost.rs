//! The rule of lost writes against the oracle.

use crate::histories::{Shape, amount, legal, linearizable};
use gameday_checker::generate::{self, Random};
use gameday_checker::register::{Action, FOREVER, RegisterOp};
use gameday_checker::{Options, check_history};
use gameday_record::history::History;
use gameday_record::operation::{Call, ErrorClass, Failure, Operation, Outcome};
use gameday_record::time::Nanos;
use gameday_record::verdict::Verdict;

fn lost_writes(ops: &[RegisterOp]) -> Verdict {
    let checks = check_history(&record(ops), &Options::default());
    let found = checks.iter().find(|c| c.name == "lost-writes");
    found.expect("always there").verdict
}

/// With every outcome known, and one final read after everything else: a
/// write is lost if and only if the final read makes a linearizable history
/// illegal.
#[test]
fn lost_writes_are_exactly_what_the_final_read_breaks() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..amount(10_000) {
        let mut r = Random::new(seed ^ 0x10_57);
        let shape = Shape {
            most: 8,
            times: 20,
            repeat: None,
            bare: false,
            cas: true,
            unknown: 0.0,
        };
        let mut ops = legal(shape, &mut r);
        let found = match r.below(ops.len() as u64 + 1) as usize {
            0 => None,
            i => match ops[i - 1].writes() {
                Some(v) => Some(v),
                None => continue,
            },
        };
        if !ops.iter().any(|op| op.writes().is_some()) {
            continue;
        }
        ops.push(RegisterOp {
            start: 100,
            finish: 110,
            action: Action::Read(found),
        });
        let broken = !linearizable(&ops, None);
        let verdict = lost_writes(&ops);
        let expected = if broken { Verdict::Fail } else { Verdict::Pass };
        assert_eq!(verdict, expected, "seed {seed}: {ops:#?}");
        if broken { lost += 1 } else { kept += 1 }
    }
    assert!(lost > 1000 && kept > 1000, "{lost} {kept}");
}

/// With unknown outcomes too, a lost write is never made up.
#[test]
fn lost_writes_are_never_made_up() {
    let mut lost = 0;
    for seed in 0..amount(10_000) {
        let mut r = Random::new(seed ^ 0x2222_0000);
        let shape = Shape {
            most: 9,
            times: 20,
            repeat: None,
            bare: seed % 2 == 0,
            cas: true,
            unknown: 0.3,
        };
        let mut ops = legal(shape, &mut r);
        for start in [100, 105] {
            let found = match r.below(ops.len() as u64 + 1) as usize {
                0 => None,
                i => ops.get(i - 1).and_then(RegisterOp::writes),
            };
            ops.push(RegisterOp {
                start,
                finish: start + r.below(10),
                action: Action::Read(found),
            });
        }
        if lost_writes(&ops) == Verdict::Fail {
            lost += 1;
            assert!(!linearizable(&ops, None), "seed {seed}: {ops:#?}");
        }
    }
    assert!(lost > 1000, "{lost}");
}

/// As a recorded history on one key; reads that start at 100 or later are final.
fn record(ops: &[RegisterOp]) -> History {
    let mut history = generate::history(&generate::Options {
        operations: 0,
        final_reads: false,
        ..generate::Options::default()
    });
    let failed = |class, observed| Outcome::Failed {
        failure: failure(class),
        observed,
    };
    history.operations = (0u64..)
        .zip(ops)
        .map(|(index, op)| {
            let key = "k".to_string();
            let (call, outcome) = match op.action {
                Action::Read(value) => (Call::Read { key, strong: true }, Outcome::Ok { value }),
                Action::Write(value) => (Call::Write { key, value }, Outcome::Ok { value: None }),
                Action::Cas { expected, new } => {
                    let ok = Outcome::Ok { value: None };
                    (Call::Cas { key, expected, new }, ok)
                }
                Action::Append(_) => unreachable!("not drawn"),
                Action::FailedWrite(value) => (
                    Call::Write { key, value },
                    failed(ErrorClass::Refused, None),
                ),
                Action::FailedCas {
                    expected,
                    new,
                    found,
                } => {
                    let refused = failed(ErrorClass::Condition, found);
                    (Call::Cas { key, expected, new }, refused)
                }
            };
            let hangs = op.finish == FOREVER;
            Operation {
                index,
                process: index,
                az: "a".into(),
                endpoint: "a".into(),
                last: op.start >= 100 && !call.is_write(),
                table: String::new(),
                fresh: false,
                attempt: Default::default(),
                call,
                due: Nanos(op.start),
                invoked: Nanos(op.start),
                returned: (!hangs).then_some(Nanos(op.finish)),
                outcome: if hangs {
                    Outcome::Unknown {
                        failure: failure(ErrorClass::Timeout),
                    }
                } else {
                    outcome
                },
            }
        })
        .collect();
    history
}

fn failure(class: ErrorClass) -> Failure {
    Failure {
        class,
        message: String::new(),
    }
}
