//! One history while it is judged, key by key.

pub(crate) mod attempt;
mod models;

use crate::budget::{Budget, Exhausted};
use crate::chains::chains;
use crate::counters::Counters;
use crate::durable::DurableSet;
use crate::eventual::EventualReads;
use crate::explain;
use crate::findings::Findings;
use crate::frontier::{Answer, Why};
use crate::intake::{Intake, KeyOps, Object, takes_part};
use crate::log::{Code, Effect, Log};
use crate::lost::LostWrites;
use crate::queues::Queues;
use crate::screens::screen;
use crate::sessions::Sessions;
use crate::violation::{Kind, Violation, Violations};
use crate::zones::{NotUnique, Undecided, Zones};
use crate::{say, sets};
use attempt::attempt;
use gameday_record::Model;
use gameday_record::verdict::Check;
use models::Models;

/// A key whose search is not over, and how far it got.
pub(crate) struct Open {
    pub key: u32,
    pub answer: Answer,
}

/// Collects over keys.
pub(crate) struct Judge {
    lost: LostWrites,
    order: Findings,
    sessions: Sessions,
    eventual: EventualReads,
    durable: DurableSet,
    counters: Counters,
    queues: Queues,
    /// True if any key is a register.
    registers: bool,
    /// Reasons that concern every key.
    everywhere: Vec<String>,
    /// See [`Log::missing`].
    missing: Option<&'static str>,
    unique: bool,
    /// The memory of the first is that of the zones, which is kept from key to
    /// key; of the second what comes on top and goes with its key.
    budget: Budget,
    passing: Budget,
    /// Keys that need a longer search.
    open: Vec<Open>,
    /// Of the strongly consistent operations.
    judged: u64,
    /// Of them, those that say what they found; and reads that do not.
    observed: u64,
    silent: u64,
    keys: u64,
    writes: u64,
    unknown_writes: u64,
    at: Vec<u32>,
    zones: Zones,
}

impl Judge {
    pub fn new(log: &Log, budget: &Budget) -> Self {
        let missing = log.missing();
        Judge {
            lost: LostWrites::new(Findings::new("lost-writes")),
            order: Findings::new("linearizability"),
            sessions: Sessions::new(Findings::new("session-guarantees")),
            eventual: EventualReads::new(Findings::new("eventual-reads"), missing),
            durable: DurableSet::new(Findings::new("durable-set"), missing),
            counters: Counters::new(Findings::new("counters"), !log.complete),
            queues: Queues::new(Findings::new("total-queue"), missing),
            registers: false,
            everywhere: Vec::new(),
            missing,
            unique: log.promises.unique_values,
            budget: budget.share(),
            passing: budget.share(),
            open: Vec::new(),
            judged: 0,
            observed: 0,
            silent: 0,
            keys: 0,
            writes: 0,
            unknown_writes: 0,
            at: Vec::new(),
            zones: Zones::default(),
        }
    }

    /// A reason that leaves every check open.
    pub fn everywhere(&mut self, reason: &str) {
        self.lost.findings().unknown(reason);
        self.order.unknown(reason);
        self.sessions.findings().unknown(reason);
        self.eventual.findings().unknown(reason);
        self.everywhere.push(reason.into());
    }

    /// Judges one key.
    pub fn key(&mut self, key: u32, intake: &Intake<'_>) {
        let positions = intake.of(key);
        let mut at = std::mem::take(&mut self.at);
        at.clear();
        at.reserve_exact(positions.len());
        at.extend(positions.iter().filter(|p| takes_part(intake.op(**p))));
        let ops = KeyOps {
            log: intake.log,
            at: &at,
        };
        let mut zones = std::mem::take(&mut self.zones);
        match intake.object(positions) {
            Object::Register => {
                self.registers = true;
                let done = self.durable.key(key, intake, &mut self.budget);
                unfinished(done, self.durable.findings(), key, intake);
                self.register(key, &ops, intake, &mut zones);
            }
            Object::Text => self.text(key, &ops, intake),
            Object::Counter => match self.counters.key(key, intake, &mut self.passing) {
                Ok(true) => self.search(key, intake),
                Ok(false) => {}
                Err(e) => unfinished(Err(e), self.counters.findings(), key, intake),
            },
            Object::Set => self.set(key, &ops, intake),
            Object::Queue => {
                let order = intake.log.in_order.then_some(&mut self.order);
                let done = self.queues.key(key, order, intake, &mut self.passing);
                unfinished(done, self.queues.findings(), key, intake);
                if intake.log.in_order {
                    self.count(key, &ops, intake);
                    unfinished(done, &mut self.order, key, intake);
                }
                self.passing.release();
            }
            Object::Mixed => {
                let reason = "invalid history: used as more than one of register, counter, text, set and queue";
                self.order.unknown_key(reason, &say::key(intake.log, key));
            }
        }
        self.zones = zones;
        self.at = at;
    }

    fn count(&mut self, key: u32, ops: &KeyOps<'_>, intake: &Intake<'_>) {
        self.keys += 1;
        let (mut observed, mut acknowledged) = (0, false);
        for at in ops.at {
            let e = ops.log.entry(*at);
            let unknown = e.effect == Effect::Unknown;
            let writes = !matches!(e.effect, Effect::Failed | Effect::Refused) && !e.code.reads();
            self.judged += u64::from(!unknown);
            self.writes += u64::from(writes);
            self.unknown_writes += u64::from(writes && unknown);
            observed += u64::from(e.observes());
            acknowledged |= writes && !unknown;
        }
        self.observed += observed;
        let silent = |at: &&u32| intake.op(**at).code == Code::ReadAnything;
        let silent = intake.of(key).iter().filter(silent).count() as u64;
        self.silent += silent;
        if acknowledged && observed == 0 && silent > 0 {
            let reason = "no read says what was there after a write";
            self.order.unknown_key(reason, &say::key(ops.log, key));
        }
    }

    fn register(&mut self, key: u32, ops: &KeyOps<'_>, intake: &Intake<'_>, zones: &mut Zones) {
        let log = intake.log;
        let analysis = match zones.analyse(
            ops,
            log.initial,
            self.missing.is_some(),
            &mut self.budget,
        ) {
            Ok(analysis) => analysis,
            Err(Undecided::Exhausted(e)) => {
                // What this key would not fit into is free for the next.
                *zones = Zones::default();
                self.budget.release();
                let reason = format!("not judged: {e}");
                self.leave_open(&reason, key, intake);
                return;
            }
            Err(Undecided::NotUnique(NotUnique { value, op })) if self.unique => {
                let index = ops.entry(op).index;
                let reason = format!(
                    "invalid history: the value {value} is written more than once (operation {index})"
                );
                self.leave_open(&reason, key, intake);
                return;
            }
            Err(Undecided::NotUnique(_)) => {
                self.count(key, ops, intake);
                self.repeated(key, ops, intake);
                let done = self.eventual.key(key, None, intake, &mut self.budget);
                unfinished(done, self.eventual.findings(), key, intake);
                if log.promises.final_reads {
                    let reason = "values are written more than once";
                    let name = say::key(log, key);
                    self.lost.findings().unknown_key(reason, &name);
                    self.sessions.findings().unknown_key(reason, &name);
                }
                return;
            }
        };
        self.count(key, ops, intake);
        let found = &analysis.violations;
        let mut model = Models::new(&analysis);
        for violation in &found.kept {
            let violates = model.violated(violation, ops);
            self.order
                .list(|| explain::explain(violation, violates, key, ops.at, intake));
        }
        self.order.count(found.total - found.kept.len() as u64);
        if let (1.., Some(missing)) = (found.unexplained, self.missing) {
            let reason = format!("a read found a value {missing}");
            self.order.unknown_key(&reason, &say::key(log, key));
        }
        let budget = &mut self.budget;
        let done = self.lost.key(key, &analysis, ops, intake, budget);
        unfinished(done, self.lost.findings(), key, intake);
        let done = self.sessions.key(key, ops, &analysis, intake, budget);
        unfinished(done, self.sessions.findings(), key, intake);
        let done = self.eventual.key(key, Some(&analysis), intake, budget);
        unfinished(done, self.eventual.findings(), key, intake);
        if found.total == 0 && found.unexplained == 0 && analysis.ignored_bare_failures > 0 {
            match analysis.false_refusal(ops) {
                Some(violation) => {
                    let violates = Model::LinearizabilityAtLeast;
                    self.order
                        .list(|| explain::explain(&violation, violates, key, ops.at, intake));
                }
                None => {
                    let explained = analysis.explains_refusals(ops, log.initial, &mut self.passing);
                    self.passing.release();
                    match explained {
                        Ok(true) => {}
                        // The search says what the budget lacks.
                        Ok(false) | Err(_) => self.search(key, intake),
                    }
                }
            }
        }
    }

    fn leave_open(&mut self, reason: &str, key: u32, intake: &Intake<'_>) {
        let name = say::key(intake.log, key);
        self.lost.findings().unknown_key(reason, &name);
        self.order.unknown_key(reason, &name);
        self.sessions.findings().unknown_key(reason, &name);
        self.eventual.findings().unknown_key(reason, &name);
    }

    /// Judges a register whose values repeat: what can be seen at a glance,
    /// then a search.
    fn repeated(&mut self, key: u32, ops: &KeyOps<'_>, intake: &Intake<'_>) {
        let found = match screen(
            ops,
            intake.log.initial,
            self.missing.is_some(),
            &mut self.budget,
        ) {
            Ok(found) => found,
            Err(e) => return self.gave_up(&format!("not judged: {e}"), key, intake),
        };
        for violation in &found.kept {
            let violates = match violation.kind {
                Kind::FutureRead | Kind::StaleRead => Model::LinearizabilityAtLeast,
                _ => Model::ReadCommitted,
            };
            self.order
                .list(|| explain::explain(violation, violates, key, ops.at, intake));
        }
        self.order.count(found.total - found.kept.len() as u64);
        if found.total == 0 {
            self.search(key, intake);
        }
    }

    fn gave_up(&mut self, reason: &str, key: u32, intake: &Intake<'_>) {
        self.order.unknown_key(reason, &say::key(intake.log, key));
    }

    fn set(&mut self, key: u32, ops: &KeyOps<'_>, intake: &Intake<'_>) {
        self.count(key, ops, intake);
        let (order, durable) = (&mut self.order, &mut self.durable);
        let done = sets::judge(key, order, durable, intake, &mut self.passing);
        unfinished(done, &mut self.order, key, intake);
        unfinished(done, self.durable.findings(), key, intake);
        self.passing.release();
    }

    fn text(&mut self, key: u32, ops: &KeyOps<'_>, intake: &Intake<'_>) {
        self.count(key, ops, intake);
        if self.missing.is_some() {
            let reason = "texts cannot be judged if writes may be missing";
            return self.gave_up(reason, key, intake);
        }
        let text = |id| intake.log.text_of(id);
        let chains = match chains(ops, text, &mut self.passing) {
            Ok(Some(chains)) => chains,
            Ok(None) => return self.search(key, intake),
            Err(e) => return self.gave_up(&format!("not judged: {e}"), key, intake),
        };
        if chains.found.total > 0 {
            // What contradicts itself says nothing about the rest.
            self.chained(key, &chains.found, ops, intake);
            return self.passing.release();
        }
        let mut zones = Zones::default();
        match zones.analyse(&chains.ops, None, false, &mut self.passing) {
            Ok(analysis) => {
                self.chained(key, &analysis.violations, ops, intake);
            }
            Err(Undecided::NotUnique(_)) => self.search(key, intake),
            Err(Undecided::Exhausted(e)) => {
                self.gave_up(&format!("not judged: {e}"), key, intake);
            }
        }
        self.passing.release();
    }

    fn chained(&mut self, key: u32, found: &Violations, ops: &KeyOps<'_>, intake: &Intake<'_>) {
        for violation in &found.kept {
            let violates = match violation.kind {
                Kind::DirtyRead | Kind::PhantomRead => Model::ReadCommitted,
                _ => Model::LinearizabilityAtLeast,
            };
            self.order
                .list(|| explain::explain(violation, violates, key, ops.at, intake));
        }
        self.order.count(found.total - found.kept.len() as u64);
    }

    /// Begins the search for an order of a key that nothing else decides.
    fn search(&mut self, key: u32, intake: &Intake<'_>) {
        if self.missing.is_some() && intake.object(intake.of(key)) == Object::Register {
            let reason = "values repeat, or conditional writes failed without saying what they found, and writes may be missing";
            return self.gave_up(reason, key, intake);
        }
        let answer = attempt(key, intake, 0, &mut self.passing);
        self.take(Open { key, answer }, intake);
    }

    /// Takes what one slice of a search found out.
    pub fn take(&mut self, open: Open, intake: &Intake<'_>) {
        match open.answer {
            Answer::Unknown {
                why: Why::Budget(Exhausted::Steps(_)),
                ..
            } => self.open.push(open),
            _ => self.settle(open, intake),
        }
    }

    /// Keys whose search is not over, in order.
    pub fn take_open(&mut self) -> Vec<Open> {
        std::mem::take(&mut self.open)
    }

    /// Whether anything is known to be wrong with the order of operations.
    pub fn violated(&self) -> bool {
        self.order.total() > 0 || self.counters.violated()
    }

    /// Takes the last word on a key.
    pub fn settle(&mut self, Open { key, answer }: Open, intake: &Intake<'_>) {
        let counter = intake.object(intake.of(key)) == Object::Counter;
        let findings = match counter {
            true => self.counters.findings(),
            false => &mut self.order,
        };
        match answer {
            Answer::Linearizable => {}
            Answer::Illegal { at } => {
                let e = intake.op(at);
                let bare = e.code == Code::Cas && e.effect == Effect::Refused;
                let violation = Violation {
                    kind: match bare && intake.log.third(e).is_none() {
                        true => Kind::FalseCasFailure,
                        false => Kind::NotLinearizable,
                    },
                    culprit: 0,
                    against: None,
                    context: Vec::new(),
                };
                let violates = Model::LinearizabilityAtLeast;
                findings.list(|| explain::explain(&violation, violates, key, &[at], intake));
            }
            Answer::Unknown { why, explained, at } => {
                let reason = match at {
                    None => format!("an order was not even looked for: {why}"),
                    Some(at) => {
                        let e = intake.op(at);
                        let when = say::instant(intake.log, e.finish);
                        format!(
                            "the search for an order gave up after {explained} operations, at operation {} [{when}]: {why}",
                            e.index
                        )
                    }
                };
                findings.unknown_key(&reason, &say::key(intake.log, key));
            }
        }
    }

    /// Lets go of the memory that served all keys.
    pub fn done(&mut self) {
        self.zones = Zones::default();
        self.at = Vec::new();
        self.lost.done();
        self.sessions.done();
        self.eventual.done();
        self.budget.release();
    }

    /// Takes over what was collected about later keys.
    pub fn merge(&mut self, other: Judge) {
        self.lost.merge(other.lost);
        self.order.merge(other.order);
        self.sessions.merge(other.sessions);
        self.eventual.merge(other.eventual);
        self.durable.merge(other.durable);
        self.counters.merge(other.counters);
        self.queues.merge(other.queues);
        self.registers |= other.registers;
        self.open.extend(other.open);
        self.judged += other.judged;
        self.observed += other.observed;
        self.silent += other.silent;
        self.keys += other.keys;
        self.writes += other.writes;
        self.unknown_writes += other.unknown_writes;
    }

    /// The checks.
    pub fn finish(mut self, log: &Log) -> Vec<Check> {
        // Nothing was judged: what would have been there is not known.
        let blank =
            self.keys == 0 && !self.counters.any() && !self.durable.any() && !self.queues.any();
        // A history of counters alone has nothing for this check, and needs nothing.
        if self.judged == 0 && (self.keys > 0 || blank) {
            let reason = "no strongly consistent operation has a known outcome";
            self.order.unknown(reason);
        } else if self.observed == 0 && self.keys > 0 {
            let reason = "no strongly consistent operation says what it found";
            self.order.unknown(reason);
        }
        let mut examined = format!(
            "{} strongly consistent operations of known outcome on {} keys",
            self.judged, self.keys
        );
        if self.unknown_writes > 0 {
            examined.push_str(&format!(
                "; {} of {} writes had an unknown outcome and were allowed both ways",
                self.unknown_writes, self.writes
            ));
        }
        if self.silent > 0 {
            examined.push_str(&format!(
                "; {} reads of nil were taken to say nothing (with --nil absent, to have found nothing)",
                self.silent
            ));
        }
        examined.push('.');
        let mut checks = Vec::new();
        let registers = self.registers || blank;
        if registers && log.promises.final_reads || self.lost.any() {
            checks.push(self.lost.finish());
        }
        if self.keys > 0 || blank || !self.order.is_clean() {
            checks.push(self.order.finish(&examined, Vec::new()));
        }
        let of_eventual = self.sessions.of_eventual_reads();
        if self.sessions.any() {
            checks.push(self.sessions.finish());
        }
        if self.eventual.any() || (blank && log.promises.final_reads) {
            checks.push(self.eventual.finish(log, &of_eventual));
        }
        if self.durable.any() {
            for reason in &self.everywhere {
                self.durable.findings().unknown(reason);
            }
            checks.push(self.durable.finish(log));
        }
        if self.counters.any() {
            for reason in &self.everywhere {
                self.counters.findings().unknown(reason);
            }
            checks.push(self.counters.finish());
        }
        if self.queues.any() {
            for reason in &self.everywhere {
                self.queues.findings().unknown(reason);
            }
            checks.push(self.queues.finish());
        }
        checks
    }
}

/// A pass over a key that ran out of its budget leaves its check open.
fn unfinished(done: Result<(), Exhausted>, findings: &mut Findings, key: u32, intake: &Intake<'_>) {
    if let Err(e) = done {
        let reason = format!("not judged to the end: {e}");
        findings.unknown_key(&reason, &say::key(intake.log, key));
    }
}
