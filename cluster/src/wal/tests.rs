//! The log against a model, with power-offs at every operation.

use super::*;
use crate::disk::testing::CutDisk;
use crate::disk::{Disk, DiskFile, given, real, volatile};
use gameday_record::conditions;
use proptest::prelude::*;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

pub(super) fn entry(group: u64, index: u64, body: &[u8]) -> Record {
    Record::Entry {
        group,
        index,
        body: Bytes::copy_from_slice(body),
    }
}

pub(super) fn small() -> WalOptions {
    WalOptions {
        segment_bytes: 4096,
        batch_bytes: 1000,
        queue_bytes: 4000,
        ..WalOptions::default()
    }
}

/// What replaying these records must give, said in another way than the log does.
pub(super) fn model(records: &[Record]) -> BTreeMap<u64, RecoveredGroup> {
    let mut groups: BTreeMap<u64, RecoveredGroup> = BTreeMap::new();
    for r in records {
        match r {
            Record::Entry { group, index, body } => {
                let g = groups.entry(*group).or_default();
                g.entries.insert(*index, body.clone());
            }
            Record::Truncate { group, from_index } => {
                if let Some(g) = groups.get_mut(group) {
                    g.entries.retain(|i, _| i < from_index);
                }
            }
            Record::State { group, kind, body } => {
                let g = groups.entry(*group).or_default();
                g.states.insert(*kind, body.clone());
            }
            Record::Purge { group, up_to_index } => {
                let g = groups.entry(*group).or_default();
                g.entries.retain(|i, _| i > up_to_index);
                g.purged = g.purged.max(Some(*up_to_index));
            }
            Record::DropGroup { group } => {
                groups.remove(group);
            }
        }
    }
    // A group whose entries were all truncated and of which nothing else is
    // known need not be there after its segments went; see `same`.
    groups
}

/// Equal but for groups of which nothing is known.
pub(super) fn same(a: &BTreeMap<u64, RecoveredGroup>, b: &BTreeMap<u64, RecoveredGroup>) -> bool {
    let known = |g: &&RecoveredGroup| **g != RecoveredGroup::default();
    a.iter()
        .filter(|(_, g)| known(g))
        .eq(b.iter().filter(|(_, g)| known(g)))
}

/// Appends and waits.
fn append(wal: &Wal, records: Vec<Record>) -> io::Result<()> {
    let (tx, rx) = mpsc::channel();
    wal.append(records, Box::new(move |r| tx.send(r).unwrap()));
    rx.recv().unwrap()
}

fn segments(root: &Path) -> usize {
    let is_segment = |e: &std::fs::DirEntry| e.file_name().to_str().unwrap().ends_with(".wal");
    std::fs::read_dir(root.join("wal"))
        .unwrap()
        .filter(|e| is_segment(e.as_ref().unwrap()))
        .count()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_power_off() {
    let dir = tempfile::tempdir().unwrap();
    let disk = volatile(dir.path(), 7).unwrap();
    let (wal, found) = Wal::open(disk.clone(), small()).unwrap();
    assert_eq!(found, Recovered::default());
    for i in 1..=100 {
        let body = [i as u8; 200];
        wal.append_durable(vec![entry(1, i, &body)]).await.unwrap();
    }
    disk.power_off();
    drop(wal);
    let disk = volatile(dir.path(), 8).unwrap();
    let (_wal, found) = Wal::open(disk, small()).unwrap();
    assert_eq!(found.groups[&1].entries.len(), 100);
    assert_eq!(found.groups[&1].entries[&77], vec![77; 200]);
}

#[test]
fn segments_go_when_nothing_in_them_is_live_and_states_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = Wal::open(real(dir.path()).unwrap(), small()).unwrap();
    let state = |kind, body: &'static [u8]| Record::State {
        group: 1,
        kind,
        body: Bytes::from_static(body),
    };
    append(
        &wal,
        vec![state(3, b"old"), state(3, b"new"), state(4, b"x")],
    )
    .unwrap();
    append(&wal, vec![entry(2, 1, b"of a group that is dropped")]).unwrap();
    for i in 1..=200 {
        append(&wal, vec![entry(1, i, &[i as u8; 100])]).unwrap();
    }
    let full = segments(dir.path());
    assert!(full > 5, "{full}");
    let purge = |up_to_index| Record::Purge {
        group: 1,
        up_to_index,
    };
    append(&wal, vec![purge(199)]).unwrap();
    append(&wal, vec![]).unwrap();
    // What group 2 has in the first one was written once more.
    assert!(segments(dir.path()) <= 2);
    append(&wal, vec![Record::DropGroup { group: 2 }]).unwrap();
    append(&wal, vec![]).unwrap();
    assert_eq!(wal.stats().segments, segments(dir.path()) as u64);
    drop(wal);

    let (wal, found) = Wal::open(real(dir.path()).unwrap(), small()).unwrap();
    assert_eq!(found.torn, None);
    assert_eq!(found.groups.keys().collect::<Vec<_>>(), [&1]);
    let g = &found.groups[&1];
    assert_eq!(g.purged, Some(199));
    assert_eq!(g.entries.keys().collect::<Vec<_>>(), [&200]);
    assert_eq!(g.states[&3], "new");
    assert_eq!(g.states[&4], "x");
    // Truncation frees too.
    append(
        &wal,
        vec![Record::Truncate {
            group: 1,
            from_index: 0,
        }],
    )
    .unwrap();
    append(&wal, vec![]).unwrap();
    assert_eq!(wal.stats().segments, 1);
}

/// Neither a group that falls idle nor one that keeps only its latest entries makes the log grow
/// without end, and what they have is there afterwards.
#[test]
fn an_idle_group_does_not_pin_what_others_write() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = Wal::open(real(dir.path()).unwrap(), small()).unwrap();
    for i in 1..=10 {
        append(&wal, vec![entry(2, i, format!("of old {i}").as_bytes())]).unwrap();
    }
    let cut = Record::Truncate {
        group: 2,
        from_index: 9,
    };
    append(&wal, vec![cut, entry(2, 9, b"again")]).unwrap();
    let mut most = 0;
    for i in 1..=2000 {
        let mut records = vec![entry(1, i, &[i as u8; 100])];
        if i % 10 == 0 {
            records.push(Record::Purge {
                group: 1,
                up_to_index: i - 5,
            });
        }
        append(&wal, records).unwrap();
        most = most.max(wal.stats().segments);
    }
    // About 2 KB are live, in segments of 4 KiB: four, twice one, and the one just begun.
    assert!(most <= 7, "{most} segments");
    assert!(wal.stats().live < 4096, "{:?}", wal.stats());
    drop(wal);
    let (_, found) = Wal::open(real(dir.path()).unwrap(), small()).unwrap();
    let old = &found.groups[&2].entries;
    assert_eq!(
        old.keys().copied().collect::<Vec<_>>(),
        (1..=9).collect::<Vec<_>>()
    );
    assert_eq!(
        (&old[&8][..], &old[&9][..]),
        (&b"of old 8"[..], &b"again"[..])
    );
    let new = &found.groups[&1];
    assert_eq!((new.purged, new.entries.len()), (Some(1995), 5));
}

#[test]
fn one_sync_serves_many_appends() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = Wal::open(real(dir.path()).unwrap(), WalOptions::default()).unwrap();
    // While a callback holds the log's thread, the others gather.
    let (go, wait) = mpsc::channel::<()>();
    wal.append(
        vec![entry(1, 1, b"first")],
        Box::new(move |_| wait.recv().unwrap()),
    );
    while wal.stats().batches == 0 {
        std::thread::yield_now();
    }
    let acknowledged = Arc::new(AtomicUsize::new(0));
    for i in 2..=1000 {
        let acknowledged = acknowledged.clone();
        let count = move |r: io::Result<()>| {
            r.unwrap();
            acknowledged.fetch_add(1, Ordering::SeqCst);
        };
        wal.append(vec![entry(1, i, b"more")], Box::new(count));
    }
    assert_eq!(acknowledged.load(Ordering::SeqCst), 0);
    go.send(()).unwrap();
    append(&wal, vec![]).unwrap();
    assert_eq!(acknowledged.load(Ordering::SeqCst), 999);
    assert_eq!(wal.stats().records, 1000);
    assert!(wal.stats().batches <= 3, "{:?}", wal.stats());
}

#[tokio::test]
async fn a_full_queue_makes_the_asynchronous_caller_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = Wal::open(real(dir.path()).unwrap(), small()).unwrap();
    let (go, wait) = mpsc::channel::<()>();
    wal.append(
        vec![entry(1, 0, b"")],
        Box::new(move |_| wait.recv().unwrap()),
    );
    while wal.stats().batches == 0 {
        tokio::task::yield_now().await;
    }
    let mut queued = 0;
    let full = loop {
        let mut next = Box::pin(wal.submit(vec![entry(1, queued, &[0; 500])], Box::new(drop)));
        match futures_util::poll!(next.as_mut()) {
            std::task::Poll::Ready(()) => queued += 1,
            std::task::Poll::Pending => break next,
        }
    };
    assert_eq!(queued, 8, "8 times 556 bytes reach the limit of 4000");
    go.send(()).unwrap();
    full.await;
    wal.append_durable(vec![]).await.unwrap();
    assert_eq!(wal.stats().records, 10);
}

#[test]
fn records_over_the_bounds_are_refused_and_large_ones_fit() {
    let dir = tempfile::tempdir().unwrap();
    let disk = real(dir.path()).unwrap();
    let (wal, _) = Wal::open(disk.clone(), small()).unwrap();
    let state = |n| Record::State {
        group: 1,
        kind: 1,
        body: vec![7; n].into(),
    };
    let refused = append(&wal, vec![state(MAX_STATE + 1)]).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    append(&wal, vec![state(MAX_STATE), entry(1, 1, &[8; 100_000])]).unwrap();
    append(&wal, vec![entry(1, 2, b"after")]).unwrap();
    drop(wal);
    let (_, found) = Wal::open(disk, small()).unwrap();
    assert_eq!(found.groups[&1].entries[&1], vec![8; 100_000]);
    assert_eq!(found.groups[&1].entries[&2], "after");
    assert_eq!(found.groups[&1].states[&1].len(), MAX_STATE);
}

#[test]
fn after_a_failure_everything_fails() {
    let dir = tempfile::tempdir().unwrap();
    let disk = volatile(dir.path(), 1).unwrap();
    let (wal, _) = Wal::open(disk.clone(), small()).unwrap();
    append(&wal, vec![entry(1, 1, b"a")]).unwrap();
    assert!(wal.failure().is_none());
    disk.power_off();
    append(&wal, vec![entry(1, 2, b"b")]).unwrap_err();
    append(&wal, vec![entry(1, 3, b"c")]).unwrap_err();
    assert!(wal.failure().is_some());
}

/// Nothing is acknowledged while there is no room, and nothing is given up: neither within a
/// segment nor where a new one is needed.
#[test]
fn a_full_disk_is_waited_for() {
    const QUIET: Duration = Duration::from_millis(300);
    let dir = tempfile::tempdir().unwrap();
    let condition = dir.path().join(conditions::DISK);
    let disk = given(volatile(dir.path(), 7).unwrap(), dir.path());
    let (wal, _) = Wal::open(disk, small()).unwrap();
    let mut last = 0;
    for (full, in_place) in [
        (r#"{"full":"writes"}"#, false),
        (r#"{"full":"growth"}"#, true),
    ] {
        append(&wal, vec![entry(1, last + 1, b"before")]).unwrap();
        std::fs::write(&condition, full).unwrap();
        // The disk looks at its condition a moment late.
        std::thread::sleep(Duration::from_millis(50));
        let (tx, rx) = mpsc::channel();
        let appending = wal.clone();
        let more = std::thread::spawn(move || {
            for i in last + 2..last + 100 {
                let tx = tx.clone();
                let done = Box::new(move |r| tx.send(r).unwrap());
                appending.append(vec![entry(1, i, &[7; 100])], done);
            }
        });
        let mut done = 0;
        while let Ok(result) = rx.recv_timeout(QUIET) {
            result.unwrap();
            done += 1;
        }
        assert!(
            done < 98 && (in_place || done == 0),
            "{full}: {done} acknowledged"
        );
        std::fs::remove_file(&condition).unwrap();
        more.join().unwrap();
        done += rx.iter().map(io::Result::unwrap).count();
        assert_eq!(done, 98, "{full}");
        last += 99;
        assert!(wal.failure().is_none());
    }
    drop(wal);
    let (_wal, found) = Wal::open(volatile(dir.path(), 8).unwrap(), small()).unwrap();
    assert_eq!(found.groups[&1].entries.len(), last as usize);
    assert_eq!(found.torn, None);
}

#[test]
fn a_callback_that_panics_does_not_end_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = Wal::open(real(dir.path()).unwrap(), small()).unwrap();
    wal.append(vec![entry(1, 1, b"a")], Box::new(|_| panic!("on purpose")));
    append(&wal, vec![entry(1, 2, b"b")]).unwrap();
}

#[test]
fn a_callback_may_hold_the_last_handle() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = Wal::open(real(dir.path()).unwrap(), small()).unwrap();
    let (tx, rx) = mpsc::channel();
    let held = wal.clone();
    let done = move |r: io::Result<()>| {
        drop(held);
        tx.send(r).unwrap();
    };
    wal.append(vec![entry(1, 1, b"a")], Box::new(done));
    drop(wal);
    rx.recv().unwrap().unwrap();
}

#[cfg(feature = "seeded-bugs")]
#[test]
fn the_seeded_bug_loses_what_it_acknowledged() {
    let mut lost = 0;
    for seed in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let disk = volatile(dir.path(), seed).unwrap();
        let options = WalOptions {
            ack_before_sync: true,
            ..small()
        };
        let (wal, _) = Wal::open(disk.clone(), options.clone()).unwrap();
        for i in 1..=100 {
            append(&wal, vec![entry(1, i, &[1; 100])]).unwrap();
        }
        disk.power_off();
        drop(wal);
        let (_, found) = Wal::open(volatile(dir.path(), seed).unwrap(), options).unwrap();
        let left = found.groups.get(&1).map_or(0, |g| g.entries.len());
        lost += usize::from(left < 100);
    }
    assert_eq!(lost, 20);
}

fn record() -> impl Strategy<Value = Record> {
    let body = prop_oneof![4 => 0..300_usize, 1 => 1000..1500_usize];
    let body = (body, any::<u8>()).prop_map(|(n, b)| Bytes::from(vec![b; n]));
    let (group, index) = (1..4_u64, 1..40_u64);
    prop_oneof![
        12 => (group.clone(), index.clone(), body.clone())
            .prop_map(|(group, index, body)| Record::Entry { group, index, body }),
        2 => (group.clone(), index.clone())
            .prop_map(|(group, from_index)| Record::Truncate { group, from_index }),
        3 => (group.clone(), 0..4_u8, body)
            .prop_map(|(group, kind, body)| Record::State { group, kind, body }),
        3 => (group.clone(), index)
            .prop_map(|(group, up_to_index)| Record::Purge { group, up_to_index }),
        1 => group.prop_map(|group| Record::DropGroup { group }),
    ]
}

/// The length of a prefix of `appended`, at least `acknowledged`, that gives `found`.
fn is_prefix(found: &Recovered, appended: &[Record], acknowledged: usize) -> Option<usize> {
    (acknowledged..=appended.len()).find(|n| same(&model(&appended[..*n]), &found.groups))
}

proptest! {
    #![proptest_config(crate::disk::testing::cases(80))]

    /// Several lives of a log, each ended by a power-off at some operation of
    /// the disk, some while it recovers: what is found is always what a prefix
    /// of the appended records gives, and all acknowledged ones are in it.
    #[test]
    fn every_life_begins_with_a_prefix_of_what_was_appended(
        lives in prop::collection::vec(
            (prop::collection::vec(prop::collection::vec(record(), 1..4), 0..25), 0..120_u64, any::<bool>()),
            1..5,
        ),
        seed: u64,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut appended: Vec<Record> = Vec::new();
        let mut acknowledged = 0;
        for (n, (appends, fuse, wait)) in lives.into_iter().enumerate() {
            let disk = CutDisk::open(dir.path(), seed.wrapping_add(n as u64), fuse);
            let (wal, found) = match Wal::open(disk.clone(), small()) {
                Ok(opened) => opened,
                Err(e) => {
                    prop_assert!(!disk.has_power(), "{e}");
                    prop_assert!(matches!(e, WalError::Io(_)), "{e}");
                    continue;
                }
            };
            let kept = is_prefix(&found, &appended, acknowledged);
            prop_assert!(kept.is_some(), "{acknowledged} acknowledged, {found:?} of {appended:?}");
            appended.truncate(kept.unwrap());
            let durable = Arc::new(AtomicUsize::new(appended.len()));
            for records in appends {
                appended.extend(records.iter().cloned());
                let (durable, upto) = (durable.clone(), appended.len());
                if wait {
                    if append(&wal, records).is_ok() {
                        durable.store(upto, Ordering::SeqCst);
                    }
                } else {
                    let done = move |r: io::Result<()>| if r.is_ok() {
                        durable.store(upto, Ordering::SeqCst);
                    };
                    wal.append(records, Box::new(done));
                }
            }
            disk.power_off();
            drop(wal);
            acknowledged = durable.load(Ordering::SeqCst);
        }
        let disk = volatile(dir.path(), seed).unwrap();
        let (wal, found) = Wal::open(disk, small()).unwrap();
        prop_assert!(is_prefix(&found, &appended, acknowledged).is_some());
        // A log that was closed is found as it was, and has no torn tail again.
        drop(wal);
        let (_, again) = Wal::open(real(dir.path()).unwrap(), small()).unwrap();
        prop_assert_eq!(&again.groups, &found.groups);
        prop_assert_eq!(again.torn, None);
    }
}

proptest! {
    #![proptest_config(crate::disk::testing::cases(40))]

    /// The same for logs that live long enough for their segments to be compacted, also by a
    /// power-off in the middle of that.
    #[test]
    fn a_compacted_log_is_found_as_it_was(
        appends in prop::collection::vec(prop::collection::vec(record(), 1..3), 100..250),
        fuse in 100..900_u64,
        seed: u64,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let disk = CutDisk::open(dir.path(), seed, fuse);
        let (wal, _) = Wal::open(disk.clone(), small()).unwrap();
        let (mut appended, mut acknowledged) = (Vec::new(), 0);
        for mut records in appends {
            // Group 1 purges again and again, so that the others' segments become old.
            let index = appended.len() as u64;
            records.extend([
                entry(1, 100 + index, &[9; 200]),
                Record::Purge { group: 1, up_to_index: 90 + index },
            ]);
            appended.extend(records.iter().cloned());
            match append(&wal, records) {
                Ok(()) => acknowledged = appended.len(),
                Err(_) => break,
            }
        }
        disk.power_off();
        drop(wal);
        let (_wal, found) = Wal::open(volatile(dir.path(), seed).unwrap(), small()).unwrap();
        let kept = is_prefix(&found, &appended, acknowledged);
        prop_assert!(kept.is_some(), "{acknowledged} acknowledged, {found:?}");
    }
}

/// For the damage tests: a closed log of several segments, and its records.
pub(super) fn closed_log(root: &Path) -> Vec<Record> {
    let (wal, _) = Wal::open(real(root).unwrap(), small()).unwrap();
    let mut all = Vec::new();
    for i in 1..=40 {
        let records = vec![
            entry(i % 3, i, &vec![i as u8; i as usize * 7]),
            Record::State {
                group: 9,
                kind: (i % 4) as u8,
                body: Bytes::from(format!("state {i}")),
            },
        ];
        all.extend(records.iter().cloned());
        append(&wal, records).unwrap();
    }
    drop(wal);
    assert!(segments(root) >= 3);
    all
}

/// Opens a file of a disk as the log does.
pub(super) fn file(disk: &dyn Disk, name: &str) -> Arc<dyn DiskFile> {
    disk.open(&format!("wal/{name}")).unwrap()
}
