//! redb's storage on our disk layer.

use crate::disk::DiskFile;
use redb::StorageBackend;
use std::io;
use std::sync::Arc;

/// One file as redb's storage. It is not locked: a [`super::Tree`] owns its file,
/// and the disk is held exclusively.
#[derive(Debug)]
pub(super) struct Backend(pub Arc<dyn DiskFile>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }
}
