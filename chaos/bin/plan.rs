//! `gameday plan`: what a playbook would do here, or why it cannot.

use crate::cli::PlanArgs;
use crate::exit::Exit;
use crate::prepare::{choose, possible, prepare, techniques};
use crate::print;

/// Prints the plan.
pub async fn main(args: PlanArgs) -> Exit {
    let prepared = match prepare(&args.playbook, args.seed, None, args.duration) {
        Ok(p) => p,
        Err(exit) => return exit,
    };
    let (runtime, why) = match choose(args.runtime).await {
        Ok(choice) => choice,
        Err(why) => {
            eprintln!("{why}");
            return Exit::Usage;
        }
    };
    let techniques = match techniques(runtime, args.traffic).await {
        Ok(techniques) => techniques,
        Err(why) => {
            eprintln!("{why}");
            return Exit::Usage;
        }
    };
    let abilities = match possible(&prepared.playbook, runtime, techniques).await {
        Ok(abilities) => abilities,
        Err(exit) => return exit,
    };
    let mut lines = vec![format!(
        "{}  (seed {}, runtime {runtime}: {why})",
        prepared.playbook.title, prepared.seed
    )];
    lines.extend(prepared.playbook.measuring.lines());
    lines.extend(prepared.plan.lines_in(&abilities));
    lines.push(format!(
        "at least {} s, the start and the checks not counted",
        prepared.plan.least_duration().as_secs()
    ));
    print::out(&lines.join("\n"));
    Exit::Pass
}
