//! The one reader of a history: line by line, so that one of any length costs
//! no more memory than what is made of it.

use super::{
    Event, EventKind, EventValue, HISTORY_VERSION, HistoryHeader, MAX_LINE, OLDEST_HISTORY, Pairing,
};
use crate::operation::{Attempt, Call, Failure, Operation};
use crate::time::Nanos;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead};

/// Why a file is no history: what is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Line, from 1; 0 if it is about the file as a whole.
    pub line: u64,
    /// Column in bytes, from 1; 0 if it is about the line as a whole.
    pub column: u64,
    /// What is wrong, in words.
    pub what: String,
}

impl Refused {
    fn line(line: u64, what: impl Into<String>) -> Self {
        Refused {
            line,
            column: 0,
            what: what.into(),
        }
    }
}

/// `line 3, column 14: …`
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => f.write_str(&self.what),
            (line, 0) => write!(f, "line {line}: {}", self.what),
            (line, column) => write!(f, "line {line}, column {column}: {}", self.what),
        }
    }
}

impl std::error::Error for Refused {}

/// Any line: an event has the fields below, a header and an end marker one each.
#[derive(Deserialize)]
struct Line<'a> {
    gameday_history: Option<HistoryHeader>,
    gameday_end: Option<u64>,
    #[serde(default)]
    index: u64,
    time: Option<Nanos>,
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
    error: Option<Failure>,
    due: Option<Nanos>,
    #[serde(borrow, default)]
    az: Cow<'a, str>,
    #[serde(borrow, default)]
    endpoint: Cow<'a, str>,
    #[serde(default)]
    last: bool,
    #[serde(default)]
    fresh: bool,
    #[serde(default)]
    attempt: Attempt,
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

impl<'a> Line<'a> {
    fn event(self) -> Result<Event<Cow<'a, str>>, String> {
        let missing = |field| format!("an event without '{field}'");
        let event = Event {
            index: self.index,
            process: self.process.ok_or_else(|| missing("process"))?,
            time: self.time.ok_or_else(|| missing("time"))?,
            kind: self.kind.ok_or_else(|| missing("type"))?,
            f: self.f,
            table: self.table,
            key: self.key.ok_or_else(|| missing("key"))?,
            value: self.value.ok_or_else(|| missing("value"))?,
            observed: self.observed,
            error: self.error,
            due: self.due,
            az: self.az,
            endpoint: self.endpoint,
            last: self.last,
            fresh: self.fresh,
            attempt: self.attempt,
        };
        if event.time > Nanos::LATEST {
            return Err(format!("the time {} is out of range", event.time.0));
        }
        Ok(event)
    }
}

/// Some editors mark UTF-8 by it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a history a line at a time.
///
/// It may begin with a byte order mark. A last line without its line break is
/// what an interrupted recorder leaves, and is no error; without the end marker
/// the history is not complete.
#[derive(Debug, Default)]
pub struct Reader {
    header: Option<HistoryHeader>,
    pairing: Pairing,
    lines: u64,
    events: u64,
    torn: bool,
    complete: bool,
    /// Whose call the last line began.
    begun: Option<u64>,
}

/// What stands at the end of a history.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// Its header.
    pub header: HistoryHeader,
    /// Calls without completion, as unknown; in order of invocation.
    pub open: Vec<Operation>,
    /// False if the end marker is missing: the recording was cut off.
    pub complete: bool,
}

impl Reader {
    /// Takes the next line, with its line break; only the last may lack it.
    /// Returns the operation that it completes, if it does.
    ///
    /// # Errors
    /// A line that is not of the format or does not fit the ones before it.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Operation>, Refused> {
        self.begun = None;
        self.lines += 1;
        let number = self.lines;
        let line = match number {
            1 => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line),
            _ => line,
        };
        if line.len() > MAX_LINE {
            let what = format!("longer than {MAX_LINE} bytes");
            return Err(Refused::line(number, what));
        }
        // Without its line break, so that an error at the end has a column.
        let Some(text) = line.strip_suffix(b"\n") else {
            self.torn = true;
            return Ok(None);
        };
        if self.torn || self.complete {
            let what = "something follows the end marker";
            return Err(Refused::line(number, what));
        }
        let parsed: Line<'_> = serde_json::from_slice(text).map_err(|e| {
            let text = e.to_string();
            let what = text.rfind(" at line ").map_or(&*text, |at| &text[..at]);
            Refused {
                line: number,
                column: e.column() as u64,
                what: format!("neither an event, a header nor an end marker ({what})"),
            }
        })?;
        self.take(parsed)
            .map_err(|what| Refused::line(number, what))
    }

    fn take(&mut self, mut line: Line<'_>) -> Result<Option<Operation>, String> {
        if let Some(header) = line.gameday_history.take() {
            if !(OLDEST_HISTORY..=HISTORY_VERSION).contains(&header.version) {
                return Err(format!(
                    "history format {} (this binary reads {OLDEST_HISTORY} to {HISTORY_VERSION})",
                    header.version
                ));
            }
            return match self.header.replace(header) {
                None => Ok(None),
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
            self.complete = true;
            return Ok(None);
        }
        if self.header.is_none() {
            return Err("an event before the header".into());
        }
        self.events += 1;
        let event = line.event()?;
        let done = self.pairing.push(&event)?;
        if done.is_none() {
            self.begun = Some(event.process);
        }
        Ok(done)
    }

    /// The call that the last line began, if it did.
    pub fn begun(&self) -> Option<&Call> {
        let begun = self.pairing.open(self.begun?);
        begun.map(|op| &op.call)
    }

    /// What stands at the end.
    ///
    /// # Errors
    /// There was no header.
    pub fn finish(self) -> Result<Ending, Refused> {
        let none = || Refused::line(0, "not a gameday history: no header line");
        Ok(Ending {
            header: self.header.ok_or_else(none)?,
            open: self.pairing.finish(),
            complete: self.complete,
        })
    }
}

/// Hands every operation to `each`, as they completed; those without
/// completion are in the [`Ending`].
///
/// # Errors
/// A line that is not of the format, with its number; an I/O error.
pub fn stream(mut input: impl BufRead, mut each: impl FnMut(Operation)) -> Result<Ending, String> {
    let mut reader = Reader::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let n = io::Read::take(&mut input, MAX_LINE as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(|e| format!("line {}: {e}", reader.lines + 1))?;
        if n == 0 {
            return reader.finish().map_err(|e| e.to_string());
        }
        if let Some(op) = reader.line(&line).map_err(|e| e.to_string())? {
            each(op);
        }
    }
}

/// A whole history in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Its header.
    pub header: HistoryHeader,
    /// All operations, by invocation time.
    pub operations: Vec<Operation>,
    /// False if the end marker is missing: the recording was cut off.
    pub complete: bool,
}

/// Reads a history into memory. A long one is better [`stream`]ed.
///
/// # Errors
/// See [`stream`].
pub fn read(input: impl BufRead) -> Result<History, String> {
    let mut operations = Vec::new();
    let ending = stream(input, |op| operations.push(op))?;
    operations.extend(ending.open);
    operations.sort_by_key(|o| (o.invoked, o.index));
    Ok(History {
        header: ending.header,
        operations,
        complete: ending.complete,
    })
}
