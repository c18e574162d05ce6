use super::*;
use crate::disk::{Disk, real, volatile};
use std::sync::Arc;

fn put(k: &str, v: &str) -> Change {
    (k.into(), Some(v.into()))
}

#[test]
fn applied_is_read_and_survives_a_clean_end() {
    let dir = tempfile::tempdir().unwrap();
    let disk = real(dir.path()).unwrap();
    let tree = Tree::open(disk.clone(), "t").unwrap();
    assert_eq!(tree.applied_meta().unwrap(), None);
    tree.apply(b"m1", vec![put("a", "1"), put("b", "2"), put("c", "3")])
        .unwrap();
    tree.apply(b"m2", vec![(b"b".to_vec(), None)]).unwrap();
    assert_eq!(tree.get(b"a").unwrap().unwrap(), b"1");
    assert_eq!(tree.get(b"b").unwrap(), None);
    assert_eq!(tree.applied_meta().unwrap().unwrap(), b"m2");
    assert_eq!(tree.durable_meta().unwrap(), None);
    assert_eq!(tree.checkpoint().unwrap().unwrap(), b"m2");
    assert_eq!(tree.durable_meta().unwrap().unwrap(), b"m2");
    let page = tree.range(Some(b"a"), 10, 1000).unwrap();
    assert_eq!(page.items, [(b"c".to_vec(), b"3".to_vec())]);
    assert!(!page.more);
    assert!(tree.range(None, 1, 1000).unwrap().more);
    drop(tree);
    let tree = Tree::open(disk, "t").unwrap();
    assert_eq!(tree.applied_meta().unwrap().unwrap(), b"m2");
    assert_eq!(tree.get(b"c").unwrap().unwrap(), b"3");
}

#[test]
fn a_power_off_returns_to_the_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let disk = volatile(dir.path(), 1).unwrap();
    let tree = Tree::open(disk.clone(), "t").unwrap();
    tree.apply(b"m1", vec![put("a", "1")]).unwrap();
    tree.checkpoint().unwrap();
    let at_checkpoint = tree.digest().unwrap();
    tree.apply(b"m2", vec![put("b", "2")]).unwrap();
    disk.power_off();
    drop(tree);
    let disk: Arc<dyn Disk> = volatile(dir.path(), 2).unwrap();
    let tree = Tree::open(disk, "t").unwrap();
    assert_eq!(tree.digest().unwrap(), at_checkpoint);
}
