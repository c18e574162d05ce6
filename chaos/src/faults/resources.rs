//! What a playbook can say about faults on what a node has.

use super::Sides;
use crate::runtime::damage::WhichFile;
use gameday_record::Topology;
use gameday_record::conditions::{ClockCondition, DiskOperation, Full};
use std::collections::BTreeSet;
use std::time::Duration;

/// Parameters; each fault has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Of [`super::FaultKind::DiskFull`]: what finds no room.
    pub refuses: Full,
    /// Of [`super::FaultKind::DiskSlow`]: how much longer every sync takes.
    pub sync_delay: Duration,
    /// Of [`super::FaultKind::DiskError`]: what fails.
    pub operation: DiskOperation,
    /// Of [`super::FaultKind::BitFlip`] and [`super::FaultKind::Truncate`]: which file.
    pub file: WhichFile,
    /// Of [`super::FaultKind::ClockSkew`]: how wrong the clock is.
    pub clock: ClockCondition,
    /// Of [`super::FaultKind::CpuLimit`]: hundredths of one processor.
    pub cpu_percent: u32,
    /// Of [`super::FaultKind::MemoryLimit`]: bytes.
    pub memory: u64,
    /// Decides what a fault chooses by itself; drawn when planning.
    pub seed: u64,
}

impl Default for Resources {
    fn default() -> Self {
        Resources {
            refuses: Full::Growth,
            sync_delay: Duration::from_millis(200),
            operation: DiskOperation::Sync,
            file: WhichFile::Any,
            clock: ClockCondition::default(),
            cpu_percent: 5,
            memory: 64 << 20,
            seed: 0,
        }
    }
}

/// Whether all targets store something.
///
/// # Errors
/// Which do not.
pub(super) fn have_data(sides: &Sides, topology: &Topology) -> Result<(), String> {
    let with: BTreeSet<&str> = topology
        .replica_holders()
        .map(|n| n.name.as_str())
        .collect();
    let targets: BTreeSet<&str> = sides.iter().flatten().map(String::as_str).collect();
    let without: Vec<&str> = targets.difference(&with).copied().collect();
    if without.is_empty() {
        return Ok(());
    }
    let roles = topology.replica_roles().join("\" or \"");
    Err(format!(
        "{} stores nothing; add role = \"{roles}\" to the target",
        without.join(" and ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameday_record::{Node, Role};

    #[test]
    fn only_nodes_that_store_something_have_a_disk_to_hurt() {
        let node = |name: &str, role: &str| Node {
            name: name.into(),
            az: "a".into(),
            role: role.into(),
        };
        let holds = Role {
            replicas: true,
            endpoint: false,
        };
        let topology = Topology {
            azs: vec!["a".into()],
            nodes: vec![node("storage-a1", "storage"), node("router-a", "router")],
            roles: [("storage".into(), holds)].into(),
            ..Topology::default()
        };
        let sides = |names: &[&str]| vec![names.iter().map(|n| n.to_string()).collect()];
        assert_eq!(have_data(&sides(&["storage-a1"]), &topology), Ok(()));
        let why = have_data(&sides(&["storage-a1", "router-a"]), &topology).unwrap_err();
        assert!(why.starts_with("router-a stores nothing"), "{why}");
    }
}
