//! Torn tails are cut off, damage is refused, and wrong data is never given.

use super::format::{
    BATCH_HEADER, FIRST_BATCH, SegmentHeader, Unreadable, begin_batch, finish_batch, push_record,
    read_batch,
};
use super::recover::{Position, scan};
use super::tests::{closed_log, entry, file, model, same, small};
use super::*;
use crate::disk::{Disk, real};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SALT: u64 = 0x5a17_5a17_5a17_5a17;

/// A segment in memory with one batch per slice of records; where each begins.
fn image(batches: &[Vec<Record>]) -> (SegmentHeader, Vec<u8>, Vec<usize>) {
    let header = SegmentHeader {
        number: 1,
        salt: SALT,
        first: 5,
        len: 16384,
    };
    let mut bytes = vec![0; FIRST_BATCH as usize];
    let mut starts = Vec::new();
    for (n, records) in batches.iter().enumerate() {
        starts.push(bytes.len());
        let at = begin_batch(&mut bytes);
        for r in records {
            push_record(&mut bytes, SALT, r);
        }
        finish_batch(&mut bytes, at, SALT, 5 + n as u64, records.len() as u32);
    }
    starts.push(bytes.len());
    bytes.resize(header.len as usize, 0);
    (header, bytes, starts)
}

fn batches(rng: &mut ChaCha8Rng, n: u64) -> Vec<Vec<Record>> {
    (0..n)
        .map(|b| {
            (0..rng.random_range(1..4_u64))
                .map(|r| {
                    let len = rng.random_range(0..900);
                    // Zeros too, which look like what was never written.
                    let byte = rng.random_range(0..2_u8) * 0x77;
                    entry(r, b, &vec![byte; len])
                })
                .collect()
        })
        .collect()
}

fn scanned(
    header: &SegmentHeader,
    bytes: &[u8],
    last: bool,
) -> Result<(Vec<Record>, super::recover::Scan), (u64, String)> {
    let mut records = Vec::new();
    let position = if last {
        Position::Last
    } else {
        Position::Inner
    };
    match scan(header, bytes, position, |r, _| records.push(r)) {
        Ok(scan) => Ok((records, scan)),
        Err((at, Unreadable::Damaged(reason))) => Err((at, reason)),
        Err((at, Unreadable::Unknown(what))) => panic!("not damage at {at}: {what}"),
    }
}

#[test]
fn any_part_of_the_last_batch_is_a_torn_tail() {
    for seed in 0..2000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let all = batches(&mut rng, 4);
        let (header, mut bytes, starts) = image(&all);
        let (from, to) = (starts[3], starts[4]);
        let whole = bytes.clone();
        if rng.random_ratio(1, 2) {
            // A proper prefix.
            let cut = rng.random_range(from..to);
            bytes[cut..to].fill(0);
        } else {
            // Some sectors, in any order.
            for sector in from / 512..=(to - 1) / 512 {
                if rng.random_ratio(1, 2) {
                    bytes[(sector * 512).max(from)..((sector + 1) * 512).min(to)].fill(0);
                }
            }
        }
        let (records, found) = scanned(&header, &bytes, true).unwrap();
        if bytes == whole {
            assert_eq!(records, all.concat());
            assert!(found.torn.is_none());
            continue;
        }
        assert_eq!(records, all[..3].concat());
        assert_eq!((found.end, found.next), (from as u64, 8));
        let dirty = bytes[from..to].iter().any(|b| *b != 0);
        assert_eq!(found.torn.is_some(), dirty);
        if dirty {
            let refused = scanned(&header, &bytes, false);
            assert_eq!(refused.unwrap_err().0, from as u64, "only the last segment");
        }
    }
}

#[test]
fn damage_before_the_last_batch_is_refused_there() {
    for seed in 0..2000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let all = batches(&mut rng, 4);
        let (header, mut bytes, starts) = image(&all);
        let at = rng.random_range(starts[0]..starts[3]);
        let whole = bytes.clone();
        match rng.random_range(0..3) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8_u32),
            // A lost sector, which looks like what was never written.
            1 => bytes[at / 512 * 512..][..512].fill(0),
            _ => bytes[at..starts[3]].fill(0),
        }
        if bytes == whole {
            continue;
        }
        let Err((place, reason)) = scanned(&header, &bytes, true) else {
            // The lost sector may have had the end of the last batch's header too.
            let lost = read_batch(&bytes[starts[3]..], SALT).is_err();
            assert!(lost, "seed {seed}: damage was not seen");
            continue;
        };
        assert!(starts.contains(&(place as usize)), "{place} {reason}");
        assert!(place as usize <= at || at / 512 == place as usize / 512);
    }
}

#[test]
fn a_damaged_last_batch_still_proves_the_one_before_it() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (header, mut bytes, starts) = image(&batches(&mut rng, 3));
    bytes[starts[1] + BATCH_HEADER] ^= 1;
    bytes[starts[2] + BATCH_HEADER] ^= 1;
    let (place, reason) = scanned(&header, &bytes, true).unwrap_err();
    assert_eq!(place, starts[1] as u64);
    assert!(reason.contains("batch 7 follows"), "{reason}");
}

#[test]
fn bytes_of_another_segment_do_not_count() {
    // Stale bytes, or what a client stored: well formed, with another salt.
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (header, bytes, starts) = image(&batches(&mut rng, 3));
    let mut other = bytes.clone();
    let stale = starts[1]..starts[3];
    for b in &starts[1..3] {
        other[*b] ^= 1; // the salt's first byte
    }
    other[..stale.start].copy_from_slice(&bytes[..stale.start]);
    let (records, found) = scanned(&header, &other, true).unwrap();
    assert_eq!(found.end, stale.start as u64);
    assert!(!records.is_empty());
    assert_eq!(found.torn.unwrap().dirty_end, stale.end as u64);
}

/// Names and contents of a log's segments.
fn read_all(disk: &dyn Disk) -> Vec<(String, Vec<u8>)> {
    disk.list("wal")
        .unwrap()
        .into_iter()
        .filter(|name| name.ends_with(".wal"))
        .map(|name| {
            let f = file(disk, &name);
            let mut bytes = vec![0; f.len().unwrap() as usize];
            f.read_at(0, &mut bytes).unwrap();
            (name, bytes)
        })
        .collect()
}

fn write_all(disk: &dyn Disk, files: &[(String, Vec<u8>)]) {
    for name in disk.list("wal").unwrap() {
        disk.remove(&format!("wal/{name}")).unwrap();
    }
    for (name, bytes) in files {
        let f = disk.create(&format!("wal/{name}")).unwrap();
        f.write_at(0, bytes).unwrap();
    }
}

#[test]
fn a_flipped_bit_is_refused_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let expected = model(&closed_log(dir.path()));
    let disk = real(dir.path()).unwrap();
    let files = read_all(disk.as_ref());
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (mut refused, mut harmless) = (0, 0);
    for _ in 0..400 {
        let which = rng.random_range(0..files.len());
        let mut damaged = files.clone();
        let bytes = &mut damaged[which].1;
        let at = rng.random_range(0..bytes.len());
        bytes[at] ^= 1 << rng.random_range(0..8_u32);
        write_all(disk.as_ref(), &damaged);
        match Wal::open(disk.clone(), small()) {
            Ok((_, found)) => {
                assert!(same(&found.groups, &expected), "{at} in segment {which}");
                harmless += 1;
            }
            Err(WalError::Corrupt { segment, .. }) => {
                assert_eq!(segment, files[which].0);
                refused += 1;
            }
            Err(e) => panic!("{e}"),
        }
    }
    assert!(refused > 50 && harmless > 5, "{refused} {harmless}");
}

#[test]
fn missing_shortened_and_foreign_segments_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    closed_log(dir.path());
    let disk = real(dir.path()).unwrap();
    let files = read_all(disk.as_ref());
    let refused = |files: &[(String, Vec<u8>)], expected: &str| {
        write_all(disk.as_ref(), files);
        let e = Wal::open(disk.clone(), small()).unwrap_err();
        assert!(matches!(e, WalError::Corrupt { .. }), "{e}");
        assert!(e.to_string().contains(expected), "{e}");
    };
    let mut missing = files.clone();
    missing.remove(1);
    refused(&missing, "are missing");

    let mut short = files.clone();
    let last = short.last_mut().unwrap();
    last.1.truncate(2000);
    refused(&short, "bytes long");

    let mut empty = files.clone();
    empty[0].1.clear();
    refused(&empty, "is no segment");

    let mut swapped = files.clone();
    (swapped[0].1, swapped[1].1) = (files[1].1.clone(), files[0].1.clone());
    refused(&swapped, "it says it is segment");

    // The whole end of an inner segment lost: zeros, so nothing there is invalid.
    let mut zeroed = files.clone();
    let (_, bytes) = &mut zeroed[0];
    let header = SegmentHeader::decode(bytes).unwrap();
    let first = read_batch(&bytes[FIRST_BATCH as usize..], header.salt)
        .unwrap()
        .len;
    bytes[FIRST_BATCH as usize + first..].fill(0);
    refused(&zeroed, "ends before batch");

    let mut renamed = files.clone();
    renamed.last_mut().unwrap().0.push_str(".bak");
    refused(&renamed, "under another name");

    write_all(disk.as_ref(), &files);
    Wal::open(disk.clone(), small()).unwrap();
}

#[test]
fn what_is_not_a_segment_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let expected = model(&closed_log(dir.path()));
    let disk = real(dir.path()).unwrap();
    let mut files = read_all(disk.as_ref());
    // Somebody's note, and somebody's copy of a segment that is there.
    let copy = (format!("{}.bak", files[0].0), files[0].1.clone());
    files.extend([("README.txt".into(), vec![1]), copy.clone()]);
    write_all(disk.as_ref(), &files);
    let (wal, found) = Wal::open(disk.clone(), small()).unwrap();
    assert!(same(&found.groups, &expected));
    drop(wal);
    for name in ["README.txt", &copy.0] {
        assert!(disk.exists(&format!("wal/{name}")).unwrap(), "{name}");
    }
}

/// What another build wrote is not damage: the log is refused for another reason, and nothing in
/// the folder is touched.
#[test]
fn what_is_not_known_is_not_damage() {
    let dir = tempfile::tempdir().unwrap();
    closed_log(dir.path());
    let disk = real(dir.path()).unwrap();
    let files = read_all(disk.as_ref());
    let unknown = |files: &[(String, Vec<u8>)], segment: &str, expected: &str| {
        write_all(disk.as_ref(), files);
        let e = Wal::open(disk.clone(), small()).unwrap_err();
        assert!(matches!(e, WalError::Unknown { .. }), "{e}");
        let said = e.to_string();
        assert!(said.contains(expected) && said.contains(segment), "{said}");
        assert_eq!(read_all(disk.as_ref()), files);
    };
    let mut newer = files.clone();
    newer[0].1[8] = 2;
    let crc = crc32c::crc32c(&newer[0].1[..60]);
    newer[0].1[60..64].copy_from_slice(&crc.to_le_bytes());
    unknown(&newer, &files[0].0, "format version 2, this build knows 1");

    // A record of a kind that does not exist yet, everything else as it should be.
    let mut newer = files.clone();
    let (name, bytes) = newer.last_mut().unwrap();
    let header = SegmentHeader::decode(bytes).unwrap();
    let (_, end) = scanned(&header, bytes, true).unwrap();
    let mut batch = Vec::new();
    let at = begin_batch(&mut batch);
    push_record(&mut batch, header.salt, &entry(1, 999, &[1; 100]));
    let record = at + BATCH_HEADER;
    batch[record + 16] = 77;
    let mut crc = crc32c::crc32c(&header.salt.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &batch[record..record + 4]);
    crc = crc32c::crc32c_append(crc, &batch[record + 8..]);
    batch[record + 4..record + 8].copy_from_slice(&crc.to_le_bytes());
    finish_batch(&mut batch, at, header.salt, end.next, 1);
    let end = end.end as usize;
    bytes[end..end + batch.len()].copy_from_slice(&batch);
    let name = name.clone();
    unknown(&newer, &name, "record kind 77");
}

#[test]
fn a_torn_tail_is_reported_once_and_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let expected = model(&closed_log(dir.path()));
    let disk = real(dir.path()).unwrap();
    let mut files = read_all(disk.as_ref());
    // Half a batch behind the last one.
    let (name, bytes) = files.last_mut().unwrap();
    let header = SegmentHeader::decode(bytes).unwrap();
    let (_, end) = scanned(&header, bytes, true).unwrap();
    let mut torn = Vec::new();
    let at = begin_batch(&mut torn);
    push_record(&mut torn, header.salt, &entry(1, 999, &[1; 100]));
    finish_batch(&mut torn, at, header.salt, end.next, 1);
    let end = end.end as usize;
    bytes[end..end + 90].copy_from_slice(&torn[..90]);
    let name = name.clone();
    write_all(disk.as_ref(), &files);

    let (wal, found) = Wal::open(disk.clone(), small()).unwrap();
    assert!(same(&found.groups, &expected));
    let tail = found.torn.unwrap();
    assert_eq!((tail.segment, tail.offset), (name, end as u64));
    drop(wal);
    let (_, found) = Wal::open(disk, small()).unwrap();
    assert!(same(&found.groups, &expected));
    assert_eq!(found.torn, None);
}
