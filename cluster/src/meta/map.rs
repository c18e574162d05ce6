//! The routing map: which tables there are, and who holds them. Pure.

use crate::backend::{TableInfo, TableSpec, TableStatus};
use crate::config::Peers;
use crate::consensus::types::{GroupId, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Tables at the same time.
pub const MAX_TABLES: usize = 100;
/// Partitions of all tables at the same time. Each is a replication group of its own, which takes
/// memory and processor time on three nodes also when nobody uses it (a B-tree's cache of 16 MiB,
/// timers, heartbeats).
pub const MAX_PARTITIONS: usize = 300;

/// One partition's replication group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Its number.
    pub group: GroupId,
    /// Its three members; the first starts it and so leads it first.
    pub members: Vec<NodeId>,
}

/// A table and its partitions in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// What clients see.
    pub info: TableInfo,
    /// By partition number.
    pub partitions: Vec<Placement>,
}

impl Table {
    /// The partition that holds items of this hash.
    pub fn partition_of(&self, hash: u64) -> usize {
        partition_of(hash, self.partitions.len())
    }
}

/// The partition, of `count`, whose hash range holds `hash`: ranges are contiguous, disjoint and
/// cover everything.
pub fn partition_of(hash: u64, count: usize) -> usize {
    ((u128::from(hash) * count as u128) >> 64) as usize
}

/// The first hash of a partition; of `partition == count`: 2^64.
pub fn first_hash(partition: usize, count: usize) -> u128 {
    ((partition as u128) << 64).div_ceil(count as u128)
}

/// Everything that nodes and routers need to know to find data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoutingMap {
    /// Goes up with every change.
    pub version: u64,
    /// The number of the next group to be made.
    pub next_group: GroupId,
    /// By name.
    pub tables: BTreeMap<String, Table>,
}

/// A change of the map, as it is in the log. Evaluated the same on every replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MetaCommand {
    /// A new table.
    Create {
        /// What was asked for.
        spec: TableSpec,
        /// Its id.
        id: String,
        /// Creation time, seconds since the Unix epoch.
        created: f64,
        /// Members of each partition, preferred leader first.
        members: Vec<Vec<NodeId>>,
    },
    /// All groups of the table of this id have a leader.
    Activate {
        /// Table id, so that a late command does not hit a younger table of the same name.
        id: String,
    },
    /// Forbid access to a table and let nodes drop it.
    Delete {
        /// Name.
        name: String,
    },
    /// Forget a deleted table.
    Remove {
        /// Table id.
        id: String,
    },
}

/// What came of a [`MetaCommand`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MetaReply {
    /// The table after the change, and the map's version.
    Table(TableInfo, u64),
    /// No such table.
    NoSuchTable,
    /// It exists, or is being deleted.
    InUse,
    /// Not possible, for the reason given.
    Refused(String),
    /// Nothing to do.
    Nothing,
    /// Not possible while there is so much else: what there is at most.
    LimitExceeded(String),
}

impl RoutingMap {
    /// Applies a change.
    pub fn apply(&mut self, command: MetaCommand) -> MetaReply {
        match command {
            MetaCommand::Create {
                spec,
                id,
                created,
                members,
            } => self.create(spec, id, created, members),
            MetaCommand::Activate { id } => {
                let table = self.tables.values_mut().find(|t| t.info.id == id);
                match table {
                    Some(t) if t.info.status == TableStatus::Creating => {
                        t.info.status = TableStatus::Active;
                        self.version += 1;
                        MetaReply::Table(t.info.clone(), self.version)
                    }
                    _ => MetaReply::Nothing,
                }
            }
            MetaCommand::Delete { name } => match self.tables.get_mut(&name) {
                None => MetaReply::NoSuchTable,
                Some(t) if t.info.status == TableStatus::Active => {
                    t.info.status = TableStatus::Deleting;
                    self.version += 1;
                    MetaReply::Table(t.info.clone(), self.version)
                }
                Some(_) => MetaReply::InUse,
            },
            MetaCommand::Remove { id } => {
                let before = self.tables.len();
                self.tables
                    .retain(|_, t| t.info.id != id || t.info.status != TableStatus::Deleting);
                if self.tables.len() == before {
                    return MetaReply::Nothing;
                }
                self.version += 1;
                MetaReply::Nothing
            }
        }
    }

    fn create(
        &mut self,
        spec: TableSpec,
        id: String,
        created: f64,
        members: Vec<Vec<NodeId>>,
    ) -> MetaReply {
        if self.tables.contains_key(&spec.name) {
            return MetaReply::InUse;
        }
        if self.tables.len() >= MAX_TABLES {
            return MetaReply::LimitExceeded(format!("at most {MAX_TABLES} tables"));
        }
        let partitions: usize = self.tables.values().map(|t| t.partitions.len()).sum();
        if partitions + members.len() > MAX_PARTITIONS {
            return MetaReply::LimitExceeded(format!(
                "at most {MAX_PARTITIONS} partitions in all tables; there are {partitions}, and \
                 this table would have {}",
                members.len()
            ));
        }
        if members.is_empty() {
            return MetaReply::Refused("a table needs a partition".into());
        }
        // Group 0 is the metadata's own.
        let first = self.next_group.max(1);
        let partitions: Vec<Placement> = (first..)
            .zip(members)
            .map(|(group, members)| Placement { group, members })
            .collect();
        self.next_group = first + partitions.len() as u64;
        let info = TableInfo {
            spec,
            id,
            created,
            status: TableStatus::Creating,
            partitions: partitions.len() as u32,
        };
        let name = info.spec.name.clone();
        let table = Table {
            info: info.clone(),
            partitions,
        };
        self.tables.insert(name, table);
        self.version += 1;
        MetaReply::Table(info, self.version)
    }

    /// Every group of a table that is not being deleted, with table name and partition number.
    pub fn groups(&self) -> impl Iterator<Item = (&Table, usize, &Placement)> {
        self.tables
            .values()
            .filter(|t| t.info.status != TableStatus::Deleting)
            .flat_map(|t| t.partitions.iter().enumerate().map(move |(i, p)| (t, i, p)))
    }
}

/// Members of `partitions` new groups: one node of every AZ, in turns, and the AZs lead in turns.
pub fn place(peers: &Peers, partitions: u32) -> Vec<Vec<NodeId>> {
    let mut azs: BTreeMap<&str, Vec<NodeId>> = BTreeMap::new();
    for peer in peers.values() {
        azs.entry(&peer.az).or_default().push(peer.id);
    }
    for nodes in azs.values_mut() {
        nodes.sort_unstable();
    }
    let azs: Vec<Vec<NodeId>> = azs.into_values().collect();
    (0..partitions as usize)
        .map(|p| {
            (0..azs.len())
                .map(|i| {
                    let nodes = &azs[(p + i) % azs.len()];
                    // Every node of an AZ leads in turn, and no set of nodes shares everything.
                    nodes[(p / azs.len() + i) % nodes.len()]
                })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PeerConfig;

    fn peers(per_az: u64) -> Peers {
        let mut peers = Peers::new();
        for (i, az) in ["a", "b", "c"].into_iter().enumerate() {
            for n in 0..per_az {
                let id = 1 + i as u64 * per_az + n;
                peers.insert(
                    format!("storage-{az}{}", n + 1),
                    PeerConfig {
                        az: az.into(),
                        id,
                        addr: "127.0.0.1:1".parse().unwrap(),
                        meta: n == 0,
                    },
                );
            }
        }
        peers
    }

    fn spec(name: &str) -> TableSpec {
        TableSpec::of_strings(name)
    }

    fn create(name: &str, id: &str) -> MetaCommand {
        MetaCommand::Create {
            spec: spec(name),
            id: id.into(),
            created: 1.0,
            members: place(&peers(2), 6),
        }
    }

    #[test]
    fn every_hash_has_exactly_one_partition_and_ranges_are_contiguous() {
        for count in [1usize, 2, 3, 6, 7, 64] {
            assert_eq!(partition_of(0, count), 0);
            assert_eq!(partition_of(u64::MAX, count), count - 1);
            assert_eq!(first_hash(count, count), 1 << 64);
            for p in 0..count {
                let first = first_hash(p, count);
                assert_eq!(partition_of(first as u64, count), p, "{count} {p}");
                if first > 0 {
                    assert_eq!(partition_of((first - 1) as u64, count), p - 1);
                }
            }
        }
    }

    #[test]
    fn one_replica_per_az_and_leaders_spread() {
        let peers = peers(2);
        let az = |id: NodeId| &peers.values().find(|p| p.id == id).unwrap().az;
        let placed = place(&peers, 6);
        let mut leaders = BTreeMap::new();
        let mut replicas: BTreeMap<NodeId, u32> = BTreeMap::new();
        let first: std::collections::BTreeSet<_> = placed.iter().map(|m| m[0]).collect();
        assert_eq!(first.len(), 6, "every node leads one");
        for members in &placed {
            let mut azs: Vec<_> = members.iter().map(|m| az(*m)).collect();
            azs.sort();
            assert_eq!(azs, ["a", "b", "c"]);
            *leaders.entry(az(members[0])).or_insert(0) += 1;
            for m in members {
                *replicas.entry(*m).or_default() += 1;
            }
        }
        assert_eq!(leaders.into_values().collect::<Vec<_>>(), [2, 2, 2]);
        assert_eq!(replicas.into_values().collect::<Vec<_>>(), [3; 6]);
    }

    #[test]
    fn tables_and_partitions_are_limited() {
        let fill = |partitions: usize| {
            let mut map = RoutingMap::default();
            for n in 0.. {
                let made = map.apply(MetaCommand::Create {
                    spec: spec(&format!("table-{n}")),
                    id: n.to_string(),
                    created: 1.0,
                    members: vec![vec![1, 2, 3]; partitions],
                });
                if let MetaReply::LimitExceeded(why) = made {
                    assert!(why.contains("at most"), "{why}");
                    break;
                }
            }
            (map.tables.len(), map.groups().count())
        };
        assert_eq!(fill(1), (MAX_TABLES, MAX_TABLES));
        assert_eq!(fill(6), (MAX_PARTITIONS / 6, MAX_PARTITIONS));
        assert_eq!(fill(64), (4, 256));
    }

    #[test]
    fn life_of_a_table() {
        let mut map = RoutingMap::default();
        assert!(
            matches!(map.apply(create("t", "1")), MetaReply::Table(t, 1) if t.status == TableStatus::Creating)
        );
        assert_eq!(map.apply(create("t", "2")), MetaReply::InUse);
        let delete = || MetaCommand::Delete { name: "t".into() };
        assert_eq!(map.apply(delete()), MetaReply::InUse, "not while creating");
        let activate = || MetaCommand::Activate { id: "1".into() };
        assert!(
            matches!(map.apply(activate()), MetaReply::Table(t, 2) if t.status == TableStatus::Active)
        );
        assert_eq!(map.apply(activate()), MetaReply::Nothing, "twice is once");
        assert_eq!(map.groups().count(), 6);
        assert!(matches!(map.apply(delete()), MetaReply::Table(_, 3)));
        assert_eq!(map.groups().count(), 0);
        let before = map.clone();
        map.apply(MetaCommand::Remove { id: "2".into() });
        assert_eq!(map, before, "another table's id removes nothing");
        map.apply(MetaCommand::Remove { id: "1".into() });
        assert!(map.tables.is_empty());
        map.apply(create("t", "3"));
        let groups: Vec<_> = map.groups().map(|(_, _, p)| p.group).collect();
        assert_eq!(groups, [7, 8, 9, 10, 11, 12], "numbers are not used again");
    }
}
