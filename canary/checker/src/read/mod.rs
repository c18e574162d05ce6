//! Recorded histories of several formats to a [`Log`].
//!
//! | [`Format`] | what | order and time | a nil read |
//! | --- | --- | --- | --- |
//! | `Gameday` | `history.jsonl` of a run | its times | no item |
//! | `Edn` | Jepsen's `history.edn`, Knossos' and Elle's data: a vector or list of operation maps, or maps in sequence | the file's order; times fitted to it | anything |
//! | `Json` | the same as JSON, as elle-cli takes it | the same | anything |
//! | `JepsenLog` | lines of `jepsen.util` in a log (`INFO  jepsen.util - 0 :invoke :read nil`) | the file's order | absent |
//! | `JepsenTxt` | Jepsen's `history.txt`: `0 :invoke :read nil` | the file's order | absent |
//! | `Kv` | maps with `:key`, and `:get`, `:put`, `:append` | the file's order | the empty text |
//!
//! In Jepsen's formats `:fail` says that a call had no effect and nothing
//! more. A failed compare-and-set is taken as a refusal (its condition did not
//! hold) only if it says so: by repeating its value in a `JepsenLog`, by
//! `:error :condition` or `:observed` elsewhere. Values that are no integers
//! are given numbers, listed in [`Reading::names`].
//!
//! Nothing here does I/O. Readers take the bytes of a file ([`read`]), or its
//! lines ([`Lines`]) where a history may be larger than memory.

mod edn;
mod event;
mod json;
mod jsonl;
mod lines;
mod objects;
mod pair;
mod position;
mod values;
mod versions;

pub(crate) use edn::quoted;
pub use edn::{Edn, MAX_DEPTH, Reader};
pub use jsonl::Lines;
pub(crate) use objects::ABSENT;
pub use position::ReadError;

use crate::log::{Clock, Effect, Entry, Full, Log, Promises, Push, Strangers};
use event::{Event, Header, Parsed};
use lines::{Layout, Line};
use objects::Meaning;
use pair::Call;
use std::collections::HashMap;
use values::Values;
use versions::Choice;

/// How a history is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `history.jsonl` of a game day.
    Gameday,
    /// Jepsen's EDN.
    Edn,
    /// Operations as JSON objects.
    Json,
    /// Log lines of `jepsen.util`.
    JepsenLog,
    /// The same lines alone: Jepsen's `history.txt`.
    JepsenTxt,
    /// EDN maps with `:key`, of a store of texts.
    Kv,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 6] = [
        Format::Gameday,
        Format::Edn,
        Format::Json,
        Format::JepsenLog,
        Format::JepsenTxt,
        Format::Kv,
    ];

    /// `gameday`, `edn`, `json`, `jepsen-log`, `jepsen-txt`, `kv`.
    pub fn name(self) -> &'static str {
        match self {
            Format::Gameday => "gameday",
            Format::Edn => "edn",
            Format::Json => "json",
            Format::JepsenLog => "jepsen-log",
            Format::JepsenTxt => "jepsen-txt",
            Format::Kv => "kv",
        }
    }
}

/// The object that each key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Model {
    /// Reads and writes.
    Register,
    /// And compare-and-set.
    CasRegister,
    /// A text that is replaced or grows.
    KvAppend,
    /// A set that elements are added to.
    Set,
    /// A sum.
    Counter,
    /// What is put in first comes out first.
    Queue,
    /// What is put in comes out.
    TotalQueue,
}

impl Model {
    /// All models.
    pub const ALL: [Model; 7] = [
        Model::Register,
        Model::CasRegister,
        Model::KvAppend,
        Model::Set,
        Model::Counter,
        Model::Queue,
        Model::TotalQueue,
    ];

    /// `register`, `cas-register`, `kv-append`, `set`, `counter`, `queue`, `total-queue`.
    pub fn name(self) -> &'static str {
        match self {
            Model::Register => "register",
            Model::CasRegister => "cas-register",
            Model::KvAppend => "kv-append",
            Model::Set => "set",
            Model::Counter => "counter",
            Model::Queue => "queue",
            Model::TotalQueue => "total-queue",
        }
    }

    fn is_queue(self) -> bool {
        matches!(self, Model::Queue | Model::TotalQueue)
    }
}

/// What a read means that returned nil.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nil {
    /// It found nothing: no item, the empty text, the empty set.
    Absent,
    /// It does not say what it found, as in Knossos' registers.
    Anything,
}

/// What every key holds in the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Initial {
    /// Nothing.
    Absent,
    /// A value, as it is written in EDN: `0`, `:a`, `"x"`.
    Value(String),
}

/// How to read; what is `None` is taken from the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Format.
    pub format: Option<Format>,
    /// Model.
    pub model: Option<Model>,
    /// Meaning of a nil read; the default is in the table of the [module](self).
    pub nil: Option<Nil>,
    /// Whether values are `[key value]` tuples of independent keys; `None`:
    /// they are if every invocation has one.
    pub independent: Option<bool>,
    /// Initial value of registers and counters; nothing, if not given.
    pub initial: Option<Initial>,
}

/// A history that was read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its operations.
    pub log: Log,
    /// The format it has.
    pub format: Format,
    /// The model, or models, of its keys.
    pub model: String,
    /// Values that are no integers, with the numbers they have in the log.
    pub names: Vec<(i64, String)>,
    /// Events that were left out because no client made them (the nemesis).
    pub skipped: u64,
    /// Events whose times contradict the order of the file, which was taken.
    pub reordered: u64,
}

impl Reading {
    /// Operations of unknown outcome: they may have had an effect, and their
    /// process is gone.
    pub fn unknown(&self) -> usize {
        let unknown = |e: &&Entry| e.effect == Effect::Unknown;
        self.log.entries.iter().filter(unknown).count()
    }

    /// Reads that certainly failed. What they would have found is not known
    /// either (`:fail :read :timed-out`), but nothing hangs on it and their
    /// process goes on; other tools count them with the [unknown](Self::unknown).
    pub fn failed_reads(&self) -> usize {
        let failed = |e: &&Entry| e.effect == Effect::Failed && e.code.reads();
        self.log.entries.iter().filter(failed).count()
    }
}

/// Bytes from the beginning of a file that tell whether it is of the format
/// `Gameday`, which can be read line by line.
pub const DETECT: usize = 64 << 10;

/// The format of a file, from its bytes. A file without anything in it counts
/// as an empty history. `Edn` and `Kv` are told apart by the first call of a
/// client, which may come late; the others by their first line.
///
/// # Errors
/// It looks like none of the formats.
pub fn detect(start: &[u8]) -> Result<Format, ReadError> {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let blank = |b: &u8| b.is_ascii_whitespace() || *b == b',';
    let from = |i: usize| {
        let rest = start.get(i..).unwrap_or_default();
        rest.iter().position(|b| !blank(b)).map(|n| i + n)
    };
    let Some(first) = from(0) else {
        return Ok(Format::Edn);
    };
    let second = from(first + 1);
    let at = |i: Option<usize>| i.map(|i| start[i]);
    let inner = match start[first] {
        b'[' if at(second) == Some(b'{') => at(second.and_then(|i| from(i + 1))),
        b'{' => at(second),
        _ => None,
    };
    match (start[first], inner) {
        (b'{', Some(b'"')) => {
            let line = start[first..]
                .split(|b| *b == b'\n')
                .next()
                .unwrap_or_default();
            let gameday = b"\"gameday_history\"";
            let ours = line.windows(gameday.len()).any(|w| w == gameday);
            Ok(if ours { Format::Gameday } else { Format::Json })
        }
        (b'[', Some(b'"')) => Ok(Format::Json),
        (b'{' | b'[' | b'(' | b'#' | b';' | b'^', _) if is_kv(start) => Ok(Format::Kv),
        (b'{' | b'[' | b'(' | b'#' | b';' | b'^', _) => Ok(Format::Edn),
        _ if let Some(format) = of_line(&start[first..]) => Ok(format),
        _ => {
            let names: Vec<&str> = Format::ALL.iter().map(|f| f.name()).collect();
            let what = format!(
                "this begins like no history of a known format ({})",
                names.join(", ")
            );
            Err(ReadError::at(start, first, what))
        }
    }
}

/// The format of which this is the first line, if it is a log.
fn of_line(start: &[u8]) -> Option<Format> {
    let line = start.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = std::str::from_utf8(line).ok()?;
    match (Layout::Logged.begins(line), Layout::Alone.begins(line)) {
        (true, _) => Some(Format::JepsenLog),
        (_, true) => Some(Format::JepsenTxt),
        _ => None,
    }
}

/// Whether the first call of a client is one of a store of texts.
fn is_kv(start: &[u8]) -> bool {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // What is cut off at the end may be half a character.
        Err(e) => std::str::from_utf8(&start[..e.valid_up_to()]).unwrap_or_default(),
    };
    let mut reader = Reader::new(text);
    let sequence = reader.enter();
    loop {
        let form = match sequence {
            Some(close) => reader.element(close),
            None => reader.form(),
        };
        let Ok(Some(form)) = form else {
            return false;
        };
        match event::parse(form, 0) {
            Ok(Parsed::NoClient) => {}
            Ok(Parsed::Event(e)) => {
                return e.key.is_some() && matches!(&*e.f, "get" | "put" | "append");
            }
            _ => return false,
        }
    }
}

/// Reads the bytes of a whole file.
///
/// ```
/// use gameday_checker::read::{Format, Options, read};
/// let text = "{:process 0, :type :invoke, :f :write, :value 1}
///             {:process 0, :type :ok,     :f :write, :value 1}
///             {:process 1, :type :invoke, :f :read,  :value nil}
///             {:process 1, :type :oops,   :f :read,  :value 1}";
/// let error = read(text.as_bytes(), &Options::default()).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "line 4, column 13: :type is :oops, not :invoke, :ok, :fail or :info"
/// );
/// let reading = read(text.replace("oops", "ok").as_bytes(), &Options::default())?;
/// assert_eq!((reading.format, reading.log.len()), (Format::Edn, 2));
/// # Ok::<(), gameday_checker::read::ReadError>(())
/// ```
///
/// # Errors
/// It is no history, with what is wrong and where.
pub fn read(bytes: &[u8], options: &Options) -> Result<Reading, ReadError> {
    let format = match options.format {
        Some(format) => format,
        None => detect(bytes)?,
    };
    if format == Format::Gameday {
        let mut lines = Lines::new(options);
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            lines.line(line)?;
        }
        return lines.finish();
    }
    let text = position::utf8(bytes)?;
    let mut file = File::default();
    match format {
        Format::Json => {
            let mut operations = json::Operations::new(text);
            while let Some((form, at)) = operations.next()? {
                file.take(form, at, bytes)?;
            }
        }
        Format::JepsenLog | Format::JepsenTxt => {
            let layout = match format {
                Format::JepsenTxt => Layout::Alone,
                _ => Layout::Logged,
            };
            let mut start = if text.starts_with('\u{feff}') { 3 } else { 0 };
            let mut within = false;
            for line in text[start..].split_inclusive('\n') {
                let read = lines::event(layout, text, line, start, within)?;
                within = matches!(read, Line::Other) || within && matches!(read, Line::Blank);
                match read {
                    Line::Event(event) => file.events.push(*event),
                    Line::NoClient => file.skipped += 1,
                    Line::Blank | Line::Other => {}
                }
                start += line.len();
            }
        }
        _ => edn_forms(text, &mut file)?,
    }
    file.reading(format, options)
        .map_err(|(at, what)| match at {
            Some(at) => ReadError::at(bytes, at, what),
            None => ReadError::whole(what),
        })
}

fn edn_forms<'a>(text: &'a str, file: &mut File<'a>) -> Result<(), ReadError> {
    let mut reader = Reader::new(text);
    let sequence = reader.enter();
    loop {
        let at = reader.position();
        let form = match sequence {
            Some(close) => reader.element(close)?,
            None => reader.form()?,
        };
        match form {
            Some(form) => file.take(form, at, text.as_bytes())?,
            None => break,
        }
    }
    let at = reader.position();
    match at < text.len() {
        true => Err(reader.error(at, "something follows the sequence of operations")),
        false => Ok(()),
    }
}

/// What was found in a file.
#[derive(Default)]
struct File<'a> {
    events: Vec<Event<'a>>,
    header: Option<Header>,
    skipped: u64,
}

type Misfit = (Option<usize>, String);

impl<'a> File<'a> {
    fn take(&mut self, form: Edn<'a>, at: usize, bytes: &[u8]) -> Result<(), ReadError> {
        match event::parse(form, at).map_err(|what| ReadError::at(bytes, at, what))? {
            // How our writer says that a key begins with nothing; no call of anybody.
            Parsed::Event(e) if self.header.is_some() && objects::writes_absence(&e) => {}
            Parsed::Event(event) => self.events.push(event),
            Parsed::NoClient => self.skipped += 1,
            Parsed::Header(header) => {
                if self.header.replace(header).is_some() || !self.events.is_empty() {
                    let what = "a header that does not stand at the beginning";
                    return Err(ReadError::at(bytes, at, what));
                }
            }
        }
        Ok(())
    }

    fn reading(self, format: Format, options: &Options) -> Result<Reading, Misfit> {
        let placed = |(at, what)| (Some(at), what);
        let mut paired = pair::pair(self.events, self.header.is_some()).map_err(placed)?;
        let calls = &mut paired.calls;
        objects::untransact(calls).map_err(placed)?;
        objects::untuple(calls, options.independent).map_err(placed)?;
        let mut strangers = match versions::resolve(calls) {
            Some(Choice::Open) => Some(Strangers::Assigned),
            Some(Choice::Made) | None => None,
        };
        if objects::take_answers(calls) {
            strangers = Some(Strangers::Assigned);
        }
        let (model, name) = match &self.header {
            Some(header) => objects::of_header(header, calls).map_err(placed)?,
            None => {
                let model = objects::model_of(calls, options.model).map_err(placed)?;
                (model, model.name())
            }
        };
        let nil = options.nil.unwrap_or(match format {
            // How a dequeue says that it found nothing.
            _ if model.is_queue() => Nil::Absent,
            Format::JepsenLog | Format::JepsenTxt | Format::Kv | Format::Gameday => Nil::Absent,
            Format::Edn | Format::Json => Nil::Anything,
        });
        let mut values = Values::of(calls);
        let mut log = Log::default();
        log.clock = if paired.timed {
            Clock::Nanoseconds
        } else {
            Clock::Events
        };
        log.initial = initial(model, options, &mut values)?;
        log.strangers = strangers;
        log.in_order = model != Model::TotalQueue;
        if let Some(header) = &self.header {
            log.complete = header.complete;
            log.strangers = header.strangers;
            log.promises = Promises {
                unique_values: header.unique_values,
                final_reads: header.final_reads,
            };
            if options.initial.is_none() {
                log.initial = header.initial;
            }
        }
        let meaning = Meaning {
            model,
            nil,
            ours: self.header.is_some(),
        };
        fill(&mut log, calls, &meaning, &mut values)?;
        Ok(Reading {
            log,
            format,
            model: name.into(),
            names: values.names(),
            skipped: self.skipped,
            reordered: paired.reordered,
        })
    }
}

fn fill(
    log: &mut Log,
    calls: &[Call<'_>],
    meaning: &Meaning,
    values: &mut Values,
) -> Result<(), Misfit> {
    let mut elements = Vec::new();
    // Keys that differ must not meet under one name: 1 and "1".
    let mut names: HashMap<String, &Edn<'_>> = HashMap::new();
    for call in calls {
        let (table, key) = match &call.key {
            Some(form) => objects::key_name(form),
            None => Default::default(),
        };
        if let Some(form) = &call.key {
            let name = if table.is_empty() {
                key.to_string()
            } else {
                format!("{table}\0{key}")
            };
            let first = names.entry(name).or_insert(form);
            if *first != form {
                let what =
                    format!("the keys {first} and {form} cannot be told apart by their names");
                return Err((Some(call.at), what));
            }
        }
        let wrong = |what: String| {
            let at = if call.outcome.is_some() {
                call.end_at
            } else {
                None
            };
            (at.or(Some(call.at)), what)
        };
        let (act, effect) = meaning.act(call, values, &mut elements).map_err(wrong)?;
        log.push(&Push {
            index: call.index,
            process: call.process,
            az: &call.more.az,
            endpoint: &call.more.endpoint,
            table: &table,
            key: &key,
            start: call.start,
            finish: call.finish,
            effect,
            act,
            last: call.more.last,
        })
        .map_err(|full: Full| (None, full.to_string()))?;
    }
    Ok(())
}

/// The initial value that the options give, for a model that can have one.
fn initial(model: Model, options: &Options, values: &mut Values) -> Result<Option<i64>, Misfit> {
    let Some(Initial::Value(text)) = &options.initial else {
        return Ok(None);
    };
    if matches!(model, Model::KvAppend | Model::Set) || model.is_queue() {
        let what = format!("with the model {}, every key begins empty", model.name());
        return Err((None, what));
    }
    let mut reader = Reader::new(text);
    match (reader.form(), reader.form()) {
        (Ok(Some(Edn::Nil)), Ok(None)) => Ok(None),
        (Ok(Some(form)), Ok(None)) => {
            if model == Model::Counter && !matches!(form, Edn::Int(_)) {
                return Err((None, format!("a counter cannot begin with {form}")));
            }
            Ok(Some(values.number(&form)))
        }
        _ => Err((None, format!("the initial value '{text}' is no EDN value"))),
    }
}

/// The initial value where values are numbers.
fn initial_number(options: &Options) -> Result<Option<i64>, ReadError> {
    match &options.initial {
        None | Some(Initial::Absent) => Ok(None),
        Some(Initial::Value(text)) => text.parse().map(Some).map_err(|_| {
            ReadError::whole(format!(
                "the initial value '{text}' is no whole number of 64 bits"
            ))
        }),
    }
}

#[cfg(test)]
mod tests;
