//! Tables are made and removed while nodes are down.

use super::*;

impl Cluster {
    /// Creates a table of this name and waits until it is active.
    pub(super) async fn another_table(&self, name: &str) -> TableInfo {
        let mut spec = spec();
        spec.name = name.into();
        until("the table is created", async || {
            match self.router.create_table(spec.clone()).await {
                Ok(_) | Err(BackendError::InUse(_)) => Some(()),
                Err(_) => None,
            }
        })
        .await;
        until("the table is active", async || {
            let info = self.router.table(name).await.ok()?;
            (info.status == TableStatus::Active).then_some(info)
        })
        .await
    }
}

/// With three partitions every node is the first member of one: one that is down used to keep
/// every new table from being made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_made_and_removed_while_one_node_is_down() {
    let mut cluster = Cluster::start(|_| DiskMode::Real).await;
    cluster.table().await;
    for (down, name) in NAMES
        .into_iter()
        .zip(["without-a", "without-b", "without-c"])
    {
        cluster.down(down).await;
        let table = cluster.another_table(name).await;
        for k in 0..20 {
            cluster.put(&table, k, 7).await;
        }
        cluster.up(down).await;
        // The one that was not there is told everything, and counts.
        until("it has what was written", async || {
            let digests = cluster.nodes[down].storage.digest().await.ok()?;
            let of_table = digests.iter().filter(|d| d.partition.starts_with(name));
            (of_table.map(|d| d.items).sum::<u64>() == 20).then_some(())
        })
        .await;
        until("nothing is forgotten any more", async || {
            cluster.nodes[down].storage.health().ok()
        })
        .await;
    }
    cluster.down(NAMES[1]).await;
    until("the metadata has a leader", async || {
        match cluster.router.delete_table("without-a").await {
            Err(BackendError::Unavailable(_)) => None,
            other => Some(other.unwrap()),
        }
    })
    .await;
    until("the table is gone", async || {
        let gone = cluster.router.table("without-a").await;
        matches!(gone, Err(BackendError::NoSuchTable(_))).then_some(())
    })
    .await;
    cluster.stop().await;
}
