//! Linearizability of one key whatever its values: a just-in-time search.
//!
//! After G. Lowe, "Testing for linearizability" (Concurrency and Computation
//! 2017). Events are taken in order of time. A configuration is the set of
//! *open* operations that have taken effect already, and the state. When an
//! operation returns, configurations are extended by further open operations
//! until it has taken effect in each; those in which it cannot are dropped. If
//! none is left, no order explains the history, and the operation that
//! returned is the first to prove it.
//!
//! Three reductions of ours keep the frontier small:
//!
//! 1. An operation that changes nothing (a read, a failed conditional write)
//!    takes effect as soon as it can: waiting gains nothing.
//! 2. Identical writes of unknown outcome are used in the order of their
//!    slots: which of them it was cannot be told.
//! 3. Of two configurations that differ only in the unknown writes that they
//!    used, the one that used fewer can do all that the other can. Only
//!    minimal sets are kept, and explored in order of their size.
//!
//! The problem is NP-complete, so the search has a [`Budget`] and may answer
//! that it does not know. Where values are unique, [`crate::zones`] decides
//! without searching.

use crate::budget::{Budget, Exhausted};
use crate::register::{Action, RegisterOp, Value};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// What the search found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is an order that explains every result.
    Linearizable,
    /// There is none; it shows when this operation returns.
    Illegal {
        /// Position of the operation.
        at: u32,
    },
    /// The search ended before it knew.
    Unknown {
        /// Why.
        why: Why,
        /// Operations that had returned by then, and are explained.
        explained: usize,
    },
}

/// Why a search gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The budget ran out.
    Budget(Exhausted),
    /// More operations open at once than the search can hold.
    TooManyOpen(usize),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::Budget(e) => write!(f, "{e}"),
            Why::TooManyOpen(n) => write!(
                f,
                "{n} operations are open at once (at most {MAX_OPEN} are searched)"
            ),
        }
    }
}

/// Most operations open at once, those of unknown outcome included.
pub const MAX_OPEN: usize = 128 * 64;

/// Searches for an order of the operations of one key, which held `initial` in
/// the beginning.
///
/// Unlike [`crate::zones::check`] it takes repeated values, and conditional
/// writes that failed without saying what they found.
///
/// ```
/// use gameday_checker::register::{Action, RegisterOp};
/// use gameday_checker::{Budget, frontier};
/// let op = |start, finish, action| RegisterOp { start, finish, action };
/// let history = [
///     op(0, 10, Action::Write(1)),
///     op(5, 30, Action::Write(2)),
///     op(6, 20, Action::Write(1)),
///     op(40, 50, Action::Read(Some(2))),
/// ];
/// let answer = frontier::search(&history, None, &mut Budget::unlimited());
/// assert_eq!(answer, frontier::Answer::Linearizable);
/// ```
pub fn search(ops: &[RegisterOp], initial: Value, budget: &mut Budget) -> Answer {
    let plan = Plan::new(ops, initial);
    match plan.slots.div_ceil(64) {
        0 | 1 => Search::<1>::new(&plan).run(budget),
        2 => Search::<2>::new(&plan).run(budget),
        3..=4 => Search::<4>::new(&plan).run(budget),
        5..=16 => Search::<16>::new(&plan).run(budget),
        17..=128 => Search::<128>::new(&plan).run(budget),
        _ => Answer::Unknown {
            why: Why::TooManyOpen(plan.slots),
            explained: 0,
        },
    }
}

/// An action over dense values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// Legal if the state is this; changes nothing.
    Is(u32),
    /// Legal if the state is not this; changes nothing.
    IsNot(u32),
    Write(u32),
    Cas(u32, u32),
    /// Never legal.
    Never,
}

impl Step {
    fn pure(self) -> bool {
        !matches!(self, Step::Write(_) | Step::Cas(..))
    }

    /// The next state, if it is legal in this one.
    fn apply(self, state: u32) -> Option<u32> {
        match self {
            Step::Is(v) => (state == v).then_some(state),
            Step::IsNot(v) => (state != v).then_some(state),
            Step::Write(v) => Some(v),
            Step::Cas(expected, new) => (state == expected).then_some(new),
            Step::Never => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Invoke(u32),
    Return(u32),
}

/// The history, prepared: dense values, events in order, a slot for each
/// operation while it is open.
struct Plan {
    initial: u32,
    steps: Vec<Step>,
    slot: Vec<u32>,
    events: Vec<Event>,
    unknown: Vec<bool>,
    /// The identical write of unknown outcome that was invoked before this one.
    twin: Vec<u32>,
    slots: usize,
}

const NONE: u32 = u32::MAX;

impl Plan {
    fn new(ops: &[RegisterOp], initial: Value) -> Self {
        let mut values = vec![initial];
        for op in ops {
            match op.action {
                Action::Read(v) => values.push(v),
                Action::Write(v) => values.push(Some(v)),
                Action::Cas { expected, new } => values.extend([expected, Some(new)]),
                Action::FailedWrite(_) => {}
                Action::FailedCas {
                    expected, found, ..
                } => values.extend([Some(expected), found].into_iter().flatten()),
            }
        }
        values.sort_unstable();
        values.dedup();
        let dense = |v: Value| values.partition_point(|x| *x < v) as u32;
        let steps: Vec<Step> = ops
            .iter()
            .map(|op| match op.action {
                Action::Read(v) => Step::Is(dense(v)),
                Action::Write(v) => Step::Write(dense(Some(v))),
                Action::Cas { expected, new } => Step::Cas(dense(expected), dense(Some(new))),
                Action::FailedWrite(_) => Step::Never,
                Action::FailedCas {
                    expected, found, ..
                } => match found {
                    None => Step::IsNot(dense(expected)),
                    Some(v) if v == expected => Step::Never,
                    Some(v) => Step::Is(dense(v)),
                },
            })
            .collect();
        let mut plan = Plan {
            initial: dense(initial),
            steps,
            slot: vec![0; ops.len()],
            events: Vec::new(),
            unknown: ops.iter().map(RegisterOp::unknown).collect(),
            twin: vec![NONE; ops.len()],
            slots: 0,
        };
        plan.order_events(ops);
        plan
    }

    fn order_events(&mut self, ops: &[RegisterOp]) {
        // At one instant invocations come first: touching is concurrent.
        let mut order: Vec<(u64, bool, u32)> = Vec::with_capacity(2 * ops.len());
        for (i, op) in (0u32..).zip(ops) {
            let ignored = matches!(op.action, Action::FailedWrite(_))
                || (op.unknown() && self.steps[i as usize].pure());
            if ignored {
                continue;
            }
            order.push((op.start, false, i));
            if !op.unknown() {
                order.push((op.finish, true, i));
            }
        }
        order.sort_unstable();
        let mut free: Vec<u32> = Vec::new();
        let mut latest: HashMap<Step, u32> = HashMap::new();
        for (_, returns, i) in order {
            if returns {
                free.push(self.slot[i as usize]);
                self.events.push(Event::Return(i));
            } else {
                self.slot[i as usize] = free.pop().unwrap_or_else(|| {
                    self.slots += 1;
                    self.slots as u32 - 1
                });
                self.events.push(Event::Invoke(i));
                if self.unknown[i as usize] {
                    let before = latest.insert(self.steps[i as usize], i);
                    self.twin[i as usize] = before.unwrap_or(NONE);
                }
            }
        }
    }
}

/// A set of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Mask<const W: usize>([u64; W]);

impl<const W: usize> Mask<W> {
    const EMPTY: Self = Mask([0; W]);

    fn has(&self, slot: u32) -> bool {
        self.0[slot as usize / 64] >> (slot % 64) & 1 == 1
    }
    fn insert(&mut self, slot: u32) {
        self.0[slot as usize / 64] |= 1 << (slot % 64);
    }
    fn remove(&mut self, slot: u32) {
        self.0[slot as usize / 64] &= !(1 << (slot % 64));
    }
    fn count(&self) -> usize {
        self.0.iter().map(|w| w.count_ones() as usize).sum()
    }
    fn subset_of(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }
}

/// What has taken effect: certain open operations, unknown ones, the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Configuration<const W: usize> {
    state: u32,
    done: Mask<W>,
    used: Mask<W>,
}

/// Configurations of which none dominates another.
#[derive(Debug)]
struct Antichains<const W: usize> {
    map: HashMap<(u32, Mask<W>), Vec<Mask<W>>>,
    len: usize,
}

impl<const W: usize> Antichains<W> {
    fn new() -> Self {
        Antichains {
            map: HashMap::new(),
            len: 0,
        }
    }

    /// False if a stored one dominates it; removes those that it dominates.
    fn insert(&mut self, c: &Configuration<W>) -> bool {
        match self.map.entry((c.state, c.done)) {
            Entry::Vacant(e) => {
                e.insert(vec![c.used]);
            }
            Entry::Occupied(mut e) => {
                let sets = e.get_mut();
                if sets.iter().any(|s| s.subset_of(&c.used)) {
                    return false;
                }
                let before = sets.len();
                sets.retain(|s| !c.used.subset_of(s));
                self.len -= before - sets.len();
                sets.push(c.used);
            }
        }
        self.len += 1;
        true
    }

    fn holds(&self, c: &Configuration<W>) -> bool {
        self.map
            .get(&(c.state, c.done))
            .is_some_and(|sets| sets.contains(&c.used))
    }

    fn clear(&mut self) {
        self.map.clear();
        self.len = 0;
    }
}

struct Search<'a, const W: usize> {
    plan: &'a Plan,
    frontier: Vec<Configuration<W>>,
    next: Antichains<W>,
    seen: Antichains<W>,
    /// Configurations to be extended, by the number of unknown writes used.
    queue: Vec<Vec<Configuration<W>>>,
    queued: usize,
    /// Open operations that change nothing, and those that may.
    pure: Vec<u32>,
    effectful: Vec<u32>,
}

impl<'a, const W: usize> Search<'a, W> {
    fn new(plan: &'a Plan) -> Self {
        let start = Configuration {
            state: plan.initial,
            done: Mask::EMPTY,
            used: Mask::EMPTY,
        };
        Search {
            plan,
            frontier: vec![start],
            next: Antichains::new(),
            seen: Antichains::new(),
            queue: Vec::new(),
            queued: 0,
            pure: Vec::new(),
            effectful: Vec::new(),
        }
    }

    fn run(mut self, budget: &mut Budget) -> Answer {
        let mut explained = 0;
        for event in &self.plan.events {
            match *event {
                Event::Invoke(op) => {
                    if self.plan.steps[op as usize].pure() {
                        self.pure.push(op);
                    } else {
                        self.effectful.push(op);
                    }
                }
                Event::Return(op) => {
                    if let Err(e) = self.complete(op, budget) {
                        let why = Why::Budget(e);
                        return Answer::Unknown { why, explained };
                    }
                    if self.frontier.is_empty() {
                        return Answer::Illegal { at: op };
                    }
                    self.pure.retain(|o| *o != op);
                    self.effectful.retain(|o| *o != op);
                    explained += 1;
                }
            }
        }
        Answer::Linearizable
    }

    /// Moves the frontier over the return of `op`.
    fn complete(&mut self, op: u32, budget: &mut Budget) -> Result<(), Exhausted> {
        self.next.clear();
        self.seen.clear();
        for c in std::mem::take(&mut self.frontier) {
            budget.spend()?;
            self.put(c, op);
        }
        let mut level = 0;
        while level < self.queue.len() {
            let Some(c) = self.queue[level].pop() else {
                level += 1;
                continue;
            };
            self.queued -= 1;
            if !self.seen.holds(&c) {
                continue;
            }
            budget.holds(self.bytes())?;
            for i in 0..self.effectful.len() {
                let e = self.effectful[i];
                budget.spend()?;
                if let Some(further) = self.extend(&c, e) {
                    self.put(further, op);
                }
            }
        }
        for ((state, done), sets) in self.next.map.drain() {
            self.frontier.extend(
                sets.into_iter()
                    .map(|used| Configuration { state, done, used }),
            );
        }
        Ok(())
    }

    fn extend(&self, c: &Configuration<W>, e: u32) -> Option<Configuration<W>> {
        let plan = self.plan;
        let slot = plan.slot[e as usize];
        if c.done.has(slot) || c.used.has(slot) {
            return None;
        }
        let step = plan.steps[e as usize];
        let state = step.apply(c.state)?;
        let mut further = Configuration { state, ..*c };
        if plan.unknown[e as usize] {
            let twin = plan.twin[e as usize];
            if twin != NONE && !c.used.has(plan.slot[twin as usize]) {
                return None;
            }
            further.used.insert(slot);
        } else {
            further.done.insert(slot);
        }
        Some(further)
    }

    /// Lets everything that changes nothing take effect where it can; then
    /// files the configuration as one that has `op` behind it, or that must go on.
    fn put(&mut self, mut c: Configuration<W>, op: u32) {
        for p in &self.pure {
            if self.plan.steps[*p as usize].apply(c.state).is_some() {
                c.done.insert(self.plan.slot[*p as usize]);
            }
        }
        let slot = self.plan.slot[op as usize];
        if c.done.has(slot) {
            c.done.remove(slot);
            self.next.insert(&c);
        } else if self.seen.insert(&c) {
            let level = c.used.count();
            if self.queue.len() <= level {
                self.queue.resize_with(level + 1, Vec::new);
            }
            self.queue[level].push(c);
            self.queued += 1;
        }
    }

    /// About what is held at the moment; an antichain of one costs a map entry
    /// and a small allocation.
    fn bytes(&self) -> usize {
        let one = size_of::<Configuration<W>>();
        (self.next.len + self.seen.len) * (2 * one + 64) + self.queued * one
    }
}
