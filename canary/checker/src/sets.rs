//! Sets that grow and are read whole: linearizability in one pass.
//!
//! In any legal order the results of reads only grow, so they form a chain
//! under inclusion, and every element was added between the first read that
//! has it and the read before that. The order is therefore given up to what
//! may stand in any order (additions between the same two reads, reads with
//! the same result), and the set is linearizable if and only if
//!
//! 1. every element found was added, not after it was found;
//! 2. the results form a chain;
//! 3. no operation stands after one that had begun only when it was over. An
//!    acknowledged addition that nobody found stands behind all reads; one of
//!    unknown outcome that nobody found is left out.
//!
//! O(m log m) in the number m of operations and elements found.

use crate::budget::{Budget, Exhausted};
use crate::durable::DurableSet;
use crate::explain;
use crate::findings::Findings;
use crate::intake::Intake;
use crate::log::{Code, Effect};
use crate::register::FOREVER;
use crate::say::{self, who};
use crate::sort::{sort, sort_by};
use crate::violation::Kind;
use gameday_record::Model;

/// An addition that took effect or may have.
#[derive(Clone, Copy, Debug)]
struct Addition {
    value: i64,
    failed: bool,
    start: u64,
    ends: u64,
    at: u32,
    /// Position in the order; see [`Order`].
    stands: usize,
}

/// A read; `found` is sorted and each element stands in it once.
#[derive(Debug)]
struct Read {
    found: Vec<i64>,
    at: u32,
}

/// Judges one set: its order into `order`, its elements into `durable`.
///
/// # Errors
/// The budget ran out; what was found stands.
pub(crate) fn judge(
    key: u32,
    order: &mut Findings,
    durable: &mut DurableSet,
    intake: &Intake<'_>,
    budget: &mut Budget,
) -> Result<(), Exhausted> {
    let mut additions: Vec<Addition> = Vec::new();
    let mut reads: Vec<Read> = Vec::new();
    // Each operation is also placed once in the end.
    const EACH: usize = size_of::<Addition>() + size_of::<(usize, u64, u64, u32)>();
    let found = |at: &u32| match intake.op(*at) {
        e if e.code == Code::ReadSet => intake.log.elements_of(e).len(),
        _ => 0,
    };
    let all_found: usize = intake.of(key).iter().map(found).sum();
    budget.holds(intake.of(key).len() * EACH + all_found * size_of::<i64>())?;
    for at in intake.of(key) {
        budget.spend()?;
        let e = intake.op(*at);
        match (e.code, e.effect) {
            (Code::AddElement, effect) => additions.push(Addition {
                value: e.second(),
                failed: matches!(effect, Effect::Failed | Effect::Refused),
                start: e.start,
                ends: e.ends(),
                at: *at,
                stands: usize::MAX,
            }),
            (Code::ReadSet, Effect::Ok) => {
                let mut found = intake.log.elements_of(e).to_vec();
                sort(&mut found, budget)?;
                let all = found.len();
                found.dedup();
                if found.len() < all {
                    duplicated(key, *at, all - found.len(), durable, intake);
                }
                reads.push(Read { found, at: *at });
            }
            _ => {}
        }
    }
    let value = |a: &Addition, b: &Addition| {
        (a.value, a.failed, a.start).cmp(&(b.value, b.failed, b.start))
    };
    sort_by(&mut additions, &value, budget)?;
    let twice = |p: &[Addition]| p[0].value == p[1].value && !p[1].failed;
    if let Some(p) = additions.windows(2).find(|p| twice(p)) {
        let reason = format!(
            "invalid history: the element {} is added more than once",
            p[0].value
        );
        let name = say::key(intake.log, key);
        order.unknown_key(&reason, &name);
        durable.findings().unknown_key(&reason, &name);
        return Ok(());
    }
    let part = Part { key, intake };
    elements(&part, &additions, &reads, durable, budget)?;
    let before = order.total();
    explained(&part, &additions, &mut reads, order, durable, budget)?;
    chain(&part, &additions, &mut reads, order, budget)?;
    if order.total() == before {
        real_time(&part, &mut additions, &reads, order, budget)?;
    }
    Ok(())
}

/// Which set it is, and in which history.
#[derive(Clone, Copy)]
struct Part<'a> {
    key: u32,
    intake: &'a Intake<'a>,
}

fn position(additions: &[Addition], value: i64) -> Option<usize> {
    let at = additions.partition_point(|a| a.value < value);
    additions.get(at).filter(|a| a.value == value).map(|_| at)
}

fn duplicated(key: u32, at: u32, n: usize, durable: &mut DurableSet, intake: &Intake<'_>) {
    durable.counts.duplicated += n as u64;
    durable.findings().list(|| {
        let summary = format!("{}, {n} of them more than once", who(intake.log, at));
        explain::anomaly(
            Kind::Duplicate,
            Model::ReadCommitted,
            summary,
            &[at],
            intake,
            key,
        )
    });
}

/// What became of every element, by the last read.
fn elements(
    &Part { key, intake }: &Part<'_>,
    additions: &[Addition],
    reads: &[Read],
    durable: &mut DurableSet,
    budget: &mut Budget,
) -> Result<(), Exhausted> {
    let last = reads.iter().max_by_key(|r| intake.op(r.at).start);
    // For each element, when it was first found and when the last read that missed it began.
    let mut known: Vec<u64> = additions.iter().map(|a| a.ends).collect();
    for r in reads {
        let finish = intake.op(r.at).finish;
        for v in &r.found {
            budget.spend()?;
            if let Some(i) = position(additions, *v) {
                known[i] = known[i].min(finish);
            }
        }
    }
    let mut by_start: Vec<&Read> = reads.iter().collect();
    let latest = |a: &&Read, b: &&Read| intake.op(b.at).start.cmp(&intake.op(a.at).start);
    sort_by(&mut by_start, &latest, budget)?;
    for (a, known) in additions.iter().zip(known) {
        budget.spend()?;
        if a.failed {
            continue;
        }
        let there = last.map(|r| r.found.binary_search(&a.value).is_ok());
        match (a.ends, there) {
            (FOREVER, there) => {
                durable.counts.unknown += 1;
                durable.counts.recovered += u64::from(there == Some(true));
            }
            (_, there) => {
                durable.counts.acknowledged += 1;
                match (last, there) {
                    (Some(r), Some(false)) if intake.op(r.at).start > a.ends => {
                        durable.lost(key, a.at, r.at, intake);
                    }
                    (Some(_), Some(true)) => {}
                    _ => {
                        let reason = "no read began after the last element was acknowledged";
                        let name = say::key(intake.log, key);
                        durable.findings().unknown_key(reason, &name);
                    }
                }
            }
        }
        let start = |r: &&&Read| intake.op(r.at).start > known;
        let mut later = by_start.iter().take_while(start).peekable();
        if known != FOREVER && later.peek().is_some() {
            // From the last read backwards to the first that missed it.
            let mut missed = None;
            for r in later {
                budget.spend()?;
                if r.found.binary_search(&a.value).is_err() {
                    missed = Some(intake.op(r.at).start - known);
                    break;
                }
            }
            durable
                .visible
                .push(crate::measure::millis(missed.unwrap_or(0)));
        }
    }
    Ok(())
}

/// Rule 1. What breaks it is taken out of the reads.
fn explained(
    &Part { key, intake }: &Part<'_>,
    additions: &[Addition],
    reads: &mut [Read],
    order: &mut Findings,
    durable: &mut DurableSet,
    budget: &mut Budget,
) -> Result<(), Exhausted> {
    let log = intake.log;
    for r in reads {
        let (at, finish) = (r.at, intake.op(r.at).finish);
        let mut over = Ok(());
        r.found.retain(|v| {
            over = over.and_then(|()| budget.spend());
            if over.is_err() {
                return true;
            }
            let addition = position(additions, *v).map(|i| &additions[i]);
            match addition {
                None => durable.unexpected(key, at, None, intake),
                Some(a) if a.failed => durable.unexpected(key, at, Some(a.at), intake),
                Some(a) if finish < a.start => order.list(|| {
                    let (kind, violates) = (Kind::FutureRead, Model::EventualConsistency);
                    let summary =
                        format!("{}, before this began: {}", who(log, at), who(log, a.at));
                    explain::anomaly(kind, violates, summary, &[at, a.at], intake, key)
                }),
                Some(_) => return true,
            }
            false
        });
        over?;
    }
    Ok(())
}

/// Rule 2: sorts the reads by what they found; neighbours must include each other.
fn chain(
    &Part { key, intake }: &Part<'_>,
    additions: &[Addition],
    reads: &mut [Read],
    order: &mut Findings,
    budget: &mut Budget,
) -> Result<(), Exhausted> {
    let time = |r: &Read| (intake.op(r.at).start, r.at);
    let size = |a: &Read, b: &Read| {
        let size = a.found.len().cmp(&b.found.len());
        size.then_with(|| a.found.cmp(&b.found))
            .then_with(|| time(a).cmp(&time(b)))
    };
    sort_by(reads, &size, budget)?;
    for pair in reads.windows(2) {
        let (less, more) = (&pair[0], &pair[1]);
        let Some(a) = missing(less, more, additions, budget)? else {
            continue;
        };
        let Some(b) = missing(more, less, additions, budget)? else {
            continue;
        };
        order.list(|| {
            let log = intake.log;
            let summary = format!(
                "{} without the element {}, and {} without the element {}: no order of the two has both",
                who(log, less.at),
                additions[b].value,
                who(log, more.at),
                additions[a].value
            );
            let shown = [less.at, more.at, additions[a].at, additions[b].at];
            let violates = Model::SequentialConsistency;
            explain::anomaly(Kind::LongFork, violates, summary, &shown, intake, key)
        });
    }
    Ok(())
}

/// An element of one read that another did not find, as its addition.
fn missing(
    of: &Read,
    from: &Read,
    additions: &[Addition],
    budget: &mut Budget,
) -> Result<Option<usize>, Exhausted> {
    for v in &of.found {
        budget.spend()?;
        if from.found.binary_search(v).is_err() {
            return Ok(position(additions, *v));
        }
    }
    Ok(None)
}

/// Rule 3, where the others hold. Operations stand in *places*: additions first
/// found by read r of the chain at 2 r, reads at 2 r + 1, those with the same
/// result together.
fn real_time(
    &Part { key, intake }: &Part<'_>,
    additions: &mut [Addition],
    reads: &[Read],
    order: &mut Findings,
    budget: &mut Budget,
) -> Result<(), Exhausted> {
    let mut place = 0;
    let mut placed: Vec<(usize, u64, u64, u32)> = Vec::new();
    for (i, r) in reads.iter().enumerate() {
        budget.spend()?;
        let before: &[i64] = if i == 0 { &[] } else { &reads[i - 1].found };
        if i == 0 || r.found.len() > before.len() {
            place += 2;
            for v in &r.found {
                budget.spend()?;
                if before.binary_search(v).is_err()
                    && let Some(at) = position(additions, *v)
                {
                    additions[at].stands = place;
                }
            }
        }
        let e = intake.op(r.at);
        placed.push((place + 1, e.start, e.finish, r.at));
    }
    for a in additions.iter().filter(|a| !a.failed) {
        if a.stands != usize::MAX || a.ends != FOREVER {
            placed.push((a.stands, a.start, a.ends, a.at));
        }
    }
    sort(&mut placed, budget)?;
    let mut latest: Option<(u64, u32)> = None;
    for group in placed.chunk_by(|a, b| a.0 == b.0) {
        budget.spend()?;
        let early = group.iter().min_by_key(|o| o.2);
        if let (Some(&(_, _, finish, over)), Some((start, late))) = (early, latest)
            && finish < start
        {
            let (log, kind) = (intake.log, Kind::StaleRead);
            let same = intake.op(over).process == intake.op(late).process;
            let violates = match (same, intake.op(over).code) {
                (true, Code::AddElement) => Model::ReadYourWrites,
                (true, _) => Model::MonotonicReads,
                _ => Model::Linearizability,
            };
            order.list(|| {
                let summary = format!(
                    "{} must come before {}, which was over when it began",
                    who(log, late),
                    who(log, over)
                );
                explain::anomaly(kind, violates, summary, &[over, late], intake, key)
            });
        }
        let last = group.iter().map(|o| (o.1, o.3)).max();
        latest = latest.max(last);
    }
    Ok(())
}
