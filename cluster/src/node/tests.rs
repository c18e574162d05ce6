//! Whole clusters in one process, on loopback, with real files.

use super::admin::{Admin, ReplicaApplied};
use super::{Storage, listen, recover, serve_storage};
use crate::api::expr::{Comparison, Operand, Path, Test};
use crate::api::value::{AttributeValue, Item};
use crate::api::write::{Action, WriteOp, WriteReply};
use crate::backend::{Backend, BackendError, Census, StoreKey, TableInfo, TableSpec, TableStatus};
use crate::config::{
    Checkpoint, DiskMode, PeerConfig, Peers, Remember, RouterConfig, StorageConfig, Timing,
};
use crate::consensus::group::Role;
use crate::consensus::recent::Written;
use crate::disk;
use crate::router::Router;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

mod bounds;
mod failures;
mod lost;
mod tables;

const NAMES: [&str; 3] = ["storage-a1", "storage-b1", "storage-c1"];
/// Patience of these tests: only ever reached by one that fails.
const LONG: Duration = Duration::from_secs(40);

struct Running {
    storage: Arc<Storage>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), super::NodeError>>,
}

struct Cluster {
    dir: tempfile::TempDir,
    peers: Peers,
    disk: fn(u64) -> DiskMode,
    bug: Option<crate::config::Bug>,
    checkpoint: Checkpoint,
    nodes: BTreeMap<&'static str, Running>,
    router: Arc<Router>,
    follow: JoinHandle<()>,
}

/// A loopback address of this cluster's own: a port of 127.0.0.1 that is free now may be taken by
/// anybody's outgoing connection while its node is down.
fn own_addr(cluster: u16, node: u64) -> SocketAddr {
    let [x, y] = cluster.to_be_bytes();
    SocketAddr::from(([127, 100 + x % 100, y, node as u8], 7000))
}

fn router(peers: &Peers, own: std::net::SocketAddr) -> Arc<Router> {
    Arc::new(Router::new(&RouterConfig {
        name: "router-a".into(),
        az: "a".into(),
        public_bind: own,
        admin_bind: own,
        peers: peers.clone(),
        partitions: 3,
        deadline_ms: 3000,
        write_hop_ms: 2000,
        read_hop_ms: 500,
    }))
}

impl Cluster {
    async fn start(disk: fn(u64) -> DiskMode) -> Self {
        Self::start_with(disk, None).await
    }

    async fn start_with(disk: fn(u64) -> DiskMode, bug: Option<crate::config::Bug>) -> Self {
        let cluster = rand::random();
        let peers: Peers = NAMES
            .iter()
            .zip(1..)
            .map(|(name, id)| {
                let peer = PeerConfig {
                    az: name[8..9].to_owned(),
                    id,
                    addr: own_addr(cluster, id),
                    meta: true,
                };
                ((*name).to_owned(), peer)
            })
            .collect();
        let router = router(&peers, own_addr(cluster, 9));
        let follower = router.clone();
        let mut cluster = Cluster {
            dir: tempfile::tempdir().unwrap(),
            peers,
            disk,
            bug,
            checkpoint: Checkpoint {
                every_ms: 300,
                entries: 50,
                bytes: 1 << 20,
                keep_bytes: 1 << 10,
                segment_bytes: 64 << 10,
            },
            nodes: BTreeMap::new(),
            router,
            follow: tokio::spawn(async move { follower.follow_map().await }),
        };
        for name in NAMES {
            cluster.up(name).await;
        }
        cluster
    }

    fn data(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self, name: &str) -> StorageConfig {
        StorageConfig {
            name: name.into(),
            peer_bind: self.peers[name].addr,
            admin_bind: "127.0.0.1:0".parse().unwrap(),
            peers: self.peers.clone(),
            data: self.data(name),
            disk: (self.disk)(self.peers[name].id),
            conditions: true,
            timing: Timing::default(),
            checkpoint: self.checkpoint.clone(),
            remember: Some(Remember {
                attribute: "v".into(),
                writes: 10_000,
            }),
            bug: self.bug,
        }
    }

    async fn up(&mut self, name: &'static str) {
        let config = self.config(name);
        let peers = listen(config.peer_bind).await.unwrap();
        let admin = listen(config.admin_bind).await.unwrap();
        let storage = until("the folder is free", async || {
            match Storage::open(config.clone()).await {
                Ok(storage) => Some(storage),
                Err(e) if e.to_string().contains("in use") => None,
                Err(super::NodeError::NoRoom(_)) => None,
                Err(e) => panic!("{e}"),
            }
        })
        .await;
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let served = serve_storage(storage.clone(), peers, admin, Box::pin(shutdown));
        let task = tokio::spawn(served);
        let running = Running {
            storage,
            stop,
            task,
        };
        self.nodes.insert(name, running);
    }

    async fn down(&mut self, name: &str) {
        let node = self.nodes.remove(name).unwrap();
        drop(node.storage);
        let _ = node.stop.send(());
        node.task.await.unwrap().unwrap();
        // A last checkpoint may still be at work on its thread; what a test does to the
        // files before it is done would be written over.
        let lock = self.data(name).join(".lock");
        until("the folder is free", async || {
            let free = std::fs::File::open(&lock).unwrap().try_lock().is_ok();
            free.then_some(())
        })
        .await;
    }

    /// As a power-off does: nothing unsynced survives, nobody says goodbye.
    async fn power_off(&mut self, name: &str) {
        let node = self.nodes.remove(name).unwrap();
        node.storage.power.as_ref().unwrap().power_off();
        let _ = node.stop.send(());
        let _ = node.task.await;
    }

    async fn table(&self) -> TableInfo {
        until("the table is created", async || {
            match self.router.create_table(spec()).await {
                Ok(_) | Err(BackendError::InUse(_)) => Some(()),
                Err(_) => None,
            }
        })
        .await;
        until("the table is active", async || {
            let info = self.router.table("canary").await.ok()?;
            (info.status == TableStatus::Active).then_some(info)
        })
        .await
    }

    /// Writes until it is acknowledged.
    async fn put(&self, table: &TableInfo, k: u32, v: i64) {
        until("a write succeeds", async || {
            let op = WriteOp::new(Action::Put(value(v)));
            self.router.write(table, key(k), op).await.ok()
        })
        .await;
    }

    async fn get(&self, table: &TableInfo, k: u32, strong: bool) -> Option<Item> {
        until("a read succeeds", async || {
            self.router.read(table, key(k), strong).await.ok()
        })
        .await
    }

    async fn replicas_equal(&self) {
        until("replicas are equal", async || {
            let mut by_partition: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
            for node in self.nodes.values() {
                for d in node.storage.digest().await.ok()? {
                    let seen = by_partition.entry(d.partition).or_default();
                    seen.push((d.digest, d.items));
                }
            }
            let equal = by_partition
                .values()
                .all(|d| d.len() == 3 && d.iter().all(|x| *x == d[0]));
            (by_partition.len() == 3 && equal).then_some(())
        })
        .await;
    }

    async fn stop(mut self) {
        for name in NAMES {
            if self.nodes.contains_key(name) {
                self.down(name).await;
            }
        }
        self.follow.abort();
    }
}

/// Asks again until there is an answer.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < LONG, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn spec() -> TableSpec {
    TableSpec::of_strings("canary")
}

fn key(k: u32) -> StoreKey {
    StoreKey {
        hash: format!("key-{k}").into_bytes(),
        range: Vec::new(),
    }
}

fn value(v: i64) -> Item {
    Item([("v".to_owned(), AttributeValue::N(v.into()))].into())
}

fn flip_a_bit(path: &std::path::Path, at: u64) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at as usize] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_one_router_calls_active_is_active_for_all() {
    let cluster = Cluster::start(|_| DiskMode::Real).await;
    let other = router(&cluster.peers, cluster.peers[NAMES[0]].addr);
    let follower = other.clone();
    let follow = tokio::spawn(async move { follower.follow_map().await });
    // While the table is created, the other router learns of it at its own pace.
    let (table, seen) = tokio::join!(cluster.table(), async {
        until("the other router knows it", async || {
            other.table("canary").await.ok()
        })
        .await
    });
    assert_eq!(seen.spec, table.spec);
    let now = other.table("canary").await.unwrap();
    assert_eq!(now.status, TableStatus::Active);
    follow.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_tell_which_writes_took_effect() {
    let mut cluster = Cluster::start(|seed| DiskMode::Volatile { seed }).await;
    let table = cluster.table().await;
    for k in 0..20 {
        cluster.put(&table, k, 100 + i64::from(k)).await;
    }
    let mut refused = WriteOp::new(Action::Put(value(777)));
    let path = Path {
        root: "v".into(),
        steps: Vec::new(),
    };
    refused.condition = Some(Test::NotExists(path).into());
    let refused = cluster.router.write(&table, key(3), refused).await;
    assert!(
        matches!(refused, Ok(WriteReply::ConditionFailed { .. })),
        "{refused:?}"
    );
    let asked: BTreeSet<Written> = (0..20)
        .map(|k| Written::new(&key(k).hash, 100 + i64::from(k)))
        .chain([
            Written::new(&key(3).hash, 777),
            Written::new(&key(4).hash, 103),
        ])
        .collect();
    let found = |node: &Running| -> BTreeSet<i64> {
        let told = node.storage.applied(&asked);
        assert_eq!(told.len(), 3, "one answer per partition");
        assert!(told.iter().all(|t| t.since_ns == 0), "{told:?}");
        told.into_iter().flat_map(|t| t.found).collect()
    };
    let all: BTreeSet<i64> = (100..120).collect();
    for name in NAMES {
        until("it has applied everything", async || {
            (found(&cluster.nodes[name]) == all).then_some(())
        })
        .await;
    }
    // After a power-off it knows what it applied since its last checkpoint,
    // and does not claim to know more.
    cluster.power_off(NAMES[1]).await;
    cluster.up(NAMES[1]).await;
    let other = cluster.nodes[NAMES[0]].storage.applied(&asked);
    let again = until("it has caught up", async || {
        let told = cluster.nodes[NAMES[1]].storage.applied(&asked);
        let far = |t: &ReplicaApplied| {
            let o = other.iter().find(|o| o.partition == t.partition);
            o.is_some_and(|o| t.applied >= o.applied)
        };
        (told.len() == 3 && told.iter().all(far)).then_some(told)
    })
    .await;
    for t in again {
        let whole = other.iter().find(|o| o.partition == t.partition).unwrap();
        assert!(t.found.is_subset(&whole.found), "{t:?}");
        assert!(t.since_ns > 0 || t.found == whole.found, "{t:?}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_lives_through_stops_and_restarts() {
    let mut cluster = Cluster::start(|_| DiskMode::Real).await;
    assert!(matches!(
        until("metadata serves", async || {
            match cluster.router.table("nope").await {
                Err(BackendError::Unavailable(_)) => None,
                other => Some(other),
            }
        })
        .await,
        Err(BackendError::NoSuchTable(_))
    ));
    let table = cluster.table().await;
    assert_eq!(table.partitions, 3);
    assert_eq!(cluster.router.tables().await.unwrap(), ["canary"]);

    for k in 0..30 {
        cluster.put(&table, k, k.into()).await;
    }
    for k in 0..30 {
        assert_eq!(cluster.get(&table, k, true).await, Some(value(k.into())));
    }
    until("an eventual read catches up", async || {
        (cluster.get(&table, 7, false).await == Some(value(7))).then_some(())
    })
    .await;
    assert_eq!(cluster.get(&table, 1000, true).await, None);

    // A scan in small pages and in segments sees everything once.
    for of in [1, 4] {
        let mut seen = Vec::new();
        for segment in 0..of {
            let mut after = None;
            loop {
                let page = cluster
                    .router
                    .scan(&table, after, 4, (segment, of), true)
                    .await
                    .unwrap();
                assert!(page.items.len() <= 4);
                seen.extend(page.items);
                after = page.last;
                if after.is_none() {
                    break;
                }
            }
        }
        assert_eq!(seen.len(), 30);
        for k in 0..30 {
            assert!(seen.contains(&value(k)), "{k}");
        }
    }

    // Leadership is spread, and a stopped leader is replaced.
    let leads = |status: &super::admin::Status| {
        let role = |g: &&super::admin::GroupView| g.role == Some(Role::Leader);
        status.groups.iter().filter(role).count()
    };
    let victim = NAMES
        .into_iter()
        .max_by_key(|n| leads(&cluster.nodes[n].storage.status()))
        .unwrap();
    cluster.down(victim).await;
    for k in 0..30 {
        cluster.put(&table, k, i64::from(k) + 1000).await;
    }
    cluster.up(victim).await;
    cluster.replicas_equal().await;

    // Everything comes back from the disks alone.
    for name in NAMES {
        cluster.down(name).await;
    }
    for name in NAMES {
        cluster.up(name).await;
    }
    for k in 0..30 {
        let item = cluster.get(&table, k, true).await;
        assert_eq!(item, Some(value(i64::from(k) + 1000)), "{k}");
    }

    // The partitions have leaders again by now; the metadata may not have one yet.
    let deleting = until("the metadata has a leader", async || {
        match cluster.router.delete_table("canary").await {
            Err(BackendError::Unavailable(_)) => None,
            other => Some(other.unwrap()),
        }
    })
    .await;
    assert_eq!(deleting.status, TableStatus::Deleting);
    until("the table is gone", async || {
        matches!(
            cluster.router.table("canary").await,
            Err(BackendError::NoSuchTable(_))
        )
        .then_some(())
    })
    .await;
    for name in NAMES {
        until("its files are gone", async || {
            let trees = std::fs::read_dir(cluster.data(name).join("trees")).unwrap();
            (trees.count() == 1).then_some(())
        })
        .await;
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_power_off_loses_nothing_acknowledged() {
    let mut cluster = Cluster::start(|seed| DiskMode::Volatile { seed }).await;
    let table = cluster.table().await;
    for round in 0..2i64 {
        for k in 0..40 {
            cluster.put(&table, k, round * 1000 + i64::from(k)).await;
        }
        for name in NAMES {
            cluster.power_off(name).await;
        }
        for name in NAMES {
            cluster.up(name).await;
        }
        for k in 0..40 {
            let item = cluster.get(&table, k, true).await;
            assert_eq!(item, Some(value(round * 1000 + i64::from(k))), "{k}");
        }
    }
    cluster.replicas_equal().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_is_moved_aside_and_repaired() {
    let mut cluster = Cluster::start(|_| DiskMode::Real).await;
    let table = cluster.table().await;
    for k in 0..60 {
        cluster.put(&table, k, k.into()).await;
    }
    let victim = "storage-b1";
    cluster.down(victim).await;
    let wal = cluster.data(victim).join("wal");
    let mut segments: Vec<_> = std::fs::read_dir(&wal)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    segments.sort();
    // In the middle of what is written: the file is preallocated with zeros.
    let bytes = std::fs::read(&segments[0]).unwrap();
    let end = bytes.iter().rposition(|b| *b != 0).unwrap();
    flip_a_bit(&segments[0], (end / 2) as u64);
    cluster.up(victim).await;
    assert!(cluster.data(victim).join("quarantine-1").is_dir());
    for k in 0..60 {
        cluster.put(&table, k, i64::from(k) + 500).await;
    }
    cluster.replicas_equal().await;
    until("nothing is forgotten any more", async || {
        let status = cluster.nodes[victim].storage.status();
        let repaired = |g: &super::admin::GroupView| g.role != Some(Role::Repairing);
        (status.groups.len() == 4 && status.groups.iter().all(repaired)).then_some(())
    })
    .await;
    // It counts again: without another node, it makes the quorum.
    cluster.down("storage-a1").await;
    for k in 0..60 {
        let item = cluster.get(&table, k, true).await;
        assert_eq!(item, Some(value(i64::from(k) + 500)), "{k}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_tree_is_moved_aside_and_repaired() {
    let mut cluster = Cluster::start(|_| DiskMode::Real).await;
    let table = cluster.table().await;
    for k in 0..60 {
        cluster.put(&table, k, k.into()).await;
    }
    let victim = "storage-c1";
    cluster.down(victim).await;
    let tree = cluster.data(victim).join("trees/1.tree");
    let len = std::fs::metadata(&tree).unwrap().len();
    let mut bytes = std::fs::read(&tree).unwrap();
    // All of it but the header: whatever page is in use is hit.
    for b in &mut bytes[4096..len as usize] {
        *b ^= 0x55;
    }
    std::fs::write(&tree, bytes).unwrap();
    cluster.up(victim).await;
    assert!(
        cluster
            .data(victim)
            .join("quarantine-1/trees-1.tree")
            .is_file()
    );
    cluster.replicas_equal().await;
    cluster.stop().await;
}

/// Gives a node's disk a condition; an empty one ends it.
fn give(cluster: &Cluster, name: &str, condition: &str) {
    let file = cluster.data(name).join(gameday_record::conditions::DISK);
    if condition.is_empty() {
        std::fs::remove_file(file).unwrap();
    } else {
        std::fs::write(file, condition).unwrap();
    }
}

/// A sync that fails is never taken for one that was done: the node ends, and says why. Started
/// again on a disk that works, it has everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_sync_fails_ends_and_comes_back() {
    let mut cluster = Cluster::start(|seed| DiskMode::Volatile { seed }).await;
    let table = cluster.table().await;
    let victim = "storage-b1";
    // It has the map with the table on its disk: what is synced from now on is data.
    let disk = cluster.nodes[victim].storage.disk.clone();
    until("the map is stored", async || {
        let map = recover::read_map(disk.as_ref()).ok()??;
        let made = map.tables.values().next()?;
        (made.info.status == TableStatus::Active).then_some(())
    })
    .await;
    drop(disk);
    give(&cluster, victim, r#"{"fails":"sync"}"#);
    for k in 0..30 {
        cluster.put(&table, k, k.into()).await;
    }
    let ended = cluster.nodes.remove(victim).unwrap();
    drop(ended.storage);
    let why = ended.task.await.unwrap().unwrap_err().to_string();
    // The log's, or that of a tree whose checkpoint was due just then.
    let mut whose = ["write-ahead log", "tree trees/"].iter();
    assert!(whose.any(|w| why.contains(w)), "{why}");
    assert!(why.contains("Input/output error"), "{why}");
    drop(ended.stop);
    for k in 0..30 {
        let item = cluster.get(&table, k, true).await;
        assert_eq!(item, Some(value(k.into())), "{k}");
    }
    give(&cluster, victim, "");
    cluster.up(victim).await;
    cluster.replicas_equal().await;
    cluster.stop().await;
}

/// A node without room for any write acknowledges nothing, and its trees may end it; the others
/// go on. When there is room it has everything again, started anew if it had to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_room_acknowledges_nothing_and_comes_back() {
    let mut cluster = Cluster::start(|seed| DiskMode::Volatile { seed }).await;
    let table = cluster.table().await;
    cluster.put(&table, 1, 1).await;
    let victim = "storage-b1";
    let disk = cluster.nodes[victim].storage.disk.clone();
    give(&cluster, victim, r#"{"full":"writes"}"#);
    until("the disk is full", async || {
        (!disk::has_room(disk.as_ref())).then_some(())
    })
    .await;
    drop(disk);
    for k in 0..30 {
        cluster.put(&table, k, 100 + i64::from(k)).await;
    }
    // With one more gone there is no quorum that has it on disk.
    cluster.down("storage-c1").await;
    let op = WriteOp::new(Action::Put(value(999)));
    let unanswered = cluster.router.write(&table, key(7), op).await;
    assert!(unanswered.is_err(), "{unanswered:?}");
    give(&cluster, victim, "");
    let running = cluster.nodes.remove(victim).unwrap();
    drop(running.storage);
    // One that ended by itself does not hear it.
    let _ = running.stop.send(());
    if let Err(why) = running.task.await.unwrap() {
        assert!(why.to_string().contains("space"), "{why}");
    }
    cluster.up(victim).await;
    for k in 0..30 {
        cluster.put(&table, k, 200 + i64::from(k)).await;
    }
    cluster.up("storage-c1").await;
    cluster.replicas_equal().await;
    cluster.stop().await;
}

/// Counters that many clients raise by compare-and-set: every success counts once, and a failed
/// condition returns the item as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_conditional_writes_are_each_done_once() {
    let cluster = Cluster::start(|_| DiskMode::Real).await;
    let table = cluster.table().await;
    cluster.put(&table, 1, 0).await;
    let clients = (0..8).map(|_| {
        let (router, table) = (cluster.router.clone(), table.clone());
        tokio::spawn(async move {
            let (mut raised, mut seen) = (0, 0);
            while raised < 10 {
                let mut op = WriteOp::new(Action::Put(value(seen + 1)));
                let path = Operand::Path(Path {
                    root: "v".into(),
                    steps: Vec::new(),
                });
                let test = Test::Compare(Comparison::Equal, path, Operand::Value(0));
                op.condition = Some(test.into());
                op.values = vec![AttributeValue::N(seen.into())];
                op.wants.on_failure = true;
                match router.write(&table, key(1), op).await.unwrap() {
                    WriteReply::Done { .. } => {
                        raised += 1;
                        seen += 1;
                    }
                    WriteReply::ConditionFailed { old: Some(item) } => {
                        seen = (0..=80).find(|v| item == value(*v)).unwrap();
                    }
                    other => panic!("{other:?}"),
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    assert_eq!(cluster.get(&table, 1, true).await, Some(value(80)));
    cluster.stop().await;
}

/// A router that believes in the wrong leader is corrected by one extra hop, and its write is
/// done once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_route_costs_one_hop() {
    let cluster = Cluster::start(|_| DiskMode::Real).await;
    let table = cluster.table().await;
    cluster.put(&table, 5, 5).await;
    cluster.router.mislead_all();
    for k in 0..10 {
        let op = WriteOp::new(Action::Put(value(k)));
        let written = cluster.router.write(&table, key(5), op).await;
        assert!(written.is_ok(), "{written:?}");
        cluster.router.mislead_all();
    }
    assert_eq!(cluster.get(&table, 5, true).await, Some(value(9)));
    cluster.stop().await;
}

/// Leaves a leader of key 5's group alone, for longer than its lease.
async fn isolate_a_leader(cluster: &mut Cluster, table: &TableInfo) {
    cluster.put(table, 5, 5).await;
    let group = format!(
        "canary/{}",
        crate::meta::partition_of(crate::meta::key::hash64(&key(5).hash), 3)
    );
    let leader = until("somebody leads", async || {
        NAMES.into_iter().find(|name| {
            let status = cluster.nodes[name].storage.status();
            let leads =
                |g: &super::admin::GroupView| g.group == group && g.role == Some(Role::Leader);
            status.groups.iter().any(leads)
        })
    })
    .await;
    for name in NAMES.into_iter().filter(|n| *n != leader) {
        cluster.down(name).await;
    }
    tokio::time::sleep(Duration::from_millis(2 * Timing::default().lease_ms)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_only_eventual_reads_are_answered() {
    let mut cluster = Cluster::start(|_| DiskMode::Real).await;
    let table = cluster.table().await;
    isolate_a_leader(&mut cluster, &table).await;
    assert_eq!(cluster.get(&table, 5, false).await, Some(value(5)));
    let strong = cluster.router.read(&table, key(5), true).await;
    assert!(
        matches!(strong, Err(BackendError::Unavailable(_))),
        "{strong:?}"
    );
    let op = WriteOp::new(Action::Put(value(6)));
    let written = cluster.router.write(&table, key(5), op).await;
    assert!(written.is_err(), "{written:?}");
    // With a quorum everything is as before, or as the write left it if it got through after all.
    for name in NAMES {
        if !cluster.nodes.contains_key(name) {
            cluster.up(name).await;
        }
    }
    let now = cluster.get(&table, 5, true).await;
    match written {
        Err(BackendError::Unavailable(_)) => assert_eq!(now, Some(value(5))),
        _ => assert!([Some(value(5)), Some(value(6))].contains(&now), "{now:?}"),
    }
    cluster.stop().await;
}

#[cfg(feature = "seeded-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seeded_bugs_are_really_there() {
    use crate::config::Bug;
    for bug in [Bug::AckBeforeQuorum, Bug::StaleLeaderRead] {
        let mut cluster = Cluster::start_with(|_| DiskMode::Real, Some(bug)).await;
        let table = cluster.table().await;
        isolate_a_leader(&mut cluster, &table).await;
        if bug == Bug::AckBeforeQuorum {
            let op = WriteOp::new(Action::Put(value(6)));
            let written = cluster.router.write(&table, key(5), op).await;
            assert!(
                matches!(written, Ok(WriteReply::Done { .. })),
                "{written:?}"
            );
        } else {
            let read = cluster.router.read(&table, key(5), true).await;
            assert_eq!(read, Ok(Some(value(5))));
        }
        cluster.stop().await;
    }
}

/// A router asks the metadata about a table that it does not know, and needs no news for that:
/// this one does not even follow the map.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_not_known_is_asked_for() {
    let cluster = Cluster::start(|_| DiskMode::Real).await;
    let table = cluster.table().await;
    let other = router(&cluster.peers, cluster.peers[NAMES[0]].addr);
    let name = table.spec.name.as_str();
    assert_eq!(other.table(name).await, Ok(table.clone()));
    let nobody = other.table("nobody").await;
    assert_eq!(nobody, Err(BackendError::NoSuchTable("nobody".into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_are_counted_over_all_partitions() {
    let cluster = Cluster::start(|_| DiskMode::Real).await;
    let table = cluster.table().await;
    for k in 0..20 {
        cluster.put(&table, k, 1).await;
    }
    let bytes = 20 * value(1).size() as u64;
    let counted = async {
        while cluster.router.census(&table).await != Some(Census { items: 20, bytes }) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let counted = tokio::time::timeout(LONG, counted).await;
    assert!(counted.is_ok(), "{:?}", cluster.router.census(&table).await);
}
