//! `history.jsonl`, as the canaries' recorder writes it, line by line: a
//! history of any length costs no more memory than the [`Log`] it fills.

use super::position::ReadError;
use super::{Format, Model, Nil, Options, Reading, initial_number};
use crate::log::Log;
use gameday_record::history::{Reader, Refused};
use gameday_record::{Call, Operation};

impl From<Refused> for ReadError {
    fn from(refused: Refused) -> Self {
        ReadError {
            line: refused.line,
            column: refused.column,
            what: refused.what,
        }
    }
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
    reader: Reader,
    log: Log,
    number: u64,
    seen: Seen,
}

/// Which calls were seen.
#[derive(Default)]
struct Seen {
    write: bool,
    cas: bool,
    insert: bool,
    add: bool,
}

impl Seen {
    /// # Errors
    /// The model has no such call.
    fn call(&mut self, call: &Call, model: Option<Model>) -> Result<(), String> {
        let fits: &[Model] = match call {
            Call::Read { .. } => &[
                Model::Register,
                Model::CasRegister,
                Model::Set,
                Model::Counter,
            ],
            Call::Write { .. } => {
                self.write = true;
                &[Model::Register, Model::CasRegister]
            }
            Call::Cas { .. } => {
                self.cas = true;
                &[Model::CasRegister]
            }
            Call::Insert { .. } => {
                self.insert = true;
                &[Model::Register, Model::CasRegister, Model::Set]
            }
            Call::Add { .. } => {
                self.add = true;
                &[Model::Counter]
            }
        };
        match model.filter(|m| !fits.contains(m)) {
            Some(model) => {
                let (model, call) = (model.name(), call.name());
                Err(format!("the model {model} has no '{call}'"))
            }
            None => Ok(()),
        }
    }
}

impl Lines {
    /// Nothing read yet. The format in the options is not looked at.
    pub fn new(options: &Options) -> Self {
        Lines {
            options: options.clone(),
            reader: Reader::default(),
            log: Log::of_canaries(),
            number: 0,
            seen: Seen::default(),
        }
    }

    /// Takes the next line, with its line break; only the last may lack it.
    ///
    /// # Errors
    /// A line that is not of the format or does not fit the ones before it.
    pub fn line(&mut self, line: &[u8]) -> Result<(), ReadError> {
        self.number += 1;
        let done = match (self.reader.line(line)?, self.reader.begun()) {
            (Some(op), _) => self.push(&op),
            (None, Some(call)) => self.seen.call(call, self.options.model),
            (None, None) => Ok(()),
        };
        done.map_err(|what| ReadError::line(self.number, what))
    }

    fn push(&mut self, op: &Operation) -> Result<(), String> {
        let nil_is_anything = self.options.nil == Some(Nil::Anything);
        let pushed = self.log.push_recorded(op, nil_is_anything);
        pushed.map_err(|full| full.to_string())
    }

    /// What was read; calls still open are of unknown outcome.
    ///
    /// # Errors
    /// There was no header; an initial value that is no number.
    pub fn finish(mut self) -> Result<Reading, ReadError> {
        if self.number > 0 {
            let ending = std::mem::take(&mut self.reader).finish()?;
            for op in &ending.open {
                self.push(op).map_err(ReadError::whole)?;
            }
            self.log.complete = ending.complete;
            self.log.forgotten(ending.header.forgotten);
        }
        self.log.sort();
        self.log.initial = initial_number(&self.options)?;
        let Seen {
            write,
            cas,
            insert,
            add,
        } = self.seen;
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
