//! How old eventual reads were and how soon elements were seen: computed by
//! hand.

use super::script::*;
use gameday_record::operation::{Call, Outcome};
use gameday_record::verdict::{Check, Measure};

/// The only measure of a check in this unit.
fn measure<'a>(check: &'a Check, unit: &str) -> &'a Measure {
    let mut found = check.measures.iter().filter(|m| m.unit == unit);
    let first = found.next();
    first.unwrap_or_else(|| panic!("nothing in {unit}: {check:#?}"))
}

/// Samples, p50, p90, and the greatest.
fn numbers(m: &Measure) -> (u64, f64, f64, f64) {
    (m.samples, m.p50, m.p90, m.max)
}

#[test]
fn staleness_in_milliseconds_and_versions() {
    let mut s = Script::default();
    s.write(1, 10, 1);
    s.write(20, 30, 2);
    s.write(40, 50, 3);
    // 2 was there from 30 on, and 3 came after it: 100 - 30, two versions.
    s.eventual(100, 110, 1);
    // Only 3 is newer, there from 50 on: 60 - 50, one version.
    s.eventual(60, 70, 2);
    // The newest.
    s.eventual(100, 110, 3);
    // What was there before anything; 1 was there from 10 on: 25 - 10, one version.
    s.eventual(25, 35, None);
    let check = s.check("eventual-reads");
    passes(&check);
    let counts = "4 eventual reads, 3 of them stale";
    assert!(check.detail.contains(counts), "{}", check.detail);
    assert_eq!(numbers(measure(&check, "ms")), (4, 10.0, 70.0, 70.0));
    assert_eq!(numbers(measure(&check, "versions")), (4, 1.0, 2.0, 2.0));
}

#[test]
fn what_is_not_certainly_there_makes_nothing_stale() {
    let mut s = Script::default();
    s.write(1, 10, 1);
    s.write(20, 30, 2);
    // The write of 2 is not over when this begins.
    s.eventual(25, 28, 1);
    // Nobody ever saw this one.
    s.hang(40, 3);
    s.eventual(60, 70, 2);
    let check = s.check("eventual-reads");
    assert_eq!(numbers(measure(&check, "ms")), (2, 0.0, 0.0, 0.0));
    assert_eq!(numbers(measure(&check, "versions")), (2, 0.0, 0.0, 0.0));
}

/// A write of unknown outcome is there from when it was found.
#[test]
fn staleness_against_an_unknown_write_that_was_found() {
    let mut s = Script::default();
    s.write(1, 10, 1);
    s.hang(20, 2);
    s.read(31, 40, 2);
    s.eventual(55, 60, 1);
    let check = s.check("eventual-reads");
    assert_eq!(numbers(measure(&check, "ms")), (1, 15.0, 15.0, 15.0));
    assert_eq!(numbers(measure(&check, "versions")), (1, 1.0, 1.0, 1.0));
}

/// Calls on elements of a durable set.
struct Elements(Script);

impl Elements {
    fn insert(&mut self, key: &str, value: i64, from: u64, to: Option<u64>) {
        let call = Call::Insert {
            key: key.into(),
            value,
        };
        let outcome = to.map_or_else(unknown, |_| OK);
        self.0.add(from, to, call, outcome);
    }
    fn read(&mut self, key: &str, strong: bool, from: u64, value: Option<i64>) {
        let call = Call::Read {
            key: key.into(),
            strong,
        };
        let op = self
            .0
            .add(from, Some(from + 5), call, Outcome::Ok { value });
        op.last = strong;
    }
}

#[test]
fn time_to_visibility() {
    let mut e = Elements(Script::default());
    // Acknowledged at 10, missed by reads that began at 15 and 22: 22 - 10.
    e.insert("a", 1, 0, Some(10));
    e.read("a", false, 15, None);
    e.read("a", false, 22, None);
    e.read("a", false, 30, Some(1));
    e.read("a", true, 100, Some(1));
    // Never missed: 0.
    e.insert("b", 2, 0, Some(10));
    e.read("b", true, 100, Some(2));
    // Of unknown outcome: known at 45, when a read found it, missed at 51: 51 - 45.
    e.insert("c", 3, 0, None);
    e.read("c", false, 40, Some(3));
    e.read("c", false, 51, None);
    e.read("c", true, 100, Some(3));
    // Nobody ever found it: no sample.
    e.insert("d", 4, 0, None);
    e.read("d", true, 100, None);
    let check = e.0.check("durable-set");
    passes(&check);
    let counts = "2 elements acknowledged: 0 lost; 2 of unknown outcome: 1 recovered; 0 unexpected, 0 duplicated.";
    assert!(check.detail.contains(counts), "{}", check.detail);
    assert_eq!(numbers(measure(&check, "ms")), (3, 6.0, 12.0, 12.0));
}

#[test]
fn elements_that_are_lost_or_were_never_inserted() {
    let mut e = Elements(Script::default());
    e.insert("k", 1, 0, Some(10));
    e.read("k", false, 20, Some(1));
    e.read("k", true, 100, None);
    let check = e.0.check("durable-set");
    one(&check, "lost write", &[0, 2]);
    assert_eq!(check.anomalies[0].violates, "durability");
    assert!(check.detail.contains("1 elements acknowledged: 1 lost"));
    // A failed insertion that is there all the same.
    let mut e = Elements(Script::default());
    e.insert("other", 2, 0, Some(10));
    e.read("other", true, 100, Some(2));
    let refused = failed(None, gameday_record::ErrorClass::Refused);
    let call = Call::Insert {
        key: "k".into(),
        value: 1,
    };
    e.0.add(0, Some(10), call, refused);
    e.read("k", true, 100, Some(1));
    let check = e.0.check("durable-set");
    one(&check, "dirty read", &[2, 3]);
    assert_eq!(check.anomalies[0].violates, "read committed");
}

/// A loss that a read before the acknowledgement would show is none yet.
#[test]
fn an_element_without_a_final_read_is_not_judged() {
    let mut e = Elements(Script::default());
    e.insert("k", 1, 0, Some(10));
    e.read("k", true, 5, None);
    undecided(&e.0.check("durable-set"), "no final read began after");
}

/// What is found again and again is no older for it: a version is not newer
/// than itself.
#[test]
fn the_newest_version_is_never_stale_however_long_it_has_been_there() {
    let mut s = Script::default();
    s.write(1, 10, 1);
    s.read(20, 30, 1);
    s.eventual(900, 910, 1);
    s.cas(1000, 1010, 1, 2);
    s.read(1020, 1030, 2);
    s.read(1500, 1510, 2);
    s.eventual(2000, 2010, 2);
    // 2 was there from 1010 on.
    s.eventual(1500, 1510, 1);
    let check = s.check("eventual-reads");
    passes(&check);
    let counts = "3 eventual reads, 1 of them stale";
    assert!(check.detail.contains(counts), "{}", check.detail);
    assert_eq!(numbers(measure(&check, "ms")), (3, 0.0, 490.0, 490.0));
    assert_eq!(numbers(measure(&check, "versions")), (3, 0.0, 1.0, 1.0));
}

/// A read of a version that was itself found late, behind two newer ones: only
/// the newer ones count.
#[test]
fn versions_are_counted_without_the_one_that_was_read() {
    let mut s = Script::default();
    s.write(1, 10, 1);
    s.read(12, 14, 1);
    s.write(20, 30, 2);
    s.read(32, 34, 2);
    s.write(40, 50, 3);
    s.read(52, 54, 3);
    // Before 1 and after it; 2 and 3 were there from 30 and 50 on.
    s.eventual(100, 110, 1);
    s.eventual(100, 110, 2);
    s.eventual(45, 48, 1);
    let check = s.check("eventual-reads");
    assert_eq!(numbers(measure(&check, "ms")), (3, 50.0, 70.0, 70.0));
    assert_eq!(numbers(measure(&check, "versions")), (3, 1.0, 2.0, 2.0));
}
