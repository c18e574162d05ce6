//! Operations as Jepsen logs them, one event per line, in the order of real
//! time. `process`, `type`, `f`, `value` and, since 2015, what went wrong are
//! set apart by tabs (or spaces, in old logs). Before them stands, depending on
//! the year,
//!
//! ```text
//! INFO  jepsen.util - 3  :invoke  :cas  [1 2]
//! INFO [2018-10-24 10:00:00,000] jepsen worker 3 - jepsen.util 3  :invoke  :cas  [1 2]
//! 2024-03-01 12:00:00,123{GMT}  INFO  [jepsen worker 3] jepsen.util: 3  :invoke  :cas  [1 2]
//! ```
//!
//! and nothing in `history.txt`. What other loggers say, and their stack
//! traces, is no event.

use super::edn::{Edn, Reader};
use super::event::{Event, is_condition, is_empty};
use super::position::{ReadError, excerpt};
use gameday_record::EventKind;

/// What a line is.
#[derive(Debug)]
pub(super) enum Line<'a> {
    /// Of a client.
    Event(Box<Event<'a>>),
    /// Empty.
    Blank,
    /// The nemesis.
    NoClient,
    /// Of another logger; lines without one that follow belong to it.
    Other,
}

const LOGGER: &str = "jepsen.util";

/// How events stand in their lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Behind what a logger writes before them.
    Logged,
    /// Alone: `history.txt`.
    Alone,
}

impl Layout {
    /// Whether a file that begins with this line is of this layout.
    pub fn begins(self, line: &str) -> bool {
        self.event(line).is_some() || self == Layout::Logged && is_logged(line)
    }

    /// Where the event begins in a line, if it has one.
    fn event(self, line: &str) -> Option<usize> {
        if self == Layout::Alone {
            let mut words = line.split_whitespace();
            let process = words.next()?;
            let number = process.bytes().all(|b| b.is_ascii_digit());
            let event = (number || process.starts_with(':'))
                && words.next().is_some_and(|w| w.starts_with(':'));
            return event.then(|| line.len() - line.trim_start().len());
        }
        let at = line.find(LOGGER).filter(|_| is_logged(line))?;
        let rest = &line[at + LOGGER.len()..];
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        let blank = rest.starts_with(char::is_whitespace);
        let rest = rest.trim_start();
        let rest = rest.strip_prefix("- ").unwrap_or(rest).trim_start();
        blank.then_some(line.len() - rest.len())
    }
}

/// Whether a line begins as a logger begins it: with a level, or a date.
fn is_logged(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    let date = |b: &[u8]| b.len() == 10 && b[4] == b'-' && b[7] == b'-' && b[0].is_ascii_digit();
    ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"].contains(&first) || date(first.as_bytes())
}

/// One line; `start` is where it begins in the file, `within`: the line before
/// was of another logger.
///
/// # Errors
/// What is wrong, with its place in the file.
pub(super) fn event<'a>(
    layout: Layout,
    file: &'a str,
    line: &'a str,
    start: usize,
    within: bool,
) -> Result<Line<'a>, ReadError> {
    let error = |at: usize, what: String| ReadError::at(file.as_bytes(), at, what);
    if line.trim().is_empty() {
        return Ok(Line::Blank);
    }
    let Some(at) = layout.event(line) else {
        if layout == Layout::Logged && (is_logged(line) || within) {
            return Ok(Line::Other);
        }
        let what = format!("'{}' is no event of {LOGGER}", excerpt(line.trim()));
        return Err(error(start, what));
    };
    let mut words = Words { line, at };
    let (at, process) = words.take();
    if process == ":nemesis" {
        return Ok(Line::NoClient);
    }
    let process = process.parse().map_err(|_| {
        let what = format!("'{}' is no process number", excerpt(process));
        error(start + at, what)
    })?;
    let (at, kind) = words.take();
    let kind = match kind {
        ":invoke" => EventKind::Invoke,
        ":ok" => EventKind::Ok,
        ":fail" => EventKind::Fail,
        ":info" => EventKind::Info,
        other => {
            let what = format!("'{}' is none of :invoke, :ok, :fail, :info", excerpt(other));
            return Err(error(start + at, what));
        }
    };
    let (at, f) = words.take();
    let Some(f) = f.strip_prefix(':').filter(|f| !f.is_empty()) else {
        return Err(error(start + at, format!("'{}' is no call", excerpt(f))));
    };
    words.peek();
    // What follows is one form, read with the rest of the file hidden.
    let mut reader = Reader::new(&line[words.at..]);
    let place = |e: ReadError| {
        error(
            start + words.at + e.column.saturating_sub(1) as usize,
            e.what,
        )
    };
    let value = reader.form().map_err(place)?.unwrap_or(Edn::Nil);
    // Not `position`, which skips the tab.
    let after = &line[words.at + reader.taken()..];
    let said = after.trim_start();
    let why = match said.is_empty() {
        true => None,
        false if after.starts_with('\t') && kind != EventKind::Invoke => {
            // It may be any text, that of an exception too.
            Some(Reader::new(said).form().ok().flatten().unwrap_or(Edn::Nil))
        }
        false => {
            let what = format!("'{}' after the value", excerpt(said.trim_end()));
            return Err(error(start + line.len() - said.len(), what));
        }
    };
    // In these logs a compare-and-set fails because its condition did not
    // hold, and says so by repeating its value; what failed for another reason
    // gives that.
    let refused = kind == EventKind::Fail
        && match f {
            "cas" => matches!(value, Edn::Vector(_)) && why.as_ref().is_none_or(is_condition),
            "dequeue" => why.as_ref().is_some_and(is_empty),
            _ => false,
        };
    Ok(Line::Event(Box::new(Event {
        at: start,
        process,
        kind,
        f: f.into(),
        key: None,
        value,
        time: None,
        index: None,
        refused,
        more: Default::default(),
    })))
}

struct Words<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    /// The next word, without taking it.
    fn peek(&mut self) -> &'a str {
        let rest = &self.line[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        let rest = &self.line[self.at..];
        &rest[..rest.find(char::is_whitespace).unwrap_or(rest.len())]
    }

    fn take(&mut self) -> (usize, &'a str) {
        let word = self.peek();
        let at = self.at;
        self.at += word.len();
        (at, word)
    }
}
