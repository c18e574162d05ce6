//! The table of all faults: what each is called, acts on, needs and excludes.

use super::shape::{self, Shape};
use super::{
    Direction, Fault, How, Params, Sides, clock_skew, crash_loop, damage, disk_error, disk_full,
    disk_slow, kill, limits, partition, pause, power_off, resources, restart, rolling,
    rolling_restart, rolling_upgrade, stop, traffic,
};
use crate::abilities::Ability;
use gameday_record::Topology;
use std::sync::Arc;
use std::time::Duration;

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

    /// The shape of a partition, or of the links whose traffic is made worse.
    fn shape(self, params: &Params) -> Option<Shape> {
        match self {
            FaultKind::PowerOff
            | FaultKind::Kill
            | FaultKind::Stop
            | FaultKind::Restart
            | FaultKind::CrashLoop
            | FaultKind::RollingRestart
            | FaultKind::RollingUpgrade
            | FaultKind::Pause
            | FaultKind::DiskFull
            | FaultKind::DiskSlow
            | FaultKind::DiskError
            | FaultKind::BitFlip
            | FaultKind::Truncate
            | FaultKind::ClockSkew
            | FaultKind::CpuLimit
            | FaultKind::MemoryLimit => None,
            FaultKind::Isolate | FaultKind::Majority | FaultKind::Reset => Some(Shape::Isolate),
            FaultKind::Split | FaultKind::Leader => Some(Shape::Split),
            FaultKind::OneWay
            | FaultKind::Delay
            | FaultKind::Loss
            | FaultKind::Duplicate
            | FaultKind::Corrupt
            | FaultKind::Reorder
            | FaultKind::Rate
            | FaultKind::Traffic => Some(match params.direction {
                Direction::In => Shape::Deaf,
                Direction::Out => Shape::Mute,
                Direction::Both => Shape::Isolate,
            }),
            FaultKind::Bridge => Some(Shape::Bridge),
            FaultKind::MajoritiesRing => Some(Shape::Ring),
            FaultKind::Clients => Some(Shape::Clients(params.from.clone())),
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
    fn is_traffic(self) -> bool {
        FaultKind::TRAFFIC.contains(&self)
    }

    /// What becomes of what a partition holds back.
    fn how(self, params: &Params) -> How {
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

    /// Why it makes no sense on these targets.
    ///
    /// # Errors
    /// For example that it would cut nothing.
    pub fn check(self, params: &Params, sides: &Sides, topology: &Topology) -> Result<(), String> {
        match self.shape(params) {
            Some(shape) => shape::check(&shape, sides, topology),
            None if matches!(self.layer(), Layer::Disk | Layer::Clock) || self.damages_data() => {
                resources::have_data(sides, topology)
            }
            None => Ok(()),
        }
    }

    /// The nodes whose replicas it takes away. A replica behind bad links is not away, unless
    /// they are so bad that it must be expected to fall out ([`Traffic::takes_away`]).
    pub fn hurt(self, params: &Params, sides: &Sides, topology: &Topology) -> Vec<String> {
        match self.shape(params) {
            Some(_) if self.is_traffic() && !params.traffic.takes_away() => Vec::new(),
            Some(shape) => shape::hurt(&shape, sides, topology),
            // Its replicas are there, whatever time they think it is.
            None if self.layer() == Layer::Clock => Vec::new(),
            None => sides.concat(),
        }
    }

    /// The nodes that it takes away, or cuts off from somebody whom they need. Clients of others
    /// should not notice.
    pub fn touched(self, params: &Params, sides: &Sides, topology: &Topology) -> Vec<String> {
        let mut nodes = match self {
            // Clients reach the leader and its followers, and the followers each other.
            FaultKind::Leader => self.hurt(params, sides, topology),
            FaultKind::Bridge => shape::beside(&sides.concat(), topology),
            FaultKind::Clients => shape::called(&sides.concat(), topology),
            _ => sides.concat(),
        };
        nodes.sort();
        nodes
    }

    /// Whether it takes its targets away one at a time, never two at once.
    pub fn one_at_a_time(self) -> bool {
        matches!(self, FaultKind::RollingRestart | FaultKind::RollingUpgrade)
    }

    /// How long it usually takes until it is in force on so many nodes, at least and at most;
    /// its revert takes as long.
    pub fn rollout(self, params: &Params, nodes: usize) -> (Duration, Duration) {
        if self.one_at_a_time() {
            rolling::usually(nodes, params.pause)
        } else {
            (Duration::ZERO, Duration::ZERO)
        }
    }

    /// In how many AZs of `all` it takes replicas away at most, if its sides
    /// have replicas in at most so many AZs each.
    pub fn most_azs(self, params: &Params, sides: &[usize], all: usize) -> usize {
        if self.is_traffic() && !params.traffic.takes_away() {
            return 0;
        }
        let shape = self.shape(params).unwrap_or(Shape::Isolate);
        shape::most_azs(&shape, sides, all)
    }

    /// The fault on these nodes.
    pub fn build(self, params: &Params, sides: &Sides) -> Arc<dyn Fault> {
        let nodes = sides.concat();
        let resources = &params.resources;
        match self {
            FaultKind::Isolate
            | FaultKind::Split
            | FaultKind::Majority
            | FaultKind::OneWay
            | FaultKind::Bridge
            | FaultKind::MajoritiesRing
            | FaultKind::Leader
            | FaultKind::Clients
            | FaultKind::Reset => Arc::new(partition::Partition::new(
                self.shape(params).unwrap_or(Shape::Isolate),
                sides.clone(),
                self.how(params),
            )),
            FaultKind::Delay
            | FaultKind::Loss
            | FaultKind::Duplicate
            | FaultKind::Corrupt
            | FaultKind::Reorder
            | FaultKind::Rate
            | FaultKind::Traffic => Arc::new(traffic::Shaped::new(
                self.shape(params).unwrap_or(Shape::Isolate),
                sides.clone(),
                params.traffic,
            )),
            FaultKind::DiskFull => Arc::new(disk_full::fault(nodes, resources)),
            FaultKind::DiskSlow => Arc::new(disk_slow::fault(nodes, resources)),
            FaultKind::DiskError => Arc::new(disk_error::fault(nodes, resources)),
            FaultKind::BitFlip => Arc::new(damage::bit_flip(nodes, resources)),
            FaultKind::Truncate => Arc::new(damage::truncate(nodes, resources)),
            FaultKind::ClockSkew => Arc::new(clock_skew::ClockSkew::new(nodes, resources)),
            FaultKind::CpuLimit => Arc::new(limits::cpu_limit(nodes, resources)),
            FaultKind::MemoryLimit => Arc::new(limits::memory_limit(nodes, resources)),
            FaultKind::PowerOff => Arc::new(power_off::PowerOff::new(nodes)),
            FaultKind::Kill => Arc::new(kill::Kill::new(nodes)),
            FaultKind::Stop => Arc::new(stop::Stop::new(nodes)),
            FaultKind::Pause => Arc::new(pause::Pause::new(nodes)),
            FaultKind::Restart => Arc::new(restart::Restart::new(nodes)),
            FaultKind::CrashLoop => Arc::new(crash_loop::CrashLoop::new(nodes, params.uptime)),
            FaultKind::RollingRestart => {
                Arc::new(rolling_restart::RollingRestart::new(nodes, params.pause))
            }
            FaultKind::RollingUpgrade => {
                // The parser wants one; an empty path is refused when it is to be read.
                let binary = params.binary.clone().unwrap_or_default();
                let pause = params.pause;
                Arc::new(rolling_upgrade::RollingUpgrade::new(nodes, binary, pause))
            }
        }
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
            // What acts on links has a shape, and nothing else has.
            let shape = kind.shape(&Params::default());
            assert_eq!(shape.is_some(), kind.layer() == Layer::Network, "{kind:?}");
        }
        let groups = [FaultKind::TRAFFIC, FaultKind::PARTITIONS].concat();
        for kind in groups {
            assert_eq!(kind.layer(), Layer::Network, "{kind:?}");
        }
    }
}
