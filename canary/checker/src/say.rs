//! Operations in words, for people.

use crate::log::{Clock, Code, Effect, Entry, Log};
use crate::register::FOREVER;
use gameday_record::time::Nanos;
use gameday_record::verdict::OperationRecord;

/// Longest part of a text that is shown, in characters.
const SHOWN: usize = 60;

fn number(v: Option<i64>) -> String {
    v.map_or_else(|| "nothing".into(), |v| v.to_string())
}

/// A long text is shown by its end, where appends are.
fn text(log: &Log, id: i64) -> String {
    let s = log.text_of(id);
    let n = s.chars().count();
    if n <= SHOWN {
        return format!("{s:?}");
    }
    let end: String = s.chars().skip(n - SHOWN).collect();
    format!("{n} characters that end with {end:?}")
}

fn elements(log: &Log, e: &Entry) -> String {
    match log.elements_of(e) {
        [] => "no elements".into(),
        [one] => format!("the element {one}"),
        all => format!("{} elements", all.len()),
    }
}

/// `process 3 (AZ a, endpoint b) wrote 17 [+1.200000 s to +1.210000 s]`
pub(crate) fn who(log: &Log, at: u32) -> String {
    let e = log.entry(at);
    let known = e.effect == Effect::Ok;
    let change = || format!("{} to {}", number(log.first(e)), e.second());
    // What is done, in the forms "wrote 1", "failed to write 1", "wrote 1 with unknown outcome".
    let did = |past: &str, infinitive: &str, what: String| match e.effect {
        Effect::Ok => format!("{past} {what}"),
        Effect::Unknown => format!("{past} {what} with unknown outcome"),
        Effect::Failed | Effect::Refused => format!("failed to {infinitive} {what}"),
    };
    let what = match e.code {
        Code::Read if known => format!("read {}", number(log.first(e))),
        Code::EventualRead if known => format!("eventually read {}", number(log.first(e))),
        Code::Get if known => format!("read {}", text(log, log.first(e).unwrap_or(0))),
        Code::ReadSet if known => format!("read {}", elements(log, e)),
        Code::EventualRead => "eventually read".into(),
        Code::Read | Code::Get | Code::ReadSet | Code::ReadAnything => "read".into(),
        Code::Write | Code::Insert => did("wrote", "write", e.second().to_string()),
        Code::Put => did("wrote", "write", text(log, e.second())),
        Code::Append => did("appended", "append", text(log, e.second())),
        Code::AddElement => did(
            "added the element",
            "add the element",
            e.second().to_string(),
        ),
        Code::Enqueue => did("enqueued", "enqueue", e.second().to_string()),
        Code::Dequeue if known => format!("dequeued {}", number(log.first(e))),
        Code::Dequeue => did("dequeued", "dequeue", "something".into()),
        Code::Drain => did("drained", "drain", elements(log, e)),
        Code::Add => match log.first(e) {
            Some(sum) if known => format!("added {} and made {sum}", e.second()),
            _ => did("added", "add", e.second().to_string()),
        },
        Code::Cas => match log.third(e) {
            Some(v) if e.effect == Effect::Refused => {
                format!("failed to change {} and found {}", change(), number(v))
            }
            _ => did("changed", "change", change()),
        },
    };
    let from = instant(log, e.start);
    let end = match e.finish {
        FOREVER => "never returned".into(),
        t => format!("to {}", instant(log, t)),
    };
    let (az, endpoint) = (log.az(e), log.endpoint(e));
    let place = match (az.is_empty(), endpoint.is_empty()) {
        (true, true) => String::new(),
        (true, false) => format!(" (endpoint {endpoint})"),
        (false, true) => format!(" (AZ {az})"),
        (false, false) => format!(" (AZ {az}, endpoint {endpoint})"),
    };
    format!("process {}{place} {what} [{from} {end}]", e.process)
}

/// Milliseconds are too coarse to see which of two operations came first.
pub(crate) fn instant(log: &Log, t: u64) -> String {
    match log.clock {
        Clock::Nanoseconds => format!("+{:.6} s", Nanos(t).as_secs_f64()),
        Clock::Events => format!("event {t}"),
    }
}

/// The key with its table, if that has a name.
pub(crate) fn key(log: &Log, key: u32) -> String {
    match log.table_name(key) {
        "" => log.key_name(key).into(),
        table => format!("{table}/{}", log.key_name(key)),
    }
}

/// As it stands in verdicts and reports.
pub(crate) fn record(log: &Log, at: u32) -> OperationRecord {
    let e = log.entry(at);
    let known = e.effect == Effect::Ok;
    let mut what = match e.code {
        Code::Read | Code::ReadAnything | Code::Get | Code::ReadSet => "read".to_string(),
        Code::EventualRead => "eventual read".into(),
        Code::Write => format!("write {}", e.second()),
        Code::Insert => format!("insert {}", e.second()),
        Code::Add => format!("add {}", e.second()),
        Code::AddElement => format!("add element {}", e.second()),
        Code::Cas => format!("cas {} to {}", number(log.first(e)), e.second()),
        Code::Put => format!("write {}", text(log, e.second())),
        Code::Append => format!("append {}", text(log, e.second())),
        Code::Enqueue => format!("enqueue {}", e.second()),
        Code::Dequeue => "dequeue".into(),
        Code::Drain => "drain".into(),
    };
    let more = match (e.code, log.first(e)) {
        (Code::Read | Code::EventualRead, found) if known => format!(" found {}", number(found)),
        (Code::Get, Some(id)) if known => format!(" found {}", text(log, id)),
        (Code::Dequeue, found) if known => format!(" found {}", number(found)),
        (Code::ReadSet | Code::Drain, _) if known => format!(" found {}", elements(log, e)),
        (Code::Add, Some(sum)) if known => format!(" made {sum}"),
        (Code::Cas, _) if e.effect == Effect::Refused => log
            .third(e)
            .map(|v| format!(" found {}", number(v)))
            .unwrap_or_default(),
        _ => String::new(),
    };
    what.push_str(&more);
    OperationRecord {
        index: e.index,
        process: e.process,
        az: log.az(e).into(),
        endpoint: log.endpoint(e).into(),
        table: log.table_name(e.key).into(),
        what,
        invoked: Nanos(e.start),
        returned: (e.finish != FOREVER).then_some(Nanos(e.finish)),
        outcome: match e.effect {
            Effect::Ok => "ok",
            Effect::Refused | Effect::Failed => "failed",
            Effect::Unknown => "unknown",
        }
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate;

    /// The record crate describes the operations that it holds; a log says the same.
    #[test]
    fn a_log_describes_operations_as_the_record_crate_does() {
        let history = generate::history(&generate::Options::default());
        let log = Log::of(&history).unwrap();
        for (at, op) in (0u32..).zip(&history.operations) {
            assert_eq!(record(&log, at), OperationRecord::from(op));
        }
    }
}
