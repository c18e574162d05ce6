//! Jepsen's EDN: one operation map per line, the order of lines is the order
//! of time.

use crate::log::{Clock, Code, Effect, Entry, Log, Strangers};
use crate::read::{ABSENT, quoted};
use crate::register::FOREVER;
use std::collections::BTreeMap;
use std::fmt;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Operations of the log that are in the file.
    pub operations: u64,
    /// Eventually consistent reads, which are left out: models of other tools
    /// know only reads that must be up to date.
    pub left_out: u64,
}

/// Why nothing (or not all) was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritable {
    /// Texts, sets and registers in one history: no other tool has a model of that.
    Mixed,
    /// This process has more than one call open at once, or one that returned
    /// before it began.
    Overlapping(u64),
    /// The writer refused.
    Writer,
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unwritable::Mixed => {
                f.write_str("registers, texts and sets are not written into one EDN history")
            }
            Unwritable::Overlapping(process) => write!(
                f,
                "process {process} has more than one call open at once, which EDN cannot say"
            ),
            Unwritable::Writer => f.write_str("the history could not be written"),
        }
    }
}

impl std::error::Error for Unwritable {}

impl From<fmt::Error> for Unwritable {
    fn from(_: fmt::Error) -> Self {
        Unwritable::Writer
    }
}

/// Writes a history as Jepsen does, for Knossos, Elle and [`crate::read`].
///
/// - A key is written as an independent tuple, `[key value]`; a history of one
///   nameless key is written without.
/// - Knossos lets a nil read find anything. So that it judges reads that
///   found nothing, absence is written as the value `:absent`, and a key where
///   it occurs begins with a write of it.
/// - The first line is an event of the process `:gameday` with what an
///   operation cannot say (promises, initial value). Other tools pass over it
///   because only numbered processes are clients.
/// - Beside Jepsen's own fields there are `:az`, `:endpoint`, `:observed` (what
///   a refused compare-and-set found), `:sum`, `:insert` and `:last`.
///
/// Indices are given anew, as Jepsen wants them: without gaps.
///
/// # Errors
/// The objects do not go together, a process calls twice at once, or the
/// writer's.
pub fn edn(log: &Log, out: &mut impl fmt::Write) -> Result<Written, Unwritable> {
    let objects = objects(log)?;
    let kept = |e: &&Entry| e.code != Code::EventualRead;
    let events = in_order(log, kept)?;
    let written = Written {
        operations: log.entries.iter().filter(kept).count() as u64,
        left_out: log.entries.iter().filter(|e| !kept(e)).count() as u64,
    };
    if written.left_out > 0 {
        writeln!(
            out,
            "; {} eventually consistent reads are left out",
            written.left_out
        )?;
    }
    let mut w = Writer {
        log,
        out,
        objects,
        // A header alone has no time: nothing would say what it counts.
        timed: log.clock == Clock::Nanoseconds && !events.is_empty(),
        keyed: log
            .entries
            .iter()
            .any(|e| !log.key_name(e.key).is_empty() || !log.table_name(e.key).is_empty()),
        index: 0,
    };
    let first = events.first().map_or(0, |e| e.0);
    w.header(first)?;
    w.preface(first)?;
    for (time, rank, i) in events {
        w.event(log.entry(i), time, rank % 2 == 1)?;
    }
    Ok(written)
}

/// Invocations and completions by time. Calls that touch in one instant are
/// concurrent, so invocations come before completions; but a call comes after
/// the one before it of the same process. Odd ranks are completions. A call
/// that did not return has none.
///
/// # Errors
/// A process that calls before its last call has returned: which completion
/// belongs to which invocation could not be told.
fn in_order(log: &Log, kept: impl Fn(&&Entry) -> bool) -> Result<Vec<(u64, u64, u32)>, Unwritable> {
    let mut calls: Vec<(u32, &Entry)> = (0u32..)
        .zip(&log.entries)
        .filter(|(_, e)| kept(e))
        .collect();
    calls.sort_by_key(|(_, e)| (e.process, e.start, e.finish));
    let mut events = Vec::with_capacity(calls.len() * 2);
    // Process, time and rank of the last completion.
    let mut last: Option<(u64, u64, u64)> = None;
    for (i, e) in calls {
        let invocation = match last.filter(|(process, ..)| *process == e.process) {
            Some((process, finish, _)) if finish > e.start => {
                return Err(Unwritable::Overlapping(process));
            }
            Some((_, finish, rank)) if finish == e.start => rank + 1,
            _ => 0,
        };
        if e.finish < e.start {
            return Err(Unwritable::Overlapping(e.process));
        }
        let completion = if e.finish == e.start {
            invocation + 1
        } else {
            1
        };
        events.push((e.start, invocation, i));
        if e.finish != FOREVER {
            events.push((e.finish, completion, i));
        }
        last = Some((e.process, e.finish, completion));
    }
    events.sort_unstable();
    Ok(events)
}

fn objects(log: &Log) -> Result<&'static str, Unwritable> {
    let of = |code| match code {
        Code::Put | Code::Append | Code::Get => Some("texts"),
        Code::AddElement | Code::ReadSet => Some("sets"),
        Code::Enqueue | Code::Dequeue | Code::Drain if log.in_order => Some("queues"),
        Code::Enqueue | Code::Dequeue | Code::Drain => Some("total-queues"),
        Code::ReadAnything => None,
        _ => Some("registers"),
    };
    let mut found = None;
    for objects in log.entries.iter().filter_map(|e| of(e.code)) {
        if *found.get_or_insert(objects) != objects {
            return Err(Unwritable::Mixed);
        }
    }
    Ok(found.unwrap_or("registers"))
}

struct Writer<'a, W> {
    log: &'a Log,
    out: &'a mut W,
    objects: &'static str,
    timed: bool,
    keyed: bool,
    index: u64,
}

impl<W: fmt::Write> Writer<'_, W> {
    fn header(&mut self, time: u64) -> fmt::Result {
        let (log, objects) = (self.log, self.objects);
        self.begin(":gameday", "info", "history")?;
        write!(
            self.out,
            "{{:objects :{objects}, :complete {}, :unique-values {}, :final-reads {}, ",
            log.complete, log.promises.unique_values, log.promises.final_reads
        )?;
        match log.strangers {
            Some(Strangers::Forgotten(until)) => write!(self.out, ":forgotten {until}, ")?,
            Some(Strangers::Assigned) => self.out.write_str(":assigned true, ")?,
            None => {}
        }
        self.out.write_str(":initial ")?;
        match log.initial {
            Some(n) => write!(self.out, "{n}}}")?,
            None => self.out.write_str("nil}")?,
        }
        self.end(time)
    }

    /// A write of absence to every key where something found or expects it.
    fn preface(&mut self, time: u64) -> fmt::Result {
        if self.log.initial.is_some() {
            return Ok(());
        }
        let log = self.log;
        let absent = |e: &&Entry| match e.code {
            Code::Read => e.found() == Some(None),
            Code::Cas => log.first(e).is_none() || log.third(e) == Some(None),
            _ => false,
        };
        let name = |e: &Entry| (log.table_name(e.key), log.key_name(e.key));
        let keys: BTreeMap<_, &Entry> = log
            .entries
            .iter()
            .filter(absent)
            .map(|e| (name(e), e))
            .collect();
        let highest = log.entries.iter().map(|e| e.process).max();
        let process = highest.map_or(0, |p| p.saturating_add(1)).to_string();
        for e in keys.into_values() {
            for kind in ["invoke", "ok"] {
                self.begin(&process, kind, "write")?;
                self.open_key(e)?;
                self.maybe(None)?;
                self.close_key()?;
                self.end(time)?;
            }
        }
        Ok(())
    }

    fn event(&mut self, e: &Entry, time: u64, completion: bool) -> fmt::Result {
        let kind = match (completion, e.effect) {
            (false, _) => "invoke",
            (true, Effect::Ok) => "ok",
            (true, Effect::Refused | Effect::Failed) => "fail",
            (true, Effect::Unknown) => "info",
        };
        let f = match e.code {
            Code::ReadAnything if self.objects == "texts" => "get",
            Code::Read | Code::EventualRead | Code::ReadAnything | Code::ReadSet => "read",
            Code::Write | Code::Insert => "write",
            Code::Cas => "cas",
            Code::Add | Code::AddElement => "add",
            Code::Put => "put",
            Code::Append => "append",
            Code::Get => "get",
            Code::Enqueue => "enqueue",
            Code::Dequeue => "dequeue",
            Code::Drain => "drain",
        };
        self.begin(&e.process.to_string(), kind, f)?;
        self.open_key(e)?;
        self.value(e, completion && e.effect == Effect::Ok)?;
        self.close_key()?;
        if completion {
            self.result(e)?;
        } else {
            self.place(e)?;
        }
        self.end(time)
    }

    fn value(&mut self, e: &Entry, ok: bool) -> fmt::Result {
        let log = self.log;
        match e.code {
            Code::Read | Code::EventualRead | Code::Dequeue if ok => self.maybe(self.log.first(e)),
            Code::Get if ok => quoted(log.text_of(log.first(e).unwrap_or_default()), self.out),
            Code::ReadSet | Code::Drain if ok => {
                self.out.write_str("[")?;
                for (i, n) in log.elements_of(e).iter().enumerate() {
                    let space = if i == 0 { "" } else { " " };
                    write!(self.out, "{space}{n}")?;
                }
                self.out.write_str("]")
            }
            Code::Read | Code::EventualRead | Code::ReadAnything | Code::Get | Code::ReadSet => {
                self.out.write_str("nil")
            }
            Code::Dequeue | Code::Drain => self.out.write_str("nil"),
            Code::Cas => {
                self.out.write_str("[")?;
                self.maybe(self.log.first(e))?;
                write!(self.out, " {}]", e.second())
            }
            Code::Put | Code::Append => quoted(log.text_of(e.second()), self.out),
            Code::Write | Code::Insert | Code::Add | Code::AddElement | Code::Enqueue => {
                write!(self.out, "{}", e.second())
            }
        }
    }

    /// What a completion says beside its value.
    fn result(&mut self, e: &Entry) -> fmt::Result {
        match (e.code, e.effect) {
            (Code::Add, Effect::Ok) => match self.log.first(e) {
                Some(sum) => write!(self.out, ", :sum {sum}"),
                None => Ok(()),
            },
            (_, Effect::Refused) => {
                self.out.write_str(", :error [:condition]")?;
                match self.log.third(e) {
                    Some(found) => {
                        self.out.write_str(", :observed ")?;
                        self.maybe(found)
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// What an invocation says beside its value.
    fn place(&mut self, e: &Entry) -> fmt::Result {
        for (name, text) in [("az", self.log.az(e)), ("endpoint", self.log.endpoint(e))] {
            if !text.is_empty() {
                write!(self.out, ", :{name} ")?;
                quoted(text, self.out)?;
            }
        }
        if e.code == Code::Insert {
            self.out.write_str(", :insert true")?;
        }
        if e.last() {
            self.out.write_str(", :last true")?;
        }
        Ok(())
    }

    fn begin(&mut self, process: &str, kind: &str, f: &str) -> fmt::Result {
        write!(
            self.out,
            "{{:process {process}, :type :{kind}, :f :{f}, :value "
        )
    }

    fn end(&mut self, time: u64) -> fmt::Result {
        if self.timed {
            write!(self.out, ", :time {time}")?;
        }
        writeln!(self.out, ", :index {}}}", self.index)?;
        self.index += 1;
        Ok(())
    }

    fn open_key(&mut self, e: &Entry) -> fmt::Result {
        if !self.keyed {
            return Ok(());
        }
        let (table, key) = (self.log.table_name(e.key), self.log.key_name(e.key));
        self.out.write_str("[")?;
        if !table.is_empty() {
            self.out.write_str("[")?;
            quoted(table, self.out)?;
            self.out.write_str(" ")?;
            quoted(key, self.out)?;
            self.out.write_str("]")?;
        } else if key.parse::<i64>().is_ok_and(|n| n.to_string() == key) {
            self.out.write_str(key)?;
        } else {
            quoted(key, self.out)?;
        }
        self.out.write_str(" ")
    }

    fn close_key(&mut self) -> fmt::Result {
        self.out.write_str(if self.keyed { "]" } else { "" })
    }

    fn maybe(&mut self, value: Option<i64>) -> fmt::Result {
        match value {
            Some(n) => write!(self.out, "{n}"),
            None => write!(self.out, ":{ABSENT}"),
        }
    }
}
