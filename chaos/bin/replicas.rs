//! The replicas' digests at the end of a run.

use futures_util::future::join_all;
use gameday_chaos::runtime::Runtime;
use gameday_record::{PartitionDigests, ReplicaDigest};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Replicas that have nothing more to apply should agree in this time.
const SETTLE: Duration = Duration::from_secs(20);
/// A digest reads every item of a node.
const ASK: Duration = Duration::from_secs(10);

/// One replica as its node reports it.
#[derive(Clone, Debug, Deserialize)]
struct Reported {
    partition: String,
    node: String,
    applied: Option<u64>,
    digest: String,
    items: u64,
    members: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    groups: Vec<Reported>,
}

/// Asks until all replicas stand at the same place, or the time is over; what
/// was seen last is the result either way, for the checker to judge.
pub async fn settle(runtime: &dyn Runtime, nodes: &[String]) -> Vec<PartitionDigests> {
    let began = Instant::now();
    loop {
        let asked = nodes.iter().map(|node| async move {
            let body = runtime.admin(node, "/digest", ASK).await.ok()?;
            serde_json::from_str::<Answer>(&body).ok()
        });
        let answers = join_all(asked)
            .await
            .into_iter()
            .flatten()
            .flat_map(|a| a.groups);
        let digests = by_partition(answers);
        if settled(&digests) || began.elapsed() > SETTLE {
            return digests;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Groups the answers; a member that did not answer stands there without a digest.
fn by_partition(answers: impl Iterator<Item = Reported>) -> Vec<PartitionDigests> {
    let mut partitions: BTreeMap<String, (BTreeSet<String>, Vec<ReplicaDigest>)> = BTreeMap::new();
    for r in answers {
        let (members, replicas) = partitions.entry(r.partition).or_default();
        members.extend(r.members);
        replicas.push(ReplicaDigest {
            node: r.node,
            applied: r.applied,
            digest: Some(r.digest),
            items: Some(r.items),
        });
    }
    partitions
        .into_iter()
        .map(|(partition, (members, mut replicas))| {
            for node in members {
                if !replicas.iter().any(|r| r.node == node) {
                    replicas.push(ReplicaDigest {
                        node,
                        applied: None,
                        digest: None,
                        items: None,
                    });
                }
            }
            replicas.sort_by(|a, b| a.node.cmp(&b.node));
            PartitionDigests {
                partition,
                replicas,
            }
        })
        .collect()
}

fn settled(digests: &[PartitionDigests]) -> bool {
    !digests.is_empty()
        && digests.iter().all(|p| {
            let first = p.replicas.first().and_then(|r| r.applied);
            first.is_some() && p.replicas.iter().all(|r| r.applied == first)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(node: &str, applied: u64) -> Reported {
        Reported {
            partition: "canary/0".into(),
            node: node.into(),
            applied: Some(applied),
            digest: "d".into(),
            items: 1,
            members: ["x", "y", "z"].map(String::from).to_vec(),
        }
    }

    #[test]
    fn a_replica_that_does_not_answer_is_missing_not_equal() {
        let seen = by_partition([says("x", 5), says("z", 5)].into_iter());
        assert_eq!(seen[0].replicas.len(), 3);
        assert_eq!(seen[0].replicas[1].digest, None);
        assert!(!settled(&seen));
        assert!(!settled(&[]));
        assert!(settled(&by_partition(
            ["x", "y", "z"].map(|n| says(n, 5)).into_iter()
        )));
        assert!(!settled(&by_partition(
            [says("x", 5), says("y", 5), says("z", 4)].into_iter()
        )));
    }
}
