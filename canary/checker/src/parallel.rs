//! Keys on all processors.

use crate::budget::Budget;
use crate::intake::Intake;
use crate::judge::Judge;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Operations that are handed to a thread at once, at least.
const SHARE: usize = 1 << 14;

/// Judges every key and returns the parts in the order of their keys. How the
/// keys are cut into parts does not depend on the threads, nor does the answer.
pub(crate) fn over_keys(intake: &Intake<'_>, budget: &Budget, threads: usize) -> Vec<Judge> {
    let shares = shares(intake);
    let judge = |share: &Range<u32>| {
        let mut judge = Judge::new(intake.log, budget);
        for key in share.clone() {
            judge.key(key, intake);
        }
        judge.done();
        judge
    };
    // Asking how many processors there are reads files: longer than a small history takes.
    let threads = match threads {
        _ if shares.len() < 2 => 1,
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        n => n,
    };
    if threads < 2 {
        return shares.iter().map(judge).collect();
    }
    let threads = threads.min(shares.len());
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Judge)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let i = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(share) = shares.get(i)
                {
                    let part = (i, judge(share));
                    let mut done = done.lock().unwrap_or_else(|e| e.into_inner());
                    done.push(part);
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(|e| e.into_inner());
    done.sort_unstable_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, judge)| judge).collect()
}

fn shares(intake: &Intake<'_>) -> Vec<Range<u32>> {
    let mut shares = Vec::new();
    let (mut first, mut operations) = (0, 0);
    for key in 0..intake.keys() {
        operations += intake.of(key).len();
        if operations >= SHARE {
            shares.push(first..key + 1);
            (first, operations) = (key + 1, 0);
        }
    }
    if first < intake.keys() {
        shares.push(first..intake.keys());
    }
    shares
}
