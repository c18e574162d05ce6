//! `gameday run`: the whole journey. The system comes up, canaries, faults, checks, the system goes,
//! verdict, report. Whatever happens in between, the system is let go and what was measured is judged
//! and rendered. This file is the phases and nothing else.

mod baseline;
mod canaries;
mod conclude;
mod ended;
mod info;
mod open;

use self::baseline::Baseline;
use self::ended::{failed, interrupted, signal_name, stopped};
use self::open::Opened;
use crate::alarms::Alarms;
use crate::cli::RunArgs;
use crate::exit::Exit;
use crate::live::Live;
use crate::prepare::Prepared;
use crate::recorder::{Canary, Recorder};
use crate::recording::Recording;
use crate::stop::Stop;
use crate::system::canaries::instruments;
use crate::system::{self, System, life};
use crate::{ask, panics};
use gameday_chaos::runner::{self, Cast, ExecutionSummary, Timeline, phase_begins};
use gameday_chaos::runtime::Runtime;
use gameday_record::folder::write_json;
use gameday_record::{Phase, RunClock, RunFolder, RunState, TimelineEvent};
use gameday_reports::BaselineRule;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Runs a playbook.
pub async fn main(args: RunArgs) -> Exit {
    let Opened { run, watchdog } = match open::open(args).await {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let (folder, stop) = (run.folder.clone(), run.stop.clone());
    let summary = run.journey().await;
    if summary.not_clean.is_empty() {
        watchdog.dismiss().await;
    }
    conclude::conclude(&folder, &summary, stop.signal())
}

/// What a run needs, from the moment its folder stands.
pub struct Run {
    prepared: Prepared,
    system: Arc<dyn System>,
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
        if let Err(why) = self.system.release().await {
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
            self.take_evidence().await;
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

    /// Nodes and canaries.
    async fn up(&self, canaries: &mut BTreeMap<String, Canary>) -> Result<(), String> {
        self.system.launch().await?;
        let serving = async {
            self.system.serve().await?;
            self.start_canaries(canaries).await
        };
        let (runtime, topology) = (self.runtime.as_ref(), self.system.topology());
        life::while_all_run(runtime, topology, &self.nodes(), serving).await
    }

    async fn execute(&self) -> ExecutionSummary {
        let roles = self.system.roles();
        let watching = tokio::spawn(system::follow(roles.clone(), self.timeline.clone()));
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
        let azs = &self.system.topology().azs;
        let cast = Cast {
            runtime: self.runtime.clone(),
            instruments: instruments(azs),
            timeline: self.timeline.clone(),
            roles,
            health: Arc::new(Baseline {
                recorder: self.recorder.clone(),
                clock: self.clock,
                rule: BaselineRule::new(azs, &measuring.workload),
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

    /// What the system says of itself, where canaries cannot look.
    async fn take_evidence(&self) {
        let unknown = self.recorder.unknown_writes();
        let evidence = self.system.evidence(self.clock, &unknown).await;
        let replicas = evidence
            .replicas
            .map(|r| write_json(&self.folder.replicas(), &r));
        let applied = evidence
            .applied
            .map(|a| write_json(&self.folder.applied(), &a));
        for why in [replicas, applied]
            .into_iter()
            .flatten()
            .filter_map(Result::err)
        {
            self.note(why).await;
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
