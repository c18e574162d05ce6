//! Replica equality: divergence is a fail, a missing answer is not.

use gameday_checker::replicas_equal;
use gameday_record::{PartitionDigests, ReplicaDigest, Verdict};

fn replica(node: &str, applied: u64, digest: &str) -> ReplicaDigest {
    ReplicaDigest {
        node: node.into(),
        applied: Some(applied),
        digest: Some(digest.into()),
        items: Some(3),
    }
}

fn silent(node: &str) -> ReplicaDigest {
    ReplicaDigest {
        node: node.into(),
        applied: None,
        digest: None,
        items: None,
    }
}

fn partition(n: u32, replicas: Vec<ReplicaDigest>) -> PartitionDigests {
    PartitionDigests {
        partition: format!("canary/{n}"),
        replicas,
    }
}

#[test]
fn equal_replicas_pass() {
    let all: Vec<_> = (0..6)
        .map(|n| partition(n, ["a", "b", "c"].map(|x| replica(x, 7, "5f")).to_vec()))
        .collect();
    let check = replicas_equal(&all);
    assert_eq!(check.name, "replicas-equal");
    assert_eq!(check.verdict, Verdict::Pass, "{check:#?}");
    assert!(check.detail.contains("6 partitions with 18 replicas"));
}

#[test]
fn different_digests_at_the_same_index_fail_whatever_else_is_unknown() {
    let check = replicas_equal(&[
        partition(0, vec![replica("a", 7, "5f"), silent("b")]),
        partition(
            1,
            vec![
                replica("a", 7, "5f"),
                replica("b", 8, "11"),
                replica("c", 7, "60"),
            ],
        ),
    ]);
    assert_eq!(check.verdict, Verdict::Fail);
    assert_eq!(check.anomalies_total, 1);
    let anomaly = &check.anomalies[0];
    assert_eq!(anomaly.name, "replica divergence");
    assert_eq!(anomaly.key, "canary/1");
    for part in ["a applied 7", "c applied 7", "5f", "60"] {
        assert!(anomaly.summary.contains(part), "{}", anomaly.summary);
    }
    assert!(
        check.detail.contains("no answer from b"),
        "{}",
        check.detail
    );
}

#[test]
fn what_cannot_be_compared_is_unknown() {
    let unknown = |replicas, why: &str| {
        let check = replicas_equal(&[partition(0, replicas)]);
        assert_eq!(check.verdict, Verdict::Unknown, "{check:#?}");
        assert!(check.detail.contains(why), "{}", check.detail);
    };
    unknown(vec![replica("a", 7, "5f"), silent("b")], "no answer from b");
    unknown(
        vec![replica("a", 7, "5f"), replica("b", 8, "5f")],
        "b applied 8",
    );
    unknown(vec![replica("a", 7, "5f")], "nothing to compare");
    unknown(vec![], "nothing to compare");
    assert_eq!(replicas_equal(&[]).verdict, Verdict::Unknown);
}
