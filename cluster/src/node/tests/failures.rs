//! What fails is noticed, and ends what it must and nothing else.

use super::*;
use crate::consensus::sabotage;
use crate::node::NodeError;

fn at(hash: &[u8]) -> StoreKey {
    StoreKey {
        hash: hash.to_vec(),
        range: Vec::new(),
    }
}

/// Waits until one of the nodes has ended by itself; its name and why.
async fn one_ends(cluster: &mut Cluster) -> (&'static str, NodeError) {
    let name = until("a node ends", async || {
        let mut nodes = cluster.nodes.iter();
        nodes.find(|(_, n)| n.task.is_finished()).map(|(n, _)| *n)
    })
    .await;
    let ended = cluster.nodes.remove(name).unwrap();
    drop(ended.storage);
    (name, ended.task.await.unwrap().unwrap_err())
}

/// A leader that dies of nothing but a bug is replaced: its node says so and ends, and others lead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_core_panics_is_replaced() {
    let mut cluster = Cluster::start(|_| DiskMode::Real).await;
    let table = cluster.table().await;
    for k in 0..10 {
        cluster.put(&table, k, 1).await;
    }
    let (victim, group) = until("somebody leads", async || {
        let mut nodes = cluster.nodes.iter();
        nodes.find_map(|(name, node)| {
            let group = node.storage.group(1)?;
            group.status().ready.then_some((*name, group))
        })
    })
    .await;
    group.panic_in_core().await;
    drop(group);
    let (name, why) = one_ends(&mut cluster).await;
    assert_eq!(name, victim);
    assert!(why.to_string().contains("group 1"), "{why}");
    assert!(why.to_string().contains("panicked"), "{why}");
    for k in 0..10 {
        cluster.put(&table, k, 2).await;
    }
    cluster.up(victim).await;
    cluster.replicas_equal().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_panics_in_applying_is_replaced() {
    let mut cluster = Cluster::start(|_| DiskMode::Real).await;
    let table = cluster.table().await;
    let op = WriteOp::new(Action::Put(value(7)));
    let _ = cluster
        .router
        .write(&table, at(sabotage::IN_APPLYING), op)
        .await;
    let (victim, why) = one_ends(&mut cluster).await;
    assert!(why.to_string().contains("panicked"), "{why}");
    for k in 0..10 {
        cluster.put(&table, k, 2).await;
    }
    cluster.up(victim).await;
    cluster.replicas_equal().await;
    cluster.stop().await;
}

/// A write that cannot even be evaluated changes nothing, on any replica, and ends nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_panics_when_it_is_evaluated_changes_nothing() {
    let cluster = Cluster::start(|_| DiskMode::Real).await;
    let table = cluster.table().await;
    cluster.put(&table, 1, 1).await;
    let poison = at(sabotage::IN_EVALUATION);
    let op = WriteOp::new(Action::Put(value(7)));
    let written = cluster.router.write(&table, poison.clone(), op).await;
    assert!(
        matches!(written, Err(BackendError::Unavailable(_))),
        "{written:?}"
    );
    for k in 0..30 {
        cluster.put(&table, k, 2).await;
    }
    let read = cluster.router.read(&table, poison, true).await;
    assert_eq!(read, Ok(None));
    assert!(cluster.nodes.values().all(|n| !n.task.is_finished()));
    cluster.replicas_equal().await;
    cluster.stop().await;
}

/// A node without room that hears of a new table goes on with those that it has, and has the new
/// one when there is room. It starts without room as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_and_a_new_table_end_no_node() {
    let mut cluster = Cluster::start(|seed| DiskMode::Volatile { seed }).await;
    let table = cluster.table().await;
    cluster.put(&table, 1, 1).await;
    let victim = "storage-b1";
    let known = cluster.nodes[victim].storage.status().map_version;
    for (full, name) in [("writes", "second"), ("growth", "third")] {
        give(&cluster, victim, &format!(r#"{{"full":"{full}"}}"#));
        let disk = cluster.nodes[victim].storage.disk.clone();
        until("the disk is full", async || {
            (!disk::has_room(disk.as_ref())).then_some(())
        })
        .await;
        drop(disk);
        cluster.another_table(name).await;
        until("the full node has heard of the table", async || {
            (cluster.nodes[victim].storage.status().map_version > known).then_some(())
        })
        .await;
        for k in 0..5 {
            cluster.put(&table, k, 2).await;
        }
        assert!(!cluster.nodes[victim].task.is_finished(), "{full}");
        if full == "growth" {
            cluster.down(victim).await;
            cluster.up(victim).await;
            assert!(!cluster.nodes[victim].task.is_finished());
        }
        give(&cluster, victim, "");
        until("it has the new table", async || {
            let status = cluster.nodes[victim].storage.status();
            let new = |g: &&crate::node::admin::GroupView| g.group.starts_with(name);
            (status.groups.iter().filter(new).count() == 3).then_some(())
        })
        .await;
    }
    cluster.stop().await;
}

/// A node that finds no room for anything waits for it instead of ending.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_on_a_full_disk_waits_for_room() {
    let mut cluster = Cluster::start(|seed| DiskMode::Volatile { seed }).await;
    let table = cluster.table().await;
    cluster.put(&table, 1, 1).await;
    let victim = "storage-b1";
    cluster.power_off(victim).await;
    give(&cluster, victim, r#"{"full":"writes"}"#);
    let config = cluster.config(victim);
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let node = tokio::spawn(super::super::run_storage(config, Box::pin(shutdown)));
    // While it has not started there is no other sign of it than that it holds its port.
    until("it is there", async || {
        let bound = std::net::TcpListener::bind(cluster.peers[victim].addr);
        bound.is_err().then_some(())
    })
    .await;
    for k in 0..5 {
        cluster.put(&table, k, 2).await;
    }
    assert!(!node.is_finished());
    give(&cluster, victim, "");
    // With it, and not without it, there is a quorum.
    cluster.down("storage-c1").await;
    for k in 0..5 {
        cluster.put(&table, k, 3).await;
    }
    let _ = stop.send(());
    node.await.unwrap().unwrap();
    cluster.stop().await;
}
