//! `<tmp>/gameday-<run id>`: data folders and logs of the process runtime.
//!
//! To which run it belongs is said beside it, in a file that is made before it
//! and removed after it: whoever dies in between, it is found again.

use crate::runtime::marks::RunMarks;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// First part of the folder's name.
pub(crate) const PREFIX: &str = "gameday-";
/// Last part of the name of the file beside it that says to which run it belongs.
pub(crate) const MARKS: &str = ".marks";
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
        let text = serde_json::to_vec(marks).map_err(|e| e.to_string())?;
        let beside = beside(&root);
        OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&beside)
            .and_then(|mut file| file.write_all(&text))
            .map_err(|e| match e.kind() {
                io::ErrorKind::AlreadyExists => format!(
                    "{} exists: a run of this name and seed began in the same second; run it again",
                    beside.display()
                ),
                _ => format!("{}: {e}", beside.display()),
            })?;
        let mut private = DirBuilder::new();
        private.mode(0o700);
        private.create(&root).map_err(say)?;
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
        remove(&self.root)
    }
}

/// The file beside a run's folder.
fn beside(root: &Path) -> PathBuf {
    let mut name = root.as_os_str().to_os_string();
    name.push(MARKS);
    name.into()
}

/// Removes a run's folder, then its marks; fine if they are gone.
pub(crate) fn remove(root: &Path) -> Result<(), String> {
    let gone = |path: &Path, done: io::Result<()>| match done {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(|e| format!("{}: {e}", path.display())),
    };
    gone(root, fs::remove_dir_all(root))?;
    let beside = beside(root);
    gone(&beside, fs::remove_file(&beside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::leftover::Thing;
    use crate::runtime::marks::Kind;
    use crate::runtime::process::scan;

    /// As if it had been killed after each of the steps of making and removing it.
    #[test]
    fn it_is_found_again_as_long_as_a_part_of_it_is_there() {
        let run = format!("folder-test-{}", std::process::id());
        let marks = RunMarks::new(&run, Kind::Run, "/nowhere").unwrap();
        let found = || -> Vec<Thing> {
            let all = scan::find().unwrap().into_iter();
            all.filter(|l| l.marks.run == run)
                .map(|l| l.thing)
                .collect()
        };
        let dir = RunDir::create(&marks).unwrap();
        let whole = [Thing::Folder(dir.root.clone())];
        assert_eq!(found(), whole);
        fs::remove_dir(dir.root.join(LOGS)).unwrap();
        assert_eq!(found(), whole);
        fs::remove_dir(&dir.root).unwrap();
        assert_eq!(found(), whole, "only its marks are left, or were made yet");
        dir.remove().unwrap();
        assert_eq!(found(), []);
        dir.remove().unwrap();
    }
}
