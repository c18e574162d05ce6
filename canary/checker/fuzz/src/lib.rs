//! What must hold whatever bytes a reader is given.
//!
//! A seed is a plain history: how it is read (the model, what nil means, what
//! was there in the beginning) is drawn from its length.

use gameday_checker::read::{Format, Initial, Model, Nil, Options, Reading, read};
use gameday_checker::{check, write};
use gameday_record::verdict::{Check, Verdict};
use std::time::Duration;

fn options(format: Option<Format>, bytes: &[u8]) -> Options {
    let draw = bytes.len();
    Options {
        format,
        // Half the time what the file itself says.
        model: Model::ALL.get(draw % 10).copied(),
        nil: [None, Some(Nil::Absent), Some(Nil::Anything)][draw / 10 % 3],
        initial: match draw / 30 % 4 {
            0 => Some(Initial::Absent),
            1 => Some(Initial::Value("0".into())),
            2 => Some(Initial::Value(":a".into())),
            _ => None,
        },
    }
}

/// A reader reads or refuses with a place that is in the file; it does not
/// panic, and makes no more operations than there are bytes to describe them.
pub fn reader(format: Format, bytes: &[u8]) {
    match read(bytes, &options(Some(format), bytes)) {
        Ok(reading) => {
            assert_eq!(reading.format, format);
            assert!(reading.log.len() <= bytes.len());
            assert!(reading.unknown() + reading.failed_reads() <= reading.log.len());
        }
        Err(e) => {
            let lines = bytes.split(|b| *b == b'\n').count() as u64;
            assert!(e.line <= lines, "{e}: line {} of {lines}", e.line);
            assert!(e.column <= bytes.len() as u64 + 1, "{e}");
            assert!(!e.what.is_empty());
        }
    }
}

fn judge(reading: &Reading) -> Vec<Check> {
    let budget = gameday_checker::Options {
        time: Duration::from_millis(500),
        bytes: 64 << 20,
        threads: 1,
    };
    check(&reading.log, &budget)
}

/// Of each check its name, its verdict, and what was found how often.
fn essence(checks: &[Check]) -> Vec<(String, Verdict, u64, Vec<String>)> {
    let essence = |c: &Check| {
        let mut names: Vec<String> = c.anomalies.iter().map(|a| a.name.clone()).collect();
        names.sort_unstable();
        (c.name.clone(), c.verdict, c.anomalies_total, names)
    };
    checks.iter().map(essence).collect()
}

/// What was read, judged and written as EDN is read again as the same history
/// with the same verdict, and is written the same from then on.
pub fn round_trip(bytes: &[u8]) {
    let Ok(before) = read(bytes, &options(None, bytes)) else {
        return;
    };
    let first = judge(&before);
    let mut text = String::new();
    let Ok(written) = write::edn(&before.log, &mut text) else {
        return;
    };
    let after = match read(text.as_bytes(), &Options::default()) {
        Ok(after) => after,
        Err(e) => panic!("{e}\n{text}"),
    };
    assert_eq!(after.log.len() as u64, written.operations, "{text}");
    let mut again = String::new();
    write::edn(&after.log, &mut again).expect("it was written before");
    assert_eq!(without_comments(&text), without_comments(&again));
    // Where a search ran out of budget, or something was left out, verdicts may differ.
    let exhausted = |checks: &[Check]| checks.iter().any(|c| c.detail.contains("not enough"));
    let second = judge(&after);
    if written.left_out == 0 && !exhausted(&first) && !exhausted(&second) {
        assert_eq!(essence(&first), essence(&second), "{text}");
    }
}

fn without_comments(text: &str) -> Vec<&str> {
    text.lines().filter(|l| !l.starts_with(';')).collect()
}
