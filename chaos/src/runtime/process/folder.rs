//! `<tmp>/gameday-<run id>`: data folders and logs of the process runtime.

use crate::runtime::marks::RunMarks;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// First part of the folder's name.
pub(crate) const PREFIX: &str = "gameday-";
/// File in it that says to which run it belongs.
pub(crate) const MARKS: &str = "marks.json";
/// Folder of the logs in it; no unit is named so.
const LOGS: &str = ".logs";
/// Folder of the programs in it that nodes are upgraded to.
const PROGRAMS: &str = ".programs";
/// Most bytes of a log that are kept, its last ones.
const MAX_LOG: u64 = 20 << 20;

/// The folder of one run.
pub(crate) struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// Makes it, readable by nobody else.
    pub fn create(marks: &RunMarks) -> Result<Self, String> {
        let root = std::env::temp_dir().join(format!("{PREFIX}{}", marks.run));
        let say = |e: io::Error| format!("{}: {e}", root.display());
        let mut private = DirBuilder::new();
        private.mode(0o700);
        private.create(&root).map_err(say)?;
        let text = serde_json::to_vec(marks).map_err(|e| e.to_string())?;
        fs::write(root.join(MARKS), text).map_err(say)?;
        private.create(root.join(LOGS)).map_err(say)?;
        Ok(RunDir { root })
    }

    /// A unit's data folder; made if it is not there.
    pub fn data(&self, unit: &str) -> Result<PathBuf, String> {
        let path = self.root.join(unit);
        fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path)
    }

    /// Where programs are kept that nodes are upgraded to; made by whoever needs it.
    pub fn programs(&self) -> PathBuf {
        self.root.join(PROGRAMS)
    }

    fn log_path(&self, unit: &str) -> PathBuf {
        self.root.join(LOGS).join(format!("{unit}.log"))
    }

    /// A unit's log, for appending.
    pub fn log(&self, unit: &str) -> Result<File, String> {
        let path = self.log_path(unit);
        let opened = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path);
        opened.map_err(|e| format!("{}: {e}", path.display()))
    }

    /// The last words of a unit, for an error message.
    pub fn log_tail(&self, unit: &str) -> String {
        let text = fs::read_to_string(self.log_path(unit)).unwrap_or_default();
        text.lines()
            .next_back()
            .unwrap_or_default()
            .chars()
            .take(300)
            .collect()
    }

    /// Copies the end of a unit's log to `<to>/<unit>.log`; a unit without a log is skipped.
    pub fn copy_log(&self, unit: &str, to: &Path) -> Result<(), String> {
        let from = self.log_path(unit);
        let copy = || {
            let mut file = File::open(&from)?;
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(size.saturating_sub(MAX_LOG)))?;
            let mut out = File::create(to.join(format!("{unit}.log")))?;
            io::copy(&mut file.take(MAX_LOG), &mut out).map(drop)
        };
        match copy() {
            Err(e) if e.kind() == io::ErrorKind::NotFound && !from.exists() => Ok(()),
            done => done.map_err(|e| format!("log of {unit}: {e}")),
        }
    }

    /// Removes everything.
    pub fn remove(&self) -> Result<(), String> {
        match fs::remove_dir_all(&self.root) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(|e| format!("{}: {e}", self.root.display())),
        }
    }
}
