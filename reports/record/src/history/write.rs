//! Writing a history, event by event.

use super::{Event, HistoryHeader, HistoryLine};
use serde::Serialize;
use std::io::{self, Write};

/// Appends events to `history.jsonl`, numbering them. Keeps nothing in memory.
#[derive(Debug)]
pub struct HistoryWriter<W: Write> {
    out: W,
    next: u64,
    /// A line is written as a whole.
    line: Vec<u8>,
}

impl<W: Write> HistoryWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn new(out: W, header: HistoryHeader) -> io::Result<Self> {
        let mut writer = HistoryWriter {
            out,
            next: 0,
            line: Vec::new(),
        };
        writer.line(&HistoryLine::Header {
            gameday_history: header,
        })?;
        Ok(writer)
    }

    fn line(&mut self, what: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, what)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }

    /// Appends one event and returns its index.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn append<S: Serialize + AsRef<str>>(&mut self, mut event: Event<S>) -> io::Result<u64> {
        let index = self.next;
        event.index = index;
        self.next += 1;
        self.line(&event)?;
        Ok(index)
    }

    /// Hands buffered lines to the file.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Writes the end marker: every canary's stream was read to its end.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.line(&HistoryLine::End {
            gameday_end: self.next,
        })?;
        self.out.flush()?;
        Ok(self.out)
    }
}
