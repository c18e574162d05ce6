//! What a node accepts and keeps is bounded.

use super::*;
use crate::consensus::types::{Command, MAX_COMMAND, Op, Outcome};
use crate::node::admin::LogView;
use crate::rpc::frame::MAX_FRAME;

fn long_value(bytes: usize) -> Item {
    Item([("b".to_owned(), AttributeValue::B(vec![7; bytes]))].into())
}

async fn put_long(cluster: &Cluster, table: &TableInfo, k: u32, bytes: usize) {
    until("a long write succeeds", async || {
        let op = WriteOp::new(Action::Put(long_value(bytes)));
        cluster.router.write(table, key(k), op).await.ok()
    })
    .await;
}

fn log(cluster: &Cluster, name: &str) -> LogView {
    cluster.nodes[name].storage.status().log.unwrap()
}

/// However much is written, large items or small ones, with all nodes or without one: log files
/// and the log in memory stay small, and checkpoints come to an end with the writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_does_not_grow_with_what_is_written() {
    let mut cluster = Cluster::start(|_| DiskMode::Real).await;
    let table = cluster.table().await;
    let down = "storage-c1";
    for (round, names) in [&NAMES[..], &NAMES[..2]].into_iter().enumerate() {
        if round == 1 {
            cluster.down(down).await;
        }
        for k in 0..80 {
            put_long(&cluster, &table, k % 7, 30_000).await;
            cluster.put(&table, k, i64::from(k)).await;
        }
        for name in names {
            // Two tables' worth of groups keep an entry of 30 KB each, in segments of 64 KiB.
            until("its log is small", async || {
                let log = log(&cluster, name);
                (log.segments <= 9 && log.memory_bytes < 200_000).then_some(())
            })
            .await;
            let log = log(&cluster, name);
            assert!(log.written_bytes > 2_000_000, "{log:?}");
        }
    }
    cluster.up(down).await;
    cluster.replicas_equal().await;
    cluster.stop().await;
}

/// A command that no message to a follower could carry is refused before it is in the log, where
/// it would end its partition, and the client is told that it is of no use to repeat it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_accepted_that_cannot_be_replicated() {
    let cluster = Cluster::start(|_| DiskMode::Real).await;
    let table = cluster.table().await;
    cluster.put(&table, 5, 5).await;
    let command = |bytes: usize| {
        let op = WriteOp::new(Action::Put(long_value(bytes)));
        Command::new(&Op::Write { key: key(5), op }).unwrap()
    };
    let group = crate::meta::partition_of(crate::meta::key::hash64(&key(5).hash), 3) as u64 + 1;
    let leader = until("somebody leads", async || {
        let mut groups = cluster.nodes.values().map(|n| n.storage.group(group));
        groups.find_map(|g| g.filter(|g| g.status().ready))
    })
    .await;
    for bytes in [MAX_COMMAND, MAX_FRAME - 200, MAX_FRAME + 200] {
        let (long, small) = tokio::join!(
            leader.propose(command(bytes)),
            leader.propose(command(1000))
        );
        assert!(
            matches!(&long, Ok(Outcome::Write(WriteReply::Invalid { message })) if message.contains("at most")),
            "{long:?}"
        );
        assert!(small.is_ok(), "{small:?}");
    }
    let longest = leader.propose(command(MAX_COMMAND - 100)).await;
    assert!(
        matches!(longest, Ok(Outcome::Write(WriteReply::Done { .. }))),
        "{longest:?}"
    );
    cluster.put(&table, 5, 6).await;
    assert_eq!(cluster.get(&table, 5, true).await, Some(value(6)));
    drop(leader);
    cluster.stop().await;
}

/// A command of another build is refused by whoever leads, and is in nobody's log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_not_understood_is_not_proposed() {
    let cluster = Cluster::start(|_| DiskMode::Real).await;
    let table = cluster.table().await;
    cluster.put(&table, 5, 5).await;
    let known = Command::new(&Op::Write {
        key: key(5),
        op: WriteOp::new(Action::Put(value(6))),
    })
    .unwrap();
    let mut longer = known.0.to_vec();
    longer.push(1);
    let of_meta = Op::Meta(crate::meta::MetaCommand::Delete {
        name: "canary".into(),
    });
    let strange = [
        Command(longer.into()),
        Command(b"\x77".to_vec().into()),
        Command::new(&of_meta).unwrap(),
    ];
    for command in strange {
        for node in cluster.nodes.values() {
            for group in 1..=3 {
                let group = node.storage.group(group).unwrap();
                let refused = group.propose(command.clone()).await;
                assert!(
                    matches!(
                        &refused,
                        Err(crate::rpc::protocol::WriteFailure::Refused(_))
                    ),
                    "{refused:?}"
                );
            }
        }
    }
    assert_eq!(cluster.get(&table, 5, true).await, Some(value(5)));
    cluster.stop().await;
}
