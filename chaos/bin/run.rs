//! `gameday run`: the whole journey. Cluster up, canaries, faults, checks,
//! cluster down, verdict, report. Whatever happens in between, the cluster goes
//! down and what was measured is judged and rendered.

use crate::alarms::Alarms;
use crate::cli::RunArgs;
use crate::exit::Exit;
use crate::live::Live;
use crate::prepare::{Prepared, prepare, stage};
use crate::recorder::{Canary, Recorder, tell_all};
use crate::recording::{Kept, Recording};
use crate::roles::StoreRoles;
use crate::stop::Stop;
use crate::undo::dead_runs;
use crate::up::{self, Place};
use crate::watchdog::{self, Watchdog};
use crate::{applied, ask, identity, judge, panics, print, recording, replicas, wiring};
use clap::ValueEnum;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join_all};
use gameday_canary::protocol::Command;
use gameday_chaos::abilities::Abilities;
use gameday_chaos::playbook::values;
use gameday_chaos::runner::{self, Cast, ExecutionSummary, Health, Timeline, phase_begins};
use gameday_chaos::runtime::Runtime;
use gameday_chaos::runtime::liveness;
use gameday_chaos::runtime::marks::{Kind, RunMarks};
use gameday_record::folder::write_json;
use gameday_record::history::HISTORY_VERSION;
use gameday_record::timeline::{Proof, TimelineWriter};
use gameday_record::{
    HistoryHeader, Node, Phase, RunClock, RunFolder, RunInfo, RunState, TimelineEvent, Verdict,
};
use gameday_reports::{BaselineRule, Fold, Patience};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A canary must be ready in this time.
const READY: Duration = Duration::from_secs(20);
/// So long after their deadline the last of the final reads has ended, and that is known, once no
/// other call is in flight: each of those may still take its timeout.
const FINAL: Duration = Duration::from_secs(20);
/// The stream ends, once no call is in flight.
const DONE: Duration = Duration::from_secs(20);

/// Runs a playbook.
pub async fn main(args: RunArgs) -> Exit {
    let prepared = match prepare(
        &args.playbook,
        args.seed,
        args.subnet.as_deref(),
        args.duration,
    ) {
        Ok(p) => p,
        Err(exit) => return exit,
    };
    let stop = match Stop::install() {
        Ok(stop) => stop,
        Err(e) => return internal(&format!("signals cannot be handled: {e}")),
    };
    let stage = match stage(&prepared.playbook, args.runtime, args.traffic).await {
        Ok(stage) => stage,
        Err(exit) => return exit,
    };
    say!(
        "seed {} · runtime {} ({})",
        prepared.seed,
        stage.runtime,
        stage.why
    );
    let beside = dead_runs().await;
    for text in &beside {
        warn!("{text}");
    }
    let id = identity::run_id(&prepared.name, prepared.seed);
    let marks = match RunMarks::new(&id, Kind::Run, args.out.join(&id)) {
        Ok(marks) => marks,
        Err(why) => {
            warn!("{why}");
            return Exit::Usage;
        }
    };
    let folder = match RunFolder::create(args.out.join(&id)) {
        Ok(folder) => folder,
        Err(e) => {
            warn!("{}: {e}", args.out.join(&id).display());
            return Exit::Usage;
        }
    };
    let clock = RunClock::start();
    let epoch_utc = identity::utc_now();

    if let Err(why) = liveness::hold_folder(&marks) {
        return internal(&why);
    }
    let place = Place {
        runtime: stage.runtime,
        subnet: prepared.playbook.cluster.subnet.clone(),
        techniques: stage.techniques,
    };
    let settle = Duration::from_millis(prepared.playbook.measuring.workload.timeout_ms);
    let live = Live::new(clock, settle, !args.plain && print::is_live());
    let recording = match Recording::begin(&folder, clock) {
        Ok(recording) => recording,
        Err(why) => {
            warn!("{why}");
            let _ = std::fs::remove_dir_all(folder.path());
            return Exit::Usage;
        }
    };
    let timeline = match TimelineWriter::open(&folder.timeline()) {
        Ok(writer) => Timeline::new(Kept::new(writer, recording.clone()), clock),
        Err(e) => return internal(&format!("{}: {e}", folder.timeline().display())),
    };
    let log = Some(folder.watchdog_log());
    let watchdog = match Watchdog::start(marks.clone(), log, tell(&timeline, &live)) {
        Ok(watchdog) => watchdog,
        Err(why) => return internal(&why),
    };
    let units = wiring::units(&prepared.topology, true);
    let runtime = match up::create(&place, marks.clone(), units).await {
        Ok(runtime) => runtime,
        Err(why) => {
            warn!("{why}");
            watchdog.dismiss().await;
            // Nothing was made yet; a folder with nothing in it would only confuse.
            let _ = std::fs::remove_dir_all(folder.path());
            return Exit::Usage;
        }
    };
    let info = info(
        &args,
        &prepared,
        &stage.abilities,
        runtime.as_ref(),
        clock,
        &epoch_utc,
        &marks,
    );
    let header = HistoryHeader {
        version: HISTORY_VERSION,
        run: id.clone(),
        seed: prepared.seed,
        clock: "CLOCK_MONOTONIC".into(),
        epoch_utc,
        forgotten: None,
    };
    let opened = write_json(&folder.run_json(), &info).and_then(|()| {
        let history = folder.new_history(is_long(&prepared));
        let fold = Fold::bounded(look_back(&prepared).as_secs());
        let fold = fold.with(Patience::of(&info.workload));
        Recorder::create(&history, header, fold, recording.clone())
    });
    let summary = match opened {
        Ok(recorder) => {
            let run = Run {
                args,
                prepared,
                runtime: runtime.clone(),
                folder: folder.clone(),
                clock,
                recorder,
                recording,
                timeline,
                live,
                stop: stop.clone(),
            };
            for text in beside {
                run.note(text).await;
            }
            run.journey().await
        }
        Err(why) => {
            warn!("{why}");
            if let Err(left) = up::down(runtime.as_ref()).await {
                warn!("not clean: {left}");
            }
            watchdog.dismiss().await;
            // What cannot be recorded is not begun, as in a folder that cannot be made.
            recording::free(&folder);
            return Exit::Usage;
        }
    };
    if summary.not_clean.is_empty() {
        watchdog.dismiss().await;
    }
    conclude(&folder, &summary, stop.signal())
}

/// Tells what became of watchdogs to whoever looks on, and for keeps.
fn tell(timeline: &Timeline, live: &Arc<Live>) -> watchdog::Tell {
    let (timeline, live) = (timeline.clone(), live.clone());
    Box::new(move |text| {
        live.note(&text);
        let timeline = timeline.clone();
        async move {
            // The timeline's own writer tells of one that cannot be written.
            let _ = timeline.append(TimelineEvent::Note { text }).await;
        }
        .boxed()
    })
}

/// What a run needs, from the moment its folder stands.
struct Run {
    args: RunArgs,
    prepared: Prepared,
    runtime: Arc<dyn Runtime>,
    folder: RunFolder,
    clock: RunClock,
    recorder: Arc<Recorder>,
    recording: Arc<Recording>,
    timeline: Timeline,
    live: Arc<Live>,
    stop: Stop,
}

impl Run {
    async fn journey(self) -> ExecutionSummary {
        let watching = self.live.watch(&self.recorder);
        let mut canaries = BTreeMap::new();
        // Whatever panics on the way, what follows is done all the same.
        let measured = panics::caught(self.measure(&mut canaries)).await;
        let mut summary = measured.unwrap_or_else(failed);
        let gathered = panics::caught(self.gather(&mut canaries, &mut summary)).await;
        if let Err(why) = gathered {
            summary.state = RunState::Failed;
            summary.reason.get_or_insert(why);
        }
        if let Err(why) = up::down(self.runtime.as_ref()).await {
            self.note(format!("not clean: {why}")).await;
            summary.not_clean.push(why);
        }
        if let Err(why) = self.recorder.finish().await {
            self.note(format!("the history is incomplete: {why}")).await;
        }
        self.write(TimelineEvent::Ended {
            state: summary.state,
            reason: summary.reason.clone(),
        })
        .await;
        watching.abort();
        self.live.end();
        summary
    }

    /// The cluster comes up, is hurt, recovers, and every key is read.
    async fn measure(&self, canaries: &mut BTreeMap<String, Canary>) -> ExecutionSummary {
        self.phase(Phase::Up).await;
        let up = tokio::select! {
            biased;
            why = self.stopped() => Err(stopped(why)),
            up = self.up(canaries) => up.map_err(|why| failed(format!("the cluster did not come up: {why}"))),
        };
        if let Err(summary) = up {
            return summary;
        }
        let summary = self.execute().await;
        // Without a baseline that was left behind there is nothing to check.
        if summary.state == RunState::Interrupted {
            return summary;
        }
        self.phase(Phase::Checks).await;
        tokio::select! {
            biased;
            signal = self.stop.stopped() => interrupted(signal),
            why = self.fails(), if summary.state != RunState::Failed => failed(why),
            () = self.final_reads(canaries) => summary,
        }
    }

    /// What can be had of the cluster for the last time.
    async fn gather(
        &self,
        canaries: &mut BTreeMap<String, Canary>,
        summary: &mut ExecutionSummary,
    ) {
        // Without canaries nothing was written that replicas could hold.
        let compared = summary.state != RunState::Interrupted && !canaries.is_empty();
        self.stop_canaries(canaries).await;
        if compared {
            self.compare_replicas().await;
        }
        self.phase(Phase::Down).await;
        if self.recording.failed().is_some() {
            let why = "logs of nodes were not saved: the room on the disk is for the report";
            return self.note(why.into()).await;
        }
        if let Err(e) = self.runtime.collect_logs(&self.nodes()).await {
            self.note(format!("not all logs of nodes were saved: {e}"))
                .await;
        }
    }

    /// Where the logs of the nodes are saved.
    fn nodes(&self) -> PathBuf {
        self.folder.path().join("nodes")
    }

    /// Nodes, tables, canaries.
    async fn up(&self, canaries: &mut BTreeMap<String, Canary>) -> Result<(), String> {
        let topology = &self.prepared.topology;
        let cluster = &self.prepared.playbook.cluster;
        let launches = wiring::node_launches(
            self.runtime.as_ref(),
            topology,
            cluster,
            self.prepared.seed,
            self.args.bug,
        )?;
        self.runtime
            .launch_nodes(launches)
            .await
            .map_err(|e| e.to_string())?;
        let logs = self.nodes();
        up::while_all_run(self.runtime.as_ref(), topology, &logs, self.serve(canaries)).await
    }

    /// Tables and canaries, once the nodes serve.
    async fn serve(&self, canaries: &mut BTreeMap<String, Canary>) -> Result<(), String> {
        let topology = &self.prepared.topology;
        up::wait_healthy(self.runtime.as_ref(), topology).await?;
        for table in self.tables() {
            up::create_table(self.runtime.as_ref(), topology, &table).await?;
        }
        let launches = wiring::canary_launches(
            self.runtime.as_ref(),
            topology,
            &self.prepared.playbook.measuring.workload,
            self.prepared.seed,
            self.clock,
        )?;
        let launched = launches.into_iter().map(|launch| async move {
            let name = launch.unit.clone();
            let instrument = self.runtime.launch_instrument(launch).await;
            instrument.map(|i| (name, i)).map_err(|e| e.to_string())
        });
        for (name, instrument) in try_join_all(launched).await? {
            canaries.insert(name.clone(), self.recorder.attach(&name, instrument));
        }
        for canary in canaries.values_mut() {
            canary.wait("ready", READY, |p| p.ready).await?;
        }
        let failed = tell_all(canaries, Command::Start).await;
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("; "))
        }
    }

    /// How long a call of a canary may take.
    fn timeout(&self) -> Duration {
        Duration::from_millis(self.prepared.playbook.measuring.workload.timeout_ms)
    }

    /// Names of the tables that the canaries use.
    fn tables(&self) -> Vec<String> {
        let workload = &self.prepared.playbook.measuring.workload;
        workload.table_names(wiring::TABLE)
    }

    async fn execute(&self) -> ExecutionSummary {
        let storage: Vec<String> = wiring::storage_nodes(&self.prepared.topology)
            .map(|n| n.name.clone())
            .collect();
        let roles = Arc::new(StoreRoles::new(self.runtime.clone(), storage));
        let watching = tokio::spawn(roles.clone().follow(self.timeline.clone()));
        let measuring = &self.prepared.playbook.measuring;
        let alarms = Alarms::new(
            measuring.alarms.clone(),
            self.clock,
            Duration::from_millis(measuring.workload.timeout_ms),
            self.live.clone(),
        );
        let evaluating = alarms
            .clone()
            .follow(self.recorder.clone(), self.timeline.clone());
        let evaluating = tokio::spawn(evaluating);
        let instruments = self
            .prepared
            .topology
            .azs
            .iter()
            .map(|az| Node {
                name: wiring::canary_name(az),
                az: az.clone(),
                role: wiring::CANARY.into(),
            })
            .collect();
        let cast = Cast {
            runtime: self.runtime.clone(),
            instruments,
            timeline: self.timeline.clone(),
            roles,
            health: Arc::new(Baseline {
                recorder: self.recorder.clone(),
                clock: self.clock,
                rule: BaselineRule::new(
                    &self.prepared.topology.azs,
                    &self.prepared.playbook.measuring.workload,
                ),
            }),
            alarms: alarms.clone(),
            observer: alarms.clone(),
        };
        let stopped = async {
            tokio::select! {
                biased;
                why = self.stopped() => why,
                why = alarms.stopped() => runner::Stop::Condition(why),
            }
        };
        let summary = runner::execute(self.prepared.plan.clone(), cast, stopped).await;
        watching.abort();
        evaluating.abort();
        summary
    }

    /// Resolves when the run cannot go on, whatever the cluster does.
    async fn fails(&self) -> String {
        tokio::select! {
            biased;
            why = panics::comes() => why,
            why = self.recording.fails() => why,
        }
    }

    /// Resolves when somebody wants the run to end, or it must.
    async fn stopped(&self) -> runner::Stop {
        let file = self.folder.stop();
        tokio::select! {
            biased;
            signal = self.stop.stopped() => runner::Stop::Interrupted(signal_name(signal).into()),
            why = self.fails() => runner::Stop::Failed(why),
            why = ask::asked(&file) => runner::Stop::Asked(why),
        }
    }

    async fn final_reads(&self, canaries: &mut BTreeMap<String, Canary>) {
        let workload = &self.prepared.playbook.measuring.workload;
        let keys = gameday_canary::most_keys(workload, self.prepared.topology.azs.len());
        let within = gameday_canary::final_reads_within(keys) + self.timeout() + FINAL;
        let mut failed = tell_all(canaries, Command::Final).await;
        for canary in canaries.values_mut() {
            failed.extend(
                canary
                    .wait("done with its final reads", within, |p| p.last.is_some())
                    .await
                    .err(),
            );
        }
        for why in failed {
            self.note(format!("final reads: {why}")).await;
        }
    }

    async fn stop_canaries(&self, canaries: &mut BTreeMap<String, Canary>) {
        let mut failed = tell_all(canaries, Command::Stop).await;
        for canary in canaries.values_mut() {
            failed.extend(
                canary
                    .wait("done", self.timeout() + DONE, |p| {
                        p.done.is_some() && p.ended.is_some()
                    })
                    .await
                    .err(),
            );
        }
        for why in failed {
            self.recorder.spoil(why);
        }
        self.recorder.flush();
    }

    async fn compare_replicas(&self) {
        let nodes: Vec<String> = wiring::storage_nodes(&self.prepared.topology)
            .map(|n| n.name.clone())
            .collect();
        let roles = StoreRoles::new(self.runtime.clone(), nodes.clone());
        let tables = self.tables();
        let partitions: Vec<String> = tables
            .iter()
            .flat_map(|table| {
                (0..self.prepared.playbook.cluster.partitions).map(move |p| format!("{table}/{p}"))
            })
            .collect();
        let digests = replicas::settle(self.runtime.as_ref(), &roles, &nodes, &partitions).await;
        if let Err(e) = write_json(&self.folder.replicas(), &digests) {
            self.note(e).await;
        }
        let unknown = self.recorder.unknown_writes();
        let runtime = self.runtime.as_ref();
        let applied = applied::ask(runtime, self.clock, &nodes, &digests, &unknown).await;
        if let Err(e) = write_json(&self.folder.applied(), &applied) {
            self.note(e).await;
        }
    }

    async fn phase(&self, phase: Phase) {
        self.live.phase(phase);
        self.write(phase_begins(phase)).await;
    }

    async fn note(&self, text: String) {
        self.live.note(&text);
        self.write(TimelineEvent::Note { text }).await;
    }

    async fn write(&self, event: TimelineEvent) {
        if let Err(e) = self.timeline.append(event).await {
            self.recording.fail("timeline.jsonl", &e);
        }
    }
}

/// The baseline as the canaries measured it.
struct Baseline {
    recorder: Arc<Recorder>,
    clock: RunClock,
    rule: BaselineRule,
}

impl Health for Baseline {
    fn baseline(&self, lasted: Duration) -> BoxFuture<'_, Proof> {
        async move {
            if let Some(flaw) = self.recorder.flaw() {
                return Proof {
                    verdict: Verdict::Fail,
                    evidence: vec![flaw],
                };
            }
            let now = self.clock.now();
            // Calls of the last moment have not returned yet; they are not judged here.
            let to = now - Duration::from_millis(500);
            self.recorder
                .with_fold(|fold| fold.baseline(now - lasted, to, &self.rule))
        }
        .boxed()
    }
}

/// Judges, renders, and says how it went.
fn conclude(folder: &RunFolder, summary: &ExecutionSummary, signal: Option<i32>) -> Exit {
    recording::free(folder);
    if let Err(why) = judge::data(folder) {
        warn!("{why}");
    }
    let report = match gameday_reports::assemble(folder) {
        Ok(report) => report,
        Err(why) => return internal(&format!("no report: {why}")),
    };
    // What came of it is said, saved or not.
    let saved = gameday_reports::render_all(folder, &report);
    let path = folder.report_html().display().to_string();
    let text = gameday_reports::terminal(&report, &path, print::is_coloured());
    say!("\n{}", text.trim_end_matches('\n'));
    let folder_name = folder.path().display().to_string();
    let again = identity::command([&"revert".to_string(), &folder_name]);
    for left in &summary.not_clean {
        warn!("not clean: {left}\n  to try again: {again}");
    }
    if let Err(why) = &saved {
        warn!("the report was not saved: {why}");
    }
    match (signal, report.overall.exit_code) {
        _ if !summary.not_clean.is_empty() => Exit::NotClean,
        (Some(signal), _) => Exit::of_signal(signal),
        // Nobody could look at what this pass rests on.
        (None, 0) if saved.is_err() => Exit::Internal,
        (None, code) => Exit::Code(code),
    }
}

fn info(
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
        cluster: prepared.playbook.cluster.clone(),
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

/// The live view and alarms look back for seconds, the baseline over its whole time; calls
/// are told of once they have ended.
fn look_back(prepared: &Prepared) -> Duration {
    let timeout = Duration::from_millis(prepared.playbook.measuring.workload.timeout_ms);
    prepared.plan.baseline.within + timeout + Duration::from_secs(60)
}

/// Operations from which a run's history is packed: some 270 MB of plain lines.
const LONG: f64 = 1e6;

/// Whether so many operations are planned that the history is packed.
fn is_long(prepared: &Prepared) -> bool {
    let pairs = prepared.topology.azs.len().pow(2) as f64;
    let per_second = pairs * prepared.playbook.measuring.workload.rate;
    prepared.plan.least_duration().as_secs_f64() * per_second > LONG
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGTERM => "SIGTERM",
        libc::SIGHUP => "SIGHUP",
        _ => "Ctrl-C",
    }
}

fn stopped(why: runner::Stop) -> ExecutionSummary {
    match why {
        runner::Stop::Interrupted(why) => ended(RunState::Interrupted, why),
        runner::Stop::Condition(why) | runner::Stop::Asked(why) => ended(RunState::Stopped, why),
        runner::Stop::Failed(why) => ended(RunState::Failed, why),
    }
}

fn interrupted(signal: i32) -> ExecutionSummary {
    ended(RunState::Interrupted, signal_name(signal).into())
}

fn failed(reason: String) -> ExecutionSummary {
    warn!("{reason}");
    ended(RunState::Failed, reason)
}

fn ended(state: RunState, reason: String) -> ExecutionSummary {
    ExecutionSummary {
        state,
        reason: Some(reason),
        unproven: Vec::new(),
        not_clean: Vec::new(),
    }
}

fn internal(why: &str) -> Exit {
    warn!("{why}");
    Exit::Internal
}
