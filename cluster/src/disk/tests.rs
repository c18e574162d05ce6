use super::real::RealFile;
use super::*;
use gameday_record::conditions::{self, DiskEffects, Ended};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn both(test: impl Fn(Arc<dyn Disk>)) {
    let dir = tempfile::tempdir().unwrap();
    test(real(dir.path()).unwrap());
    let dir = tempfile::tempdir().unwrap();
    test(volatile(dir.path(), 1).unwrap());
}

fn contents(file: &dyn DiskFile) -> Vec<u8> {
    let mut out = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut out).unwrap();
    out
}

#[test]
fn both_disks_do_the_same_while_the_power_is_on() {
    both(|disk| {
        disk.create_dir("a/b").unwrap();
        let f = disk.create("a/b/f").unwrap();
        f.write_at(5000, b"hello").unwrap();
        assert_eq!(f.len().unwrap(), 5005);
        let mut out = [9; 7];
        f.read_at(4998, &mut out).unwrap();
        assert_eq!(&out, b"\0\0hello");
        let past = f.read_at(4999, &mut out).unwrap_err();
        assert_eq!(past.kind(), io::ErrorKind::UnexpectedEof);
        f.sync_data().unwrap();
        f.set_len(5002).unwrap();
        f.set_len(5004).unwrap();
        assert_eq!(contents(f.as_ref())[4999..], *b"\0he\0\0");
        f.sync_data().unwrap();
        assert_eq!(contents(f.as_ref())[4999..], *b"\0he\0\0");

        let twice = disk.create("a/b/f").unwrap_err();
        assert_eq!(twice.kind(), io::ErrorKind::AlreadyExists);
        disk.create("a/b/g").unwrap().write_at(0, b"g").unwrap();
        disk.rename("a/b/g", "a/b/f").unwrap();
        assert_eq!(disk.list("a/b").unwrap(), ["f"]);
        assert_eq!(contents(disk.open("a/b/f").unwrap().as_ref()), b"g");
        assert_eq!(f.len().unwrap(), 5004, "an open file stays usable");
        disk.sync_dir("a/b").unwrap();
        disk.remove("a/b/f").unwrap();
        assert!(!disk.exists("a/b/f").unwrap());
        let gone = disk.open("a/b/f").unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        disk.sync_dir("a/b").unwrap();
        disk.remove_dir_all("a").unwrap();
        disk.remove_dir_all("a").unwrap();
        assert!(!disk.exists("a/b/f").unwrap());
    });
}

#[test]
fn unusable_names_are_refused() {
    both(|disk| {
        for name in ["", "/etc/passwd", "..", "a/../b", ".lock", "a//b", "ä"] {
            let e = disk.create(name).unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::InvalidInput, "{name}");
        }
        disk.create_dir("d").unwrap();
        disk.create("f").unwrap();
        let across = disk.rename("f", "d/f").unwrap_err();
        assert_eq!(across.kind(), io::ErrorKind::Unsupported);
    });
}

#[test]
fn a_folder_is_one_disk_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = volatile(dir.path(), 1).unwrap();
    let busy = |r: io::Result<Arc<RealDisk>>| r.unwrap_err().kind();
    assert_eq!(busy(real(dir.path())), io::ErrorKind::ResourceBusy);
    first.power_off();
    assert!(first.list("").is_err());
    real(dir.path()).unwrap();
}

#[test]
fn a_failed_sync_is_never_forgotten() {
    // A pipe cannot be synced, which is as good as a drive that fails.
    let (_reader, writer) = io::pipe().unwrap();
    let file = RealFile::new(File::from(std::os::fd::OwnedFd::from(writer)));
    assert!(file.len().is_ok());
    assert!(file.sync_data().is_err());
    assert!(file.len().is_err());
    assert!(file.write_at(0, b"x").is_err());
    assert!(file.sync_data().is_err());
}

#[test]
fn unsynced_things_are_gone_and_synced_ones_stay() {
    // Over many seeds: the synced part always, the unsynced never as a whole.
    for seed in 0..60 {
        let dir = tempfile::tempdir().unwrap();
        let disk = volatile(dir.path(), seed).unwrap();
        let f = disk.create("f").unwrap();
        f.write_at(0, &[1; 3000]).unwrap();
        f.sync_data().unwrap();
        disk.sync_dir("").unwrap();
        f.write_at(2000, &[2; 3000]).unwrap();
        disk.create("never").unwrap().sync_data().unwrap();
        disk.power_off();
        assert!(f.sync_data().is_err());
        let disk = volatile(dir.path(), seed).unwrap();
        let left = contents(disk.open("f").unwrap().as_ref());
        assert!((3000..5000).contains(&left.len()));
        assert_eq!(left[..2000], [1; 2000]);
        let torn = left.iter().filter(|b| **b == 2).count();
        assert_eq!(left[2000..2000 + torn], vec![2; torn], "a prefix");
        assert!(!dir.path().join(".unnamed").join("2").exists());
    }
}

#[test]
fn some_writes_are_torn_and_some_inside_a_sector() {
    let (mut none, mut sector, mut inside) = (0, 0, 0);
    for seed in 0..200 {
        let dir = tempfile::tempdir().unwrap();
        let disk = volatile(dir.path(), seed).unwrap();
        let f = disk.create("f").unwrap();
        disk.sync_dir("").unwrap();
        f.write_at(0, &[2; 4096]).unwrap();
        disk.power_off();
        match std::fs::metadata(dir.path().join("f")).unwrap().len() {
            0 => none += 1,
            n if n % 512 == 0 => sector += 1,
            _ => inside += 1,
        }
    }
    assert!(
        none > 100 && sector > 10 && inside > 3,
        "{none} {sector} {inside}"
    );
}

#[test]
fn concurrent_writers_and_syncs_do_not_lose_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let disk = volatile(dir.path(), 3).unwrap();
    let f = disk.create("f").unwrap();
    disk.sync_dir("").unwrap();
    std::thread::scope(|s| {
        for t in 0..4_u8 {
            let f = &f;
            s.spawn(move || {
                for i in 0..200_u64 {
                    // Neighbours share pages.
                    f.write_at(i * 400 + u64::from(t) * 100, &[t + 1; 100])
                        .unwrap();
                    if i % 20 == 0 {
                        f.sync_data().unwrap();
                    }
                }
                f.sync_data().unwrap();
            });
        }
    });
    disk.power_off();
    let disk = volatile(dir.path(), 3).unwrap();
    let left = contents(disk.open("f").unwrap().as_ref());
    assert_eq!(left.len(), 80_000);
    for (i, b) in left.iter().enumerate() {
        assert_eq!(usize::from(*b), i / 100 % 4 + 1, "byte {i}");
    }
}

#[derive(Clone, Debug)]
enum Op {
    Write(u64, usize, u8),
    SetLen(u64),
    Sync,
    PowerOff,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..9000_u64, 1..6000_usize, 1..255_u8).prop_map(|(a, n, b)| Op::Write(a, n, b)),
        2 => (0..14_000_u64).prop_map(Op::SetLen),
        2 => Just(Op::Sync),
        1 => Just(Op::PowerOff),
    ]
}

/// A volatile disk under this condition.
fn under(dir: &std::path::Path, condition: &str) -> Arc<GivenDisk> {
    let inner = volatile(dir, 1).unwrap();
    std::fs::write(dir.join(conditions::DISK), condition).unwrap();
    given(inner, dir)
}

fn effects(dir: &std::path::Path) -> DiskEffects {
    let text = std::fs::read(dir.join(conditions::DISK_EFFECTS)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn a_full_disk_refuses_growth_or_every_write_and_reads_on() {
    for (condition, in_place) in [
        (r#"{"full":"growth"}"#, true),
        (r#"{"full":"writes"}"#, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let healthy = given(volatile(dir.path(), 1).unwrap(), dir.path());
        let f = healthy.create("f").unwrap();
        f.write_at(0, &[7; 100]).unwrap();
        f.sync_data().unwrap();
        healthy.sync_dir("").unwrap();
        drop((f, healthy));
        let disk = under(dir.path(), condition);
        let f = disk.open("f").unwrap();
        let full = |done: io::Result<()>| done.unwrap_err().kind() == io::ErrorKind::StorageFull;
        assert!(full(f.write_at(1, &[8; 100])), "{condition}");
        assert!(full(f.set_len(101)));
        assert_eq!(f.write_at(0, &[8; 100]).is_ok(), in_place, "{condition}");
        assert_eq!(disk.create("g").is_ok(), in_place, "{condition}");
        assert_eq!(contents(f.as_ref())[99], if in_place { 8 } else { 7 });
        f.sync_data().unwrap();
        assert_eq!(f.set_len(50).is_ok(), in_place, "{condition}");
        let probed = probe(disk.as_ref());
        assert_eq!(probed.write.ended, Ended::Full, "{probed:?}");
        assert_eq!(probed.read, None);
        let met = effects(dir.path());
        assert!(met.refused >= 3 && met.failed == 0, "{met:?}");
    }
}

#[test]
fn a_failed_operation_is_an_error_and_a_failed_sync_is_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let disk = under(dir.path(), r#"{"fails":"sync"}"#);
    let f = disk.create("f").unwrap();
    f.write_at(0, b"x").unwrap();
    assert_eq!(f.sync_data().unwrap_err().raw_os_error(), Some(libc::EIO));
    assert!(
        f.write_at(0, b"y")
            .unwrap_err()
            .to_string()
            .contains("earlier sync")
    );
    assert!(disk.sync_dir("").is_err());
    // The condition is over, what the drive has is not known any more.
    std::fs::remove_file(dir.path().join(conditions::DISK)).unwrap();
    assert!(f.sync_data().is_err() && disk.sync_dir("").is_err());
    assert_eq!(effects(dir.path()).failed, 2);
    drop((f, disk));

    let disk = under(dir.path(), r#"{"fails":"write"}"#);
    assert_eq!(
        disk.create("g").unwrap_err().raw_os_error(),
        Some(libc::EIO)
    );
    assert!(disk.rename("f", "g").is_err() && disk.remove("f").is_err());
    assert_eq!(effects(dir.path()).failed, 5, "counting goes on");
    assert_eq!(probe(disk.as_ref()).write.ended, Ended::Failed);
    drop(disk);

    let disk = under(dir.path(), r#"{"fails":"read"}"#);
    let f = disk.create("h").unwrap();
    f.write_at(0, b"x").unwrap();
    f.sync_data().unwrap();
    let read = f.read_at(0, &mut [0]).unwrap_err();
    assert_eq!(read.raw_os_error(), Some(libc::EIO));
    let probed = probe(disk.as_ref());
    assert_eq!(probed.read.map(|r| r.ended), Some(Ended::Failed));
}

#[test]
fn a_slow_disk_takes_its_time_to_sync() {
    let dir = tempfile::tempdir().unwrap();
    let disk = under(dir.path(), r#"{"sync_delay_ms":30}"#);
    let probed = probe(disk.as_ref());
    let sync = probed.sync.unwrap();
    assert!(
        sync.ended == Ended::Done && sync.micros >= 30_000,
        "{sync:?}"
    );
    assert_eq!(effects(dir.path()).delayed, 1);
    assert!(!disk.exists("probe").unwrap(), "nothing is left of it");
    drop(disk);
    // What cannot be understood is not heeded.
    let disk = under(dir.path(), r#"{"sync_delay_ms":30,"unknown":1}"#);
    assert_eq!(probe(disk.as_ref()).write.ended, Ended::Done);
    assert_eq!(effects(dir.path()).delayed, 1);
}

proptest! {
    #![proptest_config(crate::disk::testing::cases(60))]

    /// Against a plain vector; after a power-off every byte is one that some
    /// moment since the last sync had there, or a zero of a hole.
    #[test]
    fn contents_follow_the_model(ops in prop::collection::vec(op(), 1..40), seed: u64) {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = volatile(dir.path(), seed).unwrap();
        let mut file = disk.create("f").unwrap();
        disk.sync_dir("").unwrap();
        // The moments since the last sync, the synced one first.
        let mut moments: Vec<Vec<u8>> = vec![vec![]];
        for op in ops {
            let mut now = moments.last().unwrap().clone();
            match op {
                Op::Write(at, n, b) => {
                    let at = at as usize;
                    now.resize(now.len().max(at + n), 0);
                    now[at..at + n].fill(b);
                    file.write_at(at as u64, &vec![b; n]).unwrap();
                    moments.push(now);
                }
                Op::SetLen(len) => {
                    now.resize(len as usize, 0);
                    file.set_len(len).unwrap();
                    moments.push(now);
                }
                Op::Sync => {
                    file.sync_data().unwrap();
                    moments = vec![now];
                }
                Op::PowerOff => {
                    disk.power_off();
                    disk = volatile(dir.path(), seed).unwrap();
                    file = disk.open("f").unwrap();
                    let left = contents(file.as_ref());
                    prop_assert!(left.len() <= moments.iter().map(Vec::len).max().unwrap());
                    prop_assert!(left.len() >= moments.iter().map(Vec::len).min().unwrap());
                    for (i, b) in left.iter().enumerate() {
                        let possible = *b == 0 && i >= moments[0].len()
                            || moments.iter().any(|m| m.get(i) == Some(b));
                        prop_assert!(possible, "byte {i} is {b}");
                    }
                    moments = vec![left];
                }
            }
            prop_assert_eq!(&contents(file.as_ref()), moments.last().unwrap());
        }
    }

    /// After a power-off the names are those of one moment since the last
    /// `sync_dir`, each with the file it had then.
    #[test]
    fn names_follow_the_model(
        ops in prop::collection::vec((0..5_u8, 0..4_u8, 0..4_u8), 1..60),
        seed: u64,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = volatile(dir.path(), seed).unwrap();
        let mut moments: Vec<BTreeMap<String, u64>> = vec![BTreeMap::new()];
        let mut made = 0;
        let seen = |disk: &VolatileDisk| -> BTreeMap<String, u64> {
            let read = |n: &String| {
                u64::from_le_bytes(contents(disk.open(n).unwrap().as_ref()).try_into().unwrap())
            };
            disk.list("").unwrap().iter().map(|n| (n.clone(), read(n))).collect()
        };
        for (what, a, b) in ops {
            let mut now = moments.last().unwrap().clone();
            let (a, b) = (format!("n{a}"), format!("n{b}"));
            match what {
                0 | 1 if !now.contains_key(&a) => {
                    made += 1;
                    let f = disk.create(&a).unwrap();
                    f.write_at(0, &u64::to_le_bytes(made)).unwrap();
                    f.sync_data().unwrap();
                    now.insert(a, made);
                    moments.push(now);
                }
                2 if now.contains_key(&a) => {
                    disk.rename(&a, &b).unwrap();
                    let id = now.remove(&a).unwrap();
                    now.insert(b, id);
                    moments.push(now);
                }
                3 if now.contains_key(&a) => {
                    disk.remove(&a).unwrap();
                    now.remove(&a);
                    moments.push(now);
                }
                4 if a == "n0" => {
                    disk.power_off();
                    disk = volatile(dir.path(), seed).unwrap();
                    let left = seen(&disk);
                    prop_assert!(moments.contains(&left), "{left:?} of {moments:?}");
                    moments = vec![left];
                }
                4 => {
                    disk.sync_dir("").unwrap();
                    moments = vec![now];
                }
                _ => {}
            }
            prop_assert_eq!(&seen(&disk), moments.last().unwrap());
        }
    }
}
