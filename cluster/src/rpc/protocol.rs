//! What nodes say to each other.

use crate::backend::{Census, StoreKey, TableSpec};
use crate::consensus::types::{Command, GroupId, LogId, NodeId, Outcome, Types, Vote};
use crate::meta::{MetaReply, RoutingMap};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use serde::{Deserialize, Serialize};

/// A key and its value as a replica stores them.
pub type Pair = (Blob, Blob);

/// Bytes that travel as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Command::deserialize(d).map(|c| Blob(c.0.into()))
    }
}

/// A request of one node to a storage node.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Raft: entries or a heartbeat.
    Append(GroupId, AppendEntriesRequest<Types>),
    /// Raft: a vote.
    Vote(GroupId, VoteRequest<Types>),
    /// Raft: would you?
    PreVote(GroupId, VoteRequest<Types>),
    /// A piece of a snapshot, in order.
    Snapshot(GroupId, SnapshotPiece),
    /// Propose this (an encoded `Op::Write`).
    Write(GroupId, Command),
    /// Read one item.
    Read {
        /// Group.
        group: GroupId,
        /// Which.
        key: StoreKey,
        /// Linearizable, by the leader.
        consistent: bool,
    },
    /// Read many, in storage order.
    Scan {
        /// Group.
        group: GroupId,
        /// Storage key after which to begin.
        after: Option<Blob>,
        /// Storage key before which to end.
        until: Option<Blob>,
        /// How many at most.
        limit: u32,
        /// How many bytes, give or take one item.
        bytes: u32,
        /// Linearizable, by the leader.
        consistent: bool,
    },
    /// Who leads?
    Leader(GroupId),
    /// What a replica promised and has; for the repair of another.
    Standing(GroupId),
    /// The routing map, if it is newer than `have`; waits a little for one.
    Map {
        /// Version that the caller has, if any.
        have: Option<u64>,
        /// How long to wait for a newer one.
        wait_ms: u32,
    },
    /// Start creating a table. For the leader of the metadata.
    CreateTable {
        /// What.
        spec: TableSpec,
        /// Into how many partitions.
        partitions: u32,
    },
    /// Start deleting a table. For the leader of the metadata.
    DeleteTable {
        /// Which.
        name: String,
    },
    /// How much does a replica have?
    Census(GroupId),
    /// Begin this group, which is new: the leader of the metadata has chosen you. Answered as
    /// `Leader`.
    Begin(GroupId),
}

/// A piece of a snapshot. Pieces of one `stream` come in order; the last one installs it.
#[derive(Debug, Serialize, Deserialize)]
pub struct SnapshotPiece {
    /// The sending leader's vote.
    pub vote: Vote,
    /// Chosen by the sender.
    pub stream: u64,
    /// Counts pieces from 0.
    pub number: u64,
    /// Opaque part of the exported tree.
    pub data: Blob,
    /// Set on the last piece: what the snapshot is of, encoded snapshot metadata.
    pub last: Option<Blob>,
}

/// Why a node did not do it. In every case it certainly had no effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Another replica leads, or nobody.
    NotLeader {
        /// Who, as far as this one knows.
        leader: Option<NodeId>,
    },
    /// This node has no replica of the group; its map has this version.
    NotMember {
        /// Version of its map.
        map: u64,
    },
    /// It leads or follows, but cannot do it now.
    Unavailable(String),
}

/// How a proposal went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteFailure {
    /// Certainly not proposed.
    Refused(Refusal),
    /// Proposed, but what came of it is not known.
    Unknown(String),
}

/// A replica's promises and possessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Its vote.
    pub vote: Option<Vote>,
    /// Its last entry.
    pub last: Option<LogId>,
    /// Whether it has, or may have, forgotten things itself.
    pub amnesiac: bool,
    /// It is the leader of that vote's term now, and has been since it was elected.
    pub leads: bool,
    /// It neither promised nor stored anything, and never did as far as its disk tells.
    pub innocent: bool,
}

/// The answer to a [`Request`].
#[derive(Debug, Serialize, Deserialize)]
pub enum Response {
    /// To `Append`.
    Append(AppendEntriesResponse<Types>),
    /// To `Vote` and `PreVote`.
    Vote(VoteResponse<Types>),
    /// To `Snapshot`: the receiver's vote, once the last piece is installed.
    Snapshot(Option<Vote>),
    /// To `Write`, `CreateTable` and `DeleteTable`.
    Write(Result<Outcome, WriteFailure>),
    /// To `Read`: the stored item.
    Read(Result<Option<Blob>, Refusal>),
    /// To `Scan`: pairs, and whether there may be more.
    Scan(Result<(Vec<Pair>, bool), Refusal>),
    /// To `Leader` and `Begin`: who this replica thinks leads, and whether that is itself with everything
    /// committed applied.
    Leader(Result<(Option<NodeId>, bool), Refusal>),
    /// To `Standing`.
    Standing(Option<Standing>),
    /// To `Map`.
    Map(Option<RoutingMap>),
    /// The request could not be handled at all.
    Failed(String),
    /// To `Census`.
    Census(Result<Census, Refusal>),
}

impl From<MetaReply> for Response {
    fn from(reply: MetaReply) -> Self {
        Response::Write(Ok(Outcome::Meta(reply)))
    }
}
