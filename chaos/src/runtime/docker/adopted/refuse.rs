//! What cannot be done safely to a container that is somebody else's, why, and
//! what would help. Pure: over what the engine says of it and of its neighbours.

use super::found::{Found, Network, Standing};
use super::snapshot::{BEFORE_LABEL, Before};
use crate::runtime::marks::RUN_LABEL;
use std::fmt;

/// Labels of what starts containers by itself, elsewhere if need be, and what that is.
const ORCHESTRATORS: [(&str, &str); 3] = [
    ("com.docker.swarm.task.id", "Docker Swarm"),
    ("io.kubernetes.pod.name", "Kubernetes"),
    ("com.hashicorp.nomad.alloc_id", "Nomad"),
];

/// What of a container is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// It cannot be adopted at all.
    Everything,
    /// To end it or to start it anew: kill, stop, restart, power-off.
    Ending,
    /// To take its power, so that what it has not synced is lost.
    Power,
    /// To freeze it.
    Freezing,
    /// To make its links worse.
    Links,
    /// To bound what it uses.
    Bounds,
    /// To be chosen by its AZ.
    Zone,
}

impl Part {
    /// What of it is meant, for people.
    pub fn name(self) -> &'static str {
        match self {
            Part::Everything => "everything",
            Part::Ending => "kill, stop, restart, power-off",
            Part::Power => "power-off",
            Part::Freezing => "pause",
            Part::Links => "partitions and traffic",
            Part::Bounds => "cpu and memory limits",
            Part::Zone => "selection by AZ",
        }
    }
}

/// Something that is not done to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its name.
    pub container: String,
    /// What is refused.
    pub part: Part,
    /// Why.
    pub why: String,
    /// What would make it possible.
    pub help: String,
}

impl Refusal {
    /// Of this container.
    pub fn new(found: &Found, part: Part, why: impl Into<String>, help: impl Into<String>) -> Self {
        Refusal {
            container: found.name.clone(),
            part,
            why: why.into(),
            help: help.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal {
            container,
            part,
            why,
            help,
        } = self;
        write!(
            f,
            "{container}: {} refused: {why}; what helps: {help}",
            part.name()
        )
    }
}

/// Why it cannot lose power; `disks`: whether it has volumes that can, or why those it has cannot.
pub fn power(found: &Found, disks: Result<bool, String>) -> Option<Refusal> {
    let why = match disks {
        Ok(true) => return None,
        Ok(false) => "it has no volume with a file system of its own, and what it has not synced \
                      would survive in the host's page cache, as after a kill"
            .into(),
        Err(why) => why,
    };
    let help = "gameday volume create, and its data on that volume alone";
    Some(Refusal::new(found, Part::Power, why, help))
}

/// Whether it is in the network namespace of that one.
fn joins(found: &Found, other: &Found) -> bool {
    matches!(&found.network, Network::Of(whose) if other.is_called(whose))
}

/// Why it cannot be adopted at all, whoever agrees. `all` are all containers of the engine.
pub fn whole(found: &Found, all: &[Found]) -> Option<Refusal> {
    let refuse = |why: String, help: &str| Some(Refusal::new(found, Part::Everything, why, help));
    let adopts = |other: &&Found| {
        let label = other.label(BEFORE_LABEL);
        label.is_some_and(|text| Before::from_label(text).is_ok_and(|before| before.id == found.id))
    };
    if let Some(agent) = all.iter().find(adopts) {
        let run = agent.label(RUN_LABEL).unwrap_or("another one");
        return refuse(
            format!("run {run} has adopted it and not let it go"),
            "to wait for the end of that run, or `gameday revert` if it is dead",
        );
    }
    if found.label(RUN_LABEL).is_some() {
        return refuse(
            "it is gameday's own, of another run or cluster".into(),
            "to adopt what the system consists of",
        );
    }
    for (label, who) in ORCHESTRATORS {
        if found.label(label).is_some() {
            return refuse(
                format!("{who} runs it, and would replace it while it is hurt"),
                "a system that Docker alone runs, for example by Compose",
            );
        }
    }
    match found.standing {
        Standing::Runs => None,
        Standing::Paused => refuse(
            "somebody has paused it, and it must not be thawed by us".into(),
            "docker unpause, if it is yours to do",
        ),
        Standing::Restarting => refuse(
            "it ends again and again, and its restart policy starts it".into(),
            "to find out why: docker logs",
        ),
        Standing::Ended => refuse(
            "it does not run, so that nobody knows how it should be".into(),
            "to start it first",
        ),
    }
}

/// What of it cannot be done, while all else can. `all` are all containers of the engine, and
/// `is_adopted` says which of them are; `az` is whether its AZ is known.
pub fn parts(
    found: &Found,
    all: &[Found],
    is_adopted: &dyn Fn(&Found) -> bool,
    az: bool,
) -> Vec<Refusal> {
    let mut refused = Vec::new();
    let mut refuse = |part, why: String, help: String| {
        refused.push(Refusal::new(found, part, why, help));
    };
    if found.goes_when_it_ends {
        refuse(
            Part::Ending,
            "the engine removes it when it ends (--rm): it could not be started again".into(),
            "to make it without --rm".into(),
        );
    }
    match &found.network {
        Network::Own
            if found
                .networks
                .values()
                .all(|at| at.addresses().next().is_none()) =>
        {
            refuse(
                Part::Links,
                "it has no address in any network".into(),
                "to connect it to a network".into(),
            );
        }
        Network::Own => {}
        Network::Host => refuse(
            Part::Links,
            "it is in the host's network, where a rule would meet everybody".into(),
            "a network of its own (no network_mode: host)".into(),
        ),
        Network::None => refuse(
            Part::Links,
            "it has no network (network_mode: none)".into(),
            "to connect it to a network".into(),
        ),
        Network::Of(whose) => {
            let owner = all.iter().find(|other| other.is_called(whose));
            let owner = owner.map_or(whose.as_str(), |other| other.name.as_str());
            refuse(
                Part::Links,
                format!("its network is that of {owner}: both are one unit there"),
                format!("to name {owner} instead"),
            );
        }
    }
    for guest in all.iter().filter(|other| joins(other, found)) {
        // It would be left in a network namespace that leads nowhere.
        refuse(
            Part::Ending,
            format!(
                "{} is in its network, and would be cut off for good",
                guest.name
            ),
            format!("to give {} a network of its own", guest.name),
        );
        if !is_adopted(guest) {
            refuse(
                Part::Links,
                format!(
                    "{} is in its network, and nobody has lent that one",
                    guest.name
                ),
                format!("to adopt {} too", guest.name),
            );
        }
    }
    if !az {
        refuse(
            Part::Zone,
            "its AZ is not known".into(),
            "the label that [system] names for AZs, or to name the container in its map".into(),
        );
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::docker::adopted::examples::container;

    fn refused(found: &Found, all: &[Found]) -> Vec<Part> {
        let adopted = |other: &Found| other.name.starts_with("shop");
        let all = parts(found, all, &adopted, true);
        all.into_iter().map(|r| r.part).collect()
    }

    #[test]
    fn what_shares_a_network_is_one_unit_there() {
        let owner = container("web", 1);
        let mut sidecar = container("proxy", 1);
        sidecar.network = Network::Of(owner.id.clone());
        let mut stranger = sidecar.clone();
        stranger.name = "other-proxy-1".into();
        let all = [owner.clone(), sidecar.clone(), stranger.clone()];
        assert_eq!(refused(&sidecar, &all), [Part::Links]);
        // The sidecar is lent as well, and would still be cut off by a restart of the owner.
        assert_eq!(refused(&owner, &all[..2]), [Part::Ending]);
        assert_eq!(
            refused(&owner, &all),
            [Part::Ending, Part::Ending, Part::Links]
        );
        assert_eq!(refused(&container("db", 1), &all), []);
    }

    #[test]
    fn what_another_run_has_adopted_is_left_to_it() {
        let (found, other) = (container("db", 1), container("db", 2));
        let mut agent = container("agent", 1);
        let before = Before::of("db", &found).to_label().unwrap();
        agent.labels.insert(BEFORE_LABEL.into(), before);
        agent.labels.insert(RUN_LABEL.into(), "r7".into());
        let all = [found.clone(), other.clone(), agent];
        let refusal = whole(&found, &all).unwrap();
        assert!(refusal.why.contains("run r7 has adopted it"), "{refusal}");
        assert_eq!(whole(&other, &all), None);
    }

    #[test]
    fn a_container_without_an_address_has_no_links() {
        let mut found = container("db", 1);
        found.networks.clear();
        assert_eq!(refused(&found, &[]), [Part::Links]);
    }
}
