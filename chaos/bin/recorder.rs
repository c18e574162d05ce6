//! The canaries' streams become the history and the live fold.

use crate::behind::{Behind, Settle};
use crate::progress::Progress;
use crate::recording::Recording;
use crate::system::MOST_ASKED;
use gameday_canary::protocol::{Command, Line};
use gameday_chaos::runtime::Instrument;
use gameday_record::history::{HistoryFile, HistoryWriter, Pairing};
use gameday_record::{Call, Event, HistoryHeader, Operation, Outcome};
use gameday_reports::Fold;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::watch;

/// Longest line that a canary may write, in bytes.
const MAX_LINE: u64 = 64 << 10;

/// Name of the file.
const HISTORY: &str = "history.jsonl";

/// One canary as the runner sees it.
pub struct Canary {
    name: String,
    stdin: Box<dyn AsyncWrite + Send + Unpin>,
    progress: watch::Receiver<Progress>,
}

/// Merges the streams; shared by the canaries' readers and the live view.
pub struct Recorder {
    recording: Arc<Recording>,
    inner: Mutex<Inner>,
}

struct Inner {
    writer: Option<(HistoryWriter<HistoryFile<Behind>>, Settle)>,
    pairing: Pairing,
    fold: Fold,
    /// Keys and values of writes of unknown outcome, as many as are asked about.
    unknown: Vec<(String, i64)>,
    /// Why the history cannot be called complete.
    flaw: Option<String>,
}

impl Recorder {
    /// Creates the history file, packed if its name says so; `fold`: the live one, empty.
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub fn create(
        path: &Path,
        header: HistoryHeader,
        fold: Fold,
        recording: Arc<Recording>,
    ) -> Result<Arc<Self>, String> {
        let say = |e: std::io::Error| format!("{}: {e}", path.display());
        let file = File::create_new(path).map_err(say)?;
        let failing = recording.clone();
        let (behind, settle) =
            Behind::new(file, move |why| failing.fail(HISTORY, &why)).map_err(say)?;
        let packed = path.extension().is_some_and(|e| e == "zst");
        let writer = HistoryFile::new(behind, packed)
            .and_then(|file| HistoryWriter::new(file, header))
            .map_err(say)?;
        let inner = Inner {
            writer: Some((writer, settle)),
            pairing: Pairing::default(),
            fold,
            unknown: Vec::new(),
            flaw: None,
        };
        Ok(Arc::new(Recorder {
            recording,
            inner: Mutex::new(inner),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half way; should it, the data is still the data.
        self.inner
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Looks at the fold so far.
    pub fn with_fold<T>(&self, look: impl FnOnce(&Fold) -> T) -> T {
        look(&self.lock().fold)
    }

    /// Keys and values of the writes whose outcome is unknown.
    pub fn unknown_writes(&self) -> Vec<(String, i64)> {
        self.lock().unknown.clone()
    }

    /// Why the history will not be complete, as soon as that is known.
    pub fn flaw(&self) -> Option<String> {
        let flaw = self.lock().flaw.clone();
        flaw.or_else(|| self.recording.failed())
    }

    /// Reads a canary's stream from now on.
    pub fn attach(self: &Arc<Self>, name: &str, instrument: Instrument) -> Canary {
        let (tx, progress) = watch::channel(Progress::default());
        let recorder = Arc::clone(self);
        let reader = name.to_string();
        tokio::spawn(async move {
            let read = recorder.read(&reader, instrument.stdout, &tx).await;
            tx.send_modify(|p| {
                if let Err(why) = p.end(&reader, read) {
                    recorder.spoil(why);
                }
            });
        });
        Canary {
            name: name.into(),
            stdin: instrument.stdin,
            progress,
        }
    }

    async fn read(
        &self,
        name: &str,
        stdout: Box<dyn AsyncRead + Send + Unpin>,
        progress: &watch::Sender<Progress>,
    ) -> Result<(), String> {
        let mut stdout = BufReader::with_capacity(64 << 10, stdout);
        let mut line = Vec::new();
        loop {
            line.clear();
            let n = (&mut stdout)
                .take(MAX_LINE)
                .read_until(b'\n', &mut line)
                .await
                .map_err(|e| format!("{name}: {e}"))?;
            if n == 0 {
                return Ok(());
            }
            if line.last() != Some(&b'\n') {
                return Err(format!("{name}: a line of {n} bytes without an end"));
            }
            match Line::parse(&line).map_err(|e| format!("{name}: {e}"))? {
                Line::Event(event) => self.take(name, &event)?,
                Line::Notice(notice) => progress.send_modify(|p| p.take(notice)),
            }
        }
    }

    /// Marks the history as incomplete; the first reason is kept.
    pub fn spoil(&self, why: String) {
        self.lock().flaw.get_or_insert(why);
    }

    /// Hands what was recorded so far to the file.
    pub fn flush(&self) {
        let mut inner = self.lock();
        if let Some(Err(e)) = inner.writer.as_mut().map(|(writer, _)| writer.flush()) {
            self.recording.fail(HISTORY, &e);
        }
    }

    /// What cannot be recorded is counted all the same: the end of the game day is watched too.
    fn take(&self, name: &str, event: &Event) -> Result<(), String> {
        let mut inner = self.lock();
        if self.recording.failed().is_none()
            && let Some((writer, _)) = inner.writer.as_mut()
            && let Err(e) = writer.append(event.clone())
        {
            self.recording.fail(HISTORY, &e);
        }
        inner.take(name, event)
    }

    /// Ends the history: with its end marker if every stream was read to its
    /// orderly end, without it otherwise.
    ///
    /// # Errors
    /// Those of the file system, or the flaw that left the history without its end marker.
    pub async fn finish(&self) -> Result<(), String> {
        let flaw = self.flaw();
        let Some((mut writer, settle)) = self.lock().writer.take() else {
            return Ok(());
        };
        let ended = match flaw {
            None => writer.finish().and_then(HistoryFile::finish).map(drop),
            Some(_) => writer.flush(),
        };
        let settled = settle.settle().await;
        match flaw {
            Some(flaw) => Err(flaw),
            None => ended.and(settled).map_err(|e| format!("{HISTORY}: {e}")),
        }
    }
}

impl Inner {
    fn take(&mut self, name: &str, event: &Event) -> Result<(), String> {
        let op = self
            .pairing
            .push(event)
            .map_err(|e| format!("{name}: {e}"))?;
        if let Some(op) = op {
            if self.unknown.len() < MOST_ASKED {
                self.unknown.extend(unknown_write(&op));
            }
            self.fold.push(&op);
        }
        Ok(())
    }
}

/// Key and value of a write of unknown outcome. An addition has no value of its own.
fn unknown_write(op: &Operation) -> Option<(String, i64)> {
    if !matches!(op.outcome, Outcome::Unknown { .. }) {
        return None;
    }
    match &op.call {
        Call::Write { key, value } | Call::Insert { key, value } => Some((key.clone(), *value)),
        Call::Cas { key, new, .. } => Some((key.clone(), *new)),
        Call::Read { .. } | Call::Add { .. } => None,
    }
}

impl Canary {
    /// Sends one command.
    ///
    /// # Errors
    /// The canary is gone, or does not read within five seconds.
    pub async fn tell(&mut self, command: Command) -> Result<(), String> {
        let line = command.line();
        let send = async {
            self.stdin.write_all(line.as_bytes()).await?;
            self.stdin.flush().await
        };
        match tokio::time::timeout(Duration::from_secs(5), send).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(format!("{} cannot be told {command:?}: {e}", self.name)),
            Err(_) => Err(format!(
                "{} does not take the command {command:?}",
                self.name
            )),
        }
    }

    /// Waits until it has come so far, for `limit` at most.
    ///
    /// # Errors
    /// It ended first, or the time is over.
    pub async fn wait(
        &mut self,
        what: &str,
        limit: Duration,
        reached: impl Fn(&Progress) -> bool,
    ) -> Result<Progress, String> {
        let mut progress = self.progress.clone();
        let wait = progress.wait_for(|p| reached(p) || p.ended.is_some());
        let seen = match tokio::time::timeout(limit, wait).await {
            Ok(Ok(p)) => p.clone(),
            Ok(Err(_)) => return Err(format!("{}: its reader is gone", self.name)),
            Err(_) => return Err(format!("{} is not {what} after {limit:?}", self.name)),
        };
        if reached(&seen) {
            return Ok(seen);
        }
        match seen.ended {
            Some(Err(why)) => Err(why),
            _ => Err(format!("{} ended before it was {what}", self.name)),
        }
    }
}

/// Tells every canary the same, and names those that cannot be told.
pub async fn tell_all(canaries: &mut BTreeMap<String, Canary>, command: Command) -> Vec<String> {
    let mut failed = Vec::new();
    for canary in canaries.values_mut() {
        failed.extend(canary.tell(command).await.err());
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameday_canary::protocol::{Notice, Totals};
    use gameday_record::history::{self, HistoryLine};
    use gameday_record::{Nanos, RunClock, RunFolder};
    use std::io::BufRead;

    /// Enough for several frames of a packed history.
    const WRITES: u64 = 25_000;

    fn events() -> Vec<Event> {
        let write = |i: u64| Operation {
            index: 2 * i,
            process: i % 7,
            az: "a".into(),
            endpoint: "b".into(),
            table: String::new(),
            call: Call::Write {
                key: format!("k{}", i % 5),
                value: i as i64,
            },
            due: Nanos(i * 1_000_000),
            invoked: Nanos(i * 1_000_000 + 20),
            returned: Some(Nanos(i * 1_000_000 + 700)),
            outcome: Outcome::Ok { value: None },
            last: false,
            fresh: false,
            attempt: Default::default(),
        };
        (0..WRITES)
            .map(write)
            .flat_map(|op| {
                let ended = Event::complete(&op, Nanos(op.invoked.0 + 680));
                let ended = Event {
                    index: op.index + 1,
                    ..ended
                };
                [Event::invoke(&op), ended]
            })
            .collect()
    }

    /// Records what one canary writes, and how that ended.
    async fn record(folder: &RunFolder, lines: Vec<Line>) -> Result<(), String> {
        let header = HistoryHeader {
            version: history::HISTORY_VERSION,
            run: "r".into(),
            seed: 1,
            clock: "c".into(),
            epoch_utc: String::new(),
            forgotten: None,
        };
        let mut said = Vec::new();
        for line in lines {
            line.write(&mut said).unwrap();
        }
        let recording = Recording::begin(folder, RunClock::start())?;
        let path = folder.new_history(true);
        let recorder = Recorder::create(&path, header, Fold::new(), recording)?;
        let instrument = Instrument {
            stdin: Box::new(tokio::io::sink()),
            stdout: Box::new(std::io::Cursor::new(said)),
        };
        let mut canary = recorder.attach("canary-a", instrument);
        let limit = Duration::from_secs(60);
        canary
            .wait("over", limit, |p| p.ended.is_some())
            .await
            .unwrap();
        recorder.finish().await
    }

    #[tokio::test]
    async fn what_canaries_say_comes_back_from_a_packed_history_equal() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::at(dir.path());
        let events = events();
        let done = Line::Notice(Notice::Done(Totals::default()));
        let said = events.iter().cloned().map(Line::Event).chain([done]);
        record(&folder, said.collect()).await.unwrap();

        let path = folder.history();
        assert_eq!(path, folder.new_history(true));
        let frames = history::frames(&mut File::open(&path).unwrap()).unwrap();
        assert!(frames.is_some_and(|f| f.len() > 1));
        let lines: Vec<HistoryLine> = history::open(&path)
            .unwrap()
            .split(b'\n')
            .map(|line| HistoryLine::parse(&line.unwrap()).unwrap())
            .collect();
        let [HistoryLine::Header { .. }, back @ .., end] = &lines[..] else {
            panic!("{} lines", lines.len());
        };
        let gameday_end = 2 * WRITES;
        assert_eq!(end, &HistoryLine::End { gameday_end });
        let same =
            |(line, event): (&HistoryLine, &Event)| *line == HistoryLine::Event(event.clone());
        assert!(back.len() == events.len() && back.iter().zip(&events).all(same));

        // What a power failure leaves is read as far as it goes.
        let whole = folder.read_history().unwrap();
        assert!(whole.complete && whole.operations.len() as u64 == WRITES);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() * 2 / 3]).unwrap();
        let torn = folder.read_history().unwrap();
        let n = torn.operations.iter().filter(|o| o.returned.is_some());
        let n = n.count();
        assert!(!torn.complete && n > 0 && n < whole.operations.len());
        assert_eq!(torn.operations[..n], whole.operations[..n]);
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_leaves_all_it_said_and_no_end_marker() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::at(dir.path());
        let said = events().into_iter().take(5_001).map(Line::Event).collect();
        let flaw = record(&folder, said).await.unwrap_err();
        assert_eq!(flaw, "canary-a ended before it was told to");
        let back = folder.read_history().unwrap();
        assert!(!back.complete);
        let open = back.operations.iter().filter(|o| o.returned.is_none());
        assert_eq!((back.operations.len(), open.count()), (2_501, 1));
    }
}
