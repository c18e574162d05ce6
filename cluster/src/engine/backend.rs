//! redb's storage on our disk layer.

use crate::disk::DiskFile;
use redb::StorageBackend;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a full disk is tried again.
const ROOM: Duration = Duration::from_millis(100);

/// Whether a write that finds no room waits for it. redb takes every error for the end, but a
/// write that was not done for want of room can be done later.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// A checkpoint is at work: on a thread where waiting holds up nobody who reads.
    waits: AtomicBool,
    /// Nobody wants the tree any more.
    over: AtomicBool,
}

impl Patience {
    /// Waits for room while `work` runs.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        self.waits.store(true, Ordering::Release);
        let done = work();
        self.waits.store(false, Ordering::Release);
        done
    }

    /// Ends all waiting, now and later.
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    fn is_there(&self) -> bool {
        self.waits.load(Ordering::Acquire) && !self.over.load(Ordering::Acquire)
    }
}

/// One file as redb's storage. It is not locked: a [`super::Tree`] owns its file,
/// and the disk is held exclusively.
#[derive(Debug)]
pub(super) struct Backend {
    pub file: Arc<dyn DiskFile>,
    pub patience: Arc<Patience>,
}

impl Backend {
    fn with_room(&self, write: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let mut said = false;
        loop {
            match write() {
                Err(e) if e.kind() == io::ErrorKind::StorageFull && self.patience.is_there() => {
                    if !said {
                        said = true;
                        tracing::error!("a checkpoint waits until the disk has room: {e}");
                    }
                    std::thread::sleep(ROOM);
                }
                done => return done,
            }
        }
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with_room(|| self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with_room(|| self.file.write_at(offset, data))
    }
}
