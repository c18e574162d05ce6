//! One replica of one replication group.

use super::census::Counter;
use super::lease;
use super::log::Log;
use super::machine::{Applied, Machine, decode_item};
use super::network::{Network, Peers};
use super::recent::{Recent, Remembered, Written};
use super::snapshot::{SnapshotData, Staged};
use super::types::{Command, GroupId, MAX_COMMAND, NodeId, Op, Outcome, Types, Vote};
use crate::api::write::WriteReply;
use crate::backend::{Census, StoreKey};
use crate::clock::{self, Tick};
use crate::config::{Checkpoint, Remember, Timing};
use crate::disk::Disk;
use crate::engine::{Digest, EngineError, Page, Tree};
use crate::meta::{META_GROUP, MetaReply, RoutingMap, key};
use crate::rpc::protocol::{Refusal, SnapshotPiece, Standing, WriteFailure};
use futures_util::FutureExt;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, LinearizableReadError, RaftError};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use openraft::storage::Snapshot;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{Config, Instant as _, Raft, RaftMetrics, ReadPolicy, ServerState, SnapshotPolicy};
use serde::Serialize;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, watch};

/// What a replica is made of.
pub struct Parts {
    /// Group.
    pub id: GroupId,
    /// This node.
    pub me: NodeId,
    /// Its members.
    pub members: Vec<NodeId>,
    /// Log.
    pub log: Log,
    /// Tree.
    pub tree: Arc<Tree>,
    /// Where snapshots are staged.
    pub disk: Arc<dyn Disk>,
    /// Connections.
    pub peers: Peers,
    /// Timing.
    pub timing: Timing,
    /// Log length.
    pub checkpoint: Checkpoint,
    /// Where the routing map is published, for the metadata's group.
    pub map: Option<watch::Sender<Arc<RoutingMap>>>,
    /// What to remember of applied writes.
    pub remember: Option<Remember>,
    /// A replica without a trace of a past may have had one on a disk that was replaced: until
    /// somebody who knows has told it, it is treated as one that forgot. See `node::found`.
    pub doubtful: bool,
    /// Until when this replica neither votes nor campaigns.
    pub silent_until: Tick,
    /// A bug to have on purpose.
    pub bug: Option<crate::config::Bug>,
}

/// One replica.
pub struct Group {
    /// Its number.
    pub id: GroupId,
    /// Its members, preferred leader first.
    pub members: Vec<NodeId>,
    me: NodeId,
    raft: Raft<Types, Machine>,
    metrics: WatchReceiverOf<Types, RaftMetrics<Types>>,
    log: Log,
    keep_bytes: usize,
    tree: Arc<Tree>,
    counter: Arc<Counter>,
    disk: Arc<dyn Disk>,
    read_lease: Duration,
    silent_until: Tick,
    amnesiac: AtomicBool,
    /// While amnesiac: the least term from which messages of leaders are taken.
    accepts: AtomicU64,
    staging: Mutex<Option<Staged>>,
    recent: Option<Arc<Recent>>,
    #[cfg(feature = "seeded-bugs")]
    pub(super) bug: Option<crate::config::Bug>,
    #[cfg(feature = "seeded-bugs")]
    pub(super) unconfirmed: super::bugs::Unconfirmed,
}

/// What a replica is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Leads.
    Leader,
    /// Follows.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Has forgotten what it promised, and catches up.
    Repairing,
}

/// A replica at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// What it does.
    pub role: Role,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// Its term.
    pub term: u64,
    /// Index of the last applied entry.
    pub applied: u64,
    /// Index of the last entry that is known to be committed.
    pub committed: u64,
    /// It leads and has applied an entry of its own term.
    pub ready: bool,
    /// It has stopped for good.
    pub failed: Option<String>,
}

fn raft_config(timing: &Timing) -> Result<Config, String> {
    Config {
        cluster_name: "gameday".into(),
        heartbeat_interval: timing.heartbeat_ms,
        // openraft waits for the lease, which is election_timeout_max, and then for a random
        // time between the two.
        election_timeout_min: timing.election_ms,
        election_timeout_max: timing.lease_ms,
        max_payload_entries: 1024,
        snapshot_policy: SnapshotPolicy::Never,
        replication_lag_threshold: u64::MAX / 2,
        // The log is cut by bytes, see `Group::cut`.
        max_in_snapshot_log_to_keep: u64::MAX,
        install_snapshot_timeout: 60_000,
        api_channel_size: Some(16_384),
        notification_channel_size: Some(16_384),
        enable_pre_vote: Some(true),
        // See `lease`: neither may happen.
        enable_leader_restore: Some(false),
        // See `node::repair`: a repaired replica comes back without its log.
        allow_log_reversion: Some(true),
        backoff: "20ms,40ms,80ms,160ms..200ms".into(),
        ..Config::default()
    }
    .validate()
    .map_err(|e| e.to_string())
}

impl Group {
    /// Starts a replica. One that has no past elects a leader as soon as it is initialized.
    pub async fn start(parts: Parts) -> io::Result<Arc<Self>> {
        let config = raft_config(&parts.timing).map_err(io::Error::other)?;
        let blank = parts.log.is_blank();
        let amnesiac = parts.log.amnesiac() || (blank && parts.doubtful);
        let recent = parts.remember.map(|r| Arc::new(Recent::new(r)));
        let machine = Machine::new(parts.tree.clone(), parts.map, recent.clone())?;
        let network = Network {
            group: parts.id,
            me: parts.me,
            peers: parts.peers,
            patience: Duration::from_millis(parts.timing.lease_ms),
        };
        let raft = Raft::build(
            parts.me,
            Arc::new(config),
            network,
            parts.log.clone(),
            machine,
        )
        .await
        .map_err(io::Error::other)?;
        // A blank replica has promised nothing to anybody.
        let silent_until = if blank {
            Tick::now()
        } else {
            parts.silent_until
        };
        raft.runtime_config().elect(blank && !amnesiac);
        raft.run();
        let group = Arc::new(Group {
            id: parts.id,
            me: parts.me,
            members: parts.members,
            metrics: raft.metrics(),
            raft,
            log: parts.log,
            keep_bytes: parts.checkpoint.keep_bytes,
            tree: parts.tree,
            counter: Arc::default(),
            disk: parts.disk,
            read_lease: parts.timing.read_lease(),
            silent_until,
            amnesiac: AtomicBool::new(amnesiac),
            accepts: AtomicU64::new(if amnesiac { u64::MAX } else { 0 }),
            staging: Mutex::new(None),
            recent,
            #[cfg(feature = "seeded-bugs")]
            bug: parts.bug,
            #[cfg(feature = "seeded-bugs")]
            unconfirmed: Default::default(),
        });
        if !blank && !amnesiac {
            let weak = Arc::downgrade(&group);
            let until = group.silent_until;
            tokio::spawn(async move {
                clock::sleep_until(until).await;
                if let Some(group) = weak.upgrade() {
                    group.raft.runtime_config().elect(true);
                }
            });
        }
        Ok(group)
    }

    /// Makes a new group's first log entry, and asks for votes at once. Must be called only for a
    /// group that is new, but may be called twice, and on several members.
    ///
    /// The entry is the same whoever makes it: it says who the members are, which were chosen once
    /// and are the same for all, and its log id is term 0, index 0, in which nobody can be elected.
    /// So two members that both make it have the same log, and who leads is decided by votes, as
    /// ever. A member that has a log already is left as it is.
    pub async fn initialize(&self) -> Result<(), String> {
        let members: BTreeSet<NodeId> = self.members.iter().copied().collect();
        match self.raft.initialize(members).await {
            Ok(()) => Ok(()),
            // It has a log already: somebody else's, or our own of an earlier start.
            Err(RaftError::APIError(_)) => Ok(()),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Stops. Outcomes that are still awaited become unknown.
    pub async fn stop(&self) {
        if self.raft.shutdown().await.is_err() {
            tracing::warn!(group = self.id, "replica ended badly");
        }
    }

    /// Removes everything of a stopped replica, durably.
    pub async fn destroy(&self) -> io::Result<()> {
        self.log.remove().await?;
        let tree = self.tree.clone();
        tokio::task::spawn_blocking(move || tree.destroy())
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)
    }

    /// At a glance.
    pub fn status(&self) -> GroupStatus {
        let ended = self.core_has_ended();
        let m = self.metrics.borrow_watched();
        let role = match m.state {
            _ if self.amnesiac() => Role::Repairing,
            ServerState::Leader => Role::Leader,
            ServerState::Candidate => Role::Candidate,
            _ => Role::Follower,
        };
        GroupStatus {
            role,
            leader: m.current_leader,
            term: m.current_term,
            applied: m.last_applied.map_or(0, |l| l.index),
            committed: m.local_committed.map_or(0, |l| l.index),
            ready: ready(&m),
            failed: match &m.running_state {
                Err(error) => Some(error.to_string()),
                Ok(()) => ended.then(|| "its consensus task panicked".to_owned()),
            },
        }
    }

    /// Whether nobody sends metrics any more: all that a panic in openraft's core leaves.
    fn core_has_ended(&self) -> bool {
        let mut metrics = self.metrics.clone();
        drop(metrics.borrow_and_update());
        matches!(metrics.changed().now_or_never(), Some(Err(_)))
    }

    /// Whether it has forgotten what it promised.
    pub fn amnesiac(&self) -> bool {
        self.amnesiac.load(Ordering::Acquire)
    }

    /// While amnesiac: from now on, take messages of leaders of this term and later ones.
    pub fn accept_from(&self, term: u64) {
        self.accepts.store(term, Ordering::Release);
    }

    fn may_follow(&self, vote: &Vote) -> Result<(), String> {
        if vote.leader_id.term < self.accepts.load(Ordering::Acquire) {
            return Err("this replica is being repaired and follows nobody yet".into());
        }
        Ok(())
    }

    /// Ends the amnesia, durably: everything that may have been forgotten is here again.
    pub async fn remembered(&self) -> io::Result<()> {
        self.log.set_amnesiac(false).await?;
        self.amnesiac.store(false, Ordering::Release);
        self.raft.runtime_config().elect(true);
        Ok(())
    }

    /// Notes, durably, that it has forgotten what it promised: it was only doubtful until now.
    pub async fn has_forgotten(&self) -> io::Result<()> {
        self.log.set_amnesiac(true).await
    }

    /// What this replica promised and has.
    pub fn standing(&self) -> Standing {
        let (vote, last) = self.log.standing();
        let m = self.metrics.borrow_watched();
        // The vote is read first: if it is still that of the term in which the metrics say that
        // this replica leads, it led when its last entry was read.
        let leads = m.state == ServerState::Leader
            && vote.is_some_and(|v| v.leader_id.term == m.current_term);
        Standing {
            vote,
            last,
            amnesiac: self.amnesiac(),
            leads,
            innocent: self.log.is_innocent(),
        }
    }

    fn not_leader(&self) -> Refusal {
        let leader = self.metrics.borrow_watched().current_leader;
        Refusal::NotLeader {
            leader: leader.filter(|l| *l != self.me),
        }
    }

    /// Proposes a command and waits until it is applied here.
    ///
    /// openraft answers `ForwardToLeader` only before it appends anything (`write_entries` in its
    /// `raft_core.rs`): certainly not proposed. Everything else, also an answer that never
    /// comes, leaves the outcome unknown.
    ///
    /// Nothing is proposed that could not be replicated, or that another build would understand
    /// and this one does not.
    pub async fn propose(&self, command: Command) -> Result<Outcome, WriteFailure> {
        if command.0.len() > MAX_COMMAND {
            return Ok(self.too_long(command.0.len()));
        }
        // Saves the way into the core, and tells the reason.
        if self.metrics.borrow_watched().state != ServerState::Leader {
            return Err(WriteFailure::Refused(self.not_leader()));
        }
        let fits = match command.op() {
            Ok(Op::Write { .. }) => self.id != META_GROUP,
            Ok(Op::Meta(_)) => self.id == META_GROUP,
            Err(error) => {
                let why = format!("a command that this build does not understand ({error})");
                return Err(WriteFailure::Refused(Refusal::Unavailable(why)));
            }
        };
        if !fits {
            let why = "a command of another group".to_owned();
            return Err(WriteFailure::Refused(Refusal::Unavailable(why)));
        }
        #[cfg(feature = "seeded-bugs")]
        if self.bug == Some(crate::config::Bug::AckBeforeQuorum)
            && self.id != crate::meta::META_GROUP
        {
            return self.answer_before_quorum(command);
        }
        match self.raft.client_write(command).await {
            Ok(done) => Ok(done.data),
            Err(error) => Err(self.classify(error)),
        }
    }

    /// The answer to a command over the limit: to repeat it is of no use.
    fn too_long(&self, bytes: usize) -> Outcome {
        let message =
            format!("a write of {bytes} bytes with its expressions; at most {MAX_COMMAND}");
        if self.id == META_GROUP {
            return Outcome::Meta(MetaReply::Refused(message));
        }
        Outcome::Write(WriteReply::Invalid { message })
    }

    fn classify(&self, error: RaftError<Types, ClientWriteError<Types>>) -> WriteFailure {
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => match to.leader_id {
                Some(leader) if leader != self.me => WriteFailure::Refused(Refusal::NotLeader {
                    leader: Some(leader),
                }),
                // It leads, but has not heard from a quorum lately.
                _ => WriteFailure::Refused(Refusal::NotLeader { leader: None }),
            },
            other => WriteFailure::Unknown(other.to_string()),
        }
    }

    #[cfg(feature = "seeded-bugs")]
    pub(super) fn hand_over(
        self: &Group,
        command: Command,
    ) -> impl Future<Output = ()> + Send + use<> {
        let raft = self.raft.clone();
        async move {
            let _ = raft.client_write(command).await;
        }
    }

    /// Reads linearizably. `read` may be called twice. See [`lease`].
    pub async fn read_strong<T>(
        &self,
        read: impl Fn(&Tree) -> Result<T, EngineError>,
    ) -> Result<T, Refusal> {
        let term = {
            let m = self.metrics.borrow_watched();
            ready(&m).then_some(m.current_term)
        };
        if let Some(term) = term {
            let value = read(&self.tree).map_err(unreadable)?;
            let age = {
                let m = self.metrics.borrow_watched();
                let same = m.state == ServerState::Leader && m.current_term == term;
                m.last_quorum_acked.filter(|_| same).map(|t| t.elapsed())
            };
            if lease::held(age, self.read_lease) {
                return Ok(value);
            }
            #[cfg(feature = "seeded-bugs")]
            if self.bug == Some(crate::config::Bug::StaleLeaderRead) {
                return Ok(value);
            }
        } else if self.metrics.borrow_watched().state != ServerState::Leader {
            return Err(self.not_leader());
        }
        match self.raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
            Ok(_) => read(&self.tree).map_err(unreadable),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(to))) => {
                Err(Refusal::NotLeader {
                    leader: to.leader_id.filter(|l| *l != self.me),
                })
            }
            Err(e) => Err(Refusal::Unavailable(e.to_string())),
        }
    }

    fn read_any<T>(&self, read: impl Fn(&Tree) -> Result<T, EngineError>) -> Result<T, Refusal> {
        if self.amnesiac() {
            return Err(Refusal::Unavailable(
                "this replica is being repaired".into(),
            ));
        }
        read(&self.tree).map_err(unreadable)
    }

    /// One item as it is stored.
    pub async fn get(&self, at: &StoreKey, consistent: bool) -> Result<Option<Vec<u8>>, Refusal> {
        let key = key::storage_key(at);
        if !consistent {
            return self.read_any(|tree| tree.get(&key));
        }
        #[cfg(feature = "seeded-bugs")]
        if let Some(item) = self.unconfirmed.get(&key) {
            return Ok(item);
        }
        self.read_strong(|tree| tree.get(&key)).await
    }

    /// Items after a storage key and before another.
    pub async fn scan(
        &self,
        after: Option<&[u8]>,
        until: Option<&[u8]>,
        limit: usize,
        bytes: usize,
        consistent: bool,
    ) -> Result<Page, Refusal> {
        let read = |tree: &Tree| tree.range(after, limit, bytes);
        let mut page = if consistent {
            self.read_strong(read).await?
        } else {
            self.read_any(read)?
        };
        if let Some(until) = until {
            let before = page.items.len();
            page.items.retain(|(key, _)| key.as_slice() < until);
            page.more &= page.items.len() == before;
        }
        Ok(page)
    }

    /// Count and hash of everything that is applied here, and the index of that.
    pub async fn digest(&self) -> io::Result<(Digest, u64)> {
        let tree = self.tree.clone();
        let digest = tokio::task::spawn_blocking(move || tree.digest())
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
        let applied = Applied::decode(digest.applied.as_deref())?;
        Ok((digest, applied.log_id.map_or(0, |l| l.index)))
    }

    /// How much it has, or had not long ago; `None` while that is not known yet.
    pub async fn census(&self) -> Option<Census> {
        self.counter.census(&self.tree).await
    }

    /// Which of these writes took effect, as far as it is remembered.
    pub fn which_applied(&self, writes: &BTreeSet<Written>) -> Option<Remembered> {
        self.recent.as_ref().map(|r| r.which(writes))
    }

    /// About how many bytes of log are in memory.
    pub fn log_bytes(&self) -> usize {
        self.log.bytes()
    }

    /// About how many bytes of log were appended since the start.
    pub fn appended(&self) -> u64 {
        self.log.appended()
    }

    /// Whether the tree was found damaged.
    pub fn tree_is_damaged(&self) -> bool {
        self.tree.is_damaged()
    }

    /// Index of the last entry that was cut off the log.
    pub fn purged(&self) -> Option<u64> {
        self.log.purged()
    }

    /// Cuts the log, in memory and on disk, to about the bytes that are kept for followers, as far
    /// as a checkpoint has what goes. A leader keeps what it is about to send.
    pub async fn cut(&self) {
        let durable = self.metrics.borrow_watched().snapshot.map(|l| l.index);
        let upto = self.log.purge_point(self.keep_bytes).min(durable);
        if let Some(upto) = upto.filter(|upto| Some(*upto) > self.log.purged())
            && self.raft.trigger().purge_log(upto).await.is_err()
        {
            tracing::warn!(
                group = self.id,
                "the log is not cut: the replica has stopped"
            );
        }
    }

    /// Makes the tree durable, in the background.
    pub async fn checkpoint(&self) {
        let m = self.metrics.borrow_watched().last_applied;
        if m.is_some() && self.raft.trigger().snapshot().await.is_err() {
            tracing::warn!(group = self.id, "no checkpoint: the replica has stopped");
        }
    }

    /// Raft: entries of a leader.
    pub async fn append(
        &self,
        rpc: AppendEntriesRequest<Types>,
    ) -> Result<AppendEntriesResponse<Types>, String> {
        self.may_follow(&rpc.vote)?;
        self.raft
            .append_entries(rpc)
            .await
            .map_err(|e| e.to_string())
    }

    /// Raft: a candidate's request. Refused while this replica may have promised not to vote, or
    /// has forgotten whom it voted for.
    pub async fn vote(&self, rpc: VoteRequest<Types>) -> Result<VoteResponse<Types>, String> {
        self.may_vote()?;
        if rpc.leadership_transfer {
            return Err("leadership is never transferred here".into());
        }
        self.raft.vote(rpc).await.map_err(|e| e.to_string())
    }

    /// Raft: what a candidate would get.
    pub async fn pre_vote(&self, rpc: VoteRequest<Types>) -> Result<VoteResponse<Types>, String> {
        self.may_vote()?;
        self.raft.pre_vote(rpc).await.map_err(|e| e.to_string())
    }

    fn may_vote(&self) -> Result<(), String> {
        if self.amnesiac() {
            return Err("this replica is being repaired and does not vote".into());
        }
        if Tick::now() < self.silent_until {
            return Err("this replica has just started and does not vote yet".into());
        }
        Ok(())
    }

    /// Raft: a piece of a snapshot. Answers with the vote once the last one is installed.
    pub async fn piece(&self, piece: SnapshotPiece) -> Result<Option<Vote>, String> {
        self.may_follow(&piece.vote)?;
        let mut staging = self.staging.lock().await;
        if piece.number == 0 {
            *staging = None;
            let (disk, group, stream) = (self.disk.clone(), self.id, piece.stream);
            let staged = Staged::begin(disk, group, stream).map_err(|e| e.to_string())?;
            *staging = Some(staged);
        }
        let Some(mut staged) = staging
            .take()
            .filter(|s| s.expects(piece.stream, piece.number))
        else {
            return Err("a piece of another snapshot, or out of order".into());
        };
        staged.push(&piece.data.0).map_err(|e| e.to_string())?;
        let Some(meta) = piece.last else {
            *staging = Some(staged);
            return Ok(None);
        };
        drop(staging);
        let meta = postcard::from_bytes(&meta.0).map_err(|e| e.to_string())?;
        let snapshot = Snapshot {
            meta,
            snapshot: SnapshotData::Staged(staged),
        };
        let installed = self.raft.install_full_snapshot(piece.vote, snapshot).await;
        installed.map(|r| Some(r.vote)).map_err(|e| e.to_string())
    }

    /// Ends openraft's core as a bug in it would.
    #[cfg(test)]
    pub async fn panic_in_core(&self) {
        let _ = self
            .raft
            .with_raft_state(|_| -> () { panic!("on purpose") })
            .await;
    }

    /// The tree, for bugs and for tests of what damage to it does.
    #[cfg(any(test, feature = "seeded-bugs"))]
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }
}

/// Whether the replica leads and has applied an entry of its own term, so that everything that
/// earlier leaders acknowledged is in its tree.
fn ready(m: &RaftMetrics<Types>) -> bool {
    m.state == ServerState::Leader
        && m.last_applied
            .is_some_and(|applied| applied.leader_id.term == m.current_term)
}

fn unreadable(error: EngineError) -> Refusal {
    tracing::error!(%error, "a replica cannot be read");
    Refusal::Unavailable(error.to_string())
}

/// Decodes a stored item.
pub fn item(bytes: &[u8]) -> io::Result<crate::api::value::Item> {
    decode_item(bytes)
}
