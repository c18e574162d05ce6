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
//! not report cannot be seen here: it is ignored, see
//! [`Analysis::ignored_bare_failures`].)
//!
//! *Within a block*, no operation of an earlier cluster may start after one of
//! a later cluster has finished.
//!
//! *Between blocks*, with f the earliest finish and s the latest start in a
//! block, X must come before Y if and only if f(X) < s(Y). A cycle of this
//! relation always contains one of length two, so it is enough to look at
//! pairs: two *forward* zones (f < s) must not overlap, and no *backward* zone
//! (s <= f) may lie inside a forward one. Sorting finds such pairs.

use crate::register::{Action, FOREVER, RegisterOp, Value};
use crate::violation::{Kind, Violations};

const NONE: u32 = u32::MAX;

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
    Ok(Zones::default().analyse(ops, initial, false)?.violations)
}

impl Zones {
    /// As [`check`], keeping the order that was found, and memory for the next
    /// key. `cut_off`: operations may be missing from `ops`.
    ///
    /// # Errors
    /// The written values are not unique.
    pub fn analyse(
        &mut self,
        ops: &[RegisterOp],
        initial: Value,
        cut_off: bool,
    ) -> Result<Analysis<'_>, NotUnique> {
        let mut found = Violations::of(cut_off);
        let ignored_bare_failures = self.enter(ops, &mut found);
        self.build_clusters(ops, initial, &mut found)?;
        self.spread_life();
        self.link(ops, &mut found);
        self.walk(ops, &mut found);
        self.compare_blocks(ops, &mut found);
        Ok(Analysis {
            zones: self,
            violations: found,
            ignored_bare_failures,
        })
    }

    /// Lists who has to do with which value, sorted by value.
    fn enter(&mut self, ops: &[RegisterOp], found: &mut Violations) -> u64 {
        let mut bare = 0;
        self.entries.clear();
        for (i, op) in (0u32..).zip(ops) {
            let mut enter = |value, role| self.entries.push((value, role, i));
            match op.action {
                Action::Read(_) if op.unknown() => {}
                Action::Read(v) => enter(v, Role::Finds),
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
        self.entries.sort_unstable();
        bare
    }

    fn build_clusters(
        &mut self,
        ops: &[RegisterOp],
        initial: Value,
        found: &mut Violations,
    ) -> Result<(), NotUnique> {
        self.clusters.clear();
        self.cluster_of.clear();
        self.cluster_of.resize(ops.len(), NONE);
        self.consumed.clear();
        self.consumed.resize(ops.len(), NONE);
        for group in self.entries.chunk_by(|a, b| a.0 == b.0) {
            let value = group[0].0;
            let sources = group.iter().take_while(|e| e.1 <= Role::Failed).count();
            if let Some(v) = value
                && sources + usize::from(value == initial) > 1
            {
                return Err(NotUnique {
                    value: v,
                    op: group[sources - 1].2,
                });
            }
            let id = self.clusters.len() as u32;
            let failed = match group[0] {
                (_, Role::Failed, op) => Some(op),
                _ => None,
            };
            let exists = group[0].1 == Role::Writes || value == initial;
            let mut cluster = if group[0].1 == Role::Writes {
                let writer = group[0].2;
                let op = &ops[writer as usize];
                self.cluster_of[writer as usize] = id;
                Cluster::of(writer, op)
            } else {
                Cluster::of_initial()
            };
            for &(_, role, i) in &group[sources..] {
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
                let op = &ops[i as usize];
                if cluster.writer != NONE && op.finish < ops[cluster.writer as usize].start {
                    found.push(Kind::FutureRead, i, Some(cluster.writer), [None; 2]);
                    continue;
                }
                self.cluster_of[i as usize] = id;
                cluster.add(i, op);
            }
            if exists {
                self.clusters.push(cluster);
            }
        }
        Ok(())
    }

    /// What a conditional write that happened has consumed, happened too.
    fn spread_life(&mut self) {
        self.work.clear();
        let ids = 0..self.clusters.len() as u32;
        self.work
            .extend(ids.filter(|c| self.clusters[*c as usize].live));
        while let Some(c) = self.work.pop() {
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
    }

    /// Puts every conditional write that happened behind what it consumed.
    fn link(&mut self, ops: &[RegisterOp], found: &mut Violations) {
        for c in 0..self.clusters.len() as u32 {
            let Cluster { writer, live, .. } = self.clusters[c as usize];
            if !live || writer == NONE {
                continue;
            }
            let Action::Cas { expected, .. } = ops[writer as usize].action else {
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
    }

    fn failed_write_of(&self, value: Value) -> Option<u32> {
        let at = self.entries.partition_point(|e| e.0 < value);
        match self.entries.get(at) {
            Some(&(v, Role::Failed, op)) if v == value => Some(op),
            _ => None,
        }
    }

    /// Folds every chain into a block and checks the order inside it.
    fn walk(&mut self, ops: &[RegisterOp], found: &mut Violations) {
        self.blocks.clear();
        for c in 0..self.clusters.len() as u32 {
            let cluster = self.clusters[c as usize];
            if cluster.live && cluster.parent == NONE {
                self.walk_chain(c, ops, found);
            }
        }
        // What no head leads to is a circle.
        for c in 0..self.clusters.len() as u32 {
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
                self.walk_chain(c, ops, &mut Violations::default());
                if let Some(last) = self.blocks.last_mut() {
                    last.broken = true;
                }
            }
        }
    }

    fn walk_chain(&mut self, head: u32, ops: &[RegisterOp], found: &mut Violations) {
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
    }

    /// `late` stands before `early` in a chain, but has an operation that
    /// started after one of `early` had finished.
    fn report_inside(
        &self,
        late: &Cluster,
        early: &Cluster,
        ops: &[RegisterOp],
        found: &mut Violations,
    ) {
        let writers = [some(late.writer), some(early.writer)];
        if ops[late.s_op as usize].writes().is_none() {
            found.push(Kind::StaleRead, late.s_op, Some(early.f_op), writers);
        } else {
            // A value was there before the value that it replaced was sent.
            found.push(Kind::FutureRead, early.f_op, Some(late.s_op), writers);
        }
    }

    /// Rules between blocks. At most one violation for each forward zone: its
    /// latest operation against the newest thing that it missed.
    fn compare_blocks(&mut self, ops: &[RegisterOp], found: &mut Violations) {
        let mut forward = std::mem::take(&mut self.forward);
        let mut backward = std::mem::take(&mut self.backward);
        forward.clear();
        backward.clear();
        for (id, block) in (0u32..).zip(&self.blocks) {
            if block.broken {
                continue;
            }
            if block.f < block.s {
                forward.push((block.f, id));
            } else {
                backward.push(id);
            }
        }
        forward.sort_unstable();
        // From here on the first field of `forward` is no longer needed for
        // sorting; `reach` is the forward zone so far that ends last.
        let mut reach: Vec<u32> = Vec::with_capacity(forward.len());
        for &(f, id) in &forward {
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
            let inner = self.work[outer as usize];
            if inner != NONE {
                self.report_pair(outer, inner, None, ops, found);
            }
        }
        self.forward = forward;
        self.backward = backward;
    }

    /// Two forward zones that overlap: which of them is the older is known
    /// only if one write was over before the other began.
    fn report_overlap(&self, x: u32, y: u32, ops: &[RegisterOp], found: &mut Violations) {
        let before = |a: u32, b: u32| {
            // The cluster of b that shows b early, the one of a that shows a late.
            let a = self.clusters[self.blocks[a as usize].s_cluster as usize].writer;
            let b = self.clusters[self.blocks[b as usize].f_cluster as usize].writer;
            b != NONE && (a == NONE || ops[a as usize].finish < ops[b as usize].start)
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
    fn report_pair(
        &self,
        old: u32,
        new: u32,
        kind: Option<Kind>,
        ops: &[RegisterOp],
        found: &mut Violations,
    ) {
        let (old, new) = (&self.blocks[old as usize], &self.blocks[new as usize]);
        let cluster = |id: u32| &self.clusters[id as usize];
        let (late, seen) = (cluster(old.s_cluster), cluster(new.f_cluster));
        let kind = if ops[late.s_op as usize].writes().is_some() {
            Kind::LostUpdate
        } else {
            kind.unwrap_or(Kind::StaleRead)
        };
        // The rest of the proof: the newer value came after the older one.
        // Best shown by their writes; else by who saw which of them when.
        let by_writes = match (some(late.writer), some(seen.writer)) {
            (Some(a), Some(b)) => ops[a as usize].finish < ops[b as usize].start,
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

    fn of(writer: u32, op: &RegisterOp) -> Self {
        Cluster {
            writer,
            f: op.finish.saturating_add(1),
            f_op: writer,
            s: op.start.saturating_add(1),
            s_op: writer,
            live: op.finish != FOREVER,
            ..Cluster::of_initial()
        }
    }

    fn add(&mut self, reader: u32, op: &RegisterOp) {
        self.live = true;
        if op.finish.saturating_add(1) < self.f {
            (self.f, self.f_op) = (op.finish.saturating_add(1), reader);
        }
        if op.start.saturating_add(1) > self.s {
            (self.s, self.s_op) = (op.start.saturating_add(1), reader);
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
