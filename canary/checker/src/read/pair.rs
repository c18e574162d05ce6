//! Events in the order of their file to calls with a beginning and an end.

use super::edn::Edn;
use super::event::{Event, More};
use gameday_record::EventKind;
use std::borrow::Cow;
use std::collections::HashMap;

/// One call: its invocation and, if it returned, its completion.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// Where its invocation begins in the file, in bytes.
    pub at: usize,
    /// Where its completion begins, if there is one.
    pub end_at: Option<usize>,
    pub index: u64,
    pub process: u64,
    pub f: Cow<'a, str>,
    pub key: Option<Edn<'a>>,
    /// What it was invoked with.
    pub asked: Edn<'a>,
    /// What it returned with; nil while it is open.
    pub answer: Edn<'a>,
    pub start: u64,
    pub finish: Option<u64>,
    /// `None`: still open at the end.
    pub outcome: Option<EventKind>,
    pub refused: bool,
    pub more: More<'a>,
}

/// All calls of a history, in the order of their invocations.
#[derive(Debug)]
pub(super) struct Paired<'a> {
    pub calls: Vec<Call<'a>>,
    /// Times are nanoseconds; else positions in the file.
    pub timed: bool,
    /// Events whose time contradicts the order of the file.
    pub reordered: u64,
}

/// Pairs by process.
///
/// The order of the file is the order of real time, as Jepsen has it. Times
/// are taken if every event has one; one that contradicts the order is moved
/// up just so far that it does not. With `exact`, times are taken as they are.
///
/// # Errors
/// Where something does not fit, and what.
pub(super) fn pair(events: Vec<Event<'_>>, exact: bool) -> Result<Paired<'_>, (usize, String)> {
    let timed = events.iter().all(|e| e.time.is_some()) && !events.is_empty();
    let indexed = events.iter().all(|e| e.index.is_some());
    let mut clock = Order::default();
    let mut open: HashMap<u64, usize> = HashMap::new();
    let mut calls: Vec<Call<'_>> = Vec::new();
    for (position, e) in (0u64..).zip(events) {
        let time = match e.time.filter(|_| timed) {
            Some(time) if exact => time,
            Some(time) => clock.fit(time, e.kind == EventKind::Invoke),
            None => position,
        };
        if time > crate::register::LATEST {
            return Err((e.at, format!("the time {time} is out of range")));
        }
        if e.kind == EventKind::Invoke {
            if open.insert(e.process, calls.len()).is_some() {
                let what = format!(
                    "process {} invokes while its last call is still open",
                    e.process
                );
                return Err((e.at, what));
            }
            calls.push(Call {
                at: e.at,
                end_at: None,
                index: e.index.filter(|_| indexed).unwrap_or(position),
                process: e.process,
                f: e.f,
                key: e.key,
                asked: e.value,
                answer: Edn::Nil,
                start: time,
                finish: None,
                outcome: None,
                refused: false,
                more: e.more,
            });
            continue;
        }
        let Some(at) = open.remove(&e.process) else {
            let what = format!(
                "process {} completes a call that it did not invoke",
                e.process
            );
            return Err((e.at, what));
        };
        let call = &mut calls[at];
        if call.f != e.f {
            let what = format!(
                "process {} completes :{}, but it invoked :{}",
                e.process, e.f, call.f
            );
            return Err((e.at, what));
        }
        if e.kind == EventKind::Ok && e.key.is_some() && e.key != call.key {
            let what = format!("process {} completes a call on another key", e.process);
            return Err((e.at, what));
        }
        if time < call.start {
            let what = format!("process {} completes a call before it began", e.process);
            return Err((e.at, what));
        }
        call.end_at = Some(e.at);
        call.answer = e.value;
        call.finish = Some(time);
        call.outcome = Some(e.kind);
        call.refused = e.refused;
        call.more.observed = e.more.observed;
        call.more.sum = e.more.sum;
    }
    Ok(Paired {
        calls,
        timed,
        reordered: clock.moved,
    })
}

/// Keeps times in the order of the file. Calls that touch in one instant
/// count as concurrent, so an invocation must be later than a completion
/// before it.
#[derive(Default)]
struct Order {
    last: u64,
    last_completion: Option<u64>,
    moved: u64,
}

impl Order {
    fn fit(&mut self, time: u64, invocation: bool) -> u64 {
        let after = match self.last_completion {
            Some(t) if invocation => t.saturating_add(1),
            _ => 0,
        };
        let fitting = time.max(self.last).max(after);
        self.moved += u64::from(fitting != time);
        self.last = fitting;
        if !invocation {
            self.last_completion = Some(fitting);
        }
        fitting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_follow_the_order_of_the_file() {
        let mut order = Order::default();
        let fit: Vec<u64> = [
            (5, true),
            (5, true),
            (5, false),
            (5, false),
            (5, true),
            (4, false),
            (9, true),
        ]
        .into_iter()
        .map(|(time, invocation)| order.fit(time, invocation))
        .collect();
        assert_eq!(fit, [5, 5, 5, 5, 6, 6, 9]);
        assert_eq!(order.moved, 2);
    }
}
