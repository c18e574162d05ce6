//! The thread that does the group commit.

use super::format::{begin_batch, encoded_len, finish_batch, push_record};
use super::queue::{Failure, Job, Shared, Taken, call};
use super::recover::{self, Opened};
use super::{Record, WalOptions, segment};
use crate::disk::{Disk, DiskFile};
use std::io;
use std::iter::Peekable;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

/// After this long without work the last batch is proven durable.
const IDLE: Duration = Duration::from_secs(1);
/// Segments that are compacted at once.
const COMPACT: usize = 2;
/// How often a full disk is tried again.
const ROOM: Duration = Duration::from_millis(100);

/// Sets "the disk is full" apart from errors that end the log: a write that found no room was
/// not done, and may be tried again. (A sync is never tried again, whatever it says.)
fn no_room_or<T>(done: io::Result<T>) -> io::Result<Result<T, io::Error>> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(e) if e.kind() == io::ErrorKind::StorageFull => Ok(Err(e)),
        Err(e) => Err(e),
    }
}

pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    options: WalOptions,
    opened: Opened,
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    /// The last batch is not followed by another one: see `prove_last`.
    unproven: bool,
    /// The disk was full at the last try.
    waited: bool,
    /// The next segment's file, being preallocated.
    spare: Option<JoinHandle<io::Result<Arc<dyn DiskFile>>>>,
    /// When the log that answers before it syncs last synced.
    #[cfg(feature = "seeded-bugs")]
    synced: std::time::Instant,
}

impl Writer {
    pub fn new(
        disk: Arc<dyn Disk>,
        options: WalOptions,
        opened: Opened,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            disk,
            options,
            opened,
            shared,
            buffer: Vec::new(),
            unproven: true,
            waited: false,
            spare: None,
            #[cfg(feature = "seeded-bugs")]
            synced: std::time::Instant::now(),
        }
    }

    /// Until the last handle is dropped, or something fails.
    pub fn run(mut self) {
        let mut jobs = Vec::new();
        let result = loop {
            let idle = self.unproven.then_some(IDLE);
            let taken = self.shared.take(self.options.batch_bytes, idle, &mut jobs);
            let result = match taken {
                Taken::Jobs => self.serve(&mut jobs),
                Taken::Idle | Taken::Closed => self.prove_last(),
            };
            if result.is_err() || matches!(taken, Taken::Closed) {
                break result;
            }
        };
        if let Err(e) = result {
            tracing::error!("the write-ahead log failed: {e}");
            self.shared.fail(&Failure::of(&e));
        }
        // The disk is free when the last handle is gone.
        if let Some(spare) = self.spare.take() {
            let _ = spare.join();
        }
    }

    /// Writes the jobs, calls back, and removes segments that are not needed.
    fn serve(&mut self, jobs: &mut Vec<Job>) -> io::Result<()> {
        let tidy = jobs
            .iter()
            .flat_map(|j| &j.records)
            .any(|r| !matches!(r, Record::Entry { .. } | Record::State { .. }));
        let written = self.write(jobs);
        let told = written.as_ref().map(|_| ()).map_err(Failure::of);
        for job in jobs.drain(..) {
            call(job.done, told.as_ref().copied().map_err(Failure::error));
        }
        if written? || tidy {
            self.remove_unneeded()?;
            self.compact()?;
        }
        let active = &self.opened.active;
        if self.spare.is_none() && active.at > active.len / 2 {
            self.prepare_spare()?;
        }
        Ok(())
    }

    /// Writes an empty batch behind the last one. It shows that the last one was
    /// durable, so that damage to it is not taken for a torn tail.
    fn prove_last(&mut self) -> io::Result<()> {
        // No segment only for this: a later one proves all before it anyway.
        if self.unproven && self.opened.active.fits(0) {
            self.buffer.clear();
            let begun = begin_batch(&mut self.buffer);
            finish_batch(
                &mut self.buffer,
                begun,
                self.opened.active.salt,
                self.opened.next,
                0,
            );
            self.commit(0)?;
        }
        self.unproven = false;
        Ok(())
    }

    /// Starts preallocating the next segment, so that beginning it is quick.
    fn prepare_spare(&mut self) -> io::Result<()> {
        let (disk, options) = (self.disk.clone(), self.options.clone());
        let spare = std::thread::Builder::new()
            .name("wal-spare".into())
            .spawn(move || segment::spare(disk.as_ref(), &options))?;
        self.spare = Some(spare);
        Ok(())
    }

    /// Writes the records of all jobs, in as many batches as their size asks
    /// for. Returns whether a segment was begun.
    fn write(&mut self, jobs: &[Job]) -> io::Result<bool> {
        self.write_records(jobs.iter().flat_map(|j| &j.records).peekable())
    }

    fn write_records<'a>(
        &mut self,
        mut records: Peekable<impl Iterator<Item = &'a Record> + Clone>,
    ) -> io::Result<bool> {
        let mut rotated = false;
        while records.peek().is_some() {
            let mut ahead = records.clone();
            let (mut count, mut payload) = (0, 0);
            while payload < self.options.batch_bytes
                && let Some(record) = ahead.next()
            {
                count += 1;
                payload += encoded_len(record);
            }
            if !self.opened.active.fits(payload) {
                self.rotate(payload)?;
                rotated = true;
            }
            self.buffer.clear();
            let salt = self.opened.active.salt;
            let begun = begin_batch(&mut self.buffer);
            for record in records.by_ref().take(count) {
                push_record(&mut self.buffer, salt, record);
                self.opened
                    .live
                    .note(self.opened.active.number, record, false);
            }
            finish_batch(
                &mut self.buffer,
                begun,
                salt,
                self.opened.next,
                count as u32,
            );
            self.commit(count)?;
        }
        Ok(rotated)
    }

    /// One write, one sync.
    fn commit(&mut self, records: usize) -> io::Result<()> {
        // Nothing of the batch was synced or answered, and the next try writes the same bytes
        // at the same place.
        loop {
            let active = &self.opened.active;
            match no_room_or(active.file.write_at(active.at, &self.buffer))? {
                Ok(()) => break,
                Err(full) => self.wait_for_room(full)?,
            }
        }
        if self.syncs() {
            self.opened.active.file.sync_data()?;
        }
        if std::mem::take(&mut self.waited) {
            tracing::info!("the disk has room again, and the write-ahead log goes on");
        }
        let len = self.buffer.len() as u64;
        self.opened.active.at += len;
        self.opened.next += 1;
        self.unproven = records > 0;
        let shared = &self.shared;
        shared.records.fetch_add(records as u64, Ordering::Relaxed);
        shared.batches.fetch_add(1, Ordering::Relaxed);
        shared.bytes.fetch_add(len, Ordering::Relaxed);
        Ok(())
    }

    /// The broken store syncs once a second, long after it has answered.
    #[cfg(feature = "seeded-bugs")]
    fn syncs(&mut self) -> bool {
        if !self.options.ack_before_sync {
            return true;
        }
        let due = self.synced.elapsed() >= std::time::Duration::from_secs(1);
        if due {
            self.synced = std::time::Instant::now();
        }
        due
    }

    #[cfg(not(feature = "seeded-bugs"))]
    fn syncs(&mut self) -> bool {
        true
    }

    fn rotate(&mut self, payload: usize) -> io::Result<()> {
        let mut spare = match self.spare.take() {
            None => None,
            Some(spare) => {
                let made = spare
                    .join()
                    .map_err(|_| io::Error::other("preparing a segment panicked"))?;
                match no_room_or(made)? {
                    Ok(file) => Some(file),
                    Err(full) => {
                        tracing::warn!("no room for a segment ahead of time: {full}");
                        segment::discard(self.disk.as_ref(), &self.options)?;
                        None
                    }
                }
            }
        };
        // Nothing is unsynced here, except with the seeded bug, whose log would
        // otherwise not be lost but refused as corrupt.
        #[cfg(feature = "seeded-bugs")]
        self.opened.active.file.sync_data()?;
        loop {
            let opened = &mut self.opened;
            let mut next = opened.next;
            let made = segment::create(
                self.disk.as_ref(),
                &self.options,
                opened.active.number + 1,
                &mut next,
                &opened.live,
                payload,
                spare.take(),
            );
            match no_room_or(made)? {
                Ok(segment) => {
                    opened.next = next;
                    opened.active = segment;
                    opened.segments.push_back(opened.active.number);
                    self.count_segments();
                    return Ok(());
                }
                Err(full) => {
                    segment::discard(self.disk.as_ref(), &self.options)?;
                    self.wait_for_room(full)?;
                }
            }
        }
    }

    /// Waits a moment for a disk that is full; an error if nobody wants the log any more.
    fn wait_for_room(&mut self, full: io::Error) -> io::Result<()> {
        if !self.waited {
            self.waited = true;
            tracing::error!("the write-ahead log waits until the disk has room: {full}");
        }
        if self.shared.closed_within(ROOM) {
            return Err(full);
        }
        Ok(())
    }

    /// Writes what is live in the oldest segment once more, so that it can go, if there are more
    /// segments than what is live in them explains. A few at a time: appends wait meanwhile.
    ///
    /// Nothing can come between reading and writing: only this thread writes, and everything that
    /// was appended before is noted in `live`. Replay finds an entry twice until the old segment
    /// is gone, and takes the later one, which is the same.
    fn compact(&mut self) -> io::Result<()> {
        for _ in 0..COMPACT {
            let most = self.opened.live.most_segments(self.options.segment_bytes);
            let oldest = match self.opened.segments.front() {
                Some(oldest) if self.opened.segments.len() as u64 > most => *oldest,
                _ => break,
            };
            let live = &self.opened.live;
            let entries = recover::live_entries(self.disk.as_ref(), &self.options, oldest, live)
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
            self.write_records(entries.iter().peekable())?;
            // The broken store may not have synced what it wrote; it shall lose, not be damaged.
            #[cfg(feature = "seeded-bugs")]
            self.opened.active.file.sync_data()?;
            self.remove_unneeded()?;
        }
        Ok(())
    }

    /// Removes the oldest segments while nothing live is in them.
    fn remove_unneeded(&mut self) -> io::Result<()> {
        let opened = &mut self.opened;
        let needed = opened
            .live
            .oldest_needed()
            .map_or(opened.active.number, |n| n.min(opened.active.number));
        while let Some(number) = opened.segments.pop_front_if(|n| *n < needed) {
            segment::remove(self.disk.as_ref(), &self.options.dir, number)?;
        }
        self.count_segments();
        Ok(())
    }

    fn count_segments(&self) {
        let n = self.opened.segments.len() as u64;
        self.shared.segments.store(n, Ordering::Relaxed);
        let live = self.opened.live.bytes();
        self.shared.live.store(live, Ordering::Relaxed);
    }
}
