//! One history while it is judged, key by key.

mod models;

use crate::budget::{Budget, Exhausted};
use crate::counters::Counters;
use crate::durable::DurableSet;
use crate::eventual::EventualReads;
use crate::explain;
use crate::frontier::{self, Answer};
use crate::intake::{Intake, KeyOps, Object, takes_part};
use crate::log::{Log, Outcome};
use crate::lost::LostWrites;
use crate::register::{Action, Operations};
use crate::screens::screen;
use crate::sessions::Sessions;
use crate::tally::Tally;
use crate::violation::{Kind, Violation};
use crate::zones::{NotUnique, Undecided, Zones};
use crate::{say, sets};
use gameday_record::Model;
use gameday_record::verdict::Check;
use models::Models;

/// Collects over keys.
pub(crate) struct Judge {
    lost: LostWrites,
    order: Tally,
    sessions: Sessions,
    eventual: EventualReads,
    durable: DurableSet,
    counters: Counters,
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
    /// Of the strongly consistent operations.
    judged: u64,
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
            lost: LostWrites::new(Tally::new("lost-writes")),
            order: Tally::new("linearizability"),
            sessions: Sessions::new(Tally::new("session-guarantees")),
            eventual: EventualReads::new(Tally::new("eventual-reads"), missing),
            durable: DurableSet::new(Tally::new("durable-set"), missing),
            counters: Counters::new(Tally::new("counters"), !log.complete),
            registers: false,
            everywhere: Vec::new(),
            missing,
            unique: log.promises.unique_values,
            budget: budget.share(),
            passing: budget.share(),
            judged: 0,
            keys: 0,
            writes: 0,
            unknown_writes: 0,
            at: Vec::new(),
            zones: Zones::default(),
        }
    }

    /// A reason that leaves every check open.
    pub fn everywhere(&mut self, reason: &str) {
        self.lost.tally().unknown(reason);
        self.order.unknown(reason);
        self.sessions.tally().unknown(reason);
        self.eventual.tally().unknown(reason);
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
                unfinished(done, self.durable.tally(), key, intake);
                self.register(key, &ops, intake, &mut zones);
            }
            Object::Text => self.text(key, &ops, intake),
            Object::Counter => {
                let done = self.counters.key(key, intake, &mut self.passing);
                unfinished(done, self.counters.tally(), key, intake);
            }
            Object::Set => self.set(key, &ops, intake),
            Object::Mixed => {
                let reason =
                    "invalid history: used as more than one of register, counter, text and set";
                self.order.unknown_key(reason, &say::key(intake.log, key));
            }
        }
        self.zones = zones;
        self.at = at;
    }

    fn count(&mut self, ops: &KeyOps<'_>) {
        self.keys += 1;
        for at in ops.at {
            let e = ops.log.entry(*at);
            let unknown = e.outcome == Outcome::Unknown;
            let writes =
                !matches!(e.outcome, Outcome::Failed | Outcome::Refused) && !e.code.reads();
            self.judged += u64::from(!unknown);
            self.writes += u64::from(writes);
            self.unknown_writes += u64::from(writes && unknown);
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
                self.count(ops);
                self.repeated(key, ops, intake);
                let done = self.eventual.key(key, None, intake, &mut self.budget);
                unfinished(done, self.eventual.tally(), key, intake);
                if log.promises.final_reads {
                    let reason = "values are written more than once";
                    let name = say::key(log, key);
                    self.lost.tally().unknown_key(reason, &name);
                    self.sessions.tally().unknown_key(reason, &name);
                }
                return;
            }
        };
        self.count(ops);
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
        unfinished(done, self.lost.tally(), key, intake);
        let done = self.sessions.key(key, ops, &analysis, intake, budget);
        unfinished(done, self.sessions.tally(), key, intake);
        let done = self.eventual.key(key, Some(&analysis), intake, budget);
        unfinished(done, self.eventual.tally(), key, intake);
        if found.total == 0 && found.unexplained == 0 && analysis.ignored_bare_failures > 0 {
            self.search(key, ops, intake);
        }
    }

    fn leave_open(&mut self, reason: &str, key: u32, intake: &Intake<'_>) {
        let name = say::key(intake.log, key);
        self.lost.tally().unknown_key(reason, &name);
        self.order.unknown_key(reason, &name);
        self.sessions.tally().unknown_key(reason, &name);
        self.eventual.tally().unknown_key(reason, &name);
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
                Kind::FutureRead => Model::LinearizabilityAtLeast,
                _ => Model::ReadCommitted,
            };
            self.order
                .list(|| explain::explain(violation, violates, key, ops.at, intake));
        }
        self.order.count(found.total - found.kept.len() as u64);
        if found.total == 0 {
            self.search(key, ops, intake);
        }
    }

    fn gave_up(&mut self, reason: &str, key: u32, intake: &Intake<'_>) {
        self.order.unknown_key(reason, &say::key(intake.log, key));
    }

    fn set(&mut self, key: u32, ops: &KeyOps<'_>, intake: &Intake<'_>) {
        self.count(ops);
        let (order, durable) = (&mut self.order, &mut self.durable);
        let done = sets::judge(key, order, durable, intake, &mut self.passing);
        unfinished(done, &mut self.order, key, intake);
        unfinished(done, self.durable.tally(), key, intake);
        self.passing.release();
    }

    fn text(&mut self, key: u32, ops: &KeyOps<'_>, intake: &Intake<'_>) {
        self.count(ops);
        if self.missing.is_some() {
            let reason = "texts cannot be judged if writes may be missing";
            return self.gave_up(reason, key, intake);
        }
        let text = |id| intake.log.text_of(id);
        let answer = frontier::search_texts(ops, "", text, &mut self.passing);
        self.answer(answer, key, ops, intake);
    }

    /// Decides a key that zones cannot.
    fn search(&mut self, key: u32, ops: &KeyOps<'_>, intake: &Intake<'_>) {
        if self.missing.is_some() {
            let reason = "values repeat, or conditional writes failed without saying what they found, and writes may be missing";
            return self.gave_up(reason, key, intake);
        }
        let answer = frontier::search(ops, intake.log.initial, &mut self.passing);
        self.answer(answer, key, ops, intake);
    }

    fn answer(&mut self, answer: Answer, key: u32, ops: &KeyOps<'_>, intake: &Intake<'_>) {
        match answer {
            Answer::Linearizable => {}
            Answer::Illegal { at } => {
                let bare = matches!(ops.get(at).action, Action::FailedCas { found: None, .. });
                let violation = Violation {
                    kind: if bare {
                        Kind::FalseCasFailure
                    } else {
                        Kind::NotLinearizable
                    },
                    culprit: at,
                    against: None,
                    context: Vec::new(),
                };
                let violates = Model::LinearizabilityAtLeast;
                self.order
                    .list(|| explain::explain(&violation, violates, key, ops.at, intake));
            }
            Answer::Unknown { why, explained, at } => {
                let all = ops.len();
                let place = at.map_or_else(String::new, |at| {
                    let e = ops.entry(at);
                    let when = say::instant(intake.log, e.finish);
                    format!(", at operation {} [{when}]", e.index)
                });
                let reason = format!(
                    "the search for an order gave up after {explained} of {all} operations{place}: {why}"
                );
                self.gave_up(&reason, key, intake);
            }
        }
    }

    /// Lets go of the memory that served all keys.
    pub fn done(&mut self) {
        self.zones = Zones::default();
        self.at = Vec::new();
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
        self.registers |= other.registers;
        self.judged += other.judged;
        self.keys += other.keys;
        self.writes += other.writes;
        self.unknown_writes += other.unknown_writes;
    }

    /// The checks.
    pub fn finish(mut self, log: &Log) -> Vec<Check> {
        // Nothing was judged: what would have been there is not known.
        let blank = self.keys == 0 && !self.counters.any() && !self.durable.any();
        // A history of counters alone has nothing for this check, and needs nothing.
        if self.judged == 0 && (self.keys > 0 || blank) {
            let reason = "no strongly consistent operation has a known outcome";
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
                self.durable.tally().unknown(reason);
            }
            checks.push(self.durable.finish(log));
        }
        if self.counters.any() {
            for reason in &self.everywhere {
                self.counters.tally().unknown(reason);
            }
            checks.push(self.counters.finish());
        }
        checks
    }
}

/// A pass over a key that ran out of its budget leaves its check open.
fn unfinished(done: Result<(), Exhausted>, tally: &mut Tally, key: u32, intake: &Intake<'_>) {
    if let Err(e) = done {
        let reason = format!("not judged to the end: {e}");
        tally.unknown_key(&reason, &say::key(intake.log, key));
    }
}
