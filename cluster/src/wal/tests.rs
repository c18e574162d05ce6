use super::*;
use crate::disk::volatile;

fn entry(group: u64, index: u64, body: &[u8]) -> Record {
    Record::Entry {
        group,
        index,
        body: Bytes::copy_from_slice(body),
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_power_off() {
    let dir = tempfile::tempdir().unwrap();
    let disk = volatile(dir.path(), 7).unwrap();
    let options = WalOptions {
        segment_bytes: 8192,
        ..WalOptions::default()
    };
    let (wal, found) = Wal::open(disk.clone(), options.clone()).unwrap();
    assert_eq!(found, Recovered::default());
    for i in 1..=100 {
        wal.append_durable(vec![entry(1, i, &[i as u8; 200])])
            .await
            .unwrap();
    }
    assert!(wal.stats().segments > 1);
    disk.power_off();
    drop(wal);
    let disk = volatile(dir.path(), 8).unwrap();
    let (wal, found) = Wal::open(disk, options).unwrap();
    assert_eq!(found.groups[&1].entries.len(), 100);
    assert_eq!(found.groups[&1].entries[&77], vec![77; 200]);
    wal.append_durable(vec![Record::Purge {
        group: 1,
        up_to_index: 100,
    }])
    .await
    .unwrap();
    wal.append_durable(vec![]).await.unwrap();
    assert_eq!(wal.stats().segments, 1);
}
