//! Keys on all processors.

use crate::budget::Budget;
use crate::frontier::{Answer, Why};
use crate::intake::Intake;
use crate::judge::Judge;
use crate::judge::attempt::attempt;
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
    each(shares.len(), threads, |i| Some(judge(&shares[i])))
        .into_iter()
        .map(|(_, judge)| judge)
        .collect()
}

/// Searches on, in turns, the keys whose first slice was not enough: every key
/// gets a slice before any gets a larger one. Ends with the first violation,
/// or when the time is over.
pub(crate) fn search_on(judge: &mut Judge, intake: &Intake<'_>, budget: &Budget, threads: usize) {
    let mut turn = 0;
    let mut open = judge.take_open();
    let over = loop {
        if open.is_empty() {
            return;
        }
        if judge.violated() {
            break None;
        }
        if let Err(e) = budget.left(turn) {
            break Some(e);
        }
        turn += 1;
        // The first key in which something is wrong: those behind it need no
        // answer any more, and get none, however fast their thread was.
        let first = AtomicUsize::new(usize::MAX);
        let answers = each(open.len(), threads, |i| {
            if i > first.load(Ordering::Relaxed) {
                return None;
            }
            let answer = attempt(open[i].key, intake, turn, &mut budget.share());
            if let Answer::Illegal { .. } = answer {
                first.fetch_min(i, Ordering::Relaxed);
            }
            Some(answer)
        });
        let first = first.into_inner();
        for (i, answer) in answers.into_iter().filter(|(i, _)| *i <= first) {
            open[i].answer = answer;
        }
        for key in open {
            judge.take(key, intake);
        }
        open = judge.take_open();
    };
    for mut key in open {
        if let Answer::Unknown { why, .. } = &mut key.answer {
            *why = over.map_or(Why::Violated, Why::Budget);
        }
        judge.settle(key, intake);
    }
}

/// Does so many pieces of work on several threads (0: as many as the machine
/// runs at once); what came of them, in order.
fn each<T: Send>(
    pieces: usize,
    threads: usize,
    work: impl Fn(usize) -> Option<T> + Sync,
) -> Vec<(usize, T)> {
    // Asking how many processors there are reads files: longer than a small history takes.
    let threads = match threads {
        _ if pieces < 2 => 1,
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        n => n.min(pieces),
    };
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::new());
    let run = || {
        while let i = next.fetch_add(1, Ordering::Relaxed)
            && i < pieces
        {
            if let Some(result) = work(i) {
                let mut done = done.lock().unwrap_or_else(|e| e.into_inner());
                done.push((i, result));
            }
        }
    };
    if threads < 2 {
        run();
    } else {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(run);
            }
        });
    }
    let mut done = done.into_inner().unwrap_or_else(|e| e.into_inner());
    done.sort_unstable_by_key(|(i, _)| *i);
    done
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
