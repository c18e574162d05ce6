//! Memory at the peak, counted by the allocator: a binary of its own.

use gameday_checker::{Log, Options, check, generate};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

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

#[test]
fn at_most_200_bytes_for_each_operation() {
    for (keys, operations) in [(1, 100_000), (1000, 200_000)] {
        let bytes = peak(keys, operations);
        eprintln!("{keys} keys, {operations} operations: {bytes:.0} bytes each");
        assert!(bytes <= 200.0, "{keys} keys: {bytes} bytes");
    }
}
