//! What a playbook asks for, as data: the cluster, the workload, the SLO.
//! Parsed by `chaos`, given meaning by `cluster`, `canary` and `reports`.

use serde::{Deserialize, Serialize};

/// `[cluster]`: the store to start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Number of AZs; 3 (one replica of every partition in each).
    pub azs: u32,
    /// Storage nodes per AZ, 1 to 8.
    pub storage_nodes_per_az: u32,
    /// Partitions per table, 1 to 64.
    pub partitions: u32,
    /// IPv4 network of the docker runtime, a /16 or larger; a /24 of it per AZ.
    pub subnet: String,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        ClusterSpec {
            azs: 3,
            storage_nodes_per_az: 2,
            partitions: 6,
            subnet: "198.18.0.0/16".into(),
        }
    }
}

/// `[workload]`: what the canaries do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkloadSpec {
    /// Operations per second of each canary through each endpoint, 1 to 1000.
    pub rate: f64,
    /// Number of distinct keys, shared by all canaries, 1 to 100 000.
    pub keys: u32,
    /// Shares of the mix, each 0 to 1, together 1: unconditional writes.
    pub writes: f64,
    /// Writes of a key that nobody else ever writes. Nothing hides their loss:
    /// the final reads must find each that was acknowledged.
    #[serde(default)]
    pub inserts: f64,
    /// Conditional writes (compare-and-set).
    pub cas: f64,
    /// Strongly consistent reads.
    pub strong_reads: f64,
    /// Eventually consistent reads.
    pub eventual_reads: f64,
    /// Milliseconds after which a call is given up, 50 to 60 000.
    pub timeout_ms: u64,
    /// Bytes of filler in each item, 0 to 100 000.
    pub item_bytes: u32,
}

impl Default for WorkloadSpec {
    fn default() -> Self {
        WorkloadSpec {
            rate: 20.0,
            keys: 60,
            writes: 0.15,
            inserts: 0.1,
            cas: 0.15,
            strong_reads: 0.4,
            eventual_reads: 0.2,
            timeout_ms: 2000,
            item_bytes: 100,
        }
    }
}

/// `[slo]`: what must hold over the whole measured time (baseline, faults and
/// cooldown), counted over all AZ × endpoint pairs. A field that is absent is
/// not judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SloSpec {
    /// Least share of answered writes (writes and conditional writes), 0 to 1.
    pub write_availability: Option<f64>,
    /// Least share of answered strongly consistent reads, 0 to 1.
    pub read_availability: Option<f64>,
    /// Least share of answered eventually consistent reads, 0 to 1.
    pub eventual_read_availability: Option<f64>,
    /// Longest stretch, in milliseconds, without a successful write through any endpoint.
    pub max_write_gap_ms: Option<u64>,
    /// Longest time, in milliseconds, from the proven revert of an injection to recovery.
    pub recover_within_ms: Option<u64>,
}
