//! What an adopted container was before anything was done to it: in the run's
//! folder, and as a label of the agent that was made for it, so that it can be
//! put back by whoever finds either.

use super::found::{Attachment, Bounds, Found, Policy, Standing};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// Label of an agent that holds the [`Before`] of its target, as JSON.
pub const BEFORE_LABEL: &str = "gameday.before";
/// File in a run's folder with all [`Record`]s, as a JSON array.
pub const FILE: &str = "adopted.json";
/// Version of the form.
const VERSION: u32 = 1;
/// Longest text of one [`Before`], in bytes.
const MAX_TEXT: usize = 64 << 10;
/// Largest file, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// What a container was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Version of this form: 1.
    pub version: u32,
    /// What it is called in the game day.
    pub unit: String,
    /// The container's full id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it ran.
    pub ran: bool,
    /// Whether it was frozen.
    pub paused: bool,
    /// Its restart policy.
    pub policy: Policy,
    /// Its bounds.
    pub bounds: Bounds,
    /// Its networks, by name.
    pub networks: BTreeMap<String, Attachment>,
    /// When it was started.
    pub started_at: String,
    /// How often its policy had started it.
    pub restarts: i64,
}

impl Before {
    /// Of a container as it is now.
    pub fn of(unit: &str, found: &Found) -> Self {
        Before {
            version: VERSION,
            unit: unit.into(),
            id: found.id.clone(),
            name: found.name.clone(),
            ran: matches!(found.standing, Standing::Runs | Standing::Paused),
            paused: found.standing == Standing::Paused,
            policy: found.policy.clone(),
            bounds: found.bounds,
            networks: found.networks.clone(),
            started_at: found.started_at.clone(),
            restarts: found.restarts,
        }
    }

    /// As a label.
    ///
    /// # Errors
    /// It is too long for one.
    pub fn to_label(&self) -> Result<String, String> {
        let text = serde_json::to_string(self).map_err(|e| e.to_string())?;
        match text.len() {
            ..=MAX_TEXT => Ok(text),
            long => Err(format!(
                "what {} is takes {long} bytes to write down, more than {MAX_TEXT}",
                self.name
            )),
        }
    }

    /// Reads it back.
    ///
    /// # Errors
    /// It is no such text, or one of a newer build.
    pub fn from_label(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("{BEFORE_LABEL}: longer than {MAX_TEXT} bytes"));
        }
        let value: Value =
            serde_json::from_str(text).map_err(|e| format!("{BEFORE_LABEL}: {e}"))?;
        match value["version"].as_u64() {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => {
                return Err(format!(
                    "{BEFORE_LABEL}: version {version}, but this build knows {VERSION}: use the \
                     build that made it"
                ));
            }
            None => return Err(format!("{BEFORE_LABEL}: it says no version")),
        }
        serde_json::from_value(value).map_err(|e| format!("{BEFORE_LABEL}: {e}"))
    }
}

/// What a container was, and all that the engine said of it then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What can be put back.
    pub before: Before,
    /// `docker inspect`, to be compared with afterwards.
    pub inspect: Value,
}

/// Writes all records of a run, so that they are there after a crash.
///
/// # Errors
/// The file cannot be written.
pub fn write(folder: &Path, records: &[Record]) -> Result<(), String> {
    let path = folder.join(FILE);
    let fresh = folder.join(format!("{FILE}.new"));
    let written = || -> std::io::Result<()> {
        let mut file = File::create(&fresh)?;
        serde_json::to_writer(&file, records)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)?;
        File::open(folder)?.sync_all()
    };
    written().map_err(|e| format!("{}: {e}", path.display()))
}

/// Reads them; none if the run has adopted nothing.
///
/// # Errors
/// The file cannot be read, or is not understood.
pub fn read(folder: &Path) -> Result<Vec<Record>, String> {
    let path = folder.join(FILE);
    let say = |e: String| format!("{}: {e}", path.display());
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(say(e.to_string())),
    };
    let mut text = String::new();
    let mut bounded = file.take(MAX_FILE + 1);
    let read = bounded.read_to_string(&mut text);
    read.map_err(|e| say(e.to_string()))?;
    if text.len() as u64 > MAX_FILE {
        return Err(say(format!("larger than {MAX_FILE} bytes")));
    }
    serde_json::from_str(&text).map_err(|e| say(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::docker::adopted::examples;

    fn before() -> Before {
        Before::of("db", &Found::read(examples::said()).unwrap())
    }

    #[test]
    fn it_is_the_same_after_it_was_written_down() {
        let before = before();
        assert!(before.ran && !before.paused);
        let text = before.to_label().unwrap();
        assert_eq!(Before::from_label(&text), Ok(before.clone()));
        let inspect = serde_json::to_value(examples::said()).unwrap();
        let records = [Record { before, inspect }];
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), Ok(Vec::new()));
        write(folder.path(), &records).unwrap();
        write(folder.path(), &records).unwrap();
        assert_eq!(read(folder.path()).unwrap(), records);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let newer = before()
            .to_label()
            .unwrap()
            .replace("\"version\":1", "\"version\":2");
        for (text, part) in [
            (newer.as_str(), "version 2"),
            ("{}", "no version"),
            ("x", BEFORE_LABEL),
            (r#"{"version":1}"#, "missing field"),
            (&"x".repeat(MAX_TEXT + 1), "longer than"),
        ] {
            let why = Before::from_label(text).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
        let mut large = before();
        large.unit = "x".repeat(MAX_TEXT);
        assert!(large.to_label().unwrap_err().contains("more than"));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "[{").unwrap();
        assert!(read(folder.path()).unwrap_err().contains(FILE));
    }
}
