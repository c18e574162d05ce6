//! A verdict for people.

use super::Judged;
use gameday_record::verdict::OperationRecord;
use gameday_record::{Anomaly, Verdict};
use std::fmt::Write;

/// Columns of the time line.
const WIDTH: usize = 32;
/// Values that are spelled out; the rest is counted.
const NAMES: usize = 10;

/// Appends one line, and below it what there is to say. `brief`: several
/// files are listed, and only what did not pass is worth details.
pub fn judged(out: &mut String, path: &str, j: &Judged, brief: bool) {
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{:<7}  {}  {} · {} operations, {} of unknown outcome{} · {} keys · {:.1} ms",
        word(j.verdict.verdict),
        plain(path),
        j.model,
        j.operations,
        j.unknown,
        match j.failed_reads {
            0 => String::new(),
            n => format!(", {n} failed reads"),
        },
        j.keys,
        j.took.as_secs_f64() * 1e3
    );
    for c in &j.verdict.checks {
        if brief && c.verdict == Verdict::Pass {
            continue;
        }
        let _ = writeln!(
            out,
            "  {:<18} {:<7}  {}",
            c.name,
            word(c.verdict),
            plain(&c.detail)
        );
        for a in &c.anomalies {
            anomaly(out, a);
        }
    }
    if brief && j.verdict.verdict == Verdict::Pass {
        return;
    }
    if j.skipped > 0 {
        let _ = writeln!(
            out,
            "  not judged: {} events that no client made",
            j.skipped
        );
    }
    if j.reordered > 0 {
        let _ = writeln!(
            out,
            "  {} times contradict the order of the file, which was taken",
            j.reordered
        );
    }
    for (n, name) in j.names.iter().take(NAMES) {
        let _ = writeln!(out, "  {n} stands for {}", plain(name));
    }
    if j.names.len() > NAMES {
        let _ = writeln!(
            out,
            "  and {} more values that are no numbers",
            j.names.len() - NAMES
        );
    }
}

fn anomaly(out: &mut String, a: &Anomaly) {
    let violates = match a.violates.as_str() {
        "" => String::new(),
        model => format!(" (violates {model})"),
    };
    let key = match a.key.as_str() {
        "" => String::new(),
        key => format!(" on {}", plain(key)),
    };
    let _ = writeln!(out, "    {}{key}{violates}: {}", a.name, plain(&a.summary));
    let from = a.operations.iter().map(|o| o.invoked.0).min().unwrap_or(0);
    let ends = a
        .operations
        .iter()
        .map(|o| o.returned.unwrap_or(o.invoked).0);
    let to = ends.max().unwrap_or(from);
    for o in &a.operations {
        let _ = writeln!(
            out,
            "      |{}| {:>6} {}, {}",
            bar(o, from, to),
            format!("p{}", o.process),
            plain(&o.what),
            o.outcome
        );
    }
}

/// `  ├──┤   `: from its invocation to its return; open if it never returned.
fn bar(o: &OperationRecord, from: u64, to: u64) -> String {
    let span = u128::from(to.saturating_sub(from).max(1));
    let column = |t: u64| {
        let passed = u128::from(t.clamp(from, to.max(from)) - from);
        (passed * (WIDTH as u128 - 1) / span) as usize
    };
    let begin = column(o.invoked.0);
    let end = o.returned.map_or(WIDTH - 1, |t| column(t.0)).max(begin);
    (0..WIDTH)
        .map(|i| match i {
            _ if i < begin || i > end => ' ',
            _ if i == end && o.returned.is_none() => '…',
            _ if begin == end => '│',
            _ if i == begin => '├',
            _ if i == end => '┤',
            _ => '─',
        })
        .collect()
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "FAIL",
        Verdict::Unknown => "unknown",
    }
}

/// What comes from files must not steer the terminal.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameday_record::Nanos;

    #[test]
    fn a_call_is_a_bar_on_the_time_line() {
        let call = |invoked, returned: Option<u64>| OperationRecord {
            index: 0,
            process: 0,
            az: String::new(),
            endpoint: String::new(),
            table: String::new(),
            what: String::new(),
            invoked: Nanos(invoked),
            returned: returned.map(Nanos),
            outcome: String::new(),
        };
        let trimmed = |o| bar(&o, 0, 31).trim_end().to_string();
        assert_eq!(trimmed(call(0, Some(3))), "├──┤");
        assert_eq!(trimmed(call(2, Some(2))), "  │");
        assert!(trimmed(call(29, None)).ends_with("├─…"));
        assert_eq!(
            bar(&call(0, Some(u64::MAX)), 0, u64::MAX).chars().count(),
            WIDTH
        );
        assert_eq!(bar(&call(5, Some(5)), 5, 5).chars().count(), WIDTH);
    }
}
