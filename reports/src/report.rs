//! `report.json`: everything a report says, as data. Renderers read this and
//! nothing else, so no two of them can disagree.

mod alarm;
mod availability;
mod impact;

pub use alarm::{AlarmAfter, AlarmOutcome, AlarmRow, AlarmSource, Firing};
pub use availability::{McrCurve, McrPoint, Projection, Proven, SliGroup, SliRow, Sliced, Uptime};
pub use impact::{Alarmed, Impact, KindImpact, PairImpact, PairOutage, Timing};

use crate::fold::{Counts, Kind};
use gameday_record::{
    Check, Injection, Nanos, Proof, Resolution, Scope, Selection, Target, Topology, Verdict,
    Versions, WorkloadSpec,
};
use serde::{Deserialize, Serialize};

/// Version of the format that this crate writes.
pub const REPORT_VERSION: u32 = 3;

/// One run's report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Format version.
    pub version: u32,
    /// What was run.
    pub run: RunSummary,
    /// The verdict and why.
    pub overall: Overall,
    /// The numbers that matter.
    pub headline: Headline,
    /// What was promised and what was seen.
    pub slo: Vec<SloRow>,
    /// Alarms: those of the playbook, then the standard ones.
    #[serde(default)]
    pub alarms: Vec<AlarmRow>,
    /// Availabilities per kind: overall, by table, AZ, endpoint and connection.
    /// Groups with a single member are left out.
    #[serde(default)]
    pub sli: Vec<SliRow>,
    /// Worst windows, a curve per kind.
    #[serde(default)]
    pub mcr: Vec<McrCurve>,
    /// How many such runs and injections a month survives.
    #[serde(default)]
    pub projections: Vec<Projection>,
    /// When canaries measured.
    pub measured: Measured,
    /// Availability of every AZ × endpoint × kind.
    pub cells: Vec<CellRow>,
    /// The run second by second.
    pub series: Series,
    /// What was injected and what it cost.
    pub injections: Vec<InjectionReport>,
    /// Whether every node reached every other after the last revert; absent if nothing was
    /// injected, and in reports of older versions.
    #[serde(default)]
    pub reachability: Option<ProofAt>,
    /// What the cluster did by itself, at most 500 events.
    pub cluster_events: Vec<ClusterEvent>,
    /// Remarks of the runner.
    pub notes: Vec<NoteRow>,
    /// Latency per kind and segment.
    pub latency: Vec<LatencyRow>,
    /// Errors by kind and class.
    pub errors: Vec<ErrorRow>,
    /// The data verdict.
    pub data: DataReport,
    /// Whether the canaries can be trusted.
    pub trust: Trust,
    /// What this run does not show, one sentence each.
    pub limits: Vec<String>,
    /// What the words and numbers of the report mean.
    #[serde(default)]
    pub definitions: Vec<Definition>,
}

impl Report {
    /// True if faults were injected: only then are pairs told apart by whether
    /// one touched them.
    pub fn faulted(&self) -> bool {
        !self.injections.is_empty()
    }

    /// True if this is no game day but a canary that measured by itself.
    pub fn canary_alone(&self) -> bool {
        self.run.topology.nodes.is_empty() && self.run.plan.is_empty() && !self.faulted()
    }
}

/// What a word of the report means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The word.
    pub term: String,
    /// Its meaning, with the formula and its source where there is one.
    pub text: String,
}

/// What was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Run id.
    pub id: String,
    /// Playbook's file stem.
    pub playbook: String,
    /// Playbook's title.
    pub title: String,
    /// Playbook's text.
    pub playbook_text: String,
    /// Seed.
    pub seed: u64,
    /// Runtime.
    pub runtime: String,
    /// UTC time of the epoch, RFC 3339.
    pub started_utc: String,
    /// From the epoch to the last thing recorded.
    pub duration: Nanos,
    /// Nodes and AZs.
    pub topology: Topology,
    /// Versions of everything that took part.
    pub versions: Versions,
    /// Cargo features beyond the default.
    pub features: Vec<String>,
    /// Command that runs it again.
    pub command: String,
    /// The planned steps.
    pub plan: Vec<String>,
    /// Timeout of a call, milliseconds.
    pub timeout_ms: u64,
    /// What the canaries did; absent in reports of version 1.
    #[serde(default)]
    pub workload: Option<WorkloadSpec>,
}

/// How a run came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Everything held and everything was measured.
    Pass,
    /// An SLO was missed or the data are wrong.
    Fail,
    /// It cannot be said.
    Inconclusive,
    /// A stop condition, or somebody who asked for it, ended it.
    Stopped,
    /// Something could not be reverted.
    NotClean,
    /// A signal ended it.
    Interrupted,
}

impl Ending {
    /// `PASS`, `FAIL` …
    pub fn word(self) -> &'static str {
        match self {
            Ending::Pass => "PASS",
            Ending::Fail => "FAIL",
            Ending::Inconclusive => "INCONCLUSIVE",
            Ending::Stopped => "STOPPED",
            Ending::NotClean => "NOT CLEAN",
            Ending::Interrupted => "INTERRUPTED",
        }
    }

    /// The exit code of a command that reports it. A runner that was
    /// interrupted itself answers 130 or 143 instead; somebody who renders
    /// its report later gets 2.
    pub fn exit_code(self) -> u8 {
        match self {
            Ending::Pass => 0,
            Ending::Fail => 1,
            Ending::Inconclusive | Ending::Interrupted => 2,
            Ending::Stopped => 3,
            Ending::NotClean => 4,
        }
    }
}

/// The verdict and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overall {
    /// Pass, fail or unknown.
    pub verdict: Verdict,
    /// How the run came out.
    pub ending: Ending,
    /// See [`Ending::exit_code`].
    pub exit_code: u8,
    /// One sentence.
    pub sentence: String,
    /// Why it is not a pass, the gravest first; empty if it is one.
    pub reasons: Vec<String>,
}

/// One availability: as text for people, and the counts behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Availability {
    /// Over all pairs.
    pub all: Counts,
    /// Over the pairs whose canary and endpoint stand in AZs that no fault touched.
    pub untouched: Counts,
    /// `99.91 %`, floored.
    pub text: String,
    /// The same over the untouched pairs; `no data` if there are none.
    pub untouched_text: String,
    /// The same over the others, that a fault hurt on purpose.
    #[serde(default)]
    pub hurt_text: String,
    /// What it should be at least, 0 to 1.
    pub limit: Option<f64>,
    /// Of which pairs that was promised.
    #[serde(default)]
    pub limit_scope: Scope,
}

impl Availability {
    /// Over these operations; nothing is promised.
    pub fn new(all: Counts, untouched: Counts) -> Self {
        Availability::promised(all, untouched, None, Scope::All)
    }

    /// Over these operations, of which so much was promised.
    pub fn promised(all: Counts, untouched: Counts, limit: Option<f64>, scope: Scope) -> Self {
        let mut hurt = all;
        hurt -= untouched;
        let text = |c| crate::numbers::availability(c, limit);
        Availability {
            text: text(all),
            untouched_text: text(untouched),
            hurt_text: text(hurt),
            all,
            untouched,
            limit,
            limit_scope: scope,
        }
    }
}

/// The numbers that matter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Headline {
    /// Of writes.
    pub write: Availability,
    /// Of strongly consistent reads.
    pub read: Availability,
    /// Of eventually consistent reads.
    pub eventual: Availability,
    /// Longest recovery after the completion of a proven revert, over the injections; absent if
    /// there was none or one of them cannot be said.
    pub worst_recovery_ms: Option<u64>,
    /// What the worst recovery is of, or why there is none.
    pub worst_recovery_note: String,
    /// Longest time from an act until the pairs that no fault touched were
    /// well: what users elsewhere felt. Absent as above.
    #[serde(default)]
    pub worst_failover_ms: Option<u64>,
    /// What it is of, or why there is none.
    #[serde(default)]
    pub worst_failover_note: String,
    /// Longest time from an act until every pair was well, the fault's hold
    /// included. Absent as above.
    #[serde(default)]
    pub worst_total_ms: Option<u64>,
    /// What it is of, or why there is none.
    #[serde(default)]
    pub worst_total_note: String,
    /// Fewest whole nines that the kinds of operations prove through the pairs that no fault
    /// touched; absent if these have no data.
    #[serde(default)]
    pub nines_proven: Option<u32>,
    /// Longest time between two completions of acknowledged writes through any endpoint, the edges
    /// of the measurement included.
    pub write_gap: Option<Gap>,
    /// Longest stretch, by due times, of writes through any endpoint of which none was answered.
    #[serde(default)]
    pub doomed_writes: Option<Gap>,
    /// Data verdict.
    pub data: Verdict,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// When it began.
    pub from: Nanos,
    /// When it ended.
    pub to: Nanos,
}

impl Gap {
    /// Its length, milliseconds, rounded up.
    pub fn ms(&self) -> u64 {
        crate::numbers::up_to_millis(self.to.0.saturating_sub(self.from.0))
    }
}

/// One objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SloRow {
    /// Machine-readable name, as in the playbook.
    pub name: String,
    /// For people.
    pub objective: String,
    /// What was seen.
    pub observed: String,
    /// What must hold.
    pub limit: String,
    /// Pass, fail, or unknown with the reason in `observed`.
    pub verdict: Verdict,
    /// Which operations it is about; its scope is the one that was judged.
    #[serde(default)]
    pub selection: Selection,
    /// What must hold, as data; absent in reports of version 1.
    #[serde(default)]
    pub target: Option<Target>,
    /// What was seen over all pairs.
    #[serde(default)]
    pub all_text: String,
    /// What was seen over the pairs that no fault touched.
    #[serde(default)]
    pub untouched_text: String,
    /// How far from the limit, with its sign; empty if it cannot be said.
    #[serde(default)]
    pub margin: String,
    /// Share of the error budget that was used (1 is all of it); absent for
    /// objectives that have none.
    #[serde(default)]
    pub budget_used: Option<f64>,
    /// What the sample behind it proves; absent for objectives that are not shares of operations.
    #[serde(default)]
    pub proven: Option<Proven>,
    /// Why a limit that was exceeded is not called a failure; else empty.
    #[serde(default)]
    pub doubt: String,
}

/// When canaries measured: baseline, steps and cooldown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Begin of the baseline (or the first operation).
    pub from: Nanos,
    /// End of the cooldown (or the last operation).
    pub to: Nanos,
    /// First attempts due in it.
    pub operations: u64,
    /// Retries due in it: they decide only whether a request was answered.
    #[serde(default)]
    pub retries: u64,
    /// Operations due outside it (start-up), not counted in any number.
    pub outside: u64,
    /// Final reads after recovery, not counted in any availability.
    pub final_reads: u64,
}

/// One AZ × endpoint × kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellRow {
    /// AZ of the canary.
    pub az: String,
    /// AZ of the endpoint.
    pub endpoint: String,
    /// What was asked.
    pub kind: Kind,
    /// What came of it.
    pub counts: Counts,
    /// Availability, floored.
    pub text: String,
    /// Median latency of what was answered, microseconds; absent without any.
    #[serde(default)]
    pub p50_us: Option<u64>,
    /// 99th percentile.
    #[serde(default)]
    pub p99_us: Option<u64>,
    /// True if a fault's targets stand in one of the two AZs.
    pub touched: bool,
    /// Stretches of seconds (`from..to`, of the run) in which something was not answered.
    pub missed: Vec<(u64, u64)>,
}

/// The run in equal steps of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// First second of the first step.
    pub start: u64,
    /// Seconds per step: 1 up to twenty minutes, then more.
    pub step: u64,
    /// One per step.
    pub points: Vec<Point>,
    /// Phases of the run.
    pub phases: Vec<PhaseMark>,
}

/// One step of the series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Writes.
    pub write: Counts,
    /// Strongly consistent reads.
    pub read: Counts,
    /// Eventually consistent reads.
    pub eventual: Counts,
    /// Latency of the writes that were answered; absent without any.
    #[serde(default)]
    pub write_latency: Option<Quantiles>,
    /// … of the strongly consistent reads.
    #[serde(default)]
    pub read_latency: Option<Quantiles>,
    /// … of the eventually consistent reads.
    #[serde(default)]
    pub eventual_latency: Option<Quantiles>,
}

/// Latency of one kind of operation in one step, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
}

/// A phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseMark {
    /// Its name.
    pub name: String,
    /// When it began.
    pub at: Nanos,
    /// Share of it in which some task of the runner's machine waited for a processor, 0 to 1;
    /// none where it was not counted, or the phase had no end.
    #[serde(default)]
    pub waiting: Option<f64>,
}

/// A proof and when it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofAt {
    /// When.
    pub at: Nanos,
    /// What it showed.
    pub proof: Proof,
}

/// One injection from intent to recovery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InjectionReport {
    /// What was planned and what it resolved to.
    pub injection: Injection,
    /// When its intent was on disk.
    pub intent: Nanos,
    /// When the act was carried out.
    pub injected: Option<Nanos>,
    /// Last proof that it took effect.
    pub proof_injected: Option<ProofAt>,
    /// Last proof that it was still in force at the end of its hold.
    pub proof_held: Option<ProofAt>,
    /// Gaps in it, in the order in which they were put back or given up.
    #[serde(default)]
    pub gaps: Vec<FaultGap>,
    /// When the revert began.
    pub reverting: Option<Nanos>,
    /// When the revert was carried out.
    pub reverted: Option<Nanos>,
    /// Last proof that it is gone.
    pub proof_reverted: Option<ProofAt>,
    /// Why the revert failed, if it did and no later one succeeded.
    pub revert_error: Option<String>,
    /// What it cost; absent if it was never carried out.
    pub impact: Option<Impact>,
}

/// A stretch in which a fault was not known to be in force on some links, because what held it
/// there was started anew, not by the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultGap {
    /// Whose links.
    pub units: Vec<String>,
    /// When it was last known to be in force there.
    pub from: Nanos,
    /// What happened and what was done about it.
    pub text: String,
    /// The next proof that it is in force; absent if it was reverted before.
    pub proof: Option<ProofAt>,
}

impl FaultGap {
    /// When it was proven to be in force again, if it was.
    pub fn to(&self) -> Option<Nanos> {
        let proof = self.proof.as_ref();
        proof
            .filter(|p| p.proof.verdict == Verdict::Pass)
            .map(|p| p.at)
    }

    /// Whose links, in words.
    pub fn whose(&self) -> String {
        const NAMED: usize = 4;
        match &self.units[..] {
            few if few.len() <= NAMED => few.join(", "),
            all => format!("{} and {} more", all[..NAMED].join(", "), all.len() - NAMED),
        }
    }

    /// How long it was, in words.
    pub fn length(&self) -> String {
        match self.to() {
            Some(to) => {
                let ms = crate::numbers::up_to_millis(to.0.saturating_sub(self.from.0));
                format!("for up to {}", crate::numbers::millis(ms))
            }
            None => "and was not proven to be again".into(),
        }
    }
}

/// Something the cluster did by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterEvent {
    /// When.
    pub at: Nanos,
    /// Node it concerns.
    pub node: String,
    /// Kind, for example `leader`.
    pub kind: String,
    /// For people.
    pub detail: String,
}

/// A remark of the runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteRow {
    /// When.
    pub at: Nanos,
    /// For people.
    pub text: String,
}

/// Latency from the due time, of answered operations, in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyRow {
    /// Which kind.
    pub kind: Kind,
    /// `baseline`, `during faults` or `after and between`.
    pub segment: String,
    /// Answered operations.
    pub answered: u64,
    /// Operations not answered.
    pub missed: u64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile; absent below 1 000 operations.
    pub p999_us: Option<u64>,
    /// Slowest.
    pub max_us: u64,
    /// 99th percentile with unanswered operations as infinitely slow; absent
    /// if it falls among them.
    pub p99_all_us: Option<u64>,
}

/// One class of errors of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorRow {
    /// Which kind.
    pub kind: Kind,
    /// Class, as in the history.
    pub class: String,
    /// `failed`, `unknown` or `unsent`.
    pub outcome: String,
    /// How many.
    pub count: u64,
    /// Due time of the first.
    pub first: Nanos,
    /// Due time of the last.
    pub last: Nanos,
    /// Text of the first, shortened.
    pub example: String,
}

/// The data verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataReport {
    /// All checks together.
    pub verdict: Verdict,
    /// Why it is unknown, if no check says so.
    pub why: String,
    /// Each check.
    pub checks: Vec<Check>,
    /// What became of writes of unknown outcome; absent if nobody looked.
    #[serde(default)]
    pub resolution: Option<Resolution>,
}

/// Whether the canaries can be trusted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trust {
    /// Operations per second that all pairs together should have made.
    pub asked_rate: f64,
    /// Operations per second that were sent.
    pub sent_rate: f64,
    /// Share of due operations that were not sent, 0 to 1.
    pub unsent_share: f64,
    /// Pairs that should be measured.
    pub pairs: u64,
    /// The pair that sent least, and its share of what it should have sent.
    pub slowest_pair: Option<(String, f64)>,
    /// How late operations were sent: 99th percentile, microseconds.
    pub lag_p99_us: Option<u64>,
    /// Latest.
    pub lag_max_us: Option<u64>,
    /// Send lag of every canary.
    #[serde(default)]
    pub canaries: Vec<CanaryLag>,
    /// Seconds in which any canary was suspect.
    #[serde(default)]
    pub suspect_seconds: u64,
    /// True if the history has its end marker.
    pub history_complete: bool,
    /// Steps of the series in which no canary had an operation.
    pub empty_steps: u64,
    /// What makes the measurement doubtful without invalidating it.
    pub remarks: Vec<String>,
}

/// How late one canary sent (`invoked - due`), in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryLag {
    /// Its AZ.
    pub az: String,
    /// Operations that were sent; first attempts only, retries have no due time of their own.
    pub sent: u64,
    /// Operations that were not.
    pub unsent: u64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// Latest.
    pub max_us: u64,
    /// Stretches of seconds (`from..to`, of the run) in which its 99th percentile was above 5 ms or one
    /// operation above 50 ms late: latencies there are partly the canary's own.
    pub suspect: Vec<(u64, u64)>,
}
