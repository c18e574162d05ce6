//! A unit's network namespace, and control of the agent that holds it.

use super::attach::{Stderr, Streams, attach};
use super::state;
use crate::runtime::agent::{AgentAnswer, AgentRequest, Orders, Ports};
use crate::runtime::control::{CallError, Control, lock};
use bollard::Docker;
use futures_util::future::BoxFuture;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Deadline of an agent's answer, beyond what it was asked to wait for.
pub(super) const ASK: Duration = Duration::from_secs(5);

/// Makes a stream to an agent.
type Attach = Box<dyn Fn(Stderr) -> BoxFuture<'static, Result<Streams, String>> + Send + Sync>;

/// The control of an agent, which is attached to again when the stream is lost.
pub(super) struct Agent {
    attach: Attach,
    control: tokio::sync::Mutex<Arc<Control>>,
    stderr: Stderr,
    /// Its start that was told what it should do; none before its first answer.
    known: Mutex<Option<Start>>,
}

/// One start of an agent.
struct Start {
    /// Number that names it.
    birth: u64,
    /// Lapses known so far.
    lapses: u64,
    /// When it was asked last of what it has answered.
    kept: Instant,
    /// Where it listens.
    ports: Ports,
}

/// What an agent that was told or asked to keep something has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is the one that was told everything; so many leases have lapsed that nobody had heard of.
    Known {
        /// Number of leases.
        lapses: u64,
    },
    /// It was started anew, and knows nothing of what was said before.
    Anew,
}

impl Agent {
    /// Attaches to the agent's container, which may not have been started yet.
    pub async fn attach(docker: &Docker, container: &str) -> Result<Self, String> {
        let (docker, container) = (docker.clone(), container.to_string());
        let again = AtomicBool::new(false);
        Self::over(Box::new(move |stderr| {
            let (docker, container) = (docker.clone(), container.clone());
            let again = again.swap(true, Ordering::Relaxed);
            Box::pin(async move {
                match again {
                    true => attach_again(&docker, &container, stderr).await,
                    false => attach(&docker, &container, stderr).await,
                }
            })
        }))
        .await
    }

    /// Over the streams that this makes, each time anew.
    pub(super) async fn over(attach: Attach) -> Result<Self, String> {
        let stderr = Stderr::default();
        let streams = attach(stderr.clone()).await?;
        let control = Control::new(streams.stdin, streams.stdout, 1);
        Ok(Agent {
            attach,
            control: tokio::sync::Mutex::new(Arc::new(control)),
            stderr,
            known: Mutex::new(None),
        })
    }

    /// What it wrote to its standard error.
    pub fn stderr(&self) -> Vec<u8> {
        lock(&self.stderr).clone()
    }

    /// Asks; once more over a new stream if the old one is gone.
    pub async fn ask(
        &self,
        request: &AgentRequest,
        wait: Duration,
    ) -> Result<AgentAnswer, CallError> {
        let control = self.control.lock().await.clone();
        match control.call(request, wait + ASK).await {
            Err(CallError::Lost(_)) => {
                let control = self.attach_again().await.map_err(CallError::Lost)?;
                control.call(request, wait + ASK).await
            }
            answered => answered,
        }
    }

    async fn attach_again(&self) -> Result<Arc<Control>, String> {
        let mut control = self.control.lock().await;
        if control.is_lost() {
            let streams = (self.attach)(self.stderr.clone()).await?;
            let next = control.next_id();
            *control = Arc::new(Control::new(streams.stdin, streams.stdout, next));
        }
        Ok(control.clone())
    }

    /// Whether the stream to it is gone, as when it has ended.
    pub async fn is_lost(&self) -> bool {
        self.control.lock().await.is_lost()
    }

    /// Asks for a change or renewal of the rules.
    pub async fn rules(&self, request: &AgentRequest) -> Result<Told, CallError> {
        let now = self.done(request).await?;
        let mut known = lock(&self.known);
        let Some(known) = known.as_mut() else {
            *known = Some(now);
            return Ok(Told::Known { lapses: 0 });
        };
        if known.birth != now.birth {
            return Ok(Told::Anew);
        }
        let lapses = now.lapses.saturating_sub(known.lapses);
        known.lapses = now.lapses.max(known.lapses);
        known.kept = now.kept;
        Ok(Told::Known { lapses })
    }

    /// Tells everything to an agent that may have been started anew; it is the known one from
    /// now on.
    pub async fn begin_again(&self, orders: Orders) -> Result<(), CallError> {
        let now = self.done(&AgentRequest::Set(orders)).await?;
        *lock(&self.known) = Some(now);
        Ok(())
    }

    /// When it was last known that its rules were as it was told.
    pub fn kept(&self) -> Option<Instant> {
        lock(&self.known).as_ref().map(|known| known.kept)
    }

    /// Where it listens, once it has said so.
    pub fn ports(&self) -> Option<Ports> {
        lock(&self.known).as_ref().map(|known| known.ports)
    }

    async fn done(&self, request: &AgentRequest) -> Result<Start, CallError> {
        let kept = Instant::now();
        match self.ask(request, Duration::ZERO).await? {
            AgentAnswer::Done {
                birth,
                lapses,
                ports,
            } => Ok(Start {
                birth,
                lapses,
                kept,
                ports,
            }),
            other => Err(CallError::Refused(format!("unexpected answer {other:?}"))),
        }
    }
}

/// Attaches to what should run already: the engine lets whoever attaches to what does not run wait
/// for its start.
async fn attach_again(docker: &Docker, container: &str, stderr: Stderr) -> Result<Streams, String> {
    if state::has_ended(docker, container).await {
        return Err("its container does not run or was removed".into());
    }
    attach(docker, container, stderr).await
}

/// A unit's network namespace and address, whatever runs in it.
pub(super) struct Pod {
    /// Name of the unit.
    pub unit: String,
    /// Who holds the namespace and acts in it.
    pub agent: Agent,
    /// Id of the agent's container.
    pub agent_id: String,
    /// What is wrong here, as the agent has said; none if it was told something else and has not
    /// said so: then nobody knows. Held by whoever tells it.
    pub confirmed: tokio::sync::Mutex<Option<Orders>>,
}

impl Pod {
    /// Of an agent that has just been started: nothing is wrong there.
    pub fn new(unit: String, agent: Agent, agent_id: String) -> Self {
        Pod {
            unit,
            agent,
            agent_id,
            confirmed: tokio::sync::Mutex::new(Some(Orders::default())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::control::{self, Reply};
    use crate::runtime::docker::fake::Engine;
    use std::sync::atomic::AtomicU64;

    /// An agent whose stream dies before its first answer, and is fine when attached to again.
    #[tokio::test]
    async fn a_lost_stream_is_taken_up_again() {
        let attached = Arc::new(AtomicU64::new(0));
        let count = attached.clone();
        let agent = Agent::over(Box::new(move |_| {
            let first = count.fetch_add(1, Ordering::Relaxed) == 0;
            Box::pin(async move {
                let (ours, theirs) = tokio::io::duplex(4096);
                let (stdout, answers) = tokio::io::duplex(4096);
                if !first {
                    tokio::spawn(control::serve(theirs, answers, |_: AgentRequest| {
                        Reply::Now(Ok(AgentAnswer::Done {
                            birth: 1,
                            lapses: 0,
                            ports: Ports::default(),
                        }))
                    }));
                }
                Ok(Streams {
                    stdin: Box::new(ours),
                    stdout,
                })
            })
        }));
        let agent = agent.await.unwrap();
        let renewed = agent.rules(&AgentRequest::Renew).await;
        assert_eq!(renewed, Ok(Told::Known { lapses: 0 }));
        assert_eq!(attached.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn an_agent_that_is_gone_is_not_waited_for() {
        for (status, body) in [(404, "{}"), (200, r#"{"State":{"Running":false}}"#)] {
            let engine = Engine::start(move |_| (status, body.into()));
            let gone = attach_again(&engine.connect(), "c1", Stderr::default()).await;
            let why = gone.err().unwrap();
            assert!(why.contains("does not run or was removed"), "{why}");
            assert_eq!(engine.asked(), ["GET /containers/c1/json"]);
        }
    }

    /// An agent that answers with these births and lapses, one after the other.
    async fn agent_that_says(answers: Vec<(u64, u64)>) -> Agent {
        let answers = Arc::new(Mutex::new(answers.into_iter()));
        let agent = Agent::over(Box::new(move |_| {
            let answers = answers.clone();
            Box::pin(async move {
                let (ours, theirs) = tokio::io::duplex(4096);
                let (stdout, out) = tokio::io::duplex(4096);
                tokio::spawn(control::serve(theirs, out, move |_: AgentRequest| {
                    let next = lock(&answers).next();
                    let ports = Ports::default();
                    let done = |(birth, lapses)| AgentAnswer::Done {
                        birth,
                        lapses,
                        ports,
                    };
                    Reply::Now(next.map(done).ok_or_else(|| "asked too often".into()))
                }));
                Ok(Streams {
                    stdin: Box::new(ours),
                    stdout,
                })
            })
        }));
        agent.await.unwrap()
    }

    #[tokio::test]
    async fn a_lapse_is_told_once_and_an_agent_started_anew_until_it_was_told_everything() {
        let said = vec![(1, 0), (1, 2), (1, 2), (9, 0), (9, 0), (9, 0), (9, 1)];
        let agent = agent_that_says(said).await;
        let known = |lapses| Ok(Told::Known { lapses });
        for expected in [known(0), known(2), known(0), Ok(Told::Anew), Ok(Told::Anew)] {
            assert_eq!(agent.rules(&AgentRequest::Renew).await, expected);
        }
        assert_eq!(agent.begin_again(Orders::default()).await, Ok(()));
        // Its own lapses, counted from its own start.
        assert_eq!(agent.rules(&AgentRequest::Renew).await, known(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_start_answers_does_not_count_as_kept() {
        let agent = agent_that_says(vec![(1, 0), (1, 0), (9, 0)]).await;
        assert_eq!(agent.kept(), None);
        let mut kept = Vec::new();
        for _ in 0..3 {
            agent.rules(&AgentRequest::Renew).await.unwrap();
            kept.push(agent.kept());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(kept[0] < kept[1]);
        assert_eq!(kept[1], kept[2]);
    }
}
