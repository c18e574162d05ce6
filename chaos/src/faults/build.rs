//! What each fault of the catalogue does, and to whom: its shape, its blast radius, and the fault
//! itself on its targets.

use super::shape::{self, Shape};
use super::{
    Direction, Fault, FaultKind, Layer, Params, Sides, clock_skew, crash_loop, damage, disk_error,
    disk_full, disk_slow, kill, limits, partition, pause, power_off, resources, restart, rolling,
    rolling_restart, rolling_upgrade, stop, traffic,
};
use gameday_record::Topology;
use std::sync::Arc;
use std::time::Duration;

impl FaultKind {
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

    #[test]
    fn what_acts_on_links_has_a_shape_and_nothing_else_has() {
        for kind in FaultKind::ALL {
            let shape = kind.shape(&Params::default());
            assert_eq!(shape.is_some(), kind.layer() == Layer::Network, "{kind:?}");
        }
    }
}
