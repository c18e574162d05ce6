//! What each client saw for itself: session guarantees.
//!
//! After D. Terry et al., "Session guarantees for weakly consistent replicated
//! data" (PDIS 1994). A *session* is a process: a logical client, with one
//! call at a time through one endpoint. It ends with a call of unknown
//! outcome; whoever goes on under a new number begins a new session, because
//! a call that may still take effect is not ordered before those that follow.
//!
//! Per key and session, in the session's order:
//!
//! - *read your writes*: a read finds the session's latest acknowledged write
//!   or something that is not older;
//! - *monotonic reads*: a read finds nothing older than an earlier one did;
//! - *monotonic writes*: what is left in the end is no write that the same
//!   session followed up with another, which somebody found.
//!
//! A version is older than another if it was certainly there before the write
//! of the other began, or if it must be older in every order that explains the
//! strongly consistent operations, see [`crate::zones`]. Where neither is
//! known, a session that finds v, then something else, then v again went back
//! in any case. Strongly consistent operations must keep all three guarantees.
//! Eventual reads promise none of them; theirs are counted.

use crate::budget::{Budget, Exhausted};
use crate::explain;
use crate::findings::Findings;
use crate::intake::{Intake, KeyOps};
use crate::log::{Code, Effect, Entry};
use crate::say::who;
use crate::violation::Kind;
use crate::zones::{Analysis, Version};
use gameday_record::Model;
use gameday_record::verdict::Check;
use hashbrown::{HashMap, HashSet};

/// Collects over all keys.
#[derive(Debug)]
pub(crate) struct Sessions {
    findings: Findings,
    /// Reads that had something to be compared with: strong, eventual.
    compared: u64,
    eventual: u64,
    own_missed: u64,
    went_back: u64,
    /// A key was not judged to the end.
    stopped: bool,
    /// Each process of the key.
    open: HashMap<u64, Session>,
    /// What a process found before it found something else.
    left: HashSet<(u64, Version)>,
}

/// What a session did to a key so far.
#[derive(Clone, Copy, Debug, Default)]
struct Session {
    wrote: Newest,
    read: Newest,
    /// What it found last, strongly consistent, and where.
    last: Option<(Version, u32)>,
}

/// The newest thing that a session wrote or read so far.
#[derive(Clone, Copy, Debug, Default)]
struct Newest(Option<(Version, u32)>);

impl Newest {
    fn offer(&mut self, version: Version, at: u32, order: &Order<'_>) {
        match self.0 {
            Some((old, _)) if order.precedes(version, old) => {}
            _ => self.0 = Some((version, at)),
        }
    }
}

/// The order of a key's versions.
struct Order<'a> {
    analysis: &'a Analysis<'a>,
    ops: &'a KeyOps<'a>,
}

impl Order<'_> {
    fn precedes(&self, a: Version, b: Version) -> bool {
        self.analysis.precedes(a, b, self.ops)
    }
}

impl Sessions {
    pub fn new(findings: Findings) -> Self {
        Sessions {
            findings,
            compared: 0,
            eventual: 0,
            own_missed: 0,
            went_back: 0,
            stopped: false,
            open: HashMap::new(),
            left: HashSet::new(),
        }
    }

    pub fn findings(&mut self) -> &mut Findings {
        &mut self.findings
    }

    /// True if there was anything to judge, as far as is known.
    pub fn any(&self) -> bool {
        self.compared > 0 || self.findings.total() > 0 || self.stopped
    }

    /// Judges one register. `ops`: those that took part, in the order of time,
    /// which is that of each session too.
    ///
    /// # Errors
    /// The budget ran out; what was found stands.
    pub fn key(
        &mut self,
        key: u32,
        ops: &KeyOps<'_>,
        analysis: &Analysis<'_>,
        intake: &Intake<'_>,
        budget: &mut Budget,
    ) -> Result<(), Exhausted> {
        let order = Order { analysis, ops };
        let mut open = std::mem::take(&mut self.open);
        open.clear();
        self.left.clear();
        let mut part = 0;
        for at in intake.of(key) {
            if let Err(e) = budget.spend() {
                self.stopped = true;
                return Err(e);
            }
            let e = intake.op(*at);
            let op = (ops.at.get(part) == Some(at)).then_some(part as u32);
            part += usize::from(op.is_some());
            if matches!(e.effect, Effect::Ok | Effect::Refused) {
                let session = open.entry(e.process).or_default();
                self.step(key, (*at, op), session, &order, intake);
            }
        }
        self.open = open;
        self.finals(key, ops, analysis, intake);
        Ok(())
    }

    /// One operation of a session. `op`: its number among those that took part.
    fn step(
        &mut self,
        key: u32,
        (at, op): (u32, Option<u32>),
        session: &mut Session,
        order: &Order<'_>,
        intake: &Intake<'_>,
    ) {
        let e = intake.op(at);
        let writes = e.writes().is_some();
        let analysis = order.analysis;
        let found = match op {
            Some(op) if writes => analysis.consumed_by(op),
            Some(op) => analysis.version_of(op),
            None => e
                .found()
                .and_then(|found| analysis.version(found, intake.log.initial)),
        };
        let Session { wrote, read, last } = session;
        if let Some(version) = found {
            let older = |n: &Newest| n.0.filter(|(v, _)| order.precedes(version, *v));
            let (own, back) = (older(wrote), older(read));
            let comparable = u64::from(wrote.0.is_some() || read.0.is_some());
            if e.code == Code::EventualRead {
                self.eventual += comparable;
                self.own_missed += u64::from(own.is_some());
                self.went_back += u64::from(own.is_none() && back.is_some());
            } else {
                self.compared += comparable;
                if let Some((_, write)) = own {
                    self.report(Kind::ReadYourWrites, key, at, write, intake);
                } else if let Some((_, earlier)) = back {
                    self.report(Kind::NonMonotonicRead, key, at, earlier, intake);
                } else if let Some((between, earlier)) = *last
                    && between != version
                    && self.left.contains(&(e.process, version))
                {
                    self.report(Kind::NonMonotonicRead, key, at, earlier, intake);
                }
                // What an eventual read found binds nobody.
                read.offer(version, at, order);
                if let Some((before, _)) = last.replace((version, at))
                    && before != version
                    // Linearizable operations keep every guarantee.
                    && analysis.violations.total > 0
                {
                    self.left.insert((e.process, before));
                }
            }
        }
        if let Some(version) = op.filter(|_| writes).and_then(|op| analysis.version_of(op)) {
            wrote.offer(version, at, order);
        }
    }

    /// Judges the order in which the writes of a session took effect by what
    /// is left in the end: `last`, the latest final read.
    fn finals(&mut self, key: u32, ops: &KeyOps<'_>, order: &Analysis<'_>, intake: &Intake<'_>) {
        let is_final = |e: &Entry| e.last() && e.code == Code::Read && e.found().is_some();
        let finals = ops.at.iter().filter(|at| is_final(intake.op(**at)));
        let Some(last) = finals.max_by_key(|at| intake.op(**at).start) else {
            return;
        };
        let Some(Some(left)) = intake.op(*last).found() else {
            return;
        };
        let acknowledged = |at: &&u32| {
            let e = intake.op(**at);
            e.effect == Effect::Ok && e.writes().is_some()
        };
        let mut writes = ops.at.iter().filter(acknowledged);
        let Some(first) = writes.find(|at| intake.op(**at).writes() == Some(left)) else {
            return;
        };
        let e = intake.op(*first);
        for later in writes {
            let l = intake.op(*later);
            let overtaken = l.process == e.process
                && l.finish < intake.op(*last).start
                && l.writes()
                    .and_then(|v| order.version(Some(v), intake.log.initial))
                    .is_some_and(|v| order.was_found(v));
            if overtaken {
                let log = intake.log;
                let summary = format!(
                    "the first of two writes of one process is what is left, and the second had been found: {}, then {}; at last {}",
                    who(log, *first),
                    who(log, *later),
                    who(log, *last)
                );
                let shown = [*first, *later, *last];
                self.findings.list(|| {
                    let kind = Kind::NonMonotonicWrite;
                    explain::anomaly(kind, Model::MonotonicWrites, summary, &shown, intake, key)
                });
                return;
            }
        }
    }

    /// `read` found something older than what `against` wrote or found before.
    fn report(&mut self, kind: Kind, key: u32, read: u32, against: u32, intake: &Intake<'_>) {
        let log = intake.log;
        let (violates, why) = match kind {
            Kind::ReadYourWrites => (
                Model::ReadYourWrites,
                "older than what its process had written",
            ),
            _ => (
                Model::MonotonicReads,
                "older than what its process had found",
            ),
        };
        self.findings.list(|| {
            let summary = format!("{}, {why}: {}", who(log, read), who(log, against));
            let shown = [against, read];
            explain::anomaly(kind, violates, summary, &shown, intake, key)
        });
    }

    /// Lets go of the memory that served all keys.
    pub fn done(&mut self) {
        self.open = HashMap::new();
        self.left = HashSet::new();
    }

    /// Takes over what was collected about later keys.
    pub fn merge(&mut self, other: Sessions) {
        self.findings.merge(other.findings);
        self.compared += other.compared;
        self.eventual += other.eventual;
        self.own_missed += other.own_missed;
        self.went_back += other.went_back;
        self.stopped |= other.stopped;
    }

    /// What eventual reads showed their own clients, in a sentence.
    pub fn of_eventual_reads(&self) -> String {
        format!(
            "Of {} that followed another operation of their process on the key, {} missed a write of their own and {} went back behind a strong read; that is allowed.",
            self.eventual, self.own_missed, self.went_back
        )
    }

    /// The check.
    pub fn finish(self) -> Check {
        let examined = format!(
            "{} strongly consistent reads that followed another operation of their process on the key.",
            self.compared
        );
        self.findings.finish(&examined, Vec::new())
    }
}
