//! Replicas that lost what they promised, and files that another build wrote.

use super::*;

/// Names of all files below a node's folder.
fn names(root: &std::path::Path) -> BTreeSet<std::path::PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path);
            }
        }
    }
    found
}

fn leads_metadata(cluster: &Cluster) -> Option<&'static str> {
    let leads = |node: &Running| {
        let meta = node.storage.group(crate::meta::META_GROUP);
        meta.is_some_and(|g| g.status().role == Role::Leader)
    };
    let mut nodes = cluster.nodes.iter();
    nodes.find(|(_, node)| leads(node)).map(|(name, _)| *name)
}

/// A table is acknowledged by two replicas of the metadata, one of which loses its disk. With the
/// one that knows nothing of it, it must not elect anybody: the table would be gone for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_metadata_replica_whose_disk_was_replaced_does_not_vote() {
    let mut cluster = Cluster::start(|_| DiskMode::Real).await;
    cluster.table().await;
    let [a, b, c] = NAMES;
    until("all have the table", async || {
        let mut nodes = cluster.nodes.values();
        nodes
            .all(|n| n.storage.status().groups.len() == 4)
            .then_some(())
    })
    .await;
    cluster.down(b).await;
    cluster.another_table("acknowledged").await;
    cluster.down(c).await;
    std::fs::remove_dir_all(cluster.data(c)).unwrap();
    cluster.down(a).await;
    cluster.up(b).await;
    cluster.up(c).await;
    // Far longer than an election takes.
    for _ in 0..100 {
        assert_eq!(leads_metadata(&cluster), None);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let status = cluster.nodes[c].storage.status();
    assert_eq!(status.groups[0].role, Some(Role::Repairing));
    // The one that has it comes back, and with it the table; the other is told and counts again.
    cluster.up(a).await;
    until("everything is there again", async || {
        let tables = cluster.router.tables().await.ok()?;
        let groups = cluster.nodes[c].storage.status().groups;
        // Of the new table's replicas, one never was, and one is lost: nobody can tell which is
        // which, so they stay unavailable. Everything else is whole.
        let whole = groups
            .iter()
            .filter(|g| !g.group.starts_with("acknowledged"))
            .all(|g| g.role != Some(Role::Repairing));
        (groups.len() == 7 && whole && tables == ["acknowledged", "canary"]).then_some(())
    })
    .await;
    cluster.down(a).await;
    cluster.another_table("later").await;
    cluster.stop().await;
}

/// A replica's tree is gone, and its log does not go back to the beginning: it forgot, and is
/// repaired; the node starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_tree_is_repaired_from_peers() {
    let mut cluster = Cluster::start(|_| DiskMode::Real).await;
    let table = cluster.table().await;
    let victim = "storage-b1";
    let mut k = 0;
    until("all groups have cut their logs", async || {
        for _ in 0..20 {
            cluster.put(&table, k % 60, 7).await;
            k += 1;
        }
        let mut groups = (1..=3).map(|g| cluster.nodes[victim].storage.group(g).unwrap());
        groups.all(|g| g.purged().is_some()).then_some(())
    })
    .await;
    cluster.down(victim).await;
    std::fs::remove_file(cluster.data(victim).join("trees/1.tree")).unwrap();
    cluster.up(victim).await;
    cluster.replicas_equal().await;
    until("nothing is forgotten any more", async || {
        cluster.nodes[victim].storage.health().ok()
    })
    .await;
    cluster.down("storage-a1").await;
    for k in 0..10 {
        cluster.put(&table, k, 8).await;
    }
    cluster.stop().await;
}

/// A value that is damaged although its page is not is only found when it is read. The node ends
/// once, and what it starts with next is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_fails_its_checksum_is_repaired_from_peers() {
    let mut cluster = Cluster::start(|_| DiskMode::Real).await;
    let table = cluster.table().await;
    for k in 0..30 {
        cluster.put(&table, k, k.into()).await;
    }
    cluster.replicas_equal().await;
    let victim = "storage-c1";
    let at = crate::meta::key::storage_key(&key(5));
    let group = crate::meta::partition_of(crate::meta::key::hash64(&key(5).hash), 3) as u64 + 1;
    let replica = cluster.nodes[victim].storage.group(group).unwrap();
    replica.tree().plant(&at, b"four and more");
    let read = replica.get(&key(5), false).await;
    assert!(read.is_err(), "{read:?}");
    drop(replica);
    let ended = cluster.nodes.remove(victim).unwrap();
    drop(ended.storage);
    let why = ended.task.await.unwrap().unwrap_err().to_string();
    assert!(why.contains("damaged"), "{why}");
    cluster.up(victim).await;
    cluster.replicas_equal().await;
    let replica = cluster.nodes[victim].storage.group(group).unwrap();
    until("it serves again", async || {
        let item = replica.get(&key(5), false).await.ok()??;
        (crate::consensus::group::item(&item).unwrap() == value(5)).then_some(())
    })
    .await;
    drop(replica);
    // And is not found damaged at the next start.
    cluster.down(victim).await;
    cluster.up(victim).await;
    assert!(cluster.nodes[victim].storage.health().is_ok());
    assert!(!cluster.data(victim).join("quarantine-2").exists());
    cluster.stop().await;
}

/// Files of a build that knows more are not damage: the node does not start, says which file and
/// why, and touches nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_build_wrote_is_left_as_it_is() {
    let mut cluster = Cluster::start(|_| DiskMode::Real).await;
    let table = cluster.table().await;
    cluster.put(&table, 1, 1).await;
    let victim = "storage-b1";
    cluster.down(victim).await;
    let root = cluster.data(victim);
    let segment = std::fs::read_dir(root.join("wal")).unwrap();
    let mut segments: Vec<_> = segment.map(|e| e.unwrap().path()).collect();
    segments.sort();
    let segment = segments
        .into_iter()
        .find(|s| s.extension().unwrap() == "wal");
    let newer_segment = |bytes: &mut Vec<u8>| {
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    };
    let newer_map = |bytes: &mut Vec<u8>| {
        bytes.push(1);
        let crc = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
    };
    // The version of redb's own format, in both of its headers.
    let newer_tree = |bytes: &mut Vec<u8>| {
        bytes[64] = 99;
        bytes[192] = 99;
    };
    type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
    let cases: [(_, Change<'_>, &str); 3] = [
        (segment.unwrap(), &newer_segment, "format version 2"),
        (root.join("state/map"), &newer_map, "state/map"),
        (root.join("trees/1.tree"), &newer_tree, "trees/1.tree"),
    ];
    for (file, change, said) in cases {
        let good = std::fs::read(&file).unwrap();
        let mut newer = good.clone();
        change(&mut newer);
        std::fs::write(&file, &newer).unwrap();
        let before = names(&root);
        let refused = until("the folder is free", async || {
            let refused = Storage::open(cluster.config(victim)).await.err().unwrap();
            let refused = refused.to_string();
            (!refused.contains("in use")).then_some(refused)
        })
        .await;
        assert!(refused.contains(said), "{refused}");
        assert!(
            refused.contains("as it was") || refused.contains("as they were"),
            "{refused}"
        );
        assert!(std::fs::read(&file).unwrap() == newer, "{said} was touched");
        assert_eq!(names(&root), before, "nothing is moved or removed");
        std::fs::write(&file, good).unwrap();
    }
    cluster.up(victim).await;
    cluster.replicas_equal().await;
    cluster.stop().await;
}
