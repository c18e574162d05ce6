//! Metadata: the routing map, its changes, and who keeps it up to date.

pub mod key;
mod map;

pub use map::{
    MAX_PARTITIONS, MAX_TABLES, MetaCommand, MetaReply, Placement, RoutingMap, Table, first_hash,
    partition_of, place,
};

/// The replication group that holds the routing map.
pub const META_GROUP: crate::consensus::types::GroupId = 0;
