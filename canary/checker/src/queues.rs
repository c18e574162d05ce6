//! Queues whose values are distinct.
//!
//! # What went in comes out
//!
//! Of every value, how often it was enqueued and dequeued is counted, as the
//! total-queue checker of Jepsen (K. Kingsbury) does. One that was acknowledged
//! and never dequeued is *lost* if the queue was seen empty after that: by a
//! dequeue that found nothing, or by a drain. One that came out more often than
//! it may have gone in is *duplicated* (Jepsen only counts these), one that
//! nobody enqueued *unexpected*.
//!
//! # First in, first out
//!
//! After T. Henzinger, A. Sezgin and V. Vafeiadis, "Aspect-oriented
//! linearizability proofs" (CONCUR 2013), and A. Bouajjani, M. Emmi, C. Enea and
//! J. Hamza, "On reducing linearizability to state reachability" (ICALP 2015):
//! a history of distinct values in which every call ended is a queue's unless
//!
//! 1. a value is dequeued that was not enqueued, or is twice, or before that
//!    began;
//! 2. x was enqueued before the enqueueing of y began, and y was dequeued before
//!    the dequeueing of x began, or x never was;
//! 3. a dequeue found nothing although, at every moment of it, some value was
//!    surely there: enqueued, and not begun to be dequeued.
//!
//! An enqueue of unknown outcome happened if its value came out, whenever that
//! was; else it is left out. A dequeue of unknown outcome may have taken any
//! one value at any time after it began: those that rule 2 misses are given to
//! such dequeues, the most urgent first, which is possible if it is at all.
//! Where rule 3 hangs on what they took, it is left open.
//!
//! A drain dequeues one value after the other and then finds nothing. If other
//! calls overlap it, only what each of its dequeues says alone is judged.
//!
//! O(n log n).

use crate::budget::{Budget, Exhausted};
use crate::explain;
use crate::findings::Findings;
use crate::intake::Intake;
use crate::log::{Code, Effect};
use crate::register::FOREVER;
use crate::say::{self, who};
use crate::sort::sort;
use crate::violation::Kind;
use gameday_record::Model;
use gameday_record::verdict::Check;
use hashbrown::HashMap;

/// Collects over all queues.
#[derive(Debug)]
pub(crate) struct Queues {
    findings: Findings,
    queues: u64,
    counts: Counts,
    /// See [`crate::log::Log::missing`].
    missing: Option<&'static str>,
}

/// Values by what became of them.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    acknowledged: u64,
    dequeued: u64,
    lost: u64,
    duplicated: u64,
    unexpected: u64,
    recovered: u64,
}

/// A moment: time, and the order within it. Those of a drain that nothing
/// overlaps come one after the other.
type Moment = u128;

fn moment(time: u64, order: u32) -> Moment {
    (u128::from(time) << 32) | u128::from(order)
}

const NEVER: Moment = Moment::MAX;

/// From its beginning to its end.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: Moment,
    to: Moment,
    at: u32,
}

/// A value, and what was done with it.
#[derive(Clone, Debug, Default)]
struct Element {
    /// Enqueues that took effect or may have; those that certainly failed.
    entered: Vec<Span>,
    refused: Option<u32>,
    taken: Vec<Span>,
}

/// One queue.
#[derive(Debug, Default)]
struct Calls {
    elements: HashMap<i64, Element>,
    /// Dequeues that found nothing, and ends of drains.
    empty: Vec<Span>,
    /// When dequeues of unknown outcome began; a drain may take any number.
    unknown: Vec<Moment>,
    unknown_drain: bool,
    /// Drains that others overlap: their order is not judged.
    loose: bool,
    /// Values of one drain in the order in which they came out.
    drained: Vec<Vec<i64>>,
}

impl Calls {
    fn of(positions: &[u32], intake: &Intake<'_>) -> Self {
        let mut calls = Calls::default();
        // Positions are in the order of invocation.
        let mut ended: Option<u64> = None;
        for (i, at) in positions.iter().enumerate() {
            let e = intake.op(*at);
            let next = positions
                .get(i + 1)
                .map_or(FOREVER, |p| intake.op(*p).start);
            // One of unknown outcome may take effect beside anything in any case.
            let alone = ended.is_none_or(|t| t < e.start) && e.finish < next;
            if e.effect == Effect::Ok {
                ended = ended.max(Some(e.finish));
            }
            let whole = Span {
                from: moment(e.start, 0),
                to: moment(e.finish, u32::MAX),
                at: *at,
            };
            match (e.code, e.effect) {
                (Code::Enqueue, effect) => {
                    let element = calls.elements.entry(e.second()).or_default();
                    let to = match effect {
                        Effect::Ok => whole.to,
                        Effect::Unknown => NEVER,
                        Effect::Failed | Effect::Refused => {
                            element.refused = Some(*at);
                            continue;
                        }
                    };
                    element.entered.push(Span { to, ..whole });
                }
                (Code::Dequeue, Effect::Ok) => match intake.log.first(e) {
                    Some(value) => calls.take(value, whole),
                    None => calls.empty.push(whole),
                },
                (Code::Dequeue, Effect::Unknown) => calls.unknown.push(whole.from),
                (Code::Drain, Effect::Ok) => {
                    let values = intake.log.elements_of(e);
                    calls.loose |= !alone && values.len() > 1;
                    let part = |n: usize| match alone {
                        true => Span {
                            from: moment(e.start, 2 * n as u32),
                            to: moment(e.start, 2 * n as u32 + 1),
                            at: *at,
                        },
                        false => whole,
                    };
                    for (n, value) in values.iter().enumerate() {
                        calls.take(*value, part(n));
                    }
                    calls.empty.push(part(values.len()));
                    calls.drained.push(values.to_vec());
                }
                (Code::Drain, Effect::Unknown) => calls.unknown_drain = true,
                _ => {}
            }
        }
        calls
    }

    fn take(&mut self, value: i64, span: Span) {
        self.elements.entry(value).or_default().taken.push(span);
    }
}

impl Queues {
    pub fn new(findings: Findings, missing: Option<&'static str>) -> Self {
        Queues {
            findings,
            queues: 0,
            counts: Counts::default(),
            missing,
        }
    }

    pub fn findings(&mut self) -> &mut Findings {
        &mut self.findings
    }

    /// True if the history holds queues.
    pub fn any(&self) -> bool {
        self.queues > 0
    }

    /// Judges one queue: what came out of it here, and its order into `order`
    /// if that is asked for.
    ///
    /// # Errors
    /// The budget ran out; what was found stands.
    pub fn key(
        &mut self,
        key: u32,
        order: Option<&mut Findings>,
        intake: &Intake<'_>,
        budget: &mut Budget,
    ) -> Result<(), Exhausted> {
        const EACH: usize = 2 * size_of::<Element>() + 4 * size_of::<Span>();
        let positions = intake.of(key);
        budget.holds(positions.len() * EACH)?;
        self.queues += 1;
        let calls = Calls::of(positions, intake);
        let before = self.findings.total();
        self.total(key, &calls, intake, budget)?;
        let Some(order) = order else {
            return Ok(());
        };
        if self.findings.total() > before {
            let reason = "what came out of the queue is wrong already: see total-queue";
            order.unknown_key(reason, &say::key(intake.log, key));
            return Ok(());
        }
        fifo(key, &calls, order, intake, budget)
    }

    fn total(
        &mut self,
        key: u32,
        calls: &Calls,
        intake: &Intake<'_>,
        budget: &mut Budget,
    ) -> Result<(), Exhausted> {
        let log = intake.log;
        let name = || say::key(log, key);
        let emptied = calls.empty.iter().map(|e| e.from).max();
        let mut kept: Vec<u32> = Vec::new();
        let mut lost: Vec<u32> = Vec::new();
        let mut values: Vec<(&i64, &Element)> = calls.elements.iter().collect();
        values.sort_unstable_by_key(|(value, _)| **value);
        for (_, element) in values {
            budget.spend()?;
            let acknowledged: Vec<&Span> =
                element.entered.iter().filter(|s| s.to != NEVER).collect();
            let (may, taken) = (element.entered.len(), element.taken.len());
            self.counts.acknowledged += acknowledged.len() as u64;
            self.counts.dequeued += taken as u64;
            self.counts.recovered += taken.min(may).saturating_sub(acknowledged.len()) as u64;
            if let (0, Some(span)) = (may, element.taken.first()) {
                self.unexpected(key, span.at, element.refused, intake);
            } else if taken > may {
                self.counts.duplicated += (taken - may) as u64;
                self.findings.list(|| {
                    let [first, again] = [0, taken - 1].map(|i| element.taken[i].at);
                    let summary = format!(
                        "dequeued {taken} times, enqueued {may} times: {}, and {}",
                        who(log, first),
                        who(log, again)
                    );
                    let shown = [element.entered[0].at, first, again];
                    let model = Model::EventualConsistency;
                    explain::anomaly(Kind::Duplicate, model, summary, &shown, intake, key)
                });
            }
            // The earliest that were acknowledged are the ones that came out.
            for span in acknowledged.iter().skip(taken) {
                match emptied.is_some_and(|e| span.to < e) {
                    true => lost.push(span.at),
                    false => kept.push(span.at),
                }
            }
        }
        let may_have_taken = calls.unknown.len();
        if !lost.is_empty() && (calls.unknown_drain || lost.len() <= may_have_taken) {
            let reason = format!(
                "{} acknowledged values are gone, which dequeues of unknown outcome may have taken",
                lost.len()
            );
            self.findings.unknown_key(&reason, &name());
            lost.clear();
        }
        // Which of them the others took is not known.
        lost.drain(..may_have_taken.min(lost.len()));
        self.counts.lost += lost.len() as u64;
        for at in lost {
            self.findings.list(|| {
                let last = calls.empty.iter().max_by_key(|e| e.from).map(|e| e.at);
                let mut shown = vec![at];
                shown.extend(last);
                let summary = format!(
                    "acknowledged, never dequeued, and the queue was empty after that: {}",
                    who(log, at)
                );
                explain::anomaly(
                    Kind::LostWrite,
                    Model::Durability,
                    summary,
                    &shown,
                    intake,
                    key,
                )
            });
        }
        if !kept.is_empty() {
            let reason = format!(
                "{} acknowledged values were not dequeued, and the queue was not seen empty after that",
                kept.len()
            );
            self.findings.unknown_key(&reason, &name());
        }
        Ok(())
    }

    fn unexpected(&mut self, key: u32, at: u32, refused: Option<u32>, intake: &Intake<'_>) {
        if let (None, Some(missing)) = (refused, self.missing) {
            let reason = format!("a value was dequeued {missing}");
            self.findings
                .unknown_key(&reason, &say::key(intake.log, key));
            return;
        }
        self.counts.unexpected += 1;
        self.findings.list(|| {
            let log = intake.log;
            let (kind, why) = match refused {
                Some(failed) => (
                    Kind::DirtyRead,
                    format!("and its enqueueing certainly failed: {}", who(log, failed)),
                ),
                None => (Kind::PhantomRead, "and nobody enqueued that".into()),
            };
            let mut shown = vec![at];
            shown.extend(refused);
            let summary = format!("{}, {why}", who(log, at));
            explain::anomaly(kind, Model::ReadCommitted, summary, &shown, intake, key)
        });
    }

    /// Takes over what was collected about later keys.
    pub fn merge(&mut self, other: Queues) {
        self.findings.merge(other.findings);
        self.queues += other.queues;
        let (c, o) = (&mut self.counts, other.counts);
        c.acknowledged += o.acknowledged;
        c.dequeued += o.dequeued;
        c.lost += o.lost;
        c.duplicated += o.duplicated;
        c.unexpected += o.unexpected;
        c.recovered += o.recovered;
    }

    /// The check.
    pub fn finish(mut self) -> Check {
        let c = self.counts;
        if c.acknowledged == 0 {
            self.findings
                .unknown("no value was acknowledged, so none could be lost");
        } else if c.dequeued == 0 {
            self.findings.unknown("nothing was dequeued");
        }
        let examined = format!(
            "{} values acknowledged, {} dequeued: {} lost, {} duplicated, {} unexpected, {} recovered of unknown outcome.",
            c.acknowledged, c.dequeued, c.lost, c.duplicated, c.unexpected, c.recovered
        );
        self.findings.finish(&examined, Vec::new())
    }
}

/// A value that went in, and out if it did.
#[derive(Clone, Copy, Debug)]
struct Passage {
    entered: Span,
    taken: Option<Span>,
}

impl Passage {
    /// When its dequeue began: never, if there is none.
    fn left(&self) -> Moment {
        self.taken.map_or(NEVER, |t| t.from)
    }
}

/// The three rules, in the module's text.
fn fifo(
    key: u32,
    calls: &Calls,
    order: &mut Findings,
    intake: &Intake<'_>,
    budget: &mut Budget,
) -> Result<(), Exhausted> {
    let log = intake.log;
    let name = || say::key(log, key);
    if calls.elements.values().any(|e| e.entered.len() > 1) {
        let reason = "a value is enqueued more than once: an order was not looked for";
        order.unknown_key(reason, &name());
        return Ok(());
    }
    let before = order.total();
    let mut list = |kind: Kind, summary: String, shown: &[u32]| {
        let model = Model::LinearizabilityAtLeast;
        order.list(|| explain::anomaly(kind, model, summary, shown, intake, key));
    };
    let mut passages: Vec<Passage> = Vec::new();
    for element in calls.elements.values() {
        budget.spend()?;
        let Some(entered) = element.entered.first().copied() else {
            continue;
        };
        let taken = element.taken.first().copied();
        match taken {
            Some(t) if t.to < entered.from => {
                let summary = format!(
                    "{}, before this began: {}",
                    who(log, t.at),
                    who(log, entered.at)
                );
                list(Kind::FutureRead, summary, &[t.at, entered.at]);
            }
            None if entered.to == NEVER => {}
            _ => passages.push(Passage { entered, taken }),
        }
    }
    let by = |f: fn(&Passage) -> Moment, budget: &mut Budget| {
        let all = passages.iter().zip(0u32..);
        let mut sorted: Vec<(Moment, u32)> = all.map(|(p, i)| (f(p), i)).collect();
        sort(&mut sorted, budget).map(|()| sorted)
    };
    let ended = by(|p| p.entered.to, budget)?;
    let begun = by(|p| p.entered.from, budget)?;
    // Rule 2, both values dequeued: x is the one that left last of those that
    // were in before y came.
    let (mut next, mut last): (usize, Option<Passage>) = (0, None);
    for (from, y) in &begun {
        budget.spend()?;
        while let Some((_, x)) = ended.get(next).filter(|(to, _)| to < from) {
            let x = passages[*x as usize];
            if x.taken.is_some() && last.is_none_or(|l| l.left() < x.left()) {
                last = Some(x);
            }
            next += 1;
        }
        let y = passages[*y as usize];
        if let (
            Some(Passage {
                entered,
                taken: Some(x),
            }),
            Some(taken),
        ) = (last, y.taken)
            && taken.to < x.from
        {
            let summary = format!(
                "{}, although this had been enqueued before that came: {}; it was still there: {}",
                who(log, taken.at),
                who(log, entered.at),
                who(log, x.at)
            );
            list(
                Kind::NotLinearizable,
                summary,
                &[taken.at, y.entered.at, entered.at, x.at],
            );
        }
    }
    // Rule 2, x never dequeued: until when a dequeue of unknown outcome must
    // have begun that took it.
    let mut first_out: Vec<(Moment, Option<Passage>)> = Vec::with_capacity(begun.len());
    let mut first: Option<Passage> = None;
    let out = |p: &Passage| p.taken.map_or(NEVER, |t| t.to);
    for (from, y) in begun.iter().rev() {
        let y = passages[*y as usize];
        if y.taken.is_some() && first.is_none_or(|f| out(&y) < out(&f)) {
            first = Some(y);
        }
        first_out.push((*from, first));
    }
    first_out.reverse();
    let mut urgent: Vec<(Moment, u32, u32, u32)> = Vec::new();
    for x in passages.iter().filter(|p| p.taken.is_none()) {
        budget.spend()?;
        let later = first_out.partition_point(|(from, _)| *from <= x.entered.to);
        if let Some((_, Some(y))) = first_out.get(later)
            && let Some(taken) = y.taken
        {
            urgent.push((taken.to, x.entered.at, y.entered.at, taken.at));
        }
    }
    sort(&mut urgent, budget)?;
    let mut unknown = calls.unknown.clone();
    sort(&mut unknown, budget)?;
    for (n, (until, x, y, taken)) in urgent.iter().enumerate() {
        if calls.unknown_drain || unknown.get(n).is_some_and(|from| from <= until) {
            continue;
        }
        let summary = format!(
            "{}, although this had been enqueued before that came and was never dequeued: {}",
            who(log, *taken),
            who(log, *x)
        );
        list(Kind::NotLinearizable, summary, &[*taken, *y, *x]);
        // The rest may be wrong for want of this dequeue only.
        break;
    }
    // Within a drain.
    for drain in &calls.drained {
        let entered = |value: &i64| calls.elements[value].entered.first().copied();
        let mut latest: Option<Span> = None;
        for value in drain {
            budget.spend()?;
            let Some(span) = entered(value) else { continue };
            if let Some(before) = latest.filter(|l| span.to < l.from) {
                let summary = format!(
                    "one drain gave this first: {}; and then this, which had been enqueued before: {}",
                    who(log, before.at),
                    who(log, span.at)
                );
                list(Kind::NotLinearizable, summary, &[before.at, span.at]);
                break;
            }
            if latest.is_none_or(|l| l.from < span.from) {
                latest = Some(span);
            }
        }
    }
    // Rule 3, with and without values that unknown dequeues may have taken.
    let may = !calls.unknown.is_empty() || calls.unknown_drain;
    let surely = covered(&passages, |p| p.taken.is_some() || !may, budget)?;
    let perhaps = covered(&passages, |_| true, budget)?;
    let mut open = calls.loose.then_some("a drain that other calls overlap");
    for e in &calls.empty {
        budget.spend()?;
        if let Some(at) = within(&surely, e) {
            let summary = format!(
                "{}, although something was there all the time, for one: {}",
                who(log, e.at),
                who(log, at)
            );
            list(Kind::NotLinearizable, summary, &[e.at, at]);
        } else if may && within(&perhaps, e).is_some() {
            open = Some(
                "a dequeue found nothing, and what another of unknown outcome took decides whether that is right",
            );
        }
    }
    if let (Some(why), true) = (open, order.total() == before) {
        let reason = format!("the order of a queue was not decided: {why}");
        order.unknown_key(&reason, &name());
    }
    Ok(())
}

/// The times during which a queue was surely not empty, in order, and a value
/// that was there at the beginning of each.
fn covered(
    passages: &[Passage],
    there: impl Fn(&Passage) -> bool,
    budget: &mut Budget,
) -> Result<Vec<(Moment, Moment, u32)>, Exhausted> {
    let spans = passages
        .iter()
        .filter(|p| p.entered.to < p.left() && there(p));
    let mut spans: Vec<(Moment, Moment, u32)> = spans
        .map(|p| (p.entered.to, p.left(), p.entered.at))
        .collect();
    sort(&mut spans, budget)?;
    let mut all: Vec<(Moment, Moment, u32)> = Vec::new();
    for span in spans {
        match all.last_mut() {
            Some(last) if span.0 < last.1 => last.1 = last.1.max(span.1),
            _ => all.push(span),
        }
    }
    Ok(all)
}

fn within(covered: &[(Moment, Moment, u32)], e: &Span) -> Option<u32> {
    let after = covered.partition_point(|(from, _, _)| *from < e.from);
    let (_, to, at) = covered.get(after.checked_sub(1)?)?;
    (e.to < *to).then_some(*at)
}
