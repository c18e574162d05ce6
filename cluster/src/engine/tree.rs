//! The tree of one replication group.

use super::store::{DATA, Store, io_error};
use super::transfer;
use super::{Change, Digest, EngineError};
use crate::disk::Disk;
use redb::ReadTransaction;
use sha2::{Digest as _, Sha256};
use std::io::{Read, Write};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};

/// A B-tree in one file. Reads see the last applied batch and run beside writes.
#[derive(Debug)]
pub struct Tree {
    disk: Arc<dyn Disk>,
    file: String,
    /// None once destroyed.
    store: RwLock<Option<Arc<Store>>>,
    /// Writers go one after the other.
    writer: Mutex<()>,
}

/// Part of a tree, in key order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys and values.
    pub items: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether there are keys after the last one of `items`.
    pub more: bool,
}

impl Tree {
    /// Opens a tree, or creates an empty one (durably) if the file does not
    /// exist. The file's folder must exist.
    ///
    /// # Errors
    /// [`EngineError::Corrupt`] naming the file if anything in it does not verify.
    pub fn open(disk: Arc<dyn Disk>, file: &str) -> Result<Self, EngineError> {
        let io = |e| io_error(file, e);
        let unfinished = unfinished(file);
        if disk.exists(&unfinished).map_err(io)? {
            disk.remove(&unfinished).map_err(io)?;
        }
        let store = if disk.exists(file).map_err(io)? {
            Store::open(file, disk.open(file).map_err(io)?)?
        } else {
            let new = disk.create(&unfinished).map_err(io)?;
            let store = Store::create(file, new)?;
            install(disk.as_ref(), file)?;
            store
        };
        Ok(Self {
            disk,
            file: file.to_owned(),
            store: RwLock::new(Some(Arc::new(store))),
            writer: Mutex::new(()),
        })
    }

    /// Name on the disk.
    pub fn file(&self) -> &str {
        &self.file
    }

    fn store(&self) -> Result<Arc<Store>, EngineError> {
        self.store
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or_else(|| EngineError::Closed {
                file: self.file.clone(),
                reason: "it was destroyed".into(),
            })
    }

    fn writer(&self) -> std::sync::MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies changes, in order, and the applied meta, as one transaction. All
    /// of it is visible when this returns; it is durable after the next
    /// [`Tree::checkpoint`]. Put many log entries in one call: the cost is per
    /// transaction.
    pub fn apply(&self, applied_meta: &[u8], changes: Vec<Change>) -> Result<(), EngineError> {
        let _writer = self.writer();
        self.store()?.apply(applied_meta, &changes)
    }

    /// As [`Tree::apply`], but gives up, having done nothing, if another writer is at work: a
    /// checkpoint may take long.
    pub fn try_apply(
        &self,
        applied_meta: &[u8],
        changes: &[Change],
    ) -> Option<Result<(), EngineError>> {
        let _writer = match self.writer.try_lock() {
            Ok(writer) => writer,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(
            self.store()
                .and_then(|store| store.apply(applied_meta, changes)),
        )
    }

    /// Makes everything applied so far durable and returns the applied meta that
    /// is durable now. Only what it covers may be purged from the log.
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, EngineError> {
        let _writer = self.writer();
        self.store()?.checkpoint()
    }

    /// The meta of the last [`Tree::apply`], `None` before the first.
    pub fn applied_meta(&self) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.store()?.applied())
    }

    /// The meta that is certainly still there after a power-off.
    pub fn durable_meta(&self) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.store()?.durable())
    }

    /// Stores bytes as they are, for tests of what reading does with them.
    #[cfg(test)]
    pub(crate) fn plant(&self, key: &[u8], stored: &[u8]) {
        self.store().unwrap().plant(key, stored).unwrap();
    }

    /// Whether a call found it damaged. It refuses everything since.
    pub fn is_damaged(&self) -> bool {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        store.as_ref().is_some_and(|store| store.has_failed())
    }

    /// A key's value.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let store = self.store()?;
        store.guard(|| {
            let txn = store.begin_read()?;
            let table = txn.open_table(DATA).map_err(|e| store.error(e))?;
            let found = table.get(key).map_err(|e| store.error(e))?;
            found
                .map(|v| store.unseal(key, v.value()).map(<[u8]>::to_vec))
                .transpose()
        })
    }

    /// Keys after `after` (all without it), in order: at most `limit`, and no
    /// more once keys and values have reached `max_bytes`.
    pub fn range(
        &self,
        after: Option<&[u8]>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Page, EngineError> {
        self.snapshot()?.range(after, limit, max_bytes)
    }

    /// Count and hash of all keys and values, with the applied meta of the same state.
    pub fn digest(&self) -> Result<Digest, EngineError> {
        self.snapshot()?.digest()
    }

    /// The tree as it is now, for reading while it changes.
    pub fn snapshot(&self) -> Result<Snapshot, EngineError> {
        let store = self.store()?;
        let (txn, applied) = store.guard(|| {
            let txn = store.begin_read()?;
            let applied = store.meta_of(&txn)?;
            Ok((txn, applied))
        })?;
        Ok(Snapshot {
            txn,
            applied,
            store,
        })
    }

    /// Replaces the whole tree, meta included, by what [`Snapshot::export`]
    /// wrote on a peer, and returns the applied meta that came with it.
    ///
    /// Atomic: until the copy is complete, verified and durable, the tree stays
    /// as it is, also across a power-off. Readers of old snapshots go on.
    pub fn replace(&self, from: &mut dyn Read) -> Result<Option<Vec<u8>>, EngineError> {
        let _writer = self.writer();
        self.store()?;
        let io = |e| io_error(&self.file, e);
        let new = unfinished(&self.file);
        if self.disk.exists(&new).map_err(io)? {
            self.disk.remove(&new).map_err(io)?;
        }
        let store = Store::create(&self.file, self.disk.create(&new).map_err(io)?)?;
        let imported = transfer::import(&store, &self.file, from).and_then(|()| store.checkpoint());
        let applied = match imported {
            Ok(applied) => applied,
            Err(e) => {
                drop(store);
                // Best effort: the next replace or open removes it too.
                let _ = self.disk.remove(&new);
                return Err(e);
            }
        };
        install(self.disk.as_ref(), &self.file)?;
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(store));
        Ok(applied)
    }

    /// Removes the file, durably. Everything later fails; snapshots that exist
    /// stay readable.
    pub fn destroy(&self) -> Result<(), EngineError> {
        let _writer = self.writer();
        self.store
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        remove(self.disk.as_ref(), &self.file)
    }

    /// Removes a tree that is not open, for instance one that is corrupt. A
    /// missing one is fine.
    pub fn remove(disk: &dyn Disk, file: &str) -> Result<(), EngineError> {
        remove(disk, file)
    }
}

/// Where a tree is built until it is complete.
fn unfinished(file: &str) -> String {
    format!("{file}.new")
}

fn folder(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// Gives a complete tree its name, durably.
fn install(disk: &dyn Disk, file: &str) -> Result<(), EngineError> {
    disk.rename(&unfinished(file), file)
        .and_then(|()| disk.sync_dir(folder(file)))
        .map_err(|e| io_error(file, e))
}

fn remove(disk: &dyn Disk, file: &str) -> Result<(), EngineError> {
    let io = |e| io_error(file, e);
    for name in [file.to_owned(), unfinished(file)] {
        if disk.exists(&name).map_err(io)? {
            disk.remove(&name).map_err(io)?;
        }
    }
    disk.sync_dir(folder(file)).map_err(io)
}

/// A tree at one moment. It keeps the space of what was overwritten since: do
/// not hold it for long.
#[derive(Debug)]
pub struct Snapshot {
    // Before the store: a transaction ends before its database does.
    txn: ReadTransaction,
    applied: Option<Vec<u8>>,
    store: Arc<Store>,
}

impl Snapshot {
    /// The applied meta of this moment.
    pub fn applied_meta(&self) -> Option<&[u8]> {
        self.applied.as_deref()
    }

    /// See [`Tree::range`].
    pub fn range(
        &self,
        after: Option<&[u8]>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Page, EngineError> {
        let mut page = Page::default();
        let mut bytes = 0;
        self.each(after, |key, value| {
            if page.items.len() >= limit || (bytes >= max_bytes && !page.items.is_empty()) {
                page.more = true;
                return Ok(false);
            }
            bytes += key.len() + value.len();
            page.items.push((key.to_vec(), value.to_vec()));
            Ok(true)
        })?;
        Ok(page)
    }

    /// See [`Tree::digest`].
    pub fn digest(&self) -> Result<Digest, EngineError> {
        let mut hash = Sha256::new();
        let mut count = 0;
        self.each(None, |key, value| {
            hash.update((key.len() as u64).to_le_bytes());
            hash.update(key);
            hash.update((value.len() as u64).to_le_bytes());
            hash.update(value);
            count += 1;
            Ok(true)
        })?;
        Ok(Digest {
            count,
            sha256: hash.finalize().into(),
            applied: self.applied.clone(),
        })
    }

    /// Writes everything, with the applied meta, for [`Tree::replace`] on a peer.
    /// Returns the number of keys.
    pub fn export(&self, out: &mut dyn Write) -> Result<u64, EngineError> {
        transfer::export(self, out)
    }

    /// Calls `each` with the keys after `after` and their verified values, in
    /// order, until it returns false.
    pub(super) fn each(
        &self,
        after: Option<&[u8]>,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<bool, EngineError>,
    ) -> Result<(), EngineError> {
        let store = &self.store;
        store.guard(|| {
            let table = self.txn.open_table(DATA).map_err(|e| store.error(e))?;
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let range = table
                .range::<&[u8]>((start, Bound::Unbounded))
                .map_err(|e| store.error(e))?;
            for item in range {
                let (key, stored) = item.map_err(|e| store.error(e))?;
                let value = store.unseal(key.value(), stored.value())?;
                if !each(key.value(), value)? {
                    break;
                }
            }
            Ok(())
        })
    }

    /// An I/O error of the other side of a copy, named after this tree.
    pub(super) fn io_error(&self, e: std::io::Error) -> EngineError {
        io_error(self.store.file(), e)
    }
}
