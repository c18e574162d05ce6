//! Keeps what is wrong with a pod's links for as long as it is wanted: renews
//! the lease, tells it again what it has not confirmed, and when the agent was started anew, in a new network namespace
//! without rules, tells it everything again.
//!
//! Each pod has a keeper of its own, so that an agent which does not answer
//! costs no other pod its lease.

use super::adopted::follow::{Followed, Whereabouts};
use super::node::Node;
use super::pod::{Pod, Told};
use super::rules::Rules;
use super::state::{self, Life};
use super::{bounded, endpoints, err};
use crate::runtime::wanted::RENEW_EVERY;
use crate::runtime::{GapState, RuntimeError};
use bollard::Docker;
use bollard::query_parameters::{RestartContainerOptions, StartContainerOptions};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

/// How often an agent is tried to be brought back.
const TRIES: u32 = 3;
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(500);

/// Of one pod.
pub(super) struct Keeper {
    pub docker: Docker,
    pub rules: Arc<Rules>,
    pub pod: Arc<Pod>,
    /// Whose the namespace is.
    pub holder: Holder,
}

/// Who holds the network namespace of a pod.
pub(super) enum Holder {
    /// Its agent, whom a node of ours has joined there, or an instrument.
    Agent(Option<Arc<Node>>),
    /// A container that is not ours, whom the agent has joined.
    Target(Arc<Followed>),
}

/// How an agent with its rules was lost.
enum Loss {
    /// It runs, but it is another start of it.
    Anew,
    /// It runs in a namespace that its target has left.
    Behind,
    /// It does not run.
    Ended(String),
}

impl Keeper {
    /// Until it is aborted.
    pub async fn run(self) {
        let mut ticks = interval(RENEW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut given_up = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.woken() => {}
            }
            match self.look().await {
                None => given_up = false,
                Some(Loss::Behind) => given_up = !self.follow().await,
                // Whoever brings it back later is noticed, for that is another start of it.
                Some(Loss::Ended(_)) if given_up => {}
                Some(loss) => given_up = !self.mend(loss, &mut ticks).await,
            }
        }
    }

    /// Something happens to the target.
    async fn woken(&self) {
        match &self.holder {
            Holder::Target(target) => target.woken.notified().await,
            Holder::Agent(_) => std::future::pending().await,
        }
    }

    /// Brings the agent to where its target is. False if that cannot be done.
    async fn follow(&self) -> bool {
        let Holder::Target(target) = &self.holder else {
            return true;
        };
        match target.join(&self.docker, &self.rules, &self.pod).await {
            Ok(_) => true,
            Err(e) => {
                tracing::warn!("agent of {}: {e}", self.pod.unit);
                false
            }
        }
    }

    /// Keeps the rules; how the agent was lost if it was.
    async fn look(&self) -> Option<Loss> {
        let pod = self.pod.as_ref();
        if let Holder::Target(target) = &self.holder {
            match target.whereabouts(&self.docker).await {
                Ok(Whereabouts::Here) => {}
                Ok(Whereabouts::Elsewhere) => return Some(Loss::Behind),
                Ok(Whereabouts::Removed) => {
                    return Some(Loss::Ended(format!("{} was removed", target.name)));
                }
                // Nothing can be wrong with links that it has not, nor can a lease lapse there.
                Ok(Whereabouts::Down) => {
                    if !pod.agent.is_lost().await {
                        let _ = self.rules.keep(pod).await;
                    }
                    return None;
                }
                // It is asked again.
                Err(e) => tracing::warn!("{}: {e}", target.name),
            }
        }
        // An attachment to what does not run would wait for it.
        if pod.agent.is_lost().await
            && let Some(loss) = self.ended().await
        {
            return Some(loss);
        }
        match self.rules.keep(pod).await {
            Ok(Told::Anew) => Some(Loss::Anew),
            Ok(Told::Known { .. }) => None,
            Err(e) => {
                let loss = self.ended().await;
                if loss.is_none() {
                    tracing::warn!("agent of {}: its rules were not kept: {e}", pod.unit);
                }
                loss
            }
        }
    }

    async fn ended(&self) -> Option<Loss> {
        match state::life(&self.docker, &self.pod.agent_id).await {
            Ok(Life::Runs { .. }) => None,
            Ok(Life::Ended { how }) => Some(Loss::Ended(how)),
            Ok(Life::Removed) => Some(Loss::Ended("its container was removed".into())),
            Err(e) => {
                tracing::warn!("agent of {}: {e}", self.pod.unit);
                None
            }
        }
    }

    /// Puts everything back and records the gap. False if it could not be done.
    async fn mend(&self, loss: Loss, ticks: &mut Interval) -> bool {
        let unit = &self.pod.unit;
        let what = match &loss {
            Loss::Anew | Loss::Behind => format!(
                "the agent of {unit} was started anew, not by gameday: its network namespace is \
                 another one, without rules"
            ),
            Loss::Ended(how) => {
                format!(
                    "the agent of {unit} had ended, not by gameday ({how}), and its rules with it"
                )
            }
        };
        let place = self.rules.open_gap(&self.pod, what.clone());
        let (state, done) = match self.put_back().await {
            Ok(()) => match self.renewing(self.rejoin(), ticks).await {
                Ok(node) => (
                    GapState::PutBack,
                    format!("it was told everything again; {node}"),
                ),
                Err(e) => (
                    GapState::Lost,
                    format!("it was told everything again, but {e}"),
                ),
            },
            Err(e) => (GapState::Lost, format!("it could not be brought back: {e}")),
        };
        self.rules
            .close_gap(place, state, format!("{what}; {done}"));
        state == GapState::PutBack
    }

    /// The agent runs and knows what should be wrong, before its node can be there.
    async fn put_back(&self) -> Result<(), String> {
        let mut tried = 1;
        loop {
            let removed = match state::life(&self.docker, &self.pod.agent_id).await {
                Ok(Life::Removed) => true,
                Ok(Life::Runs { .. } | Life::Ended { .. }) | Err(_) => false,
            };
            if removed {
                return Err("its container was removed".into());
            }
            match self.start_and_tell().await {
                Ok(()) => return Ok(()),
                Err(e) if tried == TRIES => return Err(format!("tried {TRIES} times: {e}")),
                Err(_) => tried += 1,
            }
            sleep(AGAIN).await;
        }
    }

    async fn start_and_tell(&self) -> Result<(), String> {
        if let Holder::Target(target) = &self.holder {
            let joined = target.join(&self.docker, &self.rules, &self.pod).await;
            return match joined.map_err(|e| e.0)? {
                Whereabouts::Removed => Err(format!("{} was removed", target.name)),
                // It is told again in any case: somebody else may have started it anew.
                _ => self
                    .rules
                    .tell_again(&self.pod)
                    .await
                    .map_err(|e| e.to_string()),
            };
        }
        let what = format!("start of the agent of {}", self.pod.unit);
        // Fine if it runs.
        let options = None::<StartContainerOptions>;
        let start = async {
            let _turn = endpoints::coming().await;
            self.docker
                .start_container(&self.pod.agent_id, options)
                .await
        };
        bounded(&what, start).await.map_err(|e| e.0)?;
        let told = self.rules.tell_again(&self.pod).await;
        told.map_err(|e| e.to_string())
    }

    /// Does something that takes longer than a lease.
    async fn renewing<T>(&self, work: impl Future<Output = T>, ticks: &mut Interval) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = ticks.tick() => {}
            }
            // A further loss is seen again afterwards.
            let _ = self.look().await;
        }
    }

    async fn rejoin(&self) -> Result<String, RuntimeError> {
        match &self.holder {
            Holder::Target(target) => Ok(format!("{} ran on", target.name)),
            Holder::Agent(Some(node)) => rejoin(&self.docker, node).await,
            // It would forget what it has measured.
            Holder::Agent(None) => Err(err(format!(
                "{} is an instrument, which cannot be restarted and reaches nobody from the old \
                 namespace",
                self.pod.unit
            ))),
        }
    }
}

/// What is to be done for a node so that it is in its agent's network namespace.
#[derive(Debug, PartialEq, Eq)]
enum Join {
    /// Nothing: it is.
    Joined,
    /// Nothing: it joins when it is started.
    Down,
    /// Nothing yet: whoever thaws it restarts it.
    Frozen,
    /// It runs in one that reaches nobody: it is restarted.
    Restart,
    /// Nothing: there is none to join.
    Nowhere,
}

fn join(node: &Life, agent: &Life) -> Join {
    match (node, agent) {
        (Life::Ended { .. } | Life::Removed, _) => Join::Down,
        (Life::Runs { since: node, .. }, Life::Runs { since: agent, .. })
            if state::has_joined(node, agent) =>
        {
            Join::Joined
        }
        (Life::Runs { frozen: true, .. }, _) => Join::Frozen,
        (Life::Runs { .. }, Life::Runs { .. }) => Join::Restart,
        (Life::Runs { .. }, Life::Ended { .. } | Life::Removed) => Join::Nowhere,
    }
}

/// Restarts a node that was left alone in a namespace that its agent has left; one that does not
/// run, because a fault or somebody else has ended it, is left alone. What was done.
async fn rejoin(docker: &Docker, node: &Node) -> Result<String, RuntimeError> {
    let _turn = node.turn.take("restart").await;
    rejoin_in_turn(docker, node).await
}

/// The same for who has the turn.
pub(super) async fn rejoin_in_turn(docker: &Docker, node: &Node) -> Result<String, RuntimeError> {
    let unit = node.name();
    let mut restarted = false;
    let mut last = String::new();
    for _ in 0..TRIES {
        let container = node.container();
        let lives = tokio::try_join!(
            state::life(docker, &container),
            state::life(docker, &node.pod.agent_id)
        )?;
        match join(&lives.0, &lives.1) {
            Join::Joined if restarted => {
                return Ok(format!(
                    "{unit} ran on in the old namespace, which reaches nobody, and was restarted"
                ));
            }
            Join::Joined => return Ok(format!("{unit} has joined it")),
            Join::Down => return Ok(format!("{unit} does not run and joins it when started")),
            Join::Frozen => {
                return Ok(format!(
                    "{unit} is frozen in the old namespace, which reaches nobody, and is \
                     restarted when it is thawed"
                ));
            }
            Join::Nowhere => return Err(err(format!("the agent of {unit} has ended again"))),
            Join::Restart => {}
        }
        let options = RestartContainerOptions {
            signal: None,
            t: Some(0),
        };
        let restart = docker.restart_container(&container, Some(options));
        match restart.await {
            Ok(()) => restarted = true,
            // Somebody else may be at it.
            Err(e) => {
                last = e.to_string();
                sleep(AGAIN).await;
            }
        }
    }
    Err(err(format!("{unit} is still in the old namespace: {last}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_node_that_runs_in_an_old_namespace_is_restarted() {
        let at = |second: u32, frozen| Life::Runs {
            since: format!("2026-01-02T03:04:{second:02}.5Z"),
            frozen,
        };
        let ended = || Life::Ended {
            how: "exit code 137".into(),
        };
        let agent = at(20, false);
        for (node, agent, expected) in [
            (at(21, false), &agent, Join::Joined),
            (at(21, true), &agent, Join::Joined),
            (at(10, false), &agent, Join::Restart),
            (at(10, true), &agent, Join::Frozen),
            (ended(), &agent, Join::Down),
            (Life::Removed, &agent, Join::Down),
            (at(10, false), &ended(), Join::Nowhere),
        ] {
            assert_eq!(join(&node, agent), expected, "{node:?} {agent:?}");
        }
    }
}
