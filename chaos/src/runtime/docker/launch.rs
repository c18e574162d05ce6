//! How a unit comes into being: its agent, and in the agent's network its node or
//! its instrument.

use super::attach::{Stderr, Streams, attach};
use super::containers::{Maker, Net};
use super::node::Node;
use super::pod::{Agent, Pod};
use super::{endpoints, join};
use crate::runtime::Launch;
use crate::runtime::agent::AgentRequest;
use std::net::Ipv4Addr;

impl Maker {
    /// Starts an agent whose container was made, and waits until it answers.
    pub(super) async fn start_agent(&self, id: &str) -> Result<Agent, String> {
        let agent = Agent::attach(&self.docker, id).await?;
        {
            let _turn = endpoints::coming().await;
            self.start(id).await?;
        }
        match agent.rules(&AgentRequest::Renew).await {
            Ok(_) => Ok(agent),
            Err(e) => {
                let said = String::from_utf8_lossy(&agent.stderr()).trim().to_string();
                Err(format!("the agent does not answer: {e} {said}"))
            }
        }
    }

    /// Makes and starts a node; `image_id` is that of the image that it is made from.
    pub async fn launch_node(
        &self,
        launch: Launch,
        ip: Ipv4Addr,
        image_id: String,
    ) -> Result<Node, String> {
        let unit = launch.unit.clone();
        let agent_id = self.agent(&unit, Net::At(ip), true).await?;
        let made = self.node(&launch, &agent_id);
        // Both to their ends: what the engine was asked to make comes, though the other one failed.
        let (agent, node) = tokio::join!(self.start_agent(&agent_id), made);
        let (agent, node) = (agent?, node?);
        let pod = Pod::new(unit, agent, agent_id);
        let node = Node::new(pod, launch, image_id, node);
        let container = node.container();
        let started = join::start(&self.docker, &node, self.start(&container)).await;
        started.map_err(|e| e.0)?;
        Ok(node)
    }

    /// Makes and starts an instrument, in further networks too.
    pub async fn launch_instrument(
        &self,
        launch: Launch,
        net: Net<'_>,
        further: &[String],
        stderr: Stderr,
    ) -> Result<(Pod, Streams), String> {
        let agent_id = self.agent(&launch.unit, net, false).await?;
        for network in further {
            self.connect(&agent_id, network).await?;
        }
        let made = self.instrument(&launch, &agent_id);
        let (agent, id) = tokio::join!(self.start_agent(&agent_id), made);
        let (agent, id) = (agent?, id?);
        let streams = attach(&self.docker, &id, stderr).await?;
        self.start(&id).await?;
        Ok((Pod::new(launch.unit, agent, agent_id), streams))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::docker::fake::Engine;
    use crate::runtime::marks::{Kind, RunMarks};
    use std::sync::atomic::AtomicBool;
    use tokio::sync::watch;

    fn maker(engine: &Engine) -> Maker {
        Maker {
            docker: engine.connect(),
            marks: RunMarks::new("r1", Kind::Run, "/nowhere").unwrap(),
            image: "image".into(),
            network: "n1".into(),
            closed: AtomicBool::new(false),
        }
    }

    async fn launched(maker: &Maker) -> Result<(), String> {
        let launch = Launch {
            unit: "a1".into(),
            args: Vec::new(),
            env: Vec::new(),
        };
        let ip = Ipv4Addr::new(198, 18, 1, 11);
        let made = maker.launch_node(launch, ip, "image".into()).await;
        made.map(drop)
    }

    /// An engine whose agents cannot be attached to, and which makes the container of a node when
    /// that has failed and it is let; whether it has made it.
    fn without_agents() -> (Engine, watch::Sender<bool>, watch::Receiver<bool>) {
        let (failed, has_failed) = watch::channel(false);
        let (let_make, may_make) = watch::channel(false);
        let (make, is_made) = watch::channel(false);
        let engine = Engine::start_slow(move |request| {
            let (failed, make) = (failed.clone(), make.clone());
            let (mut has_failed, mut may_make) = (has_failed.clone(), may_make.clone());
            Box::pin(async move {
                let is_agent = request.query().contains("agent");
                match request.path() {
                    "/containers/create" if is_agent => {
                        (201, r#"{"Id":"agent","Warnings":[]}"#.into())
                    }
                    "/containers/create" => {
                        // The test may be over.
                        let _ = has_failed.wait_for(|has| *has).await;
                        let _ = may_make.wait_for(|may| *may).await;
                        make.send_replace(true);
                        (201, r#"{"Id":"node","Warnings":[]}"#.into())
                    }
                    _ => {
                        failed.send_replace(true);
                        (404, r#"{"message":"no such container"}"#.into())
                    }
                }
            })
        });
        (engine, let_make, is_made)
    }

    #[tokio::test]
    async fn what_the_engine_was_asked_to_make_is_waited_for_though_the_rest_has_failed() {
        let (engine, let_make, is_made) = without_agents();
        let maker = maker(&engine);
        let mut launching = Box::pin(launched(&maker));
        // Long enough for the failure to be known.
        let (mut asked, mut looks) = (0, 0);
        while asked < 3 || looks < 1000 {
            assert!(futures_util::poll!(&mut launching).is_pending());
            tokio::task::yield_now().await;
            asked += engine.asked().len();
            looks += 1;
        }
        let_make.send_replace(true);
        let why = launching.await.unwrap_err();
        assert!(why.contains("cannot be attached to"), "{why}");
        assert!(*is_made.borrow(), "it came before the launch was over");
    }

    #[tokio::test]
    async fn nothing_is_made_any_more_when_everything_is_taken_down() {
        let (engine, _let_make, _) = without_agents();
        let maker = maker(&engine);
        maker.close();
        let why = launched(&maker).await.unwrap_err();
        assert!(why.contains("taken down"), "{why}");
        assert!(maker.start("agent").await.is_err());
        assert_eq!(engine.asked(), [""; 0]);
    }
}
