//! A small file that somebody outside the node writes, and the node heeds.

use serde::de::DeserializeOwned;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks at the file, at least.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Longer files are not what they should be.
const MAX_BYTES: u64 = 4096;

/// What the file says, looked at when it is asked for.
#[derive(Debug)]
pub(crate) struct Outside<T> {
    path: PathBuf,
    seen: Mutex<(Option<Instant>, T)>,
}

impl<T: Copy + Default + DeserializeOwned> Outside<T> {
    pub fn new(path: PathBuf) -> Self {
        Outside {
            path,
            seen: Mutex::new((None, T::default())),
        }
    }

    /// What it says now, or said a moment ago; the default without a file. What cannot be read
    /// changes nothing.
    pub fn get(&self) -> T {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            seen.0 = Some(Instant::now());
            match self.read() {
                Ok(now) => seen.1 = now,
                Err(e) => tracing::error!("{}: {e}; it is not heeded", self.path.display()),
            }
        }
        seen.1
    }

    fn read(&self) -> io::Result<T> {
        let size = match std::fs::metadata(&self.path) {
            Ok(meta) => meta.len(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(T::default()),
            Err(e) => return Err(e),
        };
        if size > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        match std::fs::read(&self.path) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other),
            // Taken away between the two.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(T::default()),
            Err(e) => Err(e),
        }
    }
}
