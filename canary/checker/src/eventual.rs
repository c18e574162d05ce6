//! Eventually consistent reads: as old as they like, but never invented; and
//! how old they were.

use crate::budget::{Budget, Exhausted};
use crate::explain;
use crate::findings::Findings;
use crate::intake::Intake;
use crate::log::{Clock, Code, Effect, Log};
use crate::measure::{measure, millis};
use crate::say::{self, who};
use crate::sort::sort;
use crate::violation::Kind;
use crate::zones::{Analysis, Lifetime};
use gameday_record::Model;
use gameday_record::verdict::Check;

/// Collects over all keys.
///
/// An eventual read may find absence (the workload never says how old is too
/// old, and every key was absent once) or any value whose write succeeded or
/// may have, and had begun when the read returned.
///
/// # Staleness
///
/// A read that began at R and found version v is stale if a newer version was
/// certainly there before R. With f(y) the time when version y certainly was
/// there (acknowledged, or found by a strong read) and s(y) the time when the
/// last operation that wrote or found it began, a version y other than v is
/// certainly newer than v if f(v) < s(y). So, over all y other than v,
///
/// - in time: R minus the least f(y) of those with s(y) > f(v), if that is
///   before R, else 0;
/// - in versions: the number of y with f(y) < R less those with s(y) <= f(v),
///   at least 1 if it is stale in time. This never says too many: those
///   counted twice are versions whose operations span the whole time between.
///
/// v itself is found again and again while it is the newest, so s(v) > f(v):
/// were it not left out, its age would be taken for staleness.
///
/// Where values repeat, it is not known which version a read found: how old it
/// was is not judged, and said to be so.
#[derive(Debug)]
pub(crate) struct EventualReads {
    findings: Findings,
    invoked: u64,
    judged: u64,
    stale: u64,
    /// See [`Log::missing`].
    missing: Option<&'static str>,
    /// Value, whether it certainly failed, when it began, and position; sorted:
    /// of one value, the earliest that may have happened comes first.
    writes: Vec<(i64, bool, u64, u32)>,
    lifetimes: Lifetimes,
    /// One for each read that could be judged.
    ages: Vec<f32>,
    versions: Vec<f32>,
}

impl EventualReads {
    pub fn new(findings: Findings, missing: Option<&'static str>) -> Self {
        EventualReads {
            findings,
            invoked: 0,
            judged: 0,
            stale: 0,
            missing,
            writes: Vec::new(),
            lifetimes: Lifetimes::default(),
            ages: Vec::new(),
            versions: Vec::new(),
        }
    }

    pub fn findings(&mut self) -> &mut Findings {
        &mut self.findings
    }

    /// True if the history holds such reads at all.
    pub fn any(&self) -> bool {
        self.invoked > 0
    }

    /// Judges the reads of one register. `order`: what is known about its versions.
    ///
    /// # Errors
    /// The budget ran out; what was found stands.
    pub fn key(
        &mut self,
        key: u32,
        order: Option<&Analysis<'_>>,
        intake: &Intake<'_>,
        budget: &mut Budget,
    ) -> Result<(), Exhausted> {
        let positions = intake.of(key);
        let is_eventual = |at: &&u32| intake.op(**at).code == Code::EventualRead;
        let invoked = positions.iter().filter(is_eventual).count() as u64;
        if invoked == 0 {
            return Ok(());
        }
        self.invoked += invoked;
        self.writes.clear();
        self.writes.extend(positions.iter().filter_map(|at| {
            let e = intake.op(*at);
            let failed = matches!(e.effect, Effect::Failed | Effect::Refused);
            matches!(e.code, Code::Write | Code::Insert | Code::Cas).then_some((
                e.second(),
                failed,
                e.start,
                *at,
            ))
        }));
        sort(&mut self.writes, budget)?;
        if let Some(order) = order {
            self.lifetimes.fill(order, budget)?;
        }
        for at in positions.iter().filter(is_eventual) {
            budget.spend()?;
            self.read(key, *at, order, intake);
        }
        Ok(())
    }

    fn read(&mut self, key: u32, at: u32, order: Option<&Analysis<'_>>, intake: &Intake<'_>) {
        let e = intake.op(at);
        let log = intake.log;
        let Some(value) = e.found() else {
            return;
        };
        self.judged += 1;
        if let Some(order) = order
            && let Some(version) = order.version(value, log.initial)
        {
            let (age, versions) = self.lifetimes.staleness(order.lifetime(version), e.start);
            self.stale += u64::from(versions > 0);
            self.ages.push(millis(age));
            self.versions.push(versions as f32);
        }
        let Some(value) = value.filter(|v| Some(*v) != log.initial) else {
            return;
        };
        let i = self.writes.partition_point(|w| w.0 < value);
        let write = self.writes.get(i).filter(|w| w.0 == value);
        let reader = || who(log, at);
        let (kind, violates, summary, shown) = match write {
            None if let Some(missing) = self.missing => {
                let reason = format!("a read found a value {missing}");
                self.findings.unknown_key(&reason, &say::key(log, key));
                return;
            }
            None => (
                Kind::PhantomRead,
                Model::ReadCommitted,
                format!("{}, and nobody wrote what it found", reader()),
                vec![at],
            ),
            Some(&(_, true, _, w)) => (
                Kind::DirtyRead,
                Model::ReadCommitted,
                format!(
                    "{}, the value of a write that certainly failed: {}",
                    reader(),
                    who(log, w)
                ),
                vec![at, w],
            ),
            Some(&(_, false, start, w)) if e.finish < start => (
                Kind::FutureRead,
                Model::EventualConsistency,
                format!("{}, before this began: {}", reader(), who(log, w)),
                vec![at, w],
            ),
            Some(_) => return,
        };
        self.findings
            .list(|| explain::anomaly(kind, violates, summary, &shown, intake, key));
    }

    /// Lets go of the memory that served all keys.
    pub fn done(&mut self) {
        self.writes = Vec::new();
        self.lifetimes = Lifetimes::default();
    }

    /// Takes over what was collected about later keys.
    pub fn merge(&mut self, other: EventualReads) {
        self.findings.merge(other.findings);
        self.invoked += other.invoked;
        self.judged += other.judged;
        self.stale += other.stale;
        self.ages.extend(other.ages);
        self.versions.extend(other.versions);
    }

    /// The check. `sessions`: what eventual reads showed their own clients.
    pub fn finish(mut self, log: &Log, sessions: &str) -> Check {
        if self.judged == 0 {
            self.findings.unknown("no eventual read succeeded");
        }
        let mut examined = format!(
            "{} eventual reads, {} of them stale",
            self.judged, self.stale
        );
        let unplaced = self.judged - self.versions.len() as u64;
        if unplaced > 0 {
            examined.push_str(&format!(
                "; of {unplaced} it is not known how old what they found was"
            ));
        }
        examined.push_str(&format!(". {sessions}"));
        let mut measures = Vec::new();
        if log.clock == Clock::Nanoseconds {
            measures.push(measure("staleness of eventual reads", "ms", self.ages));
        }
        measures.push(measure(
            "staleness of eventual reads",
            "versions",
            self.versions,
        ));
        self.findings.finish(&examined, measures)
    }
}

/// When the versions of a key were there. All times are nanoseconds.
#[derive(Debug, Default)]
struct Lifetimes {
    /// When each was known, sorted.
    known: Vec<u64>,
    /// When each was last touched, sorted.
    touched: Vec<(u64, Lifetime)>,
    /// The two earliest known of `touched` from here on, the earlier one first.
    earliest: Vec<[Option<Lifetime>; 2]>,
}

impl Lifetimes {
    fn fill(&mut self, order: &Analysis<'_>, budget: &mut Budget) -> Result<(), Exhausted> {
        self.known.clear();
        self.touched.clear();
        for version in order.lifetimes() {
            budget.spend()?;
            self.known.push(version.known);
            self.touched.push((version.touched, version));
        }
        sort(&mut self.known, budget)?;
        sort(&mut self.touched, budget)?;
        self.earliest.clear();
        self.earliest.resize(self.touched.len(), [None; 2]);
        let mut two = [None, None];
        for (i, (_, version)) in self.touched.iter().enumerate().rev() {
            let before = |other: Option<Lifetime>| other.is_none_or(|o| version.known < o.known);
            if before(two[0]) {
                two = [Some(*version), two[0]];
            } else if before(two[1]) {
                two[1] = Some(*version);
            }
            self.earliest[i] = two;
        }
        Ok(())
    }

    /// Nanoseconds and versions by which a read that began at `read` and found
    /// this version is stale.
    fn staleness(&self, found: Lifetime, read: u64) -> (u64, u64) {
        let newer = self.touched.partition_point(|(s, _)| *s <= found.known);
        let two = self.earliest.get(newer).into_iter().flatten().flatten();
        let mut others = two.filter(|y| y.version != found.version);
        let Some(first) = others.next().filter(|y| y.known < read) else {
            return (0, 0);
        };
        // Each count holds the version itself or not, as its own times say.
        let itself = |is: bool| usize::from(is && found.listed);
        let there = self.known.partition_point(|f| *f < read) - itself(found.known < read);
        let older = newer - itself(found.touched <= found.known);
        (
            read - first.known,
            there.saturating_sub(older).max(1) as u64,
        )
    }
}
