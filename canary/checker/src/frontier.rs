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

mod plan;
mod sets;
mod texts;

use crate::budget::{Budget, Exhausted};
use crate::register::{Operations, Value};
use plan::{Event, NONE, Plan};
use sets::{Antichains, Configuration, Mask};
use texts::Texts;

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
        /// The operation at whose return it ended; `None`: before any.
        at: Option<u32>,
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
pub fn search<O: Operations + ?Sized>(ops: &O, initial: Value, budget: &mut Budget) -> Answer {
    let plan = Plan::new(ops, initial, budget);
    let answer = start(plan, Texts::default(), budget);
    budget.release();
    answer
}

/// As [`search`], for a key whose values are texts that can be appended to.
/// Values are numbers of texts; `text` gives the text of a number, and the key
/// held `initial` in the beginning. A read of nothing is a read of the empty text.
///
/// ```
/// use gameday_checker::register::{Action, RegisterOp};
/// use gameday_checker::{Budget, frontier};
/// let op = |start, finish, action| RegisterOp { start, finish, action };
/// let texts = ["", "x", "y", "xy"];
/// let history = [
///     op(0, 10, Action::Append(1)),
///     op(5, 15, Action::Append(2)),
///     op(20, 30, Action::Read(Some(3))),
/// ];
/// let mut budget = Budget::unlimited();
/// let answer = frontier::search_texts(&history, "", |id| texts[id as usize], &mut budget);
/// assert_eq!(answer, frontier::Answer::Linearizable);
/// ```
pub fn search_texts<'t, O: Operations + ?Sized>(
    ops: &O,
    initial: &str,
    text: impl Fn(i64) -> &'t str,
    budget: &mut Budget,
) -> Answer {
    let mut texts = Texts::default();
    let first = texts.number(initial);
    let plan = Plan::with(ops, first, budget, |v| match v {
        Some(id) => texts.number(text(id)),
        None => texts.number(""),
    });
    let answer = start(plan, texts, budget);
    budget.release();
    answer
}

fn start(plan: Result<Plan, Exhausted>, texts: Texts, budget: &mut Budget) -> Answer {
    let gave_up = |why| Answer::Unknown {
        why,
        explained: 0,
        at: None,
    };
    let plan = match plan {
        Ok(plan) => plan,
        Err(e) => return gave_up(Why::Budget(e)),
    };
    match plan.slots.div_ceil(64) {
        0 | 1 => Search::<1>::new(&plan, texts).run(budget),
        2 => Search::<2>::new(&plan, texts).run(budget),
        3..=4 => Search::<4>::new(&plan, texts).run(budget),
        5..=16 => Search::<16>::new(&plan, texts).run(budget),
        17..=128 => Search::<128>::new(&plan, texts).run(budget),
        _ => gave_up(Why::TooManyOpen(plan.slots)),
    }
}

struct Search<'a, const W: usize> {
    plan: &'a Plan,
    texts: Texts,
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
    fn new(plan: &'a Plan, texts: Texts) -> Self {
        let start = Configuration {
            state: plan.initial,
            done: Mask::EMPTY,
            used: Mask::EMPTY,
        };
        Search {
            plan,
            texts,
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
                        let at = Some(op);
                        return Answer::Unknown { why, explained, at };
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

    fn extend(&mut self, c: &Configuration<W>, e: u32) -> Option<Configuration<W>> {
        let plan = self.plan;
        let slot = plan.slot[e as usize];
        if c.done.has(slot) || c.used.has(slot) {
            return None;
        }
        let step = plan.steps[e as usize];
        let state = step.apply(c.state, &mut self.texts)?;
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
            if self.plan.steps[*p as usize].holds(c.state) {
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
        Plan::bytes(self.plan.steps.len())
            + (self.next.len + self.seen.len) * (2 * one + 64)
            + self.queued * one
            + self.texts.bytes()
    }
}
