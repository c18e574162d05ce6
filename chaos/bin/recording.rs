//! What a game day records, and what follows when it cannot: a game day that is no longer
//! recorded ends at once. For how it ends, room is kept on the disk from the beginning: the
//! timeline of the reverts, the verdict and the report.

use gameday_chaos::runner::Sink;
use gameday_record::{RunClock, RunFolder, TimelineLine};
use nix::fcntl::{FallocateFlags, fallocate};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// What the timeline of the reverts, the verdict and the report need, amply, in bytes.
const ROOM: usize = 8 << 20;

/// Whether everything is recorded.
pub struct Recording {
    clock: RunClock,
    room: PathBuf,
    failed: watch::Sender<Option<String>>,
}

impl Recording {
    /// Keeps room in the run folder.
    ///
    /// # Errors
    /// There is none.
    pub fn begin(folder: &RunFolder, clock: RunClock) -> Result<Arc<Self>, String> {
        let room = room(folder);
        take(&room).map_err(|e| {
            free(folder);
            format!(
                "{}: the {} MiB that a game day needs to tell how it ended cannot be had: {e}",
                folder.path().display(),
                ROOM >> 20
            )
        })?;
        Ok(Arc::new(Recording {
            clock,
            room,
            failed: watch::Sender::new(None),
        }))
    }

    /// Something cannot be recorded: the game day ends. The first reason is kept.
    pub fn fail(&self, what: &str, why: &dyn std::fmt::Display) {
        let at = self.clock.now().as_secs_f64();
        let text = format!(
            "what happens is no longer recorded, from +{at:.1} s on: {what} cannot be written: {why}"
        );
        let first = self.failed.send_if_modified(|failed| match failed {
            None => {
                *failed = Some(text.clone());
                true
            }
            Some(_) => false,
        });
        if first {
            // It may be gone already.
            let _ = std::fs::remove_file(&self.room);
            warn!("{text}; the game day ends: everything is reverted");
        }
    }

    /// Why something was not recorded.
    pub fn failed(&self) -> Option<String> {
        self.failed.borrow().clone()
    }

    /// Resolves when something cannot be recorded, with the reason.
    pub async fn fails(&self) -> String {
        let mut failed = self.failed.subscribe();
        let why = failed.wait_for(Option::is_some).await.map(|w| w.clone());
        match why {
            Ok(why) => why.unwrap_or_default(),
            // The sender lives as long as `self`.
            Err(_) => std::future::pending().await,
        }
    }
}

fn room(folder: &RunFolder) -> PathBuf {
    folder.path().join("room")
}

/// Gives back the room that was kept in a run folder.
pub fn free(folder: &RunFolder) {
    // There is none in that of a run that has ended.
    let _ = std::fs::remove_file(room(folder));
}

fn take(path: &std::path::Path) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, ROOM as i64) {
        Ok(()) => Ok(()),
        // A file system that cannot keep room for nothing keeps it for zeroes.
        Err(nix::Error::EOPNOTSUPP) => file.write_all(&vec![0; ROOM]),
        Err(e) => Err(e.into()),
    }
}

/// A timeline whose disk may fill up: the line that does not fit is the end of the game day, and
/// goes into the room that was kept, as do those that follow.
pub struct Kept<S> {
    sink: S,
    recording: Arc<Recording>,
}

impl<S: Sink> Kept<S> {
    /// Writes to `sink`.
    pub fn new(sink: S, recording: Arc<Recording>) -> Self {
        Kept { sink, recording }
    }
}

impl<S: Sink> Sink for Kept<S> {
    fn append(&mut self, line: &TimelineLine) -> io::Result<()> {
        match self.sink.append(line) {
            Ok(()) => Ok(()),
            Err(e) => {
                self.recording.fail("timeline.jsonl", &e);
                self.sink.append(line)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use gameday_record::{Nanos, TimelineEvent};

    /// Full until the room is given back.
    struct Disk(PathBuf, Vec<TimelineLine>);

    impl Sink for Disk {
        fn append(&mut self, line: &TimelineLine) -> io::Result<()> {
            if self.0.exists() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.1.push(line.clone());
            Ok(())
        }
    }

    #[test]
    fn a_line_that_does_not_fit_ends_the_game_day_and_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::at(dir.path());
        let recording = Recording::begin(&folder, RunClock::start()).unwrap();
        let size = std::fs::metadata(room(&folder)).unwrap();
        use std::os::unix::fs::MetadataExt;
        assert!(size.blocks() * 512 >= ROOM as u64, "{size:?}");
        assert!(recording.fails().now_or_never().is_none());

        let mut kept = Kept::new(Disk(room(&folder), Vec::new()), recording.clone());
        let line = TimelineLine {
            time: Nanos(1),
            event: TimelineEvent::Reverting { id: 1 },
        };
        kept.append(&line).unwrap();
        assert_eq!(kept.sink.1, [line]);
        let why = recording.fails().now_or_never().expect("it is over");
        assert!(why.contains("timeline.jsonl cannot be written"), "{why}");
        recording.fail("history.jsonl", &"later");
        assert_eq!(recording.failed(), Some(why), "the first reason");
    }

    #[test]
    fn without_room_nothing_begins() {
        let folder = RunFolder::at("/proc/self");
        let refused = Recording::begin(&folder, RunClock::start()).err();
        let refused = refused.expect("nothing can be kept there");
        assert!(refused.contains("8 MiB"), "{refused}");
    }
}
