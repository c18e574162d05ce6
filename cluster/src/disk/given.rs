//! A disk in a condition that is given from outside: full, slow, failing.
//!
//! It stands before the disk proper, so that the store meets the condition as
//! it would meet the drive's: an error of the operation, or time that passes.
//! See [`gameday_record::conditions`] for how it is given.

use super::{Disk, DiskFile, Poison};
use crate::outside::Outside;
use gameday_record::conditions::{self, DiskCondition, DiskEffects, DiskOperation, Full};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A disk whose condition is given.
#[derive(Debug)]
pub struct GivenDisk {
    inner: Arc<dyn Disk>,
    condition: Arc<Condition>,
    names: Poison,
}

/// Puts the condition that `folder` is given before a disk.
pub fn given(inner: Arc<dyn Disk>, folder: &Path) -> Arc<GivenDisk> {
    let at = folder.join(conditions::DISK_EFFECTS);
    // What was counted before goes on; damaged or missing counts begin again.
    let effects = std::fs::read(&at)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    Arc::new(GivenDisk {
        inner,
        condition: Arc::new(Condition {
            now: Outside::new(folder.join(conditions::DISK)),
            effects: Mutex::new(effects),
            at,
        }),
        names: Poison::default(),
    })
}

#[derive(Debug)]
struct Condition {
    now: Outside<DiskCondition>,
    effects: Mutex<DiskEffects>,
    at: PathBuf,
}

impl Condition {
    /// Counts what the store is about to meet, before it does: it may end of it.
    fn count(&self, one: impl FnOnce(&mut DiskEffects) -> &mut u64) {
        let mut effects = self.effects.lock().unwrap_or_else(PoisonError::into_inner);
        *one(&mut effects) += 1;
        let new = self.at.with_extension("new");
        let written = serde_json::to_vec(&*effects)
            .map_err(io::Error::other)
            .and_then(|text| std::fs::write(&new, text))
            .and_then(|()| std::fs::rename(&new, &self.at));
        if let Err(e) = written {
            tracing::warn!("{}: {e}", self.at.display());
        }
    }

    fn may(&self, operation: DiskOperation) -> io::Result<()> {
        if self.now.get().fails == Some(operation) {
            self.count(|e| &mut e.failed);
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        Ok(())
    }

    /// `grows`: whether the write makes a file longer.
    fn has_room(&self, grows: impl FnOnce() -> io::Result<bool>) -> io::Result<()> {
        let refused = match self.now.get().full {
            None => false,
            Some(Full::Growth) => grows()?,
            Some(Full::Writes) => true,
        };
        if refused {
            self.count(|e| &mut e.refused);
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        Ok(())
    }

    /// The time and the outcome of a sync before the disk's own.
    fn sync(&self) -> io::Result<()> {
        let ms = self
            .now
            .get()
            .sync_delay_ms
            .min(conditions::MAX_SYNC_DELAY_MS);
        if ms > 0 {
            self.count(|e| &mut e.delayed);
            std::thread::sleep(Duration::from_millis(ms));
        }
        self.may(DiskOperation::Sync)
    }
}

impl GivenDisk {
    fn file(&self, inner: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(GivenFile {
            inner,
            condition: self.condition.clone(),
            poison: Poison::default(),
        })
    }

    fn may_change_names(&self) -> io::Result<()> {
        self.names.check()?;
        self.condition.may(DiskOperation::Write)
    }
}

impl Disk for GivenDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.inner.open(name).map(|f| self.file(f))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.may_change_names()?;
        // An empty file takes no room where files are written in place.
        self.condition.has_room(|| Ok(false))?;
        self.inner.create(name).map(|f| self.file(f))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.may_change_names()?;
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.may_change_names()?;
        self.inner.remove(name)
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.inner.exists(name)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.inner.list(dir)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.may_change_names()?;
        self.inner.create_dir(dir)
    }

    fn remove_dir_all(&self, dir: &str) -> io::Result<()> {
        self.may_change_names()?;
        self.inner.remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.names.check()?;
        self.names.note(self.condition.sync())?;
        self.inner.sync_dir(dir)
    }
}

#[derive(Debug)]
struct GivenFile {
    inner: Arc<dyn DiskFile>,
    condition: Arc<Condition>,
    poison: Poison,
}

impl DiskFile for GivenFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.poison.check()?;
        self.condition.may(DiskOperation::Read)?;
        self.inner.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.poison.check()?;
        self.condition.may(DiskOperation::Write)?;
        self.condition
            .has_room(|| Ok(self.inner.len()? < offset.saturating_add(data.len() as u64)))?;
        self.inner.write_at(offset, data)
    }

    fn len(&self) -> io::Result<u64> {
        self.poison.check()?;
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.poison.check()?;
        self.condition.may(DiskOperation::Write)?;
        self.condition.has_room(|| Ok(self.inner.len()? < len))?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.poison.check()?;
        self.poison.note(self.condition.sync())?;
        self.inner.sync_data()
    }
}
