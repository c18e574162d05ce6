//! What is in force now, and whether one more injection may join it: the
//! checks of planning again, on resolved targets and the groups as they are.

use super::seams::Group;
use crate::faults::{Fault, FaultKind, Layer};
use crate::plan::{REPLICA_ROLE, minority, replica_azs};
use gameday_record::Topology;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

/// An injection that is in force, or being injected or reverted.
#[derive(Clone)]
pub(super) struct Active {
    pub(super) step: String,
    pub(super) kind: FaultKind,
    /// The targets.
    pub(super) nodes: Vec<String>,
    /// Those whose replicas it takes away.
    pub(super) hurt: Vec<String>,
    pub(super) fault: Arc<dyn Fault>,
}

/// All of them, by injection id.
#[derive(Default)]
pub(super) struct Admission {
    active: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u32,
    active: BTreeMap<u32, Active>,
}

impl Admission {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.active.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Admits one more and numbers it.
    ///
    /// # Errors
    /// Why it may not be injected now.
    pub(super) fn admit(
        &self,
        new: Active,
        groups: &Result<Vec<Group>, String>,
        topology: &Topology,
        allow_quorum_loss: bool,
    ) -> Result<u32, String> {
        let mut state = self.lock();
        let others: Vec<&Active> = state.active.values().collect();
        excluded(&new, &others)?;
        if !allow_quorum_loss {
            let mut hurt: BTreeSet<&str> = new.hurt.iter().map(String::as_str).collect();
            hurt.extend(
                others
                    .iter()
                    .flat_map(|a| a.hurt.iter().map(String::as_str)),
            );
            quorums_remain(&new.hurt, &hurt, groups, topology)?;
        }
        state.last += 1;
        let id = state.last;
        state.active.insert(id, new);
        Ok(id)
    }

    /// It is no longer in force.
    pub(super) fn close(&self, id: u32) {
        self.lock().active.remove(&id);
    }

    /// Nodes whose processes others than `id` have hurt.
    pub(super) fn away(&self, id: u32) -> BTreeSet<String> {
        self.lock()
            .active
            .iter()
            .filter(|(other, a)| **other != id && a.kind.layer() != Layer::Network)
            .flat_map(|(_, a)| a.nodes.iter().cloned())
            .collect()
    }

    /// Everything still in force.
    pub(super) fn left(&self) -> BTreeMap<u32, Active> {
        self.lock().active.clone()
    }
}

fn excluded(new: &Active, others: &[&Active]) -> Result<(), String> {
    for other in others {
        let shared = new.nodes.iter().any(|n| other.nodes.contains(n));
        if let Some(why) = new.kind.excludes(other.kind, shared) {
            return Err(format!(
                "'{}' is in force at the same time: {why}",
                other.step
            ));
        }
    }
    Ok(())
}

/// Whether every group keeps a majority with the nodes in `hurt` gone. Without
/// knowledge of the groups, replicas are taken to be one per AZ, anywhere in it.
fn quorums_remain(
    new: &[String],
    hurt: &BTreeSet<&str>,
    groups: &Result<Vec<Group>, String>,
    topology: &Topology,
) -> Result<(), String> {
    let all = replica_azs(topology, |_| true).len();
    if replica_azs(topology, |n| new.iter().any(|t| t == n)).is_empty() {
        return Ok(());
    }
    match groups {
        Ok(groups) => {
            for g in groups {
                let lost = g.members.iter().filter(|m| hurt.contains(m.as_str()));
                let lost: Vec<&str> = lost.map(String::as_str).collect();
                if lost.len() > minority(g.members.len()) {
                    return Err(format!(
                        "{} would lose {} of {} replicas ({}), and allow_quorum_loss is not set",
                        g.name,
                        lost.len(),
                        g.members.len(),
                        lost.join(", ")
                    ));
                }
            }
            Ok(())
        }
        Err(why) => {
            let azs = replica_azs(topology, |n| hurt.contains(n)).len();
            if azs > minority(all) {
                return Err(format!(
                    "{REPLICA_ROLE} nodes of {azs} of {all} AZs would be hurt, allow_quorum_loss \
                     is not set, and the groups are not known: {why}"
                ));
            }
            Ok(())
        }
    }
}
