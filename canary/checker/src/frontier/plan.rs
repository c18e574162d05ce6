//! A history, prepared for the search.

use super::sets::{Configuration, Mask};
use super::states::States;
use crate::budget::{Budget, Exhausted};
use crate::register::{Action, Operations, Value};
use crate::sort::sort;
use hashbrown::{HashMap, HashSet};

/// An action over dense values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Legal if the state is this; changes nothing.
    Is(u32),
    /// Legal if the state is not this; changes nothing.
    IsNot(u32),
    Write(u32),
    Cas(u32, u32),
    /// The state, a text or a sum, gets longer by this one.
    Grow(u32),
    /// Never legal.
    Never,
}

impl Step {
    pub fn pure(self) -> bool {
        !matches!(self, Step::Write(_) | Step::Cas(..) | Step::Grow(_))
    }

    /// The next state, if it is legal in this one.
    pub fn apply(self, state: u32, states: &mut States) -> Option<u32> {
        match self {
            Step::Write(v) => Some(v),
            Step::Cas(expected, new) => (state == expected).then_some(new),
            Step::Grow(part) => Some(states.grow(state, part)),
            pure => pure.holds(state).then_some(state),
        }
    }

    /// Whether it is legal in this state.
    pub fn holds(self, state: u32) -> bool {
        match self {
            Step::Is(v) | Step::Cas(v, _) => state == v,
            Step::IsNot(v) => state != v,
            Step::Write(_) | Step::Grow(_) => true,
            Step::Never => false,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Invoke(u32),
    Return(u32),
}

/// Ranks of operations of unknown outcome begin here, behind all others.
const UNKNOWN: u32 = 1 << 31;

/// The history, prepared: dense values, events in order, a slot for each
/// operation while it is open.
pub(super) struct Plan {
    pub initial: u32,
    pub steps: Vec<Step>,
    pub slot: Vec<u32>,
    pub events: Vec<Event>,
    pub unknown: Vec<bool>,
    /// Operations that do the same have the same class.
    pub class: Vec<u32>,
    pub classes: u32,
    /// The order in which operations of one class take effect: as they return,
    /// then those of unknown outcome as they were invoked.
    pub rank: Vec<u32>,
    pub slots: usize,
    /// Whether any operation changes the state depending on it.
    changes: bool,
}

impl Plan {
    /// Of registers.
    pub fn new<O: Operations + ?Sized>(
        ops: &O,
        initial: Value,
        budget: &mut Budget,
    ) -> Result<Self, Exhausted> {
        let mut values = vec![initial];
        let mut found: HashSet<Value> = HashSet::new();
        let mut bare = false;
        for i in 0..ops.len() as u32 {
            budget.spend()?;
            let op = ops.get(i);
            match op.action {
                Action::Read(v) => {
                    values.push(v);
                    found.insert(v);
                }
                Action::Write(v) => values.push(Some(v)),
                Action::Cas { expected, new } => {
                    values.extend([expected, Some(new)]);
                    found.insert(expected);
                }
                Action::FailedWrite(_) | Action::Append(_) => {}
                Action::FailedCas {
                    expected, found: f, ..
                } => {
                    values.extend([Some(expected), f].into_iter().flatten());
                    bare |= f.is_none();
                    found.extend(f);
                }
            }
        }
        sort(&mut values, budget)?;
        values.dedup();
        let dense = |v: Value| values.partition_point(|x| *x < v) as u32;
        // What may not have happened and nobody found is left out, unless its
        // value may be what a condition did not find.
        let idle = |v: i64| !bare && !found.contains(&Some(v));
        Plan::with(ops, dense(initial), budget, dense, idle)
    }

    /// `first`: the state in the beginning; `state`: the number of a value as
    /// a state, or as a part of one; `idle`: nobody can miss this value.
    pub fn with<O: Operations + ?Sized>(
        ops: &O,
        first: u32,
        budget: &mut Budget,
        mut state: impl FnMut(Value) -> u32,
        idle: impl Fn(i64) -> bool,
    ) -> Result<Self, Exhausted> {
        let n = ops.len();
        budget.holds(Plan::bytes(n))?;
        let mut steps = Vec::with_capacity(n);
        let mut unknown = Vec::with_capacity(n);
        for i in 0..n as u32 {
            budget.spend()?;
            let op = ops.get(i);
            unknown.push(op.unknown());
            steps.push(match op.action {
                _ if op.unknown() && op.writes().is_some_and(&idle) => Step::Never,
                Action::Read(v) => Step::Is(state(v)),
                Action::Write(v) => Step::Write(state(Some(v))),
                Action::Append(v) => Step::Grow(state(Some(v))),
                Action::Cas { expected, new } => Step::Cas(state(expected), state(Some(new))),
                Action::FailedWrite(_) => Step::Never,
                Action::FailedCas {
                    expected, found, ..
                } => match found {
                    None => Step::IsNot(state(expected)),
                    Some(v) if v == expected => Step::Never,
                    Some(v) => Step::Is(state(v)),
                },
            });
        }
        let mut plan = Plan {
            initial: first,
            steps,
            slot: vec![0; n],
            events: Vec::new(),
            unknown,
            class: vec![0; n],
            classes: 0,
            rank: vec![0; n],
            slots: 0,
            changes: false,
        };
        let changes = |s: &Step| matches!(s, Step::Cas(..) | Step::Grow(_));
        plan.changes = plan.steps.iter().any(changes);
        plan.order_events(ops, budget)?;
        Ok(plan)
    }

    /// Whether it can take effect where nobody sees it.
    pub fn hides(&self, op: u32) -> bool {
        matches!(self.steps[op as usize], Step::Write(_)) && !self.unknown[op as usize]
    }

    /// Whether nothing is left to be tried before `op` returns.
    pub fn over<const W: usize>(&self, c: &Configuration<W>, op: u32) -> bool {
        let slot = self.slot[op as usize];
        match self.hides(op) {
            true => c.spent.has(slot),
            false => c.met.has(slot),
        }
    }

    /// Whether anybody waits for the state that `e` makes, now: one of the
    /// `pure` operations, or of the `effectful` ones. What nobody waits for now
    /// can as well be seen later.
    pub fn of_use<const W: usize>(
        &self,
        e: u32,
        state: u32,
        c: &Configuration<W>,
        pure: &[u32],
        effectful: &[u32],
    ) -> bool {
        if !matches!(self.steps[e as usize], Step::Write(_)) {
            return true;
        }
        let waits = |p: &u32| {
            let slot = self.slot[*p as usize];
            self.steps[*p as usize].holds(state) && !c.met.has(slot)
        };
        let changes = |o: &u32| {
            let slot = self.slot[*o as usize];
            match self.steps[*o as usize] {
                Step::Cas(expected, _) => expected == state && !c.took(slot),
                Step::Grow(_) => !c.took(slot),
                _ => false,
            }
        };
        pure.iter().any(waits) || self.changes && effectful.iter().any(changes)
    }

    /// The configuration after `e` is seen to take effect; `writes`: those that
    /// can have been hidden by it if it is one.
    pub fn seen<const W: usize>(
        &self,
        c: &Configuration<W>,
        e: u32,
        state: u32,
        writes: &Mask<W>,
    ) -> Configuration<W> {
        let at = e as usize;
        let slot = self.slot[at];
        let mut further = Configuration { state, ..*c };
        let write = matches!(self.steps[at], Step::Write(_));
        if write {
            further.met.include(writes);
        }
        if self.unknown[at] {
            further.used.insert(slot);
            return further;
        }
        further.met.insert(slot);
        match write {
            true => further.spent.insert(slot),
            false => further.changed.insert(slot),
        }
        further
    }

    /// About what a plan of so many operations needs while it is made.
    pub fn bytes(operations: usize) -> usize {
        const EACH: usize = size_of::<Step>()
            + 2 * size_of::<Event>()
            + 2 * size_of::<(u64, bool, u32)>()
            + size_of::<bool>()
            + size_of::<(Step, u32)>()
            + 3 * size_of::<u32>();
        operations * EACH
    }

    fn order_events<O: Operations + ?Sized>(
        &mut self,
        ops: &O,
        budget: &mut Budget,
    ) -> Result<(), Exhausted> {
        // At one instant invocations come first: touching is concurrent.
        let mut order: Vec<(u64, bool, u32)> = Vec::with_capacity(2 * ops.len());
        for i in 0..ops.len() as u32 {
            let op = ops.get(i);
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
        sort(&mut order, budget)?;
        let mut free: Vec<u32> = Vec::new();
        let mut classes: HashMap<Step, u32> = HashMap::new();
        for (position, (_, returns, i)) in (0u32..).zip(order) {
            let at = i as usize;
            if returns {
                free.push(self.slot[at]);
                self.rank[at] = position;
                self.events.push(Event::Return(i));
                continue;
            }
            self.slot[at] = free.pop().unwrap_or_else(|| {
                self.slots += 1;
                self.slots as u32 - 1
            });
            self.events.push(Event::Invoke(i));
            if self.unknown[at] {
                self.rank[at] = UNKNOWN | position;
            }
            let next = classes.len() as u32;
            self.class[at] = *classes.entry(self.steps[at]).or_insert(next);
        }
        self.classes = classes.len() as u32;
        Ok(())
    }
}

/// Which classes were met on a walk over operations in the order of their
/// rank: only the first of each is of interest.
pub(super) struct Classes {
    walk: u32,
    met: Vec<u32>,
}

impl Classes {
    pub fn new(plan: &Plan) -> Self {
        Classes {
            walk: 0,
            met: vec![0; plan.classes as usize],
        }
    }

    /// Begins another walk.
    pub fn walk(&mut self) {
        self.walk = self.walk.wrapping_add(1);
        if self.walk == 0 {
            self.met.fill(0);
            self.walk = 1;
        }
    }

    /// True if this is the first of its class.
    pub fn first(&mut self, class: u32) -> bool {
        std::mem::replace(&mut self.met[class as usize], self.walk) != self.walk
    }
}
