//! A storage node: its disk, its replicas, and what keeps them as the routing map wants them.

use super::NodeError;
use super::follow::Follower;
use super::{control, recover, repair};
use crate::backend::TableStatus;
use crate::clock::{self, Tick};
use crate::config::StorageConfig;
use crate::consensus::group::{Group, Parts};
use crate::consensus::log::Log;
use crate::consensus::network::{Peer, Peers, call};
use crate::consensus::types::{GroupId, NodeId};
use crate::disk::{self, Disk};
use crate::meta::{META_GROUP, RoutingMap};
use crate::rpc::protocol::{Request, Response};
use crate::wal::{Record, RecoveredGroup, Wal};
use openraft::Instant as _;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often checkpoints and failures are looked for.
const WATCH: Duration = Duration::from_secs(1);
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
        let map = Arc::new(found.map.unwrap_or_default());
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
        storage
            .reconcile(&map)
            .await
            .map_err(|e| failed("replicas", e))?;
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
            .start(META_GROUP, members.clone(), false)
            .await
            .map_err(|e| failed("metadata", e))?;
        if members.first() == Some(&self.me) && group.standing().last.is_none() && !group.amnesiac()
        {
            let storage = self.clone();
            self.spawn(async move { storage.found_meta(group).await });
        }
        Ok(())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Founds the metadata's group, once. A node that came back with an empty disk must not do it
    /// again: all members have to say that they have nothing.
    async fn found_meta(&self, group: Arc<Group>) {
        loop {
            let mut blank = 0;
            for id in group.members.iter().filter(|m| **m != self.me) {
                let Some(peer) = self.peers.get(id) else {
                    continue;
                };
                let request = Request::Standing(META_GROUP);
                let answer = call(&peer.fast, &request, Duration::from_millis(500)).await;
                match answer {
                    Ok(Response::Standing(Some(s))) if s.last.is_some() || s.amnesiac => {
                        if group.standing().last.is_none() {
                            tracing::error!(
                                "this node has no metadata although others have: its data \
                                 folder was replaced; waiting to be told the metadata"
                            );
                        }
                        return;
                    }
                    Ok(Response::Standing(Some(_))) => blank += 1,
                    _ => {}
                }
            }
            if group.standing().last.is_some() {
                return;
            }
            if blank + 1 == group.members.len() {
                match group.initialize().await {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(error, "metadata not founded yet"),
                }
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Starts one replica. `expected`: it ought to have a past, so if it has none, it forgot.
    async fn start(
        self: &Arc<Self>,
        id: GroupId,
        members: Vec<NodeId>,
        expected: bool,
    ) -> io::Result<Arc<Group>> {
        let recovered = self.recovered().remove(&id);
        let log = Log::new(id, self.wal.clone(), recovered)?;
        if expected && log.is_blank() {
            tracing::warn!(
                group = id,
                "no trace of this replica here: repairing from peers"
            );
            log.set_amnesiac(true).await?;
        }
        let disk = self.disk.clone();
        let opened = tokio::task::spawn_blocking(move || recover::open_tree(&disk, id))
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
        let tree = match opened {
            Some(tree) => tree,
            None => {
                log.forget().await?;
                let disk = self.disk.clone();
                tokio::task::spawn_blocking(move || recover::discard_tree(&disk, id))
                    .await
                    .map_err(io::Error::other)?
                    .map_err(io::Error::other)?
            }
        };
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
            silent_until: self.silent_until,
            bug: self.config.bug,
        })
        .await?;
        if group.amnesiac() {
            self.spawn(repair::repair(group.clone(), self.me, self.peers.clone()));
        }
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        groups.insert(id, group.clone());
        Ok(group)
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
            let group = self.start(id, placement.members.clone(), expected).await?;
            if creating && placement.members.first() == Some(&self.me) && !group.amnesiac() {
                group.initialize().await.map_err(io::Error::other)?;
            }
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
            tokio::task::spawn_blocking(move || {
                crate::engine::Tree::remove(disk.as_ref(), &recover::tree_file(group))
            })
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
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
        let mut obeyed = 0;
        loop {
            if changes.changed().await.is_err() {
                return "the map is gone".into();
            }
            let map = changes.borrow_and_update().clone();
            if map.version == obeyed {
                continue;
            }
            let (disk, to_write) = (self.disk.clone(), map.clone());
            let written =
                tokio::task::spawn_blocking(move || recover::write_map(disk.as_ref(), &to_write))
                    .await;
            match written {
                Ok(Ok(())) => {}
                Ok(Err(e)) => return format!("storing the map: {e}"),
                Err(e) => return format!("storing the map: {e}"),
            }
            if let Err(e) = self.reconcile(&map).await {
                return format!("replicas: {e}");
            }
            obeyed = map.version;
        }
    }

    /// Checkpoints what is due, a replica at a time, and looks for failures.
    async fn watch(&self) -> String {
        let mut last: BTreeMap<GroupId, (u64, Instant)> = BTreeMap::new();
        let every = Duration::from_millis(self.config.checkpoint.every_ms);
        loop {
            tokio::time::sleep(WATCH.min(every)).await;
            if let Some(error) = self.wal.failure() {
                return format!("write-ahead log: {error}");
            }
            let mut one_due = false;
            for group in self.all_groups() {
                let status = group.status();
                if let Some(error) = status.failed {
                    // A replica that was just dropped stops too.
                    if self.group(group.id).is_some() {
                        return format!("replica of group {}: {error}", group.id);
                    }
                    continue;
                }
                let (applied, since) = last
                    .entry(group.id)
                    .or_insert((status.applied, Instant::now()));
                let new = status.applied.saturating_sub(*applied);
                let limits = &self.config.checkpoint;
                let full = new >= limits.entries || (new > 0 && group.log_bytes() > limits.bytes);
                if full || (new > 0 && since.elapsed() >= every && !one_due) {
                    one_due = true;
                    // The tree takes every error for its end; the log keeps what it has until
                    // there is room again.
                    let disk = self.disk.clone();
                    let room = tokio::task::spawn_blocking(move || disk::has_room(disk.as_ref()));
                    if matches!(room.await, Ok(false)) {
                        tracing::warn!(group = group.id, "no checkpoint: the disk is full");
                        continue;
                    }
                    (*applied, *since) = (status.applied, Instant::now());
                    group.checkpoint().await;
                }
            }
        }
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

/// Connections to the metadata replicas, those of this node's AZ first.
fn meta_replicas(config: &StorageConfig, peers: &Peers) -> Vec<Peer> {
    let az = &config.peers[&config.name].az;
    let mut meta: Vec<_> = config.peers.values().filter(|p| p.meta).collect();
    meta.sort_by_key(|p| (p.az != *az, p.id));
    meta.iter()
        .filter_map(|p| peers.get(&p.id).cloned())
        .collect()
}
