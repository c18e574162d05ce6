//! The sections about the experiment as a whole: its head, its cluster, its phases.

use super::fields::{Fields, Mistakes};
use super::selector;
use super::values::{self, MAX_DURATION};
use gameday_record::ClusterSpec;
use std::ops::Range;
use std::time::Duration;
use toml::de::DeTable;

/// `[playbook]`.
pub(super) struct Head {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) seed: Option<u64>,
    pub(super) allow_quorum_loss: bool,
    pub(super) allow_data_loss: bool,
}

pub(super) fn head(t: &DeTable<'_>, span: Range<usize>, m: &mut Mistakes<'_>) -> Option<Head> {
    let known = [
        "title",
        "description",
        "seed",
        "allow_quorum_loss",
        "allow_data_loss",
    ];
    let f = Fields::new(t, span, "[playbook]", &known, m);
    if f.get("title").is_none() {
        m.missing(
            f.span.clone(),
            "[playbook] has no title",
            "title = \"what this playbook shows\"",
        );
    }
    let description = f.text("description", 2000, m).unwrap_or_default();
    let seed = f.whole("seed", 0..=u64::MAX, m);
    let allow_quorum_loss = f.flag("allow_quorum_loss", m).unwrap_or(false);
    let allow_data_loss = f.flag("allow_data_loss", m).unwrap_or(false);
    Some(Head {
        title: f.text("title", 120, m)?.replace('\n', " "),
        description,
        seed,
        allow_quorum_loss,
        allow_data_loss,
    })
}

/// `[cluster]`.
pub(super) fn cluster(t: &DeTable<'_>, span: Range<usize>, m: &mut Mistakes<'_>) -> ClusterSpec {
    let known = [
        "azs",
        "storage_nodes_per_az",
        "partitions",
        "subnet",
        "racks_per_az",
        "labels",
    ];
    let f = Fields::new(t, span, "[cluster]", &known, m);
    let mut spec = ClusterSpec::default();
    if let Some(azs) = f.whole("azs", 0..=u64::MAX, m)
        && azs != 3
    {
        m.wrong(
            f.get("azs").map_or(f.span.clone(), |v| v.span()),
            "so far a cluster has 3 AZs, with one replica of every partition in each",
        );
    }
    // The ranges fit the types: both are far below u32::MAX.
    if let Some(n) = f.whole("storage_nodes_per_az", 1..=8, m) {
        spec.storage_nodes_per_az = n as u32;
    }
    if let Some(n) = f.whole("partitions", 1..=64, m) {
        spec.partitions = n as u32;
    }
    if let Some(n) = f.whole("racks_per_az", 1..=8, m) {
        spec.racks_per_az = n as u32;
    }
    if let Some(labels) = f.get("labels") {
        spec.labels = selector::labels(labels, m);
    }
    if let Some(subnet) = f.text("subnet", 40, m) {
        match values::subnet(&subnet) {
            Ok(()) => spec.subnet = subnet,
            Err(e) => m.wrong(f.get("subnet").map_or(f.span.clone(), |v| v.span()), e),
        }
    }
    spec
}

/// Least length of a baseline: whole seconds are judged.
const LEAST_BASELINE: Duration = Duration::from_secs(2);
/// Length of the cooldown where a playbook does not say.
pub(super) const COOLDOWN: Duration = Duration::from_secs(15);

/// How the healthy cluster is measured before any fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// For how long it must be healthy.
    pub lasts: Duration,
    /// How long that may take to come, at least `lasts`: a cluster that has just started, or a
    /// machine that is busy for a moment, is measured again until then.
    pub within: Duration,
}

impl Default for Baseline {
    fn default() -> Self {
        Baseline {
            lasts: Duration::from_secs(10),
            within: Duration::from_secs(60),
        }
    }
}

/// `[baseline]`: how long, and how long a healthy one may take to come.
pub(super) fn baseline(t: &DeTable<'_>, span: Range<usize>, m: &mut Mistakes<'_>) -> Baseline {
    let mut baseline = Baseline::default();
    let f = Fields::new(t, span, "[baseline]", &["for", "within"], m);
    if let Some(lasts) = f.duration("for", LEAST_BASELINE..=MAX_DURATION, m) {
        baseline.lasts = lasts;
    }
    baseline.within = baseline.within.max(baseline.lasts);
    if let Some(within) = f.duration("within", baseline.lasts..=MAX_DURATION, m) {
        baseline.within = within;
    }
    baseline
}

/// `[cooldown]`: how long.
pub(super) fn cooldown(t: &DeTable<'_>, span: Range<usize>, m: &mut Mistakes<'_>) -> Duration {
    let f = Fields::new(t, span, "[cooldown]", &["for"], m);
    if f.get("for").is_none() {
        m.missing(
            f.span.clone(),
            "[cooldown] does not say how long",
            "for = \"15s\"",
        );
    }
    let lasts = f.duration("for", Duration::from_secs(1)..=MAX_DURATION, m);
    lasts.unwrap_or(COOLDOWN)
}
