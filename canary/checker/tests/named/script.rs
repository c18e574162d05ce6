//! Histories written down one call per line, and what is said about them.

use gameday_checker::{Options, check_history};
use gameday_record::history::{HISTORY_VERSION, History, HistoryHeader};
use gameday_record::operation::{Call, ErrorClass, Failure, Operation, Outcome};
use gameday_record::time::Nanos;
use gameday_record::verdict::{Check, Verdict};

/// A history written down one call per line; times in milliseconds.
#[derive(Default)]
pub struct Script {
    pub operations: Vec<Operation>,
    pub cut_off: bool,
}

impl Script {
    pub fn add(
        &mut self,
        from: u64,
        to: Option<u64>,
        call: Call,
        outcome: Outcome,
    ) -> &mut Operation {
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
    pub fn write(&mut self, from: u64, to: u64, value: i64) -> &mut Operation {
        self.add(from, Some(to), write(value), OK)
    }
    pub fn hang(&mut self, from: u64, value: i64) -> &mut Operation {
        self.add(from, None, write(value), unknown())
    }
    pub fn refuse(&mut self, from: u64, to: u64, value: i64) -> &mut Operation {
        self.add(
            from,
            Some(to),
            write(value),
            failed(None, ErrorClass::Refused),
        )
    }
    pub fn read(&mut self, from: u64, to: u64, value: impl Into<Option<i64>>) -> &mut Operation {
        let value = value.into();
        self.add(from, Some(to), read(true), Outcome::Ok { value })
    }
    pub fn eventual(
        &mut self,
        from: u64,
        to: u64,
        value: impl Into<Option<i64>>,
    ) -> &mut Operation {
        let value = value.into();
        self.add(from, Some(to), read(false), Outcome::Ok { value })
    }
    pub fn cas(&mut self, from: u64, to: u64, a: impl Into<Option<i64>>, b: i64) -> &mut Operation {
        self.add(from, Some(to), cas(a.into(), b), OK)
    }
    pub fn cas_fails(&mut self, from: u64, to: u64, a: i64, b: i64, found: Option<Option<i64>>) {
        let outcome = failed(found, ErrorClass::Condition);
        self.add(from, Some(to), cas(Some(a), b), outcome);
    }
    pub fn last(&mut self, from: u64, to: u64, value: impl Into<Option<i64>>) {
        self.read(from, to, value).last = true;
    }
    pub fn history(&self) -> History {
        History {
            header: HistoryHeader {
                version: HISTORY_VERSION,
                run: "test".into(),
                seed: 1,
                clock: "none".into(),
                epoch_utc: "1970-01-01T00:00:00Z".into(),
                forgotten: None,
            },
            operations: self.operations.clone(),
            complete: !self.cut_off,
        }
    }
    pub fn checks(&self) -> Vec<Check> {
        check_history(&self.history(), &Options::default())
    }
    pub fn check(&self, name: &str) -> Check {
        let found = self.checks().into_iter().find(|c| c.name == name);
        found.unwrap_or_else(|| panic!("no check named {name}"))
    }
}

pub const OK: Outcome = Outcome::Ok { value: None };

pub fn write(value: i64) -> Call {
    let key = "k".into();
    Call::Write { key, value }
}
pub fn read(strong: bool) -> Call {
    let key = "k".into();
    Call::Read { key, strong }
}
pub fn cas(expected: Option<i64>, new: i64) -> Call {
    let key = "k".into();
    Call::Cas { key, expected, new }
}
pub fn failure(class: ErrorClass) -> Failure {
    Failure {
        class,
        message: String::new(),
    }
}
pub fn unknown() -> Outcome {
    let failure = failure(ErrorClass::Timeout);
    Outcome::Unknown { failure }
}
pub fn failed(observed: Option<Option<i64>>, class: ErrorClass) -> Outcome {
    let failure = failure(class);
    Outcome::Failed { failure, observed }
}

/// Exactly one anomaly of this name, over the operations with these indices.
#[track_caller]
pub fn one(check: &Check, name: &str, indices: &[u64]) {
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
pub fn passes(check: &Check) {
    assert_eq!(check.verdict, Verdict::Pass, "{check:#?}");
    assert_eq!(check.anomalies_total, 0);
}

#[track_caller]
pub fn undecided(check: &Check, why: &str) {
    assert_eq!(check.verdict, Verdict::Unknown, "{check:#?}");
    assert!(check.anomalies.is_empty());
    assert!(check.detail.contains(why), "{}", check.detail);
}
