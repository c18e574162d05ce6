//! A file that a thread of its own writes, so that a disk which hangs or is full holds up nobody
//! who measures or reverts.

use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Bytes that are written at once.
const CHUNK: usize = 64 << 10;
/// Chunks that wait: 16 MiB.
const WAITING: usize = 256;
/// A disk that does not take a chunk in this time is as good as none.
const HANGS: Duration = Duration::from_secs(10);
/// At the end, so long is waited until everything is on disk.
const SETTLES: Duration = Duration::from_secs(20);

/// Who wants to know of the first failure.
type Failed = Box<dyn Fn(String) + Send>;

enum Job {
    Bytes(Vec<u8>),
    Settle(oneshot::Sender<io::Result<()>>),
}

/// Takes bytes without ever waiting for the disk.
pub struct Behind {
    chunk: Vec<u8>,
    jobs: SyncSender<Job>,
    /// When the write that is under way began.
    since: Arc<Mutex<Option<Instant>>>,
}

/// Waits until what was taken so far is on disk.
pub struct Settle(SyncSender<Job>);

impl Behind {
    /// Writes to `file` from now on. `failed` is told once, from the thread, if that fails; what
    /// comes later is thrown away.
    ///
    /// # Errors
    /// There are no threads.
    pub fn new(file: File, failed: impl Fn(String) + Send + 'static) -> io::Result<(Self, Settle)> {
        let (jobs, taken) = sync_channel(WAITING);
        let since = Arc::new(Mutex::new(None));
        let began = since.clone();
        std::thread::Builder::new()
            .name("history".into())
            .spawn(move || write(file, &taken, &began, Box::new(failed)))?;
        let behind = Behind {
            chunk: Vec::with_capacity(CHUNK),
            jobs: jobs.clone(),
            since,
        };
        Ok((behind, Settle(jobs)))
    }

    fn send(&mut self) -> io::Result<()> {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.is_some_and(|since| since.elapsed() > HANGS) {
            let text = format!("the disk has taken nothing for {} s", HANGS.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        match self.jobs.try_send(Job::Bytes(chunk)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                let text = format!("the disk is {} MiB behind", (WAITING * CHUNK) >> 20);
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
            Err(TrySendError::Disconnected(_)) => Err(io::Error::other("its thread is gone")),
        }
    }
}

impl Write for Behind {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

impl Settle {
    /// Waits until everything that was sent is on disk.
    ///
    /// # Errors
    /// Those of the file system, or that it took too long.
    pub async fn settle(self) -> io::Result<()> {
        let late = || {
            let text = format!("not on disk after {} s", SETTLES.as_secs());
            io::Error::new(io::ErrorKind::TimedOut, text)
        };
        let (done, settled) = oneshot::channel();
        self.0.try_send(Job::Settle(done)).map_err(|_| late())?;
        match tokio::time::timeout(SETTLES, settled).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(io::Error::other("its thread is gone")),
            Err(_) => Err(late()),
        }
    }
}

/// The thread.
fn write(mut file: File, jobs: &Receiver<Job>, since: &Mutex<Option<Instant>>, failed: Failed) {
    let mut broken: Option<io::ErrorKind> = None;
    let mark = |at| *since.lock().unwrap_or_else(PoisonError::into_inner) = at;
    while let Ok(job) = jobs.recv() {
        mark(Some(Instant::now()));
        let done = match (&job, broken) {
            (_, Some(kind)) => Err(kind.into()),
            (Job::Bytes(bytes), None) => file.write_all(bytes),
            (Job::Settle(_), None) => file.sync_data(),
        };
        mark(None);
        if let (Err(e), None) = (&done, broken) {
            broken = Some(e.kind());
            failed(e.to_string());
        }
        if let Job::Settle(told) = job {
            // Nobody waits any more if it took too long.
            let _ = told.send(done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn what_was_taken_is_on_disk_once_it_has_settled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = File::create(&path).unwrap();
        let (mut behind, settle) = Behind::new(file, |why| panic!("{why}")).unwrap();
        let bytes: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
        behind.write_all(&bytes).unwrap();
        behind.flush().unwrap();
        settle.settle().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[tokio::test]
    async fn a_full_disk_is_told_once_and_holds_up_nobody() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (tell, told) = mpsc::channel();
        let (mut behind, settle) = Behind::new(full, move |why| tell.send(why).unwrap()).unwrap();
        for _ in 0..100 {
            behind.write_all(&[b'x'; 1000]).unwrap();
            behind.flush().unwrap();
        }
        let ended = settle.settle().await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::StorageFull);
        drop(behind);
        let all: Vec<String> = told.iter().collect();
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].contains("No space left"), "{all:?}");
    }

    #[test]
    fn a_disk_that_hangs_is_an_error_not_a_wait() {
        // A pipe that nobody reads stands for it: it takes 64 KiB, and then nothing.
        let (_reader, writer) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let (mut behind, _settle) = Behind::new(file, |_| {}).unwrap();
        let most = 2 * WAITING;
        let refused = (0..most).find_map(|_| behind.write_all(&[0; CHUNK]).err());
        let refused = refused.expect("what waits is bounded");
        assert!(refused.to_string().contains("16 MiB behind"), "{refused}");
    }
}
