//! A disk whose power goes at a chosen operation. For tests of what is above.

use super::{Disk, DiskFile, VolatileDisk, volatile};
use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A volatile disk that counts operations that change it, and loses power at one.
#[derive(Debug)]
pub(crate) struct CutDisk(Arc<Fuse>);

#[derive(Debug)]
struct Fuse {
    inner: Arc<VolatileDisk>,
    left: AtomicU64,
}

impl Fuse {
    /// One changing operation; the power goes before the one that finds nothing left.
    fn burn(&self) {
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_err() {
            self.inner.power_off();
        }
    }
}

impl CutDisk {
    /// Loses power after `operations` changing operations.
    pub(crate) fn open(root: &Path, seed: u64, operations: u64) -> Arc<Self> {
        Arc::new(Self(Arc::new(Fuse {
            inner: volatile(root, seed).unwrap(),
            left: AtomicU64::new(operations),
        })))
    }

    pub(crate) fn power_off(&self) {
        self.0.inner.power_off();
    }

    pub(crate) fn has_power(&self) -> bool {
        self.0.inner.list("").is_ok()
    }
}

#[derive(Debug)]
struct CutFile(Arc<Fuse>, Arc<dyn DiskFile>);

impl Disk for CutDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.0.inner.open(name)?;
        Ok(Arc::new(CutFile(self.0.clone(), file)))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.0.burn();
        let file = self.0.inner.create(name)?;
        Ok(Arc::new(CutFile(self.0.clone(), file)))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.burn();
        self.0.inner.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.burn();
        self.0.inner.remove(name)
    }
    fn exists(&self, name: &str) -> io::Result<bool> {
        self.0.inner.exists(name)
    }
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.0.inner.list(dir)
    }
    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.0.burn();
        self.0.inner.create_dir(dir)
    }
    fn remove_dir_all(&self, dir: &str) -> io::Result<()> {
        self.0.burn();
        self.0.inner.remove_dir_all(dir)
    }
    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.0.burn();
        self.0.inner.sync_dir(dir)
    }
}

impl DiskFile for CutFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.1.read_at(offset, out)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.burn();
        self.1.write_at(offset, data)
    }
    fn len(&self) -> io::Result<u64> {
        self.1.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.burn();
        self.1.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.burn();
        self.1.sync_data()
    }
}

/// Property tests of `cases` cases, the same ones in every run. To look
/// further set `PROPTEST_RNG_SEED`, and `PROPTEST_CASES` for how often.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    let number = |name| std::env::var(name).ok().and_then(|v| v.parse().ok());
    ProptestConfig {
        cases: number("PROPTEST_CASES").map_or(cases, |n: u64| n as u32),
        rng_seed: RngSeed::Fixed(number("PROPTEST_RNG_SEED").unwrap_or(1)),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
