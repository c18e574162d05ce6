//! The search in depth: one configuration is followed until it gets no
//! further, then the latest choice is made another way.
//!
//! After J. Wing and C. Gong, "Testing and verifying concurrent objects" (J.
//! Parallel Distrib. Comput. 1993), with the cache of G. Lowe: a configuration
//! that led nowhere is not followed again, nor one that it dominates.
//! Operations take effect as late as they can, what the operation that returns
//! next waits for is tried first, and a write that returns is hidden if the
//! next read wants what is there already: so a legal history is mostly
//! explained without a wrong turn.

use super::plan::{Classes, Event, Plan, Step};
use super::sets::{Antichains, Configuration, Mask};
use super::states::States;
use super::{Answer, Why};
use crate::budget::{Budget, Exhausted};

/// What is open when an operation returns.
struct Point<const W: usize> {
    op: u32,
    /// In [`Depth::open`]: those that change nothing, then those that do, by rank.
    first: u32,
    effectful: u32,
    end: u32,
    /// Operations of unknown outcome that had been invoked.
    unknowns: u32,
    /// Open writes of known outcome.
    writes: Mask<W>,
}

/// So many returns are looked at for one that waits.
const SOON: usize = 64;

/// A way on from a configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Nobody saw the write that returns.
    Hidden,
    /// What the operation that returns waits for.
    Direct,
    /// What others wait for, first.
    Chain,
}

/// A configuration and the next choice to be tried in it.
struct Frame<const W: usize> {
    configuration: Configuration<W>,
    ways: &'static [Way],
    next: u32,
}

/// The search of one plan.
pub(super) struct Depth<'a, const W: usize> {
    plan: &'a Plan,
    states: States,
    points: Vec<Point<W>>,
    open: Vec<u32>,
    unknowns: Vec<u32>,
    stack: Vec<Frame<W>>,
    seen: Antichains<W>,
    classes: Classes,
    /// The furthest return that was reached.
    furthest: u32,
}

impl<'a, const W: usize> Depth<'a, W> {
    /// Lists what is open at each return.
    ///
    /// # Errors
    /// The budget ran out.
    pub fn new(plan: &'a Plan, states: States, budget: &mut Budget) -> Result<Self, Exhausted> {
        let mut depth = Depth {
            plan,
            states,
            points: Vec::new(),
            open: Vec::new(),
            unknowns: Vec::new(),
            stack: Vec::new(),
            seen: Antichains::new(),
            classes: Classes::new(plan),
            furthest: 0,
        };
        let (mut pure, mut effectful): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        let mut writes = Mask::EMPTY;
        let rank = |op: &u32| plan.rank[*op as usize];
        for event in &plan.events {
            match *event {
                Event::Invoke(op) if plan.unknown[op as usize] => depth.unknowns.push(op),
                Event::Invoke(op) if plan.steps[op as usize].pure() => pure.push(op),
                Event::Invoke(op) => {
                    let at = effectful.partition_point(|o| rank(o) < rank(&op));
                    effectful.insert(at, op);
                    if plan.hides(op) {
                        writes.insert(plan.slot[op as usize]);
                    }
                }
                Event::Return(op) => {
                    budget.spend()?;
                    let first = depth.open.len() as u32;
                    depth.open.extend_from_slice(&pure);
                    let middle = depth.open.len() as u32;
                    depth.open.extend_from_slice(&effectful);
                    depth.points.push(Point {
                        op,
                        first,
                        effectful: middle,
                        end: depth.open.len() as u32,
                        unknowns: depth.unknowns.len() as u32,
                        writes,
                    });
                    writes.remove(plan.slot[op as usize]);
                    pure.retain(|o| *o != op);
                    effectful.retain(|o| *o != op);
                    budget.holds(depth.bytes())?;
                }
            }
        }
        Ok(depth)
    }

    /// Searches until it knows or the budget runs out.
    pub fn run(mut self, budget: &mut Budget) -> Answer {
        let found = self.search(Configuration::first(self.plan.initial), budget);
        let at = self.points.get(self.furthest as usize).map(|p| p.op);
        match (found, at) {
            (Ok(true), _) | (Ok(false), None) => Answer::Linearizable,
            (Ok(false), Some(at)) => Answer::Illegal { at },
            (Err(e), at) => Answer::Unknown {
                why: Why::Budget(e),
                explained: self.furthest as usize,
                at,
            },
        }
    }

    fn search(&mut self, start: Configuration<W>, budget: &mut Budget) -> Result<bool, Exhausted> {
        if self.enter(start, true, budget)? {
            return Ok(true);
        }
        while let Some(mut frame) = self.stack.pop() {
            budget.spend()?;
            let Some(further) = self.choose(&mut frame, budget)? else {
                continue;
            };
            let returned = further.point > frame.configuration.point;
            self.stack.push(frame);
            budget.holds(self.bytes())?;
            if self.enter(further, returned, budget)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Goes on from a configuration as far as there is no choice; true at the
    /// end of the history. Where there is one it is left on the stack. `fresh`:
    /// nothing was tried yet at this return.
    fn enter(
        &mut self,
        mut c: Configuration<W>,
        mut fresh: bool,
        budget: &mut Budget,
    ) -> Result<bool, Exhausted> {
        let plan = self.plan;
        while let Some(point) = self.points.get(c.point as usize) {
            budget.spend()?;
            for p in &self.open[point.first as usize..point.effectful as usize] {
                if plan.steps[*p as usize].holds(c.state) {
                    c.met.insert(plan.slot[*p as usize]);
                }
            }
            if !plan.over(&c, point.op) {
                let ways = match fresh && c.met.has(plan.slot[point.op as usize]) {
                    false => &[Way::Direct, Way::Chain][..],
                    true if self.wanted(&c) => &[Way::Hidden, Way::Direct, Way::Chain],
                    true => &[Way::Direct, Way::Hidden, Way::Chain],
                };
                if self.seen.insert(&c) {
                    self.stack.push(Frame {
                        configuration: c,
                        ways,
                        next: 0,
                    });
                }
                return Ok(false);
            }
            self.pass(&mut c);
            fresh = true;
        }
        Ok(true)
    }

    /// Whether the next read that returns and has found nothing yet finds the
    /// state as it is.
    fn wanted(&self, c: &Configuration<W>) -> bool {
        let plan = self.plan;
        let soon = self.points[c.point as usize..].iter().take(SOON);
        let mut soon = soon.map(|p| p.op as usize);
        let waits =
            |op: &usize| matches!(plan.steps[*op], Step::Is(_)) && !c.met.has(plan.slot[*op]);
        let next = soon.find(waits);
        next.is_some_and(|op| plan.steps[op].holds(c.state))
    }

    /// Moves over a return.
    fn pass(&mut self, c: &mut Configuration<W>) {
        let op = self.points[c.point as usize].op;
        c.release(self.plan.slot[op as usize]);
        c.point += 1;
        self.furthest = self.furthest.max(c.point);
    }

    /// The next way on from a configuration.
    fn choose(
        &mut self,
        frame: &mut Frame<W>,
        budget: &mut Budget,
    ) -> Result<Option<Configuration<W>>, Exhausted> {
        let plan = self.plan;
        let c = frame.configuration;
        let point = &self.points[c.point as usize];
        let pure = &self.open[point.first as usize..point.effectful as usize];
        let certain = &self.open[point.effectful as usize..point.end as usize];
        let unknown = &self.unknowns[..point.unknowns as usize];
        let awaited = plan.steps[point.op as usize];
        if awaited == Step::Never {
            return Ok(None);
        }
        let waits = awaited.pure() || matches!(awaited, Step::Cas(..));
        while let Some((&way, rest)) = frame.ways.split_first() {
            if way == Way::Hidden {
                frame.ways = rest;
                let mut further = c;
                self.pass(&mut further);
                return Ok(Some(further));
            }
            self.classes.walk();
            let all = certain.iter().chain(unknown);
            for (i, &e) in (0u32..).zip(all) {
                let at = e as usize;
                let slot = plan.slot[at];
                if c.took(slot) {
                    continue;
                }
                if !self.classes.first(plan.class[at]) || i < frame.next {
                    continue;
                }
                budget.spend()?;
                let Some(state) = plan.steps[at].apply(c.state, &mut self.states) else {
                    continue;
                };
                let direct = e == point.op || waits && awaited.holds(state);
                if direct != (way == Way::Direct) {
                    continue;
                }
                if !direct
                    && !plan.of_use(e, state, &c, pure, certain)
                    && !plan.of_use(e, state, &c, &[], unknown)
                {
                    continue;
                }
                frame.next = i + 1;
                return Ok(Some(plan.seen(&c, e, state, &point.writes)));
            }
            frame.ways = rest;
            frame.next = 0;
        }
        Ok(None)
    }

    /// About what is held at the moment.
    fn bytes(&self) -> usize {
        let one = size_of::<Configuration<W>>();
        Plan::bytes(self.plan.steps.len())
            + self.points.len() * size_of::<Point<W>>()
            + (self.open.len() + self.unknowns.len()) * size_of::<u32>()
            + self.seen.len * (2 * one + 64)
            + self.stack.len() * size_of::<Frame<W>>()
            + self.states.bytes()
    }
}
