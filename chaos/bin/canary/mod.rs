//! `gameday canary`: one canary that measures somebody's endpoints, for
//! minutes or for months. It is the canary of the game days, told over pipes
//! in memory, and one more reader of its lines.

mod finish;
mod publisher;
mod serve;
mod setup;
mod view;
mod wire;

use crate::cli::CanaryArgs;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::{ask, identity, print};
use gameday_canary::protocol::Command;
use gameday_canary::publish::hlog::LatencyLog;
use gameday_canary::publish::rotate::Limits;
use gameday_canary::publish::segments::{Segment, Segments};
use gameday_canary::service::Place;
use gameday_canary::{CanaryConfig, ServiceSpec, Wire};
use gameday_record::history::HISTORY_VERSION;
use gameday_record::timeline::TimelineWriter;
use gameday_record::{
    HistoryHeader, Phase, RunClock, RunFolder, RunState, TimelineEvent, TimelineLine, folder,
};
use publisher::Publisher;
use setup::Setup;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use view::View;

/// The canary must be ready in this time.
const READY: Duration = Duration::from_secs(20);
/// So long after their deadline the last of the final reads has ended, and that is known.
const FINAL: Duration = Duration::from_secs(20);
/// Calls in flight have their own timeout; this is for what follows.
const DONE: Duration = Duration::from_secs(20);
/// Interval of the latency log.
const INTERVAL: Duration = Duration::from_secs(10);
/// Latency logs: at most 128 MiB.
const LATENCY: Limits = Limits {
    bytes: 16 << 20,
    files: 8,
};

/// Runs a canary to its end.
pub async fn main(args: CanaryArgs) -> Exit {
    let setup = match Setup::read(&args) {
        Ok(setup) => setup,
        Err(why) => return usage(&why),
    };
    let said = (
        "\nended: reading everything a last time, judging the data and writing the report",
        "still ending; it takes at most a minute or two",
    );
    let stop = match Stop::install_saying(said) {
        Ok(stop) => stop,
        Err(e) => return internal(&format!("signals cannot be handled: {e}")),
    };
    let seed = args.seed.unwrap_or_else(identity::fresh_seed);
    say!("seed {seed} · canary in AZ {}", setup.az);
    if !setup.left_out.is_empty() {
        let (name, left_out) = (setup.service.name(), setup.left_out.join(", "));
        say!("left out of the mix, because {name} has no such calls: {left_out}");
    }
    let prepared = tokio::select! {
        biased;
        signal = stop.stopped() => return Exit::Code(if signal == libc::SIGTERM { 143 } else { 130 }),
        prepared = prepare(&args, &setup, seed) => prepared,
    };
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(why) => return usage(&why),
    };
    let id = identity::run_id(&format!("canary-{}", setup.az), seed);
    let folder = match RunFolder::create(args.out.join(&id)) {
        Ok(folder) => folder,
        Err(e) => return usage(&format!("{}: {e}", args.out.join(&id).display())),
    };
    match run(&args, &setup, seed, &id, prepared, &folder, stop).await {
        Ok(exit) => exit,
        Err(why) => internal(&why),
    }
}

/// What stands before anything is measured.
struct Prepared {
    wire: Wire,
    following: JoinHandle<()>,
    news: mpsc::Receiver<String>,
    config: CanaryConfig,
    metrics: Option<tokio::net::TcpListener>,
}

/// Credentials, names, the table, the port of the metrics.
async fn prepare(args: &CanaryArgs, setup: &Setup, seed: u64) -> Result<Prepared, String> {
    let metrics = match args.listen {
        None => None,
        Some(addr) => Some(
            tokio::net::TcpListener::bind(addr)
                .await
                .map_err(|e| format!("--listen {addr}: {e}"))?,
        ),
    };
    let connected = wire::connect(args, setup).await?;
    let config = CanaryConfig {
        az: setup.az.clone(),
        index: 0,
        // Begins again when the folder stands; nothing is timed before.
        clock: RunClock::start(),
        seed,
        endpoints: connected.endpoints,
        service: setup.service.clone(),
        table: setup.table.clone(),
        attributes: Default::default(),
        workload: setup.measuring.workload.clone(),
        alone: true,
    };
    config.validate().map_err(|e| e.to_string())?;
    let own = config.endpoints.iter().find(|e| e.az == config.az);
    let own = own.ok_or("no endpoint in the canary's own AZ")?.clone();
    let service = ServiceSpec::service(&config, &connected.wire).map_err(|e| e.to_string())?;
    for (number, table) in config.tables().iter().enumerate() {
        let at = Place {
            connector: &connected.wire.connector,
            endpoint: &own,
            table,
        };
        if service.prepare(at, args.create_table).await? {
            say!("made table {table}");
            continue;
        }
        let keys = config.drawing().ever();
        let keys = keys.filter_map(|(of, key)| (of == number).then_some(key));
        service
            .clear(at, keys.collect())
            .await
            .map_err(|e| format!("table {table} cannot be cleared of this canary's items: {e}"))?;
    }
    Ok(Prepared {
        wire: connected.wire,
        following: connected.following,
        news: connected.news,
        config,
        metrics,
    })
}

async fn run(
    args: &CanaryArgs,
    setup: &Setup,
    seed: u64,
    id: &str,
    prepared: Prepared,
    folder: &RunFolder,
    stop: Stop,
) -> Result<Exit, String> {
    let Prepared {
        wire,
        following,
        mut news,
        mut config,
        metrics,
    } = prepared;
    let clock = RunClock::start();
    config.clock = clock;
    let epoch_utc = identity::utc_now();
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let info = finish::info(setup, seed, id, folder, clock, &epoch_utc)?;
    folder::write_json(&folder.run_json(), &info)?;
    let timeline = folder.timeline();
    let say = |e: std::io::Error| format!("{}: {e}", timeline.display());
    let mut timeline = TimelineWriter::open(&timeline).map_err(say)?;
    let header = HistoryHeader {
        version: HISTORY_VERSION,
        run: id.into(),
        seed,
        clock: "CLOCK_MONOTONIC".into(),
        epoch_utc,
        forgotten: None,
    };
    let limits = Limits {
        bytes: args.segment_mib << 20,
        files: args.segments as usize,
    };
    let segments = Segments::new(folder.path(), header, limits)?;
    let latency = LatencyLog::new(
        folder.path(),
        LATENCY,
        epoch.unwrap_or_default(),
        clock.now(),
    );
    let publisher = Publisher::new(setup, segments, latency, clock.now())?;
    let view = View::new(clock, config.timeout(), !args.plain && print::is_live());
    let serving = metrics.map(|listener| {
        if let Ok(addr) = listener.local_addr() {
            view.line(&format!("metrics at http://{addr}/metrics"));
        }
        tokio::spawn(serve::serve(listener, publisher.clone()))
    });
    view.line(&format!(
        "measuring {} {} through {} into {}",
        config.service.place(),
        config.table,
        setup.endpoints.len(),
        folder.path().display()
    ));
    let (judge, finished) = mpsc::unbounded_channel();
    let judging =
        finish::judge_segments(finished, setup.unpromised.clone().into(), publisher.clone());
    let judging = tokio::spawn(judging);
    let patience = config.timeout() + DONE;
    let keys = gameday_canary::most_keys(&config.workload, config.endpoints.len());
    let final_reads = gameday_canary::final_reads_within(keys) + FINAL;
    let mut canary = Canary::start(config, wire, &publisher, judge);
    let measured = measure(
        &mut canary,
        &publisher,
        &view,
        (&stop, &folder.stop()),
        setup,
        &mut news,
    )
    .await;
    let stopped_by = match measured {
        Ok(condition) => condition,
        Err(why) => {
            view.line(&why);
            publisher.spoil(why);
            None
        }
    };
    let ended = clock.now();
    timeline
        .append(&TimelineLine {
            time: ended,
            event: TimelineEvent::Phase {
                phase: Phase::Checks,
                cpu_wait_ms: None,
            },
        })
        .map_err(|e| e.to_string())?;
    canary.end(&publisher, final_reads, patience).await;
    let _ = timeout(Duration::from_secs(60), judging).await;
    for change in publisher.step(ended + patience) {
        view.alarm(&change);
    }
    if let Err(why) = publisher.interval(ended) {
        view.line(&why);
    }
    following.abort();
    if let Some(serving) = serving {
        serving.abort();
    }
    view.end();
    finish::history(folder, &publisher, &mut |text| {
        say!("{text}");
        // The report without a remark is better than none.
        let _ = timeline.append(&TimelineLine {
            time: clock.now(),
            event: TimelineEvent::Note { text: text.into() },
        });
    })?;
    let (state, reason) = match (publisher.flaw(), stopped_by) {
        (Some(why), _) => (RunState::Failed, Some(why)),
        (None, Some(why)) => (RunState::Stopped, Some(why)),
        (None, None) => (RunState::Completed, None),
    };
    timeline
        .append(&TimelineLine {
            time: clock.now(),
            event: TimelineEvent::Ended { state, reason },
        })
        .map_err(|e| e.to_string())?;
    finish::conclude(folder)
}

/// Until the time is over, a signal comes, somebody asks, an alarm that is a stop condition
/// fires (which is then told), or something breaks.
async fn measure(
    canary: &mut Canary,
    publisher: &Arc<Publisher>,
    view: &View,
    (stop, stop_file): (&Stop, &Path),
    setup: &Setup,
    news: &mut mpsc::Receiver<String>,
) -> Result<Option<String>, String> {
    canary.wait("ready", READY, |p| p.ready).await?;
    canary.tell(Command::Start).await?;
    let end = setup.duration.map(|d| Instant::now() + d);
    let every = |period| {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        ticks
    };
    let mut second = every(Duration::from_secs(1));
    let mut shown = every(view.pace());
    let mut logged = every(INTERVAL);
    let mut progress = canary.progress.clone();
    let mut asked = pin!(ask::asked(stop_file));
    let mut ill = false;
    loop {
        tokio::select! {
            _ = stop.stopped() => return Ok(None),
            why = &mut asked => return Ok(Some(why)),
            () = until(end) => return Ok(None),
            _ = second.tick() => {
                for change in publisher.step(canary.clock.now()) {
                    view.alarm(&change);
                    if change.stop && change.firing {
                        return Ok(Some(format!(
                            "alarm '{}' fires: {}",
                            change.name, change.observed
                        )));
                    }
                }
                if let Some(why) = publisher.flaw() {
                    return Err(why);
                }
                let refused = publisher.refused(canary.clock.now());
                if ill != refused.is_some() {
                    ill = refused.is_some();
                    view.line(&match refused {
                        Some(why) => format!(
                            "refused, by the canary's own fault, which does not count against the \
                             service: {why}"
                        ),
                        None => "not refused any more".into(),
                    });
                }
            }
            _ = shown.tick() => view.status(publisher),
            _ = logged.tick() => publisher.interval(canary.clock.now())?,
            Some(text) = news.recv() => view.line(&text),
            _ = progress.wait_for(|p| p.ended.is_some()) => {
                let why = publisher.flaw();
                return Err(why.unwrap_or("the canary ended before it was told to".into()));
            }
        }
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// The canary's own program in this process, and the ends of its pipes.
struct Canary {
    clock: RunClock,
    commands: DuplexStream,
    progress: watch::Receiver<Progress>,
    program: JoinHandle<()>,
    reader: JoinHandle<()>,
}

impl Canary {
    fn start(
        config: CanaryConfig,
        wire: Wire,
        publisher: &Arc<Publisher>,
        judge: mpsc::UnboundedSender<Segment>,
    ) -> Canary {
        let clock = config.clock;
        let (commands, input) = duplex(4 << 10);
        let (output, lines) = duplex(1 << 20);
        let (tx, progress) = watch::channel(Progress::default());
        let of = publisher.clone();
        let program = tokio::spawn(async move {
            let run = gameday_canary::run(config, wire, BufReader::new(input), output);
            if let Err(e) = run.await {
                of.spoil(e.to_string());
            }
        });
        let of = publisher.clone();
        let reader = tokio::spawn(async move {
            let read = of.read(lines, &tx, &judge).await;
            tx.send_modify(|p| {
                if let Err(why) = p.end("the canary", read) {
                    of.spoil(why);
                }
            });
        });
        Canary {
            clock,
            commands,
            progress,
            program,
            reader,
        }
    }

    async fn tell(&mut self, command: Command) -> Result<(), String> {
        let send = self.commands.write_all(command.line().as_bytes());
        match timeout(Duration::from_secs(5), send).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(format!("the canary cannot be told {command:?}: {e}")),
            Err(_) => Err(format!("the canary does not take the command {command:?}")),
        }
    }

    async fn wait(
        &mut self,
        what: &str,
        limit: Duration,
        reached: impl Fn(&Progress) -> bool,
    ) -> Result<(), String> {
        let wait = self.progress.wait_for(|p| reached(p) || p.ended.is_some());
        match timeout(limit, wait).await {
            Ok(Ok(p)) if reached(&p) => Ok(()),
            Ok(_) => Err(format!("the canary ended before it was {what}")),
            Err(_) => Err(format!("the canary is not {what} after {limit:?}")),
        }
    }

    /// Final reads, then the end, each with its deadline; what goes wrong
    /// spoils the history.
    async fn end(mut self, publisher: &Publisher, final_reads: Duration, patience: Duration) {
        let end = async {
            self.tell(Command::Final).await?;
            let limit = patience + final_reads;
            self.wait("done with its final reads", limit, |p| p.last.is_some())
                .await?;
            self.tell(Command::Stop).await?;
            self.wait("done", patience, |p| p.done.is_some() && p.ended.is_some())
                .await
        };
        if let Err(why) = end.await {
            publisher.spoil(why);
        }
        self.program.abort();
        self.reader.abort();
    }
}

fn usage(why: &str) -> Exit {
    warn!("{why}");
    Exit::Usage
}

fn internal(why: &str) -> Exit {
    warn!("{why}");
    Exit::Internal
}
