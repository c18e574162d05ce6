//! One open redb file: transactions, checks of what is read, containment.

use super::backend::Backend;
use super::{Change, EngineError, MAX_KEY, MAX_META, MAX_VALUE};
use crate::disk::DiskFile;
use redb::{Database, Durability, ReadTransaction, ReadableDatabase, TableDefinition};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) const DATA: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("data");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const APPLIED: &str = "applied";
/// Bytes of the checksum before each stored value.
const CRC: usize = 4;
/// Cache of one tree, in bytes. redb's own default is 1 GiB.
const CACHE: usize = 16 << 20;

pub(super) struct Store {
    file: String,
    /// None only while it is dropped.
    db: Option<Database>,
    failed: AtomicBool,
    metas: Mutex<Metas>,
}

#[derive(Clone, Debug, Default)]
struct Metas {
    applied: Option<Vec<u8>>,
    durable: Option<Vec<u8>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.file)
    }
}

impl Store {
    /// Opens a file that was created by [`Store::create`], verifying every page.
    pub fn open(file: &str, storage: Arc<dyn DiskFile>) -> Result<Self, EngineError> {
        // redb would make a new database of an empty file.
        if storage.len().map_err(|e| io_error(file, e))? == 0 {
            return Err(corrupt(file, "it is empty"));
        }
        if let Some(version) = other_version(storage.as_ref()).map_err(|e| io_error(file, e))? {
            return Err(EngineError::Unknown {
                file: file.to_owned(),
                version,
            });
        }
        let store = Self::database(file, storage, true)?;
        let applied = store.guard(|| {
            let txn = store.db().begin_read().map_err(|e| error(file, e))?;
            // Both tables exist since the creation.
            txn.open_table(DATA).map_err(|e| error(file, e))?;
            store.meta_of(&txn)
        })?;
        *store.metas() = Metas {
            durable: applied.clone(),
            applied,
        };
        Ok(store)
    }

    /// Makes an empty tree in an empty file. It is durable (but not its name).
    pub fn create(file: &str, storage: Arc<dyn DiskFile>) -> Result<Self, EngineError> {
        let store = Self::database(file, storage, false)?;
        store.guard(|| {
            let txn = store.db().begin_write().map_err(|e| error(file, e))?;
            txn.open_table(DATA).map_err(|e| error(file, e))?;
            txn.open_table(META).map_err(|e| error(file, e))?;
            txn.commit().map_err(|e| error(file, e))
        })?;
        Ok(store)
    }

    fn database(file: &str, storage: Arc<dyn DiskFile>, check: bool) -> Result<Self, EngineError> {
        let db = contain(file, || {
            redb::Builder::new()
                .set_cache_size(CACHE)
                .set_check_integrity_on_open(check)
                .create_with_backend(Backend(storage))
                .map_err(|e| error(file, e))
        })?;
        Ok(Self {
            file: file.to_owned(),
            db: Some(db),
            failed: AtomicBool::new(false),
            metas: Mutex::default(),
        })
    }

    fn metas(&self) -> std::sync::MutexGuard<'_, Metas> {
        self.metas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn db(&self) -> &Database {
        self.db.as_ref().expect("only drop takes it")
    }

    pub fn applied(&self) -> Option<Vec<u8>> {
        self.metas().applied.clone()
    }

    pub fn durable(&self) -> Option<Vec<u8>> {
        self.metas().durable.clone()
    }

    /// Whether a call found it damaged.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Runs a call into redb; after a panic the store refuses everything.
    pub fn guard<T>(
        &self,
        call: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(EngineError::Closed {
                file: self.file.clone(),
                reason: "an earlier call found it damaged".into(),
            });
        }
        let out = contain(&self.file, call);
        if matches!(out, Err(EngineError::Corrupt { .. })) {
            self.failed.store(true, Ordering::Release);
        }
        out
    }

    /// One transaction, not durable.
    pub fn apply(&self, meta: &[u8], changes: &[Change]) -> Result<(), EngineError> {
        check_sizes(&self.file, meta, changes)?;
        self.guard(|| {
            self.write(Some(meta), changes, false)?;
            self.metas().applied = Some(meta.to_vec());
            Ok(())
        })
    }

    /// Adds items without a meta: part of building a copy.
    pub fn load(&self, items: &[Change]) -> Result<(), EngineError> {
        self.guard(|| self.write(None, items, false))
    }

    /// Makes everything applied durable. Callers hold off other writers.
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, EngineError> {
        self.guard(|| {
            self.write(None, &[], true)?;
            let mut metas = self.metas();
            metas.durable = metas.applied.clone();
            Ok(metas.durable.clone())
        })
    }

    fn write(
        &self,
        meta: Option<&[u8]>,
        changes: &[Change],
        durable: bool,
    ) -> Result<(), EngineError> {
        let file = &self.file;
        let mut txn = self.db().begin_write().map_err(|e| error(file, e))?;
        let durability = if durable {
            Durability::Immediate
        } else {
            Durability::None
        };
        txn.set_durability(durability).map_err(|e| error(file, e))?;
        txn.set_quick_repair(durable);
        if !changes.is_empty() {
            let mut data = txn.open_table(DATA).map_err(|e| error(file, e))?;
            for (key, value) in changes {
                match value {
                    Some(value) => {
                        let mut slot = data
                            .insert_reserve(key.as_slice(), CRC + value.len())
                            .map_err(|e| error(file, e))?;
                        seal(key, value, slot.as_mut());
                    }
                    None => {
                        data.remove(key.as_slice()).map_err(|e| error(file, e))?;
                    }
                }
            }
        }
        if let Some(meta) = meta {
            let mut table = txn.open_table(META).map_err(|e| error(file, e))?;
            let mut slot = table
                .insert_reserve(APPLIED, CRC + meta.len())
                .map_err(|e| error(file, e))?;
            seal(APPLIED.as_bytes(), meta, slot.as_mut());
        }
        txn.commit().map_err(|e| error(file, e))
    }

    pub fn begin_read(&self) -> Result<ReadTransaction, EngineError> {
        self.db().begin_read().map_err(|e| error(&self.file, e))
    }

    /// The applied meta of a transaction's state.
    pub fn meta_of(&self, txn: &ReadTransaction) -> Result<Option<Vec<u8>>, EngineError> {
        let table = txn.open_table(META).map_err(|e| error(&self.file, e))?;
        table
            .get(APPLIED)
            .map_err(|e| error(&self.file, e))?
            .map(|stored| {
                self.unseal(APPLIED.as_bytes(), stored.value())
                    .map(<[u8]>::to_vec)
            })
            .transpose()
    }

    /// Checks a stored value and takes its checksum off.
    pub fn unseal<'a>(&self, key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], EngineError> {
        let (crc, value) = stored
            .split_at_checked(CRC)
            .ok_or_else(|| corrupt(&self.file, "a value without checksum"))?;
        if crc != checksum(key, value) {
            return Err(corrupt(&self.file, "checksum of a value"));
        }
        Ok(value)
    }

    /// Stores bytes as they are, for tests of what reading does with them.
    #[cfg(test)]
    pub fn plant(&self, key: &[u8], stored: &[u8]) -> Result<(), EngineError> {
        let txn = self.db().begin_write().map_err(|e| self.error(e))?;
        let mut data = txn.open_table(DATA).map_err(|e| self.error(e))?;
        data.insert(key, stored).map_err(|e| self.error(e))?;
        drop(data);
        txn.commit().map_err(|e| self.error(e))
    }

    pub fn file(&self) -> &str {
        &self.file
    }

    pub fn error(&self, e: impl Into<redb::Error>) -> EngineError {
        error(&self.file, e)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Closing writes, and what it writes from may be damaged.
        let db = self.db.take();
        let closed = contain(&self.file, || {
            db.map_or(Ok(()), Database::close)
                .map_err(|e| error(&self.file, e))
        });
        if let Err(e) = closed {
            tracing::warn!("closing: {e}");
        }
    }
}

/// The version of redb's format in a file of another one than this build's.
///
/// redb looks at the version before the checksum, in either of the two headers of which one is in
/// use, and would call a flipped bit there another version. Both are written by one build, so two
/// that say the same are no accident.
fn other_version(storage: &dyn DiskFile) -> io::Result<Option<u8>> {
    const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
    /// Where the two headers stand, each with its version first.
    const HEADERS: [usize; 2] = [64, 192];
    const KNOWN: u8 = 3;
    let mut head = [0; 320];
    if storage.len()? < head.len() as u64 {
        return Ok(None);
    }
    storage.read_at(0, &mut head)?;
    let [a, b] = HEADERS.map(|at| head[at]);
    Ok((head.starts_with(MAGIC) && a == b && a != KNOWN).then_some(a))
}

/// CRC-32C over key length, key and value.
fn checksum(key: &[u8], value: &[u8]) -> [u8; CRC] {
    let crc = crc32c::crc32c(&(key.len() as u64).to_le_bytes());
    let crc = crc32c::crc32c_append(crc, key);
    crc32c::crc32c_append(crc, value).to_le_bytes()
}

fn seal(key: &[u8], value: &[u8], slot: &mut [u8]) {
    slot[..CRC].copy_from_slice(&checksum(key, value));
    slot[CRC..].copy_from_slice(value);
}

/// Refuses what is over a limit.
pub(super) fn check_sizes(file: &str, meta: &[u8], changes: &[Change]) -> Result<(), EngineError> {
    let too_large = |what: &str, len: usize, max: usize| {
        Err(EngineError::TooLarge {
            file: file.to_owned(),
            reason: format!("a {what} of {len} bytes; at most {max}"),
        })
    };
    if meta.len() > MAX_META {
        return too_large("meta", meta.len(), MAX_META);
    }
    for (key, value) in changes {
        if key.len() > MAX_KEY {
            return too_large("key", key.len(), MAX_KEY);
        }
        if let Some(v) = value.as_ref().filter(|v| v.len() > MAX_VALUE) {
            return too_large("value", v.len(), MAX_VALUE);
        }
    }
    Ok(())
}

pub(super) fn corrupt(file: &str, reason: impl Into<String>) -> EngineError {
    EngineError::Corrupt {
        file: file.to_owned(),
        reason: reason.into(),
    }
}

pub(super) fn io_error(file: &str, error: io::Error) -> EngineError {
    EngineError::Io {
        file: file.to_owned(),
        error,
    }
}

/// Tells damage from a failing disk.
fn error(file: &str, e: impl Into<redb::Error>) -> EngineError {
    match e.into() {
        // Reads behind the end and contents that are no database are damage.
        redb::Error::Io(e)
            if !matches!(
                e.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            io_error(file, e)
        }
        e @ redb::Error::PreviousIo => io_error(file, io::Error::other(e.to_string())),
        e => corrupt(file, e.to_string()),
    }
}

/// Turns a panic into an error.
fn contain<T>(file: &str, call: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(corrupt(file, format!("the B-tree panicked: {text}")))
    })
}
