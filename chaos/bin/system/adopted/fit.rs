//! Whether what is planned can be done to the containers that it is planned for, before anything
//! is touched.

use super::layout::role;
use gameday_chaos::abilities::Ability;
use gameday_chaos::faults::FaultKind;
use gameday_chaos::plan::{Plan, PlannedStep, PlannedTarget};
use gameday_chaos::playbook::{Diagnostic, Playbook};
use gameday_chaos::runtime::docker::adopted::discover::{Adoption, Target};
use gameday_chaos::runtime::docker::adopted::refuse::Part;
use std::collections::BTreeSet;

/// Every step that does to a container what is refused for it, where it stands.
pub fn refuse(playbook: &Playbook, plan: &Plan, adoption: &Adoption) -> Vec<Diagnostic> {
    let mut told = BTreeSet::new();
    let mut all = Vec::new();
    for step in &plan.steps {
        for (target, part) in asked(step, &adoption.targets) {
            let Some(refusal) = target.refusal(part) else {
                continue;
            };
            let message = format!(
                "{} cannot be done to {}: {}",
                step.fault.name(),
                target.unit,
                refusal.why
            );
            let Some(of) = step.origin.of(playbook) else {
                continue;
            };
            let mut d = of.wrong_target(&playbook.source, message);
            d.help = Some(refusal.help.clone());
            if told.insert((target.unit.clone(), part, step.origin)) {
                all.push(d);
            }
        }
    }
    all
}

/// What a step may do, and to whom.
fn asked<'t>(step: &PlannedStep, targets: &'t [Target]) -> Vec<(&'t Target, Part)> {
    let mut all = Vec::new();
    for part in parts(step) {
        let hit = targets.iter().filter(|target| match (&step.target, part) {
            // Links have two ends, and anybody may be at the other one.
            (_, Part::Links) | (PlannedTarget::Later { .. }, _) => true,
            (PlannedTarget::Nodes(sides), _) => sides.iter().flatten().any(|n| *n == target.unit),
        });
        all.extend(hit.map(|target| (target, part)));
    }
    all
}

fn parts(step: &PlannedStep) -> BTreeSet<Part> {
    let needs = step.fault.needs(&step.params).iter();
    let power = (step.fault == FaultKind::PowerOff).then_some(Part::Power);
    needs
        .filter_map(|ability| match ability {
            Ability::Processes if step.fault == FaultKind::Pause => Some(Part::Freezing),
            // Its process is looked at, and started again if the kernel ends it.
            Ability::Processes if step.fault == FaultKind::CpuLimit => None,
            Ability::Processes | Ability::Programs => Some(Part::Ending),
            Ability::Cuts
            | Ability::Rejects
            | Ability::SlowLinks
            | Ability::SpoiltMessages
            | Ability::DoubledMessages => Some(Part::Links),
            Ability::Bounds => Some(Part::Bounds),
            // Refused for all, by the place.
            Ability::Disks | Ability::StoredData | Ability::Clocks => None,
        })
        .chain(power)
        .collect()
}

/// What a game day would touch and what not, a line for each container.
pub fn lines(adoption: &Adoption) -> Vec<String> {
    let mut out = Vec::new();
    for target in &adoption.targets {
        let az = target
            .az
            .as_ref()
            .map_or("no AZ".into(), |az| format!("AZ {az}"));
        out.push(format!(
            "adopts    {} ({}, {az}, {}), lent by {}",
            target.unit,
            target.found.name,
            role(target),
            target.consent
        ));
    }
    // Most have no disk of their own, which is told where a step asks for it.
    let refused = adoption.refusals().filter(|r| r.part != Part::Power);
    out.extend(refused.map(|refusal| format!("refuses   {refusal}")));
    out
}
