//! Memory at the peak, counted by the allocator: a binary of its own.

use gameday_checker::log::{Act, Effect, Push};
use gameday_checker::{Log, Options, check, generate};
use gameday_record::verdict::{Check, Verdict};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes per operation at the peak, of the log and its checks together.
fn peak(keys: u32, operations: u32) -> f64 {
    let history = generate::history(&generate::Options {
        keys,
        clients: 50,
        operations,
        eventual: 0.0,
        cas: 0.0,
        writes: 0.5,
        ..generate::Options::default()
    });
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let mut log = Log::of_canaries();
    log.complete = true;
    for op in &history.operations {
        log.push_operation(op).expect("fits");
    }
    let checks = check(&log, &Options::default());
    assert!(!checks.is_empty());
    let peak = PEAK.load(Ordering::Relaxed) - before;
    peak as f64 / history.operations.len() as f64
}

/// Tests here count all memory, so they run one after the other.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|e| e.into_inner())
}

#[test]
fn at_most_200_bytes_for_each_operation() {
    let _alone = alone();
    for (keys, operations) in [(1, 100_000), (1000, 200_000)] {
        let bytes = peak(keys, operations);
        eprintln!("{keys} keys, {operations} operations: {bytes:.0} bytes each");
        assert!(bytes <= 200.0, "{keys} keys: {bytes} bytes");
    }
}

/// Keys that each fill a thread's share: what served one must not stay until
/// all are judged. What stays is a position and some samples per operation.
#[test]
fn judged_keys_leave_little_behind() {
    let _alone = alone();
    let of = |keys: u32| {
        let history = generate::history(&generate::Options {
            keys,
            clients: 50,
            operations: 20_000 * keys,
            ..generate::Options::default()
        });
        let log = Log::of(&history).expect("fits");
        drop(history);
        let options = Options {
            threads: 1,
            ..Options::for_log(&log)
        };
        let before = NOW.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        assert!(!check(&log, &options).is_empty());
        (PEAK.load(Ordering::Relaxed) - before, log.len())
    };
    let ((few, n), (many, m)) = (of(4), of(16));
    let each = (many as f64 - few as f64) / (m - n) as f64;
    eprintln!("{each:.0} bytes for each further operation");
    assert!(each <= 24.0, "{each} bytes");
}

fn push(log: &mut Log, process: u64, key: &str, (start, finish): (u64, u64), act: Act<'_>) {
    log.push(&Push {
        index: log.len() as u64,
        process,
        az: "",
        endpoint: "",
        table: "",
        key,
        start,
        finish: Some(finish),
        effect: Effect::Ok,
        act,
        last: false,
    })
    .expect("small");
}

/// Bytes at the peak of a check beside its log, and its verdict on linearizability.
fn limited(log: &Log, bytes: usize, threads: usize) -> (usize, Check) {
    let options = Options {
        time: Duration::from_secs(600),
        bytes,
        threads,
    };
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let checks = check(log, &options);
    let peak = PEAK.load(Ordering::Relaxed) - before;
    let order = checks.into_iter().find(|c| c.name == "linearizability");
    (peak, order.expect("there are registers"))
}

/// Keys with so many operations that each is judged by a thread of its own,
/// and with a search in the end that no memory is enough for.
fn hard(keys: u64) -> Log {
    let mut log = Log::default();
    for k in 0..keys {
        let (key, process) = (format!("hard-{k}"), 1000 * k);
        for i in 0..16_500 {
            let act = Act::Write(i as i64 % 2);
            push(&mut log, process, &key, (10 * i, 10 * i + 5), act);
        }
        let end = 1_000_000;
        push(&mut log, process, &key, (end, end + 10), Act::Write(100));
        // From each of six values to another, but no trail takes all.
        for i in 0..60 {
            let (from, by) = (i as i64 % 6, 1 + i as i64 / 6 % 3);
            let to = if i < 12 && from == 0 {
                3
            } else {
                (from + by) % 6
            };
            let act = Act::Cas {
                expected: Some(100 + from),
                new: 100 + to,
                found: None,
            };
            let span = (end + 20 + i, end + 1000 + i);
            push(&mut log, process + i, &key, span, act);
        }
    }
    log
}

/// If every thread had the whole budget, four would need four times as much.
#[test]
fn all_threads_share_one_budget() {
    let _alone = alone();
    const LIMIT: usize = 24 << 20;
    let log = hard(4);
    let (peak, order) = limited(&log, LIMIT, 4);
    assert_eq!(order.verdict, Verdict::Unknown, "{order:#?}");
    for part in [
        "25165824 bytes of memory were not enough",
        "hard-0",
        "hard-3",
    ] {
        assert!(order.detail.contains(part), "{part} in {}", order.detail);
    }
    eprintln!("{peak} bytes at the peak of {LIMIT}");
    assert!(peak < 2 * LIMIT, "{peak} bytes");
}

#[test]
fn the_memory_of_unique_values_is_counted() {
    let _alone = alone();
    let mut log = Log::default();
    for (process, key, rounds) in [(0, "large", 50_000), (1, "small", 100)] {
        for i in 0..rounds {
            let (value, at) = (i as i64, 100 * i);
            push(&mut log, process, key, (at, at + 10), Act::Write(value));
            let found = Some(value);
            let read = Act::Read {
                strong: true,
                found,
            };
            push(&mut log, process, key, (at + 20, at + 30), read);
        }
    }
    let (needed, order) = limited(&log, usize::MAX, 1);
    assert_eq!(order.verdict, Verdict::Pass, "{order:#?}");
    // What was needed is enough, half of it is not: the count is about right.
    let (_, order) = limited(&log, needed, 1);
    assert_eq!(order.verdict, Verdict::Pass, "{order:#?}");
    let (peak, order) = limited(&log, needed / 2, 1);
    assert_eq!(order.verdict, Verdict::Unknown, "{order:#?}");
    assert!(peak <= needed / 2, "{peak} bytes of {}", needed / 2);
    // One key's want does not hide the others.
    assert!(
        order.detail.contains("not enough (key large)"),
        "{}",
        order.detail
    );
    assert!(
        order.detail.contains("200 strongly consistent"),
        "{}",
        order.detail
    );
}
