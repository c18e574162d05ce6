//! Latency logs in the HdrHistogram log format 1.3, one line per interval and
//! tag, for the tools of that project (`HistogramLogProcessor`,
//! HistogramLogAnalyzer, the libraries of other languages).
//!
//! Values are nanoseconds from when an operation was due, so that a stall
//! counts for all that should have been asked in it. The tag
//! `<az>/<endpoint>/<op>` has the answered operations; `…/missed` has the
//! others, whose values say when they were given up, not how long an answer
//! would have taken.

use super::rotate::{Limits, Series};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gameday_record::{ErrorClass, Kind, Nanos, Operation};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest latency that is told apart, in nanoseconds; what is longer counts as this.
const MAX_NS: u64 = 120_000_000_000;

/// Nothing below a microsecond is told apart; three digits above it.
const UNIT_NS: u64 = 1_000;

/// Most tags: 64 endpoints, three kinds, answered or missed.
const MAX_TAGS: usize = 64 * 3 * 2;

/// Writes the intervals of one canary.
#[derive(Debug)]
pub struct LatencyLog {
    series: Series,
    limits: Limits,
    /// UTC of the run's epoch, from the Unix epoch.
    epoch: Duration,
    /// Written so far to the current file.
    out: Option<(BufWriter<File>, u64)>,
    began: Nanos,
    tags: BTreeMap<String, Histogram<u32>>,
}

impl LatencyLog {
    /// Logs to `latency-000001.hlog` and so on in `folder`. Times of operations
    /// count from `epoch`, which is UTC as time since the Unix epoch; the first
    /// interval begins at `began`.
    pub fn new(folder: &Path, limits: Limits, epoch: Duration, began: Nanos) -> Self {
        LatencyLog {
            series: Series::new(folder, "latency", "hlog", limits.files),
            limits,
            epoch,
            out: None,
            began,
            tags: BTreeMap::new(),
        }
    }

    /// Counts an operation of the load whose outcome is known. What was never
    /// sent has no latency.
    pub fn operation(&mut self, op: &Operation) {
        let class = op.outcome.failure().map(|f| f.class);
        let (Some(returned), true) = (op.returned, class != Some(ErrorClass::Unsent)) else {
            return;
        };
        let kind = match Kind::of(&op.call) {
            Kind::Write => "write",
            Kind::StrongRead => "strong-read",
            Kind::EventualRead => "eventual-read",
        };
        let missed = if op.outcome.answered() { "" } else { "/missed" };
        let tag = plain(&format!("{}/{}/{kind}{missed}", op.az, op.endpoint));
        if !self.tags.contains_key(&tag) && self.tags.len() >= MAX_TAGS {
            return;
        }
        let histogram = self.tags.entry(tag).or_insert_with(|| {
            Histogram::new_with_bounds(UNIT_NS, MAX_NS, 3).expect("the bounds make sense")
        });
        let ns = u64::try_from(returned.since(op.due).as_nanos()).unwrap_or(u64::MAX);
        histogram.saturating_record(ns);
    }

    /// Ends the interval at `now` and writes its lines; a tag without
    /// operations has none.
    ///
    /// # Errors
    /// Those of the file system, with the path. The interval is lost then; the
    /// next one begins all the same.
    pub fn interval(&mut self, now: Nanos) -> Result<(), String> {
        let (from, to) = (std::mem::replace(&mut self.began, now), now);
        let written = self.write(from, to);
        self.tags.values_mut().for_each(Histogram::reset);
        written
    }

    fn write(&mut self, from: Nanos, to: Nanos) -> Result<(), String> {
        let mut serializer = V2DeflateSerializer::new();
        let mut lines = String::new();
        for (tag, histogram) in self.tags.iter().filter(|(_, h)| !h.is_empty()) {
            let mut bytes = Vec::new();
            serializer
                .serialize(histogram, &mut bytes)
                .map_err(|e| format!("latency log: {e:?}"))?;
            lines.push_str(&format!(
                "Tag={tag},{:.3},{:.3},{:.3},{}\n",
                from.as_secs_f64(),
                to.since(from).as_secs_f64(),
                // In milliseconds, as the tools expect.
                histogram.max() as f64 / 1e6,
                STANDARD.encode(bytes)
            ));
        }
        if lines.is_empty() {
            return Ok(());
        }
        if self
            .out
            .as_ref()
            .is_none_or(|(_, n)| *n >= self.limits.bytes)
        {
            self.out = None;
            self.out = Some(self.open(from)?);
        }
        if let Some((out, n)) = &mut self.out {
            *n += lines.len() as u64;
            out.write_all(lines.as_bytes())
                .and_then(|()| out.flush())
                .map_err(|e| format!("latency log: {e}"))?;
        }
        Ok(())
    }

    fn open(&mut self, from: Nanos) -> Result<(BufWriter<File>, u64), String> {
        let path = self
            .series
            .begin()
            .map_err(|e| format!("latency log: {e}"))?;
        let say = |e: io::Error| format!("{}: {e}", path.display());
        let mut out = BufWriter::new(File::create_new(&path).map_err(say)?);
        // A moment before the first interval: readers compare the two as they are
        // rounded, and pass over what seems to begin before the start.
        let before = Duration::from_nanos(from.0).as_secs().saturating_sub(1);
        let start = self.epoch + Duration::from_secs(before);
        let head = format!(
            "#[Logged by gameday, nanoseconds from the due time]\n\
             #[Histogram log format version 1.3]\n\
             #[StartTime: {:.3} (seconds since epoch)]\n\
             #[BaseTime: {:.3} (seconds since epoch)]\n\
             \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
            start.as_secs_f64(),
            self.epoch.as_secs_f64()
        );
        out.write_all(head.as_bytes()).map_err(say)?;
        Ok((out, head.len() as u64))
    }

    /// The files that are kept, oldest first.
    pub fn files(&self) -> Vec<PathBuf> {
        self.series.kept().map(Path::to_path_buf).collect()
    }
}

/// Without what ends a tag.
fn plain(tag: &str) -> String {
    tag.replace([',', ' ', '\t', '\r', '\n'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::failed;
    use gameday_record::{Call, Outcome};
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    fn op(endpoint: &str, us: u64, outcome: Outcome) -> Operation {
        Operation {
            index: 0,
            process: 0,
            az: "a".into(),
            endpoint: endpoint.into(),
            table: String::new(),
            call: Call::Write {
                key: "k".into(),
                value: 1,
            },
            due: Nanos(5),
            invoked: Nanos(6),
            returned: Some(Nanos(5 + us * 1000)),
            outcome,
            last: false,
            fresh: false,
            attempt: Default::default(),
        }
    }

    fn ok() -> Outcome {
        Outcome::Ok { value: None }
    }

    fn log(dir: &Path, bytes: u64) -> LatencyLog {
        let limits = Limits { bytes, files: 3 };
        LatencyLog::new(
            dir,
            limits,
            Duration::from_millis(1_700_000_000_500),
            Nanos(0),
        )
    }

    /// Tag, start, length in seconds, number, greatest in µs.
    fn read(path: &Path) -> Vec<(String, f64, f64, u64, u64)> {
        let text = std::fs::read(path).unwrap();
        let mut lines = Vec::new();
        for entry in IntervalLogIterator::new(&text) {
            if let LogEntry::Interval(i) = entry.unwrap() {
                let bytes = STANDARD.decode(i.encoded_histogram()).unwrap();
                let h: Histogram<u64> = Deserializer::new()
                    .deserialize(&mut bytes.as_slice())
                    .unwrap();
                lines.push((
                    i.tag().unwrap().as_str().to_string(),
                    i.start_timestamp().as_secs_f64(),
                    i.duration().as_secs_f64(),
                    h.len(),
                    h.max() / 1000,
                ));
            }
        }
        lines
    }

    #[test]
    fn what_is_written_is_read_by_the_library() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 1 << 20);
        log.operation(&op("a", 100, ok()));
        log.operation(&op("a", 300, ok()));
        log.operation(&op("b c,d", 200, failed(ErrorClass::Timeout, "")));
        log.operation(&op("a", 9, failed(ErrorClass::Unsent, "")));
        log.interval(Nanos(10_000_000_000)).unwrap();
        // Nothing happened.
        log.interval(Nanos(20_000_000_000)).unwrap();
        log.operation(&op("a", 500_000_000, ok()));
        log.interval(Nanos(30_000_000_000)).unwrap();
        let files = log.files();
        assert_eq!(files.len(), 1);
        let near = |found: u64, us: u64| found.abs_diff(us) * 1000 <= us;
        let lines = read(&files[0]);
        let shape: Vec<_> = lines
            .iter()
            .map(|(t, s, l, n, _)| (t.as_str(), *s, *l, *n))
            .collect();
        assert_eq!(
            shape,
            [
                ("a/a/write", 0.0, 10.0, 2),
                ("a/b_c_d/write/missed", 0.0, 10.0, 1),
                ("a/a/write", 20.0, 10.0, 1)
            ]
        );
        assert!(near(lines[0].4, 300) && near(lines[1].4, 200), "{lines:?}");
        assert!(near(lines[2].4, MAX_NS / 1000), "saturated: {lines:?}");
        let text = std::fs::read_to_string(&files[0]).unwrap();
        assert!(text.contains("#[StartTime: 1700000000.500 "), "{text}");
    }

    /// Other libraries add the times as floating-point numbers and leave out
    /// what is before the start.
    #[test]
    fn no_interval_seems_to_begin_before_the_start() {
        for micros in (0..4_000_000).step_by(77_777) {
            let dir = tempfile::tempdir().unwrap();
            let limits = Limits {
                bytes: 1 << 20,
                files: 3,
            };
            let epoch = Duration::from_micros(1_795_598_627_306_249 + 13 * micros);
            let began = Nanos(micros * 1000);
            let mut log = LatencyLog::new(dir.path(), limits, epoch, began);
            log.operation(&op("a", 100, ok()));
            log.interval(Nanos(began.0 + 5_000_000_000)).unwrap();
            let text = std::fs::read_to_string(&log.files()[0]).unwrap();
            let head = |name: &str| -> f64 {
                let (_, rest) = text.split_once(&format!("#[{name}: ")).unwrap();
                rest.split(' ').next().unwrap().parse().unwrap()
            };
            let (_, line) = text.split_once("Tag=").unwrap();
            let first: f64 = line.split(',').nth(1).unwrap().parse().unwrap();
            let since = head("BaseTime") + first - head("StartTime");
            assert!((0.0..2.1).contains(&since), "{since}: {text}");
        }
    }

    #[test]
    fn old_files_go_and_each_file_begins_with_its_head() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 500);
        for i in 1..200 {
            log.operation(&op("a", i, ok()));
            log.interval(Nanos(i * 1_000_000_000)).unwrap();
        }
        let files = log.files();
        assert_eq!(files.len(), 3);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
        for file in files {
            let size = std::fs::metadata(&file).unwrap().len();
            assert!(size < 1000, "{size}");
            assert!(!read(&file).is_empty());
        }
    }

    #[test]
    fn tags_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 500);
        for i in 0..2 * MAX_TAGS {
            log.operation(&op(&i.to_string(), 1, ok()));
        }
        assert_eq!(log.tags.len(), MAX_TAGS);
    }
}
