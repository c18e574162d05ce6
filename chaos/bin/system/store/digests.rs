//! The replicas' digests at the end of a run.

use super::roles::StoreRoles;
use futures_util::future::join_all;
use gameday_chaos::runtime::{ProcessState, Runtime};
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
    applied: u64,
    digest: String,
    items: u64,
}

/// Asks until all replicas of the partitions `expected` stand at the same
/// place, or the time is over; what was seen last is the result either way,
/// for the checker to judge. For nodes that do not run nobody waits.
pub async fn settle(
    runtime: &dyn Runtime,
    roles: &StoreRoles,
    nodes: &[String],
    expected: &[String],
) -> Vec<PartitionDigests> {
    let began = Instant::now();
    loop {
        let members = roles
            .view()
            .await
            .into_iter()
            .map(|g| (g.name, g.members))
            .collect();
        let asked = nodes.iter().map(|node| async move {
            let body = runtime.admin(node, "/digest", ASK).await.ok()?;
            serde_json::from_str::<Vec<Reported>>(&body).ok()
        });
        let answers = join_all(asked).await.into_iter().flatten().flatten();
        let digests = by_partition(answers, &members, expected);
        let dead = dead(runtime, nodes).await;
        if settled(&digests, &dead) || began.elapsed() > SETTLE {
            return digests;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Groups the answers. A member that did not answer stands there without a
/// digest, and a partition that nobody knows without replicas.
fn by_partition(
    answers: impl Iterator<Item = Reported>,
    members: &BTreeMap<String, Vec<String>>,
    expected: &[String],
) -> Vec<PartitionDigests> {
    let mut partitions: BTreeMap<String, Vec<ReplicaDigest>> = expected
        .iter()
        .map(|name| (name.clone(), Vec::new()))
        .collect();
    for r in answers {
        partitions
            .entry(r.partition)
            .or_default()
            .push(ReplicaDigest {
                node: r.node,
                applied: Some(r.applied),
                digest: Some(r.digest),
                items: Some(r.items),
            });
    }
    partitions
        .into_iter()
        .map(|(partition, mut replicas)| {
            for node in members.get(&partition).into_iter().flatten() {
                if !replicas.iter().any(|r| r.node == *node) {
                    let node = node.clone();
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

/// Those whose processes are certainly not there.
async fn dead(runtime: &dyn Runtime, nodes: &[String]) -> BTreeSet<String> {
    let states = join_all(nodes.iter().map(|n| runtime.process(n))).await;
    let dead = nodes
        .iter()
        .zip(states)
        .filter(|(_, state)| matches!(state, Ok(ProcessState::Exited(_))));
    dead.map(|(node, _)| node.clone()).collect()
}

/// Whether all replicas stand at the same place, but for those on nodes that are `dead`.
fn settled(digests: &[PartitionDigests], dead: &BTreeSet<String>) -> bool {
    !digests.is_empty()
        && digests.iter().all(|p| {
            let mut live = p.replicas.iter().filter(|r| !dead.contains(&r.node));
            match live.next().map(|r| r.applied) {
                Some(first) => first.is_some() && live.all(|r| r.applied == first),
                None => !p.replicas.is_empty(),
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(node: &str, applied: u64) -> Reported {
        Reported {
            partition: "canary/0".into(),
            node: node.into(),
            applied,
            digest: "d".into(),
            items: 1,
        }
    }

    fn seen(answers: Vec<Reported>) -> Vec<PartitionDigests> {
        let members = ["x", "y", "z"].map(String::from).to_vec();
        let members = BTreeMap::from([("canary/0".to_string(), members)]);
        by_partition(answers.into_iter(), &members, &["canary/0".to_string()])
    }

    #[test]
    fn a_replica_that_does_not_answer_is_missing_not_equal() {
        let two = seen(vec![says("x", 5), says("z", 5)]);
        assert_eq!(two[0].replicas.len(), 3);
        assert_eq!(two[0].replicas[1].digest, None);
        let none = BTreeSet::new();
        assert!(!settled(&two, &none));
        let all = seen(["x", "y", "z"].map(|n| says(n, 5)).to_vec());
        assert!(settled(&all, &none));
        let late = seen(vec![says("x", 5), says("y", 5), says("z", 4)]);
        assert!(!settled(&late, &none));
    }

    #[test]
    fn nobody_waits_for_the_dead() {
        let dead = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
        let two = seen(vec![says("x", 5), says("z", 5)]);
        assert!(settled(&two, &dead(&["y"])));
        assert!(!settled(&two, &dead(&["x"])), "y may still answer");
        let apart = seen(vec![says("x", 5), says("z", 4)]);
        assert!(!settled(&apart, &dead(&["y"])));
        assert!(settled(&seen(Vec::new()), &dead(&["x", "y", "z"])));
    }

    #[test]
    fn a_partition_that_nobody_knows_is_not_forgotten() {
        let nothing = by_partition(
            std::iter::empty(),
            &BTreeMap::new(),
            &["canary/3".to_string()],
        );
        assert_eq!(nothing[0].partition, "canary/3");
        assert!(!settled(&nothing, &BTreeSet::new()));
        assert!(!settled(&[], &BTreeSet::new()));
    }
}
