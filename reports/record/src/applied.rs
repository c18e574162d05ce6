//! `applied.json`: what the replicas say about writes of unknown outcome.

use crate::time::Nanos;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Answers of all replicas about some written values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedWrites {
    /// The values that were asked about.
    pub asked: BTreeSet<i64>,
    /// Every partition that should exist.
    pub partitions: Vec<PartitionApplied>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionApplied {
    /// For example `canary/0`.
    pub partition: String,
    /// One per replica that should exist.
    pub replicas: Vec<ReplicaApplied>,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaApplied {
    /// Node.
    pub node: String,
    /// What it remembers; `None` if it did not answer.
    pub memory: Option<AppliedMemory>,
}

/// What a replica remembers of the writes that it applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedMemory {
    /// It knows all that it applied since then; 0: since the partition began.
    pub since: Nanos,
    /// Index of the last log entry that it applied.
    pub applied: u64,
    /// Those of the values that took effect.
    pub found: BTreeSet<i64>,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It took effect.
    Applied,
    /// It had no effect.
    Absent,
    /// Cannot be said.
    Open,
}

impl AppliedWrites {
    /// What became of the write of `value` to `table` (empty: to any) that was
    /// sent at `sent`.
    ///
    /// A value that was found took effect. One that was not found had none
    /// only if in every partition of the table all replicas answered, and one
    /// that has applied as much as any other remembers all that it applied
    /// since before the write was sent. Replicas that contradict each other
    /// decide nothing.
    pub fn fate(&self, table: &str, value: i64, sent: Nanos) -> Fate {
        if !self.asked.contains(&value) {
            return Fate::Open;
        }
        let mut known = false;
        let mut whole = true;
        let mut found = false;
        for p in &self.partitions {
            let of = p.partition.rsplit_once('/').map_or("", |(table, _)| table);
            if !table.is_empty() && table != of {
                continue;
            }
            known = true;
            let memories = || p.replicas.iter().filter_map(|r| r.memory.as_ref());
            let last = memories().map(|m| m.applied).max();
            let all = p.replicas.iter().all(|r| r.memory.is_some());
            let mut witnesses = memories().filter(|m| Some(m.applied) == last && m.since <= sent);
            let here = memories().any(|m| m.found.contains(&value));
            if here && witnesses.clone().any(|m| !m.found.contains(&value)) {
                return Fate::Open;
            }
            found |= here;
            whole &= all && witnesses.next().is_some();
        }
        match (found, known && whole) {
            (true, _) => Fate::Applied,
            (false, true) => Fate::Absent,
            (false, false) => Fate::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(node: &str, since: u64, applied: u64, found: &[i64]) -> ReplicaApplied {
        ReplicaApplied {
            node: node.into(),
            memory: Some(AppliedMemory {
                since: Nanos(since),
                applied,
                found: found.iter().copied().collect(),
            }),
        }
    }

    fn silent(node: &str) -> ReplicaApplied {
        ReplicaApplied {
            node: node.into(),
            memory: None,
        }
    }

    /// Partition 0 as given, partition 1 whole and without the value.
    fn says(replicas: Vec<ReplicaApplied>) -> AppliedWrites {
        let whole = ["x", "y", "z"].map(|n| replica(n, 0, 9, &[])).to_vec();
        let partitions = [("canary/0", replicas), ("canary/1", whole)];
        AppliedWrites {
            asked: [7, 8].into(),
            partitions: partitions
                .into_iter()
                .map(|(name, replicas)| PartitionApplied {
                    partition: name.into(),
                    replicas,
                })
                .collect(),
        }
    }

    fn fate(replicas: Vec<ReplicaApplied>) -> Fate {
        says(replicas).fate("canary", 7, Nanos(100))
    }

    #[test]
    fn a_value_that_any_replica_applied_took_effect() {
        let forgetful = || replica("y", 500, 5, &[]);
        assert_eq!(
            fate(vec![replica("x", 500, 4, &[7]), forgetful(), silent("z")]),
            Fate::Applied
        );
    }

    #[test]
    fn a_value_is_absent_only_if_a_whole_memory_lacks_it() {
        let up_to_date = || replica("x", 100, 5, &[8]);
        let other = |applied| replica("y", 500, applied, &[]);
        assert_eq!(
            fate(vec![up_to_date(), other(5), other(4)]),
            Fate::Absent,
            "one that remembers is enough"
        );
        for (why, replicas) in [
            ("another applied more", vec![up_to_date(), other(6)]),
            ("one did not answer", vec![up_to_date(), silent("z")]),
            (
                "it remembers too little",
                vec![replica("x", 101, 5, &[]), other(5)],
            ),
            ("nobody knows the partition", vec![]),
        ] {
            assert_eq!(fate(replicas), Fate::Open, "{why}");
        }
    }

    #[test]
    fn what_was_not_asked_or_is_of_another_table_stays_open() {
        let says = says(vec![replica("x", 0, 5, &[])]);
        assert_eq!(says.fate("canary", 9, Nanos(100)), Fate::Open);
        assert_eq!(says.fate("other", 7, Nanos(100)), Fate::Open);
        assert_eq!(says.fate("", 7, Nanos(100)), Fate::Absent);
        assert_eq!(AppliedWrites::default().fate("", 7, Nanos(100)), Fate::Open);
    }

    #[test]
    fn replicas_that_contradict_each_other_decide_nothing() {
        assert_eq!(
            fate(vec![replica("x", 0, 5, &[]), replica("y", 0, 5, &[7])]),
            Fate::Open
        );
        // One that is merely behind does not contradict.
        assert_eq!(
            fate(vec![replica("x", 0, 4, &[]), replica("y", 0, 5, &[7])]),
            Fate::Applied
        );
    }
}
