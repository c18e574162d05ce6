//! A whole history in little memory: what the checks read.
//!
//! An operation takes 56 bytes, a compare-and-set or a sum 8 or 16 more; names (keys,
//! tables, AZs, endpoints, texts) are kept once. Operations are pushed one at a time, so that a file of any
//! format can be streamed in.

use crate::intern::Interner;
use crate::register::FOREVER;
use gameday_record::Nanos;
use gameday_record::history::History;
use gameday_record::operation::{Call, ErrorClass, Operation, Outcome as Recorded};
use hashbrown::HashMap;

/// What the source of a history promises. A broken promise makes the history
/// invalid, and what was promised and is missing makes a verdict unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promises {
    /// No value is written to a key twice.
    pub unique_values: bool,
    /// Every key is read once more in the end (operations marked `last`), so
    /// that lost writes can be told.
    pub final_reads: bool,
}

/// Why values may be found that no operation of a log wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strangers {
    /// Writes that were sent up to this time may be missing: a segment of a
    /// long recording, whose recorder remembers only so many.
    Forgotten(u64),
    /// The server chooses what is written, and did not say it of the writes of
    /// unknown outcome.
    Assigned,
}

/// What the times of a history count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// Nanoseconds.
    #[default]
    Nanoseconds,
    /// Events: only their order is known. Nothing is measured in milliseconds.
    Events,
}

/// What an operation did, with its result.
///
/// A key is one kind of object: a register (`Read`, `Write`, `Insert`,
/// `Cas`), a counter (`Add`, `Read`), a text (`Put`, `Append`, `Get`), a set
/// (`AddElement`, `ReadSet`) or a queue (`Enqueue`, `Dequeue`, `Drain`). Results are looked at only where the outcome
/// says that there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act<'a> {
    /// A read of a register or counter.
    Read {
        /// Strongly consistent, else eventually.
        strong: bool,
        /// What it found, if it is [`Effect::Ok`]; `None`: nothing was there.
        found: Option<i64>,
    },
    /// A read that succeeded and does not say what it found: it tells nothing.
    ReadAnything,
    /// A write.
    Write(i64),
    /// A write of a key that nobody else writes: an element of a durable set.
    Insert(i64),
    /// A compare-and-set.
    Cas {
        /// What has to be there.
        expected: Option<i64>,
        /// What it writes.
        new: i64,
        /// What was there, if it is [`Effect::Refused`] and that was reported.
        found: Option<Option<i64>>,
    },
    /// An addition to a counter.
    Add {
        /// What is added.
        delta: i64,
        /// The sum that it made, if it is [`Effect::Ok`] and that was reported.
        sum: Option<i64>,
    },
    /// A text is replaced.
    Put(&'a str),
    /// A text gets longer.
    Append(&'a str),
    /// A strongly consistent read of a text; what it found.
    Get(&'a str),
    /// An element is added to a set.
    AddElement(i64),
    /// A strongly consistent read of a whole set; what it found.
    ReadSet(&'a [i64]),
    /// A value is put at the end of a queue.
    Enqueue(i64),
    /// The value at the head of a queue is taken away; `None`: there was none.
    Dequeue(Option<i64>),
    /// Values are taken from a queue one by one until there is none; which.
    Drain(&'a [i64]),
}

/// What effect an operation had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It happened.
    Ok,
    /// The condition of a compare-and-set did not hold: it looked, and had no effect.
    Refused,
    /// It certainly had no effect, and tells nothing.
    Failed,
    /// It may have had its effect.
    Unknown,
}

/// One operation to be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Push<'a> {
    /// Its number in the history it comes from.
    pub index: u64,
    /// Logical client: at most one operation open, none after one of unknown outcome.
    pub process: u64,
    /// AZ of the client; empty if not known.
    pub az: &'a str,
    /// AZ of the endpoint, or the node called; empty if not known.
    pub endpoint: &'a str,
    /// Table; empty where there is only one.
    pub table: &'a str,
    /// Key; empty where there is only one object.
    pub key: &'a str,
    /// When it was sent, up to [`crate::register::LATEST`].
    pub start: u64,
    /// When its outcome was known; `None` if that never was.
    pub finish: Option<u64>,
    /// What came of it.
    pub effect: Effect,
    /// What it did.
    pub act: Act<'a>,
    /// A final read, after load and faults are over.
    pub last: bool,
}

/// The history has more operations, keys or texts than can be numbered (2^32 - 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the history is too large: more than {} operations or names",
            u32::MAX - 1
        )
    }
}

impl std::error::Error for Full {}

/// Which act an entry holds; says what its number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Read,
    EventualRead,
    ReadAnything,
    Write,
    Insert,
    Cas,
    Add,
    Put,
    Append,
    Get,
    AddElement,
    ReadSet,
    Enqueue,
    Dequeue,
    Drain,
}

impl Code {
    /// Whether it does nothing but read.
    pub fn reads(self) -> bool {
        use Code::*;
        matches!(self, Read | EventualRead | ReadAnything | Get | ReadSet)
    }
}

/// Bits of [`Entry::flags`].
const LAST: u8 = 1;
/// Its number says nothing, or that nothing was found.
const NO_NUMBER: u8 = 2;
/// What a compare-and-set expects, or the sum that an addition made, stands in [`Log::more`].
const FIRST: u8 = 4;
/// What a refused compare-and-set found stands behind it.
const THIRD: u8 = 8;
/// It found nothing.
const THIRD_IS_NOTHING: u8 = 16;

/// One operation as it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub index: u64,
    pub process: u64,
    pub start: u64,
    /// Time of return, [`FOREVER`] if there is none. See [`Entry::ends`].
    pub finish: u64,
    /// Written, added or found, or where what was found begins.
    number: i64,
    pub key: u32,
    site: u32,
    /// Where the rest of a compare-and-set or an addition is.
    more: u32,
    pub code: Code,
    pub effect: Effect,
    flags: u8,
}

impl Entry {
    /// When its effect is over: never, if it may still come.
    pub fn ends(&self) -> u64 {
        match self.effect {
            Effect::Unknown => FOREVER,
            _ => self.finish,
        }
    }

    /// A final read.
    pub fn last(&self) -> bool {
        self.has(LAST)
    }

    /// What is written or added.
    pub fn second(&self) -> i64 {
        self.number
    }

    fn number(&self) -> Option<i64> {
        (!self.has(NO_NUMBER)).then_some(self.number)
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// A read of a register or counter that says what it found.
    pub fn found(&self) -> Option<Option<i64>> {
        match (self.code, self.effect) {
            (Code::Read | Code::EventualRead, Effect::Ok) => Some(self.number()),
            _ => None,
        }
    }

    /// Whether its result says what was there: a read that found something or
    /// nothing, a conditional write that took effect, or was refused.
    pub fn observes(&self) -> bool {
        match self.code {
            Code::Read | Code::Get | Code::ReadSet | Code::Dequeue | Code::Drain => {
                self.effect == Effect::Ok
            }
            Code::Cas => matches!(self.effect, Effect::Ok | Effect::Refused),
            _ => false,
        }
    }

    /// The value that it writes to a register, if it has (or may have) an effect.
    pub fn writes(&self) -> Option<i64> {
        match (self.code, self.effect) {
            (_, Effect::Failed | Effect::Refused) => None,
            (Code::Write | Code::Insert | Code::Cas, _) => Some(self.number),
            _ => None,
        }
    }
}

/// A history. See the [module](self).
///
/// ```
/// use gameday_checker::log::{Act, Log, Effect, Push};
/// use gameday_checker::{Options, check};
/// let mut log = Log::default();
/// let base = Push {
///     index: 0, process: 0, az: "a", endpoint: "a", table: "", key: "k",
///     start: 0, finish: Some(10), effect: Effect::Ok, act: Act::Write(1), last: false,
/// };
/// log.push(&base)?;
/// let read = Act::Read { strong: true, found: None };
/// log.push(&Push { index: 1, start: 20, finish: Some(30), act: read, ..base })?;
/// let checks = check(&log, &Options::default());
/// assert_eq!(checks[0].anomalies[0].name, "stale read");
/// # Ok::<(), gameday_checker::log::Full>(())
/// ```
#[derive(Clone, Debug)]
pub struct Log {
    pub(crate) entries: Vec<Entry>,
    /// What few operations say beside their number.
    more: Vec<i64>,
    /// What reads of sets found and drains took: how many, and then they.
    elements: Vec<i64>,
    keys: Interner,
    /// Names of tables, AZs and endpoints, tagged by what they are.
    names: Interner,
    /// Pairs of AZ and endpoint, and their numbers.
    sites: Vec<(u32, u32)>,
    site_ids: HashMap<(u32, u32), u32>,
    texts: Interner,
    /// What every register holds in the beginning; texts are empty, sets too,
    /// counters count from 0 (or from this).
    pub initial: Option<i64>,
    /// False if the end of the recording is missing: it never passes then.
    pub complete: bool,
    /// Whether a value may be found although no operation here wrote it. What
    /// depends on that is unknown, never a violation.
    pub strangers: Option<Strangers>,
    /// Whether queues give out first what was put in first; else all that is
    /// asked of them is that what went in comes out.
    pub in_order: bool,
    /// What its source promises.
    pub promises: Promises,
    /// What its times count.
    pub clock: Clock,
}

impl Default for Log {
    /// Empty, whole, without promises; registers hold nothing in the beginning.
    fn default() -> Self {
        Log {
            entries: Vec::new(),
            more: Vec::new(),
            elements: Vec::new(),
            keys: Interner::default(),
            names: Interner::default(),
            sites: Vec::new(),
            site_ids: HashMap::new(),
            texts: Interner::default(),
            initial: None,
            complete: true,
            strangers: None,
            in_order: true,
            promises: Promises::default(),
            clock: Clock::Nanoseconds,
        }
    }
}

const TABLE: u32 = 0;
const PLACE: u32 = 1;

impl Log {
    /// An empty log of canaries' operations: unique values and final reads are
    /// promised. `complete` is to be set when the end marker was found.
    pub fn of_canaries() -> Self {
        Log {
            complete: false,
            promises: Promises {
                unique_values: true,
                final_reads: true,
            },
            ..Log::default()
        }
    }

    /// Takes one more operation, in any order.
    ///
    /// # Errors
    /// It does not fit any more.
    pub fn push(&mut self, p: &Push<'_>) -> Result<(), Full> {
        if self.entries.len() >= u32::MAX as usize - 1 {
            return Err(Full);
        }
        let table = match self.entries.last() {
            Some(e) if self.table_name(e.key) == p.table => self.keys.tag(e.key),
            _ => self.names.intern(TABLE, p.table).ok_or(Full)?,
        };
        let key = self.keys.intern(table, p.key).ok_or(Full)?;
        let site = self.site(p.az, p.endpoint)?;
        let (code, number) = match p.act {
            Act::Read {
                strong: true,
                found,
            } => (Code::Read, found),
            Act::Read { found, .. } => (Code::EventualRead, found),
            Act::ReadAnything => (Code::ReadAnything, None),
            Act::Write(v) => (Code::Write, Some(v)),
            Act::Insert(v) => (Code::Insert, Some(v)),
            Act::Cas { new, .. } => (Code::Cas, Some(new)),
            Act::Add { delta, .. } => (Code::Add, Some(delta)),
            Act::Put(s) => (Code::Put, Some(self.text(s)?)),
            Act::Append(s) => (Code::Append, Some(self.text(s)?)),
            Act::Get(s) => (Code::Get, Some(self.text(s)?)),
            Act::AddElement(v) => (Code::AddElement, Some(v)),
            Act::ReadSet(found) => (Code::ReadSet, Some(self.several(found))),
            Act::Enqueue(v) => (Code::Enqueue, Some(v)),
            Act::Dequeue(found) => (Code::Dequeue, found),
            Act::Drain(found) => (Code::Drain, Some(self.several(found))),
        };
        let (first, third) = match p.act {
            Act::Cas {
                expected, found, ..
            } => (expected, found),
            Act::Add { sum, .. } => (sum, None),
            _ => (None, None),
        };
        let more = u32::try_from(self.more.len()).map_err(|_| Full)?;
        if first.is_some() || third.flatten().is_some() {
            reserve(&mut self.more, 2);
            self.more.push(first.unwrap_or(0));
            self.more.extend(third.flatten());
        }
        let flag = |flag, is: bool| if is { flag } else { 0 };
        let flags = flag(LAST, p.last)
            | flag(NO_NUMBER, number.is_none())
            | flag(FIRST, first.is_some())
            | flag(THIRD, third.flatten().is_some())
            | flag(THIRD_IS_NOTHING, third == Some(None));
        reserve(&mut self.entries, 1);
        self.entries.push(Entry {
            index: p.index,
            process: p.process,
            start: p.start,
            finish: p.finish.unwrap_or(FOREVER),
            number: number.unwrap_or(0),
            key,
            site,
            more,
            code,
            effect: p.effect,
            flags,
        });
        Ok(())
    }

    /// Takes one operation of a canary.
    ///
    /// # Errors
    /// It does not fit any more.
    pub fn push_operation(&mut self, op: &Operation) -> Result<(), Full> {
        self.push_recorded(op, false)
    }

    /// [`Log::push_operation`]; `nil_is_anything`: a read that found nothing
    /// does not say what it found.
    pub(crate) fn push_recorded(
        &mut self,
        op: &Operation,
        nil_is_anything: bool,
    ) -> Result<(), Full> {
        let result = match op.outcome {
            Recorded::Ok { value } => value,
            _ => None,
        };
        let ok = matches!(op.outcome, Recorded::Ok { .. });
        let act = match op.call {
            Call::Read { .. } if nil_is_anything && ok && result.is_none() => Act::ReadAnything,
            Call::Read { strong, .. } => Act::Read {
                strong,
                found: result,
            },
            Call::Write { value, .. } => Act::Write(value),
            Call::Insert { value, .. } => Act::Insert(value),
            Call::Add { delta, .. } => Act::Add { delta, sum: result },
            Call::Cas { expected, new, .. } => Act::Cas {
                expected,
                new,
                found: match op.outcome {
                    Recorded::Failed { observed, .. } => observed,
                    _ => None,
                },
            },
        };
        let effect = match (&op.call, &op.outcome) {
            (_, Recorded::Ok { .. }) => Effect::Ok,
            (_, Recorded::Unknown { .. }) => Effect::Unknown,
            (Call::Cas { .. }, Recorded::Failed { failure, observed })
                if observed.is_some() || failure.class == ErrorClass::Condition =>
            {
                Effect::Refused
            }
            (_, Recorded::Failed { .. }) => Effect::Failed,
        };
        self.push(&Push {
            index: op.index,
            process: op.process,
            az: &op.az,
            endpoint: &op.endpoint,
            table: &op.table,
            key: op.call.key(),
            start: op.invoked.0,
            finish: op.returned.map(|t| t.0),
            effect,
            act,
            last: op.last,
        })
    }

    /// All operations of a recorded history.
    ///
    /// # Errors
    /// It is too large.
    pub fn of(history: &History) -> Result<Self, Full> {
        let mut log = Log::of_canaries();
        log.complete = history.complete;
        log.forgotten(history.header.forgotten);
        log.entries.reserve_exact(history.operations.len());
        for op in &history.operations {
            log.push_operation(op)?;
        }
        Ok(log)
    }

    /// Takes what a header says about writes that are missing.
    pub(crate) fn forgotten(&mut self, until: Option<Nanos>) {
        self.strangers = until.map(|t| Strangers::Forgotten(t.0));
    }

    /// Where the write of a value may be that nobody here wrote; `None`: there
    /// is none.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        match (self.complete, self.strangers) {
            (false, _) => Some("whose write may be missing from the cut-off recording"),
            (true, Some(Strangers::Forgotten(_))) => {
                Some("whose write may be one of those that this part of the recording forgot")
            }
            (true, Some(Strangers::Assigned)) => {
                Some("which the server may have chosen for a write of unknown outcome")
            }
            (true, None) => None,
        }
    }

    /// Brings the operations into the order of their invocation, as the checks
    /// want them: in place, where they would need a second order beside the log.
    pub(crate) fn sort(&mut self) {
        self.entries.sort_unstable_by_key(|e| (e.start, e.index));
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of different keys (of all tables).
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    fn site(&mut self, az: &str, endpoint: &str) -> Result<u32, Full> {
        // Three AZs have nine of them: looked at before anything is hashed.
        let mut first = self.sites.iter().take(9);
        let same = |s: &(u32, u32)| self.names.get(s.0) == az && self.names.get(s.1) == endpoint;
        if let Some(at) = first.position(same) {
            return Ok(at as u32);
        }
        let a = self.names.intern(PLACE, az).ok_or(Full)?;
        let e = self.names.intern(PLACE, endpoint).ok_or(Full)?;
        let sites = &mut self.sites;
        Ok(*self.site_ids.entry((a, e)).or_insert_with(|| {
            sites.push((a, e));
            sites.len() as u32 - 1
        }))
    }

    /// Where they are kept.
    fn several(&mut self, found: &[i64]) -> i64 {
        let first = self.elements.len() as i64;
        reserve(&mut self.elements, found.len() + 1);
        self.elements.push(found.len() as i64);
        self.elements.extend_from_slice(found);
        first
    }

    fn text(&mut self, s: &str) -> Result<i64, Full> {
        self.texts.intern(0, s).map(i64::from).ok_or(Full)
    }

    pub(crate) fn entry(&self, at: u32) -> &Entry {
        &self.entries[at as usize]
    }

    /// Name of a key, without its table.
    pub(crate) fn key_name(&self, key: u32) -> &str {
        self.keys.get(key)
    }

    /// Name of a key's table; empty if it has none.
    pub(crate) fn table_name(&self, key: u32) -> &str {
        self.names.get(self.keys.tag(key))
    }

    pub(crate) fn az(&self, e: &Entry) -> &str {
        self.names.get(self.sites[e.site as usize].0)
    }

    pub(crate) fn endpoint(&self, e: &Entry) -> &str {
        self.names.get(self.sites[e.site as usize].1)
    }

    /// A text by its number.
    pub(crate) fn text_of(&self, id: i64) -> &str {
        self.texts.get(id as u32)
    }

    /// What a read found, a compare-and-set expects, or the sum an addition made.
    pub(crate) fn first(&self, e: &Entry) -> Option<i64> {
        match e.code {
            Code::Cas | Code::Add => e.has(FIRST).then(|| self.more[e.more as usize]),
            Code::Read | Code::EventualRead | Code::Get | Code::Dequeue => e.number(),
            _ => None,
        }
    }

    /// What a refused compare-and-set found, if it said so.
    pub(crate) fn third(&self, e: &Entry) -> Option<Option<i64>> {
        if e.has(THIRD_IS_NOTHING) {
            return Some(None);
        }
        e.has(THIRD).then(|| Some(self.more[e.more as usize + 1]))
    }

    /// What a read of a set found, or a drain took.
    pub(crate) fn elements_of(&self, e: &Entry) -> &[i64] {
        let at = e.number as usize;
        let first = at + 1;
        &self.elements[first..first + self.elements[at] as usize]
    }
}

/// Grows by a quarter, not to the double: memory counts more than copying.
fn reserve<T>(v: &mut Vec<T>, more: usize) {
    if v.capacity() - v.len() < more {
        v.reserve_exact(more.max(v.len() / 4).max(64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_small_and_says_all_that_was_told_of_it() {
        assert_eq!(size_of::<Entry>(), 56);
        let cas = |expected, new, found| Act::Cas {
            expected,
            new,
            found,
        };
        let add = |delta, sum| Act::Add { delta, sum };
        let read = |found| Act::Read {
            strong: true,
            found,
        };
        // The act; first, second and third number of what is kept.
        let acts = [
            (read(Some(7)), Some(7), None, None),
            (read(None), None, None, None),
            (Act::Write(8), None, Some(8), None),
            (cas(Some(1), 2, None), Some(1), Some(2), None),
            (cas(None, 3, None), None, Some(3), None),
            (cas(None, 4, Some(Some(5))), None, Some(4), Some(Some(5))),
            (
                cas(Some(6), 7, Some(Some(8))),
                Some(6),
                Some(7),
                Some(Some(8)),
            ),
            (cas(Some(9), 10, Some(None)), Some(9), Some(10), Some(None)),
            (add(-1, Some(11)), Some(11), Some(-1), None),
            (add(2, None), None, Some(2), None),
        ];
        let mut log = Log::default();
        for (i, (act, ..)) in acts.iter().enumerate() {
            let push = Push {
                index: i as u64,
                process: 0,
                az: "a",
                endpoint: "b",
                table: "",
                key: "k",
                start: i as u64,
                finish: Some(i as u64),
                effect: Effect::Ok,
                act: *act,
                last: i == 3,
            };
            log.push(&push).unwrap();
        }
        // Their places may change, and what stands beside them with them.
        log.entries.reverse();
        log.sort();
        for (i, (act, first, second, third)) in acts.iter().enumerate() {
            let e = log.entry(i as u32);
            assert_eq!(log.first(e), *first, "{act:?}");
            assert_eq!(log.third(e), *third, "{act:?}");
            assert!(second.is_none_or(|v| v == e.second()), "{act:?}");
            assert_eq!(e.last(), i == 3);
        }
    }

    #[test]
    fn what_several_found_is_kept_apart() {
        let mut log = Log::default();
        let base = Push {
            index: 0,
            process: 0,
            az: "",
            endpoint: "",
            table: "",
            key: "",
            start: 0,
            finish: Some(0),
            effect: Effect::Ok,
            act: Act::ReadSet(&[]),
            last: false,
        };
        let found: [&[i64]; 3] = [&[], &[3, 1], &[2]];
        for act in found.map(Act::ReadSet) {
            log.push(&Push { act, ..base }).unwrap();
        }
        for (i, want) in found.iter().enumerate() {
            assert_eq!(&log.elements_of(log.entry(i as u32)), want);
        }
    }
}
