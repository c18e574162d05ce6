//! What can not be judged.

use super::script::*;
use gameday_checker::{Options, check_history};
use gameday_record::operation::{Call, Outcome};
use gameday_record::time::Nanos;
use gameday_record::verdict::Verdict;

#[test]
fn an_empty_history_is_unknown() {
    for name in ["lost-writes", "linearizability", "eventual-reads"] {
        undecided(&Script::default().check(name), "empty");
    }
}

#[test]
fn a_history_that_was_cut_off_never_passes_but_may_fail() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.eventual(5, 20, 1);
    s.last(50, 60, 1);
    s.cut_off = true;
    for name in ["lost-writes", "linearizability", "eventual-reads"] {
        undecided(&s.check(name), "cut off");
    }
    s.read(70, 80, None);
    one(&s.check("linearizability"), "stale read", &[0, 3]);
    // The write of 9 may be what is missing.
    let mut s = Script::default();
    s.read(70, 80, 9);
    s.eventual(70, 80, 9);
    s.cut_off = true;
    undecided(&s.check("linearizability"), "may be missing");
    undecided(&s.check("eventual-reads"), "may be missing");
}

/// A segment of a long recording: what its recorder forgot may have been
/// written, but what the segment holds is judged as ever.
#[test]
fn a_value_whose_write_may_be_forgotten_is_unknown_and_never_a_violation() {
    let mut s = Script::default();
    s.write(100, 110, 1);
    s.eventual(120, 130, 9);
    s.read(140, 150, 8);
    s.cas(160, 170, 7, 2);
    s.last(190, 200, 2);
    let judged = |s: &Script, name: &str| {
        let mut history = s.history();
        history.header.forgotten = Some(Nanos(90_000_000));
        let checks = check_history(&history, &Options::default());
        let found = checks.into_iter().find(|c| c.name == name);
        found.unwrap_or_else(|| panic!("no check named {name}"))
    };
    let why = "this part of the recording forgot";
    undecided(&judged(&s, "eventual-reads"), why);
    undecided(&judged(&s, "linearizability"), why);
    for name in ["eventual-reads", "linearizability"] {
        assert_eq!(s.check(name).verdict, Verdict::Fail, "a whole history");
    }
    s.read(210, 220, 1);
    assert_eq!(judged(&s, "linearizability").verdict, Verdict::Fail);
    // Nothing of what was forgotten is found: all is well.
    let mut s = Script::default();
    s.write(100, 110, 1);
    s.eventual(120, 130, 1);
    s.last(190, 200, 1);
    for name in ["lost-writes", "linearizability", "eventual-reads"] {
        passes(&judged(&s, name));
    }
}

#[test]
fn repeated_values_make_their_key_unknown_and_no_other() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(20, 30, 1);
    s.read(40, 50, None);
    s.last(60, 70, 1);
    undecided(&s.check("linearizability"), "invalid history: the value 1");
    undecided(&s.check("lost-writes"), "invalid history");
    let call = Call::Read {
        key: "other".into(),
        strong: true,
    };
    s.add(0, Some(10), call, Outcome::Ok { value: Some(5) });
    assert_eq!(s.check("linearizability").verdict, Verdict::Fail);
}

#[test]
fn reasons_stay_short() {
    let mut s = Script::default();
    for i in 0..2000 {
        let key = format!("key-{}", i / 2);
        let value = i / 2;
        s.add(0, Some(10), Call::Write { key, value }, OK);
    }
    let check = s.check("linearizability");
    undecided(&check, "and 990 keys for other reasons");
    assert!(check.detail.len() < 2000, "{}", check.detail);
    let mut s = Script::default();
    for i in 0..1000 {
        let key = format!("key-{i}");
        s.add(0, Some(10), Call::Write { key, value: i }, OK);
    }
    undecided(&s.check("lost-writes"), "key-4 and 995 more");
}

#[test]
fn broken_preconditions_are_unknown_never_a_violation() {
    let stale = || {
        let mut s = Script::default();
        s.write(0, 10, 1);
        s.write(20, 30, 2);
        s.last(40, 50, 1);
        s
    };
    assert_eq!(stale().check("linearizability").verdict, Verdict::Fail);
    let mut overlapping = stale();
    overlapping.read(45, 60, 1).process = 2;
    let mut gone_on = stale();
    gone_on.hang(0, 5).process = 77;
    gone_on.read(60, 70, 1).process = 77;
    let mut backwards = stale();
    backwards.read(60, 55, 1);
    let mut timeless = stale();
    timeless.read(60, 70, 1).returned = None;
    for (s, why) in [
        (overlapping, "while its last call is open"),
        (gone_on, "outcome of its last call is unknown"),
        (backwards, "returned before it was invoked"),
        (timeless, "no time of return"),
    ] {
        for name in ["lost-writes", "linearizability"] {
            undecided(&s.check(name), "invalid history: ");
            undecided(&s.check(name), why);
        }
    }
}

/// A read has no effect that could still come, and hinders nobody.
#[test]
fn a_process_goes_on_after_a_read_of_unknown_outcome() {
    let gone_on = |from| {
        let mut s = Script::default();
        s.write(0, 10, 1);
        s.add(20, Some(30), read(true), unknown());
        s.read(from, 50, 1);
        for op in &mut s.operations {
            op.process = 7;
        }
        s
    };
    passes(&gone_on(30).check("linearizability"));
    undecided(
        &gone_on(29).check("linearizability"),
        "outcome of its last call is unknown",
    );
    // One that never returned is still open.
    let mut open = gone_on(40);
    open.operations[1].returned = None;
    undecided(
        &open.check("linearizability"),
        "outcome of its last call is unknown",
    );
}

#[test]
fn a_process_may_call_again_in_the_instant_of_its_return() {
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.last(10, 20, 1);
    s.last(20, 30, 1);
    for op in &mut s.operations {
        op.process = 5;
    }
    passes(&s.check("linearizability"));
}

#[test]
fn extreme_times_do_not_overflow() {
    let mut s = Script::default();
    let op = s.write(0, 10, 1);
    op.invoked = Nanos(u64::MAX);
    op.returned = Some(Nanos(u64::MAX));
    undecided(&s.check("linearizability"), "out of range");
    let mut s = Script::default();
    s.write(0, 10, 1).returned = Some(Nanos(u64::MAX - 2));
    s.read(20, 30, None);
    passes(&s.check("linearizability"));
}

#[test]
fn many_anomalies_are_all_counted_and_twenty_listed() {
    let mut s = Script::default();
    for i in 0..1000 {
        s.read(i, i + 1, i as i64);
    }
    let check = s.check("linearizability");
    assert_eq!(check.anomalies_total, 1000);
    assert_eq!(check.anomalies.len(), 20);
}
