//! Segment files: names, creation, removal.

use super::format::{
    BATCH_HEADER, FIRST_BATCH, SegmentHeader, batch_len, begin_batch, encoded_len, finish_batch,
    push_repeated,
};
use super::live::Live;
use super::{WalError, WalOptions};
use crate::disk::{Disk, DiskFile};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Longer segments are neither made nor read.
pub(super) const MAX_SEGMENT: u64 = 2 << 30;

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Segment {
    pub file: Arc<dyn DiskFile>,
    pub number: u64,
    pub salt: u64,
    /// Length of the file.
    pub len: u64,
    /// Where the next batch goes.
    pub at: u64,
}

impl Segment {
    /// Whether a batch with this payload still fits.
    pub fn fits(&self, payload: usize) -> bool {
        self.at + batch_len(payload) as u64 <= self.len
    }
}

/// File name of a segment.
pub(super) fn name(number: u64) -> String {
    format!("{number:016x}.wal")
}

/// Numbers of all segments, sorted. Removes what an interrupted creation left. What has not the
/// name of a segment is somebody else's and stays; a segment that is missing leaves a gap.
pub(super) fn list(disk: &dyn Disk, dir: &str) -> Result<VecDeque<u64>, WalError> {
    let mut numbers = VecDeque::new();
    let mut strays = Vec::new();
    let mut unfinished = false;
    for file in disk.list(dir)? {
        if file.ends_with(".tmp") {
            disk.remove(&format!("{dir}/{file}"))?;
            unfinished = true;
            continue;
        }
        let number = file
            .strip_suffix(".wal")
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            .filter(|n| name(*n) == file);
        match number {
            Some(number) => numbers.push_back(number),
            None => strays.push(file),
        }
    }
    if unfinished {
        disk.sync_dir(dir)?;
    }
    for file in strays {
        let number = file.get(..16).and_then(|n| u64::from_str_radix(n, 16).ok());
        // One that was given another name: without it the log would end too early.
        if number.is_some_and(|n| numbers.back().is_none_or(|last| n > *last)) {
            return Err(WalError::Corrupt {
                segment: file,
                offset: 0,
                reason: "a segment under another name".into(),
            });
        }
        tracing::warn!("{dir}/{file} is not part of the write-ahead log: left alone");
    }
    Ok(numbers)
}

/// Makes a segment that begins with batch `*next` and has room for a batch of
/// `payload` bytes; writes its head (what `live` repeats) and advances `*next`
/// by the head's batches. When it returns, header, head and name are durable.
/// `spare` is what [`spare`] made, if it was called.
pub(super) fn create(
    disk: &dyn Disk,
    options: &WalOptions,
    number: u64,
    next: &mut u64,
    live: &Live,
    payload: usize,
    spare: Option<Arc<dyn DiskFile>>,
) -> io::Result<Segment> {
    let salt = rand::random::<u64>() | 1;
    let first = *next;
    let mut head = Vec::new();
    let records = live.head();
    let mut records = records.iter().peekable();
    while records.peek().is_some() {
        let begun = begin_batch(&mut head);
        let mut count = 0;
        while let Some(record) = records
            .next_if(|r| count == 0 || head.len() - begun + encoded_len(r) <= options.batch_bytes)
        {
            push_repeated(&mut head, salt, record);
            count += 1;
        }
        finish_batch(&mut head, begun, salt, *next, count);
        *next += 1;
    }
    let at = FIRST_BATCH + head.len() as u64;
    let len = options
        .segment_bytes
        .max(at + (batch_len(payload) + BATCH_HEADER) as u64);
    let header = SegmentHeader {
        number,
        salt,
        first,
        len,
    };

    if len > MAX_SEGMENT {
        let reason = format!("a segment of {len} bytes; at most {MAX_SEGMENT}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    let (tmp, file) = match spare {
        Some(file) => (spare_name(options), file),
        None => {
            let tmp = format!("{}/{number:016x}.tmp", options.dir);
            let file = disk.create(&tmp)?;
            (tmp, file)
        }
    };
    preallocate(file.as_ref(), len)?;
    file.write_at(0, &header.encode())?;
    file.write_at(FIRST_BATCH, &head)?;
    file.sync_data()?;
    disk.rename(&tmp, &format!("{}/{}", options.dir, name(number)))?;
    disk.sync_dir(&options.dir)?;
    Ok(Segment {
        file,
        number,
        salt,
        len,
        at,
    })
}

/// Makes a preallocated file for the next segment.
pub(super) fn spare(disk: &dyn Disk, options: &WalOptions) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.create(&spare_name(options))?;
    preallocate(file.as_ref(), options.segment_bytes)?;
    file.sync_data()?;
    Ok(file)
}

/// Removes what an interrupted [`create`] or [`spare`] left, so that it can be tried again.
pub(super) fn discard(disk: &dyn Disk, options: &WalOptions) -> io::Result<()> {
    for file in disk.list(&options.dir)? {
        if file.ends_with(".tmp") {
            disk.remove(&format!("{}/{file}", options.dir))?;
        }
    }
    Ok(())
}

fn spare_name(options: &WalOptions) -> String {
    format!("{}/spare.tmp", options.dir)
}

/// Writes zeros up to `len`: a hole or an unwritten extent would make each later
/// sync commit metadata.
fn preallocate(file: &dyn DiskFile, len: u64) -> io::Result<()> {
    let mut at = file.len()?;
    let zeros = vec![0; len.saturating_sub(at).min(1 << 20) as usize];
    while at < len {
        let n = (len - at).min(zeros.len() as u64);
        file.write_at(at, &zeros[..n as usize])?;
        at += n;
    }
    Ok(())
}

/// Removes a segment, durably.
pub(super) fn remove(disk: &dyn Disk, dir: &str, number: u64) -> io::Result<()> {
    disk.remove(&format!("{dir}/{}", name(number)))?;
    disk.sync_dir(dir)
}
