//! `run.json`.

use crate::cli::RunArgs;
use crate::identity;
use crate::prepare::{Lent, Prepared};
use clap::ValueEnum;
use gameday_chaos::abilities::Abilities;
use gameday_chaos::playbook::values;
use gameday_chaos::runtime::Runtime;
use gameday_chaos::runtime::marks::RunMarks;
use gameday_record::{RunClock, RunInfo};

/// What is run, where, and how to run it again.
pub fn info(
    args: &RunArgs,
    prepared: &Prepared,
    abilities: &Abilities,
    runtime: &dyn Runtime,
    clock: RunClock,
    epoch_utc: &str,
    marks: &RunMarks,
) -> RunInfo {
    let mut extra: Vec<String> = Vec::new();
    if let Some(subnet) = &args.subnet {
        extra.extend(["--subnet".into(), subnet.clone()]);
    }
    if let Some(duration) = args.duration {
        extra.extend(["--duration".into(), values::show(duration)]);
    }
    if let Some(traffic) = args.traffic.and_then(|t| t.to_possible_value()) {
        extra.extend(["--traffic".into(), traffic.get_name().into()]);
    }
    if let Some(bug) = args.bug {
        extra.extend(["--bug".into(), bug.name().into()]);
    }
    for name in &args.adopt {
        extra.extend(["--adopt".into(), name.clone()]);
    }
    RunInfo {
        id: marks.run.clone(),
        playbook: prepared.name.clone(),
        title: prepared.playbook.title.clone(),
        playbook_text: prepared.playbook.source.text.clone(),
        seed: prepared.seed,
        runtime: runtime.name().into(),
        epoch_utc: epoch_utc.into(),
        epoch_monotonic_ns: clock.epoch,
        topology: prepared.topology.clone(),
        cluster: prepared
            .lent
            .is_none()
            .then(|| prepared.playbook.cluster.clone()),
        unpromised: prepared
            .lent
            .as_ref()
            .map(Lent::unpromised)
            .unwrap_or_default(),
        workload: prepared.playbook.measuring.workload.clone(),
        slo: prepared.playbook.measuring.slo.clone(),
        alarms: prepared.playbook.measuring.alarms.clone(),
        versions: identity::versions(runtime.engine_version()),
        replay: identity::replay(
            &args.playbook.display().to_string(),
            prepared.seed,
            runtime.name(),
            &extra,
        ),
        plan: prepared.plan.lines_in(abilities),
        runner: marks.runner.to_string(),
    }
}
