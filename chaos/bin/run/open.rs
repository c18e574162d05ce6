//! Everything that must stand before a run begins: what cannot be recorded or undone is not begun.

use super::{Run, info};
use crate::cli::{HistoryChoice, RunArgs};
use crate::exit::Exit;
use crate::live::Live;
use crate::prepare::{Chosen, Lent, Prepared, Stage, prepare, stage};
use crate::recorder::Recorder;
use crate::recording::{Kept, Recording};
use crate::stop::Stop;
use crate::system::System;
use crate::system::adopted::AdoptedSystem;
use crate::system::place::Place;
use crate::system::store::Store;
use crate::undo::dead_runs;
use crate::watchdog::{self, Watchdog};
use crate::{identity, print, recording};
use futures_util::FutureExt;
use gameday_chaos::runner::Timeline;
use gameday_chaos::runtime::liveness;
use gameday_chaos::runtime::marks::{Kind, RunMarks};
use gameday_record::folder::write_json;
use gameday_record::history::HISTORY_VERSION;
use gameday_record::timeline::TimelineWriter;
use gameday_record::{HistoryHeader, RunClock, RunFolder, TimelineEvent};
use gameday_reports::{Fold, Patience};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A run that can begin.
pub struct Opened {
    /// The run.
    pub run: Run,
    /// Who undoes it if we cannot.
    pub watchdog: Watchdog,
}

/// Prepares a run.
///
/// # Errors
/// The exit code, after the reason was said. Nothing is left then.
pub async fn open(args: RunArgs) -> Result<Opened, Exit> {
    let chosen = Chosen {
        seed: args.seed,
        subnet: args.subnet.as_deref(),
        duration: args.duration,
        adopt: &args.adopt,
    };
    let prepared = prepare(&args.playbook, chosen).await?;
    let stop = Stop::install().map_err(|e| internal(&format!("signals cannot be handled: {e}")))?;
    let stage = stage(&prepared.playbook, args.runtime, args.traffic).await?;
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
    let path = args.out.join(&id);
    let marks = RunMarks::new(&id, Kind::Run, path.clone()).map_err(usage)?;
    let folder =
        RunFolder::create(path.clone()).map_err(|e| usage(format!("{}: {e}", path.display())))?;
    let clock = RunClock::start();
    let epoch_utc = identity::utc_now();
    liveness::hold_folder(&marks).map_err(|why| internal(&why))?;
    let settle = Duration::from_millis(prepared.playbook.measuring.workload.timeout_ms);
    let live = Live::new(clock, settle, !args.plain && print::is_live());
    // A folder with nothing in it would only confuse.
    let nothing_begun = |why: String| {
        let _ = std::fs::remove_dir_all(folder.path());
        usage(why)
    };
    let recording = Recording::begin(&folder, clock).map_err(nothing_begun)?;
    let timeline = TimelineWriter::open(&folder.timeline())
        .map(|writer| Timeline::new(Kept::new(writer, recording.clone()), clock))
        .map_err(|e| internal(&format!("{}: {e}", folder.timeline().display())))?;
    let log = Some(folder.watchdog_log());
    let watchdog = Watchdog::start(marks.clone(), log, tell(&timeline, &live))
        .map_err(|why| internal(&why))?;
    let system = match make(&args, &prepared, &stage, &marks, folder.path()).await {
        Ok(system) => system,
        Err(why) => {
            watchdog.dismiss().await;
            return Err(nothing_begun(why));
        }
    };
    let runtime = system.runtime();
    let info = info::info(
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
        run: id,
        seed: prepared.seed,
        clock: "CLOCK_MONOTONIC".into(),
        epoch_utc,
        forgotten: None,
    };
    let recorder = write_json(&folder.run_json(), &info).and_then(|()| {
        let packed = match args.history {
            None => is_long(&prepared),
            Some(choice) => choice == HistoryChoice::Packed,
        };
        let history = folder.new_history(packed);
        let fold = Fold::bounded(look_back(&prepared).as_secs());
        let fold = fold.with(Patience::of(&info.workload));
        Recorder::create(&history, header, fold, recording.clone())
    });
    let recorder = match recorder {
        Ok(recorder) => recorder,
        Err(why) => {
            warn!("{why}");
            if let Err(left) = system.release().await {
                warn!("not clean: {left}");
            }
            watchdog.dismiss().await;
            // What cannot be recorded is not begun, as in a folder that cannot be made.
            recording::free(&folder);
            return Err(Exit::Usage);
        }
    };
    let run = Run {
        prepared,
        system,
        runtime,
        folder,
        clock,
        recorder,
        recording,
        timeline,
        live,
        stop,
    };
    for text in beside {
        run.note(text).await;
    }
    Ok(Opened { run, watchdog })
}

/// What the playbook is about; nothing of it runs yet.
async fn make(
    args: &RunArgs,
    prepared: &Prepared,
    stage: &Stage,
    marks: &RunMarks,
    folder: &Path,
) -> Result<Arc<dyn System>, String> {
    if let (Some(system), Some(lent)) = (&prepared.playbook.system, &prepared.lent) {
        let Lent { adoption, layout } = lent;
        let (marks, techniques) = (marks.clone(), stage.techniques);
        let adopted = AdoptedSystem::adopt(marks, folder, system, adoption, layout, techniques);
        return Ok(Arc::new(adopted.await?));
    }
    let cluster = &prepared.playbook.cluster;
    let place = Place {
        runtime: stage.runtime,
        subnet: cluster.subnet.clone(),
        techniques: stage.techniques,
    };
    let workload = &prepared.playbook.measuring.workload;
    let marks = marks.clone();
    let store = Store::new(&place, marks, cluster, workload, prepared.seed, args.bug).await?;
    Ok(Arc::new(store))
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

/// The live view and alarms look back for seconds, the baseline over its whole time; calls
/// are told of once they have ended.
fn look_back(prepared: &Prepared) -> Duration {
    let timeout = Duration::from_millis(prepared.playbook.measuring.workload.timeout_ms);
    prepared.plan.baseline.within + timeout + Duration::from_secs(60)
}

/// Operations from which a run's history is packed, if nobody says how it is to be: some 270 MB
/// of plain lines.
const LONG: f64 = 1e6;

/// Whether so many operations are planned that the history is packed.
fn is_long(prepared: &Prepared) -> bool {
    let pairs = prepared.topology.azs.len().pow(2) as f64;
    let per_second = pairs * prepared.playbook.measuring.workload.rate;
    prepared.plan.least_duration().as_secs_f64() * per_second > LONG
}

fn usage(why: String) -> Exit {
    warn!("{why}");
    Exit::Usage
}

fn internal(why: &str) -> Exit {
    warn!("{why}");
    Exit::Internal
}
