//! `history.jsonl`, as the canaries' recorder writes it, line by line: a
//! history of any length costs no more memory than the [`Log`] it fills.

use super::json::without_place;
use super::position::ReadError;
use super::{Format, Model, Nil, Options, Reading, initial_number};
use crate::log::{Act, Log, Outcome, Push};
use crate::register::LATEST;
use gameday_record::history::{
    EventValue, HISTORY_VERSION, HistoryHeader, MAX_LINE, OLDEST_HISTORY,
};
use gameday_record::{ErrorClass, EventKind};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::HashMap;

/// Any line: an event has the fields below, a header and an end marker one each.
#[derive(Deserialize)]
struct Line<'a> {
    gameday_history: Option<HistoryHeader>,
    gameday_end: Option<u64>,
    #[serde(default)]
    index: u64,
    time: Option<u64>,
    process: Option<u64>,
    #[serde(rename = "type")]
    kind: Option<EventKind>,
    #[serde(borrow, default)]
    f: Cow<'a, str>,
    #[serde(borrow, default)]
    table: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "some_text")]
    key: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "present")]
    value: Option<EventValue>,
    #[serde(default, deserialize_with = "present")]
    observed: Option<Option<i64>>,
    error: Option<Why>,
    #[serde(borrow, default)]
    az: Cow<'a, str>,
    #[serde(borrow, default)]
    endpoint: Cow<'a, str>,
    #[serde(default)]
    last: bool,
}

#[derive(Deserialize)]
struct Why {
    class: ErrorClass,
}

/// A field that is there, even if it is `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

/// Borrows where a plain `Option<Cow>` would copy.
fn some_text<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    Text::deserialize(d).map(|t| Some(t.0))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Read { strong: bool },
    Write(i64),
    Insert(i64),
    Add(i64),
    Cas(Option<i64>, i64),
}

impl Asked {
    /// What the call is called in the file.
    fn name(self) -> &'static str {
        match self {
            Asked::Read { strong: true } => "read",
            Asked::Read { strong: false } => "eventual-read",
            Asked::Write(_) => "write",
            Asked::Insert(_) => "insert",
            Asked::Add(_) => "add",
            Asked::Cas(..) => "cas",
        }
    }
}

/// A call without completion yet. Its strings are kept when it is used again.
#[derive(Default)]
struct Open {
    index: u64,
    start: u64,
    asked: Option<Asked>,
    last: bool,
    table: String,
    key: String,
    az: String,
    endpoint: String,
}

/// Reads one history, a line at a time.
///
/// A last line without its line break is what an interrupted recorder leaves,
/// and is no error; without the end marker the log is not
/// [complete](Log::complete).
///
/// ```
/// use gameday_checker::read::{Lines, Options};
/// let mut lines = Lines::new(&Options::default());
/// lines.line(b"{\"gameday_history\":{\"version\":2,\"run\":\"r\",\"seed\":1,\"clock\":\"c\",\"epoch_utc\":\"\"}}\n")?;
/// lines.line(b"{\"time\":5,\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"key\":\"k\",\"value\":7}\n")?;
/// lines.line(b"{\"time\":9,\"process\":0,\"type\":\"ok\",\"f\":\"write\",\"key\":\"k\",\"value\":7}\n")?;
/// lines.line(b"{\"gameday_end\":2}\n")?;
/// let reading = lines.finish()?;
/// assert!(reading.log.complete && reading.log.len() == 1);
/// # Ok::<(), gameday_checker::read::ReadError>(())
/// ```
pub struct Lines {
    options: Options,
    log: Log,
    header: Option<HistoryHeader>,
    open: HashMap<u64, Open>,
    spare: Vec<Open>,
    number: u64,
    events: u64,
    torn: bool,
    /// Which calls were seen: write, cas, insert, add.
    seen: [bool; 4],
}

impl Lines {
    /// Nothing read yet. The format in the options is not looked at.
    pub fn new(options: &Options) -> Self {
        Lines {
            options: options.clone(),
            log: Log::of_canaries(),
            header: None,
            open: HashMap::new(),
            spare: Vec::new(),
            number: 0,
            events: 0,
            torn: false,
            seen: [false; 4],
        }
    }

    /// Takes the next line, with its line break; only the last may lack it.
    ///
    /// # Errors
    /// A line that is not of the format or does not fit the ones before it.
    pub fn line(&mut self, line: &[u8]) -> Result<(), ReadError> {
        self.number += 1;
        let number = self.number;
        if line.len() > MAX_LINE {
            return Err(ReadError::line(
                number,
                format!("longer than {MAX_LINE} bytes"),
            ));
        }
        if line.last() != Some(&b'\n') {
            self.torn = true;
            return Ok(());
        }
        if self.torn || self.log.complete {
            let what = "something follows the end marker";
            return Err(ReadError::line(number, what));
        }
        // Without its line break, so that an error at the end has a column.
        let text = &line[..line.len() - 1];
        // Some editors mark UTF-8 with a byte order mark.
        let text = match number {
            1 => text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
            _ => text,
        };
        let parsed: Line<'_> = serde_json::from_slice(text).map_err(|e| ReadError {
            line: number,
            column: e.column() as u64,
            what: format!(
                "neither an event, a header nor an end marker ({})",
                without_place(&e)
            ),
        })?;
        self.take(parsed)
            .map_err(|what| ReadError::line(number, what))
    }

    fn take(&mut self, line: Line<'_>) -> Result<(), String> {
        if let Some(header) = line.gameday_history {
            if !(OLDEST_HISTORY..=HISTORY_VERSION).contains(&header.version) {
                return Err(format!(
                    "history format {} (this binary reads {OLDEST_HISTORY} to {HISTORY_VERSION})",
                    header.version
                ));
            }
            self.log.forgotten(header.forgotten);
            return match self.header.replace(header) {
                None => Ok(()),
                Some(_) => Err("a second header".into()),
            };
        }
        if let Some(count) = line.gameday_end {
            if count != self.events {
                return Err(format!(
                    "the end marker counts {count} events, but {} stand before it",
                    self.events
                ));
            }
            self.log.complete = true;
            return Ok(());
        }
        if self.header.is_none() {
            return Err("an event before the header".into());
        }
        self.events += 1;
        let missing = |field| format!("an event without '{field}'");
        let process = line.process.ok_or_else(|| missing("process"))?;
        let time = line.time.ok_or_else(|| missing("time"))?;
        let kind = line.kind.ok_or_else(|| missing("type"))?;
        let key = line.key.as_deref().ok_or_else(|| missing("key"))?;
        let value = line.value.ok_or_else(|| missing("value"))?;
        if time > LATEST {
            return Err(format!("the time {time} is out of range"));
        }
        if kind != EventKind::Invoke {
            let mut open = self.open.remove(&process).ok_or_else(|| {
                format!("process {process} completes a call that it did not invoke")
            })?;
            if open.key != key || open.table != line.table {
                return Err(format!("process {process} completes a call on another key"));
            }
            if let Some(asked) = open.asked.map(Asked::name)
                && line.f != asked
            {
                return Err(format!(
                    "process {process} completes '{}', but it invoked '{asked}'",
                    line.f
                ));
            }
            if time < open.start {
                return Err(format!(
                    "process {process} completes a call before it began"
                ));
            }
            self.complete(process, &mut open, time, kind, value, &line)?;
            self.spare.push(open);
            return Ok(());
        }
        let asked = self.asked(&line.f, value)?;
        let mut open = self.spare.pop().unwrap_or_default();
        open.index = line.index;
        open.start = time;
        open.asked = Some(asked);
        open.last = line.last;
        for (to, from) in [
            (&mut open.table, &*line.table),
            (&mut open.key, key),
            (&mut open.az, &*line.az),
            (&mut open.endpoint, &*line.endpoint),
        ] {
            to.clear();
            to.push_str(from);
        }
        match self.open.insert(process, open) {
            None => Ok(()),
            Some(_) => Err(format!(
                "process {process} invokes while its last call is still open"
            )),
        }
    }

    fn asked(&mut self, f: &str, value: EventValue) -> Result<Asked, String> {
        let (asked, fits) = match (f, value) {
            ("read", _) => (Asked::Read { strong: true }, !0),
            ("eventual-read", _) => (Asked::Read { strong: false }, !0),
            ("write", EventValue::One(Some(v))) => (Asked::Write(v), 0b0011),
            ("cas", EventValue::Pair(expected, new)) => (Asked::Cas(expected, new), 0b0010),
            ("insert", EventValue::One(Some(v))) => (Asked::Insert(v), 0b0111),
            ("add", EventValue::One(Some(v))) => (Asked::Add(v), 0b1000),
            ("write" | "insert" | "add" | "cas", _) => {
                return Err(format!("'{f}' has no value to write"));
            }
            _ => {
                return Err(format!(
                    "unknown call '{f}' (known: read, eventual-read, write, insert, cas, add)"
                ));
            }
        };
        match asked {
            Asked::Read { .. } => {}
            Asked::Write(_) => self.seen[0] = true,
            Asked::Cas(..) => self.seen[1] = true,
            Asked::Insert(_) => self.seen[2] = true,
            Asked::Add(_) => self.seen[3] = true,
        }
        if let Some(model) = self.options.model {
            let bit = match model {
                Model::Register => 0b0001,
                Model::CasRegister => 0b0010,
                Model::Set => 0b0100,
                Model::Counter => 0b1000,
                Model::KvAppend => 0,
            };
            if fits & bit == 0 {
                return Err(format!("the model {} has no '{f}'", model.name()));
            }
        }
        Ok(asked)
    }

    fn complete(
        &mut self,
        process: u64,
        open: &mut Open,
        time: u64,
        kind: EventKind,
        value: EventValue,
        line: &Line<'_>,
    ) -> Result<(), String> {
        let result = match (open.asked, kind, value) {
            (Some(Asked::Read { .. } | Asked::Add(_)), EventKind::Ok, EventValue::Pair(..)) => {
                return Err(format!("'{}' returned a pair", line.f));
            }
            (_, EventKind::Ok, EventValue::One(v)) => v,
            _ => None,
        };
        let condition = line
            .error
            .as_ref()
            .is_some_and(|e| e.class == ErrorClass::Condition);
        let outcome = match kind {
            EventKind::Ok => Outcome::Ok,
            EventKind::Fail => match open.asked {
                Some(Asked::Cas(..)) if condition || line.observed.is_some() => Outcome::Refused,
                _ => Outcome::Failed,
            },
            EventKind::Info | EventKind::Invoke => Outcome::Unknown,
        };
        self.push(process, open, Some(time), outcome, result, line.observed)
    }

    fn push(
        &mut self,
        process: u64,
        open: &Open,
        finish: Option<u64>,
        outcome: Outcome,
        result: Option<i64>,
        observed: Option<Option<i64>>,
    ) -> Result<(), String> {
        let anything = self.options.nil == Some(Nil::Anything);
        let act = match open.asked {
            Some(Asked::Read { .. }) if anything && outcome == Outcome::Ok && result.is_none() => {
                Act::ReadAnything
            }
            Some(Asked::Read { strong }) => Act::Read {
                strong,
                found: result,
            },
            Some(Asked::Write(v)) => Act::Write(v),
            Some(Asked::Insert(v)) => Act::Insert(v),
            Some(Asked::Add(delta)) => Act::Add { delta, sum: result },
            Some(Asked::Cas(expected, new)) => Act::Cas {
                expected,
                new,
                found: observed.filter(|_| outcome == Outcome::Refused),
            },
            None => return Ok(()),
        };
        self.log
            .push(&Push {
                index: open.index,
                process,
                az: &open.az,
                endpoint: &open.endpoint,
                table: &open.table,
                key: &open.key,
                start: open.start,
                finish,
                outcome,
                act,
                last: open.last,
            })
            .map_err(|full| full.to_string())
    }

    /// What was read; calls still open are of unknown outcome.
    ///
    /// # Errors
    /// There was no header; an initial value that is no number.
    pub fn finish(mut self) -> Result<Reading, ReadError> {
        if self.header.is_none() && self.number > 0 {
            return Err(ReadError::whole("not a gameday history: no header line"));
        }
        let mut rest: Vec<(u64, Open)> = std::mem::take(&mut self.open).into_iter().collect();
        rest.sort_unstable_by_key(|(process, open)| (open.start, open.index, *process));
        for (process, open) in rest {
            self.push(process, &open, None, Outcome::Unknown, None, None)
                .map_err(ReadError::whole)?;
        }
        self.log.initial = initial_number(&self.options)?;
        let [write, cas, insert, add] = self.seen;
        let mut objects = Vec::new();
        if cas {
            objects.push("cas-register");
        } else if write || !(insert || add) {
            objects.push("register");
        }
        if insert {
            objects.push("durable set");
        }
        if add {
            objects.push("counter");
        }
        Ok(Reading {
            log: self.log,
            format: Format::Gameday,
            model: objects.join(" + "),
            names: Vec::new(),
            skipped: 0,
            reordered: 0,
        })
    }
}
