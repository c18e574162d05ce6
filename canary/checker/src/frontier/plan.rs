//! A history, prepared for the search.

use super::texts::Texts;
use crate::budget::{Budget, Exhausted};
use crate::register::{Action, Operations, Value};
use crate::sort::sort;
use hashbrown::HashMap;

/// An action over dense values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Legal if the state is this; changes nothing.
    Is(u32),
    /// Legal if the state is not this; changes nothing.
    IsNot(u32),
    Write(u32),
    Cas(u32, u32),
    /// The state, which is a text, gets longer by this one.
    Append(u32),
    /// Never legal.
    Never,
}

impl Step {
    pub fn pure(self) -> bool {
        !matches!(self, Step::Write(_) | Step::Cas(..) | Step::Append(_))
    }

    /// The next state, if it is legal in this one.
    pub fn apply(self, state: u32, texts: &mut Texts) -> Option<u32> {
        match self {
            Step::Is(v) => (state == v).then_some(state),
            Step::IsNot(v) => (state != v).then_some(state),
            Step::Write(v) => Some(v),
            Step::Cas(expected, new) => (state == expected).then_some(new),
            Step::Append(v) => Some(texts.append(state, v)),
            Step::Never => None,
        }
    }

    /// Whether it is legal in this state; for steps that change nothing.
    pub fn holds(self, state: u32) -> bool {
        match self {
            Step::Is(v) => state == v,
            Step::IsNot(v) => state != v,
            _ => false,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Invoke(u32),
    Return(u32),
}

/// The history, prepared: dense values, events in order, a slot for each
/// operation while it is open.
pub(super) struct Plan {
    pub initial: u32,
    pub steps: Vec<Step>,
    pub slot: Vec<u32>,
    pub events: Vec<Event>,
    pub unknown: Vec<bool>,
    /// The identical write of unknown outcome that was invoked before this one.
    pub twin: Vec<u32>,
    pub slots: usize,
}

pub(super) const NONE: u32 = u32::MAX;

impl Plan {
    /// Of registers.
    pub fn new<O: Operations + ?Sized>(
        ops: &O,
        initial: Value,
        budget: &mut Budget,
    ) -> Result<Self, Exhausted> {
        let mut values = vec![initial];
        for i in 0..ops.len() as u32 {
            budget.spend()?;
            match ops.get(i).action {
                Action::Read(v) => values.push(v),
                Action::Write(v) => values.push(Some(v)),
                Action::Cas { expected, new } => values.extend([expected, Some(new)]),
                Action::FailedWrite(_) | Action::Append(_) => {}
                Action::FailedCas {
                    expected, found, ..
                } => values.extend([Some(expected), found].into_iter().flatten()),
            }
        }
        sort(&mut values, budget)?;
        values.dedup();
        let dense = |v: Value| values.partition_point(|x| *x < v) as u32;
        Plan::with(ops, dense(initial), budget, dense)
    }

    /// `first`: the state in the beginning; `state`: the number of a value as a state, or as an appended part.
    pub fn with<O: Operations + ?Sized>(
        ops: &O,
        first: u32,
        budget: &mut Budget,
        mut state: impl FnMut(Value) -> u32,
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
                Action::Read(v) => Step::Is(state(v)),
                Action::Write(v) => Step::Write(state(Some(v))),
                Action::Append(v) => Step::Append(state(Some(v))),
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
            twin: vec![NONE; n],
            slots: 0,
        };
        plan.order_events(ops, budget)?;
        Ok(plan)
    }

    /// About what a plan of so many operations needs while it is made.
    pub fn bytes(operations: usize) -> usize {
        const EACH: usize = size_of::<Step>()
            + 2 * size_of::<Event>()
            + 2 * size_of::<(u64, bool, u32)>()
            + size_of::<bool>()
            + 2 * size_of::<u32>();
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
        Ok(())
    }
}
