//! What a place (a runtime on this host) can do, so that a playbook is refused
//! before it starts and not in the middle. A fault needs abilities
//! (`FaultKind::needs`); a place says of each whether it has it, by what
//! technique, or why not and what would help.

use std::collections::BTreeMap;

/// Something that faults are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ability {
    /// To signal, end and start the nodes' processes.
    Processes,
    /// To start nodes as another build of their program.
    Programs,
    /// To drop everything on chosen links.
    Cuts,
    /// To make the nodes' disks full, slow or failing.
    Disks,
    /// To damage files that nodes have stored.
    StoredData,
    /// To drop it and tell the sender.
    Rejects,
    /// To delay what crosses chosen links, or to limit its rate.
    SlowLinks,
    /// To lose, damage or turn around single messages on chosen links.
    SpoiltMessages,
    /// To double single messages on chosen links, whatever else is done to them.
    DoubledMessages,
    /// To set the nodes' clocks wrong.
    Clocks,
    /// To bound what nodes use of processor and memory.
    Bounds,
}

impl Ability {
    /// All, in the order in which they are listed to people.
    pub const ALL: &'static [Ability] = &[
        Ability::Processes,
        Ability::Programs,
        Ability::Cuts,
        Ability::Disks,
        Ability::StoredData,
        Ability::Rejects,
        Ability::SlowLinks,
        Ability::SpoiltMessages,
        Ability::DoubledMessages,
        Ability::Clocks,
        Ability::Bounds,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Ability::Processes => "processes",
            Ability::Programs => "programs",
            Ability::Cuts => "cuts",
            Ability::Disks => "disks",
            Ability::StoredData => "stored data",
            Ability::Rejects => "rejects",
            Ability::SlowLinks => "slow links",
            Ability::SpoiltMessages => "spoilt messages",
            Ability::DoubledMessages => "doubled messages",
            Ability::Clocks => "clocks",
            Ability::Bounds => "bounds",
        }
    }
}

/// Whether a place has an ability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Yes, by this technique, for example `netem`.
    By(String),
    /// No.
    Not {
        /// Why not.
        why: String,
        /// What would make it possible, if anything would.
        instead: Option<String>,
    },
}

/// What one place can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// `docker` or `process`.
    pub runtime: &'static str,
    /// What is not in it is not offered.
    pub offers: BTreeMap<Ability, Offer>,
}

/// Why a fault cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub why: String,
    /// What would make it possible, if anything would.
    pub instead: Option<String>,
}
