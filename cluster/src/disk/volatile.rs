//! A disk that forgets what was not synced when the process is killed.

use super::overlay::Overlay;
use super::real::list_real;
use super::{Disk, DiskFile, Poison, check_name, create_real_dirs, lock_root, remove_real_dir};
use super::{same_folder, split, sync_real_dir};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

/// Folder, below the root, of files that no synced name leads to yet.
const UNNAMED: &str = ".unnamed";
/// One name change in this many becomes durable at once, with all before it.
const EARLY_NAMES_ONE_IN: u32 = 8;

/// A folder in which unsynced contents and names live in this process only.
///
/// The files on the host are what a power-off leaves. Contents go there with
/// [`DiskFile::sync_data`], names with [`Disk::sync_dir`], in the order in which
/// they were changed. A new file that is synced without its name is kept apart
/// and removed when the folder is opened again. By seed some unsynced things get
/// there early, as on a real drive: a prefix of a write (cut at a 512-byte
/// boundary, sometimes inside), or the pending name changes of a folder.
///
/// Held exclusively (file lock) until dropped or powered off.
#[derive(Debug)]
pub struct VolatileDisk {
    root: PathBuf,
    power: Arc<Power>,
    names_failed: Poison,
    names: Mutex<Names>,
    lock: Mutex<Option<File>>,
}

/// Opens (and if needed makes) a folder as a volatile disk; `seed` decides what
/// is torn. `ResourceBusy` if another disk, of this or another process, has it open.
pub fn volatile(root: impl Into<PathBuf>, seed: u64) -> io::Result<Arc<VolatileDisk>> {
    let root = root.into();
    let lock = lock_root(&root)?;
    match std::fs::remove_dir_all(root.join(UNNAMED)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    std::fs::create_dir(root.join(UNNAMED))?;
    Ok(Arc::new(VolatileDisk {
        root,
        power: Arc::new(Power(RwLock::new(true))),
        names_failed: Poison::default(),
        names: Mutex::new(Names {
            dirs: BTreeMap::new(),
            seed,
            made: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }),
        lock: Mutex::new(Some(lock)),
    }))
}

/// Whether the power is on. An operation holds the guard while it touches the host.
#[derive(Debug)]
struct Power(RwLock<bool>);

impl Power {
    fn on(&self) -> io::Result<RwLockReadGuard<'_, bool>> {
        let guard = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if *guard {
            Ok(guard)
        } else {
            Err(io::Error::other("the power is off"))
        }
    }
}

#[derive(Debug)]
struct Names {
    /// Folders in use, by name; loaded from the host at first use.
    dirs: BTreeMap<String, Dir>,
    seed: u64,
    /// Files opened or made so far; numbers the unnamed ones and varies their seeds.
    made: u64,
    rng: ChaCha8Rng,
}

#[derive(Debug)]
struct Dir {
    live: BTreeMap<String, Arc<VolatileFile>>,
    pending: Vec<NameOp>,
}

#[derive(Debug)]
enum NameOp {
    Create { unnamed: PathBuf, name: String },
    Rename { from: String, to: String },
    Remove { name: String },
}

impl Names {
    fn next_seed(&mut self) -> u64 {
        self.made += 1;
        // Distinct streams per file; SplitMix's increment spreads them.
        self.seed ^ self.made.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

impl Dir {
    /// Applies the pending changes to the host, in order.
    fn apply(&mut self, path: &Path) -> io::Result<()> {
        for op in self.pending.drain(..) {
            match op {
                NameOp::Create { unnamed, name } => std::fs::rename(unnamed, path.join(name))?,
                NameOp::Rename { from, to } => std::fs::rename(path.join(from), path.join(to))?,
                NameOp::Remove { name } => std::fs::remove_file(path.join(name))?,
            }
        }
        Ok(())
    }
}

fn not_found(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {name}"))
}

impl VolatileDisk {
    /// Takes the power away, in process: when this returns nothing more reaches
    /// the folder, every operation on this disk and its files fails, and the
    /// folder can be opened again, as after a SIGKILL. For tests.
    pub fn power_off(&self) {
        *self.power.0.write().unwrap_or_else(PoisonError::into_inner) = false;
        self.lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    fn names(&self) -> io::Result<MutexGuard<'_, Names>> {
        self.names_failed.check()?;
        Ok(self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes sure a folder is loaded.
    fn load(&self, names: &mut Names, dir: &str) -> io::Result<()> {
        if names.dirs.contains_key(dir) {
            return Ok(());
        }
        let path = self.root.join(dir);
        let mut live = BTreeMap::new();
        for name in list_real(&path)? {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(path.join(&name))?;
            let file = self.file(file, names.next_seed())?;
            live.insert(name, file);
        }
        let pending = Vec::new();
        names.dirs.insert(dir.to_owned(), Dir { live, pending });
        Ok(())
    }

    fn file(&self, backing: File, seed: u64) -> io::Result<Arc<VolatileFile>> {
        Ok(Arc::new(VolatileFile {
            power: self.power.clone(),
            poison: Poison::default(),
            overlay: Mutex::new(Overlay::new(backing, seed)?),
        }))
    }

    /// Runs `change` on a loaded folder; by seed makes the pending names durable early.
    fn change<T>(
        &self,
        dir: &str,
        change: impl FnOnce(&mut Names) -> io::Result<T>,
    ) -> io::Result<T> {
        let _on = self.power.on()?;
        let mut names = self.names()?;
        self.load(&mut names, dir)?;
        let out = change(&mut names)?;
        if names.rng.random_ratio(1, EARLY_NAMES_ONE_IN)
            && let Some(d) = names.dirs.get_mut(dir)
        {
            self.names_failed.note(d.apply(&self.root.join(dir)))?;
        }
        Ok(out)
    }

    /// Looks at a loaded folder.
    fn look<T>(&self, dir: &str, look: impl FnOnce(&Dir) -> T) -> io::Result<T> {
        let _on = self.power.on()?;
        let mut names = self.names()?;
        self.load(&mut names, dir)?;
        names.dirs.get(dir).map(look).ok_or_else(|| not_found(dir))
    }
}

impl Disk for VolatileDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        check_name(name, false)?;
        let (dir, file) = split(name);
        self.look(dir, |d| d.live.get(file).cloned())?
            .map(|f| f as Arc<dyn DiskFile>)
            .ok_or_else(|| not_found(name))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        check_name(name, false)?;
        let (dir, last) = split(name);
        self.change(dir, |names| {
            if names
                .dirs
                .get(dir)
                .is_some_and(|d| d.live.contains_key(last))
            {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let seed = names.next_seed();
            let unnamed = self.root.join(UNNAMED).join(names.made.to_string());
            let backing = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&unnamed)?;
            let file = self.file(backing, seed)?;
            if let Some(d) = names.dirs.get_mut(dir) {
                d.live.insert(last.to_owned(), file.clone());
                let name = last.to_owned();
                d.pending.push(NameOp::Create { unnamed, name });
            }
            Ok(file as Arc<dyn DiskFile>)
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let dir = same_folder(from, to)?;
        let (from, to) = (split(from).1, split(to).1);
        self.change(dir, |names| {
            let d = names.dirs.get_mut(dir).ok_or_else(|| not_found(dir))?;
            let file = d.live.remove(from).ok_or_else(|| not_found(from))?;
            d.live.insert(to.to_owned(), file);
            let (from, to) = (from.to_owned(), to.to_owned());
            d.pending.push(NameOp::Rename { from, to });
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name, false)?;
        let (dir, last) = split(name);
        self.change(dir, |names| {
            let d = names.dirs.get_mut(dir).ok_or_else(|| not_found(dir))?;
            d.live.remove(last).ok_or_else(|| not_found(name))?;
            let name = last.to_owned();
            d.pending.push(NameOp::Remove { name });
            Ok(())
        })
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        check_name(name, false)?;
        let (dir, file) = split(name);
        match self.look(dir, |d| d.live.contains_key(file)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            other => other,
        }
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        check_name(dir, true)?;
        self.look(dir, |d| d.live.keys().cloned().collect())
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        check_name(dir, true)?;
        let _on = self.power.on()?;
        let _names = self.names()?;
        self.names_failed.note(create_real_dirs(&self.root, dir))
    }

    fn remove_dir_all(&self, dir: &str) -> io::Result<()> {
        check_name(dir, false)?;
        let _on = self.power.on()?;
        let mut names = self.names()?;
        let below = format!("{dir}/");
        names
            .dirs
            .retain(|name, _| name != dir && !name.starts_with(&below));
        self.names_failed.note(remove_real_dir(&self.root, dir))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        check_name(dir, true)?;
        let _on = self.power.on()?;
        let mut names = self.names()?;
        self.load(&mut names, dir)?;
        let path = self.root.join(dir);
        let applied = match names.dirs.get_mut(dir) {
            Some(d) => d.apply(&path),
            None => Ok(()),
        };
        self.names_failed
            .note(applied.and_then(|()| sync_real_dir(&path)))
    }
}

#[derive(Debug)]
struct VolatileFile {
    power: Arc<Power>,
    poison: Poison,
    overlay: Mutex<Overlay>,
}

impl VolatileFile {
    fn with<T>(&self, f: impl FnOnce(&mut Overlay) -> io::Result<T>) -> io::Result<T> {
        let _on = self.power.on()?;
        self.poison.check()?;
        f(&mut self.overlay.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl DiskFile for VolatileFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|o| o.read_at(offset, out))
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|o| o.write_at(offset, data))
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|o| Ok(o.len()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|o| o.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let through = self.with(|o| {
            let through = o.write_through().map(|()| o.backing());
            if through.is_err() {
                // Under the lock, so that nobody reads a half-synced overlay.
                self.poison
                    .0
                    .store(true, std::sync::atomic::Ordering::Release);
            }
            through
        })?;
        // Not under the lock: reads and writes go on while the drive works.
        self.poison.note(through.sync_data())
    }
}
