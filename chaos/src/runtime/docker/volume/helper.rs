//! What is done to a disk, in a container of its own that has the rights for it
//! and nothing else: one task, one answer.

use super::{format, loops};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;

/// Environment variable that holds the [`Task`] as JSON.
pub(super) const TASK_VAR: &str = "GAMEDAY_VOLUME";

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Task {
    /// To say which loop device is free.
    Free,
    /// To make a file with the pieces that come on standard input, and a disk of it.
    Bind {
        /// Name of the volume.
        name: String,
        /// The file.
        file: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The loop device.
        device: String,
    },
    /// To end that.
    Unbind {
        /// Name of the volume.
        name: String,
        /// The loop device.
        device: String,
    },
    /// To shut down file systems, all at once as far as that goes.
    ShutDown(Vec<Mounted>),
}

/// A file system that is mounted in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mounted {
    /// Name of the volume.
    pub name: String,
    /// Where.
    pub at: PathBuf,
    /// The loop device.
    pub device: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// To `Free`.
    Number(u32),
    /// To all else.
    Done,
    /// Why not.
    Failed(String),
}

/// The program: reads its task from the environment and answers on standard output.
///
/// # Errors
/// It has no task, or cannot answer.
pub fn main() -> Result<(), String> {
    let text = std::env::var(TASK_VAR).map_err(|e| format!("{TASK_VAR}: {e}"))?;
    let task = serde_json::from_str(&text).map_err(|e| format!("{TASK_VAR}: {e}"))?;
    let answer = done(&task).unwrap_or_else(Answer::Failed);
    serde_json::to_writer(io::stdout(), &answer).map_err(|e| e.to_string())
}

fn done(task: &Task) -> Result<Answer, String> {
    match task {
        Task::Free => {
            let number = loops::free();
            number
                .map(Answer::Number)
                .map_err(|e| format!("{}: {e}", loops::CONTROL))
        }
        Task::Bind {
            name,
            file,
            size,
            device,
        } => {
            let say = |e: io::Error| format!("{}: {e}", file.display());
            let mut options = OpenOptions::new();
            let made = options
                .read(true)
                .write(true)
                .create_new(true)
                .open(file)
                .map_err(say)?;
            made.set_len(*size).map_err(say)?;
            format::fill(&made, *size, io::stdin().lock()).map_err(say)?;
            made.sync_all().map_err(say)?;
            loops::bind(device, &made, name).map_err(|e| format!("{device}: {e}"))?;
            Ok(Answer::Done)
        }
        Task::Unbind { name, device } => {
            loops::unbind(device, name).map_err(|e| format!("{device}: {e}"))?;
            Ok(Answer::Done)
        }
        Task::ShutDown(all) => {
            for Mounted { name, at, device } in all {
                loops::shut_down(at, device, name)?;
            }
            Ok(Answer::Done)
        }
    }
}
