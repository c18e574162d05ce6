//! What is in force now, and whether one more injection may join it: the
//! checks of planning again, on resolved targets and the groups as they are.

use super::accidents::Excuse;
use crate::faults::{Fault, FaultKind, Layer, Scene};
use crate::quorum::Group;
use crate::quorum::{minority, replica_azs};
use gameday_record::Topology;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// An injection that is in force, or being injected or reverted.
#[derive(Clone)]
pub(super) struct Active {
    pub(super) step: String,
    pub(super) kind: FaultKind,
    /// The targets.
    pub(super) nodes: Vec<String>,
    /// Those that it takes away or cuts off.
    pub(super) touched: Vec<String>,
    /// Those whose replicas it takes away.
    pub(super) hurt: Vec<String>,
    pub(super) fault: Arc<dyn Fault>,
    /// How long a look at it takes.
    pub(super) looking: Duration,
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
    /// How often something in force explained that a node ends.
    excuses: BTreeMap<String, u64>,
    /// Nodes of injections that are not proven to be gone.
    lost: BTreeSet<String>,
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
        let all = || others.iter().copied().chain([&new]);
        let damages = all().any(|a| a.kind.damages_data());
        if damages || !allow_quorum_loss {
            let rule = if damages {
                "stored data are never damaged where that leaves no majority"
            } else {
                "allow_quorum_loss is not set"
            };
            quorums_remain(&new.hurt, &Hurt::of(all()), groups, topology, rule)?;
        }
        state.last += 1;
        let id = state.last;
        if new.kind.explains_an_end() {
            for node in &new.nodes {
                *state.excuses.entry(node.clone()).or_default() += 1;
            }
        }
        state.active.insert(id, new);
        Ok(id)
    }

    /// It is no longer in force, or given up if it is not proven to be `gone`.
    pub(super) fn close(&self, id: u32, gone: bool) {
        let mut state = self.lock();
        if let Some(active) = state.active.remove(&id)
            && !gone
            && active.kind.explains_an_end()
        {
            state.lost.extend(active.nodes);
        }
    }

    /// What explains that this node does not run.
    pub(super) fn excuse(&self, node: &str) -> Excuse {
        let state = self.lock();
        let of = |a: &Active| a.kind.explains_an_end() && a.nodes.iter().any(|n| n == node);
        Excuse {
            now: state.lost.contains(node) || state.active.values().any(of),
            count: state.excuses.get(node).copied().unwrap_or_default(),
        }
    }

    /// Nodes whose processes others than `id` have hurt.
    pub(super) fn away(&self, id: u32) -> BTreeSet<String> {
        self.lock()
            .active
            .iter()
            .filter(|(other, a)| {
                **other != id && !matches!(a.kind.layer(), Layer::Network | Layer::Clock)
            })
            .flat_map(|(_, a)| a.nodes.iter().cloned())
            .collect()
    }

    /// Those that are held at one of these units: it is a target, or at the other end of a link.
    pub(super) fn held_at(&self, scene: &Scene, units: &[String]) -> Vec<u32> {
        let is_at = |active: &Active, unit: &String| {
            active.nodes.contains(unit) || active.fault.is_at(scene, unit)
        };
        self.lock()
            .active
            .iter()
            .filter(|(_, active)| units.iter().any(|unit| is_at(active, unit)))
            .map(|(id, _)| *id)
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

/// What is taken away at the worst moment.
struct Hurt<'a> {
    /// All of these.
    together: BTreeSet<&'a str>,
    /// Of each of these, one.
    in_turn: Vec<BTreeSet<&'a str>>,
}

impl<'a> Hurt<'a> {
    fn of(all: impl Iterator<Item = &'a Active>) -> Self {
        let mut hurt = Hurt {
            together: BTreeSet::new(),
            in_turn: Vec::new(),
        };
        for active in all {
            let nodes = active.hurt.iter().map(String::as_str);
            if active.kind.one_at_a_time() {
                hurt.in_turn.push(nodes.collect());
            } else {
                hurt.together.extend(nodes);
            }
        }
        hurt
    }

    /// Most that are away at once of those that `is` chooses, and who may be.
    fn most(&self, is: impl Fn(&str) -> bool) -> (usize, Vec<&'a str>) {
        let mut who: Vec<&str> = self.together.iter().copied().filter(|n| is(n)).collect();
        let mut count = who.len();
        for turn in &self.in_turn {
            let before = who.len();
            who.extend(turn.iter().filter(|n| is(n) && !self.together.contains(*n)));
            count += usize::from(who.len() > before);
        }
        (count, who)
    }
}

/// Whether every group keeps a majority with those in `hurt` gone. Without
/// knowledge of the groups, replicas are taken to be one per AZ, anywhere in it.
fn quorums_remain(
    new: &[String],
    hurt: &Hurt<'_>,
    groups: &Result<Vec<Group>, String>,
    topology: &Topology,
    rule: &str,
) -> Result<(), String> {
    let unknown = match groups {
        Ok(groups) if groups.is_empty() => "there is none".to_string(),
        Err(why) => why.clone(),
        Ok(groups) => {
            for g in groups {
                // Whoever has a replica of it counts, whatever its role is called.
                if !g.members.iter().any(|m| new.contains(m)) {
                    continue;
                }
                let (lost, who) = hurt.most(|n| g.members.iter().any(|m| m == n));
                if lost > minority(g.members.len()) {
                    return Err(format!(
                        "{} would lose {} of {} replicas ({}), and {rule}",
                        g.name,
                        lost,
                        g.members.len(),
                        who.join(", ")
                    ));
                }
            }
            return Ok(());
        }
    };
    let all = replica_azs(topology, |_| true).len();
    if replica_azs(topology, |n| new.iter().any(|t| t == n)).is_empty() {
        return Ok(());
    }
    let together = replica_azs(topology, |n| hurt.together.contains(n)).len();
    let in_turn = hurt.in_turn.iter();
    let in_turn = in_turn.filter(|t| !replica_azs(topology, |n| t.contains(n)).is_empty());
    let azs = (together + in_turn.count()).min(all);
    if azs > minority(all) {
        return Err(format!(
            "nodes that hold replicas in {azs} of {all} AZs would be hurt, {rule}, and the groups \
             are not known: {unknown}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Params;
    use gameday_record::{Node, Role};

    fn active(kind: FaultKind, nodes: &[&str]) -> Active {
        let nodes: Vec<String> = nodes.iter().map(|n| n.to_string()).collect();
        Active {
            step: kind.name().into(),
            kind,
            touched: nodes.clone(),
            hurt: nodes.clone(),
            fault: kind.build(&Params::default(), &vec![nodes.clone()]),
            looking: Duration::ZERO,
            nodes,
        }
    }

    /// Three nodes of one role, each in an AZ of its own.
    fn three(role: &str) -> Topology {
        let node = |az: &str| Node {
            name: format!("{role}-{az}"),
            az: az.into(),
            role: role.into(),
        };
        Topology {
            azs: ["a", "b", "c"].map(String::from).to_vec(),
            nodes: ["a", "b", "c"].map(node).to_vec(),
            ..Topology::default()
        }
    }

    #[test]
    fn a_majority_is_guarded_whatever_its_role_is_called() {
        let group = |members: [&str; 3]| Group {
            name: "shard/0".into(),
            leader: None,
            term: None,
            members: members.map(String::from).to_vec(),
        };
        let known = Ok(vec![group(["redis-a", "redis-b", "redis-c"])]);
        for groups in [known, Ok(Vec::new()), Err("nobody asked".into())] {
            let admission = Admission::default();
            let admit = |node: &str| {
                let new = active(FaultKind::Kill, &[node]);
                admission.admit(new, &groups, &three("redis"), false)
            };
            assert_eq!(admit("redis-a"), Ok(1));
            let why = admit("redis-b").unwrap_err();
            assert!(why.contains("2 of 3"), "{why}");
        }
        // Where a role is declared to hold replicas, others do not count.
        let mut topology = three("storage");
        topology.nodes.extend(three("router").nodes);
        let holds = Role {
            replicas: true,
            endpoint: false,
        };
        topology.roles.insert("storage".into(), holds);
        let admission = Admission::default();
        for node in ["storage-a", "router-b", "router-c"] {
            let new = active(FaultKind::Kill, &[node]);
            let nobody = Err("nobody asked".into());
            assert!(admission.admit(new, &nobody, &topology, false).is_ok());
        }
    }

    #[test]
    fn what_goes_in_turn_is_away_one_at_a_time() {
        let rolling = active(FaultKind::RollingRestart, &["a", "b", "c"]);
        let dead = active(FaultKind::Kill, &["d"]);
        let both = [rolling, dead];
        let hurt = Hurt::of(both.iter());
        assert_eq!(hurt.most(|_| true).0, 2);
        assert_eq!(hurt.most(|n| n != "d").0, 1);
        assert_eq!(hurt.most(|n| n == "x").0, 0);
        assert_eq!(Hurt::of(both[..1].iter()).most(|_| true).0, 1);
    }
}
