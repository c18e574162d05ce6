//! Every section but the steps.

use super::fields::{Fields, Mistakes};
use super::selector;
use super::values::{self, MAX_DURATION};
use gameday_record::{ClusterSpec, SloSpec, WorkloadSpec};
use std::ops::Range;
use std::time::Duration;
use toml::de::DeTable;

/// `[playbook]`.
pub(super) struct Head {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) seed: Option<u64>,
    pub(super) allow_quorum_loss: bool,
}

pub(super) fn head(t: &DeTable<'_>, span: Range<usize>, m: &mut Mistakes<'_>) -> Option<Head> {
    let known = ["title", "description", "seed", "allow_quorum_loss"];
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
    Some(Head {
        title: f.text("title", 120, m)?.replace('\n', " "),
        description,
        seed,
        allow_quorum_loss,
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

/// `[workload]`.
pub(super) fn workload(t: &DeTable<'_>, span: Range<usize>, m: &mut Mistakes<'_>) -> WorkloadSpec {
    const SHARES: [&str; 5] = ["writes", "inserts", "cas", "strong_reads", "eventual_reads"];
    let known = [
        "rate",
        "keys",
        SHARES[0],
        SHARES[1],
        SHARES[2],
        SHARES[3],
        SHARES[4],
        "timeout",
        "item_bytes",
    ];
    let f = Fields::new(t, span, "[workload]", &known, m);
    let mut spec = WorkloadSpec::default();
    if let Some(rate) = f.number("rate", 1.0..=1000.0, m) {
        spec.rate = rate;
    }
    if let Some(n) = f.whole("keys", 1..=100_000, m) {
        spec.keys = n as u32;
    }
    let fields = [
        &mut spec.writes,
        &mut spec.inserts,
        &mut spec.cas,
        &mut spec.strong_reads,
        &mut spec.eventual_reads,
    ];
    let mut readable = true;
    for (key, field) in SHARES.into_iter().zip(fields) {
        match f.number(key, 0.0..=1.0, m) {
            Some(share) => *field = share,
            None => readable &= f.get(key).is_none(),
        }
    }
    let sum = spec.writes + spec.inserts + spec.cas + spec.strong_reads + spec.eventual_reads;
    if readable && (sum - 1.0).abs() > 1e-6 {
        let first = SHARES.into_iter().find(|k| f.get(k).is_some());
        m.wrong_help(
            f.key_span(first.unwrap_or_default()),
            format!(
                "the shares of the workload are together {}, not 1",
                (sum * 1e6).round() / 1e6
            ),
            format!(
                "writes = {}, inserts = {}, cas = {}, strong_reads = {}, eventual_reads = {} \
                 (what is not written has its default)",
                spec.writes, spec.inserts, spec.cas, spec.strong_reads, spec.eventual_reads
            ),
        );
    }
    let limits = Duration::from_millis(50)..=Duration::from_secs(60);
    if let Some(timeout) = f.duration("timeout", limits, m) {
        spec.timeout_ms = millis(timeout);
    }
    if let Some(n) = f.whole("item_bytes", 0..=100_000, m) {
        spec.item_bytes = n as u32;
    }
    spec
}

/// `[slo]`.
pub(super) fn slo(t: &DeTable<'_>, span: Range<usize>, m: &mut Mistakes<'_>) -> SloSpec {
    let known = [
        "write_availability",
        "read_availability",
        "eventual_read_availability",
        "max_write_gap",
        "recover_within",
    ];
    let f = Fields::new(t, span, "[slo]", &known, m);
    let limits = Duration::from_millis(1)..=MAX_DURATION;
    SloSpec {
        write_availability: f.percent("write_availability", m),
        read_availability: f.percent("read_availability", m),
        eventual_read_availability: f.percent("eventual_read_availability", m),
        max_write_gap_ms: f.duration("max_write_gap", limits.clone(), m).map(millis),
        recover_within_ms: f.duration("recover_within", limits, m).map(millis),
        ..SloSpec::default()
    }
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

fn millis(d: Duration) -> u64 {
    // Bounded by MAX_DURATION.
    d.as_millis() as u64
}
