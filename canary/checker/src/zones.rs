//! Linearizability of one key whose written values are unique, in O(n log n).
//!
//! After P. Gibbons and E. Korach, "Testing shared memories" (SIAM J. Comput.
//! 1997), in the zone formulation of W. Golab, X. Li and M. Shah ("Analyzing
//! consistency properties for fun and profit", PODC 2011). The treatment of
//! unknown outcomes and of conditional writes is ours.
//!
//! # How
//!
//! *Clusters.* The write of v and every read that found v form one cluster; a
//! virtual write before everything owns the initial value. In any legal order
//! the operations of a cluster stand together, its write first.
//!
//! *Unknown outcomes.* A write that may have happened did happen if its value
//! was read, or was consumed by a conditional write that happened. Otherwise
//! it is left out, which is always allowed.
//!
//! *Conditional writes.* A successful one from a to b is the write of b, and
//! comes directly after the cluster of a. So clusters are linked into
//! *blocks*, each contiguous; a second successor of one cluster is a lost
//! update. A failed one that reports what it found is a read. (One that does
//! not report is ignored by these rules, see [`Analysis::ignored_bare_failures`];
//! for most of them `refusals` knows the answer.)
//!
//! *Within a block*, no operation of an earlier cluster may start after one of
//! a later cluster has finished.
//!
//! *Between blocks*, with f the earliest finish and s the latest start in a
//! block, X must come before Y if and only if f(X) < s(Y). A cycle of this
//! relation always contains one of length two, so it is enough to look at
//! pairs: two *forward* zones (f < s) must not overlap, and no *backward* zone
//! (s <= f) may lie inside a forward one. Sorting finds such pairs.

mod blocks;
mod refusals;
mod versions;

pub(crate) use versions::{Lifetime, Version};

use crate::budget::{Budget, Exhausted};
use crate::register::{Action, FOREVER, Operations, RegisterOp, Value};
use crate::sort::sort;
use crate::violation::{Kind, Violations};

const NONE: u32 = u32::MAX;

/// Memory of a vector.
fn bytes<T>(v: &Vec<T>) -> usize {
    v.capacity() * size_of::<T>()
}

/// Memory that an empty vector needs beside its own to hold `n` items.
fn more<T>(v: &Vec<T>, n: usize) -> usize {
    n.saturating_sub(v.capacity()) * size_of::<T>()
}

fn some(op: u32) -> Option<u32> {
    (op != NONE).then_some(op)
}

/// The same value written by two operations, or written although it was there
/// from the beginning: not a history that this checker can judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUnique {
    /// The value.
    pub value: i64,
    /// The (second) operation that writes it.
    pub op: u32,
}

/// Why a key was not judged here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// Its values are not unique.
    NotUnique(NotUnique),
    /// The budget ran out.
    Exhausted(Exhausted),
}

impl From<NotUnique> for Undecided {
    fn from(n: NotUnique) -> Self {
        Undecided::NotUnique(n)
    }
}

impl From<Exhausted> for Undecided {
    fn from(e: Exhausted) -> Self {
        Undecided::Exhausted(e)
    }
}

/// A value with its write and its reads.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    /// Its write, or `NONE` for the initial value.
    writer: u32,
    /// Earliest finish and whose, latest start and whose. Times are shifted by
    /// one, so that 0 is before everything.
    f: u64,
    f_op: u32,
    s: u64,
    s_op: u32,
    live: bool,
    /// The cluster of the value that its conditional write consumed.
    parent: u32,
    /// The cluster that consumed this one.
    child: u32,
    block: u32,
    position: u32,
}

/// A chain of clusters that must stand together.
#[derive(Clone, Copy, Debug)]
struct Block {
    f: u64,
    /// Cluster that holds the operation of `f`.
    f_cluster: u32,
    s: u64,
    s_cluster: u32,
    /// Its own order is impossible already; pairs with it say nothing new.
    broken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Writes,
    Failed,
    Finds,
    Consumes,
}

/// Memory that is used again for the next key, and the analysis of the last one.
#[derive(Debug, Default)]
pub struct Zones {
    entries: Vec<(Value, Role, u32)>,
    clusters: Vec<Cluster>,
    /// By operation: the cluster that it writes, or that it found, and for a
    /// conditional write the one that it consumed.
    cluster_of: Vec<u32>,
    consumed: Vec<u32>,
    blocks: Vec<Block>,
    work: Vec<u32>,
    forward: Vec<(u64, u32)>,
    backward: Vec<u32>,
}

/// What was found out about one key.
#[derive(Debug)]
pub struct Analysis<'a> {
    zones: &'a Zones,
    /// Everything that is wrong. None: the key is linearizable, if no bare
    /// failures were ignored.
    pub violations: Violations,
    /// Failed conditional writes that did not report what they found. They
    /// are left out: violations stand, but their absence proves nothing.
    pub ignored_bare_failures: u64,
}

/// Checks the operations of one key, which held `initial` in the beginning.
///
/// # Errors
/// The written values are not unique.
///
/// ```
/// use gameday_checker::register::{Action, RegisterOp};
/// use gameday_checker::zones;
/// let op = |start, finish, action| RegisterOp { start, finish, action };
/// let history = [
///     op(0, 10, Action::Write(1)),
///     op(20, 30, Action::Write(2)),
///     op(40, 50, Action::Read(Some(1))),
/// ];
/// let violations = zones::check(&history, None).unwrap();
/// assert_eq!(violations.kept[0].kind.name(), "stale read");
/// assert_eq!(violations.kept[0].operations(), [2, 1, 0]);
/// ```
pub fn check(ops: &[RegisterOp], initial: Value) -> Result<Violations, NotUnique> {
    let mut budget = Budget::unlimited();
    match Zones::default().analyse(ops, initial, false, &mut budget) {
        Ok(analysis) => Ok(analysis.violations),
        Err(Undecided::NotUnique(n)) => Err(n),
        Err(Undecided::Exhausted(e)) => unreachable!("there is no limit, but {e}"),
    }
}

impl Zones {
    /// As [`check`], keeping the order that was found, and memory for the next
    /// key. `missing`: writes may be missing from `ops`.
    ///
    /// # Errors
    /// The written values are not unique, or the budget ran out.
    pub fn analyse<O: Operations + ?Sized>(
        &mut self,
        ops: &O,
        initial: Value,
        missing: bool,
        budget: &mut Budget,
    ) -> Result<Analysis<'_>, Undecided> {
        let mut found = Violations::of(missing);
        let ignored_bare_failures = self.enter(ops, &mut found, budget)?;
        self.build_clusters(ops, initial, &mut found, budget)?;
        self.spread_life(budget)?;
        self.link(ops, &mut found, budget)?;
        self.walk(ops, &mut found, budget)?;
        self.compare_blocks(ops, &mut found, budget)?;
        budget.holds(self.bytes())?;
        Ok(Analysis {
            zones: self,
            violations: found,
            ignored_bare_failures,
        })
    }

    /// Memory in use; it stays so for the next key.
    fn bytes(&self) -> usize {
        let numbers = [&self.cluster_of, &self.consumed, &self.work, &self.backward];
        numbers.map(bytes).iter().sum::<usize>()
            + bytes(&self.entries)
            + bytes(&self.clusters)
            + bytes(&self.blocks)
            + bytes(&self.forward)
    }

    /// Lists who has to do with which value, sorted by value.
    fn enter<O: Operations + ?Sized>(
        &mut self,
        ops: &O,
        found: &mut Violations,
        budget: &mut Budget,
    ) -> Result<u64, Exhausted> {
        let mut bare = 0;
        self.entries.clear();
        budget.holds(self.bytes() + more(&self.entries, ops.len()))?;
        self.entries.reserve_exact(ops.len());
        for i in 0..ops.len() as u32 {
            budget.spend()?;
            let op = ops.get(i);
            let mut enter = |value, role| self.entries.push((value, role, i));
            match op.action {
                Action::Read(_) if op.unknown() => {}
                Action::Read(v) => enter(v, Role::Finds),
                // Appended values are no registers; who mixes them is told
                // nothing but the truth about the rest.
                Action::Append(_) => {}
                Action::Write(v) => enter(Some(v), Role::Writes),
                Action::Cas { expected, new } => {
                    enter(Some(new), Role::Writes);
                    enter(expected, Role::Consumes);
                }
                Action::FailedWrite(v) => enter(Some(v), Role::Failed),
                Action::FailedCas {
                    expected,
                    new,
                    found: seen,
                } => {
                    enter(Some(new), Role::Failed);
                    match seen {
                        _ if op.unknown() => {}
                        None => bare += 1,
                        Some(v) if v == expected => {
                            found.push(Kind::FalseCasFailure, i, None, [None; 2]);
                        }
                        Some(v) => enter(v, Role::Finds),
                    }
                }
            }
        }
        sort(&mut self.entries, budget)?;
        Ok(bare)
    }

    fn build_clusters<O: Operations + ?Sized>(
        &mut self,
        ops: &O,
        initial: Value,
        found: &mut Violations,
        budget: &mut Budget,
    ) -> Result<(), Undecided> {
        self.clusters.clear();
        self.cluster_of.clear();
        let values = self.entries.chunk_by(|a, b| a.0 == b.0).count();
        let numbers = more(&self.cluster_of, ops.len()) + more(&self.consumed, ops.len());
        budget.holds(self.bytes() + more(&self.clusters, values) + numbers)?;
        self.clusters.reserve_exact(values);
        self.cluster_of.resize(ops.len(), NONE);
        self.consumed.clear();
        self.consumed.resize(ops.len(), NONE);
        for group in self.entries.chunk_by(|a, b| a.0 == b.0) {
            budget.spend()?;
            let value = group[0].0;
            let sources = group.iter().take_while(|e| e.1 <= Role::Failed).count();
            if let Some(v) = value
                && sources + usize::from(value == initial) > 1
            {
                return Err(Undecided::NotUnique(NotUnique {
                    value: v,
                    op: group[sources - 1].2,
                }));
            }
            let id = self.clusters.len() as u32;
            let failed = match group[0] {
                (_, Role::Failed, op) => Some(op),
                _ => None,
            };
            let exists = group[0].1 == Role::Writes || value == initial;
            let mut cluster = if group[0].1 == Role::Writes {
                let writer = group[0].2;
                self.cluster_of[writer as usize] = id;
                Cluster::of(writer, ops.start(writer), ops.finish(writer))
            } else {
                Cluster::of_initial()
            };
            for &(_, role, i) in &group[sources..] {
                budget.spend()?;
                if role == Role::Consumes {
                    // Whether an unknown one really consumed it is known only
                    // when life has spread; if it did and nothing was there to
                    // be consumed, `link` says so.
                    if exists {
                        self.consumed[i as usize] = id;
                    }
                    continue;
                }
                if !exists {
                    let kind = failed.map_or(Kind::PhantomRead, |_| Kind::DirtyRead);
                    found.push(kind, i, failed, [None; 2]);
                    continue;
                }
                let (start, finish) = (ops.start(i), ops.finish(i));
                if cluster.writer != NONE && finish < ops.start(cluster.writer) {
                    found.push(Kind::FutureRead, i, Some(cluster.writer), [None; 2]);
                    continue;
                }
                self.cluster_of[i as usize] = id;
                cluster.add(i, start, finish);
            }
            if exists {
                self.clusters.push(cluster);
            }
        }
        Ok(())
    }

    /// What a conditional write that happened has consumed, happened too.
    fn spread_life(&mut self, budget: &mut Budget) -> Result<(), Exhausted> {
        self.work.clear();
        let ids = 0..self.clusters.len() as u32;
        self.work
            .extend(ids.filter(|c| self.clusters[*c as usize].live));
        while let Some(c) = self.work.pop() {
            budget.spend()?;
            let writer = self.clusters[c as usize].writer;
            if writer == NONE {
                continue;
            }
            let parent = self.consumed[writer as usize];
            if parent != NONE && !self.clusters[parent as usize].live {
                self.clusters[parent as usize].live = true;
                self.work.push(parent);
            }
        }
        Ok(())
    }

    /// Puts every conditional write that happened behind what it consumed.
    fn link<O: Operations + ?Sized>(
        &mut self,
        ops: &O,
        found: &mut Violations,
        budget: &mut Budget,
    ) -> Result<(), Exhausted> {
        for c in 0..self.clusters.len() as u32 {
            budget.spend()?;
            let Cluster { writer, live, .. } = self.clusters[c as usize];
            if !live || writer == NONE {
                continue;
            }
            let Action::Cas { expected, .. } = ops.get(writer).action else {
                continue;
            };
            let parent = self.consumed[writer as usize];
            if parent == NONE {
                let failed = self.failed_write_of(expected);
                let kind = failed.map_or(Kind::PhantomRead, |_| Kind::DirtyRead);
                found.push(kind, writer, failed, [None; 2]);
                continue;
            }
            let rival = self.clusters[parent as usize].child;
            if rival != NONE {
                let rival = self.clusters[rival as usize].writer;
                let origin = some(self.clusters[parent as usize].writer);
                found.push(Kind::LostUpdate, writer, Some(rival), [origin, None]);
                continue;
            }
            self.clusters[parent as usize].child = c;
            self.clusters[c as usize].parent = parent;
        }
        Ok(())
    }

    fn failed_write_of(&self, value: Value) -> Option<u32> {
        let at = self.entries.partition_point(|e| e.0 < value);
        match self.entries.get(at) {
            Some(&(v, Role::Failed, op)) if v == value => Some(op),
            _ => None,
        }
    }
}

impl Cluster {
    fn of_initial() -> Self {
        Cluster {
            writer: NONE,
            f: 0,
            f_op: NONE,
            s: 0,
            s_op: NONE,
            live: true,
            parent: NONE,
            child: NONE,
            block: NONE,
            position: 0,
        }
    }

    fn of(writer: u32, start: u64, finish: u64) -> Self {
        Cluster {
            writer,
            f: finish.saturating_add(1),
            f_op: writer,
            s: start.saturating_add(1),
            s_op: writer,
            live: finish != FOREVER,
            ..Cluster::of_initial()
        }
    }

    fn add(&mut self, reader: u32, start: u64, finish: u64) {
        self.live = true;
        if finish.saturating_add(1) < self.f {
            (self.f, self.f_op) = (finish.saturating_add(1), reader);
        }
        if start.saturating_add(1) > self.s {
            (self.s, self.s_op) = (start.saturating_add(1), reader);
        }
    }
}

/// That one value must have replaced another, by the operations that show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Who wrote the older value; `None` for the initial one.
    pub older: Option<u32>,
    /// An operation that shows it: one that saw the older value (or wrote it)
    /// before `later` began. `None`: the older is the initial value, or the
    /// newer one was derived from it by conditional writes.
    pub evidence: Option<u32>,
    /// An operation that saw (or wrote) the newer value after that.
    pub later: Option<u32>,
}

impl Analysis<'_> {
    /// Whether what `reader` found must be older than what `writer` wrote, in
    /// every order that the other rules allow. `None`: not necessarily, or one
    /// of them has no place (its own value is impossible).
    pub fn must_replace(&self, writer: u32, reader: u32) -> Option<Replaced> {
        let z = self.zones;
        let place = |op: u32| {
            let c = *z.cluster_of.get(op as usize)?;
            z.clusters.get(c as usize).filter(|c| c.block != NONE)
        };
        let (new, old) = (place(writer)?, place(reader)?);
        if new.block == old.block {
            return (new.position > old.position).then_some(Replaced {
                older: some(old.writer),
                evidence: None,
                later: None,
            });
        }
        let a = &z.blocks[old.block as usize];
        let b = &z.blocks[new.block as usize];
        (a.f < b.s).then(|| Replaced {
            older: some(old.writer),
            evidence: some(z.clusters[a.f_cluster as usize].f_op),
            later: some(z.clusters[b.s_cluster as usize].s_op),
        })
    }

    /// Whether what `reader` found has a place: somebody wrote it, in time.
    pub fn explained(&self, reader: u32) -> bool {
        self.zones
            .cluster_of
            .get(reader as usize)
            .is_some_and(|c| *c != NONE)
    }
}
