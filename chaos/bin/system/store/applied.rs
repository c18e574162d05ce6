//! What the replicas say about writes of unknown outcome, at the end of a run.

use crate::system::MOST_ASKED;
use futures_util::future::join_all;
use gameday_chaos::runtime::Runtime;
use gameday_cluster::node::admin::MAX_WRITES;
use gameday_record::{
    AppliedMemory, AppliedWrites, Nanos, PartitionApplied, PartitionDigests, ReplicaApplied,
    RunClock,
};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One question looks through a bounded memory.
const ASK: Duration = Duration::from_secs(10);

/// One replica as its node reports it.
#[derive(Clone, Debug, Deserialize)]
struct Reported {
    partition: String,
    node: String,
    since_ns: u64,
    applied: u64,
    found: BTreeSet<i64>,
}

/// Asks every node about these keys and values. `replicas`: which there should be.
pub async fn ask(
    runtime: &dyn Runtime,
    clock: RunClock,
    nodes: &[String],
    replicas: &[PartitionDigests],
    writes: &[(String, i64)],
) -> AppliedWrites {
    // A key that does not stand in a question as it is cannot be asked about.
    let plain = |key: &str| {
        key.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_./:".contains(&b))
    };
    let writes: Vec<_> = writes
        .iter()
        .filter(|(key, _)| plain(key))
        .take(MOST_ASKED)
        .collect();
    let mut memories: BTreeMap<(String, String), AppliedMemory> = BTreeMap::new();
    let mut asked = BTreeSet::new();
    for some in writes.chunks(MAX_WRITES) {
        let pairs: Vec<String> = some.iter().map(|(k, v)| format!("{k}:{v}")).collect();
        let path = format!("/applied?writes={}", pairs.join(","));
        let path = path.as_str();
        let answers = join_all(nodes.iter().map(|node| async move {
            let body = runtime.admin(node, path, ASK).await.ok()?;
            serde_json::from_str::<Vec<Reported>>(&body).ok()
        }))
        .await;
        // A node that is silent once has not said what it found: it is left out of all.
        for (node, answer) in nodes.iter().zip(answers) {
            match answer {
                Some(told) => add(&mut memories, told, clock, asked.is_empty()),
                None => memories.retain(|(_, n), _| n != node),
            }
        }
        asked.extend(some.iter().map(|(_, v)| *v));
    }
    let partitions = replicas.iter().map(|p| PartitionApplied {
        partition: p.partition.clone(),
        replicas: p
            .replicas
            .iter()
            .map(|r| ReplicaApplied {
                node: r.node.clone(),
                memory: memories.remove(&(p.partition.clone(), r.node.clone())),
            })
            .collect(),
    });
    AppliedWrites {
        partitions: partitions.collect(),
        asked,
    }
}

/// Merges an answer: what is whole is what every answer calls whole, and the
/// place is that of the first.
fn add(
    memories: &mut BTreeMap<(String, String), AppliedMemory>,
    told: Vec<Reported>,
    clock: RunClock,
    first: bool,
) {
    for r in told {
        let since = Nanos(r.since_ns.saturating_sub(clock.epoch));
        let at = (r.partition, r.node);
        if first {
            let memory = AppliedMemory {
                since,
                applied: r.applied,
                found: r.found,
            };
            memories.insert(at, memory);
        } else if let Some(memory) = memories.get_mut(&at) {
            memory.since = memory.since.max(since);
            memory.applied = memory.applied.min(r.applied);
            memory.found.extend(r.found);
        }
    }
}
