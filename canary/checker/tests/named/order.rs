//! Linearizability.

use super::script::*;
use gameday_record::verdict::Verdict;

#[test]
fn stale_read_after_an_acknowledged_write() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(20, 30, 2);
    s.read(31, 40, 1);
    one(&s.check("linearizability"), "stale read", &[0, 1, 2]);
}

#[test]
fn stale_read_while_others_already_read_the_newer_value() {
    // A deposed leader: 2 was read by others before and after.
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(20, 30, 2);
    s.read(31, 40, 2);
    s.read(41, 50, 1);
    s.read(60, 70, 2);
    one(&s.check("linearizability"), "stale read", &[0, 1, 3]);
}

#[test]
fn stale_read_against_a_write_known_only_by_a_read() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.hang(20, 2);
    s.read(31, 40, 2);
    s.read(41, 50, 1);
    // The write of 2 may end whenever it likes: its read is what counts.
    one(&s.check("linearizability"), "stale read", &[0, 1, 2, 3]);
}

#[test]
fn stale_absence() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.read(11, 20, None);
    one(&s.check("linearizability"), "stale read", &[0, 1]);
}

#[test]
fn reads_that_go_back_and_forth() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(0, 10, 2);
    s.read(11, 20, 1);
    s.read(21, 30, 2);
    s.read(31, 40, 1);
    let check = s.check("linearizability");
    assert_eq!(check.verdict, Verdict::Fail);
    assert_eq!(check.anomalies[0].name, "non-monotonic read");
    assert!(check.anomalies[0].operations.len() <= 4);
}

#[test]
fn concurrent_writes_may_land_either_way_but_reads_agree() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(0, 10, 2);
    s.read(5, 20, 1);
    s.read(21, 30, 2);
    s.last(40, 50, 2);
    passes(&s.check("linearizability"));
    passes(&s.check("lost-writes"));
}

#[test]
fn touching_intervals_are_concurrent() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(20, 30, 2);
    s.read(30, 40, 1);
    passes(&s.check("linearizability"));
}

/// A read far out of date is reported once, however much it missed, and does
/// not hide that another value went back and forth inside its time.
#[test]
fn a_long_stale_value_hides_nothing_else() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(20, 30, 2);
    s.read(40, 50, 2);
    s.write(60, 70, 3);
    s.write(80, 90, 4);
    s.read(100, 110, 1);
    let check = s.check("linearizability");
    let names: Vec<&str> = check.anomalies.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["stale read", "stale read"], "{check:#?}");
    // Once against 2, which was read, and once against 4, the newest.
    assert!(check.anomalies[1].summary.contains("wrote 4"), "{check:#?}");
}

#[test]
fn two_conditional_writes_from_one_version() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.cas(20, 30, 1, 2);
    s.cas(25, 40, 1, 3);
    one(&s.check("linearizability"), "lost update", &[0, 1, 2]);
    let mut s = Script::default();
    s.cas(0, 10, None, 1);
    s.cas(5, 20, None, 2);
    one(&s.check("linearizability"), "lost update", &[0, 1]);
}

#[test]
fn conditional_write_on_a_value_that_was_replaced() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(20, 30, 2);
    s.cas(40, 50, 1, 3);
    one(&s.check("linearizability"), "lost update", &[0, 1, 2]);
}

#[test]
fn value_of_a_failed_write() {
    let mut s = Script::default();
    s.refuse(0, 10, 1);
    s.read(20, 30, 1);
    one(&s.check("linearizability"), "dirty read", &[0, 1]);
    let mut s = Script::default();
    s.refuse(0, 10, 1);
    s.cas(20, 30, 1, 2);
    one(&s.check("linearizability"), "dirty read", &[0, 1]);
}

#[test]
fn value_that_nobody_wrote() {
    let mut s = Script::default();
    s.read(20, 30, 1);
    one(&s.check("linearizability"), "phantom read", &[0]);
}

#[test]
fn value_before_its_write() {
    let mut s = Script::default();
    s.read(0, 10, 1);
    s.write(20, 30, 1);
    one(&s.check("linearizability"), "future read", &[0, 1]);
}

#[test]
fn refused_although_it_matched() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.cas_fails(20, 30, 1, 2, Some(Some(1)));
    one(&s.check("linearizability"), "false CAS failure", &[1]);
}

#[test]
fn refused_without_a_reason_needs_a_search() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.cas_fails(20, 30, 1, 2, None);
    one(&s.check("linearizability"), "false CAS failure", &[1]);
    // With a write on the way that may have been there for a moment, it is fine.
    s.hang(5, 3);
    passes(&s.check("linearizability"));
}

#[test]
fn failed_conditional_write_is_a_read() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(20, 30, 2);
    s.cas_fails(40, 50, 7, 3, Some(Some(1)));
    one(&s.check("linearizability"), "stale read", &[0, 1, 2]);
}

#[test]
fn conditional_writes_in_a_circle() {
    let mut s = Script::default();
    s.cas(0, 10, 2, 1);
    s.cas(0, 10, 1, 2);
    one(
        &s.check("linearizability"),
        "cyclic information flow",
        &[0, 1],
    );
}

#[test]
fn unknown_conditional_write_lives_if_a_follower_does() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.add(20, None, cas(Some(1), 2), unknown());
    s.add(30, None, cas(Some(2), 3), unknown());
    s.read(40, 50, 3);
    passes(&s.check("linearizability"));
    s.read(60, 70, 1);
    let check = s.check("linearizability");
    assert_eq!(check.anomalies[0].name, "stale read", "{check:#?}");
}
