//! The playbook's alarms while it runs: the report's own evaluation, once a
//! second, over the live fold.

use crate::live::Live;
use crate::panics;
use crate::recorder::Recorder;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gameday_chaos::runner::{Firing, Observer, Timeline, Update};
use gameday_record::{AlarmSpec, RunClock, TimelineEvent};
use gameday_reports::{Change, Watch};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;

/// Beyond the timeout of its calls, a second has this long to be told whole.
const MARGIN: Duration = Duration::from_millis(500);

/// Evaluates them, and observes which AZs are touched.
pub struct Alarms {
    clock: RunClock,
    live: Arc<Live>,
    watch: Mutex<Watch>,
    /// Why the run should end, as soon as an alarm says so.
    stop: watch::Sender<Option<String>>,
    /// What fires now: the alarm and for whom, and what was seen.
    firing: watch::Sender<BTreeMap<(String, String), String>>,
}

impl Alarms {
    /// Evaluates from now on. `timeout`: of one call.
    pub fn new(
        specs: Vec<AlarmSpec>,
        clock: RunClock,
        timeout: Duration,
        live: Arc<Live>,
    ) -> Arc<Self> {
        Arc::new(Alarms {
            clock,
            live,
            watch: Mutex::new(Watch::new(specs, clock.now(), timeout + MARGIN)),
            stop: watch::Sender::new(None),
            firing: watch::Sender::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Tells every change to the timeline and the live view, until aborted.
    pub async fn follow(self: Arc<Self>, recorder: Arc<Recorder>, timeline: Timeline) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let now = self.clock.now();
            let changes = recorder.with_fold(|fold| self.lock().step(fold, now));
            for change in changes {
                let text = words(&change);
                self.live.note(&text);
                let which = (change.name.clone(), change.who.clone());
                self.firing.send_modify(|firing| {
                    if change.firing {
                        firing.insert(which, text.clone());
                    } else {
                        firing.remove(&which);
                    }
                });
                if change.stop && change.firing {
                    self.stop
                        .send_if_modified(|why| why.replace(text.clone()).is_none());
                }
                let event = TimelineEvent::Alarm {
                    name: change.name,
                    firing: change.firing,
                    text,
                };
                // The runner's own writes notice a timeline that cannot be written.
                let _ = timeline.append(event).await;
            }
        }
    }

    /// Resolves with the reason when an alarm ends the run.
    pub async fn stopped(&self) -> String {
        let mut stop = self.stop.subscribe();
        let why = stop.wait_for(Option::is_some).await.map(|why| why.clone());
        match why {
            Ok(Some(why)) => why,
            // The sender lives as long as `self`.
            _ => std::future::pending().await,
        }
    }
}

/// `alarm 'far away' fires (a through b): 31 % failed …, by what was due up to +31.000 s`
fn words(change: &Change) -> String {
    let who = match change.who.as_str() {
        "" => String::new(),
        who => format!(" ({who})"),
    };
    let does = if change.firing { "fires" } else { "clears" };
    let what = match change.observed.as_str() {
        "" => String::new(),
        what => format!(": {what},"),
    };
    format!(
        "alarm '{}' {does}{who}{what} by what was due up to {}",
        change.name, change.at
    )
}

impl Firing for Alarms {
    fn fires<'a>(&'a self, alarm: &'a str) -> BoxFuture<'a, String> {
        let mut firing = self.firing.subscribe();
        async move {
            let mine = |(of, _): &&(String, String)| of == alarm;
            let fires = firing.wait_for(|all| all.keys().any(|key| mine(&key)));
            let seen = fires.await.ok().and_then(|all| {
                let key = all.keys().find(mine)?;
                all.get(key).cloned()
            });
            match seen {
                Some(seen) => seen,
                // The sender lives as long as `self`.
                None => std::future::pending().await,
            }
        }
        .boxed()
    }
}

impl Observer for Alarms {
    fn observe(&self, update: &Update) {
        match update {
            Update::Begun { injection } => {
                panics::on_purpose("step");
                self.lock().touch(&injection.azs, self.clock.now());
            }
            Update::Phase { .. } => panics::on_purpose("runner"),
            _ => {}
        }
        self.live.observe(update);
    }
}
