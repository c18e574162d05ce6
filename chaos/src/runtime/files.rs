//! What is done to a node's data folder from outside: the condition of its
//! disk, and damage to the files that are stored there. Done by whoever can
//! reach the folder: the runner itself, or the agent of a pod.

use super::damage::{self, Damage, DamageSeen, Damaged};
use gameday_record::conditions::{self, ClockCondition, DiskCondition, DiskEffects};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest condition or count that is read.
const MAX_SMALL: u64 = 4096;

/// What is to be done. Each can be repeated without harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilesRequest {
    /// The disk is like this from now on.
    Disk(DiskCondition),
    /// The clock is like this from now on.
    Clock(ClockCondition),
    /// What did the condition do to the node so far?
    DiskEffects,
    /// A file is to be damaged; the node must not run.
    Damage(Damage),
    /// How is the damaged file now?
    Look(Damaged),
}

/// What was done or seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilesAnswer {
    /// It is done.
    Done,
    /// To [`FilesRequest::DiskEffects`].
    DiskEffects(DiskEffects),
    /// To [`FilesRequest::Damage`].
    Damaged(Damaged),
    /// To [`FilesRequest::Look`].
    Seen(DamageSeen),
}

/// Held by who is at work on a node's files.
pub(crate) type Turn = Arc<tokio::sync::Mutex<()>>;

/// The same after all that was asked for before, and to its end, even if nobody waits for it any
/// more: what was given up is done late, but never after what undoes it.
pub(crate) async fn act_in_turn(
    turn: &Turn,
    folder: PathBuf,
    request: FilesRequest,
) -> Result<FilesAnswer, String> {
    in_turn(turn, move || act(&folder, &request)).await
}

async fn in_turn<T: Send + 'static>(
    turn: &Turn,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let turn = turn.clone().lock_owned().await;
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    });
    done.await.map_err(|e| e.to_string())?
}

/// Does it in a node's data folder. Blocks.
fn act(folder: &Path, request: &FilesRequest) -> Result<FilesAnswer, String> {
    let say = |e: io::Error| format!("{}: {e}", folder.display());
    match request {
        FilesRequest::Disk(condition) => {
            give(folder, conditions::DISK, condition).map_err(say)?;
            Ok(FilesAnswer::Done)
        }
        FilesRequest::Clock(condition) => {
            give(folder, conditions::CLOCK, condition).map_err(say)?;
            Ok(FilesAnswer::Done)
        }
        FilesRequest::DiskEffects => {
            let seen = read(folder, conditions::DISK_EFFECTS).map_err(say)?;
            Ok(FilesAnswer::DiskEffects(seen))
        }
        FilesRequest::Damage(what) => damage::damage(folder, what).map(FilesAnswer::Damaged),
        FilesRequest::Look(done) => damage::look(folder, done).map(FilesAnswer::Seen),
    }
}

/// Writes a small file whole; removes it where it would say that all is well.
fn give<T: Serialize + Default + PartialEq>(
    folder: &Path,
    name: &str,
    condition: &T,
) -> io::Result<()> {
    let path = folder.join(name);
    if *condition == T::default() {
        return match fs::remove_file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        };
    }
    let new = folder.join(format!("{name}.new"));
    fs::write(&new, serde_json::to_vec(condition)?)?;
    fs::rename(new, path)
}

fn read<T: Default + for<'de> Deserialize<'de>>(folder: &Path, name: &str) -> io::Result<T> {
    let path = folder.join(name);
    let text = match fs::metadata(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(T::default()),
        Err(e) => return Err(e),
        Ok(meta) if meta.len() > MAX_SMALL => return Err(io::ErrorKind::FileTooLarge.into()),
        Ok(_) => fs::read(&path)?,
    };
    serde_json::from_slice(&text).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_given_and_taken_away_again() {
        let dir = tempfile::tempdir().unwrap();
        let slow = DiskCondition {
            sync_delay_ms: 5,
            ..DiskCondition::default()
        };
        let file = dir.path().join(conditions::DISK);
        for _ in 0..2 {
            assert_eq!(
                act(dir.path(), &FilesRequest::Disk(slow)),
                Ok(FilesAnswer::Done)
            );
            let given: DiskCondition = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            assert_eq!(given, slow);
        }
        for _ in 0..2 {
            let well = FilesRequest::Disk(DiskCondition::default());
            assert_eq!(act(dir.path(), &well), Ok(FilesAnswer::Done));
            assert!(!file.exists());
        }
        let none = Ok(FilesAnswer::DiskEffects(DiskEffects::default()));
        assert_eq!(act(dir.path(), &FilesRequest::DiskEffects), none);
        fs::write(dir.path().join(conditions::DISK_EFFECTS), r#"{"failed":3}"#).unwrap();
        let three = DiskEffects {
            failed: 3,
            ..DiskEffects::default()
        };
        let seen = act(dir.path(), &FilesRequest::DiskEffects);
        assert_eq!(seen, Ok(FilesAnswer::DiskEffects(three)));
        assert!(act(&dir.path().join("nowhere"), &FilesRequest::Disk(slow)).is_err());
    }

    #[tokio::test]
    async fn what_was_given_up_is_done_before_what_undoes_it() {
        let turn = Turn::default();
        let (begun, is_begun) = tokio::sync::oneshot::channel();
        let (go_on, waits) = std::sync::mpsc::channel::<()>();
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (first, second) = (order.clone(), order.clone());
        let mut slow = Box::pin(in_turn(&turn, move || {
            let _ = begun.send(());
            let _ = waits.recv();
            first.lock().unwrap().push("done");
            Ok(())
        }));
        tokio::select! {
            _ = &mut slow => panic!("it waits"),
            begun = is_begun => begun.unwrap(),
        }
        drop(slow);
        let mut undo = Box::pin(in_turn(&turn, move || {
            second.lock().unwrap().push("undone");
            Ok(())
        }));
        assert!(futures_util::poll!(&mut undo).is_pending());
        go_on.send(()).unwrap();
        undo.await.unwrap();
        assert_eq!(*order.lock().unwrap(), ["done", "undone"]);
    }
}
