//! The checks of a history: from a log to verdicts.

use crate::budget::Budget;
use crate::counters::Counters;
use crate::durable::DurableSet;
use crate::eventual::EventualReads;
use crate::explain;
use crate::frontier::{self, Answer};
use crate::intake::{Intake, KeyOps, Object, Refused, takes_part};
use crate::log::{Log, Outcome};
use crate::lost::LostWrites;
use crate::register::{Action, Operations};
use crate::screens::screen;
use crate::sessions::Sessions;
use crate::tally::Tally;
use crate::violation::{Kind, Violation};
use crate::zones::{Analysis, NotUnique, Undecided, Zones};
use crate::{parallel, say, sets};
use gameday_record::Model;
use gameday_record::history::History;
use gameday_record::verdict::Check;
use std::time::Duration;

/// How much the checks may cost.
///
/// Keys with unique values are decided in O(n log n). The others, texts, and
/// keys with conditional writes that failed without reporting what they found
/// need a search, which may take any amount of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Time for everything together. A verdict comes at most 100 ms later.
    pub time: Duration,
    /// Memory beside that of the log, for all threads together, in bytes, about.
    pub bytes: usize,
    /// Threads; 0: as many as the machine runs at once. The answer does not
    /// depend on it, unless the time runs out.
    pub threads: usize,
}

impl Default for Options {
    /// Ten seconds, 1 GiB, all processors.
    fn default() -> Self {
        Options {
            time: Duration::from_secs(10),
            bytes: 1 << 30,
            threads: 0,
        }
    }
}

/// Judges a history. Which checks there are depends on what it holds:
///
/// | check | of | says |
/// | --- | --- | --- |
/// | `lost-writes` | registers, if final reads are promised or there | is every acknowledged write still there? |
/// | `linearizability` | registers, texts, sets: strongly consistent operations | is there one order that explains them? |
/// | `session-guarantees` | registers with unique values: strongly consistent operations | did every client see its own writes and never go back? |
/// | `eventual-reads` | registers, if there are such reads | was anything invented, and how old was it? |
/// | `durable-set` | inserted keys, and sets | is every element there, and how soon? |
/// | `counters` | keys that were added to | can every sum be? |
///
/// A verdict of pass means that the whole recording was judged and nothing is
/// wrong. Whatever could not be judged makes it unknown, with the reason; a
/// fail stands whatever else is unknown. A recording without its end marker
/// never passes, and a history that breaks the preconditions (one open call
/// for each process, times in order, values unique if that was promised) is
/// never a fail.
///
/// ```
/// use gameday_checker::log::Log;
/// use gameday_checker::{Options, check, generate};
/// use gameday_record::Verdict;
/// let history = generate::history(&generate::Options::default());
/// let log = Log::of(&history)?;
/// let checks = check(&log, &Options::default());
/// let names: Vec<&str> = checks.iter().map(|c| c.name.as_str()).collect();
/// let all = ["lost-writes", "linearizability", "session-guarantees", "eventual-reads"];
/// assert_eq!(names, all);
/// assert!(checks.iter().all(|c| c.verdict == Verdict::Pass));
/// # Ok::<(), gameday_checker::log::Full>(())
/// ```
pub fn check(log: &Log, options: &Options) -> Vec<Check> {
    let mut budget = Budget::unlimited().time(options.time).bytes(options.bytes);
    let mut judge = Judge::new(log, budget.share());
    match Intake::new(log, &mut budget) {
        Ok(intake) => {
            for part in parallel::over_keys(&intake, &budget, options.threads) {
                judge.merge(part);
            }
        }
        Err(Refused::Invalid(why)) => judge.everywhere(&format!("invalid history: {why}")),
        Err(Refused::Exhausted(why)) => {
            judge.everywhere(&format!("the history was not even sorted: {why}"));
        }
    }
    if !log.complete {
        judge.everywhere("the recording was cut off: it has no end marker");
    }
    if log.is_empty() {
        judge.everywhere("the history is empty");
    }
    judge.finish(log)
}

/// Judges a recorded history in memory: [`check`] of [`Log::of`].
pub fn check_history(history: &History, options: &Options) -> Vec<Check> {
    match Log::of(history) {
        Ok(log) => check(&log, options),
        Err(full) => {
            let mut judge = Judge::new(&Log::of_canaries(), Budget::unlimited());
            judge.everywhere(&full.to_string());
            judge.finish(&Log::of_canaries())
        }
    }
}

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
    cut_off: bool,
    unique: bool,
    budget: Budget,
    /// Of the strongly consistent operations.
    judged: u64,
    keys: u64,
    writes: u64,
    unknown_writes: u64,
    at: Vec<u32>,
    zones: Zones,
}

impl Judge {
    pub fn new(log: &Log, budget: Budget) -> Self {
        let cut_off = !log.complete;
        Judge {
            lost: LostWrites::new(Tally::new("lost-writes")),
            order: Tally::new("linearizability"),
            sessions: Sessions::new(Tally::new("session-guarantees")),
            eventual: EventualReads::new(Tally::new("eventual-reads"), cut_off),
            durable: DurableSet::new(Tally::new("durable-set"), cut_off),
            counters: Counters::new(Tally::new("counters"), cut_off),
            registers: false,
            everywhere: Vec::new(),
            cut_off,
            unique: log.promises.unique_values,
            budget,
            judged: 0,
            keys: 0,
            writes: 0,
            unknown_writes: 0,
            at: Vec::new(),
            zones: Zones::default(),
        }
    }

    fn everywhere(&mut self, reason: &str) {
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
                self.durable.key(key, intake);
                self.register(key, &ops, intake, &mut zones);
            }
            Object::Text => self.text(key, &ops, intake),
            Object::Counter => self.counters.key(key, intake),
            Object::Set => self.set(key, &ops, intake),
            Object::Mixed => {
                let reason =
                    "invalid history: used as more than one of register, counter, text and set";
                self.order.unknown_key(reason, &say::key(intake.log, key));
            }
        }
        self.zones = zones;
        self.at = at;
        self.budget.release();
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
        let analysis = match zones.analyse(ops, log.initial, self.cut_off, &mut self.budget) {
            Ok(analysis) => analysis,
            Err(Undecided::Exhausted(e)) => {
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
                self.eventual.key(key, None, intake);
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
        if found.unexplained > 0 {
            let reason =
                "a read found a value whose write may be missing from the cut-off recording";
            self.order.unknown_key(reason, &say::key(log, key));
        }
        self.lost.key(key, &analysis, ops, intake);
        self.sessions.key(key, ops, &analysis, intake);
        self.sessions.finals(key, ops, &analysis, intake);
        self.eventual.key(key, Some(&analysis), intake);
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
        let found = match screen(ops, intake.log.initial, self.cut_off, &mut self.budget) {
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
        if self.budget.look().is_err() {
            let reason = "not judged: the time was over";
            let name = say::key(intake.log, key);
            self.durable.tally().unknown_key(reason, &name);
            return self.gave_up(reason, key, intake);
        }
        sets::judge(key, &mut self.order, &mut self.durable, intake);
    }

    fn text(&mut self, key: u32, ops: &KeyOps<'_>, intake: &Intake<'_>) {
        self.count(ops);
        if self.cut_off {
            let reason = "texts cannot be judged if writes may be missing";
            return self.gave_up(reason, key, intake);
        }
        let text = |id| intake.log.text_of(id);
        let answer = frontier::search_texts(ops, "", text, &mut self.budget);
        self.answer(answer, key, ops, intake);
    }

    /// Decides a key that zones cannot.
    fn search(&mut self, key: u32, ops: &KeyOps<'_>, intake: &Intake<'_>) {
        if self.cut_off {
            let reason = "values repeat, or conditional writes failed without saying what they found, and writes may be missing";
            return self.gave_up(reason, key, intake);
        }
        let answer = frontier::search(ops, intake.log.initial, &mut self.budget);
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

    fn finish(mut self, log: &Log) -> Vec<Check> {
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

/// Which consistency model a violation of one key breaks: the weakest that can
/// be named.
struct Models<'a> {
    analysis: &'a Analysis<'a>,
    /// Whether sequential consistency still holds; worked out when asked.
    coherent: Option<bool>,
}

impl<'a> Models<'a> {
    fn new(analysis: &'a Analysis<'a>) -> Self {
        Models {
            analysis,
            coherent: None,
        }
    }

    fn violated(&mut self, v: &Violation, ops: &KeyOps<'_>) -> Model {
        match v.kind {
            Kind::DirtyRead | Kind::PhantomRead => return Model::ReadCommitted,
            Kind::CyclicInformationFlow | Kind::FalseCasFailure => {
                return Model::SequentialConsistency;
            }
            _ => {}
        }
        let culprit = ops.entry(v.culprit);
        if let Some(against) = v.against.map(|a| ops.entry(a))
            && against.process == culprit.process
            && culprit.found().is_some()
        {
            return match against.writes() {
                Some(_) => Model::ReadYourWrites,
                None => Model::MonotonicReads,
            };
        }
        let process = |i: u32| ops.entry(i).process;
        let alone = |k: &Kind| !matches!(k, Kind::StaleRead | Kind::NonMonotonicRead);
        let kept = &self.analysis.violations.kept;
        let others = kept.iter().any(|v| alone(&v.kind));
        let coherent = *self
            .coherent
            .get_or_insert_with(|| self.analysis.coherent(ops, process));
        match (coherent, others) {
            (false, _) => Model::SequentialConsistency,
            (true, false) => Model::Linearizability,
            (true, true) => Model::LinearizabilityAtLeast,
        }
    }
}
