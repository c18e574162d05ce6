//! Availability in the terms that operators use, as it stands in a report.

use super::Availability;
use crate::fold::{Counts, Kind};
use gameday_record::{Nanos, Scope};
use serde::{Deserialize, Serialize};

/// By what a row of the breakdown is told from its sisters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SliGroup {
    /// All operations of a kind.
    Overall,
    /// Those on one table.
    Table,
    /// Those of the canary of one AZ.
    Az,
    /// Those through the endpoint of one AZ.
    Endpoint,
    /// Those over connections that were kept, or opened for one call.
    Connection,
}

/// Four availabilities of the same operations. They differ by definition and
/// are never merged; kinds are not merged either.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliRow {
    /// By what it is grouped.
    pub group: SliGroup,
    /// Table, AZ or endpoint; `kept` or `fresh`; empty for all.
    pub name: String,
    /// What was asked.
    pub kind: Kind,
    /// Share of first attempts that were answered: the SLI.
    pub first_attempts: Availability,
    /// Share of requests that were answered by any of their attempts. Equal to
    /// the one above where nothing is retried.
    pub requests: Availability,
    /// Mean over slices of time, of first attempts.
    pub sliced: Sliced,
    /// Share of the time in which pairs were up. Absent for tables and
    /// connections: a pair is not up or down for one of them alone.
    #[serde(default)]
    pub uptime: Option<Uptime>,
    /// What the first attempts prove.
    pub proven: Proven,
    /// The same of the pairs that no fault touched; of all of them where none was.
    #[serde(default)]
    pub proven_untouched: Proven,
}

/// Mean of the answered shares of equal slices of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sliced {
    /// Length of a slice, milliseconds.
    pub slice_ms: u64,
    /// Slices with at least one operation: the ones that count.
    pub with_data: u64,
    /// Slices in the measured time without any.
    pub without_data: u64,
    /// The mean, 0 to 1; absent without data.
    pub mean: Option<f64>,
    /// The mean, floored, or `no data`.
    pub text: String,
}

/// Time in which pairs were up, after Google's user-uptime.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Uptime {
    /// `up / (up + down)`; absent if both are zero.
    pub share: Option<f64>,
    /// Milliseconds that pairs were up, added over pairs.
    pub up_ms: u64,
    /// … down.
    pub down_ms: u64,
    /// … neither, because they asked nothing for longer than the cutoff.
    pub inactive_ms: u64,
    /// The cutoff, milliseconds.
    pub cutoff_ms: u64,
    /// The share, floored, or `no data`.
    pub text: String,
}

/// What a sample proves about availability, by outages over time ([`crate::proof`]).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Proven {
    /// Operations.
    pub n: u64,
    /// … that were not answered.
    pub missed: u64,
    /// Stretches of time in which they were missed, each one event.
    #[serde(default)]
    pub events: u64,
    /// Seconds with data.
    #[serde(default)]
    pub seconds: u64,
    /// Lower bound with 95 % confidence, one-sided, 0 to 1.
    pub low: Option<f64>,
    /// Whole nines that the lower bound reaches, floored.
    pub nines: u32,
    /// For people, in one sentence.
    pub text: String,
}

/// The worst window of every length, of one kind over all pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct McrCurve {
    /// What was asked.
    pub kind: Kind,
    /// By length, shortest first; the last is the whole measured time.
    pub points: Vec<McrPoint>,
    /// Shortest of these windows, in seconds, whose double misses at most three
    /// quarters of its share: about the length of the dominant outage. Absent
    /// if nothing was missed or no window is longer than the outage.
    pub knee_s: Option<u64>,
}

/// The worst window of one length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct McrPoint {
    /// Length, seconds.
    pub window_s: u64,
    /// Least share answered in any such window that has data, 0 to 1.
    pub availability: f64,
    /// Where that window begins (the first, if several are as bad).
    pub from: Nanos,
    /// First attempts due in it.
    pub attempts: u64,
    /// … that were not answered.
    pub missed: u64,
}

impl McrPoint {
    /// The share answered, floored to the digits that its operations support.
    pub fn text(&self) -> String {
        let counts = Counts {
            answered: self.attempts.saturating_sub(self.missed),
            failed: self.missed,
            ..Counts::default()
        };
        crate::numbers::availability(counts, None)
    }
}

/// How many incidents like those of this run a month survives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// Injection, or `None` for the run as a whole.
    pub injection: Option<u32>,
    /// What was asked.
    pub kind: Kind,
    /// Through which pairs.
    #[serde(default)]
    pub scope: Scope,
    /// `Σ (1 - A_k)` over five-minute intervals.
    pub cost: f64,
    /// Promised availability, 0 to 1.
    pub slo: f64,
    /// Incidents of that cost in 30 days that use the budget up, floored to
    /// one decimal; absent if it cost nothing.
    pub per_month: Option<f64>,
}
