//! Keeps what is wrong with a pod's links for as long as it is wanted: renews
//! the lease, tells it again what it has not confirmed, and when the agent was started anew, in a
//! new network namespace without rules, tells it everything again.
//!
//! Each pod has a keeper of its own, so that an agent which does not answer
//! costs no other pod its lease.

use super::adopted::follow::{Followed, Whereabouts};
use super::deadline::{bounded, err};
use super::join::{AGAIN, TRIES};
use super::node::Node;
use super::pod::{Pod, Told};
use super::rules::Rules;
use super::{endpoints, join, state};
use crate::runtime::wanted::RENEW_EVERY;
use crate::runtime::{GapState, ProcessState, RuntimeError};
use bollard::Docker;
use bollard::query_parameters::StartContainerOptions;
use std::pin::pin;
use std::sync::Arc;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

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
        match state::state(&self.docker, &self.pod.agent_id).await {
            Ok(Some(ProcessState::Exited(exit))) => Some(Loss::Ended(exit.to_string())),
            Ok(Some(_)) => None,
            Ok(None) => Some(Loss::Ended("its container was removed".into())),
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
            let agent = state::state(&self.docker, &self.pod.agent_id).await;
            if matches!(agent, Ok(None)) {
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
            Holder::Agent(Some(node)) => join::again(&self.docker, node).await,
            // It would forget what it has measured.
            Holder::Agent(None) => Err(err(format!(
                "{} is an instrument, which cannot be restarted and reaches nobody from the old \
                 namespace",
                self.pod.unit
            ))),
        }
    }
}
