//! Replay, and the decision between a torn tail and corruption.
//!
//! The writer keeps three rules, and everything here follows from them:
//!
//! 1. *A segment has its name only after its header, its length and its head
//!    are synced.* So a segment with a bad header or another length is corrupt,
//!    never torn.
//! 2. *A batch is written only after the batch before it was synced.* So at
//!    most one batch is unsynced at any time: the last one. Any part of its
//!    sectors may be on the drive, in any order, also cut inside a sector; what
//!    is not is the zeros of the preallocation. Batches, not records, are the
//!    unit: the records inside one batch become durable in any order, so a
//!    valid record behind an invalid one would prove nothing.
//! 3. *A segment is begun only after the last batch of the one before it was
//!    synced.*
//!
//! Hence, where a batch is not valid although bytes that are not zero are there:
//! - in any segment but the last it was durable (3): **corrupt**;
//! - in the last one, if the header of a batch is found anywhere behind it,
//!   that batch had been begun, so this one was durable (2): **corrupt**;
//! - otherwise it is the last batch. It may be unsynced, so it is a **torn
//!   tail**, and is cut off.
//!
//! A batch header counts as found only with the segment's random salt, its
//! checksum, and on the 8-byte grid, so neither what a client stored nor what
//! an earlier file left in the same blocks can be taken for one. One case
//! cannot be told from a torn tail: damage to the very last durable batch. To
//! keep that case small the writer puts an empty batch behind the last one when
//! it closes and after a second without work; by (2) that proves the last one
//! durable, and losing the empty one loses nothing.
//!
//! The cut is made durable before the log is used: the rest is overwritten with
//! zeros and synced. Otherwise the torn batch could be completed by nobody, but
//! bytes of it could later stand behind a shorter batch and look like damage.
//! A missing batch (all zeros) before a later segment is found by comparing
//! sequence numbers with the first one that the next segment's header names.

use super::format::{
    FIRST_BATCH, SEGMENT_HEADER, SegmentHeader, Unreadable, read_batch, read_batch_header,
    read_records,
};
use super::live::Live;
use super::segment::{self, MAX_SEGMENT, Segment};
use super::{Record, Recovered, TornTail, WalError, WalOptions};
use crate::disk::{Disk, DiskFile};
use std::collections::{BTreeMap, VecDeque};

/// Everything the writer needs to go on.
#[derive(Debug)]
pub(super) struct Opened {
    pub recovered: Recovered,
    pub live: Live,
    /// Numbers of all segments, oldest first; the last one is the active one.
    pub segments: VecDeque<u64>,
    pub active: Segment,
    /// Sequence number of the next batch.
    pub next: u64,
}

/// Reads all segments, cuts a torn tail, and returns the active segment.
pub(super) fn open(disk: &dyn Disk, options: &WalOptions) -> Result<Opened, WalError> {
    disk.create_dir(&options.dir)?;
    let numbers = segment::list(disk, &options.dir)?;
    let mut recovered = Recovered::default();
    let mut live = Live::default();
    let Some(&last) = numbers.back() else {
        let mut next = 1;
        let active = segment::create(disk, options, 1, &mut next, &live, 0, None)?;
        return Ok(Opened {
            recovered,
            live,
            segments: [1].into(),
            active,
            next,
        });
    };
    let mut next: Option<u64> = None;
    let mut active = None;
    for (&number, before) in numbers
        .iter()
        .zip(std::iter::once(None).chain(numbers.iter().map(Some)))
    {
        let name = segment::name(number);
        let refused = |refused| refusal(&name, refused);
        let corrupt = |place| refused(damage(place));
        if let Some(before) = before.filter(|b| **b + 1 != number) {
            let reason = format!("the segments after {} are missing", segment::name(*before));
            return Err(corrupt((0, reason)));
        }
        let file = disk.open(&format!("{}/{name}", options.dir))?;
        let (header, bytes) = read_segment(file.as_ref(), number)?.map_err(refused)?;
        if let Some(expected) = next.filter(|n| *n != header.first) {
            let reason = format!(
                "it begins with batch {}, but the segment before it ends before batch {expected}",
                header.first
            );
            return Err(corrupt((0, reason)));
        }
        let scan = scan(
            &header,
            &bytes,
            Position::of(number == last, options),
            |record, repeated| {
                live.note(number, &record, repeated);
                note(&mut recovered, record, repeated);
            },
        )
        .map_err(refused)?;
        next = Some(scan.next);
        if number == last {
            if let Some(torn) = scan.torn {
                cut(file.as_ref(), scan.end, torn.dirty_end)?;
                recovered.torn = Some(TornTail {
                    segment: name.clone(),
                    offset: scan.end,
                    reason: torn.reason,
                });
            }
            active = Some(Segment {
                file,
                number,
                salt: header.salt,
                len: header.len,
                at: scan.end,
            });
        }
    }
    match (active, next) {
        (Some(active), Some(next)) => Ok(Opened {
            recovered,
            live,
            segments: numbers,
            active,
            next,
        }),
        _ => Err(WalError::Options("no segment was read".into())),
    }
}

/// Overwrites `from..to` with zeros, durably.
fn cut(file: &dyn DiskFile, from: u64, to: u64) -> Result<(), WalError> {
    let zeros = vec![0; usize::try_from(to - from).unwrap_or(0)];
    file.write_at(from, &zeros)?;
    file.sync_data()?;
    Ok(())
}

/// Why a segment cannot be used, with the place.
pub(super) type Refused = (u64, Unreadable);

fn damage((offset, reason): (u64, String)) -> Refused {
    (offset, Unreadable::Damaged(reason))
}

fn refusal(segment: &str, (offset, why): Refused) -> WalError {
    let segment = segment.to_owned();
    match why {
        Unreadable::Damaged(reason) => WalError::Corrupt {
            segment,
            offset,
            reason,
        },
        Unreadable::Unknown(what) => WalError::Unknown { segment, what },
    }
}

/// The entries of a segment that nothing after them has replaced, removed or purged, as `live`
/// has it, in the order of groups and indices.
pub(super) fn live_entries(
    disk: &dyn Disk,
    options: &WalOptions,
    number: u64,
    live: &Live,
) -> Result<Vec<Record>, WalError> {
    let name = segment::name(number);
    let refused = |refused| refusal(&name, refused);
    let file = disk.open(&format!("{}/{name}", options.dir))?;
    let (header, bytes) = read_segment(file.as_ref(), number)?.map_err(refused)?;
    let mut found = BTreeMap::new();
    scan(&header, &bytes, Position::Inner, |record, _| {
        if let Record::Entry { group, index, .. } = record
            && live.is_in(number, group, index)
        {
            // Of two in one segment the later one counts.
            found.insert((group, index), record);
        }
    })
    .map_err(refused)?;
    Ok(found.into_values().collect())
}

/// Reads a whole segment. The inner error says why it cannot be used.
#[allow(clippy::type_complexity)]
fn read_segment(
    file: &dyn DiskFile,
    number: u64,
) -> Result<Result<(SegmentHeader, Vec<u8>), Refused>, WalError> {
    let len = file.len()?;
    if !(SEGMENT_HEADER as u64..=MAX_SEGMENT).contains(&len) {
        return Ok(Err(damage((
            0,
            format!("a file of {len} bytes is no segment"),
        ))));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    file.read_at(0, &mut bytes)?;
    let header = match SegmentHeader::decode(&bytes) {
        Ok(header) => header,
        Err(why) => return Ok(Err((0, why))),
    };
    if header.number != number {
        let reason = format!("it says it is segment {}", header.number);
        return Ok(Err(damage((0, reason))));
    }
    if header.len != len {
        let reason = format!("it is {len} bytes long, {} were synced", header.len);
        return Ok(Err(damage((len.min(header.len), reason))));
    }
    Ok(Ok((header, bytes)))
}

/// What was found in one segment.
#[derive(Debug)]
pub(super) struct Scan {
    /// Where the valid batches end.
    pub end: u64,
    /// Sequence number after the last valid batch.
    pub next: u64,
    pub torn: Option<Torn>,
}

#[derive(Debug)]
pub(super) struct Torn {
    /// Behind the last byte that is not zero.
    pub dirty_end: u64,
    pub reason: String,
}

/// What may be unsynced in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Nothing: later segments follow.
    Inner,
    /// The last batch.
    Last,
    /// All of it, by the seeded bug. Rule 2 does not hold for such a log, and it
    /// would be refused; the bug is to lose what was acknowledged, so it is cut.
    #[cfg(feature = "seeded-bugs")]
    LastNeverSynced,
}

impl Position {
    fn of(last: bool, options: &WalOptions) -> Self {
        #[cfg(feature = "seeded-bugs")]
        if last && options.ack_before_sync {
            return Self::LastNeverSynced;
        }
        #[cfg(not(feature = "seeded-bugs"))]
        let _ = options;
        if last { Self::Last } else { Self::Inner }
    }
}

/// Goes through one segment's batches; pure. See the module for the rules.
pub(super) fn scan(
    header: &SegmentHeader,
    bytes: &[u8],
    position: Position,
    mut each: impl FnMut(Record, bool),
) -> Result<Scan, Refused> {
    let mut at = FIRST_BATCH as usize;
    let mut next = header.first;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        match read_batch(rest, header.salt) {
            Ok(batch) => {
                if batch.sequence != next {
                    let reason = format!("batch {} where {next} belongs", batch.sequence);
                    return Err(damage((at as u64, reason)));
                }
                read_records(&batch, header.salt, &mut each).map_err(|e| (at as u64, e))?;
                at += batch.len;
                next += 1;
            }
            Err(reason) => {
                let end = at as u64;
                let Some(dirty) = rest.iter().rposition(|b| *b != 0) else {
                    let torn = None;
                    return Ok(Scan { end, next, torn });
                };
                if position == Position::Inner {
                    return Err(damage((end, format!("{reason}; later segments follow"))));
                }
                if position == Position::Last
                    && let Some(later) = find_header(&rest[..=dirty], header.salt)
                {
                    return Err(damage((end, format!("{reason}; batch {later} follows"))));
                }
                let torn = Some(Torn {
                    dirty_end: end + dirty as u64 + 1,
                    reason,
                });
                return Ok(Scan { end, next, torn });
            }
        }
    }
}

/// The sequence number of the first batch header behind the start of `bytes`.
fn find_header(bytes: &[u8], salt: u64) -> Option<u64> {
    (8..bytes.len())
        .step_by(8)
        .find_map(|at| read_batch_header(&bytes[at..], salt).ok())
}

/// Replays one record.
fn note(recovered: &mut Recovered, record: Record, repeated: bool) {
    let groups = &mut recovered.groups;
    match record {
        Record::Entry { group, index, body } => {
            groups.entry(group).or_default().entries.insert(index, body);
        }
        Record::Truncate { group, from_index } => {
            if let Some(g) = groups.get_mut(&group) {
                drop(g.entries.split_off(&from_index));
            }
        }
        Record::State { group, kind, body } => {
            groups.entry(group).or_default().states.insert(kind, body);
        }
        Record::Purge { group, up_to_index } => {
            let g = groups.entry(group).or_default();
            g.purged = g.purged.max(Some(up_to_index));
            if !repeated {
                g.entries = match up_to_index.checked_add(1) {
                    Some(from) => g.entries.split_off(&from),
                    None => Default::default(),
                };
            }
        }
        Record::DropGroup { group } => {
            groups.remove(&group);
        }
    }
}
