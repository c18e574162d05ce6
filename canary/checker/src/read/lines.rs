//! Logs of Jepsen's early etcd test: one event per line, in the order of real
//! time, without times. `INFO  jepsen.util - 3  :invoke  :cas  [1 2]`; what is
//! between the words is tabs or spaces.

use super::edn::{Edn, Reader};
use super::event::Event;
use super::position::{ReadError, excerpt};
use gameday_record::EventKind;

/// One line: an event, or `None` for an empty line and for the nemesis.
/// `start` is where the line begins in the file.
///
/// # Errors
/// What is wrong, with its place in the file.
pub(super) fn event<'a>(
    file: &'a str,
    line: &'a str,
    start: usize,
) -> Result<Option<Event<'a>>, ReadError> {
    let error = |at: usize, what: String| ReadError::at(file.as_bytes(), at, what);
    let mut words = Words { line, at: 0 };
    if words.peek().is_empty() {
        return Ok(None);
    }
    for expected in ["INFO", "jepsen.util", "-"] {
        let (at, word) = words.take();
        if word != expected {
            let what = format!("'{}' where '{expected}' should be", excerpt(word));
            return Err(error(start + at, what));
        }
    }
    let (at, process) = words.take();
    if process == ":nemesis" {
        return Ok(None);
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
    let rest = reader.position();
    if words.at + rest < line.len() {
        let what = format!("'{}' after the value", excerpt(&line[words.at + rest..]));
        return Err(error(start + words.at + rest, what));
    }
    // In these logs a compare-and-set fails because its condition did not
    // hold, and says so by repeating its value.
    let refused = kind == EventKind::Fail && f == "cas" && matches!(value, Edn::Vector(_));
    Ok(Some(Event {
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
    }))
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
