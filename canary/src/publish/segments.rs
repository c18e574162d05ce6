//! A history in segments, for canaries that run longer than a disk lasts.
//!
//! Every segment is a whole history by itself: with a header, an end marker,
//! and with every call that began in it, also when the call ended after the
//! next segment had begun. What a segment needs to know of the time before it,
//! the writes whose values a read may still find, stands at its beginning as
//! writes of processes from [`CARRIED`] on. So each segment can be judged
//! alone, and no anomaly hides on the border between two.

use super::rotate::{Limits, Series};
use gameday_record::history::{HistoryWriter, MAX_LINE, Pairing};
use gameday_record::{
    Call, ErrorClass, Event, EventKind, Failure, HistoryHeader, HistoryLine, Nanos, Operation,
    Outcome,
};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Process ids of carried writes begin here; no canary has so high ones.
pub const CARRIED: u64 = 1 << 52;

/// From here on they are of writes that began after the segment was full,
/// while it had calls in flight that may find them.
const LATER: u64 = CARRIED + (1 << 40);

/// Most writes of unknown outcome that are carried: beyond, the oldest are
/// forgotten, and a read that finds one of them much later looks wrong.
const MAX_UNKNOWN: usize = 20_000;

/// Most overwritten writes that are carried: only an eventual read finds them.
const MAX_OVERWRITTEN: usize = 4_096;

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
        let next = Part::begin(&mut self.series, &self.header, &carried)?;
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
    /// Number of writes of unknown outcome that were forgotten.
    pub forgotten: u64,
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

/// The writes whose values a read may still find.
#[derive(Debug, Default)]
struct Carry {
    /// By table and key, in the order of their invocation.
    keys: BTreeMap<(String, String), Vec<Known>>,
    /// Values of writes that were not answered (yet), oldest first, with their place.
    unknown: VecDeque<(String, String, i64)>,
    /// Writes that later ones certainly replaced: for eventual reads, newest last.
    overwritten: VecDeque<Operation>,
    processes: u64,
    forgotten: u64,
}

#[derive(Clone, Debug)]
struct Known {
    op: Operation,
    /// It certainly took effect by then.
    effective: Option<Nanos>,
}

impl Carry {
    fn len(&self) -> usize {
        let known: usize = self.keys.values().map(Vec::len).sum();
        known + self.overwritten.len() + self.unknown.len()
    }

    /// Takes a call that begins. Returns it as a segment sees it that does not
    /// contain it, if it writes.
    fn invoked(&mut self, event: &Event) -> Result<Option<Operation>, String> {
        // The pairing knows how to read an event; one of its own has no other call open.
        let mut alone = Pairing::default();
        alone.push(event)?;
        let Some(op) = alone.finish().pop() else {
            return Ok(None);
        };
        let Some(value) = written(&op.call) else {
            return Ok(None);
        };
        let place = (op.table.clone(), op.call.key().to_string());
        self.unknown
            .push_back((place.0.clone(), place.1.clone(), value));
        let known = Known {
            op,
            effective: None,
        };
        let mut outside = carried(&known);
        outside.process = self.made_up();
        self.keys.entry(place).or_default().push(known);
        while self.unknown.len() > MAX_UNKNOWN {
            let Some((table, key, value)) = self.unknown.pop_front() else {
                break;
            };
            self.forget(&table, &key, value);
            self.forgotten += 1;
        }
        Ok(Some(outside))
    }

    /// A process that makes one call, which no segment carries at its beginning.
    fn made_up(&mut self) -> u64 {
        self.processes += 1;
        LATER + self.processes
    }

    fn forget(&mut self, table: &str, key: &str, value: i64) {
        let place = (table.to_string(), key.to_string());
        if let Some(all) = self.keys.get_mut(&place) {
            all.retain(|k| k.effective.is_some() || written(&k.op.call) != Some(value));
        }
    }

    fn settled(&mut self, value: i64) {
        // Mostly one of the last.
        let mut newest_first = self.unknown.iter().rev();
        if let Some(back) = newest_first.position(|(_, _, v)| *v == value) {
            self.unknown.remove(self.unknown.len() - 1 - back);
        }
    }

    fn completed(&mut self, op: &Operation) {
        let (table, key) = (op.table.as_str(), op.call.key());
        let at = op.returned.unwrap_or(Nanos::FOREVER);
        match (&op.outcome, written(&op.call)) {
            (Outcome::Ok { .. }, Some(value)) => self.effective(table, key, value, at),
            (Outcome::Failed { observed, .. }, Some(value)) => {
                self.settled(value);
                self.forget(table, key, value);
                if let Some(Some(seen)) = observed {
                    self.effective(table, key, *seen, at);
                }
            }
            (Outcome::Ok { value: Some(seen) }, None) => self.effective(table, key, *seen, at),
            _ => {}
        }
    }

    /// The write of `value` certainly took effect by `at`: it was answered, or
    /// somebody read it. What ended before it began is overwritten.
    fn effective(&mut self, table: &str, key: &str, value: i64, at: Nanos) {
        let place = (table.to_string(), key.to_string());
        let Some(all) = self.keys.get_mut(&place) else {
            return;
        };
        let Some(known) = all.iter_mut().find(|k| written(&k.op.call) == Some(value)) else {
            return;
        };
        if known.effective.is_some() {
            return;
        }
        known.effective = Some(at);
        let began = known.op.invoked;
        let over = |k: &mut Known| k.effective.is_some_and(|by| by < began);
        let gone: Vec<Known> = all.extract_if(.., over).collect();
        self.overwritten
            .extend(gone.into_iter().map(|k| carried(&k)));
        while self.overwritten.len() > MAX_OVERWRITTEN {
            self.overwritten.pop_front();
        }
        self.settled(value);
    }

    /// All of them as writes of processes of their own.
    fn writes(&self) -> Vec<Operation> {
        let live = self.keys.values().flatten().map(carried);
        let all = self.overwritten.iter().cloned().chain(live);
        all.zip(CARRIED..)
            .map(|(op, process)| Operation { process, ..op })
            .collect()
    }
}

/// As a plain write with what is certain: a condition that held is of no more interest.
fn carried(known: &Known) -> Operation {
    let op = &known.op;
    let mut copy = op.clone();
    copy.last = true;
    if let Some(value) = written(&op.call) {
        copy.call = Call::Write {
            key: op.call.key().into(),
            value,
        };
    }
    copy.returned = known.effective;
    copy.outcome = match known.effective {
        Some(_) => Outcome::Ok { value: None },
        None => Outcome::Unknown {
            failure: Failure {
                class: ErrorClass::Abandoned,
                message: "not answered when this segment began".into(),
            },
        },
    };
    copy
}

fn written(call: &Call) -> Option<i64> {
    match call {
        Call::Write { value, .. } | Call::Insert { value, .. } => Some(*value),
        Call::Cas { new, .. } => Some(*new),
        Call::Read { .. } | Call::Add { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameday_record::Verdict;
    use gameday_record::history::{HISTORY_VERSION, History, read};

    /// A store that is right, and a canary that asks it with several calls in
    /// flight; seeded.
    struct World {
        segments: Segments,
        items: BTreeMap<String, i64>,
        now: u64,
        random: u64,
        value: i64,
        open: VecDeque<(Operation, bool)>,
        process: u64,
        finished: Vec<Segment>,
        /// Whether some writes end unknown.
        doubt: bool,
    }

    fn header() -> HistoryHeader {
        HistoryHeader {
            version: HISTORY_VERSION,
            run: "r".into(),
            seed: 1,
            clock: "CLOCK_MONOTONIC".into(),
            epoch_utc: "2026-01-01T00:00:00.000Z".into(),
        }
    }

    impl World {
        fn new(folder: &Path, bytes: u64, files: usize) -> World {
            let limits = Limits { bytes, files };
            World {
                segments: Segments::new(folder, header(), limits).unwrap(),
                items: BTreeMap::new(),
                now: 1_000,
                random: 7,
                value: 0,
                open: VecDeque::new(),
                process: 0,
                finished: Vec::new(),
                doubt: true,
            }
        }

        fn draw(&mut self, n: u64) -> u64 {
            // An LCG is enough to mix things up (Knuth, MMIX).
            self.random = self
                .random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.random >> 33) % n
        }

        fn push(&mut self, event: &Event) {
            let (_, finished) = self.segments.push(event).unwrap();
            self.finished.extend(finished);
        }

        fn begin(&mut self) {
            self.now += 1 + self.draw(50);
            let key = format!("k{}", self.draw(5));
            let call = match self.draw(4) {
                0 => {
                    self.value += 1;
                    Call::Write {
                        key,
                        value: self.value,
                    }
                }
                1 => {
                    self.value += 1;
                    Call::Cas {
                        expected: self.items.get(&key).copied(),
                        key,
                        new: self.value,
                    }
                }
                n => Call::Read {
                    key,
                    strong: n == 2,
                },
            };
            self.process += 1;
            let op = Operation {
                index: 0,
                process: self.process,
                az: "a".into(),
                endpoint: "a".into(),
                table: String::new(),
                call,
                due: Nanos(self.now),
                invoked: Nanos(self.now),
                returned: None,
                outcome: Outcome::Ok { value: None },
                last: false,
                fresh: false,
                attempt: Default::default(),
            };
            self.push(&Event::invoke(&op));
            // Some take effect at once, some when they end.
            let early = self.draw(2) == 0;
            self.open.push_back((op, early));
            if early {
                self.apply(self.open.len() - 1);
            }
        }

        fn apply(&mut self, at: usize) {
            let op = &mut self.open[at].0;
            let item = self.items.get(op.call.key()).copied();
            op.outcome = match &op.call {
                Call::Write { key, value } => {
                    self.items.insert(key.clone(), *value);
                    Outcome::Ok { value: None }
                }
                Call::Cas { key, expected, new } if *expected == item => {
                    self.items.insert(key.clone(), *new);
                    Outcome::Ok { value: None }
                }
                Call::Cas { .. } => Outcome::Failed {
                    failure: Failure {
                        class: ErrorClass::Condition,
                        message: String::new(),
                    },
                    observed: Some(item),
                },
                _ => Outcome::Ok { value: item },
            };
        }

        fn end(&mut self) {
            self.now += 1 + self.draw(50);
            let at = self.draw(self.open.len() as u64) as usize;
            if !self.open[at].1 {
                self.apply(at);
            }
            let (mut op, _) = self.open.remove(at).unwrap();
            if self.doubt && op.call.is_write() && self.draw(20) == 0 {
                op.outcome = Outcome::Unknown {
                    failure: Failure {
                        class: ErrorClass::Timeout,
                        message: String::new(),
                    },
                };
            }
            let event = Event::complete(&op, Nanos(self.now));
            self.push(&event);
        }

        fn run(&mut self, operations: usize) {
            for _ in 0..operations {
                self.begin();
                while self.open.len() > 6 {
                    self.end();
                }
            }
            while !self.open.is_empty() {
                self.end();
            }
        }
    }

    fn history(path: &Path) -> History {
        read(BufReader::new(File::open(path).unwrap())).unwrap()
    }

    fn verdict(h: &History) -> Verdict {
        let mut checks = gameday_checker::check_history(h, &Default::default());
        // Needs the final reads, which only the last segment of a run has.
        checks.retain(|c| c.name != "lost-writes");
        assert!(!checks.is_empty());
        for c in checks.iter().filter(|c| c.verdict != Verdict::Pass) {
            println!("{}: {} {:#?}", c.name, c.detail, c.anomalies.first());
        }
        checks.iter().fold(Verdict::Pass, |v, c| v.and(c.verdict))
    }

    #[test]
    fn every_segment_can_be_judged_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::new(dir.path(), 20_000, 1_000);
        world.run(3_000);
        let finished = world.finished.len();
        let ended = world.segments.finish(true).unwrap();
        assert!(
            finished > 5 && ended.kept.len() == finished + 1,
            "{ended:?}"
        );
        let mut own = 0;
        for path in &ended.kept {
            let h = history(path);
            assert!(h.complete);
            assert_eq!(verdict(&h), Verdict::Pass, "{}", path.display());
            own += h.operations.iter().filter(|o| o.process < CARRIED).count();
        }
        assert_eq!(own, 3_000, "each operation is in one segment");

        // All together, and the newest three.
        let kept = &ended.kept[ended.kept.len() - 3..];
        let newest = dir.path().join("newest");
        fs::create_dir(&newest).unwrap();
        let copies: Vec<PathBuf> = kept
            .iter()
            .map(|p| newest.join(p.file_name().unwrap()))
            .collect();
        for (from, to) in kept.iter().zip(&copies) {
            fs::copy(from, to).unwrap();
        }
        for (segments, folder) in [(&copies, newest.as_path()), (&ended.kept, dir.path())] {
            let into = folder.join("history.jsonl");
            merge(segments, &into).unwrap();
            let h = history(&into);
            assert!(h.complete);
            assert_eq!(verdict(&h), Verdict::Pass);
            assert!(segments.iter().all(|p| !p.exists()));
        }
        assert_eq!(
            history(&dir.path().join("history.jsonl")).operations.len(),
            3_000
        );
    }

    #[test]
    fn a_lost_write_is_found_across_the_border() {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::new(dir.path(), 20_000, 1_000);
        world.run(500);
        let before = world.finished.len();
        // The store forgets everything.
        world.items.values_mut().for_each(|v| *v = 1);
        let mut finished = before;
        while finished < before + 1 {
            world.run(50);
            finished = world.finished.len();
        }
        let ended = world.segments.finish(true).unwrap();
        let of = |path: &PathBuf| verdict(&history(path));
        let verdicts: Vec<Verdict> = ended.kept.iter().map(of).collect();
        assert!(verdicts.contains(&Verdict::Fail), "{verdicts:?}");
    }

    #[test]
    fn what_is_remembered_and_kept_does_not_grow() {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::new(dir.path(), 200_000, 2);
        world.doubt = false;
        world.run(10_000);
        let early = world.segments.remembered();
        world.run(20_000);
        let late = world.segments.remembered();
        assert!(early > MAX_OVERWRITTEN / 2, "{early}");
        assert!(late <= MAX_OVERWRITTEN + 100, "{late}");
        let ended = world.segments.finish(true).unwrap();
        assert_eq!(ended.kept.len(), 2);
        assert!(ended.removed > 5, "{ended:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn writes_that_nobody_answers_are_forgotten_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::new(dir.path(), 1 << 30, 2);
        for _ in 0..2 * MAX_UNKNOWN + 1_000 {
            world.begin();
            world.open.pop_back();
        }
        assert_eq!(world.segments.carry.unknown.len(), MAX_UNKNOWN);
        let carried = world.segments.carry.writes().len();
        assert!(carried <= MAX_UNKNOWN + 5, "{carried}");
        assert!(world.segments.finish(true).unwrap().forgotten > 0);
    }

    #[test]
    fn a_stream_that_was_cut_off_has_no_end_marker() {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::new(dir.path(), 1 << 20, 2);
        world.run(10);
        let ended = world.segments.finish(false).unwrap();
        assert!(!history(&ended.kept[0]).complete);
        let into = dir.path().join("history.jsonl");
        merge(&ended.kept, &into).unwrap();
        assert!(!history(&into).complete);
    }
}
