//! What the tasks of a run share.

use super::accidents::Accidents;
use super::admission::Admission;
use super::busy::phase_begins;
use super::gaps::Noticed;
use super::seams::{Firing, Observer, Roles, Update};
use super::timeline::Timeline;
use crate::faults::Scene;
use crate::plan::Plan;
use gameday_record::{Phase, TimelineEvent};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// What went wrong, in words.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) unhealthy: Vec<String>,
    pub(super) unproven: Vec<String>,
    /// How many of those are accidents; they come first.
    pub(super) accidents: usize,
    pub(super) not_clean: Vec<String>,
    pub(super) own: Vec<String>,
}

/// What the tasks of a run share.
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) scene: Scene,
    pub(super) timeline: Timeline,
    pub(super) roles: Arc<dyn Roles>,
    pub(super) alarms: Arc<dyn Firing>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) admission: Admission,
    pub(super) accidents: Accidents,
    pub(super) halt: watch::Sender<bool>,
    pub(super) gaps: watch::Sender<Vec<Noticed>>,
    pub(super) findings: Mutex<Findings>,
    pub(super) begun: Mutex<BTreeSet<usize>>,
}

impl Shared {
    pub(super) fn find(&self, add: impl FnOnce(&mut Findings)) {
        add(&mut self.findings.lock().unwrap_or_else(|e| e.into_inner()));
        self.halt();
    }

    /// Ends the waiting of every step.
    pub(super) fn halt(&self) {
        self.halt.send_replace(true);
    }

    pub(super) fn unproven(&self, text: String) {
        self.find(|f| f.unproven.push(text));
    }

    /// Before what else was not proven: it may have come of this.
    pub(super) fn accident(&self, text: String) {
        self.find(|f| {
            f.unproven.insert(f.accidents, text);
            f.accidents += 1;
        });
    }

    pub(super) fn not_clean(&self, text: String) {
        self.find(|f| f.not_clean.push(text));
    }

    /// Writes an event that is no intent: failing ends the steps, but never
    /// keeps a revert from running.
    pub(super) async fn write(&self, event: TimelineEvent) {
        if let Err(e) = self.timeline.append(event).await {
            self.find(|f| {
                f.own
                    .push(format!("the timeline could not be written: {e}"))
            });
        }
    }

    pub(super) async fn note(&self, text: String) {
        self.observer.observe(&Update::Note { text: text.clone() });
        self.write(TimelineEvent::Note { text }).await;
    }

    pub(super) async fn phase(&self, phase: Phase, lasts: Duration) {
        self.write(phase_begins(phase)).await;
        self.observer.observe(&Update::Phase { phase, lasts });
    }

    pub(super) fn halted(&self) -> bool {
        *self.halt.borrow()
    }
}
