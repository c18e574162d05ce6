//! The run folder: the seam between doing and judging.

use crate::history::{self, Ending, History};
use crate::operation::Operation;
use crate::run::RunInfo;
use crate::timeline::{self, TimelineLine};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

/// Largest JSON document that is read, in bytes.
const MAX_JSON: u64 = 64 << 20;

/// The files of one run. Everything is saved before it is judged; JSON is the
/// source and the rest is rendered from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// Names a folder without touching it.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        RunFolder { root: root.into() }
    }

    /// Creates the folder and its `nodes/`.
    ///
    /// # Errors
    /// It exists already, or the file system refuses.
    pub fn create(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        if let Some(parent) = root.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::create_dir(&root)?;
        fs::create_dir(root.join("nodes"))?;
        Ok(RunFolder { root })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.root
    }
    /// What was run.
    pub fn run_json(&self) -> PathBuf {
        self.root.join("run.json")
    }
    /// Every operation: the packed history of a long run if there is no plain one.
    pub fn history(&self) -> PathBuf {
        let (plain, packed) = (self.new_history(false), self.new_history(true));
        if !plain.exists() && packed.exists() {
            packed
        } else {
            plain
        }
    }
    /// Where a history is to be written, packed or not.
    pub fn new_history(&self, packed: bool) -> PathBuf {
        self.root.join(match packed {
            true => "history.jsonl.zst",
            false => "history.jsonl",
        })
    }
    /// Every injection and cluster event.
    pub fn timeline(&self) -> PathBuf {
        self.root.join("timeline.jsonl")
    }
    /// Replica digests at the end.
    pub fn replicas(&self) -> PathBuf {
        self.root.join("replicas.json")
    }
    /// What the replicas say about writes of unknown outcome.
    pub fn applied(&self) -> PathBuf {
        self.root.join("applied.json")
    }
    /// One node's log.
    pub fn node_log(&self, node: &str) -> PathBuf {
        self.root.join("nodes").join(format!("{node}.log"))
    }
    /// The data verdict.
    pub fn verdict(&self) -> PathBuf {
        self.root.join("verdict.json")
    }
    /// The report as data.
    pub fn report_json(&self) -> PathBuf {
        self.root.join("report.json")
    }
    /// The report for people.
    pub fn report_html(&self) -> PathBuf {
        self.root.join("report.html")
    }
    /// The report for a CI page.
    pub fn summary(&self) -> PathBuf {
        self.root.join("summary.md")
    }
    /// Asks the run to stop as soon as it exists; its text is the reason.
    pub fn stop(&self) -> PathBuf {
        self.root.join("stop")
    }
    /// What the watchdog said, once it had something to say.
    pub fn watchdog_log(&self) -> PathBuf {
        self.root.join("watchdog.log")
    }
    /// The report for CI tools.
    pub fn junit(&self) -> PathBuf {
        self.root.join("junit.xml")
    }

    /// Reads `run.json`.
    ///
    /// # Errors
    /// Missing or malformed, with the path.
    pub fn read_run(&self) -> Result<RunInfo, String> {
        read_json(&self.run_json())
    }

    /// Reads the history into memory.
    ///
    /// # Errors
    /// Missing or malformed, with the path and line.
    pub fn read_history(&self) -> Result<History, String> {
        let path = self.history();
        history::open(&path)
            .map_err(|e| e.to_string())
            .and_then(history::read)
            .map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Reads the history operation by operation, in the order of their completion.
    ///
    /// # Errors
    /// Missing or malformed, with the path and line.
    pub fn stream_history(&self, each: impl FnMut(Operation)) -> Result<Ending, String> {
        let path = self.history();
        history::open(&path)
            .map_err(|e| e.to_string())
            .and_then(|input| history::stream(input, each))
            .map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Reads `timeline.jsonl`.
    ///
    /// # Errors
    /// Missing or malformed, with the path and line.
    pub fn read_timeline(&self) -> Result<Vec<TimelineLine>, String> {
        let path = self.timeline();
        let file = File::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        timeline::read(BufReader::new(file)).map_err(|e| format!("{}: {e}", path.display()))
    }
}

/// Reads a JSON document of bounded size.
///
/// # Errors
/// Missing, too large or malformed, with the path.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let say = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let file = File::open(path).map_err(|e| say(&e))?;
    let size = file.metadata().map_err(|e| say(&e))?.len();
    if size > MAX_JSON {
        return Err(say(&format!("{size} bytes; at most {MAX_JSON} are read")));
    }
    serde_json::from_reader(BufReader::new(file)).map_err(|e| say(&e))
}

/// Writes a file so that readers see the old or the new one, never half.
///
/// # Errors
/// Those of the file system, with the path.
pub fn write_file(path: &Path, contents: &[u8]) -> Result<(), String> {
    let say = |e: io::Error| format!("{}: {e}", path.display());
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    let tmp = path.with_file_name(name);
    let mut file = File::create(&tmp).map_err(say)?;
    file.write_all(contents)
        .and_then(|()| file.sync_data())
        .map_err(say)?;
    fs::rename(&tmp, path).map_err(say)
}

/// Writes a JSON document, indented, by [`write_file`].
///
/// # Errors
/// Those of the file system, with the path.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), String> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|e| format!("{}: {e}", path.display()))?;
    bytes.push(b'\n');
    write_file(path, &bytes)
}
