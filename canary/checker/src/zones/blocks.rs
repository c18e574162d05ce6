//! The rules within and between blocks, and which anomaly a breach of them is.

use super::{Block, Cluster, NONE, Zones, more, some};
use crate::budget::{Budget, Exhausted};
use crate::register::Operations;
use crate::sort::sort;
use crate::violation::{Kind, Violations};

impl Zones {
    /// Folds every chain into a block and checks the order inside it.
    pub(super) fn walk<O: Operations + ?Sized>(
        &mut self,
        ops: &O,
        found: &mut Violations,
        budget: &mut Budget,
    ) -> Result<(), Exhausted> {
        self.blocks.clear();
        let heads = |c: &&Cluster| c.live && c.parent == NONE;
        let chains = self.clusters.iter().filter(heads).count();
        budget.holds(self.bytes() + more(&self.blocks, chains))?;
        self.blocks.reserve_exact(chains);
        for c in 0..self.clusters.len() as u32 {
            budget.spend()?;
            let cluster = self.clusters[c as usize];
            if cluster.live && cluster.parent == NONE {
                self.walk_chain(c, ops, found, budget)?;
            }
        }
        // What no head leads to is a circle.
        for c in 0..self.clusters.len() as u32 {
            budget.spend()?;
            let cluster = self.clusters[c as usize];
            if cluster.live && cluster.block == NONE {
                let before = self.clusters[cluster.parent as usize].writer;
                found.push(
                    Kind::CyclicInformationFlow,
                    cluster.writer,
                    some(before),
                    [None; 2],
                );
                // Cut it open here, to give its clusters a place.
                self.clusters[cluster.parent as usize].child = NONE;
                self.walk_chain(c, ops, &mut Violations::default(), budget)?;
                if let Some(last) = self.blocks.last_mut() {
                    last.broken = true;
                }
            }
        }
        Ok(())
    }

    fn walk_chain<O: Operations + ?Sized>(
        &mut self,
        head: u32,
        ops: &O,
        found: &mut Violations,
        budget: &mut Budget,
    ) -> Result<(), Exhausted> {
        let id = self.blocks.len() as u32;
        let first = self.clusters[head as usize];
        let mut block = Block {
            f: first.f,
            f_cluster: head,
            s: first.s,
            s_cluster: head,
            broken: false,
        };
        let mut position = 0;
        let mut c = head;
        loop {
            budget.spend()?;
            let cluster = &mut self.clusters[c as usize];
            cluster.block = id;
            cluster.position = position;
            let cluster = *cluster;
            if cluster.f < block.s && c != head {
                if !block.broken {
                    let late = self.clusters[block.s_cluster as usize];
                    self.report_inside(&late, &cluster, ops, found);
                }
                block.broken = true;
            }
            if cluster.f < block.f {
                (block.f, block.f_cluster) = (cluster.f, c);
            }
            if cluster.s > block.s {
                (block.s, block.s_cluster) = (cluster.s, c);
            }
            position += 1;
            if cluster.child == NONE {
                break;
            }
            c = cluster.child;
        }
        self.blocks.push(block);
        Ok(())
    }

    /// `late` stands before `early` in a chain, but has an operation that
    /// started after one of `early` had finished.
    fn report_inside<O: Operations + ?Sized>(
        &self,
        late: &Cluster,
        early: &Cluster,
        ops: &O,
        found: &mut Violations,
    ) {
        let writers = [some(late.writer), some(early.writer)];
        if !ops.effectful(late.s_op) {
            found.push(Kind::StaleRead, late.s_op, Some(early.f_op), writers);
        } else {
            // A value was there before the value that it replaced was sent.
            found.push(Kind::FutureRead, early.f_op, Some(late.s_op), writers);
        }
    }

    /// Rules between blocks. At most one violation for each forward zone: its
    /// latest operation against the newest thing that it missed.
    pub(super) fn compare_blocks<O: Operations + ?Sized>(
        &mut self,
        ops: &O,
        found: &mut Violations,
        budget: &mut Budget,
    ) -> Result<(), Exhausted> {
        let is_forward = |b: &&Block| b.f < b.s;
        let ahead = self.blocks.iter().filter(is_forward).count();
        let behind = self.blocks.len() - ahead;
        // `reach` below has one number for each forward zone, `work` for each block.
        let numbers = more(&self.backward, behind) + more(&self.work, self.blocks.len());
        let reach = ahead * size_of::<u32>();
        budget.holds(self.bytes() + more(&self.forward, ahead) + numbers + reach)?;
        let mut forward = std::mem::take(&mut self.forward);
        let mut backward = std::mem::take(&mut self.backward);
        forward.clear();
        forward.reserve_exact(ahead);
        backward.clear();
        backward.reserve_exact(behind);
        for (id, block) in (0u32..).zip(&self.blocks) {
            budget.spend()?;
            if block.broken {
                continue;
            }
            if block.f < block.s {
                forward.push((block.f, id));
            } else {
                backward.push(id);
            }
        }
        sort(&mut forward, budget)?;
        // From here on the first field of `forward` is no longer needed for
        // sorting; `reach` is the forward zone so far that ends last.
        let mut reach: Vec<u32> = Vec::with_capacity(forward.len());
        for &(f, id) in &forward {
            budget.spend()?;
            let longest = match reach.last() {
                Some(&before) => {
                    if f < self.blocks[before as usize].s {
                        self.report_overlap(before, id, ops, found);
                    }
                    if self.blocks[before as usize].s >= self.blocks[id as usize].s {
                        before
                    } else {
                        id
                    }
                }
                None => id,
            };
            reach.push(longest);
        }
        // For each forward zone, the backward zone inside it that ends last.
        self.work.clear();
        self.work.resize(self.blocks.len(), NONE);
        for &inner in &backward {
            budget.spend()?;
            let b = self.blocks[inner as usize];
            let before = forward.partition_point(|(f, _)| *f < b.s);
            let Some(&outer) = before.checked_sub(1).and_then(|i| reach.get(i)) else {
                continue;
            };
            if b.f < self.blocks[outer as usize].s {
                let newest = &mut self.work[outer as usize];
                if *newest == NONE || self.blocks[*newest as usize].f < b.f {
                    *newest = inner;
                }
            }
        }
        for &(_, outer) in &forward {
            budget.spend()?;
            let inner = self.work[outer as usize];
            if inner != NONE {
                self.report_pair(outer, inner, None, ops, found);
            }
        }
        self.forward = forward;
        self.backward = backward;
        Ok(())
    }

    /// Two forward zones that overlap: which of them is the older is known
    /// only if one write was over before the other began.
    fn report_overlap<O: Operations + ?Sized>(
        &self,
        x: u32,
        y: u32,
        ops: &O,
        found: &mut Violations,
    ) {
        let before = |a: u32, b: u32| {
            // The cluster of b that shows b early, the one of a that shows a late.
            let a = self.clusters[self.blocks[a as usize].s_cluster as usize].writer;
            let b = self.clusters[self.blocks[b as usize].f_cluster as usize].writer;
            b != NONE && (a == NONE || ops.finish(a) < ops.start(b))
        };
        if before(x, y) {
            self.report_pair(x, y, None, ops, found);
        } else if before(y, x) {
            self.report_pair(y, x, None, ops, found);
        } else {
            self.report_pair(x, y, Some(Kind::NonMonotonicRead), ops, found);
        }
    }

    /// The last operation of block `old` began after `new` had been seen.
    fn report_pair<O: Operations + ?Sized>(
        &self,
        old: u32,
        new: u32,
        kind: Option<Kind>,
        ops: &O,
        found: &mut Violations,
    ) {
        let (old, new) = (&self.blocks[old as usize], &self.blocks[new as usize]);
        let cluster = |id: u32| &self.clusters[id as usize];
        let (late, seen) = (cluster(old.s_cluster), cluster(new.f_cluster));
        let kind = if ops.effectful(late.s_op) {
            Kind::LostUpdate
        } else {
            kind.unwrap_or(Kind::StaleRead)
        };
        // The rest of the proof: the newer value came after the older one.
        // Best shown by their writes; else by who saw which of them when.
        let by_writes = match (some(late.writer), some(seen.writer)) {
            (Some(a), Some(b)) => ops.finish(a) < ops.start(b),
            _ => true,
        };
        let context = if by_writes {
            [some(late.writer), some(seen.writer)]
        } else {
            [
                some(cluster(old.f_cluster).f_op),
                some(cluster(new.s_cluster).s_op),
            ]
        };
        found.push(kind, late.s_op, some(seen.f_op), context);
    }
}
