//! One group's part of the node's write-ahead log, as openraft wants it: entries are also kept
//! in memory from the purge point on, so that followers and the state machine read them there.

use super::types::{Entry, GroupId, LogId, Types, Vote};
use crate::wal::{Record, RecoveredGroup, Wal};
use bytes::Bytes;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{OptionalSend, entry::EntryPayload};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Kinds of [`Record::State`] that consensus keeps.
mod state {
    /// The vote.
    pub const VOTE: u8 = 1;
    /// Term and index of the last purged entry.
    pub const PURGED: u8 = 2;
    /// Present: this replica has forgotten what it promised. See `node::repair`.
    pub const AMNESIA: u8 = 3;
}

/// Bytes of entries that one message to a follower carries, give or take one entry.
const BATCH_BYTES: usize = 1 << 20;

/// A group's log. Clones share it.
#[derive(Clone)]
pub struct Log {
    group: GroupId,
    wal: Wal,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Debug, Default)]
struct Memory {
    vote: Option<Vote>,
    purged: Option<LogId>,
    /// Consecutive; the first follows `purged`.
    entries: VecDeque<Entry>,
    /// About what the entries take.
    bytes: usize,
    amnesiac: bool,
}

impl Memory {
    fn first_index(&self) -> u64 {
        match (self.entries.front(), &self.purged) {
            (Some(entry), _) => entry.log_id.index,
            (None, Some(purged)) => purged.index + 1,
            (None, None) => 0,
        }
    }

    fn end_index(&self) -> u64 {
        self.first_index() + self.entries.len() as u64
    }

    fn last_log_id(&self) -> Option<LogId> {
        self.entries.back().map(|e| e.log_id).or(self.purged)
    }
}

fn decode<T: serde::de::DeserializeOwned>(what: &str, bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(|e| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{what} in the write-ahead log: {e}"),
        )
    })
}

fn encode<T: serde::Serialize>(value: &T) -> io::Result<Bytes> {
    Ok(postcard::to_stdvec(value).map_err(io::Error::other)?.into())
}

impl Log {
    /// A group's log as it was recovered, or an empty one.
    pub fn new(group: GroupId, wal: Wal, recovered: Option<RecoveredGroup>) -> io::Result<Self> {
        let mut memory = Memory::default();
        if let Some(recovered) = recovered {
            let state = |kind: u8| recovered.states.get(&kind);
            memory.vote = state(state::VOTE).map(|b| decode("vote", b)).transpose()?;
            memory.purged = state(state::PURGED)
                .map(|b| decode("purge point", b))
                .transpose()?;
            memory.amnesiac = state(state::AMNESIA).is_some_and(|b| b.as_ref() == [1]);
            for (index, body) in recovered.entries {
                if memory.purged.is_some_and(|p| index <= p.index) {
                    continue;
                }
                let entry: Entry = decode("entry", &body)?;
                let expected = memory.end_index();
                if entry.log_id.index != index || index != expected {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("group {group}: entry {index} where {expected} is due"),
                    ));
                }
                memory.bytes += weight(&entry);
                memory.entries.push_back(entry);
            }
        }
        Ok(Log {
            group,
            wal,
            memory: Arc::new(Mutex::new(memory)),
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn set_state(&self, kind: u8, body: Bytes) -> io::Result<()> {
        let group = self.group;
        self.wal
            .append_durable(vec![Record::State { group, kind, body }])
            .await
    }

    /// Whether this replica has forgotten what it promised.
    pub fn amnesiac(&self) -> bool {
        self.memory().amnesiac
    }

    /// Marks or unmarks, durably.
    pub async fn set_amnesiac(&self, amnesiac: bool) -> io::Result<()> {
        self.set_state(
            state::AMNESIA,
            Bytes::copy_from_slice(&[u8::from(amnesiac)]),
        )
        .await?;
        self.memory().amnesiac = amnesiac;
        Ok(())
    }

    /// Forgets everything, durably, but that it forgot.
    pub async fn forget(&self) -> io::Result<()> {
        let group = self.group;
        let body = Bytes::from_static(&[1]);
        let kind = state::AMNESIA;
        self.wal
            .append_durable(vec![
                Record::DropGroup { group },
                Record::State { group, kind, body },
            ])
            .await?;
        *self.memory() = Memory {
            amnesiac: true,
            ..Memory::default()
        };
        Ok(())
    }

    /// What [`Log::forget`] leaves in the write-ahead log.
    pub fn states_after_forgetting(&self) -> std::collections::BTreeMap<u8, Bytes> {
        [(state::AMNESIA, Bytes::from_static(&[1]))].into()
    }

    /// About how many bytes of entries are in memory.
    pub fn bytes(&self) -> usize {
        self.memory().bytes
    }

    /// Whether nothing was ever written.
    pub fn is_blank(&self) -> bool {
        let memory = self.memory();
        memory.vote.is_none() && memory.last_log_id().is_none() && !memory.amnesiac
    }

    /// The vote and the last entry, as far as they are in memory.
    pub fn standing(&self) -> (Option<Vote>, Option<LogId>) {
        let memory = self.memory();
        (memory.vote, memory.last_log_id())
    }

    /// Removes the group from the write-ahead log, durably.
    pub async fn remove(&self) -> io::Result<()> {
        let group = self.group;
        self.wal
            .append_durable(vec![Record::DropGroup { group }])
            .await
    }
}

fn bounds(range: impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(i) => *i,
        Bound::Excluded(i) => i + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(i) => i + 1,
        Bound::Excluded(i) => *i,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

/// Roughly what an entry takes in a message.
fn weight(entry: &Entry) -> usize {
    32 + match &entry.payload {
        EntryPayload::Normal(command) => command.0.len(),
        _ => 0,
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let memory = self.memory();
        let (start, end) = bounds(range);
        let first = memory.first_index();
        let start = start.max(first);
        let end = end.min(memory.end_index());
        if start >= end {
            return Ok(Vec::new());
        }
        let range = (start - first) as usize..(end - first) as usize;
        Ok(memory.entries.range(range).cloned().collect())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        let memory = self.memory();
        let first = memory.first_index();
        let end = end.min(memory.end_index());
        if start < first || start >= end {
            return Ok(Vec::new());
        }
        let mut bytes = 0;
        Ok(memory
            .entries
            .range((start - first) as usize..(end - first) as usize)
            .take_while(|e| {
                let fits = bytes < BATCH_BYTES;
                bytes += weight(e);
                fits
            })
            .cloned()
            .collect())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.memory().vote)
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let memory = self.memory();
        Ok(LogState {
            last_purged_log_id: memory.purged,
            last_log_id: memory.last_log_id(),
        })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.set_state(state::VOTE, encode(vote)?).await?;
        self.memory().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let group = self.group;
        let mut records = Vec::new();
        {
            let mut memory = self.memory();
            for entry in entries {
                let index = entry.index();
                if memory.last_log_id().is_some() && index != memory.end_index() {
                    return Err(io::Error::other(format!(
                        "group {group}: entry {index} would leave a hole after {}",
                        memory.end_index()
                    )));
                }
                let body = encode(&entry)?;
                records.push(Record::Entry { group, index, body });
                memory.bytes += weight(&entry);
                memory.entries.push_back(entry);
            }
        }
        self.wal
            .submit(
                records,
                Box::new(move |result| callback.io_completed(result)),
            )
            .await;
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let group = self.group;
        let from_index = last.map_or(0, |l| l.index + 1);
        {
            let mut memory = self.memory();
            let keep = from_index.saturating_sub(memory.first_index()) as usize;
            memory.entries.truncate(keep);
            memory.bytes = memory.entries.iter().map(weight).sum();
        }
        self.wal
            .append_durable(vec![Record::Truncate { group, from_index }])
            .await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let group = self.group;
        let body = encode(&upto)?;
        {
            let mut memory = self.memory();
            if memory.purged.is_some_and(|p| p.index >= upto.index) {
                return Ok(());
            }
            memory.purged = Some(upto);
            let gone = memory
                .entries
                .partition_point(|e| e.log_id.index <= upto.index);
            let freed: usize = memory.entries.drain(..gone).map(|e| weight(&e)).sum();
            memory.bytes -= freed;
        }
        // A purge that is forgotten in a power-off is harmless: nobody waits for it.
        self.wal
            .submit(
                vec![
                    Record::State {
                        group,
                        kind: state::PURGED,
                        body,
                    },
                    Record::Purge {
                        group,
                        up_to_index: upto.index,
                    },
                ],
                Box::new(|_| ()),
            )
            .await;
        Ok(())
    }
}
