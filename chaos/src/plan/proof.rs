//! Whether what is planned can be proven in its time.

use super::planned::{PlannedStep, PlannedTarget};
use crate::faults::time::fits;
use crate::faults::{Layer, Sides};
use crate::playbook::values::show;
use gameday_record::{Node, Topology};
use std::time::Duration;

/// Checks one step.
///
/// # Errors
/// Why it could not be proven, and what would help.
pub(super) fn check(step: &PlannedStep, topology: &Topology) -> Result<(), (String, String)> {
    let otherwise = match step.fault.layer() {
        Layer::Network => "a larger share, a higher rate, or fewer links",
        Layer::Process | Layer::Disk | Layer::Clock | Layer::Bounds => {
            "a shorter delay, or a larger drift"
        }
    };
    let looking = looking(step, topology).map_err(|why| (why, format!("take {otherwise}")))?;
    fits(looking, step.hold, step.until.is_some()).map_err(|(why, least)| {
        let help = match least {
            Some(least) => format!("for = \"{}\" or longer; or {otherwise}", show(least)),
            None => format!("take {otherwise}, or a step without 'until'"),
        };
        (why, help)
    })
}

/// How long each look at it measures, if it does.
pub(super) fn takes(step: &PlannedStep, topology: &Topology) -> Option<Duration> {
    looking(step, topology).ok().filter(|d| !d.is_zero())
}

fn looking(step: &PlannedStep, topology: &Topology) -> Result<Duration, String> {
    let sides: Sides = match &step.target {
        PlannedTarget::Nodes(sides) => sides.clone(),
        // Whoever it will be: no fewer than one for each side. The runner asks again then.
        PlannedTarget::Later { sides, .. } => {
            let some = topology.replica_holders().map(|n| vec![n.name.clone()]);
            some.take(sides.len()).collect()
        }
    };
    let fault = step.fault.build(&step.params, &sides);
    fault.looking(topology, &instruments(topology))
}

/// A run has one canary in each AZ.
fn instruments(topology: &Topology) -> Vec<Node> {
    let canary = |az: &String| Node {
        name: format!("the canary of {az}"),
        az: az.clone(),
        role: "canary".into(),
    };
    topology.azs.iter().map(canary).collect()
}
