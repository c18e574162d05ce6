//! What a segment of a history must know of the time before it: the writes
//! whose values a read may still find, and what was added to counters.

use gameday_record::history::Pairing;
use gameday_record::{Call, ErrorClass, Event, Failure, Nanos, Operation, Outcome};
use std::collections::{BTreeMap, VecDeque};

/// Process ids of carried writes begin here; no canary has so high ones.
pub const CARRIED: u64 = 1 << 52;

/// From here on they are of writes that began after the segment was full,
/// while it had calls in flight that may find them.
pub(super) const LATER: u64 = CARRIED + (1 << 40);

/// Most writes of unknown outcome that are carried: beyond, the oldest are
/// forgotten, and whether a read that finds one of them is right is not known.
pub(super) const MAX_UNKNOWN: usize = 20_000;

/// Most overwritten writes that are carried: only an eventual read finds them, and
/// is not judged if its write was forgotten.
pub(super) const MAX_OVERWRITTEN: usize = 4_096;

/// A table and a key.
type Place = (String, String);

/// See the module's text. Its size does not grow with time.
#[derive(Debug, Default)]
pub(super) struct Carry {
    /// Writes in the order of their invocation.
    keys: BTreeMap<Place, Vec<Known>>,
    /// Values of writes that were not answered (yet), oldest first, with their place.
    pub(super) unknown: VecDeque<(String, String, i64)>,
    /// Writes that later ones certainly replaced: for eventual reads, newest last.
    overwritten: VecDeque<Operation>,
    counters: BTreeMap<Place, Counter>,
    processes: u64,
    /// When the newest write was invoked that was forgotten; `None`: all are known.
    pub(super) forgotten: Option<Nanos>,
}

/// The additions to one counter. What is known of their sum is the same if
/// they are taken together as one: a checker knows bounds of sums only.
#[derive(Debug, Default)]
struct Counter {
    /// Those that took effect.
    certain: Option<Operation>,
    /// Those that may have: the positive ones, and the negative ones.
    possible: [Option<Operation>; 2],
    /// In flight.
    open: Vec<Operation>,
}

impl Counter {
    fn completed(&mut self, op: &Operation) {
        let same = |o: &Operation| o.process == op.process && o.invoked == op.invoked;
        let Some(at) = self.open.iter().position(same) else {
            return;
        };
        self.open.swap_remove(at);
        let (delta, sum) = match (&op.call, &op.outcome) {
            (Call::Add { .. }, Outcome::Ok { .. }) => (op, &mut self.certain),
            (Call::Add { delta, .. }, Outcome::Unknown { .. }) => {
                (op, &mut self.possible[usize::from(*delta < 0)])
            }
            _ => return,
        };
        match sum {
            Some(sum) => together(sum, delta),
            None => *sum = Some(delta.clone()),
        }
    }

    /// As additions of a segment that does not contain them.
    fn additions(&self) -> impl Iterator<Item = Operation> {
        let certain = self.certain.iter().map(|op| Operation {
            // Which sum they made together is not known.
            outcome: Outcome::Ok { value: None },
            last: true,
            ..op.clone()
        });
        let possible = self.possible.iter().flatten().chain(&self.open);
        certain.chain(possible.map(|op| Operation {
            returned: None,
            outcome: unanswered(),
            last: true,
            ..op.clone()
        }))
    }

    fn len(&self) -> usize {
        self.certain.iter().count() + self.possible.iter().flatten().count() + self.open.len()
    }
}

/// Makes one addition of two.
fn together(sum: &mut Operation, op: &Operation) {
    if let (Call::Add { delta: all, .. }, Call::Add { delta, .. }) = (&mut sum.call, &op.call) {
        *all = all.saturating_add(*delta);
    }
    sum.due = sum.due.min(op.due);
    sum.invoked = sum.invoked.min(op.invoked);
    sum.returned = sum.returned.max(op.returned);
}

#[derive(Clone, Debug)]
struct Known {
    op: Operation,
    /// It certainly took effect by then.
    effective: Option<Nanos>,
}

impl Carry {
    /// Number of operations that are remembered.
    pub(super) fn len(&self) -> usize {
        let known: usize = self.keys.values().map(Vec::len).sum();
        let added: usize = self.counters.values().map(Counter::len).sum();
        known + added + self.overwritten.len() + self.unknown.len()
    }

    /// Takes a call that begins. Returns it as a segment sees it that does not
    /// contain it, if it writes.
    ///
    /// # Errors
    /// It is no call.
    pub(super) fn invoked(&mut self, event: &Event) -> Result<Option<Operation>, String> {
        // The pairing knows how to read an event; one of its own has no other call open.
        let mut alone = Pairing::default();
        alone.push(event)?;
        let Some(op) = alone.finish().pop() else {
            return Ok(None);
        };
        let place = (op.table.clone(), op.call.key().to_string());
        if let Call::Add { .. } = op.call {
            let outside = Operation {
                process: self.made_up(),
                last: true,
                outcome: unanswered(),
                ..op.clone()
            };
            self.counters.entry(place).or_default().open.push(op);
            return Ok(Some(outside));
        }
        let Some(value) = written(&op.call) else {
            return Ok(None);
        };
        self.unknown
            .push_back((place.0.clone(), place.1.clone(), value));
        let known = Known {
            op,
            effective: None,
        };
        let mut outside = carried(&known);
        outside.process = self.made_up();
        self.keys.entry(place).or_default().push(known);
        while self.unknown.len() > MAX_UNKNOWN {
            let Some((table, key, value)) = self.unknown.pop_front() else {
                break;
            };
            if let Some(invoked) = self.forget(&table, &key, value) {
                self.miss(invoked);
            }
        }
        Ok(Some(outside))
    }

    /// A process that makes one call, which no segment carries at its beginning.
    fn made_up(&mut self) -> u64 {
        self.processes += 1;
        LATER + self.processes
    }

    /// Takes a write that is not known to have had an effect out; returns when it
    /// was invoked.
    fn forget(&mut self, table: &str, key: &str, value: i64) -> Option<Nanos> {
        let place = (table.to_string(), key.to_string());
        let all = self.keys.get_mut(&place)?;
        let is = |k: &Known| k.effective.is_none() && written(&k.op.call) == Some(value);
        let at = all.iter().position(is)?;
        Some(all.remove(at).op.invoked)
    }

    fn miss(&mut self, invoked: Nanos) {
        self.forgotten = self.forgotten.max(Some(invoked));
    }

    fn settled(&mut self, value: i64) {
        // Mostly one of the last.
        let mut newest_first = self.unknown.iter().rev();
        if let Some(back) = newest_first.position(|(_, _, v)| *v == value) {
            self.unknown.remove(self.unknown.len() - 1 - back);
        }
    }

    /// Takes a call that ended.
    pub(super) fn completed(&mut self, op: &Operation) {
        let (table, key) = (op.table.as_str(), op.call.key());
        if let Call::Add { .. } = op.call {
            if let Some(counter) = self.counters.get_mut(&(table.into(), key.into())) {
                counter.completed(op);
            }
            return;
        }
        let at = op.returned.unwrap_or(Nanos::FOREVER);
        match (&op.outcome, written(&op.call)) {
            (Outcome::Ok { .. }, Some(value)) => self.effective(table, key, value, at),
            (Outcome::Failed { observed, .. }, Some(value)) => {
                self.settled(value);
                self.forget(table, key, value);
                if let Some(Some(seen)) = observed {
                    self.effective(table, key, *seen, at);
                }
            }
            (Outcome::Ok { value: Some(seen) }, None) => self.effective(table, key, *seen, at),
            _ => {}
        }
    }

    /// The write of `value` certainly took effect by `at`: it was answered, or
    /// somebody read it. What ended before it began is overwritten.
    fn effective(&mut self, table: &str, key: &str, value: i64, at: Nanos) {
        let place = (table.to_string(), key.to_string());
        let Some(all) = self.keys.get_mut(&place) else {
            return;
        };
        let Some(known) = all.iter_mut().find(|k| written(&k.op.call) == Some(value)) else {
            return;
        };
        if known.effective.is_some() {
            return;
        }
        known.effective = Some(at);
        let began = known.op.invoked;
        let over = |k: &mut Known| k.effective.is_some_and(|by| by < began);
        let gone: Vec<Known> = all.extract_if(.., over).collect();
        self.overwritten
            .extend(gone.into_iter().map(|k| carried(&k)));
        while self.overwritten.len() > MAX_OVERWRITTEN {
            if let Some(oldest) = self.overwritten.pop_front() {
                self.miss(oldest.invoked);
            }
        }
        self.settled(value);
    }

    /// All of them as calls of processes of their own.
    pub(super) fn writes(&self) -> Vec<Operation> {
        let live = self.keys.values().flatten().map(carried);
        let added = self.counters.values().flat_map(Counter::additions);
        let all = self.overwritten.iter().cloned().chain(live).chain(added);
        all.zip(CARRIED..)
            .map(|(op, process)| Operation { process, ..op })
            .collect()
    }
}

/// As a plain write with what is certain: a condition that held is of no more interest.
fn carried(known: &Known) -> Operation {
    let op = &known.op;
    let mut copy = op.clone();
    copy.last = true;
    if let Some(value) = written(&op.call) {
        copy.call = Call::Write {
            key: op.call.key().into(),
            value,
        };
    }
    copy.returned = known.effective;
    copy.outcome = match known.effective {
        Some(_) => Outcome::Ok { value: None },
        None => unanswered(),
    };
    copy
}

fn unanswered() -> Outcome {
    Outcome::Unknown {
        failure: Failure {
            class: ErrorClass::Abandoned,
            message: "not answered when this segment began".into(),
        },
    }
}

fn written(call: &Call) -> Option<i64> {
    match call {
        Call::Write { value, .. } | Call::Insert { value, .. } => Some(*value),
        Call::Cas { new, .. } => Some(*new),
        Call::Read { .. } | Call::Add { .. } => None,
    }
}
