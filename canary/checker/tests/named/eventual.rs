//! Eventual reads.

use super::script::*;
use gameday_checker::{Options, check_history};

#[test]
fn eventual_reads_may_be_old_but_not_invented() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(20, 30, 2);
    s.hang(40, 3);
    s.eventual(100, 110, None);
    s.eventual(100, 110, 1);
    s.eventual(100, 110, 3);
    passes(&s.check("eventual-reads"));
    // No strong read says what was there.
    undecided(&s.check("linearizability"), "says what it found");
    s.eventual(100, 110, 9);
    one(&s.check("eventual-reads"), "phantom read", &[6]);
    s.read(100, 110, 2);
    passes(&s.check("linearizability"));
}

#[test]
fn eventual_read_of_a_failed_or_future_write() {
    let mut s = Script::default();
    s.refuse(0, 10, 1);
    s.eventual(20, 30, 1);
    one(&s.check("eventual-reads"), "dirty read", &[0, 1]);
    let mut s = Script::default();
    s.eventual(20, 30, 1);
    s.write(30, 50, 1);
    passes(&s.check("eventual-reads"));
    let mut s = Script::default();
    s.eventual(20, 30, 1);
    s.write(31, 50, 1);
    one(&s.check("eventual-reads"), "future read", &[0, 1]);
}

#[test]
fn eventual_reads_that_all_failed_are_unknown_and_none_at_all_are_left_out() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    let names: Vec<String> = check_history(&s.history(), &Options::default())
        .into_iter()
        .map(|c| c.name)
        .collect();
    assert_eq!(names, ["lost-writes", "linearizability"]);
    s.add(20, Some(30), read(false), unknown());
    undecided(&s.check("eventual-reads"), "no eventual read succeeded");
}
