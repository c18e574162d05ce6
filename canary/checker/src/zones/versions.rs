//! The order of versions that an analysis found, for those who ask about
//! operations that took no part in it (eventual reads, sessions).

use super::{Analysis, Block, Cluster, NONE, Role, Zones};
use crate::register::{FOREVER, Operations, Value};

/// A value that a key held, or was to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Version(u32);

/// When a version was there, in the time of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lifetime {
    pub version: Version,
    /// When it certainly was (acknowledged, or found); [`FOREVER`] if unknown.
    pub known: u64,
    /// When the last operation that wrote or found it began.
    pub touched: u64,
    /// It was written, and is known to have been there.
    pub listed: bool,
}

impl Version {
    /// What was there in the beginning, and nobody that took part found.
    const INITIAL: Version = Version(NONE);
}

impl Analysis<'_> {
    /// The version with this value; `None` if no write of it may have happened.
    pub(crate) fn version(&self, value: Value, initial: Value) -> Option<Version> {
        let z = self.zones;
        let at = z.entries.partition_point(|e| e.0 < value);
        let cluster = match z.entries.get(at) {
            Some((v, Role::Writes | Role::Finds, op)) if *v == value => z.cluster_of[*op as usize],
            Some((v, Role::Consumes, op)) if *v == value => z.consumed[*op as usize],
            _ => NONE,
        };
        match cluster {
            NONE => (value == initial).then_some(Version::INITIAL),
            c => Some(Version(c)),
        }
    }

    /// The version that an operation which took part wrote or found.
    pub(crate) fn version_of(&self, op: u32) -> Option<Version> {
        let c = self.zones.cluster_of[op as usize];
        (c != NONE).then_some(Version(c))
    }

    /// The version that a conditional write which took part consumed.
    pub(crate) fn consumed_by(&self, op: u32) -> Option<Version> {
        let c = self.zones.consumed[op as usize];
        (c != NONE).then_some(Version(c))
    }

    /// Whether the first is older than the second: it was certainly there
    /// before the write of the second began, whatever was read later; or it
    /// must be older in every order that explains the operations which took
    /// part. False if neither, also where what was read contradicts itself.
    pub(crate) fn precedes<O: Operations + ?Sized>(&self, a: Version, b: Version, ops: &O) -> bool {
        self.there_before(a, b, ops) || self.forced(a, b) && !self.forced(b, a)
    }

    fn there_before<O: Operations + ?Sized>(&self, a: Version, b: Version, ops: &O) -> bool {
        let cluster = |v: Version| self.zones.clusters.get(v.0 as usize);
        let writer = cluster(b).map_or(NONE, |c| c.writer);
        // What was there in the beginning is before any instant.
        let known = cluster(a).map_or(0, |c| c.f);
        a != b && writer != NONE && known < ops.start(writer).saturating_add(1)
    }

    fn forced(&self, a: Version, b: Version) -> bool {
        if a == b || b == Version::INITIAL {
            return false;
        }
        if a == Version::INITIAL {
            return true;
        }
        let z = self.zones;
        let (a, b) = (&z.clusters[a.0 as usize], &z.clusters[b.0 as usize]);
        match (z.block(a), z.block(b)) {
            (Some(_), Some(_)) if a.block == b.block => a.position < b.position,
            (Some(x), Some(y)) => x.f < y.s,
            _ => a.f < b.s,
        }
    }

    /// When a version was there.
    pub(crate) fn lifetime(&self, version: Version) -> Lifetime {
        let Some(c) = self.zones.clusters.get(version.0 as usize) else {
            return Lifetime {
                version,
                known: 0,
                touched: 0,
                listed: false,
            };
        };
        // Times of clusters are shifted by one.
        let unshifted = |t: u64| if t == FOREVER { t } else { t.saturating_sub(1) };
        Lifetime {
            version,
            known: unshifted(c.f),
            touched: unshifted(c.s),
            listed: c.live && c.writer != NONE && c.f != FOREVER,
        }
    }

    /// Whether somebody who took part found this version.
    pub(crate) fn was_found(&self, v: Version) -> bool {
        match v {
            Version::INITIAL => false,
            Version(c) => {
                let c = &self.zones.clusters[c as usize];
                c.f_op != c.writer || c.s_op != c.writer || c.child != NONE
            }
        }
    }

    /// Of every version that was written and is known to have been there.
    pub(crate) fn lifetimes(&self) -> impl Iterator<Item = Lifetime> + '_ {
        let all = (0..self.zones.clusters.len() as u32).map(Version);
        all.map(|v| self.lifetime(v)).filter(|l| l.listed)
    }

    /// Whether the operations that took part can be put into one order that
    /// explains them and keeps that of every process, whatever the clock says:
    /// sequential consistency of this one key (coherence). Operations whose
    /// own value is impossible are left out.
    ///
    /// With unique values this is decidable in linear time: clusters stand
    /// together in any legal order, so the order of the processes is a graph
    /// over blocks, which must have no circle.
    pub(crate) fn coherent<O: Operations + ?Sized>(
        &self,
        ops: &O,
        process: impl Fn(u32) -> u64,
    ) -> bool {
        let z = self.zones;
        let mut order: Vec<(u64, u64, u32)> = (0..ops.len() as u32)
            .filter(|i| z.place(*i).is_some())
            .map(|i| (process(i), ops.start(i), i))
            .collect();
        order.sort_unstable();
        let mut edges: Vec<(u32, u32)> = Vec::new();
        for pair in order.windows(2) {
            if pair[0].0 != pair[1].0 {
                continue;
            }
            let (Some(a), Some(b)) = (z.place(pair[0].2), z.place(pair[1].2)) else {
                continue;
            };
            if a.block != b.block {
                if z.holds_initial(b.block) {
                    return false;
                }
                edges.push((a.block, b.block));
            } else if a.position > b.position || (a.position == b.position && b.writer == pair[1].2)
            {
                return false;
            }
        }
        acyclic(z.blocks.len(), &mut edges)
    }
}

impl Zones {
    fn block(&self, c: &Cluster) -> Option<&Block> {
        self.blocks.get(c.block as usize).filter(|b| !b.broken)
    }

    /// The cluster that an operation wrote or found, if it has a place.
    fn place(&self, op: u32) -> Option<&Cluster> {
        let c = *self.cluster_of.get(op as usize)?;
        self.clusters.get(c as usize).filter(|c| c.block != NONE)
    }

    fn holds_initial(&self, block: u32) -> bool {
        let mut clusters = self.clusters.iter();
        clusters.any(|c| c.writer == NONE && c.block == block)
    }
}

/// Kahn's algorithm.
fn acyclic(nodes: usize, edges: &mut Vec<(u32, u32)>) -> bool {
    edges.sort_unstable();
    edges.dedup();
    let mut incoming = vec![0u32; nodes];
    for (_, to) in edges.iter() {
        incoming[*to as usize] += 1;
    }
    let mut free: Vec<u32> = (0..nodes as u32)
        .filter(|n| incoming[*n as usize] == 0)
        .collect();
    let mut taken = 0;
    while let Some(n) = free.pop() {
        taken += 1;
        let first = edges.partition_point(|e| e.0 < n);
        for (_, to) in edges[first..].iter().take_while(|e| e.0 == n) {
            incoming[*to as usize] -= 1;
            if incoming[*to as usize] == 0 {
                free.push(*to);
            }
        }
    }
    taken == nodes
}
