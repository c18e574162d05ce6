//! Eventual reads.

use super::script::*;
use gameday_checker::{Log, Options, check, check_history};
use gameday_record::operation::Call;

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

/// Which of two equal writes a read found is not known, so neither is how old
/// that was; of a key beside it, it is.
#[test]
fn what_repeats_has_no_age_and_says_so() {
    let judged = |s: &Script| {
        let mut log = Log::of(&s.history()).expect("small");
        log.promises.unique_values = false;
        let mut checks = check(&log, &Options::default()).into_iter();
        checks.find(|c| c.name == "eventual-reads").expect("reads")
    };
    let mut s = Script::default();
    s.write(0, 10, 1);
    s.write(20, 30, 2);
    s.write(40, 50, 1);
    s.eventual(100, 110, 2);
    s.eventual(100, 110, 1);
    let found = judged(&s);
    passes(&found);
    let said = "2 eventual reads, 0 of them stale; of 2 it is not known how old";
    assert!(found.detail.contains(said), "{found:#?}");
    assert!(found.measures.iter().all(|m| m.samples == 0), "{found:#?}");
    // Never invented, all the same; nor from the future.
    s.eventual(12, 15, 2);
    one(&judged(&s), "future read", &[1, 5]);
    s.operations.pop();

    for (from, to, value) in [(0, 10, 5), (20, 30, 6), (40, 50, 7)] {
        s.write(from, to, value).call = Call::Write {
            key: "other".into(),
            value,
        };
    }
    let mut read = |at, value| {
        s.eventual(at, at + 10, value).call = Call::Read {
            key: "other".into(),
            strong: false,
        };
    };
    // 6 was there at 30, and 7 at 50.
    read(100, 5);
    read(100, 6);
    read(100, 7);
    let found = judged(&s);
    let said = "5 eventual reads, 2 of them stale; of 2 it is not known how old";
    assert!(found.detail.contains(said), "{found:#?}");
    let of = |unit: &str| {
        found
            .measures
            .iter()
            .find(|m| m.unit == unit)
            .expect("is measured")
    };
    let (ms, versions) = (of("ms"), of("versions"));
    assert_eq!((ms.samples, ms.max), (3, 70.0), "{found:#?}");
    assert_eq!((versions.samples, versions.max), (3, 2.0), "{found:#?}");
}
