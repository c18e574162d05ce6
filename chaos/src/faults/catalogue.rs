//! The catalogue of all faults: what each is called, acts on, needs and excludes. What each does is
//! in `build.rs`.

use super::{How, Params};
use crate::abilities::Ability;
/// The enum, the list of all and the names are one table, so that none of them can miss a fault.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)+) => {
        /// Every fault there is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum FaultKind {
            $($(#[$doc])* $kind,)+
        }

        impl FaultKind {
            /// All, in the order in which they are listed to people.
            pub const ALL: &'static [FaultKind] = &[$(FaultKind::$kind),+];

            /// Its name in playbooks and timelines.
            pub fn name(self) -> &'static str {
                match self {
                    $(FaultKind::$kind => $name,)+
                }
            }
        }
    };
}

kinds! {
    /// The machine loses power: its network falls silent and what was not synced is lost.
    PowerOff = "power-off",
    /// SIGKILL: the process dies, the machine lives.
    Kill = "kill",
    /// SIGTERM: the process ends in an orderly way and stays away.
    Stop = "stop",
    /// SIGTERM, and started again at once.
    Restart = "restart",
    /// SIGKILL and started again at once, over and over.
    CrashLoop = "crash-loop",
    /// As [`FaultKind::Restart`], but one node after the other, each when the one before serves.
    RollingRestart = "rolling-restart",
    /// Each node in turn is started as another build of its program; the revert is the way back.
    RollingUpgrade = "rolling-upgrade",
    /// The process is frozen.
    Pause = "pause",
    /// The targets and everybody else cannot reach each other.
    Isolate = "isolate",
    /// Two or more groups cannot reach each other.
    Split = "split",
    /// A minority of the AZs, drawn by the seed, and the majority cannot reach each other.
    Majority = "majority",
    /// Messages between the targets and everybody else pass in one direction only.
    OneWay = "one-way",
    /// The nodes beside the targets fall into two halves that only the targets reach both of.
    Bridge = "bridge",
    /// Each of the targets reaches a majority of them, and no two the same.
    MajoritiesRing = "majorities-ring",
    /// The leader of a partition and its followers cannot reach each other; clients reach all.
    Leader = "leader",
    /// Clients and the targets cannot reach each other; the nodes among themselves can.
    Clients = "clients",
    /// The node's disk has no room left.
    DiskFull = "disk-full",
    /// Every sync of the node's disk takes longer.
    DiskSlow = "disk-slow",
    /// Operations of one kind fail on the node's disk.
    DiskError = "disk-error",
    /// The node dies, and comes back with one bit of what it stored flipped.
    BitFlip = "bit-flip",
    /// The node dies, and comes back with the end of a stored file missing.
    Truncate = "truncate",
    /// The node's wall clock jumps, or its monotonic clock goes at another rate.
    ClockSkew = "clock-skew",
    /// The node's process may use so much of a processor and no more: a slow node.
    CpuLimit = "cpu-limit",
    /// The node's process may use so much memory and no more.
    MemoryLimit = "memory-limit",
    /// As [`FaultKind::Isolate`], but connections are reset and new ones refused.
    Reset = "reset",
    /// Messages arrive later.
    Delay = "delay",
    /// Some messages never arrive.
    Loss = "loss",
    /// Some messages arrive twice.
    Duplicate = "duplicate",
    /// Of some messages a bit is another one.
    Corrupt = "corrupt",
    /// Some messages overtake others.
    Reorder = "reorder",
    /// Links carry no more than a rate.
    Rate = "rate",
    /// Several of these at once.
    Traffic = "traffic",
}

/// What a fault acts on; decides which faults exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The node's process.
    Process,
    /// The links between the targets and everybody else.
    Network,
    /// The node's disk, which the process may end of.
    Disk,
    /// The node's clock.
    Clock,
    /// What the node's process may use of the machine; it may end for want of memory.
    Bounds,
}

impl FaultKind {
    /// Those that make the traffic of links worse.
    pub const TRAFFIC: &'static [FaultKind] = &[
        FaultKind::Delay,
        FaultKind::Loss,
        FaultKind::Duplicate,
        FaultKind::Corrupt,
        FaultKind::Reorder,
        FaultKind::Rate,
        FaultKind::Traffic,
    ];

    /// Those that cut links, and can drop or reject.
    pub const PARTITIONS: &'static [FaultKind] = &[
        FaultKind::Isolate,
        FaultKind::Split,
        FaultKind::Majority,
        FaultKind::OneWay,
        FaultKind::Bridge,
        FaultKind::MajoritiesRing,
        FaultKind::Leader,
        FaultKind::Clients,
    ];

    /// Further names that playbooks may use.
    pub fn aliases(self) -> &'static [&'static str] {
        match self {
            FaultKind::Isolate => &["partition", "stall"],
            FaultKind::Majority => &["minority"],
            FaultKind::CpuLimit => &["slow-node"],
            // To an older build and back.
            FaultKind::RollingUpgrade => &["rolling-downgrade"],
            _ => &[],
        }
    }

    /// The kind of this name or alias.
    pub fn named(name: &str) -> Option<FaultKind> {
        let is = |k: &FaultKind| k.name() == name || k.aliases().contains(&name);
        FaultKind::ALL.iter().copied().find(is)
    }

    /// What it acts on.
    pub fn layer(self) -> Layer {
        match self {
            FaultKind::DiskFull | FaultKind::DiskSlow | FaultKind::DiskError => Layer::Disk,
            FaultKind::ClockSkew => Layer::Clock,
            FaultKind::CpuLimit | FaultKind::MemoryLimit => Layer::Bounds,
            FaultKind::PowerOff
            | FaultKind::Kill
            | FaultKind::Stop
            | FaultKind::Restart
            | FaultKind::CrashLoop
            | FaultKind::RollingRestart
            | FaultKind::RollingUpgrade
            | FaultKind::Pause
            | FaultKind::BitFlip
            | FaultKind::Truncate => Layer::Process,
            FaultKind::Isolate
            | FaultKind::Split
            | FaultKind::Majority
            | FaultKind::OneWay
            | FaultKind::Bridge
            | FaultKind::MajoritiesRing
            | FaultKind::Leader
            | FaultKind::Clients
            | FaultKind::Reset
            | FaultKind::Delay
            | FaultKind::Loss
            | FaultKind::Duplicate
            | FaultKind::Corrupt
            | FaultKind::Reorder
            | FaultKind::Rate
            | FaultKind::Traffic => Layer::Network,
        }
    }

    /// Whether it is in its nature that its targets' processes end, freeze or are started again.
    pub fn explains_an_end(self) -> bool {
        match self.layer() {
            Layer::Process | Layer::Disk => true,
            // For want of memory the kernel ends it; one that is slow lives.
            Layer::Bounds => self == FaultKind::MemoryLimit,
            Layer::Network | Layer::Clock => false,
        }
    }

    /// Whether it destroys what a node has stored: done only where the playbook allows it, and
    /// never to more than a minority of a quorum.
    pub fn damages_data(self) -> bool {
        matches!(self, FaultKind::BitFlip | FaultKind::Truncate)
    }

    /// What a place must be able to do for it.
    pub fn needs(self, params: &Params) -> &'static [Ability] {
        match self.layer() {
            // Its network falls silent before its process is killed.
            _ if self == FaultKind::PowerOff => &[Ability::Processes, Ability::Cuts],
            _ if self.damages_data() => &[Ability::Processes, Ability::StoredData],
            _ if self == FaultKind::RollingUpgrade => &[Ability::Processes, Ability::Programs],
            Layer::Process => &[Ability::Processes],
            // A node may end of its disk, and is started again.
            Layer::Disk => &[Ability::Disks, Ability::Processes],
            Layer::Clock => &[Ability::Clocks],
            Layer::Bounds => &[Ability::Bounds, Ability::Processes],
            Layer::Network if self.is_traffic() => self.needs_of_links(params),
            Layer::Network => match self.how(params) {
                How::Drop => &[Ability::Cuts],
                How::Reject => &[Ability::Rejects],
            },
        }
    }

    /// What a place must be able to do with links to make their traffic worse.
    fn needs_of_links(self, params: &Params) -> &'static [Ability] {
        use FaultKind::{Corrupt, Delay, Duplicate, Loss, Rate, Reorder};
        let traffic = params.traffic;
        if self == Duplicate || !traffic.duplicate.is_never() {
            return &[Ability::DoubledMessages];
        }
        let slow = matches!(self, Delay | Reorder | Rate)
            || !traffic.delay.is_zero()
            || traffic.rate.is_some();
        let spoils = matches!(self, Loss | Corrupt | Reorder) || traffic.spoils_messages();
        match (slow, spoils) {
            (true, true) => &[Ability::SlowLinks, Ability::SpoiltMessages],
            (false, true) => &[Ability::SpoiltMessages],
            (_, false) => &[Ability::SlowLinks],
        }
    }

    /// Whether it makes the traffic of links worse.
    pub(super) fn is_traffic(self) -> bool {
        FaultKind::TRAFFIC.contains(&self)
    }

    /// What becomes of what a partition holds back.
    pub(super) fn how(self, params: &Params) -> How {
        match self {
            FaultKind::Reset => How::Reject,
            _ => params.how,
        }
    }

    /// Why this fault on some nodes and `other` on others cannot be in force
    /// at once; `shared` says whether they have a node in common.
    pub fn excludes(self, other: FaultKind, shared: bool) -> Option<&'static str> {
        match (self.layer(), other.layer()) {
            (Layer::Network, Layer::Network) => Some(
                "two faults of links at once meet on the same ones, and neither could be proven or \
                 reverted by itself",
            ),
            // A clock is wrong whatever happens to the links.
            (Layer::Clock, Layer::Network) | (Layer::Network, Layer::Clock) => None,
            _ if shared => Some("they act on the same node, and one would hide the other"),
            _ => None,
        }
    }

    /// Whether it takes its targets away one at a time, never two at once.
    pub fn one_at_a_time(self) -> bool {
        matches!(self, FaultKind::RollingRestart | FaultKind::RollingUpgrade)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_fault_has_a_name_of_its_own_and_one_layer() {
        let mut names = BTreeSet::new();
        for kind in FaultKind::ALL {
            for name in [&[kind.name()], kind.aliases()].concat() {
                assert!(names.insert(name), "{name} twice");
                assert_eq!(FaultKind::named(name), Some(*kind));
            }
        }
        let groups = [FaultKind::TRAFFIC, FaultKind::PARTITIONS].concat();
        for kind in groups {
            assert_eq!(kind.layer(), Layer::Network, "{kind:?}");
        }
    }
}
