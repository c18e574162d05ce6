//! A storage node: its disk, its replicas, and what keeps them as the routing map wants them.

use super::NodeError;
use super::follow::Follower;
use super::progress::{HANGS_AFTER, Progress};
use super::{control, found, recover, repair};
use crate::backend::TableStatus;
use crate::clock::{self, Tick};
use crate::config::{Due, StorageConfig};
use crate::consensus::group::{Group, Parts, Role};
use crate::consensus::log::Log;
use crate::consensus::machine::Applied;
use crate::consensus::network::{Peer, Peers};
use crate::consensus::types::{GroupId, NodeId};
use crate::disk::{self, Disk};
use crate::engine::Tree;
use crate::meta::{META_GROUP, RoutingMap};
use crate::rpc::protocol::Refusal;
use crate::wal::{Record, RecoveredGroup, Wal, WalStats};
use openraft::Instant as _;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often checkpoints and failures are looked for.
const WATCH: Duration = Duration::from_secs(1);
/// How often a full disk is tried again.
const ROOM: Duration = Duration::from_millis(500);
/// How long a replica may take to end.
const STOP: Duration = Duration::from_secs(3);

/// A running storage node.
pub struct Storage {
    pub(super) config: StorageConfig,
    pub(super) me: NodeId,
    pub(super) peers: Peers,
    pub(super) disk: Arc<dyn Disk>,
    #[cfg(test)]
    pub(super) power: Option<Arc<crate::disk::VolatileDisk>>,
    wal: Wal,
    groups: RwLock<BTreeMap<GroupId, Arc<Group>>>,
    pub(super) map: watch::Sender<Arc<RoutingMap>>,
    /// The map that was on disk at the start.
    stored_map: Option<Arc<RoutingMap>>,
    /// What the log had of groups that are not started yet.
    recovered: Mutex<BTreeMap<GroupId, RecoveredGroup>>,
    /// Groups from this number on certainly never had a replica here that is forgotten now.
    never_seen_from: GroupId,
    silent_until: Tick,
    follower: Option<Follower>,
    /// Repairs and first elections.
    tasks: Mutex<JoinSet<()>>,
}

fn failed(what: &str, error: impl std::fmt::Display) -> NodeError {
    NodeError::Storage(format!("{what}: {error}"))
}

impl Storage {
    /// Recovers from disk and starts all replicas of the last known routing map: no other node
    /// is needed for that.
    pub async fn open(config: StorageConfig) -> Result<Arc<Self>, NodeError> {
        if config.conditions {
            clock::given(&config.data);
        }
        let silent_until = Tick::now() + config.timing.silence_after_start();
        let for_disk = config.clone();
        let found = tokio::task::spawn_blocking(move || recover::open(&for_disk))
            .await
            .map_err(|e| failed("recovery", e))??;
        let me = config.peers[&config.name].id;
        let peers: Peers = Arc::new(
            config
                .peers
                .values()
                .filter(|p| p.id != me)
                .map(|p| (p.id, Peer::new(p.addr)))
                .collect(),
        );
        let map_lost = found.map.is_none() && found.forgot;
        let stored_map = found.map.map(Arc::new);
        let map = stored_map.clone().unwrap_or_default();
        let never_seen_from = match (found.forgot, map_lost) {
            (false, _) => 0,
            (true, false) => map.next_group,
            (true, true) => GroupId::MAX,
        };
        let (map_sender, _) = watch::channel(map.clone());
        let follower = (!config.peers[&config.name].meta)
            .then(|| Follower::new(meta_replicas(&config, &peers), map_sender.clone()));
        let storage = Arc::new(Storage {
            me,
            peers,
            disk: found.disk,
            #[cfg(test)]
            power: found.power,
            wal: found.wal,
            groups: RwLock::default(),
            map: map_sender,
            stored_map,
            recovered: Mutex::new(found.groups),
            never_seen_from,
            silent_until,
            follower,
            tasks: Mutex::new(JoinSet::new()),
            config,
        });
        if found.forgot {
            storage
                .mark_forgotten(&map)
                .await
                .map_err(|e| failed("amnesia", e))?;
        }
        if storage.meta_member() {
            storage.start_meta().await?;
        }
        match storage.reconcile(&map).await {
            // It will be tried again, see `obey_map`; the replicas that did start serve meanwhile.
            Err(e) if e.kind() == io::ErrorKind::StorageFull => {
                tracing::error!("not every replica can start: {e}");
            }
            done => done.map_err(|e| failed("replicas", e))?,
        }
        Ok(storage)
    }

    fn meta_members(&self) -> Vec<NodeId> {
        let mut ids: Vec<NodeId> = self
            .config
            .peers
            .values()
            .filter(|p| p.meta)
            .map(|p| p.id)
            .collect();
        ids.sort_unstable();
        ids
    }

    fn meta_member(&self) -> bool {
        self.config.peers[&self.config.name].meta
    }

    /// Marks every replica that this node may have had, durably, then drops the note.
    async fn mark_forgotten(&self, map: &RoutingMap) -> io::Result<()> {
        let mut mine: BTreeSet<GroupId> = map
            .groups()
            .filter(|(_, _, p)| p.members.contains(&self.me))
            .map(|(_, _, p)| p.group)
            .collect();
        mine.extend(recover::trees(self.disk.as_ref())?);
        if self.meta_member() {
            mine.insert(META_GROUP);
        }
        for id in mine {
            let log = Log::new(id, self.wal.clone(), None)?;
            log.forget().await?;
            let forgotten = RecoveredGroup {
                states: log.states_after_forgetting(),
                ..RecoveredGroup::default()
            };
            self.recovered().insert(id, forgotten);
        }
        recover::all_marked(self.disk.as_ref())
    }

    fn recovered(&self) -> std::sync::MutexGuard<'_, BTreeMap<GroupId, RecoveredGroup>> {
        self.recovered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A replica, if this node has it.
    pub fn group(&self, id: GroupId) -> Option<Arc<Group>> {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        groups.get(&id).cloned()
    }

    /// All replicas.
    pub fn all_groups(&self) -> Vec<Arc<Group>> {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        groups.values().cloned().collect()
    }

    async fn start_meta(self: &Arc<Self>) -> Result<(), NodeError> {
        let members = self.meta_members();
        let group = self
            .start(META_GROUP, members, false)
            .await
            .map_err(|e| NodeError::of_disk("metadata", &e))?;
        if group.standing().innocent {
            self.spawn(found::found(group, self.me, self.peers.clone()));
        }
        Ok(())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Starts one replica. `expected`: it ought to have a past, so if it has none, it forgot.
    async fn start(
        self: &Arc<Self>,
        id: GroupId,
        members: Vec<NodeId>,
        expected: bool,
    ) -> io::Result<Arc<Group>> {
        // It stays there until the replica runs: the disk may be full, and this be tried again.
        let recovered = self.recovered().get(&id).cloned();
        let log = Log::new(id, self.wal.clone(), recovered)?;
        let tree = self.tree_for(id, &log, expected).await?;
        let group = Group::start(Parts {
            id,
            me: self.me,
            members,
            log,
            tree: Arc::new(tree),
            disk: self.disk.clone(),
            peers: self.peers.clone(),
            timing: self.config.timing.clone(),
            checkpoint: self.config.checkpoint.clone(),
            map: (id == META_GROUP).then(|| self.map.clone()),
            remember: (id != META_GROUP)
                .then(|| self.config.remember.clone())
                .flatten(),
            // The metadata's members are configured, so nobody says which of them are new.
            doubtful: id == META_GROUP,
            silent_until: self.silent_until,
            bug: self.config.bug,
        })
        .await?;
        self.recovered().remove(&id);
        if group.amnesiac() && !group.standing().innocent {
            self.spawn(repair::repair(group.clone(), self.me, self.peers.clone()));
        }
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        groups.insert(id, group.clone());
        Ok(group)
    }

    /// Opens a replica's tree, and notes in its log what is missing of its past.
    async fn tree_for(&self, id: GroupId, log: &Log, expected: bool) -> io::Result<Tree> {
        let disk = self.disk.clone();
        let opened = blocking(move || recover::open_tree(&disk, id)).await?;
        let mut lost = opened.is_none();
        if let Some(tree) = opened {
            let applied = Applied::decode(tree.applied_meta()?.as_deref())?;
            let applied = applied.log_id.map(|l| l.index);
            if log.is_blank() && (expected || applied.is_some()) {
                tracing::warn!(
                    group = id,
                    "no trace of this replica's log here: repairing from peers"
                );
                log.set_amnesiac(true).await?;
            }
            // What was applied and then purged is in the tree and nowhere else.
            if log.purged() <= applied {
                return Ok(tree);
            }
            tracing::error!(
                group = id,
                "a replica's tree is missing or older than its log: repairing from peers"
            );
            drop(tree);
            if applied.is_some() {
                let disk = self.disk.clone();
                blocking(move || recover::set_tree_aside(disk.as_ref(), id)).await?;
            }
            lost = true;
        }
        debug_assert!(lost);
        log.forget().await?;
        let disk = self.disk.clone();
        blocking(move || recover::discard_tree(&disk, id)).await
    }

    /// Begins a new group's log, if it has none: the leader of the metadata has chosen this
    /// member. Answers who leads, and whether that is this replica, ready.
    pub async fn begin(&self, id: GroupId) -> Result<(Option<NodeId>, bool), Refusal> {
        let group = self.group(id).ok_or_else(|| Refusal::NotMember {
            map: self.map.borrow().version,
        })?;
        if group.amnesiac() {
            let why = "this replica is being repaired".to_owned();
            return Err(Refusal::Unavailable(why));
        }
        group.initialize().await.map_err(Refusal::Unavailable)?;
        let status = group.status();
        Ok((status.leader, status.ready))
    }

    /// What the write-ahead log has done, and has now.
    pub fn wal_stats(&self) -> WalStats {
        self.wal.stats()
    }

    /// Starts and removes replicas until they are as the map says.
    async fn reconcile(self: &Arc<Self>, map: &RoutingMap) -> io::Result<()> {
        for (table, _, placement) in map.groups() {
            let id = placement.group;
            if !placement.members.contains(&self.me) || self.group(id).is_some() {
                continue;
            }
            let creating = table.info.status == TableStatus::Creating;
            // A table that was created before the log was lost may have been written to.
            let expected = !creating || id < self.never_seen_from;
            self.start(id, placement.members.clone(), expected).await?;
        }
        let wanted: BTreeSet<GroupId> = map.groups().map(|(_, _, p)| p.group).collect();
        let unwanted =
            |id: GroupId| id != META_GROUP && id < map.next_group && !wanted.contains(&id);
        for group in self.all_groups() {
            if unwanted(group.id) {
                tracing::info!(group = group.id, "dropping a replica");
                self.groups
                    .write()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&group.id);
                group.stop().await;
                group.destroy().await?;
            }
        }
        let leftover: Vec<GroupId> = {
            let mut recovered = self.recovered();
            let ids: Vec<_> = recovered
                .keys()
                .copied()
                .filter(|id| unwanted(*id))
                .collect();
            recovered.retain(|id, _| !unwanted(*id));
            ids
        };
        for group in leftover {
            self.wal
                .append_durable(vec![Record::DropGroup { group }])
                .await?;
            let disk = self.disk.clone();
            blocking(move || Tree::remove(disk.as_ref(), &recover::tree_file(group))).await?;
        }
        Ok(())
    }

    /// Runs until something fails for good; says what.
    pub async fn run(self: &Arc<Self>) -> String {
        let follow = async {
            match &self.follower {
                Some(follower) => follower.run().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            failed = self.obey_map() => failed,
            failed = self.watch() => failed,
            () = control::run(self) => "metadata control ended".into(),
            () = follow => "following the map ended".into(),
        }
    }

    async fn obey_map(self: &Arc<Self>) -> String {
        let mut changes = self.map.subscribe();
        // What changed while starting counts too.
        changes.mark_changed();
        let mut stored = self.stored_map.clone();
        let mut said = false;
        loop {
            if changes.changed().await.is_err() {
                return "the map is gone".into();
            }
            let map = changes.borrow_and_update().clone();
            match self.obey(&map, &mut stored).await {
                Ok(()) => said = false,
                // What it has goes on as it is; the new map is for later.
                Err(e) if e.kind() == io::ErrorKind::StorageFull => {
                    if !std::mem::replace(&mut said, true) {
                        let version = map.version;
                        tracing::error!(version, "a new routing map waits for room: {e}");
                    }
                    tokio::time::sleep(ROOM).await;
                    changes.mark_changed();
                }
                Err(e) => return format!("routing map: {e}"),
            }
        }
    }

    /// Stores a map, if it is another one than `stored`, and does as it says.
    async fn obey(
        self: &Arc<Self>,
        map: &Arc<RoutingMap>,
        stored: &mut Option<Arc<RoutingMap>>,
    ) -> io::Result<()> {
        if stored.as_ref() != Some(map) && map.version > 0 {
            let (disk, to_write) = (self.disk.clone(), map.clone());
            blocking(move || recover::write_map(disk.as_ref(), &to_write)).await?;
            *stored = Some(map.clone());
        }
        self.reconcile(map).await
    }

    /// Checkpoints what is due, a replica at a time, cuts logs, and looks for failures.
    async fn watch(&self) -> String {
        let mut seen: BTreeMap<GroupId, Seen> = BTreeMap::new();
        let every = Duration::from_millis(self.config.checkpoint.every_ms);
        loop {
            tokio::time::sleep(WATCH.min(every)).await;
            if let Some(error) = self.wal.failure() {
                return format!("write-ahead log: {error}");
            }
            let mut one_due = false;
            let groups = self.all_groups();
            seen.retain(|id, _| groups.iter().any(|g| g.id == *id));
            for group in groups {
                let status = group.status();
                if group.tree_is_damaged() {
                    return self.damaged(group.id).await;
                }
                if let Some(error) = status.failed {
                    // A replica that was just dropped stops too.
                    if self.group(group.id).is_some() {
                        return format!("replica of group {}: {error}", group.id);
                    }
                    continue;
                }
                let seen = seen.entry(group.id).or_insert_with(|| Seen::of(&group));
                let now = Instant::now();
                let stuck = seen.progress.stuck(status.applied, status.committed, now);
                if status.role == Role::Leader && stuck >= HANGS_AFTER {
                    return format!(
                        "replica of group {}: it leads, and has applied nothing for {stuck:?} \
                         although something is committed",
                        group.id
                    );
                }
                group.cut().await;
                let entries = status.applied.saturating_sub(seen.applied);
                let bytes = group.appended().saturating_sub(seen.appended);
                let limits = &self.config.checkpoint;
                match limits.due(entries, bytes, seen.since.elapsed()) {
                    Due::NotYet => continue,
                    Due::InTurn if one_due => continue,
                    Due::InTurn | Due::Now => one_due = true,
                }
                // The tree takes every error for its end; the log keeps what it has until
                // there is room again.
                let disk = self.disk.clone();
                let room = tokio::task::spawn_blocking(move || disk::has_room(disk.as_ref()));
                if matches!(room.await, Ok(false)) {
                    tracing::warn!(group = group.id, "no checkpoint: the disk is full");
                    continue;
                }
                seen.checkpointed(&group, status.applied);
                group.checkpoint().await;
            }
        }
    }

    /// Ends the node for a tree that was found damaged in use, so that it is rebuilt.
    async fn damaged(&self, group: GroupId) -> String {
        let disk = self.disk.clone();
        let noted = blocking(move || recover::note_damage(disk.as_ref(), group)).await;
        if let Err(e) = noted {
            tracing::error!(group, "that the tree is damaged cannot be noted: {e}");
        }
        format!("the tree of group {group} is damaged: it is repaired from peers after a new start")
    }

    /// Ends all replicas.
    pub async fn stop(&self) {
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .abort_all();
        let ended =
            futures_util::future::join_all(self.all_groups().into_iter().map(|group| async move {
                // One that waits for its disk does not end by itself; the process does.
                tokio::time::timeout(STOP, group.stop()).await
            }));
        if ended.await.iter().any(Result::is_err) {
            tracing::warn!("some replicas did not end within {STOP:?}");
        }
    }

    /// A node's name.
    pub fn name_of(&self, id: NodeId) -> Option<&str> {
        let mut peers = self.config.peers.iter();
        peers
            .find(|(_, p)| p.id == id)
            .map(|(name, _)| name.as_str())
    }
}

/// What was seen of a replica when it was last checkpointed.
struct Seen {
    applied: u64,
    appended: u64,
    since: Instant,
    progress: Progress,
}

impl Seen {
    fn of(group: &Group) -> Self {
        Seen {
            applied: group.status().applied,
            appended: group.appended(),
            since: Instant::now(),
            progress: Progress::new(Instant::now()),
        }
    }

    fn checkpointed(&mut self, group: &Group, applied: u64) {
        self.applied = applied;
        self.appended = group.appended();
        self.since = Instant::now();
    }
}

/// Runs what blocks on a thread of its own. A full disk stays one in the error.
async fn blocking<T: Send + 'static, E: Into<io::Error> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
        .map_err(Into::into)
}

/// Connections to the metadata replicas, those of this node's AZ first.
fn meta_replicas(config: &StorageConfig, peers: &Peers) -> Vec<Peer> {
    let az = &config.peers[&config.name].az;
    let mut meta: Vec<_> = config.peers.values().filter(|p| p.meta).collect();
    meta.sort_by_key(|p| (p.az != *az, p.id));
    meta.iter()
        .filter_map(|p| peers.get(&p.id).cloned())
        .collect()
}
