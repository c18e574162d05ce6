//! The queue, and the thread that does the group commit.

use super::format::{RECORD_HEADER, begin_batch, check, encoded_len, finish_batch, push_record};
use super::recover::{self, Opened};
use super::{Done, Record, Recovered, WalError, WalOptions, segment};
use crate::disk::{Disk, DiskFile};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// After this long without work the last batch is proven durable.
const IDLE: Duration = Duration::from_secs(1);

/// A handle on the log; clones share it. When the last one is dropped, what is
/// queued is still written, and the thread ends.
#[derive(Clone, Debug)]
pub struct Wal(Arc<Handle>);

/// What the log has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalStats {
    /// Records written.
    pub records: u64,
    /// Batches written: one write and one sync each.
    pub batches: u64,
    /// Bytes of these batches.
    pub bytes: u64,
    /// Segments that exist now.
    pub segments: u64,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    room: Condvar,
    room_async: Notify,
    queue_bytes: usize,
    records: AtomicU64,
    batches: AtomicU64,
    bytes: AtomicU64,
    segments: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    bytes: usize,
    closed: bool,
    failed: Option<Failure>,
}

struct Job {
    records: Vec<Record>,
    bytes: usize,
    done: Done,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Job({} records, {} bytes)",
            self.records.len(),
            self.bytes
        )
    }
}

/// An I/O error that can be told to many.
#[derive(Clone, Debug)]
struct Failure(io::ErrorKind, String);

impl Failure {
    fn of(e: &io::Error) -> Self {
        Failure(e.kind(), format!("write-ahead log: {e}"))
    }

    fn error(&self) -> io::Error {
        io::Error::new(self.0, self.1.clone())
    }
}

impl Wal {
    /// Opens the log in `options.dir`, creating it if there is none, and replays it.
    ///
    /// A torn tail is cut off durably and reported in [`Recovered::torn`].
    ///
    /// # Errors
    /// [`WalError::Corrupt`] if something durable is damaged: do not use the log.
    pub fn open(disk: Arc<dyn Disk>, options: WalOptions) -> Result<(Wal, Recovered), WalError> {
        if !(4096..=1 << 30).contains(&options.segment_bytes) {
            return Err(WalError::Options("segment_bytes: 4 KiB to 1 GiB".into()));
        }
        if options.queue_bytes == 0 || !(1..=64 << 20).contains(&options.batch_bytes) {
            return Err(WalError::Options(
                "queue_bytes: at least 1; batch_bytes: 1 to 64 MiB".into(),
            ));
        }
        let mut opened = recover::open(disk.as_ref(), &options)?;
        let recovered = std::mem::take(&mut opened.recovered);
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
            room_async: Notify::new(),
            queue_bytes: options.queue_bytes,
            records: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            segments: AtomicU64::new(opened.segments.len() as u64),
        });
        let writer = Writer {
            disk,
            options,
            opened,
            shared: shared.clone(),
            buffer: Vec::new(),
            unproven: true,
            spare: None,
        };
        let thread = std::thread::Builder::new()
            .name("wal".into())
            .spawn(move || writer.run())?;
        let thread = Mutex::new(Some(thread));
        Ok((Wal(Arc::new(Handle { shared, thread })), recovered))
    }

    /// Queues records; `done` is called once they are durable (or failed).
    ///
    /// Blocks the calling thread while the queue is full; from asynchronous code
    /// use [`Wal::submit`]. Must not be called from a `done`.
    pub fn append(&self, records: Vec<Record>, done: Done) {
        let shared = &self.0.shared;
        let Some(mut job) = Job::new(records, done) else {
            return;
        };
        let mut queue = shared.queue();
        loop {
            match shared.push(&mut queue, job) {
                None => return,
                Some(back) => job = back,
            }
            queue = shared
                .room
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Like [`Wal::append`], but waits for room without blocking the thread.
    /// Returns when the records are queued, not when they are durable. If it is
    /// cancelled, nothing was queued and `done` is dropped uncalled.
    pub async fn submit(&self, records: Vec<Record>, done: Done) {
        let shared = &self.0.shared;
        let Some(mut job) = Job::new(records, done) else {
            return;
        };
        loop {
            let room = shared.room_async.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            match shared.push(&mut shared.queue(), job) {
                None => return,
                Some(back) => job = back,
            }
            room.await;
        }
    }

    /// Appends records and waits until they are durable.
    pub async fn append_durable(&self, records: Vec<Record>) -> io::Result<()> {
        let (tx, rx) = oneshot::channel();
        let done = Box::new(move |result| {
            // Nobody waits any more: the caller was cancelled.
            let _ = tx.send(result);
        });
        self.submit(records, done).await;
        rx.await
            .unwrap_or_else(|_| Err(io::Error::other("the write-ahead log is closed")))
    }

    /// What ended the log, if something did. Every append fails from then on;
    /// the node should exit and recover from disk.
    pub fn failure(&self) -> Option<io::Error> {
        self.0.shared.queue().failed.as_ref().map(Failure::error)
    }

    /// Counters since the log was opened.
    pub fn stats(&self) -> WalStats {
        let s = &self.0.shared;
        WalStats {
            records: s.records.load(Ordering::Relaxed),
            batches: s.batches.load(Ordering::Relaxed),
            bytes: s.bytes.load(Ordering::Relaxed),
            segments: s.segments.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.work.notify_all();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // A `done` may hold the last handle; a thread cannot join itself.
        if let Some(t) = thread.filter(|t| t.thread().id() != std::thread::current().id()) {
            let _ = t.join();
        }
    }
}

impl Job {
    /// Checks the bounds; tells `done` and returns nothing if they do not hold.
    fn new(records: Vec<Record>, done: Done) -> Option<Job> {
        if let Some(reason) = records.iter().find_map(|r| check(r).err()) {
            done(Err(io::Error::new(io::ErrorKind::InvalidInput, reason)));
            return None;
        }
        // Counted with the job itself, so that empty jobs are bounded too.
        let bytes = RECORD_HEADER + records.iter().map(encoded_len).sum::<usize>();
        Some(Job {
            records,
            bytes,
            done,
        })
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a job, or gives it back if there is no room.
    fn push(&self, queue: &mut Queue, job: Job) -> Option<Job> {
        if let Some(failure) = &queue.failed {
            (job.done)(Err(failure.error()));
            return None;
        }
        if queue.bytes >= self.queue_bytes {
            return Some(job);
        }
        queue.bytes += job.bytes;
        queue.jobs.push_back(job);
        self.work.notify_one();
        None
    }

    /// Waits for jobs and takes a batch of them. With `idle`, waits no longer
    /// than that.
    fn take(&self, batch_bytes: usize, idle: Option<Duration>, out: &mut Vec<Job>) -> Taken {
        let mut queue = self.queue();
        let deadline = idle.map(|idle| Instant::now() + idle);
        while queue.jobs.is_empty() {
            if queue.closed {
                return Taken::Closed;
            }
            queue = match deadline.map(|d| d.saturating_duration_since(Instant::now())) {
                None => self
                    .work
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Taken::Idle,
                Some(left) => {
                    self.work
                        .wait_timeout(queue, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        let mut bytes = 0;
        while bytes < batch_bytes
            && let Some(job) = queue.jobs.pop_front()
        {
            bytes += job.bytes;
            queue.bytes -= job.bytes;
            out.push(job);
        }
        drop(queue);
        self.room.notify_all();
        self.room_async.notify_waiters();
        Taken::Jobs
    }

    /// Fails everything queued and everything to come.
    fn fail(&self, failure: &Failure) {
        let jobs = {
            let mut queue = self.queue();
            queue.failed = Some(failure.clone());
            queue.bytes = 0;
            std::mem::take(&mut queue.jobs)
        };
        self.room.notify_all();
        self.room_async.notify_waiters();
        for job in jobs {
            call(job.done, Err(failure.error()));
        }
    }
}

/// Calls back; a panic there must not end the log.
fn call(done: Done, result: io::Result<()>) {
    if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
        tracing::error!("a callback of the write-ahead log panicked");
    }
}

/// What the queue gave.
enum Taken {
    Jobs,
    Idle,
    Closed,
}

struct Writer {
    disk: Arc<dyn Disk>,
    options: WalOptions,
    opened: Opened,
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    /// The last batch is not followed by another one: see `prove_last`.
    unproven: bool,
    /// The next segment's file, being preallocated.
    spare: Option<JoinHandle<io::Result<Arc<dyn DiskFile>>>>,
}

impl Writer {
    fn run(mut self) {
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
        let mut rotated = false;
        let mut records = jobs.iter().flat_map(|j| &j.records).peekable();
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
        let active = &mut self.opened.active;
        active.file.write_at(active.at, &self.buffer)?;
        if self.syncs() {
            self.opened.active.file.sync_data()?;
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

    #[cfg(feature = "seeded-bugs")]
    fn syncs(&self) -> bool {
        !self.options.ack_before_sync
    }

    #[cfg(not(feature = "seeded-bugs"))]
    fn syncs(&self) -> bool {
        true
    }

    fn rotate(&mut self, payload: usize) -> io::Result<()> {
        let spare = match self.spare.take() {
            None => None,
            Some(spare) => Some(
                spare
                    .join()
                    .map_err(|_| io::Error::other("preparing a segment panicked"))??,
            ),
        };
        let opened = &mut self.opened;
        // Nothing is unsynced here, except with the seeded bug, whose log would
        // otherwise not be lost but refused as corrupt.
        #[cfg(feature = "seeded-bugs")]
        opened.active.file.sync_data()?;
        opened.active = segment::create(
            self.disk.as_ref(),
            &self.options,
            opened.active.number + 1,
            &mut opened.next,
            &opened.live,
            payload,
            spare,
        )?;
        opened.segments.push_back(opened.active.number);
        self.count_segments();
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
    }
}
