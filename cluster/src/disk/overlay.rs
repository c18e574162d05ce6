//! One file of a [`super::VolatileDisk`]: what was synced is in the backing
//! file, what was not is in pages held in memory.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Size of an overlay page in bytes.
const PAGE: usize = 4096;
/// What a drive writes in one piece.
const SECTOR: u64 = 512;
/// One unsynced write in this many is torn.
const TEAR_ONE_IN: u32 = 4;
/// Of the torn ones, one in this many is cut inside a sector.
const MID_SECTOR_ONE_IN: u32 = 4;
/// Written through in pieces of at most this many bytes.
const RUN: usize = 1 << 20;

/// Contents of a file: backing plus what is not synced.
#[derive(Debug)]
pub(super) struct Overlay {
    backing: Arc<File>,
    /// Length of the backing file.
    backing_len: u64,
    /// Bytes of the backing from here on are void: the file was shorter than
    /// this at some time since the last sync.
    floor: u64,
    /// Length as everybody sees it.
    len: u64,
    /// Pages changed since the last sync, whole.
    dirty: BTreeMap<u64, Box<[u8; PAGE]>>,
    rng: ChaCha8Rng,
}

impl Overlay {
    pub(super) fn new(backing: File, seed: u64) -> io::Result<Self> {
        let len = backing.metadata()?.len();
        Ok(Self {
            backing: Arc::new(backing),
            backing_len: len,
            floor: u64::MAX,
            len,
            dirty: BTreeMap::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// A handle for the real fdatasync, to be called without holding a lock.
    pub(super) fn backing(&self) -> Arc<File> {
        self.backing.clone()
    }

    /// Fills `out` with the backing's valid bytes, zeros after them.
    fn read_backing(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let valid = self.backing_len.min(self.floor).saturating_sub(offset);
        let n = usize::try_from(valid).unwrap_or(usize::MAX).min(out.len());
        self.backing.read_exact_at(&mut out[..n], offset)?;
        out[n..].fill(0);
        Ok(())
    }

    pub(super) fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = end_of(offset, out.len())?;
        if end > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if out.is_empty() {
            return Ok(());
        }
        self.read_backing(offset, out)?;
        let page = PAGE as u64;
        for (&no, data) in self.dirty.range(offset / page..=(end - 1) / page) {
            let start = no * page;
            let (from, to) = (start.max(offset), (start + page).min(end));
            out[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&data[(from - start) as usize..(to - start) as usize]);
        }
        Ok(())
    }

    pub(super) fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = end_of(offset, data.len())?;
        if data.is_empty() {
            return Ok(());
        }
        let page = PAGE as u64;
        for no in offset / page..=(end - 1) / page {
            let start = no * page;
            let (from, to) = (start.max(offset), (start + page).min(end));
            if !self.dirty.contains_key(&no) {
                let mut fresh = Box::new([0; PAGE]);
                if to - from < page {
                    self.read_backing(start, &mut fresh[..])?;
                }
                self.dirty.insert(no, fresh);
            }
            if let Some(target) = self.dirty.get_mut(&no) {
                target[(from - start) as usize..(to - start) as usize]
                    .copy_from_slice(&data[(from - offset) as usize..(to - offset) as usize]);
            }
        }
        self.len = self.len.max(end);
        self.tear(offset, data)
    }

    /// With a seeded probability lets a strict prefix of an unsynced write reach
    /// the backing file now. At SIGKILL nobody could, so it is decided here.
    ///
    /// Strict: the last byte never makes it. That a whole unsynced write
    /// survives is seen when the process dies inside a sync instead.
    fn tear(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        if !self.rng.random_ratio(1, TEAR_ONE_IN) {
            return Ok(());
        }
        let last = data.len() as u64 - 1;
        let mut cut = self.rng.random_range(0..=last);
        if !self.rng.random_ratio(1, MID_SECTOR_ONE_IN) {
            // Down to a sector boundary of the file, not of the write.
            cut = (((offset + cut) / SECTOR) * SECTOR).saturating_sub(offset);
        }
        if cut == 0 {
            return Ok(());
        }
        self.backing.write_all_at(&data[..cut as usize], offset)?;
        self.backing_len = self.backing_len.max(offset + cut);
        Ok(())
    }

    pub(super) fn set_len(&mut self, len: u64) -> io::Result<()> {
        end_of(len, 0)?;
        if len < self.len {
            self.floor = self.floor.min(len);
            let page = PAGE as u64;
            drop(self.dirty.split_off(&len.div_ceil(page)));
            if let Some(data) = self.dirty.get_mut(&(len / page)) {
                data[(len % page) as usize..].fill(0);
            }
        }
        self.len = len;
        Ok(())
    }

    /// Writes everything through to the backing file. After this it survives the
    /// process; the caller still owes the real fdatasync.
    pub(super) fn write_through(&mut self) -> io::Result<()> {
        if self.floor < self.backing_len {
            self.backing.set_len(self.floor)?;
            self.backing_len = self.floor;
        }
        let mut run: Vec<u8> = Vec::new();
        let mut run_at = 0;
        for (&no, data) in &self.dirty {
            let start = no * PAGE as u64;
            if run_at + run.len() as u64 != start || run.len() >= RUN {
                self.backing.write_all_at(&run, run_at)?;
                run.clear();
                run_at = start;
            }
            let keep = (self.len - start).min(PAGE as u64) as usize;
            run.extend_from_slice(&data[..keep]);
        }
        self.backing.write_all_at(&run, run_at)?;
        // The same length again would be a change of metadata for the file system to sync.
        let written = match self.dirty.last_key_value() {
            Some((&no, _)) => self.backing_len.max(self.len.min((no + 1) * PAGE as u64)),
            None => self.backing_len,
        };
        if written != self.len {
            self.backing.set_len(self.len)?;
        }
        self.backing_len = self.len;
        self.floor = u64::MAX;
        self.dirty.clear();
        Ok(())
    }
}

fn end_of(offset: u64, len: usize) -> io::Result<u64> {
    offset
        .checked_add(len as u64)
        .filter(|end| *end <= i64::MAX as u64)
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
