//! The runner's way to `timeline.jsonl`: shared by tasks, synced before it
//! returns, bounded in time.

use gameday_record::timeline::TimelineWriter;
use gameday_record::{Nanos, RunClock, TimelineEvent, TimelineLine};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// A disk that does not sync a line in this time is as good as none.
const DEADLINE: Duration = Duration::from_secs(10);

/// Where lines go.
pub trait Sink: Send {
    /// Writes one line; it is safe on disk when this returns.
    ///
    /// # Errors
    /// Those of the file system.
    fn append(&mut self, line: &TimelineLine) -> io::Result<()>;
}

impl Sink for TimelineWriter {
    fn append(&mut self, line: &TimelineLine) -> io::Result<()> {
        TimelineWriter::append(self, line)
    }
}

/// The timeline of one run. Clones write to the same file; times in it never
/// go back.
#[derive(Clone)]
pub struct Timeline {
    sink: Arc<Mutex<Box<dyn Sink>>>,
    clock: RunClock,
}

impl Timeline {
    /// A timeline that writes to `sink`, with times of `clock`.
    pub fn new(sink: impl Sink + 'static, clock: RunClock) -> Self {
        Timeline {
            sink: Arc::new(Mutex::new(Box::new(sink))),
            clock,
        }
    }

    /// A moment as the timeline tells it.
    pub(super) fn time_of(&self, moment: Instant) -> Nanos {
        self.clock.now() - moment.elapsed()
    }

    /// Writes an event with the time of now; it is on disk when this returns.
    ///
    /// # Errors
    /// Those of the file system, or that it took too long.
    pub async fn append(&self, event: TimelineEvent) -> io::Result<Nanos> {
        let this = self.clone();
        let write = tokio::task::spawn_blocking(move || {
            let mut sink = this.sink.lock().unwrap_or_else(|e| e.into_inner());
            let time = this.clock.now();
            sink.append(&TimelineLine { time, event })?;
            Ok(time)
        });
        match tokio::time::timeout(DEADLINE, write).await {
            Ok(Ok(done)) => done,
            Ok(Err(e)) => Err(io::Error::other(format!("the writer failed: {e}"))),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("not on disk after {} s", DEADLINE.as_secs()),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    #[tokio::test]
    async fn lines_of_many_tasks_are_whole_and_in_order_of_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("timeline.jsonl");
        let timeline = Timeline::new(TimelineWriter::open(&path).unwrap(), RunClock::start());
        let writes = (0..40).map(|id| timeline.append(TimelineEvent::Injected { id }));
        for done in futures_util::future::join_all(writes).await {
            done.unwrap();
        }
        let file = BufReader::new(std::fs::File::open(&path).unwrap());
        let lines = gameday_record::timeline::read(file).unwrap();
        assert_eq!(lines.len(), 40);
        assert!(lines.is_sorted_by_key(|l| l.time));
    }
}
