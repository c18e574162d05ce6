//! The timeline as a story: phases, injections from intent to proof, events.

use crate::report::{ClusterEvent, FaultGap, InjectionReport, NoteRow, PhaseMark, ProofAt};
use gameday_record::{Nanos, Phase, ProofSide, RunState, TimelineEvent, TimelineLine, Verdict};

/// Most cluster events and notes that a report carries.
const MAX_EVENTS: usize = 500;

/// How the runner begins a note about something that it could not take away,
/// for example a container that remains.
const NOT_CLEAN: &str = "not clean:";

/// What the timeline tells.
#[derive(Debug, Default)]
pub struct Story {
    /// Begin of the baseline.
    pub baseline: Option<Nanos>,
    /// Begin of what follows the cooldown: checks, down or the end.
    pub measured_end: Option<Nanos>,
    /// Phases in order.
    pub phases: Vec<PhaseMark>,
    /// Injections in order of their intent; without impact.
    pub injections: Vec<InjectionReport>,
    /// Whether every node reached every other after the last revert.
    pub reachability: Option<ProofAt>,
    /// What the cluster did.
    pub cluster_events: Vec<ClusterEvent>,
    /// Remarks.
    pub notes: Vec<NoteRow>,
    /// Alarms that the run's own watch saw fire: when it told, and their names.
    pub told: Vec<(Nanos, String)>,
    /// What the runner could not take away.
    pub left_behind: Vec<String>,
    /// How it ended.
    pub state: Option<RunState>,
    /// Why.
    pub end_reason: Option<String>,
    /// Time of the last line.
    pub last: Nanos,
    /// When the last phase began, and how long some task had waited by then, in milliseconds.
    waited: Option<(Nanos, u64)>,
}

impl Story {
    /// Reads it line by line. What `gameday revert` appends after the end is
    /// read like the rest: a late revert is a revert.
    pub fn read(lines: Vec<TimelineLine>) -> Story {
        let mut s = Story::default();
        for line in lines {
            let at = line.time;
            if s.state.is_none() {
                s.last = s.last.max(at);
            }
            s.take(at, line.event);
        }
        s
    }

    fn take(&mut self, at: Nanos, event: TimelineEvent) {
        match event {
            TimelineEvent::Phase { phase, cpu_wait_ms } => {
                self.waited(at, cpu_wait_ms);
                match phase {
                    // One that was unhealthy was measured again: the last one counts.
                    Phase::Baseline => {
                        self.baseline = Some(at);
                        self.phases.retain(|p| p.name != phase.name());
                    }
                    Phase::Checks | Phase::Down => {
                        self.measured_end = self.measured_end.or(Some(at));
                    }
                    Phase::Up | Phase::Steps | Phase::Cooldown => {}
                }
                self.phases.push(PhaseMark {
                    name: phase.name().into(),
                    at,
                    waiting: None,
                });
            }
            TimelineEvent::Intent { injection } => {
                if self.find(injection.id).is_none() {
                    self.injections.push(InjectionReport {
                        injection,
                        intent: at,
                        injected: None,
                        proof_injected: None,
                        proof_held: None,
                        gaps: Vec::new(),
                        reverting: None,
                        reverted: None,
                        proof_reverted: None,
                        revert_error: None,
                        impact: None,
                    });
                }
            }
            TimelineEvent::Injected { id } => self.with(id, |i| i.injected = Some(at)),
            TimelineEvent::Proof { id, side, proof } => self.with(id, |i| {
                let proof = Some(ProofAt { at, proof });
                if matches!(side, ProofSide::Again | ProofSide::Held) {
                    for gap in i.gaps.iter_mut().filter(|g| g.proof.is_none()) {
                        gap.proof = proof.clone();
                    }
                }
                match side {
                    ProofSide::Again => {}
                    ProofSide::Injected => i.proof_injected = proof,
                    ProofSide::Held => i.proof_held = proof,
                    ProofSide::Reverted => i.proof_reverted = proof,
                }
            }),
            TimelineEvent::Reverting { id } => {
                self.with(id, |i| i.reverting = i.reverting.or(Some(at)));
            }
            TimelineEvent::Reverted { id } => self.with(id, |i| {
                i.reverted = Some(at);
                i.revert_error = None;
            }),
            TimelineEvent::RevertFailed { id, error } => {
                self.with(id, |i| i.revert_error = Some(error));
            }
            TimelineEvent::Reachability { proof } => {
                self.reachability = Some(ProofAt { at, proof });
            }
            TimelineEvent::Gap {
                units,
                since,
                injections,
                text,
            } => {
                for id in injections {
                    self.with(id, |i| {
                        if i.gaps.len() < MAX_EVENTS {
                            i.gaps.push(FaultGap {
                                units: units.clone(),
                                from: since,
                                text: text.clone(),
                                proof: None,
                            });
                        }
                    });
                }
                if self.notes.len() < MAX_EVENTS {
                    let text = format!("A gap from {since} on: {text}");
                    self.notes.push(NoteRow { at, text });
                }
            }
            TimelineEvent::Cluster { node, kind, detail } => {
                if self.cluster_events.len() < MAX_EVENTS {
                    self.cluster_events.push(ClusterEvent {
                        at,
                        node,
                        kind,
                        detail,
                    });
                }
            }
            // The report evaluates the alarms itself, over the whole history.
            TimelineEvent::Alarm { name, firing, .. } => {
                if firing {
                    self.told.push((at, name));
                }
            }
            TimelineEvent::Note { text } => {
                if let Some(what) = text.strip_prefix(NOT_CLEAN)
                    && self.left_behind.len() < MAX_EVENTS
                {
                    self.left_behind.push(what.trim().into());
                }
                if self.notes.len() < MAX_EVENTS {
                    self.notes.push(NoteRow { at, text });
                }
            }
            TimelineEvent::Ended { state, reason } => {
                // The first end is the runner's own.
                if self.state.is_none() {
                    self.state = Some(state);
                    self.end_reason = reason;
                    self.measured_end = self.measured_end.or(Some(at));
                }
            }
        }
    }

    /// A phase ends at which some task had waited so long.
    fn waited(&mut self, at: Nanos, cpu_wait_ms: Option<u64>) {
        let before = std::mem::replace(&mut self.waited, cpu_wait_ms.map(|ms| (at, ms)));
        if let (Some((then, before)), Some(now), Some(phase)) =
            (before, cpu_wait_ms, self.phases.last_mut())
            && at > then
        {
            let share = now.saturating_sub(before) as f64 / 1e3 / at.since(then).as_secs_f64();
            phase.waiting = Some(share.min(1.0));
        }
    }

    fn find(&mut self, id: u32) -> Option<&mut InjectionReport> {
        self.injections.iter_mut().find(|i| i.injection.id == id)
    }

    fn with(&mut self, id: u32, f: impl FnOnce(&mut InjectionReport)) {
        if let Some(i) = self.find(id) {
            f(i);
        }
    }
}

/// When an injection was proven to be gone.
pub fn proven_gone(i: &InjectionReport) -> Option<Nanos> {
    i.proof_reverted
        .as_ref()
        .filter(|p| p.proof.verdict == Verdict::Pass)
        .map(|p| p.at)
}
