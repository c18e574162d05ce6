//! The host's file system as it is.

use super::{Disk, DiskFile, Poison, check_name, create_real_dirs, lock_root, remove_real_dir};
use super::{same_folder, sync_real_dir};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// A folder of the host's file system. Held exclusively (file lock) until dropped.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    names: Poison,
    _lock: File,
}

/// Opens (and if needed makes) a folder as a disk. `ResourceBusy` if another
/// disk, of this or another process, has it open.
pub fn real(root: impl Into<PathBuf>) -> io::Result<Arc<RealDisk>> {
    let root = root.into();
    let lock = lock_root(&root)?;
    Ok(Arc::new(RealDisk {
        root,
        names: Poison::default(),
        _lock: lock,
    }))
}

impl RealDisk {
    fn path(&self, name: &str) -> io::Result<PathBuf> {
        check_name(name, false)?;
        self.names.check()?;
        Ok(self.root.join(name))
    }

    fn dir(&self, dir: &str) -> io::Result<PathBuf> {
        check_name(dir, true)?;
        self.names.check()?;
        Ok(self.root.join(dir))
    }
}

impl Disk for RealDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(name)?)?;
        Ok(Arc::new(RealFile::new(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.path(name)?)?;
        Ok(Arc::new(RealFile::new(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        same_folder(from, to)?;
        std::fs::rename(self.path(from)?, self.path(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name)?)
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        match std::fs::metadata(self.path(name)?) {
            Ok(m) => Ok(m.is_file()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        list_real(&self.dir(dir)?)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.dir(dir)?;
        self.names.note(create_real_dirs(&self.root, dir))
    }

    fn remove_dir_all(&self, dir: &str) -> io::Result<()> {
        check_name(dir, false)?;
        self.dir(dir)?;
        self.names.note(remove_real_dir(&self.root, dir))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let path = self.dir(dir)?;
        self.names.note(sync_real_dir(&path))
    }
}

/// Names of the regular files in a folder that a [`Disk`] could have made, sorted.
pub(super) fn list_real(path: &std::path::Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && check_name(&name, false).is_ok()
            && entry.file_type()?.is_file()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[derive(Debug)]
pub(super) struct RealFile {
    file: File,
    poison: Poison,
}

impl RealFile {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            poison: Poison::default(),
        }
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.poison.check()?;
        self.file.read_exact_at(out, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.poison.check()?;
        self.file.write_all_at(data, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.poison.check()?;
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.poison.check()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.poison.check()?;
        self.poison.note(self.file.sync_data())
    }
}
