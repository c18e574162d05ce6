//! A night in small: generated, judged and reported on; and what it takes per operation.

#[path = "../examples/night/day.rs"]
mod day;
#[path = "../examples/night/folder.rs"]
mod folder;
#[path = "../examples/night/judge.rs"]
mod judge;
#[path = "../examples/night/random.rs"]
mod random;
#[path = "../examples/night/service.rs"]
mod service;

use folder::Size;
use gameday_record::{RunFolder, Verdict, history};
use gameday_reports::assemble;
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Read;
use std::path::Path;
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
    // What grows in place, as large blocks do, is not there twice.
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let now = NOW.fetch_add(size, Ordering::Relaxed) + size - layout.size();
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Memory is counted of all threads, so tests run one after the other.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|e| e.into_inner())
}

/// So many minutes at `rate` per pair, with an injection a minute.
fn generate(dir: &Path, name: &str, minutes: u32, rate: f64, packed: bool) -> (RunFolder, u64) {
    let out = dir.join(name);
    let size = Size {
        length: Duration::from_secs(60 * u64::from(minutes)),
        rate,
        injections: minutes,
        packed,
    };
    let operations = folder::write(&out, &size, 3).expect("a folder");
    (RunFolder::at(out), operations)
}

fn lines(run: &RunFolder) -> String {
    let mut all = String::new();
    history::open(&run.history())
        .and_then(|mut input| input.read_to_string(&mut all))
        .expect("a history");
    all
}

#[test]
fn a_packed_history_is_small_and_says_the_same() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let (packed, operations) = generate(dir.path(), "packed", 3, 20.0, true);
    let (plain, _) = generate(dir.path(), "plain", 3, 20.0, false);
    assert!(lines(&packed) == lines(&plain));
    assert_eq!(plain.history().file_name().unwrap(), "history.jsonl");
    let size = packed.history().metadata().unwrap().len();
    assert!(
        size <= 40 * operations,
        "{size} bytes, {operations} operations"
    );
    assert_eq!(judge::judge(&packed), judge::judge(&plain));
}

#[test]
fn a_small_night_is_judged_and_reported_on() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let (run, _) = generate(dir.path(), "night", 3, 20.0, true);
    let verdict = judge::judge(&run).unwrap();
    assert_eq!(verdict.verdict, Verdict::Pass, "{verdict:#?}");
    let report = assemble(&run).unwrap();
    assert_eq!(report.measured.operations, 3 * 60 * 180);
    assert_eq!(report.injections.len(), 3);
    assert!(report.injections.iter().all(|i| i.impact.is_some()));
    assert_eq!(report.overall.exit_code, 0, "{:#?}", report.overall);
}

/// What an interrupted recorder leaves is judged as far as it goes, and is no pass.
#[test]
fn a_torn_night_never_passes() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let (run, _) = generate(dir.path(), "night", 2, 20.0, true);
    let bytes = std::fs::read(run.history()).unwrap();
    std::fs::write(run.history(), &bytes[..bytes.len() / 2]).unwrap();
    let verdict = judge::judge(&run).unwrap();
    assert_eq!(verdict.verdict, Verdict::Unknown, "{verdict:#?}");
    let report = assemble(&run).unwrap();
    assert!(report.measured.operations > 0);
    assert_eq!(report.overall.exit_code, 2, "{:#?}", report.overall);
}

/// Bytes at the peak of some work, beside what there was before.
fn peak(work: impl FnOnce()) -> usize {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    work();
    PEAK.load(Ordering::Relaxed) - before
}

/// 15.5 million operations have to fit into 1.5 GB: what comes on top for each
/// of them must be small, whatever a report takes anyway.
#[test]
fn another_operation_takes_few_bytes() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let [few, many] = [("few", 20.0), ("many", 60.0)]
        .map(|(name, rate)| generate(dir.path(), name, 2, rate, true));
    let each = |work: fn(&RunFolder)| {
        let [a, b] = [&few.0, &many.0].map(|run| peak(|| work(run)));
        b.saturating_sub(a) as f64 / (many.1 - few.1) as f64
    };
    let report = each(|run| drop(assemble(run).unwrap()));
    let log = each(|run| drop(judge::log(run).unwrap()));
    eprintln!("each: {report:.0} bytes in the report, {log:.0} in the log");
    assert!(report <= 80.0, "{report} bytes");
    assert!(log <= 96.0, "{log} bytes");
}
