//! The tree against a map, with power-offs at every operation, and damaged.

use super::*;
use crate::disk::testing::CutDisk;
use crate::disk::{Disk, VolatileDisk, real, volatile};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

fn put(k: &str, v: &str) -> Change {
    (k.into(), Some(v.into()))
}

fn all(tree: &Tree) -> Map {
    let page = tree.range(None, usize::MAX, usize::MAX).unwrap();
    assert!(!page.more);
    page.items.into_iter().collect()
}

/// A tree with enough in it for several levels, checkpointed more than once.
fn filled(disk: Arc<dyn Disk>, file: &str) -> Tree {
    let tree = Tree::open(disk, file).unwrap();
    for round in 0..4_u32 {
        let changes = (0..200_u32).map(|i| {
            let key = format!("key {:04}", i * 7 % 997 + round);
            (key.into_bytes(), Some(vec![i as u8; 20 + i as usize]))
        });
        tree.apply(&round.to_le_bytes(), changes.collect()).unwrap();
        tree.checkpoint().unwrap();
    }
    tree
}

#[test]
fn applied_is_read_and_survives_a_clean_end() {
    let dir = tempfile::tempdir().unwrap();
    let disk = real(dir.path()).unwrap();
    let tree = Tree::open(disk.clone(), "t").unwrap();
    assert_eq!(tree.applied_meta().unwrap(), None);
    let three = vec![put("a", "1"), put("b", "2"), put("c", "3")];
    tree.apply(b"m1", three).unwrap();
    tree.apply(b"m2", vec![(b"b".to_vec(), None)]).unwrap();
    assert_eq!(tree.get(b"a").unwrap().unwrap(), b"1");
    assert_eq!(tree.get(b"b").unwrap(), None);
    assert_eq!(tree.applied_meta().unwrap().unwrap(), b"m2");
    assert_eq!(tree.durable_meta().unwrap(), None);
    assert_eq!(tree.checkpoint().unwrap().unwrap(), b"m2");
    assert_eq!(tree.durable_meta().unwrap().unwrap(), b"m2");
    drop(tree);
    let tree = Tree::open(disk, "t").unwrap();
    assert_eq!(tree.applied_meta().unwrap().unwrap(), b"m2");
    assert_eq!(tree.durable_meta().unwrap().unwrap(), b"m2");
    assert_eq!(tree.get(b"c").unwrap().unwrap(), b"3");
}

#[test]
fn ranges_are_pages_in_key_order() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(real(dir.path()).unwrap(), "t").unwrap();
    let keys = ["d", "a", "c", "b", "e"];
    tree.apply(b"m", keys.map(|k| put(k, "0123456789")).into())
        .unwrap();
    let page = |after: Option<&str>, limit, bytes| {
        let page = tree.range(after.map(str::as_bytes), limit, bytes).unwrap();
        let keys: Vec<u8> = page.items.iter().map(|(k, _)| k[0]).collect();
        (String::from_utf8(keys).unwrap(), page.more)
    };
    assert_eq!(page(None, 9, 999), ("abcde".into(), false));
    assert_eq!(page(Some("b"), 2, 999), ("cd".into(), true));
    assert_eq!(page(Some("bb"), 3, 999), ("cde".into(), false));
    assert_eq!(
        page(None, 9, 12),
        ("ab".into(), true),
        "reached with the second"
    );
    assert_eq!(page(None, 9, 0), ("a".into(), true), "never an empty page");
    assert_eq!(page(Some("e"), 9, 999), (String::new(), false));
}

#[test]
fn digests_tell_contents_apart() {
    let dir = tempfile::tempdir().unwrap();
    let disk = real(dir.path()).unwrap();
    let digest = |file: &str, changes| {
        let tree = Tree::open(disk.clone(), file).unwrap();
        tree.apply(file.as_bytes(), changes).unwrap();
        tree.digest().unwrap()
    };
    let a = digest("a", vec![put("k", "v"), put("x", "y")]);
    let b = digest(
        "b",
        vec![
            put("x", "y"),
            put("gone", ""),
            put("k", "v"),
            ("gone".into(), None),
        ],
    );
    let c = digest("c", vec![put("kv", ""), put("x", "y")]);
    assert_eq!((a.count, a.hex()), (2, b.hex()));
    assert_ne!(a.hex(), c.hex());
    assert_eq!(a.applied.as_deref(), Some(&b"a"[..]));
}

#[test]
fn a_copy_replaces_another_tree() {
    let dir = tempfile::tempdir().unwrap();
    let disk = volatile(dir.path(), 5).unwrap();
    disk.create_dir("g").unwrap();
    let from = filled(disk.clone(), "g/from");
    let snapshot = from.snapshot().unwrap();
    let expected = from.digest().unwrap();
    from.apply(b"later", vec![put("later", "x")]).unwrap();
    let mut copy = Vec::new();
    assert_eq!(snapshot.export(&mut copy).unwrap(), expected.count);

    let to = filled(disk.clone(), "g/to");
    to.apply(b"other", vec![put("other", "y")]).unwrap();
    let old = to.snapshot().unwrap();
    let meta = to.replace(&mut copy.as_slice()).unwrap();
    assert_eq!(meta, expected.applied);
    assert_eq!(to.durable_meta().unwrap(), expected.applied);
    assert_eq!(to.digest().unwrap(), expected);
    assert_eq!(old.applied_meta(), Some(&b"other"[..]));
    assert!(old.digest().unwrap().count > 0, "old readers go on");
    to.apply(b"more", vec![put("more", "z")]).unwrap();
    disk.power_off();
    drop((from, to, old, snapshot));
    let disk = volatile(dir.path(), 6).unwrap();
    let to = Tree::open(disk.clone(), "g/to").unwrap();
    assert_eq!(to.digest().unwrap(), expected);
    assert_eq!(disk.list("g").unwrap(), ["from", "to"]);

    to.destroy().unwrap();
    assert!(matches!(to.get(b"k"), Err(EngineError::Closed { .. })));
    disk.power_off();
    let disk = volatile(dir.path(), 7).unwrap();
    assert_eq!(disk.list("g").unwrap(), ["from"]);
}

#[test]
fn a_damaged_copy_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let disk = real(dir.path()).unwrap();
    let mut copy = Vec::new();
    let from = filled(disk.clone(), "from");
    from.snapshot().unwrap().export(&mut copy).unwrap();
    let to = Tree::open(disk.clone(), "to").unwrap();
    to.apply(b"m", vec![put("a", "1")]).unwrap();
    let before = to.digest().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for n in 0..60 {
        let mut bad = copy.clone();
        if n % 2 == 0 {
            bad.truncate(rng.random_range(0..copy.len()));
        } else {
            let at = rng.random_range(0..copy.len());
            bad[at] ^= 1 << rng.random_range(0..8_u32);
        }
        let refused = to.replace(&mut bad.as_slice()).unwrap_err();
        assert!(matches!(refused, EngineError::BadCopy { .. }), "{refused}");
    }
    assert_eq!(to.digest().unwrap(), before);
    assert!(!disk.exists("to.new").unwrap());
    to.apply(b"m2", vec![put("b", "2")]).unwrap();
}

#[test]
fn what_is_too_large_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(real(dir.path()).unwrap(), "t").unwrap();
    let refused = |meta: &[u8], key: usize, value: usize| {
        let changes = vec![put("a", "1"), (vec![0; key], Some(vec![0; value]))];
        let e = tree.apply(meta, changes).unwrap_err();
        assert!(matches!(e, EngineError::TooLarge { .. }), "{e}");
    };
    refused(b"m", MAX_KEY + 1, 0);
    refused(b"m", 1, MAX_VALUE + 1);
    refused(&vec![0; MAX_META + 1], 1, 1);
    assert_eq!(all(&tree), Map::new());
    assert_eq!(tree.applied_meta().unwrap(), None);
}

#[test]
fn a_value_that_changed_under_the_tree_is_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let disk = real(dir.path()).unwrap();
    let file = disk.create("t").unwrap();
    let store = store::Store::create("t", file).unwrap();
    // As stored by a bug or a drive: a value that belongs to another key.
    store.plant(b"a", b"no checksum").unwrap();
    drop(store);
    let tree = Tree::open(disk, "t").unwrap();
    assert!(matches!(tree.get(b"a"), Err(EngineError::Corrupt { .. })));
    assert!(matches!(tree.get(b"b"), Err(EngineError::Closed { .. })));
}

/// Flips single bits of a tree file that was left by `end`.
fn flip_bits(seed: u64, end: impl Fn(Arc<VolatileDisk>, Tree)) {
    let dir = tempfile::tempdir().unwrap();
    let disk = volatile(dir.path(), seed).unwrap();
    let tree = filled(disk.clone(), "t");
    let expected = tree.digest().unwrap();
    end(disk.clone(), tree);
    disk.power_off();
    let whole = std::fs::read(dir.path().join("t")).unwrap();
    let used: Vec<usize> = (0..whole.len()).filter(|i| whole[*i] != 0).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut refused, mut harmless) = (0, 0);
    for n in 0..120 {
        // Where something is, mostly; and often in the header.
        let at = match n % 4 {
            0 => rng.random_range(0..512),
            1 => rng.random_range(0..whole.len()),
            _ => used[rng.random_range(0..used.len())],
        };
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << rng.random_range(0..8_u32);
        std::fs::write(dir.path().join("t"), damaged).unwrap();
        let disk = volatile(dir.path(), seed).unwrap();
        match Tree::open(disk, "t").and_then(|t| t.digest()) {
            Ok(found) => {
                assert_eq!(found, expected, "byte {at}");
                harmless += 1;
            }
            Err(EngineError::Corrupt { file, .. }) => {
                assert_eq!(file, "t");
                refused += 1;
            }
            Err(e) => panic!("byte {at}: {e}"),
        }
    }
    assert!(refused > 20 && harmless > 5, "{refused} {harmless}");
}

#[test]
fn a_flipped_bit_in_a_closed_file_is_refused_or_harmless() {
    flip_bits(1, |_, tree| drop(tree));
}

#[test]
fn a_flipped_bit_in_a_file_left_by_a_power_off_is_refused_or_harmless() {
    flip_bits(2, |disk, _| disk.power_off());
}

#[test]
fn a_shortened_or_foreign_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let disk = real(dir.path()).unwrap();
    drop(filled(disk.clone(), "t"));
    let f = disk.open("t").unwrap();
    for len in [f.len().unwrap() / 2, 4096, 100, 0] {
        f.set_len(len).unwrap();
        let e = Tree::open(disk.clone(), "t").unwrap_err();
        assert!(matches!(e, EngineError::Corrupt { .. }), "{len}: {e}");
    }
    f.write_at(0, &[7; 10_000]).unwrap();
    let e = Tree::open(disk.clone(), "t").unwrap_err();
    assert!(e.to_string().starts_with("tree t is corrupt"), "{e}");
    Tree::remove(disk.as_ref(), "t").unwrap();
    assert_eq!(all(&Tree::open(disk, "t").unwrap()), Map::new());
}

#[derive(Clone, Debug)]
enum Op {
    Apply(Vec<(u8, Option<(u8, u16)>)>),
    Checkpoint,
    Replace(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let change = (any::<u8>(), prop::option::of((any::<u8>(), 0..2000_u16)));
    prop_oneof![
        6 => prop::collection::vec(change, 0..20).prop_map(Op::Apply),
        2 => Just(Op::Checkpoint),
        1 => any::<u8>().prop_map(Op::Replace),
    ]
}

proptest! {
    #![proptest_config(crate::disk::testing::cases(25))]

    /// Several lives of a tree, each ended by a power-off at some operation of
    /// the disk: it begins with exactly a state that was applied, not before
    /// the last checkpoint that returned.
    #[test]
    fn every_life_begins_at_the_checkpoint_or_later(
        lives in prop::collection::vec(
            (prop::collection::vec(op(), 1..12), 0..150_u64),
            1..4,
        ),
        seed: u64,
    ) {
        let dir = tempfile::tempdir().unwrap();
        // States since the last certain checkpoint, by applied meta.
        let mut states: Vec<(Option<Vec<u8>>, Map)> = vec![(None, Map::new())];
        let mut applied = 0_u64;
        for (n, (ops, fuse)) in lives.into_iter().enumerate() {
            let disk = CutDisk::open(dir.path(), seed.wrapping_add(n as u64), fuse);
            let tree = match Tree::open(disk.clone(), "t") {
                Ok(tree) => tree,
                Err(e) => {
                    prop_assert!(!disk.has_power(), "{e}");
                    continue;
                }
            };
            let Ok(found) = tree.snapshot().and_then(|s| s.range(None, usize::MAX, usize::MAX)) else {
                prop_assert!(!disk.has_power());
                continue;
            };
            let now = (tree.applied_meta().unwrap(), found.items.into_iter().collect());
            prop_assert!(states.contains(&now), "{:?} is not one of {} states", now.0, states.len());
            // What was found may be ahead of what is durable only before open returned.
            states = vec![now];
            for op in ops {
                applied += 1;
                let meta = applied.to_le_bytes();
                let mut next = states.last().unwrap().1.clone();
                let result = match op {
                    Op::Apply(changes) => {
                        let changes: Vec<Change> = changes
                            .into_iter()
                            .map(|(k, v)| (vec![k], v.map(|(b, n)| vec![b; n.into()])))
                            .collect();
                        for (k, v) in &changes {
                            match v {
                                Some(v) => next.insert(k.clone(), v.clone()),
                                None => next.remove(k),
                            };
                        }
                        states.push((Some(meta.to_vec()), next));
                        tree.apply(&meta, changes)
                    }
                    Op::Checkpoint => tree.checkpoint().map(|durable| {
                        let last = states.pop().unwrap();
                        assert_eq!(durable, last.0);
                        states = vec![last];
                    }),
                    Op::Replace(n) => {
                        let source = tempfile::tempdir().unwrap();
                        let source = Tree::open(real(source.path()).unwrap(), "s").unwrap();
                        let items = (0..n).map(|i| (vec![i], Some(vec![i; 300])));
                        source.apply(&meta, items.collect()).unwrap();
                        let mut copy = Vec::new();
                        source.snapshot().unwrap().export(&mut copy).unwrap();
                        states.push((Some(meta.to_vec()), all(&source)));
                        tree.replace(&mut copy.as_slice()).map(|_| {
                            let last = states.pop().unwrap();
                            states = vec![last];
                        })
                    }
                };
                if let Err(e) = result {
                    prop_assert!(!disk.has_power(), "{e}");
                    break;
                }
            }
            disk.power_off();
        }
    }
}

/// Both headers of another version are another build's; one alone is a flipped bit.
#[test]
fn another_format_is_not_damage_and_damage_is_not_another_format() {
    let dir = tempfile::tempdir().unwrap();
    let disk = real(dir.path()).unwrap();
    drop(filled(disk.clone(), "t"));
    let good = std::fs::read(dir.path().join("t")).unwrap();
    let open = |change: &[(usize, u8)]| {
        let mut bytes = good.clone();
        for (at, value) in change {
            bytes[*at] = *value;
        }
        std::fs::write(dir.path().join("t"), &bytes).unwrap();
        let opened = Tree::open(disk.clone(), "t").map(drop);
        let touched = std::fs::read(dir.path().join("t")).unwrap() != bytes;
        (opened, touched)
    };
    for version in [2, 4, 99] {
        let (opened, touched) = open(&[(64, version), (192, version)]);
        let known = matches!(opened, Err(EngineError::Unknown { version: v, .. }) if v == version);
        assert!(known, "{opened:?}");
        assert!(!touched);
    }
    let (opened, _) = open(&[(64, 2)]);
    assert!(
        matches!(opened, Err(EngineError::Corrupt { .. }) | Ok(())),
        "{opened:?}"
    );
    let zeros: Vec<_> = (0..512).map(|at| (at, 0)).collect();
    let (opened, _) = open(&zeros);
    assert!(
        matches!(opened, Err(EngineError::Corrupt { .. })),
        "{opened:?}"
    );
    assert!(open(&[]).0.is_ok());
}
