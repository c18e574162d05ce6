//! Each anomaly is found under its name, and only where it is one.

use gameday_checker::{Options, check_history};
use gameday_record::history::{HISTORY_VERSION, History, HistoryHeader};
use gameday_record::operation::{Call, ErrorClass, Failure, Operation, Outcome};
use gameday_record::time::Nanos;
use gameday_record::verdict::{Check, Verdict};

/// A history written down one call per line; times in milliseconds.
#[derive(Default)]
struct Script {
    operations: Vec<Operation>,
    cut_off: bool,
}

impl Script {
    fn add(&mut self, from: u64, to: Option<u64>, call: Call, outcome: Outcome) -> &mut Operation {
        let index = self.operations.len() as u64;
        self.operations.push(Operation {
            index,
            process: index,
            az: "a".into(),
            endpoint: "b".into(),
            call,
            due: Nanos(from * 1_000_000),
            invoked: Nanos(from * 1_000_000),
            returned: to.map(|t| Nanos(t * 1_000_000)),
            outcome,
            last: false,
            table: String::new(),
            fresh: false,
            attempt: Default::default(),
        });
        self.operations.last_mut().expect("just pushed")
    }
    fn write(&mut self, from: u64, to: u64, value: i64) -> &mut Operation {
        self.add(from, Some(to), write(value), OK)
    }
    fn hang(&mut self, from: u64, value: i64) -> &mut Operation {
        self.add(from, None, write(value), unknown())
    }
    fn refuse(&mut self, from: u64, to: u64, value: i64) -> &mut Operation {
        self.add(
            from,
            Some(to),
            write(value),
            failed(None, ErrorClass::Refused),
        )
    }
    fn read(&mut self, from: u64, to: u64, value: impl Into<Option<i64>>) -> &mut Operation {
        let value = value.into();
        self.add(from, Some(to), read(true), Outcome::Ok { value })
    }
    fn eventual(&mut self, from: u64, to: u64, value: impl Into<Option<i64>>) -> &mut Operation {
        let value = value.into();
        self.add(from, Some(to), read(false), Outcome::Ok { value })
    }
    fn cas(&mut self, from: u64, to: u64, a: impl Into<Option<i64>>, b: i64) -> &mut Operation {
        self.add(from, Some(to), cas(a.into(), b), OK)
    }
    fn cas_fails(&mut self, from: u64, to: u64, a: i64, b: i64, found: Option<Option<i64>>) {
        let outcome = failed(found, ErrorClass::Condition);
        self.add(from, Some(to), cas(Some(a), b), outcome);
    }
    fn last(&mut self, from: u64, to: u64, value: impl Into<Option<i64>>) {
        self.read(from, to, value).last = true;
    }
    fn history(&self) -> History {
        History {
            header: HistoryHeader {
                version: HISTORY_VERSION,
                run: "test".into(),
                seed: 1,
                clock: "none".into(),
                epoch_utc: "1970-01-01T00:00:00Z".into(),
            },
            operations: self.operations.clone(),
            complete: !self.cut_off,
        }
    }
    fn check(&self, name: &str) -> Check {
        let checks = check_history(&self.history(), &Options::default());
        let found = checks.into_iter().find(|c| c.name == name);
        found.unwrap_or_else(|| panic!("no check named {name}"))
    }
}

const OK: Outcome = Outcome::Ok { value: None };

fn write(value: i64) -> Call {
    let key = "k".into();
    Call::Write { key, value }
}
fn read(strong: bool) -> Call {
    let key = "k".into();
    Call::Read { key, strong }
}
fn cas(expected: Option<i64>, new: i64) -> Call {
    let key = "k".into();
    Call::Cas { key, expected, new }
}
fn failure(class: ErrorClass) -> Failure {
    Failure {
        class,
        message: String::new(),
    }
}
fn unknown() -> Outcome {
    let failure = failure(ErrorClass::Timeout);
    Outcome::Unknown { failure }
}
fn failed(observed: Option<Option<i64>>, class: ErrorClass) -> Outcome {
    let failure = failure(class);
    Outcome::Failed { failure, observed }
}

/// Exactly one anomaly of this name, over the operations with these indices.
#[track_caller]
fn one(check: &Check, name: &str, indices: &[u64]) {
    assert_eq!(check.verdict, Verdict::Fail, "{check:#?}");
    assert_eq!(check.anomalies_total, 1, "{check:#?}");
    let anomaly = &check.anomalies[0];
    assert_eq!(anomaly.name, name, "{check:#?}");
    assert_eq!(anomaly.key, "k");
    let mut found: Vec<u64> = anomaly.operations.iter().map(|o| o.index).collect();
    found.sort_unstable();
    assert_eq!(found, indices, "{check:#?}");
    assert!(anomaly.summary.contains("AZ a, endpoint b"), "{check:#?}");
    assert!(anomaly.summary.contains('+'), "times: {check:#?}");
}

#[track_caller]
fn passes(check: &Check) {
    assert_eq!(check.verdict, Verdict::Pass, "{check:#?}");
    assert_eq!(check.anomalies_total, 0);
}

#[track_caller]
fn undecided(check: &Check, why: &str) {
    assert_eq!(check.verdict, Verdict::Unknown, "{check:#?}");
    assert!(check.anomalies.is_empty());
    assert!(check.detail.contains(why), "{}", check.detail);
}

// Linearizability.

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

// Lost writes.

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

// Eventual reads.

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
    passes(&s.check("linearizability"));
    s.eventual(100, 110, 9);
    one(&s.check("eventual-reads"), "phantom read", &[6]);
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

// What can not be judged.

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
