//! From a run folder to a [`Report`]. Reads, then computes; what is missing
//! or torn becomes a reason not to conclude, never a number.

mod alarms;
mod availability;
mod brownout;
mod definitions;
mod injections;
mod intake;
mod lag;
mod measure;
mod recovery_row;
mod slo;
mod timeline;

use crate::fold::{Kind, Patience};
use crate::overall::{self, Facts};
use crate::report::{
    DataReport, Gap, Headline, InjectionReport, Measured, Overall, REPORT_VERSION, Report,
    RunSummary, SliGroup, SliRow,
};
use gameday_record::folder::read_json;
use gameday_record::{DataVerdict, Nanos, RunFolder, RunInfo, RunState, Unpromised, Verdict};
use intake::Intake;
use std::collections::BTreeSet;
use std::time::Duration;
use timeline::Story;

/// Reads a run folder and computes its report. A folder of an interrupted run
/// is fine: what is missing is said in the report.
///
/// # Errors
/// `run.json` is missing or malformed: without it there is nothing to report on.
pub fn assemble(folder: &RunFolder) -> Result<Report, String> {
    let run = folder.read_run()?;
    let mut unreadable = Vec::new();
    let lines = folder.read_timeline().unwrap_or_else(|e| {
        unreadable.push(format!("The timeline could not be read: {e}"));
        Vec::new()
    });
    let story = Story::read(lines);
    let patience = Patience::of(&run.workload);
    let intake = Intake::read(folder, &story, patience).unwrap_or_else(|e| {
        unreadable.push(format!("The history could not be read: {e}"));
        Intake::new(&story, patience)
    });
    let data = read_verdict(folder);
    Ok(compute(run, story, intake, data, &unreadable))
}

fn read_verdict(folder: &RunFolder) -> DataReport {
    let unknown = |why: String| DataReport {
        verdict: Verdict::Unknown,
        why,
        checks: Vec::new(),
        resolution: None,
    };
    if !folder.verdict().exists() {
        return unknown("the data were not checked (there is no verdict.json).".into());
    }
    match read_json::<DataVerdict>(&folder.verdict()) {
        Err(e) => unknown(format!("{e}.")),
        Ok(v) => {
            // What the file says as a whole must not be better than its checks.
            let verdict = v.verdict.and(DataVerdict::new(v.checks.clone()).verdict);
            let why = match verdict {
                Verdict::Pass => String::new(),
                Verdict::Fail => {
                    v.checks
                        .iter()
                        .filter(|c| c.verdict == Verdict::Fail)
                        .map(failed_check)
                        .collect::<Vec<_>>()
                        .join("; ")
                        + "."
                }
                Verdict::Unknown => v
                    .checks
                    .iter()
                    .find(|c| c.verdict == Verdict::Unknown)
                    .map_or("no check was made.".into(), |c| {
                        format!("{}: {}", c.name, c.detail)
                    }),
            };
            DataReport {
                verdict,
                why,
                checks: v.checks,
                resolution: v.resolution,
            }
        }
    }
}

/// `lost-writes found lost write on key k17 and 3 more anomalies`
fn failed_check(c: &gameday_record::Check) -> String {
    let total = c.anomalies_total.max(c.anomalies.len() as u64);
    match c.anomalies.first() {
        None => format!("{} failed ({})", c.name, c.detail.trim_end_matches('.')),
        Some(a) => {
            let more = match total {
                1 => String::new(),
                2 => " and 1 more anomaly".into(),
                n => format!(" and {} more anomalies", crate::numbers::count(n - 1)),
            };
            format!("{} found {} on key {}{more}", c.name, a.name, a.key)
        }
    }
}

fn limits(
    run: &RunInfo,
    sli: &[SliRow],
    injections: &[InjectionReport],
    measured: Measured,
    last_insert: Option<Nanos>,
    data: &DataReport,
) -> Vec<String> {
    let mut all = measure::limits(run, sli, injections, measured);
    // What `gameday canary` leaves of a history that outgrew its folder.
    if data.checks.iter().any(|c| c.name == "earlier-segments") {
        let newest = "Only the newest part of the history was kept: availability, latency and alarms are \
                      those of this part. Of what was before, only the data were judged.";
        all.insert(0, newest.into());
    }
    for left_out in &run.unpromised {
        let Unpromised { check, why } = left_out;
        all.push(format!("'{check}' was not checked: {why}"));
    }
    // Ten turns of a pair without an insert are no chance.
    let rate = run.workload.rate * run.workload.inserts;
    let turns = Duration::from_secs_f64(if rate > 0.0 {
        (10.0 / rate).min(1e9)
    } else {
        1e9
    });
    if let Some(at) = last_insert.filter(|at| *at + turns < measured.to) {
        all.push(format!(
            "No key was inserted after {at}, for there is a bound on their number: what was \
             acknowledged later is judged by registers alone, where a newer write can hide a loss."
        ));
    }
    all
}

fn compute(
    run: RunInfo,
    mut story: Story,
    intake: Intake,
    mut data: DataReport,
    unreadable: &[String],
) -> Report {
    let measured = intake.measured(&story);
    let Intake {
        patience,
        complete,
        fold,
        load,
        errors,
        last_insert,
        ..
    } = intake;
    let touched: BTreeSet<String> = story
        .injections
        .iter()
        .flat_map(|i| i.injection.azs.iter().cloned())
        .collect();

    let cells = load.cells();
    let faults = injections::faults(&story.injections);
    let writes = measure::acknowledged_writes(&load, measured);
    injections::measure(
        &mut story.injections,
        &cells,
        &faults,
        measured,
        writes.as_ref(),
    );

    let series = measure::series(&fold, &load, measured, &story.phases);
    let trust = measure::trust(&run, &fold, &load, measured, complete, &series);
    let thin_pairs = measure::thin_pairs(&run, &fold, &load, measured);
    let objectives = run.slo.all();
    // Objectives are promises over a whole run.
    let whole = story.state == Some(RunState::Completed) && complete;
    let slo = slo::rows(&slo::Observed {
        objectives: &objectives,
        fold: &fold,
        load: &load,
        patience,
        touched: &touched,
        injections: &story.injections,
        faults: &faults,
        measured,
        whole,
    });
    let alarms = alarms::rows(&alarms::Observed {
        fold: &fold,
        alarms: &run.alarms,
        objectives: &objectives,
        injections: &story.injections,
        touched: &touched,
        measured,
        whole,
        game_day: !(run.topology.nodes.is_empty() && run.plan.is_empty()),
        told: &story.told,
    });
    injections::alarmed(&mut story.injections, &alarms);
    let source = availability::Source {
        fold: &fold,
        cells: &cells,
        touched: &touched,
        measured,
        objectives: &objectives,
    };
    let sli = source.rows();
    let of = |kind| availability::headline(&fold, &touched, kind, &objectives);
    let (worst_recovery_ms, worst_recovery_note) = injections::worst_recovery(&story.injections);
    let (worst_failover_ms, worst_failover_note) =
        injections::worst(&story.injections, |x| &x.elsewhere);
    let (worst_total_ms, worst_total_note) = injections::worst(&story.injections, |x| &x.total);
    let headline = Headline {
        write: of(Kind::Write),
        read: of(Kind::StrongRead),
        eventual: of(Kind::EventualRead),
        worst_recovery_ms,
        worst_recovery_note,
        worst_failover_ms,
        worst_failover_note,
        worst_total_ms,
        worst_total_note,
        nines_proven: sli
            .iter()
            .filter(|r| r.group == SliGroup::Overall && r.proven_untouched.n > 0)
            .map(|r| r.proven_untouched.nines)
            .min(),
        write_gap: writes
            .and_then(|w| w.longest_gap())
            .map(|(from, to)| Gap { from, to }),
        doomed_writes: measure::doomed_writes(&load),
        data: data.verdict,
    };
    let errors = errors.rows();
    let (ending, reasons) = overall::judge(&Facts {
        errors: &errors,
        state: story.state,
        end_reason: story.end_reason.as_deref(),
        unreadable,
        history_complete: complete,
        measured: measured.operations > 0,
        unsent_share: trust.unsent_share,
        thin_pairs: &thin_pairs,
        slo: &slo,
        alarms: &alarms,
        injections: &story.injections,
        left_behind: &story.left_behind,
        reachability: story.reachability.as_ref(),
        planned: run.plan.len(),
        data: data.verdict,
        data_why: &data.why,
    });
    let sentence = overall::sentence(
        ending,
        &reasons,
        &headline,
        story.injections.len(),
        !slo.is_empty() || alarms.iter().any(|a| a.expect.is_some()),
    );
    if data.verdict == Verdict::Pass {
        data.why.clear();
    }
    let limits = limits(&run, &sli, &story.injections, measured, last_insert, &data);
    Report {
        version: REPORT_VERSION,
        overall: Overall {
            verdict: overall::verdict(ending),
            ending,
            exit_code: ending.exit_code(),
            sentence,
            reasons,
        },
        slo,
        alarms,
        sli,
        mcr: source.curves(),
        projections: source.projections(&story.injections),
        definitions: definitions::all(),
        cells: measure::cells(&fold, &touched, series.step),
        latency: measure::latency(&load, &story.injections),
        errors,
        limits,
        headline,
        measured,
        series,
        reachability: story.reachability,
        cluster_events: story.cluster_events,
        notes: story.notes,
        data,
        trust,
        run: RunSummary {
            id: run.id,
            playbook: run.playbook,
            title: run.title,
            playbook_text: run.playbook_text,
            seed: run.seed,
            runtime: run.runtime,
            started_utc: run.epoch_utc,
            duration: story.last.max(measured.to),
            topology: run.topology,
            versions: run.versions,
            features: run.replay.features,
            command: run.replay.command,
            plan: run.plan,
            timeout_ms: run.workload.timeout_ms,
            workload: Some(run.workload),
        },
        injections: story.injections,
    }
}
