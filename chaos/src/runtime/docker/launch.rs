//! How a unit comes into being: its agent, and in the agent's network its node or
//! its instrument.

use super::attach::{Stderr, Streams, attach};
use super::containers::{Maker, Net};
use super::node::Node;
use super::pod::{Agent, Pod};
use crate::runtime::Launch;
use crate::runtime::agent::AgentRequest;
use std::net::Ipv4Addr;

impl Maker {
    /// Starts an agent whose container was made, and waits until it answers.
    pub(super) async fn start_agent(&self, id: &str) -> Result<Agent, String> {
        let agent = Agent::attach(&self.docker, id).await?;
        self.start(id).await?;
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
        let (agent, node) = tokio::try_join!(self.start_agent(&agent_id), made)?;
        self.start(&node).await?;
        let pod = Pod::new(unit, agent, agent_id);
        Ok(Node::new(pod, launch, image_id, node))
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
        let (agent, id) = tokio::try_join!(self.start_agent(&agent_id), made)?;
        let streams = attach(&self.docker, &id, stderr).await?;
        self.start(&id).await?;
        Ok((Pod::new(launch.unit, agent, agent_id), streams))
    }
}
