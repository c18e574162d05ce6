//! One reader of a canary's lines: into the history, the metrics, the latency
//! log, the fold and the alarms. What it keeps does not grow with time.

use super::setup::Setup;
use crate::progress::Progress;
use gameday_canary::protocol::{Health, Line, Notice};
use gameday_canary::publish::budget::{Calls, Rolling};
use gameday_canary::publish::hlog::LatencyLog;
use gameday_canary::publish::metrics::{AlarmState, Budget, Metrics};
use gameday_canary::publish::segments::{Ended, Segment, Segments};
use gameday_record::{AlarmRule, ErrorClass, Nanos, Objective, Target, Verdict};
use gameday_reports::{Change, Fold, Patience, Watch, burn};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::sync::{mpsc, watch};

/// Longest line that a canary may write, in bytes.
const MAX_LINE: u64 = 64 << 10;

/// Seconds that the fold keeps beyond those that calls need to end: for the
/// live view, and for a moment in which nobody steps the alarms.
const FOLD_SECONDS: u64 = 120;

/// A canary is ill for so long after a call was refused for its own fault.
const ILL: Duration = Duration::from_secs(30);

/// What the checker said about finished segments.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// Segments that were judged.
    pub segments: u64,
    /// Those that could not be decided.
    pub unknown: u64,
    /// Anomalies in all of them.
    pub anomalies: u64,
    /// The first ones, 20 at most.
    pub examples: Vec<gameday_record::Anomaly>,
}

/// See the module's text.
pub struct Publisher {
    inner: Mutex<Inner>,
}

struct Inner {
    segments: Option<Segments>,
    metrics: Metrics,
    latency: LatencyLog,
    fold: Fold,
    watch: Watch,
    /// The promises of availability, and what is left of their budgets.
    promises: Vec<(Objective, Rolling)>,
    judged: Judged,
    dropped: u64,
    health: Health,
    /// The last call that was refused for the canary's own fault, and why.
    refused: Option<(Nanos, String)>,
    flaw: Option<String>,
}

impl Inner {
    fn refused_lately(&self, now: Nanos) -> Option<&str> {
        let (at, why) = self.refused.as_ref()?;
        (now.since(*at) < ILL).then_some(why)
    }
}

impl Publisher {
    /// Writes to what was made for it.
    ///
    /// # Errors
    /// Metrics of these names cannot be kept.
    pub fn new(
        setup: &Setup,
        segments: Segments,
        latency: LatencyLog,
        began: Nanos,
    ) -> Result<Arc<Publisher>, String> {
        let timeout = Duration::from_millis(setup.measuring.workload.timeout_ms);
        let settle = timeout + Duration::from_secs(1);
        let endpoints: Vec<String> = setup.endpoints.iter().map(|(az, _)| az.clone()).collect();
        let mut objectives = setup.measuring.slo.all();
        objectives.retain(
            |o| matches!(o.target, Target::Availability { at_least } if (0.0..1.0).contains(&at_least)),
        );
        let version = env!("CARGO_PKG_VERSION");
        let metrics = Metrics::new(&setup.az, &endpoints, timeout, version);
        let metrics = metrics.map_err(|e| format!("metrics: {e}"))?;
        let inner = Inner {
            segments: Some(segments),
            metrics,
            latency,
            fold: Fold::bounded(FOLD_SECONDS + settle.as_secs())
                .with(Patience::of(&setup.measuring.workload)),
            watch: Watch::new(setup.measuring.alarms.clone(), began, settle),
            promises: objectives
                .into_iter()
                .map(|o| (o, Rolling::new(began)))
                .collect(),
            judged: Judged::default(),
            dropped: 0,
            health: Health::default(),
            refused: None,
            flaw: None,
        };
        Ok(Arc::new(Publisher {
            inner: Mutex::new(inner),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Reads the canary's lines to their end. Finished segments go to `judge`.
    ///
    /// # Errors
    /// A line that makes no sense, or a file that cannot be written.
    pub async fn read(
        &self,
        lines: impl AsyncRead + Unpin,
        progress: &watch::Sender<Progress>,
        judge: &mpsc::UnboundedSender<Segment>,
    ) -> Result<(), String> {
        let mut lines = BufReader::with_capacity(64 << 10, lines);
        let mut line = Vec::new();
        loop {
            line.clear();
            let n = (&mut lines)
                .take(MAX_LINE)
                .read_until(b'\n', &mut line)
                .await
                .map_err(|e| format!("the canary's lines: {e}"))?;
            if n == 0 {
                return Ok(());
            }
            match Line::parse(&line).map_err(|e| format!("the canary's lines: {e}"))? {
                Line::Event(event) => {
                    for segment in self.event(&event)? {
                        // Nobody judges any more only if everything ends.
                        let _ = judge.send(segment);
                    }
                }
                Line::Notice(Notice::Health(health)) => {
                    let mut inner = self.lock();
                    inner.metrics.health(&health);
                    inner.health = health;
                }
                Line::Notice(notice) => progress.send_modify(|p| p.take(notice)),
            }
        }
    }

    fn event(&self, event: &gameday_record::Event) -> Result<Vec<Segment>, String> {
        let mut inner = self.lock();
        let Some(segments) = inner.segments.as_mut() else {
            return Ok(Vec::new());
        };
        let (op, finished) = segments.push(event)?;
        inner.dropped += finished.iter().filter(|s| s.removed_one).count() as u64;
        if let Some(op) = op.filter(|op| !op.last) {
            inner.metrics.operation(&op);
            inner.latency.operation(&op);
            inner.fold.push(&op);
            if let Some(failure) = op.outcome.failure()
                && failure.class == ErrorClass::Misconfigured
            {
                inner.refused = Some((op.returned.unwrap_or(op.due), failure.message.clone()));
            }
        }
        Ok(finished)
    }

    /// Evaluates the alarms as of `now` and hands what was written to the
    /// files; once a second or so. Returns what changed.
    pub fn step(&self, now: Nanos) -> Vec<Change> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let changes = inner.watch.step(&inner.fold, now);
        let states = inner.watch.states();
        let alarms = states.iter().map(|s| AlarmState {
            alarm: s.spec.name.clone(),
            firing: s.firing_since.is_some(),
        });
        let alarms: Vec<AlarmState> = alarms.collect();
        let fold = &inner.fold;
        let budgets = inner.promises.iter_mut().filter_map(|(objective, budget)| {
            let Target::Availability { at_least } = objective.target else {
                return None;
            };
            let counts = fold.totals(|c| c.is_in(&objective.selection, &Default::default()));
            let calls = Calls {
                attempts: counts.attempts(),
                missed: counts.missed(),
            };
            let burns = states.iter().filter_map(|s| match &s.spec.rule {
                AlarmRule::BurnRate {
                    objective: promised,
                    long_ms,
                    ..
                } if *promised == at_least && s.spec.selection == objective.selection => {
                    Some((burn::window(*long_ms).replace(' ', ""), s.burn?))
                }
                _ => None,
            });
            Some(Budget {
                objective: objective.name.clone(),
                ratio: at_least,
                remaining: budget.left(now, calls, at_least),
                burn: burns.collect(),
            })
        });
        let budgets: Vec<Budget> = budgets.collect();
        inner.metrics.standing(&budgets, &alarms);
        inner.metrics.judged(inner.judged.anomalies, inner.dropped);
        inner.metrics.healthy(inner.refused_lately(now).is_none());
        if let Some(Err(why)) = inner.segments.as_mut().map(Segments::flush) {
            inner.flaw.get_or_insert(why);
        }
        changes
    }

    /// Ends an interval of the latency log.
    ///
    /// # Errors
    /// It could not be written.
    pub fn interval(&self, now: Nanos) -> Result<(), String> {
        self.lock().latency.interval(now)
    }

    /// The text of a scrape.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn scrape(&self) -> Result<String, String> {
        self.lock().metrics.render().map_err(|e| e.to_string())
    }

    /// Looks at the fold and at the canary's own health.
    pub fn look<T>(&self, look: impl FnOnce(&Fold, &Health) -> T) -> T {
        let inner = self.lock();
        look(&inner.fold, &inner.health)
    }

    /// Why calls are refused now for the canary's own fault, if they are.
    pub fn refused(&self, now: Nanos) -> Option<String> {
        self.lock().refused_lately(now).map(String::from)
    }

    /// Marks the history as incomplete; the first reason is kept.
    pub fn spoil(&self, why: String) {
        self.lock().flaw.get_or_insert(why);
    }

    /// Why the history is incomplete, if it is.
    pub fn flaw(&self) -> Option<String> {
        self.lock().flaw.clone()
    }

    /// Takes what the checker said about a segment.
    pub fn judged(&self, verdict: Verdict, anomalies: u64, examples: Vec<gameday_record::Anomaly>) {
        let judged = &mut self.lock().judged;
        judged.segments += 1;
        judged.unknown += u64::from(verdict == Verdict::Unknown);
        judged.anomalies += anomalies;
        let room = 20_usize.saturating_sub(judged.examples.len());
        judged.examples.extend(examples.into_iter().take(room));
    }

    /// What was said about all of them.
    pub fn judgement(&self) -> Judged {
        self.lock().judged.clone()
    }

    /// Ends the history; once.
    ///
    /// # Errors
    /// It could not be written.
    pub fn finish(&self) -> Result<Ended, String> {
        let mut inner = self.lock();
        let orderly = inner.flaw.is_none();
        let segments = inner.segments.take();
        segments.map_or(Err("the history has ended".into()), |s| s.finish(orderly))
    }
}
