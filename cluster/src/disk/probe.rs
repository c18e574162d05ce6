//! Trying a disk: what the store would meet if it wrote now.

use super::{Disk, DiskFile};
use gameday_record::conditions::{DiskProbe, Ended, Tried};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The file that is written for it, and removed again.
const FILE: &str = "probe";
/// What is written.
const BLOCK: [u8; 4096] = [0xA5; 4096];

fn tried(work: impl FnOnce() -> io::Result<()>) -> Tried {
    let begun = Instant::now();
    let done = work();
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    let (ended, error) = match done {
        Ok(()) => (Ended::Done, String::new()),
        Err(e) if e.kind() == io::ErrorKind::StorageFull => (Ended::Full, e.to_string()),
        Err(e) => (Ended::Failed, e.to_string()),
    };
    Tried {
        micros,
        ended,
        error,
    }
}

/// One at a time: they use the same file.
static ONE: Mutex<()> = Mutex::new(());

/// Whether a file can be made longer just now. Blocks. Other errors than "full" are for whoever
/// writes to meet.
pub fn has_room(disk: &dyn Disk) -> bool {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut file = None;
    let write = tried(|| append(disk, &mut file));
    tidy(disk, file);
    write.ended != Ended::Full
}

/// Makes the file, with a block in it.
fn append(disk: &dyn Disk, file: &mut Option<Arc<dyn DiskFile>>) -> io::Result<()> {
    if disk.exists(FILE)? {
        disk.remove(FILE)?;
    }
    file.insert(disk.create(FILE)?).write_at(0, &BLOCK)
}

/// Appends a block to a file of its own, syncs it, reads it back, and removes the file. Blocks.
pub fn probe(disk: &dyn Disk) -> DiskProbe {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut file = None;
    let write = tried(|| append(disk, &mut file));
    let sync = file.as_ref().map(|file| tried(|| file.sync_data()));
    let durable = |t: &Tried| t.ended == Ended::Done;
    let read = file
        .as_ref()
        .filter(|_| durable(&write) && sync.as_ref().is_some_and(durable))
        .map(|file| {
            tried(|| {
                let mut back = [0; BLOCK.len()];
                file.read_at(0, &mut back)?;
                if back == BLOCK {
                    Ok(())
                } else {
                    Err(io::Error::other("what was read is not what was written"))
                }
            })
        });
    tidy(disk, file);
    DiskProbe { write, sync, read }
}

fn tidy(disk: &dyn Disk, file: Option<Arc<dyn DiskFile>>) {
    if file.is_some() {
        // Where it cannot be removed it is in the way of nothing but the next probe, which tries.
        let _ = disk.remove(FILE);
    }
}
