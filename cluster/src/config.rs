//! How a node is told what it is: one JSON document.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What a node is. In JSON `{"storage": {…}}` or `{"router": {…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeConfig {
    /// Holds replicas.
    Storage(StorageConfig),
    /// Public endpoint.
    Router(RouterConfig),
}

/// A storage node as others see it. The map key is its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Its AZ.
    pub az: String,
    /// Its number: unique, not 0, the same for ever.
    pub id: u64,
    /// Where *this* node dials it.
    pub addr: SocketAddr,
    /// Whether it holds a replica of the metadata. One node in every AZ.
    #[serde(default)]
    pub meta: bool,
}

/// Storage nodes by name.
pub type Peers = BTreeMap<String, PeerConfig>;

/// A storage node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// Its name; `peers` has it too.
    pub name: String,
    /// Where it listens for other nodes.
    pub peer_bind: SocketAddr,
    /// Where it listens for admin requests.
    pub admin_bind: SocketAddr,
    /// All storage nodes, this one included.
    pub peers: Peers,
    /// Data folder; made if it is not there.
    pub data: PathBuf,
    /// What a power-off does to its files.
    #[serde(default)]
    pub disk: DiskMode,
    /// Whether the condition of disk and clock is given from outside, see
    /// [`gameday_record::conditions`].
    #[serde(default)]
    pub conditions: bool,
    /// Timing.
    #[serde(default)]
    pub timing: Timing,
    /// When memory goes to disk and the log is cut.
    #[serde(default)]
    pub checkpoint: Checkpoint,
    /// What to remember of the writes that it applied, for `GET /applied`;
    /// nothing if absent.
    #[serde(default)]
    pub remember: Option<Remember>,
    /// A bug to have on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bug: Option<Bug>,
}

/// What a replica remembers of the writes that it applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remember {
    /// A number attribute of the items, which tells writes of a key apart.
    pub attribute: String,
    /// Most writes of each replica, the latest ones, 1 to 1 000 000; 24 bytes each.
    pub writes: usize,
}

/// A request router.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterConfig {
    /// Its name.
    pub name: String,
    /// Its AZ: eventually consistent reads stay in it where they can.
    pub az: String,
    /// Where clients connect.
    pub public_bind: SocketAddr,
    /// Where it listens for admin requests.
    pub admin_bind: SocketAddr,
    /// All storage nodes.
    pub peers: Peers,
    /// Partitions of a new table, 1 to 64.
    #[serde(default = "default_partitions")]
    pub partitions: u32,
    /// Milliseconds after which every request is answered, one way or another.
    #[serde(default = "default_deadline_ms")]
    pub deadline_ms: u64,
    /// Milliseconds that one node has to answer a write before it is given up as unknown.
    #[serde(default = "default_write_hop_ms")]
    pub write_hop_ms: u64,
    /// Milliseconds that one node has to answer a read before another is asked.
    #[serde(default = "default_read_hop_ms")]
    pub read_hop_ms: u64,
}

fn default_partitions() -> u32 {
    6
}
fn default_deadline_ms() -> u64 {
    1500
}
fn default_write_hop_ms() -> u64 {
    1000
}
fn default_read_hop_ms() -> u64 {
    500
}

/// What a power-off (SIGKILL) does to a node's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DiskMode {
    /// Nothing: the page cache survives.
    #[default]
    Real,
    /// What was not synced is gone, and the last write may be torn.
    Volatile {
        /// Decides what is torn, and how.
        seed: u64,
    },
}

/// Timing of consensus. A follower that hears nothing from its leader for
/// `lease_ms` plus a random time of `election_ms` to `lease_ms` asks for votes:
/// with the defaults after 700 to 1000 ms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// Milliseconds between two signs of life of an idle leader.
    pub heartbeat_ms: u64,
    /// Milliseconds for which a follower that heard from its leader grants nobody a vote.
    pub lease_ms: u64,
    /// Least time beyond the lease before an election, also the time a vote may take.
    pub election_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            heartbeat_ms: 100,
            lease_ms: 500,
            election_ms: 200,
        }
    }
}

impl Timing {
    /// How long a node that just started grants no votes and asks for none: it may have promised
    /// so to a leader before it died. A tenth more, for clocks that run at different speeds.
    pub fn silence_after_start(&self) -> Duration {
        Duration::from_millis(self.lease_ms + self.lease_ms / 10)
    }

    /// How long after sending a heartbeat that a quorum answered a leader may serve from its own
    /// state: a tenth less than its followers' promise, which began later.
    pub fn read_lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms - self.lease_ms / 10)
    }
}

/// When trees are made durable and logs cut.
///
/// What a node's log takes follows from it. In memory each replica has about `keep_bytes`, and
/// what was appended since its last checkpoint: at most about `bytes`, and what comes in the second
/// until that is noticed. On disk the log has at most twice what all replicas have in memory, and
/// four segments. Only a leader keeps more, for a follower that takes entries, but more slowly than
/// they come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpoint {
    /// Milliseconds between two checkpoints of a replica that changed.
    pub every_ms: u64,
    /// Applied entries after which a replica is due earlier.
    pub entries: u64,
    /// Bytes of entries appended after which a replica is due earlier.
    pub bytes: u64,
    /// Bytes of entries, the latest ones, that are kept in the log for followers that are behind,
    /// and at least one entry. Who is further behind gets a copy of the tree.
    pub keep_bytes: usize,
    /// Length in bytes of the files that the log consists of, 4 KiB to 1 GiB.
    pub segment_bytes: u64,
}

/// Whether a replica's tree is to be made durable now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// No.
    NotYet,
    /// Yes, after others that are due: one at a time.
    InTurn,
    /// Yes, whoever else is due.
    Now,
}

impl Checkpoint {
    /// Whether a checkpoint is due, `passed` after the last one, with so many entries applied and
    /// so many bytes appended since.
    pub fn due(&self, entries: u64, bytes: u64, passed: Duration) -> Due {
        if entries == 0 {
            Due::NotYet
        } else if entries >= self.entries || bytes >= self.bytes {
            Due::Now
        } else if passed >= Duration::from_millis(self.every_ms) {
            Due::InTurn
        } else {
            Due::NotYet
        }
    }
}

impl Default for Checkpoint {
    fn default() -> Self {
        Checkpoint {
            every_ms: 10_000,
            entries: 20_000,
            bytes: 16 << 20,
            keep_bytes: 4 << 20,
            segment_bytes: 16 << 20,
        }
    }
}

/// Bugs that a playbook must find. There are none without the feature `seeded-bugs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bug {
    /// The log says "durable" before it is.
    #[cfg(feature = "seeded-bugs")]
    AckBeforeFsync,
    /// The leader answers a write before a quorum has it.
    #[cfg(feature = "seeded-bugs")]
    AckBeforeQuorum,
    /// Whoever thinks it leads answers strong reads.
    #[cfg(feature = "seeded-bugs")]
    StaleLeaderRead,
}

impl Bug {
    /// Those that this build can have.
    pub const ALL: &[Bug] = &[
        #[cfg(feature = "seeded-bugs")]
        Bug::AckBeforeFsync,
        #[cfg(feature = "seeded-bugs")]
        Bug::AckBeforeQuorum,
        #[cfg(feature = "seeded-bugs")]
        Bug::StaleLeaderRead,
    ];

    /// As it is written in a configuration and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "seeded-bugs")]
            Bug::AckBeforeFsync => "ack-before-fsync",
            #[cfg(feature = "seeded-bugs")]
            Bug::AckBeforeQuorum => "ack-before-quorum",
            #[cfg(feature = "seeded-bugs")]
            Bug::StaleLeaderRead => "stale-leader-read",
        }
    }
}

impl std::str::FromStr for Bug {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        let names: Vec<&str> = Bug::ALL.iter().map(|b| b.name()).collect();
        let found = Bug::ALL.iter().find(|b| b.name() == name);
        found.copied().ok_or_else(|| match names.as_slice() {
            [] => "this build has no bugs on purpose: it was made without --features seeded-bugs"
                .into(),
            names => format!("no such bug; there are {}", names.join(", ")),
        })
    }
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node configuration: {}", .0.join("; "))]
pub struct ConfigError(pub Vec<String>);

impl NodeConfig {
    /// Parses and checks a JSON document.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let config: NodeConfig =
            serde_json::from_str(text).map_err(|e| ConfigError(vec![e.to_string()]))?;
        config.check()?;
        Ok(config)
    }

    /// Checks what types cannot say; all findings at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut wrong = Vec::new();
        let peers = match self {
            NodeConfig::Storage(c) => {
                if !c.peers.contains_key(&c.name) {
                    wrong.push(format!("peers does not name this node, {}", c.name));
                }
                let t = &c.timing;
                if t.heartbeat_ms == 0 || t.lease_ms < 3 * t.heartbeat_ms {
                    wrong.push("timing: lease_ms must be at least 3 × heartbeat_ms".into());
                }
                if t.election_ms < t.heartbeat_ms || t.election_ms >= t.lease_ms {
                    wrong.push(
                        "timing: election_ms must be from heartbeat_ms to below lease_ms".into(),
                    );
                }
                if t.lease_ms > 60_000 {
                    wrong.push("timing: lease_ms must be at most 60000".into());
                }
                let p = &c.checkpoint;
                if p.every_ms == 0 || p.entries == 0 || p.bytes == 0 {
                    wrong.push("checkpoint: every_ms, entries and bytes must not be 0".into());
                }
                if p.bytes > 1 << 30 || p.keep_bytes > 1 << 30 {
                    wrong.push("checkpoint: bytes and keep_bytes must be at most 1 GiB".into());
                }
                if !(4096..=1 << 30).contains(&p.segment_bytes) {
                    wrong.push("checkpoint: segment_bytes must be 4096 to 1 GiB".into());
                }
                if let Some(r) = &c.remember
                    && !(1..=1_000_000).contains(&r.writes)
                {
                    wrong.push("remember: writes must be 1 to 1000000".into());
                }
                &c.peers
            }
            NodeConfig::Router(c) => {
                if !(1..=64).contains(&c.partitions) {
                    wrong.push("partitions must be 1 to 64".into());
                }
                for (name, value) in [
                    ("deadline_ms", c.deadline_ms),
                    ("write_hop_ms", c.write_hop_ms),
                    ("read_hop_ms", c.read_hop_ms),
                ] {
                    if !(10..=60_000).contains(&value) {
                        wrong.push(format!("{name} must be 10 to 60000"));
                    }
                }
                &c.peers
            }
        };
        check_peers(peers, &mut wrong);
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(ConfigError(wrong))
        }
    }
}

fn check_peers(peers: &Peers, wrong: &mut Vec<String>) {
    let mut ids = BTreeSet::new();
    for (name, peer) in peers {
        if peer.id == 0 {
            wrong.push(format!("peer {name}: id must not be 0"));
        }
        if !ids.insert(peer.id) {
            wrong.push(format!("peer {name}: id {} is taken", peer.id));
        }
    }
    let azs: BTreeSet<&str> = peers.values().map(|p| p.az.as_str()).collect();
    if azs.len() != 3 {
        wrong.push(format!(
            "peers stand in {} AZs, a partition needs 3",
            azs.len()
        ));
    }
    for az in azs {
        let holders = peers.values().filter(|p| p.az == az && p.meta).count();
        if holders != 1 {
            wrong.push(format!(
                "AZ {az} has {holders} metadata nodes, it needs exactly 1"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(extra: &str) -> String {
        let peers: Vec<String> = ["a", "b", "c"]
            .iter()
            .enumerate()
            .map(|(i, az)| {
                format!(
                    r#""storage-{az}1":{{"az":"{az}","id":{},"addr":"127.0.0.1:700{i}","meta":true}}"#,
                    i + 1
                )
            })
            .collect();
        format!(
            r#"{{"router":{{"name":"router-a","az":"a","public_bind":"127.0.0.1:0",
               "admin_bind":"127.0.0.1:0","peers":{{{}}}{extra}}}}}"#,
            peers.join(",")
        )
    }

    #[test]
    fn defaults_and_round_trip() {
        let config = NodeConfig::from_json(&router("")).unwrap();
        let NodeConfig::Router(r) = &config else {
            panic!("not a router")
        };
        assert_eq!((r.partitions, r.deadline_ms), (6, 1500));
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(NodeConfig::from_json(&json).unwrap(), config);
    }

    #[test]
    fn unknown_fields_are_refused() {
        let error = NodeConfig::from_json(&router(r#","colour":"red""#)).unwrap_err();
        assert!(error.to_string().contains("colour"), "{error}");
    }

    #[cfg(not(feature = "seeded-bugs"))]
    #[test]
    fn a_bug_is_refused_without_the_feature() {
        let error = serde_json::from_str::<Bug>("\"ack-before-fsync\"").unwrap_err();
        assert!(error.to_string().contains("ack-before-fsync"), "{error}");
        let error = "ack-before-fsync".parse::<Bug>().unwrap_err();
        assert!(error.contains("--features seeded-bugs"), "{error}");
    }

    #[cfg(feature = "seeded-bugs")]
    #[test]
    fn a_bug_has_one_name_everywhere() {
        for bug in Bug::ALL {
            assert_eq!(bug.name().parse(), Ok(*bug));
            assert_eq!(serde_json::to_value(bug).unwrap(), bug.name());
        }
        let error = "sleeps".parse::<Bug>().unwrap_err();
        assert!(error.contains("ack-before-quorum"), "{error}");
    }

    #[test]
    fn all_mistakes_at_once() {
        let NodeConfig::Router(mut r) = NodeConfig::from_json(&router("")).unwrap() else {
            panic!("not a router")
        };
        r.partitions = 0;
        r.peers.get_mut("storage-b1").unwrap().id = 1;
        r.peers.get_mut("storage-c1").unwrap().meta = false;
        let ConfigError(wrong) = NodeConfig::Router(r).check().unwrap_err();
        assert_eq!(wrong.len(), 3, "{wrong:?}");
    }

    /// What is kept is no reason for another checkpoint, or there would be one per look for ever.
    #[test]
    fn a_checkpoint_is_due_by_what_came_since_the_last_one() {
        let limits = Checkpoint::default();
        let second = Duration::from_secs(1);
        assert_eq!(limits.due(0, 0, 100 * second), Due::NotYet, "nothing new");
        assert_eq!(limits.due(1, 1, second), Due::NotYet);
        assert_eq!(limits.due(1, 1, 10 * second), Due::InTurn);
        assert_eq!(limits.due(20_000, 1, second), Due::Now);
        assert_eq!(limits.due(5, 16 << 20, second), Due::Now);
    }

    #[test]
    fn a_leader_reads_for_less_than_its_followers_promise() {
        let timing = Timing::default();
        let promise = Duration::from_millis(timing.lease_ms);
        assert!(timing.read_lease() < promise);
        assert!(timing.silence_after_start() > promise);
    }
}
