//! From a log to objects: the operations of each key in order of time, and the
//! preconditions without which nothing can be judged.

use crate::budget::{Budget, Exhausted};
use crate::log::{Code, Effect, Entry, Log};
use crate::register::{Action, FOREVER, LATEST, Operations, RegisterOp};
use crate::sort::sort;
use hashbrown::HashMap;

/// The operations of a log, grouped by key, keys in order of first use, each
/// in order of invocation.
#[derive(Debug)]
pub(crate) struct Intake<'a> {
    pub log: &'a Log,
    /// Positions in the log, key after key.
    order: Vec<u32>,
    /// `order[bounds[k]..bounds[k + 1]]` is key k.
    bounds: Vec<u32>,
}

/// What a key is, by what was done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    Register,
    Counter,
    Text,
    Set,
    Queue,
    /// Used as more than one of these.
    Mixed,
}

/// Why nothing of a history is judged.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It breaks a precondition; in words.
    Invalid(String),
    /// The budget ran out.
    Exhausted(Exhausted),
}

impl From<Exhausted> for Refused {
    fn from(e: Exhausted) -> Self {
        Refused::Exhausted(e)
    }
}

impl<'a> Intake<'a> {
    /// Groups by key.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn new(log: &'a Log, budget: &mut Budget) -> Result<Self, Refused> {
        check_times(log).map_err(Refused::Invalid)?;
        let n = log.entries.len();
        let kept = (n + log.keys() + 1) * size_of::<u32>();
        let sorted = log.entries.is_sorted_by_key(|e: &Entry| (e.start, e.index));
        let mut by_time: Vec<u32> = Vec::new();
        if !sorted {
            let key = |e: &Entry| (e.start, e.index);
            budget.holds(kept + n * size_of::<((u64, u64), u32)>())?;
            let mut order: Vec<((u64, u64), u32)> = (0u32..)
                .zip(&log.entries)
                .map(|(i, e)| (key(e), i))
                .collect();
            sort(&mut order, budget)?;
            by_time = order.into_iter().map(|(_, i)| i).collect();
        }
        let at = |i: usize| if sorted { i as u32 } else { by_time[i] };
        budget.holds(kept + by_time.len() * size_of::<u32>())?;
        check_processes(log, (0..n).map(at), budget)?;
        let mut bounds = vec![0u32; log.keys() + 1];
        for e in &log.entries {
            bounds[e.key as usize + 1] += 1;
        }
        for i in 1..bounds.len() {
            bounds[i] += bounds[i - 1];
        }
        let mut order = vec![0; n];
        for i in (0..n).map(at) {
            budget.spend()?;
            let next = &mut bounds[log.entry(i).key as usize];
            order[*next as usize] = i;
            *next += 1;
        }
        budget.holds(kept)?;
        // Each bound has moved to the end of its key.
        bounds.rotate_right(1);
        bounds[0] = 0;
        Ok(Intake { log, order, bounds })
    }

    /// Number of keys.
    pub fn keys(&self) -> u32 {
        self.bounds.len() as u32 - 1
    }

    /// The operations of a key.
    pub fn of(&self, key: u32) -> &[u32] {
        let k = key as usize;
        &self.order[self.bounds[k] as usize..self.bounds[k + 1] as usize]
    }

    /// The operation at a position.
    pub fn op(&self, at: u32) -> &'a Entry {
        self.log.entry(at)
    }

    /// What a key is. One that was only read is a register.
    pub fn object(&self, positions: &[u32]) -> Object {
        let (mut read, mut written, mut added) = (false, false, false);
        let (mut text, mut set, mut queue) = (false, false, false);
        for at in positions {
            match self.op(*at).code {
                Code::Read | Code::EventualRead => read = true,
                Code::ReadAnything => {}
                Code::Write | Code::Insert | Code::Cas => written = true,
                Code::Add => added = true,
                Code::Put | Code::Append | Code::Get => text = true,
                Code::AddElement | Code::ReadSet => set = true,
                Code::Enqueue | Code::Dequeue | Code::Drain => queue = true,
            }
        }
        match (read, written, added, text, set, queue) {
            (_, _, false, false, false, false) => Object::Register,
            (_, false, true, false, false, false) => Object::Counter,
            (false, false, false, true, false, false) => Object::Text,
            (false, false, false, false, true, false) => Object::Set,
            (false, false, false, false, false, true) => Object::Queue,
            _ => Object::Mixed,
        }
    }
}

/// The part of one key that takes part in linearizability.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyOps<'a> {
    pub log: &'a Log,
    /// Where each of them is in the log.
    pub at: &'a [u32],
}

impl KeyOps<'_> {
    pub fn entry(&self, i: u32) -> &Entry {
        self.log.entry(self.at[i as usize])
    }
}

impl Operations for KeyOps<'_> {
    fn len(&self) -> usize {
        self.at.len()
    }
    fn get(&self, i: u32) -> RegisterOp {
        let e = self.entry(i);
        RegisterOp {
            start: e.start,
            finish: e.ends(),
            action: action(self.log, e),
        }
    }
    fn start(&self, i: u32) -> u64 {
        self.entry(i).start
    }
    fn finish(&self, i: u32) -> u64 {
        self.entry(i).ends()
    }
    fn effectful(&self, i: u32) -> bool {
        self.entry(i).writes().is_some()
    }
}

/// Whether it takes part in linearizability: not eventual reads, and not
/// reads that found nothing out.
pub(crate) fn takes_part(e: &Entry) -> bool {
    match e.code {
        Code::EventualRead | Code::ReadAnything | Code::Add => false,
        Code::Read | Code::Get | Code::ReadSet => e.effect == Effect::Ok,
        _ => true,
    }
}

/// An entry that takes part, as what it does to a register.
fn action(log: &Log, e: &Entry) -> Action {
    let new = e.second();
    match (e.code, e.effect) {
        (Code::Cas, Effect::Refused) => Action::FailedCas {
            expected: log.first(e),
            new,
            found: log.third(e),
        },
        (
            Code::Write | Code::Insert | Code::Put | Code::Append | Code::AddElement,
            Effect::Failed | Effect::Refused,
        )
        | (Code::Cas, Effect::Failed) => Action::FailedWrite(new),
        (Code::Cas, _) => Action::Cas {
            expected: log.first(e),
            new,
        },
        (Code::Write | Code::Insert | Code::Put, _) => Action::Write(new),
        (Code::Append, _) => Action::Append(new),
        _ => Action::Read(log.first(e)),
    }
}

fn check_times(log: &Log) -> Result<(), String> {
    for e in &log.entries {
        let problem = match e.finish {
            _ if e.start > LATEST => "has a time out of range",
            FOREVER if e.effect != Effect::Unknown => "has an outcome but no time of return",
            FOREVER => continue,
            t if t > LATEST => "has a time out of range",
            t if t < e.start => "returned before it was invoked",
            _ => continue,
        };
        return Err(format!(
            "operation {} of process {} {problem}",
            e.index, e.process
        ));
    }
    Ok(())
}

/// A process has at most one call open. One of unknown outcome that may have
/// an effect stays open for ever: its caller must go on under a new number.
fn check_processes(
    log: &Log,
    by_time: impl Iterator<Item = u32>,
    budget: &mut Budget,
) -> Result<(), Refused> {
    let mut latest: HashMap<u64, u32> = HashMap::new();
    for i in by_time {
        budget.spend()?;
        let after = log.entry(i);
        let Some(before) = latest.insert(after.process, i) else {
            continue;
        };
        let before = log.entry(before);
        let problem = match before.effect {
            // It has no effect that could still come, whatever it found.
            Effect::Unknown if before.code.reads() && before.finish <= after.start => continue,
            Effect::Unknown => "although the outcome of its last call is unknown",
            _ if before.finish <= after.start => continue,
            _ => "while its last call is open",
        };
        return Err(Refused::Invalid(format!(
            "process {} invokes operation {} {problem} (operation {})",
            after.process, after.index, before.index
        )));
    }
    Ok(())
}
