//! Replicas of a partition must hold the same items in the end.

use gameday_record::AnomalyKind;
use gameday_record::verdict::{Anomaly, Check, PartitionDigests, ReplicaDigest, Verdict};

/// Anomalies listed; the rest is counted.
const LISTED: usize = crate::findings::LISTED;

/// Compares the replicas of every partition.
///
/// Pass: in every partition all replicas answered, with the same log index
/// applied and the same digest. Fail: two replicas that applied the same log
/// index hold different items (`replica divergence`). Unknown: a replica did
/// not answer or has applied another index, or there is nothing to compare.
///
/// ```
/// use gameday_checker::replicas_equal;
/// use gameday_record::{PartitionDigests, ReplicaDigest, Verdict};
/// let replica = |node: &str, digest: &str| ReplicaDigest {
///     node: node.into(),
///     applied: Some(7),
///     digest: Some(digest.into()),
///     items: Some(3),
/// };
/// let equal = PartitionDigests {
///     partition: "canary/0".into(),
///     replicas: vec![replica("storage-a1", "5f"), replica("storage-b1", "5f")],
/// };
/// assert_eq!(replicas_equal(&[equal]).verdict, Verdict::Pass);
/// ```
pub fn replicas_equal(partitions: &[PartitionDigests]) -> Check {
    let mut anomalies = Vec::new();
    let mut total = 0;
    let mut reasons: Vec<String> = Vec::new();
    if partitions.is_empty() {
        reasons.push("no partition was examined".into());
    }
    for p in partitions {
        if let Some((a, b)) = divergent(&p.replicas) {
            total += 1;
            if anomalies.len() < LISTED {
                anomalies.push(Anomaly {
                    name: AnomalyKind::ReplicaDivergence.name().into(),
                    key: p.partition.clone(),
                    summary: format!("partition {}: {} but {}", p.partition, say(a), say(b)),
                    operations: Vec::new(),
                    violates: String::new(),
                    around: Vec::new(),
                });
            }
        }
        if let Some(reason) = undecided(p) {
            reasons.push(reason);
        }
    }
    let verdict = match (total, reasons.is_empty()) {
        (0, true) => Verdict::Pass,
        (0, false) => Verdict::Unknown,
        _ => Verdict::Fail,
    };
    let replicas: usize = partitions.iter().map(|p| p.replicas.len()).sum();
    let mut detail = String::new();
    if total > 0 {
        detail.push_str(&format!("{total} partitions diverged. "));
    }
    if !reasons.is_empty() {
        let more = reasons.len().saturating_sub(LISTED);
        reasons.truncate(LISTED);
        detail.push_str(&format!("not decided: {}", reasons.join("; ")));
        if more > 0 {
            detail.push_str(&format!("; and {more} partitions more"));
        }
        detail.push_str(". ");
    }
    detail.push_str(&format!(
        "{} partitions with {replicas} replicas.",
        partitions.len()
    ));
    Check {
        name: "replicas-equal".into(),
        verdict,
        detail,
        anomalies,
        anomalies_total: total,
        measures: Vec::new(),
    }
}

/// Two replicas that applied the same and hold different items.
fn divergent(replicas: &[ReplicaDigest]) -> Option<(&ReplicaDigest, &ReplicaDigest)> {
    let mut answers: Vec<&ReplicaDigest> = replicas
        .iter()
        .filter(|r| r.applied.is_some() && r.digest.is_some())
        .collect();
    answers.sort_by_key(|r| (r.applied, &r.digest));
    answers
        .windows(2)
        .map(|w| (w[0], w[1]))
        .find(|(a, b)| a.applied == b.applied && a.digest != b.digest)
}

fn undecided(p: &PartitionDigests) -> Option<String> {
    let missing: Vec<&str> = p
        .replicas
        .iter()
        .filter(|r| r.applied.is_none() || r.digest.is_none())
        .map(|r| r.node.as_str())
        .collect();
    if !missing.is_empty() {
        return Some(format!(
            "partition {}: no answer from {}",
            p.partition,
            missing.join(", ")
        ));
    }
    if p.replicas.len() < 2 {
        return Some(format!(
            "partition {}: {} replicas, nothing to compare",
            p.partition,
            p.replicas.len()
        ));
    }
    let first = &p.replicas[0];
    let other = p.replicas.iter().find(|r| r.applied != first.applied)?;
    Some(format!(
        "partition {}: {} but {}",
        p.partition,
        say(first),
        say(other)
    ))
}

fn say(r: &ReplicaDigest) -> String {
    let show = |v: Option<u64>| v.map_or("?".to_string(), |v| v.to_string());
    format!(
        "{} applied {} and holds {} items with digest {}",
        r.node,
        show(r.applied),
        show(r.items),
        r.digest.as_deref().unwrap_or("?")
    )
}
