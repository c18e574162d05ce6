//! Alarms as they stand in a report.

use gameday_record::{AlarmRule, Nanos, Selection, Verdict};
use serde::{Deserialize, Serialize};

/// Where an alarm comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmSource {
    /// `[[alarm]]` of the playbook.
    Playbook,
    /// The standard burn-rate alarms of an availability objective, with their
    /// real windows and time before the run taken as free of errors.
    Standard,
    /// The same with windows scaled to the run.
    Scaled,
}

/// Whether an alarm did what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmOutcome {
    /// It was expected and fired in time.
    Fired,
    /// It fired; nobody said whether it should.
    Told,
    /// It did not fire and nobody expected it to.
    Quiet,
    /// It was expected, or the formula says that it had to fire, and it did not.
    Missed,
    /// It fired, but later than the playbook lets it; or, if that says nothing, more than twice
    /// as late as the formula says, and for rules without a formula only after the fault had
    /// been reverted.
    Late,
    /// It fired although it was expected not to, or while nothing was injected.
    False,
    /// It could not be evaluated.
    Unknown,
}

/// One alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmRow {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub source: AlarmSource,
    /// `page` or `ticket` for burn-rate alarms; else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub severity: String,
    /// Of which operations.
    pub selection: Selection,
    /// When it fires.
    pub rule: AlarmRule,
    /// The rule in words, with windows and thresholds.
    pub rule_text: String,
    /// True if it ends the run.
    pub stop: bool,
    /// Whether it should fire, if the playbook says.
    pub expect: Option<bool>,
    /// How soon after a fault it may be known to fire at the latest, if the playbook says;
    /// milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
    /// When it fired, in order.
    pub firings: Vec<Firing>,
    /// For every injection: how soon, and how soon by the formula.
    pub after: Vec<AlarmAfter>,
    /// Whether it did what it should.
    pub outcome: AlarmOutcome,
    /// Its part of the overall verdict: fail if an expectation was not met.
    pub verdict: Verdict,
    /// Why, in one sentence about "it".
    pub why: String,
}

/// Once that an alarm fired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Firing {
    /// End of the second, by due times, that made it fire.
    pub at: Nanos,
    /// When that could be known: when that second and the last call due in its window had ended.
    /// In reports of older versions as `at`.
    #[serde(default)]
    pub known_at: Nanos,
    /// When the run's own watch told it, if it did.
    #[serde(default)]
    pub live_at: Option<Nanos>,
    /// End of the second, by due times, that cleared it; absent if it fired to the end.
    pub cleared: Option<Nanos>,
    /// Pair that made it fire (`a through b`); empty if all were taken together.
    pub who: String,
    /// What was seen, with the threshold.
    pub observed: String,
    /// Last injection whose act was carried out before it, and whose impact its windows reach.
    pub injection: Option<u32>,
    /// From that act until it could be known, milliseconds.
    pub after_ms: Option<u64>,
}

/// What an alarm did after one injection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmAfter {
    /// Injection.
    pub injection: u32,
    /// From the act until its (first) firing before the next injection could be known; zero if
    /// it fired already.
    pub fired_ms: Option<u64>,
    /// By `b (1 - SLO) long / e`, with the share of errors `e` of the long
    /// window or, if shorter, of the injection's impact; absent if the formula says that it
    /// does not fire, or for other rules than burn rates.
    pub formula_ms: Option<u64>,
}
