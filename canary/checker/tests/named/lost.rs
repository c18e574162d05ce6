//! Lost writes.

use super::script::*;
use gameday_record::operation::Call;

#[test]
fn final_read_finds_what_was_there_before() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(20, 30, 2);
    s.last(100, 110, 1);
    one(&s.check("lost-writes"), "lost write", &[0, 1, 2]);
}

#[test]
fn final_read_finds_nothing() {
    let mut s = Script::default();
    s.write(20, 30, 2);
    s.last(100, 110, None);
    one(&s.check("lost-writes"), "lost write", &[0, 1]);
}

#[test]
fn every_lost_write_is_counted_and_the_newest_named_first() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    for i in 1..50u64 {
        s.write(20 * i, 20 * i + 10, 1 + i as i64);
    }
    s.last(5000, 5010, 1);
    let check = s.check("lost-writes");
    assert_eq!(check.anomalies_total, 49);
    assert_eq!(check.anomalies.len(), 20);
    let newest = &check.anomalies[0];
    assert!(
        newest.operations.iter().any(|o| o.index == 49),
        "{newest:#?}"
    );
    assert!(
        newest.summary.contains("49 acknowledged writes"),
        "{newest:#?}"
    );
}

#[test]
fn a_late_write_of_unknown_outcome_excuses() {
    let mut s = Script::default();
    s.hang(0, 1);
    s.write(20, 30, 2);
    s.last(100, 110, 1);
    passes(&s.check("lost-writes"));
    // Not if it was seen before the acknowledged write began.
    let mut s = Script::default();
    s.hang(0, 1);
    s.read(10, 15, 1);
    s.write(20, 30, 2);
    s.last(100, 110, 1);
    one(&s.check("lost-writes"), "lost write", &[0, 1, 2, 3]);
}

#[test]
fn concurrent_writes_and_a_read_that_settles_their_order() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(0, 10, 2);
    s.last(100, 110, 1);
    passes(&s.check("lost-writes"));
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(0, 10, 2);
    s.read(20, 30, 2);
    s.last(100, 110, 1);
    one(&s.check("lost-writes"), "lost write", &[0, 1, 2, 3]);
}

#[test]
fn acknowledged_conditional_write_is_gone() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.cas(20, 30, 1, 2);
    s.last(100, 110, 1);
    one(&s.check("lost-writes"), "lost write", &[0, 1, 2]);
    // Even if they overlap: it follows from what is left.
    let mut s = Script::default();
    s.write(0, 30, 1);
    s.cas(0, 30, 1, 2);
    s.last(100, 110, 1);
    one(&s.check("lost-writes"), "lost write", &[0, 1, 2]);
}

#[test]
fn writes_before_a_chain_are_not_lost_by_it() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.cas(20, 30, 1, 2);
    s.add(40, None, cas(Some(2), 3), unknown());
    s.last(100, 110, 3);
    passes(&s.check("lost-writes"));
    passes(&s.check("linearizability"));
}

#[test]
fn one_stale_final_read_is_not_a_loss() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(20, 30, 2);
    s.last(100, 110, 1);
    s.last(120, 130, 2);
    passes(&s.check("lost-writes"));
    one(&s.check("linearizability"), "stale read", &[0, 1, 2]);
}

#[test]
fn without_final_reads_nothing_is_known() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.read(20, 30, 1);
    undecided(&s.check("lost-writes"), "no final read");
    s.add(100, Some(110), read(true), unknown()).last = true;
    undecided(&s.check("lost-writes"), "key k");
    passes(&s.check("linearizability"));
}

#[test]
fn a_final_read_before_the_acknowledgement_says_nothing() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(20, 120, 2);
    s.last(100, 110, 1);
    undecided(&s.check("lost-writes"), "no final read began after");
    // Touching is concurrent.
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(20, 100, 2);
    s.last(100, 110, 1);
    undecided(&s.check("lost-writes"), "no final read began after");
    passes(&s.check("linearizability"));
}

#[test]
fn a_final_read_of_a_phantom_says_nothing() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.last(100, 110, 9);
    undecided(&s.check("lost-writes"), "no write explains");
    one(&s.check("linearizability"), "phantom read", &[1]);
}

#[test]
fn one_keys_unknown_does_not_hide_another_keys_loss() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.last(100, 110, None);
    let call = Call::Write {
        key: "other".into(),
        value: 7,
    };
    s.add(0, Some(10), call, OK);
    let check = s.check("lost-writes");
    one(&check, "lost write", &[0, 1]);
    assert!(check.detail.contains("key other"), "{}", check.detail);
}
