//! The types that consensus is made of.

use crate::api::write::{WriteOp, WriteReply};
use crate::backend::StoreKey;
use crate::meta::{MetaCommand, MetaReply};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A node's number.
pub type NodeId = u64;
/// A replication group's number; never used again after its table is gone.
pub type GroupId = u64;

openraft::declare_raft_types!(
    /// Textbook Raft: one leader per term.
    pub Types:
        D = Command,
        R = Outcome,
        NodeId = NodeId,
        Node = openraft::EmptyNode,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = crate::clock::Clocked,
);

/// A log entry.
pub type Entry = openraft::type_config::alias::EntryOf<Types>;
/// Term and index of an entry.
pub type LogId = openraft::type_config::alias::LogIdOf<Types>;
/// A vote.
pub type Vote = openraft::type_config::alias::VoteOf<Types>;
/// Members as the log has them.
pub type Membership = openraft::type_config::alias::StoredMembershipOf<Types>;

/// What a log entry asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// One write on one item.
    Write {
        /// Which.
        key: StoreKey,
        /// What.
        op: WriteOp,
    },
    /// A change of the metadata.
    Meta(MetaCommand),
}

/// Longest command in bytes that is proposed. Far above the largest item (400 KB) with an
/// expression (4 KB), far below what a message between nodes can carry: whatever is accepted can
/// be replicated.
pub const MAX_COMMAND: usize = 1 << 20;

/// An [`Op`], encoded once by whoever asked for it and then carried as bytes through logs and
/// networks; decoded when it is applied.
#[derive(Clone, PartialEq, Eq)]
pub struct Command(pub Bytes);

impl Command {
    /// Encodes.
    pub fn new(op: &Op) -> Result<Self, postcard::Error> {
        Ok(Command(postcard::to_stdvec(op)?.into()))
    }

    /// Decodes. Bytes that are left over are an error: another build's addition, which must not be
    /// dropped silently.
    pub fn op(&self) -> Result<Op, postcard::Error> {
        match postcard::take_from_bytes(&self.0)? {
            (op, []) => Ok(op),
            _ => Err(postcard::Error::DeserializeBadEncoding),
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({} bytes)", self.0.len())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Serialize for Command {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Command;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, v: &[u8]) -> Result<Command, E> {
                Ok(Command(Bytes::copy_from_slice(v)))
            }
            fn visit_byte_buf<E>(self, v: Vec<u8>) -> Result<Command, E> {
                Ok(Command(v.into()))
            }
        }
        d.deserialize_byte_buf(Visitor)
    }
}

/// What applying an entry answers to whoever proposed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Nothing to say: an entry of the consensus itself.
    None,
    /// A write.
    Write(WriteReply),
    /// The metadata.
    Meta(MetaReply),
    /// It could not be understood, and nothing changed.
    Refused(String),
}
