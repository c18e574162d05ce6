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

/// Bytes of entries that one message to a follower carries at most, unless it is a single entry.
pub const BATCH_BYTES: usize = 1 << 20;

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
    /// About what all entries took that were appended since the start.
    appended: u64,
    amnesiac: bool,
    /// It is on record whether this replica has forgotten something.
    marked: bool,
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
            memory.marked = state(state::AMNESIA).is_some();
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
        let mut memory = self.memory();
        (memory.amnesiac, memory.marked) = (amnesiac, true);
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
            marked: true,
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

    /// About how many bytes of entries were appended since the start.
    pub fn appended(&self) -> u64 {
        self.memory().appended
    }

    /// The last entry that can go if about so many bytes of the latest ones, and at least one
    /// entry, are to stay.
    pub fn purge_point(&self, keep_bytes: usize) -> Option<u64> {
        let memory = self.memory();
        let mut left = keep_bytes;
        let kept = memory.entries.iter().rev().take_while(|entry| {
            let fits = weight(entry) <= left;
            left = left.saturating_sub(weight(entry));
            fits
        });
        let stay = kept.count().max(1);
        let gone = memory.entries.len().checked_sub(stay + 1)?;
        memory.entries.get(gone).map(|entry| entry.log_id.index)
    }

    /// Index of the last purged entry.
    pub fn purged(&self) -> Option<u64> {
        self.memory().purged.map(|p| p.index)
    }

    /// Whether there is no trace of a past: a new replica's log, or one whose disk was replaced.
    pub fn is_blank(&self) -> bool {
        let memory = self.memory();
        memory.vote.is_none() && memory.last_log_id().is_none() && !memory.marked
    }

    /// Whether this replica neither promised nor stored anything, and never did as far as it
    /// knows.
    pub fn is_innocent(&self) -> bool {
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

/// What an entry takes in a message, or a little more.
pub fn weight(entry: &Entry) -> usize {
    // Term, index, kind and length are at most ten bytes each.
    40 + match &entry.payload {
        EntryPayload::Normal(command) => command.0.len(),
        EntryPayload::Blank => 0,
        EntryPayload::Membership(members) => 64 * (1 + members.voter_ids().count()),
    }
}

/// How many of these entries fit into so many bytes; at least one, if there is one.
pub fn that_fit<'a>(entries: impl IntoIterator<Item = &'a Entry>, bytes: usize) -> usize {
    let mut sum = 0;
    let fit = entries.into_iter().enumerate().take_while(|(n, entry)| {
        sum += weight(entry);
        *n == 0 || sum <= bytes
    });
    fit.count()
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
        let wanted = (start - first) as usize..(end - first) as usize;
        let fit = that_fit(memory.entries.range(wanted.clone()), BATCH_BYTES);
        Ok(memory.entries.range(wanted).take(fit).cloned().collect())
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
                memory.appended += weight(&entry) as u64;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::{Command, MAX_COMMAND};
    use crate::disk::real;
    use crate::rpc::frame::MAX_BODY;
    use crate::rpc::protocol::Request;
    use crate::wal::WalOptions;
    use openraft::raft::AppendEntriesRequest;
    use proptest::prelude::*;

    fn entry(index: u64, length: usize) -> Entry {
        Entry {
            log_id: LogId::new_term_index(u64::MAX, index),
            payload: EntryPayload::Normal(Command(vec![7; length].into())),
        }
    }

    /// A log with entries of these lengths, beginning with index 1.
    fn log(dir: &std::path::Path, lengths: &[usize]) -> Log {
        let (wal, _) = Wal::open(real(dir).unwrap(), WalOptions::default()).unwrap();
        let log = Log::new(1, wal, None).unwrap();
        let entries = (1..).zip(lengths).map(|(i, length)| entry(i, *length));
        log.memory().entries = entries.collect();
        log
    }

    /// Lengths of commands that `propose` accepts: mostly small, some as long as can be.
    fn accepted() -> impl Strategy<Value = usize> {
        prop_oneof![4 => 0..2000_usize, 1 => 0..=MAX_COMMAND, 1 => Just(MAX_COMMAND)]
    }

    proptest! {
        #![proptest_config(crate::disk::testing::cases(48))]

        /// Whatever is accepted can be sent to a follower, and more than one batch only if it is a
        /// single entry.
        #[test]
        fn what_is_accepted_fits_a_message(
            lengths in prop::collection::vec(accepted(), 1..40),
            from in any::<prop::sample::Index>(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut log = log(dir.path(), &lengths);
            let start = 1 + from.index(lengths.len()) as u64;
            let read = log.limited_get_log_entries(start, 1 + lengths.len() as u64);
            let entries = futures_util::FutureExt::now_or_never(read).unwrap().unwrap();
            prop_assert!(!entries.is_empty());
            let (many, index) = (entries.len() > 1, entries[0].log_id.index);
            prop_assert_eq!(index, start);
            let request = Request::Append(
                u64::MAX,
                AppendEntriesRequest {
                    vote: Vote::new_committed(u64::MAX, u64::MAX),
                    prev_log_id: Some(LogId::new_term_index(u64::MAX, start - 1)),
                    entries,
                    leader_commit: Some(LogId::new_term_index(u64::MAX, u64::MAX)),
                },
            );
            let length = postcard::to_stdvec(&request).unwrap().len();
            prop_assert!(length <= MAX_BODY, "{}", length);
            prop_assert!(!many || length <= BATCH_BYTES + 100, "{}", length);
        }
    }

    #[test]
    fn a_log_keeps_bytes_and_not_numbers_of_entries() {
        let dir = tempfile::tempdir().unwrap();
        let log = |lengths: &[usize]| log(dir.path(), lengths);
        let small = log(&[60; 1000]);
        assert_eq!(small.purge_point(10_000), Some(900));
        assert_eq!(small.purge_point(1 << 20), None, "all of it may stay");
        drop(small);
        let large = log(&[400_000; 30]);
        assert_eq!(large.purge_point(1 << 20), Some(28));
        assert_eq!(large.purge_point(0), Some(29), "the last one stays");
        drop(large);
        assert_eq!(log(&[]).purge_point(0), None);
    }
}
