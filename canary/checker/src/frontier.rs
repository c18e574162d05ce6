//! Linearizability of one key whatever its values: a just-in-time search, in
//! breadth here, in depth in `depth`.
//!
//! After G. Lowe, "Testing for linearizability" (Concurrency and Computation
//! 2017). Events are taken in order of time. A configuration is the set of
//! *open* operations that have taken effect already, and the state. When an
//! operation returns, configurations are extended by further open operations
//! until it has taken effect in each; those in which it cannot are dropped. If
//! none is left, no order explains the history, and the operation that
//! returned is the first to prove it.
//!
//! Four reductions of ours keep the frontier small:
//!
//! 1. An operation that changes nothing (a read, a failed conditional write)
//!    takes effect as soon as it can: waiting gains nothing.
//! 2. Of identical open operations the one that returns first takes effect
//!    first, those of unknown outcome last and as they were invoked: which of
//!    them it was cannot be told, and this order leaves the most room.
//! 3. A write can take effect right before another one, where nobody sees it.
//!    So whenever one is seen, all other open ones may return: it is decided
//!    later, at the latest when they do, whether they are seen themselves. What
//!    is seen is so because an operation waits for it, or because it returns.
//! 4. Of two configurations in one state, the one in which more operations may
//!    return, and fewer were seen and are used up, can do all that the other
//!    can. Only such are kept, and explored in order of the unknown writes that
//!    they used.
//!
//! Both searches look at the same configurations. In depth a legal history is
//! mostly explained at once, where in breadth all that could also have been is
//! carried along; an illegal one is mostly refuted sooner in breadth, where
//! what dominates is met first. So each gets a slice of the budget in turn,
//! ever larger ones: at most a few times what the better one needs.
//!
//! The problem is NP-complete, so the search has a [`Budget`] and may answer
//! that it does not know. Where values are unique, [`crate::zones`] decides
//! without searching.

mod depth;
mod plan;
mod sets;
mod states;

use crate::budget::{Budget, Exhausted};
use crate::register::{Operations, Value};
use depth::Depth;
use plan::{Classes, Event, Plan};
use sets::{Antichains, Configuration, Mask};
use states::{States, Sums, Texts};

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
    /// A violation was found elsewhere in the history, which is all that a
    /// verdict needs.
    Violated,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::Budget(e) => write!(f, "{e}"),
            Why::Violated => f.write_str("a violation was found elsewhere"),
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
    to_the_end(Prepared::registers(ops, initial, budget), budget)
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
    to_the_end(Prepared::texts(ops, initial, text, budget), budget)
}

/// As [`search`], for a counter: an append adds its number, reads find sums,
/// and an addition that tells the sum it made is a compare-and-set to it.
///
/// ```
/// use gameday_checker::register::{Action, RegisterOp};
/// use gameday_checker::{Budget, frontier};
/// let op = |start, finish, action| RegisterOp { start, finish, action };
/// let history = [
///     op(0, 10, Action::Append(2)),
///     op(0, 20, Action::Cas { expected: Some(0), new: 5 }),
///     op(30, 40, Action::Read(Some(7))),
/// ];
/// let answer = frontier::search_sums(&history, 0, &mut Budget::unlimited());
/// assert_eq!(answer, frontier::Answer::Linearizable);
/// ```
pub fn search_sums<O: Operations + ?Sized>(ops: &O, initial: i64, budget: &mut Budget) -> Answer {
    to_the_end(Prepared::sums(ops, initial, budget), budget)
}

fn to_the_end(prepared: Result<Prepared, Exhausted>, budget: &mut Budget) -> Answer {
    let answer = match prepared {
        Ok(prepared) => prepared.search(budget),
        Err(e) => Answer::untried(e),
    };
    budget.release();
    answer
}

impl Answer {
    /// Not even begun.
    pub(crate) fn untried(why: Exhausted) -> Answer {
        Answer::Unknown {
            why: Why::Budget(why),
            explained: 0,
            at: None,
        }
    }
}

/// A history that is ready to be searched.
pub(crate) struct Prepared {
    plan: Plan,
    states: States,
}

/// Steps of the first slice of the search in depth: some, and some for every
/// operation. Enough for one wrong turn here and there.
const FIRST: u64 = 64;
const FIRST_EACH: u64 = 8;
/// A slice in breadth is so many times as large: its steps are smaller.
const BREADTH: u64 = 8;
/// Each slice is so many times the one before.
const LARGER: u64 = 4;

impl Prepared {
    /// Of a register.
    ///
    /// # Errors
    /// The budget ran out.
    pub fn registers<O: Operations + ?Sized>(
        ops: &O,
        initial: Value,
        budget: &mut Budget,
    ) -> Result<Self, Exhausted> {
        Ok(Prepared {
            plan: Plan::new(ops, initial, budget)?,
            states: States::Values,
        })
    }

    /// Of a text; see [`search_texts`].
    ///
    /// # Errors
    /// The budget ran out.
    pub fn texts<'t, O: Operations + ?Sized>(
        ops: &O,
        initial: &str,
        text: impl Fn(i64) -> &'t str,
        budget: &mut Budget,
    ) -> Result<Self, Exhausted> {
        let mut texts = Texts::default();
        let first = texts.number(initial);
        let number = |v: Value| texts.number(v.map_or("", &text));
        let plan = Plan::with(ops, first, budget, number, |_| false)?;
        Ok(Prepared {
            plan,
            states: States::Texts(texts),
        })
    }

    /// Of a counter; see [`search_sums`].
    ///
    /// # Errors
    /// The budget ran out.
    pub fn sums<O: Operations + ?Sized>(
        ops: &O,
        initial: i64,
        budget: &mut Budget,
    ) -> Result<Self, Exhausted> {
        let mut sums = Sums::default();
        let first = sums.number(initial.into());
        let number = |v: Value| sums.number(v.unwrap_or(initial).into());
        let plan = Plan::with(ops, first, budget, number, |_| false)?;
        Ok(Prepared {
            plan,
            states: States::Sums(sums),
        })
    }

    /// Slices of the search until it knows, or the budget runs out.
    fn search(&self, budget: &mut Budget) -> Answer {
        let mut slice = 0;
        loop {
            match self.slice(slice, budget) {
                Answer::Unknown {
                    why: Why::Budget(Exhausted::Steps(_)),
                    explained,
                    at,
                } => {
                    if let Err(e) = budget.spend() {
                        let why = Why::Budget(e);
                        return Answer::Unknown { why, explained, at };
                    }
                }
                answer => return answer,
            }
            slice += 1;
        }
    }

    /// One slice: in depth, then in breadth. `n`: how many were before it.
    /// Where a slice was not enough, that is because of its
    /// [steps](Exhausted::Steps).
    pub fn slice(&self, n: u32, budget: &mut Budget) -> Answer {
        match self.plan.slots.div_ceil(64) {
            0 | 1 => self.of_width::<1>(n, budget),
            2 => self.of_width::<2>(n, budget),
            3..=4 => self.of_width::<4>(n, budget),
            5..=16 => self.of_width::<16>(n, budget),
            17..=128 => self.of_width::<128>(n, budget),
            _ => Answer::Unknown {
                why: Why::TooManyOpen(self.plan.slots),
                explained: 0,
                at: None,
            },
        }
    }

    fn of_width<const W: usize>(&self, n: u32, budget: &mut Budget) -> Answer {
        let each = FIRST_EACH.saturating_mul(self.plan.steps.len() as u64);
        let steps = LARGER.saturating_pow(n).saturating_mul(FIRST + each);
        let in_depth = budget.part(steps, |part| {
            match Depth::<W>::new(&self.plan, self.states.clone(), part) {
                Ok(depth) => depth.run(part),
                Err(e) => Answer::untried(e),
            }
        });
        let Answer::Unknown {
            why: narrow,
            explained: deep,
            at: deepest,
        } = in_depth
        else {
            return in_depth;
        };
        let in_breadth = budget.part(steps.saturating_mul(BREADTH), |part| {
            Search::<W>::new(&self.plan, self.states.clone()).run(part)
        });
        match in_breadth {
            Answer::Unknown { why, explained, at } => {
                // Memory is at an end only if it is for both.
                let why = match (narrow, why) {
                    (Why::Budget(Exhausted::Steps(_)), Why::Budget(Exhausted::Bytes(_))) => narrow,
                    _ => why,
                };
                match deep > explained {
                    true => Answer::Unknown {
                        why,
                        explained: deep,
                        at: deepest,
                    },
                    false => Answer::Unknown { why, explained, at },
                }
            }
            answer => answer,
        }
    }
}

struct Search<'a, const W: usize> {
    plan: &'a Plan,
    states: States,
    classes: Classes,
    frontier: Vec<Configuration<W>>,
    next: Antichains<W>,
    seen: Antichains<W>,
    /// Configurations to be extended, by the number of unknown writes used.
    queue: Vec<Vec<Configuration<W>>>,
    queued: usize,
    /// Open operations that change nothing, and those that may, by rank.
    pure: Vec<u32>,
    effectful: Vec<u32>,
    /// Open writes of known outcome.
    writes: Mask<W>,
}

impl<'a, const W: usize> Search<'a, W> {
    fn new(plan: &'a Plan, states: States) -> Self {
        Search {
            plan,
            states,
            classes: Classes::new(plan),
            frontier: vec![Configuration::first(plan.initial)],
            next: Antichains::new(),
            seen: Antichains::new(),
            queue: Vec::new(),
            queued: 0,
            pure: Vec::new(),
            effectful: Vec::new(),
            writes: Mask::EMPTY,
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
                        let rank = |o: &u32| self.plan.rank[*o as usize];
                        let at = self.effectful.partition_point(|o| rank(o) < rank(&op));
                        self.effectful.insert(at, op);
                    }
                    if self.plan.hides(op) {
                        self.writes.insert(self.plan.slot[op as usize]);
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
                    self.writes.remove(self.plan.slot[op as usize]);
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
        for mut c in std::mem::take(&mut self.frontier) {
            budget.spend()?;
            self.meet(&mut c);
            if c.met.has(self.plan.slot[op as usize]) {
                self.next(c, op);
            }
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
            self.classes.walk();
            for i in 0..self.effectful.len() {
                let e = self.effectful[i];
                budget.spend()?;
                if let Some(mut further) = self.extend(&c, e, op) {
                    self.meet(&mut further);
                    self.put(further, op);
                }
            }
        }
        self.frontier.extend(self.next.drain());
        Ok(())
    }

    /// The configuration after `e` is seen to take effect, if that is of use
    /// to anybody but `op`, which is about to return.
    fn extend(&mut self, c: &Configuration<W>, e: u32, op: u32) -> Option<Configuration<W>> {
        let plan = self.plan;
        let slot = plan.slot[e as usize];
        if c.took(slot) {
            return None;
        }
        if !self.classes.first(plan.class[e as usize]) {
            return None;
        }
        let state = plan.steps[e as usize].apply(c.state, &mut self.states)?;
        if e != op && !plan.of_use(e, state, c, &self.pure, &self.effectful) {
            return None;
        }
        Some(plan.seen(c, e, state, &self.writes))
    }

    /// Lets everything that changes nothing take effect where it can.
    fn meet(&self, c: &mut Configuration<W>) {
        for p in &self.pure {
            if self.plan.steps[*p as usize].holds(c.state) {
                c.met.insert(self.plan.slot[*p as usize]);
            }
        }
    }

    /// Files a configuration in which `op` may return.
    fn next(&mut self, mut c: Configuration<W>, op: u32) {
        c.release(self.plan.slot[op as usize]);
        self.next.insert(&c);
    }

    /// Files a configuration that has `op` behind it, or one that must go on
    /// or can: a write that nobody saw may yet be seen.
    fn put(&mut self, c: Configuration<W>, op: u32) {
        if self.plan.over(&c, op) {
            self.next(c, op);
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
            + self.states.bytes()
    }
}
