//! `gameday plan`: what a playbook would do here, or why it cannot.

use crate::cli::PlanArgs;
use crate::exit::Exit;
use crate::prepare::{Chosen, prepare, stage};
use crate::print;
use crate::system::adopted::fit;

/// Prints the plan.
pub async fn main(args: PlanArgs) -> Exit {
    let chosen = Chosen {
        seed: args.seed,
        duration: args.duration,
        adopt: &args.adopt,
        ..Chosen::default()
    };
    let prepared = match prepare(&args.playbook, chosen).await {
        Ok(p) => p,
        Err(exit) => return exit,
    };
    let stage = match stage(&prepared.playbook, args.runtime, args.traffic).await {
        Ok(stage) => stage,
        Err(exit) => return exit,
    };
    let mut lines = vec![format!(
        "{}  (seed {}, runtime {}: {})",
        prepared.playbook.title, prepared.seed, stage.runtime, stage.why
    )];
    if let Some(lent) = &prepared.lent {
        lines.extend(fit::lines(&lent.adoption));
    }
    lines.extend(prepared.playbook.measuring.lines());
    lines.extend(prepared.plan.lines_in(&stage.abilities));
    lines.push(format!(
        "at least {} s, the start and the checks not counted",
        prepared.plan.least_duration().as_secs()
    ));
    print::out(&lines.join("\n"));
    Exit::Pass
}
