//! Zones, frontier and an oracle that tries every order must agree.

use crate::histories::{Shape, amount, corrupt, legal, linearizable, random};
use gameday_checker::frontier::{self, Answer};
use gameday_checker::generate::Random;
use gameday_checker::register::{Action, FOREVER, RegisterOp};
use gameday_checker::{Budget, zones};

fn search(ops: &[RegisterOp]) -> bool {
    match frontier::search(ops, None, &mut Budget::unlimited()) {
        Answer::Linearizable => true,
        Answer::Illegal { .. } => false,
        Answer::Unknown { why, .. } => panic!("no limit was set, but: {why}"),
    }
}

/// Draws a history: a third each random, legal, and legal with one change.
fn draw(n: u64, shape: Shape, r: &mut Random) -> Vec<RegisterOp> {
    match n % 3 {
        0 => random(shape, r),
        1 => legal(shape, r),
        _ => {
            let mut ops = legal(shape, r);
            corrupt(&mut ops, r);
            ops
        }
    }
}

#[test]
fn unique_values_zones_frontier_and_oracle_agree() {
    let (mut ok, mut bad, mut invalid) = (0u64, 0u64, 0u64);
    for n in 0..amount(30_000) {
        let mut r = Random::new(n);
        let shape = Shape {
            most: 3 + n % 7,
            times: 6 + 6 * (n % 4),
            repeat: None,
            bare: false,
            cas: true,
            unknown: 0.25,
        };
        let ops = draw(n, shape, &mut r);
        let truth = linearizable(&ops, None);
        assert_eq!(search(&ops), truth, "frontier, seed {n}: {ops:#?}");
        match zones::check(&ops, None) {
            Ok(found) => {
                assert_eq!(
                    found.total == 0,
                    truth,
                    "zones, seed {n}: {found:?} {ops:#?}"
                );
                if truth { ok += 1 } else { bad += 1 }
            }
            Err(_) => invalid += 1,
        }
    }
    // The draw must exercise both answers, or agreement means nothing.
    assert!(
        ok * 5 > ok + bad && bad * 5 > ok + bad,
        "{ok} legal, {bad} not"
    );
    assert_eq!(invalid, 0, "values are drawn unique");
}

#[test]
fn repeated_values_frontier_and_oracle_agree() {
    let (mut ok, mut bad) = (0u64, 0u64);
    for n in 0..amount(20_000) {
        let mut r = Random::new(!n);
        let shape = Shape {
            most: 3 + n % 7,
            times: 6 + 6 * (n % 4),
            repeat: Some(2 + n % 3),
            bare: true,
            cas: true,
            unknown: 0.3,
        };
        let ops = draw(n, shape, &mut r);
        let truth = linearizable(&ops, None);
        assert_eq!(search(&ops), truth, "seed {n}: {ops:#?}");
        if truth { ok += 1 } else { bad += 1 }
    }
    assert!(
        ok * 5 > ok + bad && bad * 5 > ok + bad,
        "{ok} legal, {bad} not"
    );
}

/// Leaving out failures that do not report what they found never makes a
/// violation up, and an initial value is as good as a write.
#[test]
fn zones_are_sound_with_bare_failures_and_initial_values() {
    let mut found_some = 0u64;
    for n in 0..amount(20_000) {
        let mut r = Random::new(n ^ 0xabcd_0000);
        let shape = Shape {
            most: 3 + n % 6,
            times: 12,
            repeat: None,
            bare: true,
            cas: true,
            unknown: 0.2,
        };
        let ops = draw(n, shape, &mut r);
        // 1000 is never written; nothing but a change of it can be.
        for initial in [None, Some(1000)] {
            let violated = zones::check(&ops, initial).is_ok_and(|v| v.total > 0);
            found_some += u64::from(violated);
            if violated {
                assert!(!linearizable(&ops, initial), "seed {n}: {ops:#?}");
            }
        }
    }
    assert!(found_some > 100, "{found_some}");
}

/// Every violation names one to four operations, and these alone are already
/// impossible, even if whoever wrote the values that they found may have done
/// so at any time.
#[test]
fn witnesses_are_small_and_sufficient() {
    let mut seen = 0u64;
    for n in 0..amount(20_000) {
        let mut r = Random::new(n << 20);
        let shape = Shape {
            most: 10,
            times: 24,
            repeat: None,
            bare: false,
            cas: n % 2 == 0,
            unknown: 0.15,
        };
        let ops = draw(n, shape, &mut r);
        let found = zones::check(&ops, None).expect("values are drawn unique");
        for v in &found.kept {
            seen += 1;
            let named = v.operations();
            assert!((1..=4).contains(&named.len()));
            let mut distinct = named.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), named.len());
            if !shape.cas {
                let mut alone: Vec<RegisterOp> = named.iter().map(|i| ops[*i as usize]).collect();
                add_missing_writes(&mut alone, &ops);
                assert!(!linearizable(&alone, None), "{v:?} {ops:#?}");
            }
        }
    }
    assert!(seen > 3_000, "{seen}");
}

fn add_missing_writes(some: &mut Vec<RegisterOp>, all: &[RegisterOp]) {
    for i in 0..some.len() {
        let Action::Read(Some(v)) = some[i].action else {
            continue;
        };
        let wrote = |op: &RegisterOp| op.writes() == Some(v);
        if !some.iter().any(wrote) && all.iter().any(wrote) {
            some.push(RegisterOp {
                start: 0,
                finish: FOREVER,
                action: Action::Write(v),
            });
        }
    }
}
