//! Conditional writes that failed without saying what they found.
//!
//! A refusal of x needs a moment at which something else is there. It has none
//! if its whole interval lies within x's zone: that is a violation. The reverse
//! does not hold: of two refusals each may have its moment, but not both, as
//! they can want the same change of value at different times. So an order is
//! made from the zones, with the blocks that have a choice put early, late or
//! halfway, and every operation is looked for in it. If all have a place, the
//! key is linearizable. What neither decides is searched. O(n log n).

use super::{Analysis, NONE, Role, some};
use crate::budget::{Budget, Exhausted};
use crate::register::{Action, Operations, Value};
use crate::sort::sort;
use crate::violation::{Kind, Violation};

/// Where in its time a block is put that can stand anywhere in it.
#[derive(Clone, Copy)]
enum Put {
    Early,
    Halfway,
    Late,
}

/// Clusters in an order: when each begins, then what settles their order within
/// one instant. Times are shifted by one, as those of clusters.
struct Order {
    placed: Vec<(u64, Beside, u32, u32, u32)>,
    /// By cluster: where it stands in `placed`.
    rank: Vec<u32>,
}

/// Where a block stands that begins in the instant in which a forward one
/// begins or ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Beside {
    Before,
    Among,
    After,
}

impl Order {
    /// When a cluster begins and ends; `None`: it ends never.
    fn lifetime(&self, cluster: u32) -> Option<(u64, Option<u64>)> {
        let at = *self.rank.get(cluster as usize)? as usize;
        let from = self.placed.get(at)?.0;
        Some((from, self.placed.get(at + 1).map(|p| p.0)))
    }
}

impl Analysis<'_> {
    /// A refusal of what was there all the time from before it began until
    /// after it ended: others had found it by then, and did so later.
    pub(crate) fn false_refusal<O: Operations + ?Sized>(&self, ops: &O) -> Option<Violation> {
        let mut all = (0..ops.len() as u32).map(|i| (i, ops.get(i)));
        all.find_map(|(i, op)| {
            let Action::FailedCas {
                expected,
                found: None,
                ..
            } = op.action
            else {
                return None;
            };
            let c = self.zones.clusters[self.cluster(expected)? as usize];
            let there =
                c.live && c.f < op.start.saturating_add(1) && op.finish.saturating_add(1) < c.s;
            there.then(|| Violation {
                kind: Kind::FalseCasFailure,
                culprit: i,
                against: some(c.f_op),
                context: some(c.s_op).into_iter().collect(),
            })
        })
    }

    /// Whether an order was found that explains everything, refusals too.
    /// There may be one that was not; and nothing else may be wrong.
    ///
    /// # Errors
    /// The budget ran out.
    pub(crate) fn explains_refusals<O: Operations + ?Sized>(
        &self,
        ops: &O,
        initial: Value,
        budget: &mut Budget,
    ) -> Result<bool, Exhausted> {
        for put in [Put::Early, Put::Halfway, Put::Late] {
            let order = self.order(put, ops, budget)?;
            if self.explains(&order, ops, initial, budget)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The cluster of a value.
    fn cluster(&self, value: Value) -> Option<u32> {
        let z = self.zones;
        let at = z.entries.partition_point(|e| e.0 < value);
        let known = z.entries.get(at).filter(|e| e.0 == value)?;
        let id = match known.1 {
            // It never was there.
            Role::Failed => NONE,
            Role::Consumes => z.consumed[known.2 as usize],
            Role::Writes | Role::Finds => z.cluster_of[known.2 as usize],
        };
        some(id)
    }

    fn order<O: Operations + ?Sized>(
        &self,
        put: Put,
        ops: &O,
        budget: &mut Budget,
    ) -> Result<Order, Exhausted> {
        let z = self.zones;
        let mut placed = Vec::with_capacity(z.clusters.len());
        for (id, cluster) in (0u32..).zip(&z.clusters) {
            budget.spend()?;
            if !cluster.live || cluster.parent != NONE {
                continue;
            }
            let block = &z.blocks[cluster.block as usize];
            let forward = block.f < block.s;
            let (mut at, beside) = match forward {
                true => (block.f, Beside::Among),
                false => self.backward(put, block.s, block.f),
            };
            let (mut c, mut of) = (id, cluster);
            loop {
                budget.spend()?;
                placed.push((at, beside, of.block, of.position, c));
                if of.child == NONE {
                    break;
                }
                let ended = of.s;
                c = of.child;
                of = &z.clusters[c as usize];
                if forward {
                    let sent = ops.start(of.writer).saturating_add(1);
                    at = at.max(ended).max(sent);
                }
            }
        }
        sort(&mut placed, budget)?;
        let mut rank = vec![NONE; z.clusters.len()];
        for (at, (.., c)) in (0u32..).zip(&placed) {
            rank[*c as usize] = at;
        }
        Ok(Order { placed, rank })
    }

    /// When a block begins that may from `s` to `f`, beside the forward ones.
    fn backward(&self, put: Put, s: u64, f: u64) -> (u64, Beside) {
        let z = self.zones;
        let at = match put {
            Put::Early => s,
            Put::Halfway => s + (f - s) / 2,
            Put::Late => f,
        };
        let before = z.forward.partition_point(|(from, _)| *from <= at);
        let Some((from, id)) = before.checked_sub(1).map(|i| z.forward[i]) else {
            return (at, Beside::Among);
        };
        let to = z.blocks[id as usize].s;
        match at {
            _ if at > to => (at, Beside::Among),
            _ if at == from || f < to => (from, Beside::Before),
            _ => (to, Beside::After),
        }
    }

    /// Whether every operation has a place in this order. Whatever the order is
    /// and wherever it comes from, it is a proof if so.
    fn explains<O: Operations + ?Sized>(
        &self,
        order: &Order,
        ops: &O,
        initial: Value,
        budget: &mut Budget,
    ) -> Result<bool, Exhausted> {
        let z = self.zones;
        for (at, &(from, .., c)) in (0u32..).zip(&order.placed) {
            budget.spend()?;
            let cluster = &z.clusters[c as usize];
            let follows = |parent: u32| order.rank[parent as usize].checked_add(1) == Some(at);
            let right = match cluster.writer {
                NONE => at == 0,
                writer => {
                    let sent = ops.start(writer).saturating_add(1);
                    sent <= from
                        && from <= ops.finish(writer).saturating_add(1)
                        && (cluster.parent == NONE || follows(cluster.parent))
                }
            };
            if !right {
                return Ok(false);
            }
        }
        for i in 0..ops.len() as u32 {
            budget.spend()?;
            let op = ops.get(i);
            if op.unknown() {
                continue;
            }
            let (start, finish) = (op.start.saturating_add(1), op.finish.saturating_add(1));
            let right = match op.action {
                Action::Read(_) | Action::FailedCas { found: Some(_), .. } => order
                    .lifetime(z.cluster_of[i as usize])
                    .is_some_and(|(from, to)| {
                        start.max(from) <= finish.min(to.unwrap_or(u64::MAX))
                    }),
                Action::FailedCas {
                    expected,
                    found: None,
                    ..
                } => {
                    let there = self.cluster(expected).and_then(|c| order.lifetime(c));
                    match there {
                        // Just before it was there, or just after.
                        Some((from, to)) => {
                            from > 0 && start <= from || to.is_some_and(|to| to <= finish)
                        }
                        None if expected == initial => {
                            order.placed.first().is_some_and(|p| p.0 <= finish)
                        }
                        None => true,
                    }
                }
                // Those that took effect are clusters.
                Action::Write(_) | Action::Cas { .. } => {
                    order.lifetime(z.cluster_of[i as usize]).is_some()
                }
                Action::FailedWrite(_) => true,
                Action::Append(_) => false,
            };
            if !right {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
