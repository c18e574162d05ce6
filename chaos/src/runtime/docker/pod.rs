//! A unit's network namespace, and control of the agent that holds it.

use super::attach::{Stderr, Streams, attach};
use crate::runtime::agent::{AgentAnswer, AgentRequest};
use crate::runtime::control::{CallError, Control, lock};
use bollard::Docker;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Deadline of an agent's answer, beyond what it was asked to wait for.
pub(super) const ASK: Duration = Duration::from_secs(5);

/// Makes a stream to an agent.
type Attach = Box<dyn Fn(Stderr) -> BoxFuture<'static, Result<Streams, String>> + Send + Sync>;

/// The control of an agent, which is attached to again when the stream is lost.
pub(super) struct Agent {
    attach: Attach,
    control: tokio::sync::Mutex<Arc<Control>>,
    stderr: Stderr,
    /// Lapses known so far.
    lapses: Mutex<u64>,
}

impl Agent {
    /// Attaches to the agent's container, which may not have been started yet.
    pub async fn attach(docker: &Docker, container: &str) -> Result<Self, String> {
        let (docker, container) = (docker.clone(), container.to_string());
        Self::over(Box::new(move |stderr| {
            let (docker, container) = (docker.clone(), container.clone());
            Box::pin(async move { attach(&docker, &container, stderr).await })
        }))
        .await
    }

    async fn over(attach: Attach) -> Result<Self, String> {
        let stderr = Stderr::default();
        let streams = attach(stderr.clone()).await?;
        let control = Control::new(streams.stdin, streams.stdout, 1);
        Ok(Agent {
            attach,
            control: tokio::sync::Mutex::new(Arc::new(control)),
            stderr,
            lapses: Mutex::new(0),
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

    /// Asks for a change or renewal of the rules; how many leases have lapsed that nobody had
    /// heard of.
    pub async fn rules(&self, request: &AgentRequest) -> Result<u64, CallError> {
        match self.ask(request, Duration::ZERO).await? {
            AgentAnswer::Done { lapses } => {
                let mut known = lock(&self.lapses);
                let new = lapses.saturating_sub(*known);
                *known = lapses.max(*known);
                Ok(new)
            }
            other => Err(CallError::Refused(format!("unexpected answer {other:?}"))),
        }
    }
}

/// A unit's network namespace and address, whatever runs in it.
pub(super) struct Pod {
    /// Name of the unit.
    pub unit: String,
    /// Who holds the namespace and acts in it.
    pub agent: Agent,
    /// Id of the agent's container.
    pub agent_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::control::{self, Reply};
    use std::sync::atomic::{AtomicU64, Ordering};

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
                        Reply::Now(Ok(AgentAnswer::Done { lapses: 2 }))
                    }));
                }
                Ok(Streams {
                    stdin: Box::new(ours),
                    stdout,
                })
            })
        }));
        let agent = agent.await.unwrap();
        assert_eq!(agent.rules(&AgentRequest::Renew).await, Ok(2));
        // Known by now.
        assert_eq!(agent.rules(&AgentRequest::Renew).await, Ok(0));
        assert_eq!(attached.load(Ordering::Relaxed), 2);
    }
}
