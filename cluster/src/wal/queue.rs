//! The handle on the log, and the queue between callers and the log's thread.

use super::format::{RECORD_HEADER, check, encoded_len};
use super::recover;
use super::writer::Writer;
use super::{Done, Record, Recovered, WalError, WalOptions};
use crate::disk::Disk;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

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
    /// Bytes of entries that are neither purged nor replaced, as of the last new or removed
    /// segment.
    pub live: u64,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    room: Condvar,
    room_async: Notify,
    queue_bytes: usize,
    pub records: AtomicU64,
    pub batches: AtomicU64,
    pub bytes: AtomicU64,
    pub segments: AtomicU64,
    pub live: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    bytes: usize,
    closed: bool,
    failed: Option<Failure>,
}

pub(super) struct Job {
    pub records: Vec<Record>,
    bytes: usize,
    pub done: Done,
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
pub(super) struct Failure(io::ErrorKind, String);

impl Failure {
    pub fn of(e: &io::Error) -> Self {
        Failure(e.kind(), format!("write-ahead log: {e}"))
    }

    pub fn error(&self) -> io::Error {
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
    /// [`WalError::Unknown`] if another build wrote it: do not touch it.
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
            live: AtomicU64::new(opened.live.bytes()),
        });
        let writer = Writer::new(disk, options, opened, shared.clone());
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
            live: s.live.load(Ordering::Relaxed),
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
    pub fn take(&self, batch_bytes: usize, idle: Option<Duration>, out: &mut Vec<Job>) -> Taken {
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

    /// Waits so long at most; whether the last handle is gone.
    pub fn closed_within(&self, wait: Duration) -> bool {
        let queue = self.queue();
        let waited = self
            .work
            .wait_timeout_while(queue, wait, |queue| !queue.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Fails everything queued and everything to come.
    pub fn fail(&self, failure: &Failure) {
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
pub(super) fn call(done: Done, result: io::Result<()>) {
    if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
        tracing::error!("a callback of the write-ahead log panicked");
    }
}

/// What the queue gave.
pub(super) enum Taken {
    Jobs,
    Idle,
    Closed,
}
