//! The disk layer: the only way the write-ahead log and the B-tree touch files.
//!
//! A [`Disk`] is a folder with one level of promises, the same for all
//! implementations, and callers may rely on nothing more:
//!
//! - **Contents** of a file are durable after [`DiskFile::sync_data`] of that
//!   file, and not before. A length change is part of the contents.
//! - **Names** (create, rename, remove of files) are durable after
//!   [`Disk::sync_dir`] of the folder they are in, and not before. Syncing a new
//!   file does not make its name durable: without `sync_dir` the file may be
//!   gone after a power-off although its contents were synced.
//! - Of what was not synced, anything may survive: nothing, all, or a part.
//! - **Folders** are the exception: [`Disk::create_dir`] and
//!   [`Disk::remove_dir_all`] are durable when they return.
//! - A failed sync poisons the file (or, for `sync_dir`, the disk's names):
//!   every later operation on it fails. An fsync is never retried, because the
//!   kernel may have dropped the dirty pages and report success the next time.
//!
//! [`RealDisk`] is the host's file system. [`VolatileDisk`] keeps what was not
//! synced in this process only, so that a SIGKILL is a power-off. A [`GivenDisk`]
//! before one of them is full, slow or failing when somebody outside says so.

mod given;
mod overlay;
mod probe;
mod real;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod volatile;

pub use given::{GivenDisk, given};
pub use probe::{has_room, probe};
pub use real::{RealDisk, real};
pub use volatile::{VolatileDisk, volatile};

use std::fmt::Debug;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A folder of files with explicit durability. See the module's promises.
///
/// Names are relative paths with `/` between parts; a part is 1 to 200 bytes of
/// `[A-Za-z0-9_-.]` and does not begin with a dot. The empty string is the root.
/// All methods may be called from any thread, and block for the time of the I/O.
pub trait Disk: Send + Sync + Debug {
    /// Opens an existing file for reading and writing. `NotFound` if there is none.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates an empty file. `AlreadyExists` if the name is taken. The folder must exist.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name in the same folder, replacing a file of that name.
    /// Files that are open stay usable.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a name. A file that is still open stays usable until it is closed.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Whether a file of this name exists.
    fn exists(&self, name: &str) -> io::Result<bool>;
    /// Names (without the folder) of the files in a folder, sorted. Folders are not listed.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Creates a folder and its parents, durably. An existing one is fine.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Removes a folder and everything in it, durably. A missing one is fine.
    fn remove_dir_all(&self, dir: &str) -> io::Result<()>;
    /// Makes all earlier name changes in this folder durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
}

/// An open file. Positions and lengths are bytes.
///
/// Two handles of the same name are the same file. Concurrent calls are safe;
/// a read that overlaps a concurrent write sees the old or the new bytes of it.
#[allow(clippy::len_without_is_empty)]
pub trait DiskFile: Send + Sync + Debug {
    /// Fills `out` from `offset`; `UnexpectedEof` if the file ends before.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes all of `data` at `offset`, extending the file (with zeros in a gap).
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Current length.
    fn len(&self) -> io::Result<u64>;
    /// Shortens or extends (with zeros) the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Returns once contents and length are durable. After an error the file is poisoned.
    fn sync_data(&self) -> io::Result<()>;
}

/// Checks a relative name; the root (`""`) only where `root_ok`.
fn check_name(name: &str, root_ok: bool) -> io::Result<()> {
    let good_part = |part: &str| {
        (1..=200).contains(&part.len())
            && !part.starts_with('.')
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    };
    let good =
        (root_ok && name.is_empty()) || (name.len() <= 1024 && name.split('/').all(good_part));
    good.then_some(()).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} is not a usable file name"),
        )
    })
}

/// Splits a checked file name into folder and last part.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

/// The folder both names of a rename are in, or an error.
fn same_folder<'a>(from: &'a str, to: &str) -> io::Result<&'a str> {
    check_name(from, false)?;
    check_name(to, false)?;
    let dir = split(from).0;
    if dir != split(to).0 {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("cannot rename {from} to {to}: not the same folder"),
        ));
    }
    Ok(dir)
}

/// Opens the root: makes it, and takes its lock, which ends with the process.
fn lock_root(root: &Path) -> io::Result<File> {
    std::fs::create_dir_all(root)?;
    let lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(root.join(".lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("{} is in use by another disk", root.display()),
        )),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// A real fsync of a folder.
fn sync_real_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// `create_dir_all` below `root`, with every new level synced into its parent.
fn create_real_dirs(root: &Path, dir: &str) -> io::Result<()> {
    let mut at = root.to_path_buf();
    for part in dir.split('/').filter(|p| !p.is_empty()) {
        let parent = at.clone();
        at.push(part);
        match std::fs::create_dir(&at) {
            Ok(()) => sync_real_dir(&parent)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && at.is_dir() => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// `remove_dir_all` below `root`, synced into the parent.
fn remove_real_dir(root: &Path, dir: &str) -> io::Result<()> {
    let path = root.join(dir);
    match std::fs::remove_dir_all(&path) {
        Ok(()) => sync_real_dir(path.parent().unwrap_or(root)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

/// Remembers a failed sync for ever.
#[derive(Debug, Default)]
struct Poison(AtomicBool);

impl Poison {
    /// Fails once poisoned.
    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Acquire) {
            return Err(io::Error::other(
                "an earlier sync failed; what is on disk is not known any more",
            ));
        }
        Ok(())
    }

    /// Passes a sync's result through, remembering a failure.
    fn note(&self, result: io::Result<()>) -> io::Result<()> {
        if result.is_err() {
            self.0.store(true, Ordering::Release);
        }
        result
    }
}
