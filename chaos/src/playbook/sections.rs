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

/// `[baseline]` and `[cooldown]`: how long. `None` if it is not said.
pub(super) fn lasting(
    t: &DeTable<'_>,
    span: Range<usize>,
    title: &str,
    least: Duration,
    m: &mut Mistakes<'_>,
) -> Option<Duration> {
    let f = Fields::new(t, span, title, &["for"], m);
    if f.get("for").is_none() {
        m.missing(
            f.span.clone(),
            format!("{title} does not say how long"),
            "for = \"10s\"",
        );
    }
    f.duration("for", least..=MAX_DURATION, m)
}
