//! A history in segments, for canaries that run longer than a disk lasts.
//!
//! Every segment is a whole history by itself: with a header, an end marker,
//! and with every call that began in it, also when the call ended after the
//! next segment had begun. What a segment needs to know of the time before it,
//! the writes whose values a read may still find and the sums of counters,
//! stands at its beginning as calls of processes from [`CARRIED`] on. So each segment can be judged
//! alone, and no anomaly hides on the border between two. What is remembered is bounded: the header
//! says up to when writes may be missing, and what finds one of those is not judged.

pub use super::carry::CARRIED;
use super::carry::{Carry, LATER};
use super::rotate::{Limits, Series};
use gameday_record::history::{HistoryWriter, MAX_LINE, Pairing};
use gameday_record::{Event, EventKind, HistoryHeader, HistoryLine, Nanos, Operation};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A finished segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its file.
    pub path: PathBuf,
    /// True if an earlier segment was removed to make room.
    pub removed_one: bool,
}

/// Writes one history in segments.
#[derive(Debug)]
pub struct Segments {
    header: HistoryHeader,
    limits: Limits,
    series: Series,
    current: Part,
    /// Segments that are full, but have calls in flight.
    draining: Vec<Part>,
    carry: Carry,
    pairing: Pairing,
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    writer: HistoryWriter<BufWriter<Counted>>,
    bytes: Arc<AtomicU64>,
    open: HashSet<u64>,
    removed_one: bool,
}

#[derive(Debug)]
struct Counted {
    file: File,
    bytes: Arc<AtomicU64>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.bytes.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Segments {
    /// Begins the first segment, `history-000001.jsonl` in `folder`.
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub fn new(folder: &Path, header: HistoryHeader, limits: Limits) -> Result<Self, String> {
        let mut series = Series::new(folder, "history", "jsonl", limits.files);
        let current = Part::begin(&mut series, &header, &[])?;
        Ok(Segments {
            header,
            limits,
            series,
            current,
            draining: Vec::new(),
            carry: Carry::default(),
            pairing: Pairing::default(),
        })
    }

    /// Takes one event of the canary. Returns the operation that it completes,
    /// and the segments that it finishes.
    ///
    /// # Errors
    /// The event does not fit to those before it, or the file system refuses.
    pub fn push(&mut self, event: &Event) -> Result<(Option<Operation>, Vec<Segment>), String> {
        let done = self.pairing.push(event)?;
        if event.kind == EventKind::Invoke {
            if self.current.bytes.load(Ordering::Relaxed) >= self.limits.bytes {
                self.next()?;
            }
            if let Some(write) = self.carry.invoked(event)? {
                // A call of an earlier segment may still find what it writes.
                for part in &mut self.draining {
                    part.carry(std::slice::from_ref(&write))?;
                }
            }
            self.current.append(event)?;
            self.current.open.insert(event.process);
        } else {
            let full = &mut self.draining;
            let part = full.iter_mut().find(|p| p.open.contains(&event.process));
            let part = part.unwrap_or(&mut self.current);
            part.append(event)?;
            part.open.remove(&event.process);
        }
        if let Some(op) = &done {
            self.carry.completed(op);
        }
        let mut finished = Vec::new();
        while let Some(at) = self.draining.iter().position(|p| p.open.is_empty()) {
            finished.push(self.draining.swap_remove(at).finish()?);
        }
        Ok((done, finished))
    }

    fn next(&mut self) -> Result<(), String> {
        let carried = self.carry.writes();
        let header = HistoryHeader {
            forgotten: self.carry.forgotten,
            ..self.header.clone()
        };
        let next = Part::begin(&mut self.series, &header, &carried)?;
        self.draining
            .push(std::mem::replace(&mut self.current, next));
        Ok(())
    }

    /// Hands buffered lines to the files.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn flush(&mut self) -> Result<(), String> {
        for part in self.draining.iter_mut().chain([&mut self.current]) {
            let say = |e: io::Error| format!("{}: {e}", part.path.display());
            part.writer.flush().map_err(say)?;
        }
        Ok(())
    }

    /// Ends every segment: with its end marker if the canary's stream was read
    /// to its orderly end. Calls that are open stay open, which means unknown.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn finish(mut self, orderly: bool) -> Result<Ended, String> {
        self.flush()?;
        let kept: Vec<PathBuf> = self.series.kept().map(Path::to_path_buf).collect();
        if orderly {
            for part in self.draining.into_iter().chain([self.current]) {
                part.finish()?;
            }
        }
        Ok(Ended {
            kept,
            removed: self.series.removed(),
            forgotten: self.carry.forgotten,
        })
    }

    /// Number of writes and calls that are remembered now; bounded however
    /// long the canary runs.
    pub fn remembered(&self) -> usize {
        let open = self.draining.iter().map(|p| p.open.len()).sum::<usize>();
        self.carry.len() + open + self.current.open.len()
    }
}

/// What is there at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The segments that are kept, oldest first.
    pub kept: Vec<PathBuf>,
    /// Number of segments that were removed.
    pub removed: u64,
    /// When the newest write was invoked that was forgotten, if one was.
    pub forgotten: Option<Nanos>,
}

/// Makes one history of the segments that are kept, and removes them. It is
/// complete if all of them are.
///
/// # Errors
/// Those of the file system, or a line that is not of the format; the segments
/// are still there then.
pub fn merge(kept: &[PathBuf], into: &Path) -> Result<(), String> {
    let say = |path: &Path, e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    if let [one] = kept
        && !has_later(one)?
    {
        return fs::rename(one, into).map_err(|e| say(into, &e));
    }
    let partial = into.with_extension("partial");
    let file = File::create(&partial).map_err(|e| say(&partial, &e))?;
    let mut out = Some(BufWriter::new(file));
    let mut writer = None;
    let mut complete = true;
    for (n, path) in kept.iter().enumerate() {
        let mut ended = false;
        for line in lines(path)? {
            match line? {
                HistoryLine::Header { gameday_history } => {
                    if let Some(out) = out.take() {
                        let head = HistoryWriter::new(out, gameday_history);
                        writer = Some(head.map_err(|e| say(&partial, &e))?);
                    }
                }
                HistoryLine::End { .. } => ended = true,
                HistoryLine::Event(e) => {
                    // Of what is carried, only what none of the segments has itself.
                    let own = e.process < if n == 0 { LATER } else { CARRIED };
                    if let (true, Some(writer)) = (own, &mut writer) {
                        writer.append(e).map_err(|e| say(&partial, &e))?;
                    }
                }
            }
        }
        complete &= ended;
    }
    let Some(mut writer) = writer else {
        return Err(say(into, &"there is no segment to make it of"));
    };
    writer.flush().map_err(|e| say(&partial, &e))?;
    if complete {
        let out = writer.finish().map_err(|e| say(&partial, &e))?;
        out.get_ref().sync_data().map_err(|e| say(&partial, &e))?;
    }
    fs::rename(&partial, into).map_err(|e| say(into, &e))?;
    for path in kept {
        fs::remove_file(path).map_err(|e| say(path, &e))?;
    }
    Ok(())
}

/// True if a segment has writes that began after it was full.
fn has_later(path: &Path) -> Result<bool, String> {
    for line in lines(path)? {
        if matches!(line?, HistoryLine::Event(e) if e.process >= LATER) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The lines of a segment but for a torn last one.
fn lines(path: &Path) -> Result<impl Iterator<Item = Result<HistoryLine, String>> + use<>, String> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|e| format!("{name}: {e}"))?;
    let mut input = BufReader::new(file);
    Ok(std::iter::from_fn(move || {
        let mut line = Vec::new();
        match (&mut input)
            .take(MAX_LINE as u64)
            .read_until(b'\n', &mut line)
        {
            Err(e) => return Some(Err(format!("{name}: {e}"))),
            Ok(_) if line.last() != Some(&b'\n') => return None,
            Ok(_) => {}
        }
        Some(HistoryLine::parse(&line).map_err(|e| format!("{name}: {e}")))
    }))
}

impl Part {
    fn begin(
        series: &mut Series,
        header: &HistoryHeader,
        carried: &[Operation],
    ) -> Result<Self, String> {
        let removed = series.removed();
        let path = series.begin().map_err(|e| format!("history: {e}"))?;
        let say = |e: io::Error| format!("{}: {e}", path.display());
        let bytes = Arc::new(AtomicU64::new(0));
        let file = Counted {
            file: File::create_new(&path).map_err(say)?,
            bytes: bytes.clone(),
        };
        let writer = HistoryWriter::new(BufWriter::new(file), header.clone()).map_err(say)?;
        let mut part = Part {
            path,
            writer,
            bytes,
            open: HashSet::new(),
            removed_one: series.removed() > removed,
        };
        part.carry(carried)?;
        // What is carried must not fill the segment by itself.
        part.writer.flush().map_err(|e| part.say(e))?;
        part.bytes.store(0, Ordering::Relaxed);
        Ok(part)
    }

    fn say(&self, e: io::Error) -> String {
        format!("{}: {e}", self.path.display())
    }

    fn append(&mut self, event: &Event) -> Result<(), String> {
        match self.writer.append(event.clone()) {
            Ok(_) => Ok(()),
            Err(e) => Err(self.say(e)),
        }
    }

    fn carry(&mut self, writes: &[Operation]) -> Result<(), String> {
        for op in writes {
            self.append(&Event::invoke(op))?;
            if let Some(returned) = op.returned {
                self.append(&Event::complete(op, returned))?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Segment, String> {
        let say = |e: io::Error| format!("{}: {e}", self.path.display());
        let out = self.writer.finish().map_err(say)?;
        let counted = out.into_inner().map_err(|e| say(e.into_error()))?;
        counted.file.sync_data().map_err(say)?;
        Ok(Segment {
            path: self.path,
            removed_one: self.removed_one,
        })
    }
}

#[cfg(test)]
#[path = "segments_tests.rs"]
mod tests;
