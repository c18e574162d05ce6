use super::super::carry::{MAX_OVERWRITTEN, MAX_UNKNOWN};
use super::*;
use gameday_record::history::{HISTORY_VERSION, History, read};
use gameday_record::{Call, ErrorClass, Failure, Nanos, Outcome, Verdict};
use std::collections::{BTreeMap, VecDeque};

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
    /// Whether counters are called too.
    counters: bool,
    /// Whether the store forgets additions.
    forgetful: bool,
}

fn header() -> HistoryHeader {
    HistoryHeader {
        version: HISTORY_VERSION,
        run: "r".into(),
        seed: 1,
        clock: "CLOCK_MONOTONIC".into(),
        epoch_utc: "2026-01-01T00:00:00.000Z".into(),
        forgotten: None,
    }
}

/// Any operation.
fn sample() -> Operation {
    Operation {
        index: 0,
        process: 0,
        az: "a".into(),
        endpoint: "a".into(),
        table: String::new(),
        call: Call::Write {
            key: String::new(),
            value: 0,
        },
        due: Nanos(0),
        invoked: Nanos(0),
        returned: None,
        outcome: Outcome::Ok { value: None },
        last: false,
        fresh: false,
        attempt: Default::default(),
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
            counters: false,
            forgetful: false,
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
        let counter = self.counters && self.draw(2) == 0;
        let call = match self.draw(4) {
            n if counter => {
                let key = format!("c{}", self.draw(2));
                match n {
                    0 | 1 => Call::Add {
                        key,
                        delta: 1 + self.draw(9) as i64,
                    },
                    n => Call::Read {
                        key,
                        strong: n == 2,
                    },
                }
            }
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
            process: self.process,
            call,
            due: Nanos(self.now),
            invoked: Nanos(self.now),
            ..sample()
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
            Call::Add { key, delta } => {
                let sum = item.unwrap_or(0) + delta;
                if !self.forgetful {
                    self.items.insert(key.clone(), sum);
                }
                Outcome::Ok { value: Some(sum) }
            }
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
fn counters_are_judged_in_every_segment_and_in_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path(), 20_000, 1_000);
    world.counters = true;
    world.run(3_000);
    let ended = world.segments.finish(true).unwrap();
    assert!(ended.kept.len() > 5, "{ended:?}");
    for path in &ended.kept {
        let h = history(path);
        assert_eq!(verdict(&h), Verdict::Pass, "{}", path.display());
        let checks = gameday_checker::check_history(&h, &Default::default());
        assert!(checks.iter().any(|c| c.name == "counters"));
    }
    let into = dir.path().join("history.jsonl");
    let kept = &ended.kept[ended.kept.len() - 3..];
    merge(kept, &into).unwrap();
    let h = history(&into);
    assert_eq!(verdict(&h), Verdict::Pass);
    // What was added before stands for what is gone: without it, sums are too great.
    let mut without = h.clone();
    without.operations.retain(|o| o.process < CARRIED);
    assert!(without.operations.len() < h.operations.len());
    assert_eq!(verdict(&without), Verdict::Fail);
}

#[test]
fn additions_that_are_forgotten_are_found_after_the_border() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path(), 20_000, 1_000);
    world.counters = true;
    // A possible addition must not excuse the lost ones.
    world.doubt = false;
    world.run(500);
    let before = world.finished.len();
    for (_, sum) in world.items.iter_mut().filter(|(k, _)| k.starts_with('c')) {
        *sum /= 2;
    }
    while world.finished.len() == before {
        world.run(50);
    }
    let ended = world.segments.finish(true).unwrap();
    let of = |path: &PathBuf| verdict(&history(path));
    let verdicts: Vec<Verdict> = ended.kept.iter().map(of).collect();
    assert!(verdicts.contains(&Verdict::Fail), "{verdicts:?}");
    // Acknowledged and never made, from the beginning.
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path(), 20_000, 1_000);
    (world.counters, world.forgetful) = (true, true);
    world.run(1_000);
    let ended = world.segments.finish(true).unwrap();
    assert!(ended.kept.iter().all(|path| of(path) == Verdict::Fail));
}

#[test]
fn what_is_remembered_and_kept_does_not_grow() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path(), 200_000, 2);
    world.doubt = false;
    world.counters = true;
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
    assert!(world.segments.finish(true).unwrap().forgotten.is_some());
}

#[test]
fn what_finds_a_forgotten_write_is_not_judged() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path(), 1 << 16, 1_000);
    // A key that is overwritten so often that its first value is forgotten, then a
    // replica that lags so far behind that it still has it.
    let op = |world: &mut World, call, outcome| {
        world.now += 10;
        world.process += 1;
        let returned = Some(Nanos(world.now + 5));
        let op = Operation {
            call,
            outcome,
            invoked: Nanos(world.now),
            due: Nanos(world.now),
            returned,
            process: world.process,
            ..sample()
        };
        world.push(&Event::invoke(&op));
        world.push(&Event::complete(&op, Nanos(world.now + 5)));
    };
    let key = || "k".to_string();
    let last = MAX_OVERWRITTEN as i64 + 2;
    for value in 1..=last {
        let write = Call::Write { key: key(), value };
        op(&mut world, write, Outcome::Ok { value: None });
    }
    let find = |world: &mut World, value, strong| {
        let read = Call::Read { key: key(), strong };
        op(world, read, Outcome::Ok { value: Some(value) });
    };
    let full = world.finished.len();
    while world.finished.len() < full + 2 {
        find(&mut world, last, true);
    }
    find(&mut world, 1, false);
    let ended = world.segments.finish(true).unwrap();
    let newest = history(ended.kept.last().unwrap());
    assert_eq!(newest.header.forgotten, ended.forgotten);
    assert_eq!(verdict(&newest), Verdict::Unknown);
    // The whole of it knows all writes, and that such a read is old but right.
    let into = dir.path().join("history.jsonl");
    merge(&ended.kept, &into).unwrap();
    assert_eq!(verdict(&history(&into)), Verdict::Pass);
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
