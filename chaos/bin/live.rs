//! What a person sees while it runs: one status line on a terminal, plain
//! lines in CI. Fed by the runner's events and the one fold over operations.

use crate::recorder::Recorder;
use crate::{panics, print};
use gameday_chaos::runner::{Observer, Update};
use gameday_record::{Nanos, Phase, ProofSide, RunClock, Verdict};
use gameday_reports::{Fold, Kind};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Seconds over which rates are shown.
const RECENT: u64 = 5;

/// The live view.
pub struct Live {
    clock: RunClock,
    /// Calls that were due in this last time may still be in flight: they are
    /// not shown yet, or an outage would look better than it is.
    settle: Duration,
    /// A status line that is written over; otherwise lines alone.
    terminal: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Option<Phase>,
    began: Nanos,
    lasts: Option<Duration>,
    active: BTreeMap<u32, String>,
}

impl Live {
    /// A view for a terminal, or plain lines.
    pub fn new(clock: RunClock, settle: Duration, terminal: bool) -> Arc<Self> {
        Arc::new(Live {
            clock,
            settle,
            terminal,
            state: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A phase that the binary itself goes through.
    pub fn phase(&self, phase: Phase) {
        self.enter(phase, None);
    }

    /// A remark.
    pub fn note(&self, text: &str) {
        self.line(text);
    }

    /// Takes the status line away.
    pub fn end(&self) {
        print::status(None);
    }

    /// Shows rates until the task is aborted.
    pub fn watch(self: &Arc<Self>, recorder: &Arc<Recorder>) -> JoinHandle<()> {
        let (live, recorder) = (Arc::clone(self), Arc::clone(recorder));
        tokio::spawn(async move {
            let every = if live.terminal {
                Duration::from_millis(250)
            } else {
                Duration::from_secs(5)
            };
            let mut tick = tokio::time::interval(every);
            tick.tick().await;
            loop {
                tick.tick().await;
                recorder.flush();
                let now = live.clock.now();
                let text = {
                    let state = live.lock();
                    if !state.active.is_empty() {
                        panics::on_purpose("task");
                    }
                    recorder.with_fold(|fold| status(&state, now, live.settle, fold))
                };
                match live.terminal {
                    true => print::status(Some(text)),
                    false => live.line(&text),
                }
            }
        })
    }

    fn enter(&self, phase: Phase, lasts: Option<Duration>) {
        let mut state = self.lock();
        state.phase = Some(phase);
        state.began = self.clock.now();
        state.lasts = lasts;
        drop(state);
        let length = lasts
            .map(|d| format!(", at least {} s", d.as_secs()))
            .unwrap_or_default();
        self.line(&format!("{}{length}", describe(phase)));
    }

    fn line(&self, text: &str) {
        say!("[{:>6.1} s] {text}", self.clock.now().as_secs_f64());
    }
}

impl Observer for Live {
    fn observe(&self, update: &Update) {
        match update {
            Update::Phase { phase, lasts } => self.enter(*phase, Some(*lasts)),
            Update::Begun { injection } => {
                let what = format!("{} {}", injection.fault, injection.targets.join(", "));
                self.line(&format!("injecting #{}: {what}", injection.id));
                self.lock().active.insert(injection.id, what);
            }
            Update::Proven { id, side, verdict } => {
                let side = match side {
                    ProofSide::Injected => "in force",
                    ProofSide::Again => "in force again",
                    ProofSide::Held => "in force to its end",
                    ProofSide::Reverted => "gone",
                };
                let shown = match verdict {
                    Verdict::Pass => "proven",
                    Verdict::Fail => "shown NOT to be",
                    Verdict::Unknown => "NOT proven to be",
                };
                self.line(&format!("#{id} is {shown} {side}"));
            }
            Update::Reverting { id } => self.line(&format!("reverting #{id}")),
            Update::Ended { id } => {
                self.lock().active.remove(id);
            }
            Update::Note { text } => self.line(text),
        }
    }
}

fn describe(phase: Phase) -> &'static str {
    match phase {
        Phase::Up => "up: the system and its canaries start",
        Phase::Baseline => "baseline: the healthy system is measured",
        Phase::Steps => "steps: faults are injected and reverted",
        Phase::Cooldown => "cooldown: the system recovers",
        Phase::Checks => "checks: every key is read, the replicas are compared",
        Phase::Down => "down: the system is let go",
    }
}

/// `steps 7 s, 11 s left · power-off storage-b1 · writes 81.20 % · reads 90.01 % · p99 35 ms`
fn status(state: &State, now: Nanos, settle: Duration, fold: &Fold) -> String {
    let mut parts = Vec::new();
    let spent = now.since(state.began);
    let name = state.phase.map_or("", Phase::name);
    parts.push(match state.lasts {
        Some(all) => format!(
            "{name} {} s, {} s left",
            spent.as_secs(),
            all.saturating_sub(spent).as_secs()
        ),
        None => format!("{name} {} s", spent.as_secs()),
    });
    parts.extend(state.active.values().cloned());
    for (kind, label) in [(Kind::Write, "writes"), (Kind::StrongRead, "reads")] {
        let recent = fold.recent(now - settle, RECENT, Some(kind));
        if let Some(share) = recent.counts.availability() {
            // Floored: 99.999 % is not 100 %.
            let share = (share * 10_000.0).floor() / 100.0;
            let p99 = recent
                .p99
                .map(|d| format!(", p99 {} ms", d.as_millis()))
                .unwrap_or_default();
            parts.push(format!("{label} {share:.2} %{p99}"));
        }
    }
    parts.join(" · ")
}
