//! What the faults on processes have in common: who ran before, acting on all
//! targets at once, and judging what was seen.

use super::{Scene, merge};
use crate::runtime::{Identity, ProcessState, RuntimeError};
use futures_util::future::{BoxFuture, join_all};
use gameday_record::Verdict;
use gameday_record::timeline::Proof;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// How long a node that should be silent is waited for. A healthy one answers
/// far sooner, and its process state speaks against it anyway.
const SILENT: Duration = Duration::from_millis(700);
/// How long a node that should serve is waited for, each time it is asked.
const SERVES: Duration = Duration::from_secs(2);

/// Target nodes, and the identities of their processes before the injection, and of those that it
/// leaves behind.
pub(super) struct Targets {
    pub(super) nodes: Vec<String>,
    before: Mutex<BTreeMap<String, Identity>>,
    after: Mutex<BTreeMap<String, Identity>>,
}

/// What was seen of one node.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub(super) state: Result<ProcessState, RuntimeError>,
    /// Whether `/health` answered 200, and else why not.
    pub(super) health: Result<(), String>,
}

impl Targets {
    pub(super) fn new(nodes: Vec<String>) -> Self {
        Targets {
            nodes,
            before: Mutex::default(),
            after: Mutex::default(),
        }
    }

    pub(super) fn identity(&self, node: &str) -> Option<Identity> {
        let before = self.before.lock().unwrap_or_else(|e| e.into_inner());
        before.get(node).cloned()
    }

    /// Remembers who runs. Hurting what does not run would show nothing.
    pub(super) async fn remember(&self, scene: &Scene) -> Result<(), RuntimeError> {
        let states = join_all(self.nodes.iter().map(|n| scene.runtime.process(n))).await;
        let mut found = BTreeMap::new();
        for (node, state) in self.nodes.iter().zip(states) {
            match state? {
                ProcessState::Running { identity } => {
                    found.insert(node.clone(), identity);
                }
                other => {
                    return Err(RuntimeError(format!(
                        "{node} is not running ({}); nothing was done",
                        describe(&other)
                    )));
                }
            }
        }
        *self.before.lock().unwrap_or_else(|e| e.into_inner()) = found;
        Ok(())
    }

    /// Acts on all targets at once; every error is told.
    pub(super) async fn each<'a>(
        &'a self,
        act: impl Fn(&'a str) -> crate::runtime::Fut<'a, ()>,
    ) -> Result<(), RuntimeError> {
        let done = join_all(self.nodes.iter().map(|n| act(n))).await;
        let errors: Vec<String> = self
            .nodes
            .iter()
            .zip(done)
            .filter_map(|(n, r)| r.err().map(|e| format!("{n}: {e}")))
            .collect();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(RuntimeError(errors.join("; ")))
        }
    }

    /// Looks at all targets at once and judges each, given the identity that
    /// its process had before.
    pub(super) fn look<'a>(
        &'a self,
        scene: &'a Scene,
        silent: bool,
        judge: fn(Option<&Identity>, &Sighting) -> (Verdict, String),
    ) -> BoxFuture<'a, Proof> {
        self.look_with(scene, silent, move |node, seen| {
            judge(self.identity(node).as_ref(), seen)
        })
    }

    /// The same of a fault that leaves another process behind: the one that is seen first to be
    /// as wanted is the one that every later look has to find.
    pub(super) fn look_same<'a>(
        &'a self,
        scene: &'a Scene,
        silent: bool,
        judge: fn(Option<&Identity>, &Sighting) -> (Verdict, String),
    ) -> BoxFuture<'a, Proof> {
        self.look_with(scene, silent, move |node, seen| {
            let judged = judge(self.identity(node).as_ref(), seen);
            let mut after = self.after.lock().unwrap_or_else(|e| e.into_inner());
            let lived_on = lives_on(after.get(node), seen, judged);
            if let (Verdict::Pass, Ok(ProcessState::Running { identity })) =
                (lived_on.0, &seen.state)
            {
                after.insert(node.into(), identity.clone());
            }
            lived_on
        })
    }

    /// The same when the fault is over: another process than it left behind was started by
    /// somebody else, and how long there was none is not known.
    pub(super) fn look_afterwards<'a>(
        &'a self,
        scene: &'a Scene,
        judge: fn(Option<&Identity>, &Sighting) -> (Verdict, String),
    ) -> BoxFuture<'a, Proof> {
        self.look_with(scene, false, move |node, seen| {
            let (verdict, text) = judge(self.identity(node).as_ref(), seen);
            let after = self.after.lock().unwrap_or_else(|e| e.into_inner());
            match after.get(node) {
                Some(after) if verdict == Verdict::Pass && !runs_as(after, seen) => (
                    Verdict::Unknown,
                    format!("{text}; somebody else started it: the fault had left {after}"),
                ),
                _ => (verdict, text),
            }
        })
    }

    /// Looks at all targets at once and judges each.
    pub(super) fn look_with<'a>(
        &'a self,
        scene: &'a Scene,
        silent: bool,
        judge: impl Fn(&str, &Sighting) -> (Verdict, String) + Send + 'a,
    ) -> BoxFuture<'a, Proof> {
        let deadline = if silent { SILENT } else { SERVES };
        Box::pin(async move {
            let seen = join_all(self.nodes.iter().map(async |node| {
                let (state, health) = tokio::join!(
                    scene.runtime.process(node),
                    scene.runtime.admin(node, "/health", deadline)
                );
                Sighting {
                    state,
                    health: health.map(|_| ()).map_err(|e| e.0),
                }
            }))
            .await;
            merge(
                self.nodes
                    .iter()
                    .zip(&seen)
                    .map(|(node, s)| {
                        let (verdict, text) = judge(node, s);
                        (verdict, format!("{node}: {text}"))
                    })
                    .collect(),
            )
        })
    }
}

/// A process state in words.
pub(super) fn describe(state: &ProcessState) -> String {
    match state {
        ProcessState::Running { identity } => format!("running as {identity}"),
        ProcessState::Paused { identity } => format!("frozen as {identity}"),
        ProcessState::Exited(exit) => format!("exited, {exit}"),
    }
}

fn runs_as(identity: &Identity, s: &Sighting) -> bool {
    matches!(&s.state, Ok(ProcessState::Running { identity: now }) if now == identity)
}

/// Corrects a verdict by who must still run, if that is known: one that ended meanwhile was not
/// held, whoever came after it.
fn lives_on(
    wanted: Option<&Identity>,
    s: &Sighting,
    judged: (Verdict, String),
) -> (Verdict, String) {
    match (wanted, &s.state) {
        (Some(wanted), Ok(state)) if !runs_as(wanted, s) => (
            Verdict::Fail,
            format!(
                "{wanted}, which the fault left, did not live on: {}",
                describe(state)
            ),
        ),
        _ => judged,
    }
}

/// Judges whether a process is dead.
pub(super) fn is_dead(before: Option<&Identity>, s: &Sighting) -> (Verdict, String) {
    match (&s.state, &s.health) {
        (Err(e), _) => (
            Verdict::Unknown,
            format!("its process could not be looked at: {e}"),
        ),
        (Ok(ProcessState::Exited(exit)), Err(_)) => (
            Verdict::Pass,
            format!("process exited ({exit}), /health does not answer"),
        ),
        (Ok(ProcessState::Exited(_)), Ok(())) => (
            Verdict::Fail,
            "process exited, but /health still answers".into(),
        ),
        (Ok(ProcessState::Running { identity }), _) if before != Some(identity) => (
            Verdict::Fail,
            format!("was started again by somebody else, as {identity}"),
        ),
        (Ok(state), _) => (Verdict::Fail, format!("is not dead: {}", describe(state))),
    }
}

/// Judges whether another process runs than before, serving or not yet. One
/// that is just not there may be on its way.
pub(super) fn is_another(before: Option<&Identity>, s: &Sighting) -> (Verdict, String) {
    match &s.state {
        Err(e) => (
            Verdict::Unknown,
            format!("its process could not be looked at: {e}"),
        ),
        Ok(ProcessState::Running { identity }) if before != Some(identity) => (
            Verdict::Pass,
            match before {
                Some(before) => format!("runs as {identity}, before as {before}"),
                None => format!("runs as {identity}, before as nobody"),
            },
        ),
        Ok(state @ ProcessState::Exited(_)) => (
            Verdict::Unknown,
            format!("does not run just now: {}", describe(state)),
        ),
        Ok(state) => (
            Verdict::Fail,
            format!("was not started again: {}", describe(state)),
        ),
    }
}

/// Judges whether a process serves, whichever it is by now.
pub(super) fn is_serving(_before: Option<&Identity>, s: &Sighting) -> (Verdict, String) {
    match (&s.state, &s.health) {
        (Err(e), _) => (
            Verdict::Unknown,
            format!("its process could not be looked at: {e}"),
        ),
        (Ok(ProcessState::Running { identity }), Ok(())) => (
            Verdict::Pass,
            format!("runs as {identity}, and /health answers"),
        ),
        (Ok(state), Ok(())) => (Verdict::Fail, format!("does not run: {}", describe(state))),
        (Ok(state), Err(e)) => (
            Verdict::Fail,
            format!("{}, and /health does not answer: {e}", describe(state)),
        ),
    }
}

/// Judges whether a process that was dead is a new one and serves.
pub(super) fn is_back(before: Option<&Identity>, s: &Sighting) -> (Verdict, String) {
    match (&s.state, &s.health) {
        (Err(e), _) => (
            Verdict::Unknown,
            format!("its process could not be looked at: {e}"),
        ),
        (Ok(ProcessState::Running { identity }), _) if before == Some(identity) => (
            Verdict::Unknown,
            format!("runs as before, as {identity}: it was never dead"),
        ),
        (Ok(ProcessState::Running { identity }), Ok(())) => (
            Verdict::Pass,
            format!("runs again, as {identity}, and /health answers"),
        ),
        (Ok(ProcessState::Running { .. }), Err(e)) => (
            Verdict::Fail,
            format!("runs again, but /health does not answer: {e}"),
        ),
        (Ok(state), _) => (
            Verdict::Fail,
            format!("does not run again: {}", describe(state)),
        ),
    }
}

/// Judges whether a process is frozen, and still the same.
pub(super) fn is_frozen(before: Option<&Identity>, s: &Sighting) -> (Verdict, String) {
    match (&s.state, &s.health) {
        (Err(e), _) => (
            Verdict::Unknown,
            format!("its process could not be looked at: {e}"),
        ),
        (Ok(ProcessState::Paused { identity }), _) if before != Some(identity) => (
            Verdict::Fail,
            format!("is another process than the one that was frozen: {identity}"),
        ),
        (Ok(ProcessState::Paused { identity }), Err(_)) => (
            Verdict::Pass,
            format!("frozen as {identity}, /health does not answer"),
        ),
        (Ok(ProcessState::Paused { .. }), Ok(())) => {
            (Verdict::Fail, "frozen, but /health answers".into())
        }
        (Ok(state), _) => (Verdict::Fail, format!("is not frozen: {}", describe(state))),
    }
}

/// Judges whether a process that was frozen runs on, as the same.
pub(super) fn is_thawed(before: Option<&Identity>, s: &Sighting) -> (Verdict, String) {
    match (&s.state, &s.health) {
        (Err(e), _) => (
            Verdict::Unknown,
            format!("its process could not be looked at: {e}"),
        ),
        (Ok(ProcessState::Running { identity }), _) if before != Some(identity) => (
            Verdict::Unknown,
            format!(
                "was started again by somebody else, as {identity}: how long it was frozen is not known"
            ),
        ),
        (Ok(ProcessState::Running { identity }), Ok(())) => (
            Verdict::Pass,
            format!("runs on as {identity}, and /health answers"),
        ),
        (Ok(ProcessState::Running { .. }), Err(e)) => (
            Verdict::Fail,
            format!("runs on, but /health does not answer: {e}"),
        ),
        (Ok(state), _) => (Verdict::Fail, format!("does not run: {}", describe(state))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Exit;
    use Verdict::{Fail, Pass, Unknown};

    /// Verdicts of the judges on a process that was `old` before:
    /// dead, back, frozen, thawed, another, serving.
    fn judged(state: Result<ProcessState, RuntimeError>, answers: bool) -> [Verdict; 6] {
        let s = Sighting {
            state,
            health: if answers {
                Ok(())
            } else {
                Err("refused".into())
            },
        };
        [
            is_dead, is_back, is_frozen, is_thawed, is_another, is_serving,
        ]
        .map(|judge| judge(Some(&"old".into()), &s).0)
    }

    #[test]
    fn the_process_that_a_fault_left_has_to_live_on() {
        let seen = |state| Sighting {
            state,
            health: Ok(()),
        };
        let runs = |identity: &str| {
            seen(Ok(ProcessState::Running {
                identity: identity.into(),
            }))
        };
        let of = |wanted: Option<&str>, s: &Sighting| {
            let wanted = wanted.map(Identity::from);
            lives_on(wanted.as_ref(), s, (Pass, String::new())).0
        };
        assert_eq!(of(None, &runs("new")), Pass);
        assert_eq!(of(Some("new"), &runs("new")), Pass);
        assert_eq!(of(Some("new"), &runs("newer")), Fail);
        let dead = seen(Ok(ProcessState::Exited(Exit::Code(0))));
        assert_eq!(of(Some("new"), &dead), Fail);
        // What cannot be seen is for the judge to say.
        let blind = seen(Err(RuntimeError("no answer".into())));
        let judged = lives_on(Some(&"new".into()), &blind, (Unknown, String::new()));
        assert_eq!(judged.0, Unknown);
    }

    #[test]
    fn every_sighting_has_its_verdict() {
        let running = |id: &str| {
            Ok(ProcessState::Running {
                identity: id.into(),
            })
        };
        let paused = |id: &str| {
            Ok(ProcessState::Paused {
                identity: id.into(),
            })
        };
        let exited = || Ok(ProcessState::Exited(Exit::Signal(9)));
        let blind = || Err(RuntimeError("no answer".into()));
        let table = [
            // state, answers        dead     back     frozen   thawed   another  serving
            (exited(), false, [Pass, Fail, Fail, Fail, Unknown, Fail]),
            (exited(), true, [Fail, Fail, Fail, Fail, Unknown, Fail]),
            (
                running("old"),
                true,
                [Fail, Unknown, Fail, Pass, Fail, Pass],
            ),
            (
                running("old"),
                false,
                [Fail, Unknown, Fail, Fail, Fail, Fail],
            ),
            (
                running("new"),
                true,
                [Fail, Pass, Fail, Unknown, Pass, Pass],
            ),
            (
                running("new"),
                false,
                [Fail, Fail, Fail, Unknown, Pass, Fail],
            ),
            (paused("old"), false, [Fail, Fail, Pass, Fail, Fail, Fail]),
            (paused("old"), true, [Fail, Fail, Fail, Fail, Fail, Fail]),
            (paused("new"), false, [Fail, Fail, Fail, Fail, Fail, Fail]),
            (blind(), false, [Unknown; 6]),
            (blind(), true, [Unknown; 6]),
        ];
        for (state, answers, expected) in table {
            let name = format!("{state:?}, answers: {answers}");
            assert_eq!(judged(state, answers), expected, "{name}");
        }
    }
}
