//! The request router: finds the replica that can answer, and knows what a failure means.
//!
//! A router is stateless. It follows the routing map and remembers, per group, who led last.
//! - A **write** goes to the leader. If it certainly was not proposed (refused, or never sent),
//!   the router may look for the leader again, once; if its outcome is unknown, never.
//! - A **strong read** has no effect, so it is asked again until the deadline.
//! - An **eventual read** goes to any replica, of the same AZ first.
//!
//! A leader that hangs (paused, or cut off without a reset) is noticed by the silence of its
//! connection or by an answer that takes too long; new requests then ask the other replicas who
//! leads instead of waiting for it, too.

mod admin;
mod backend;
mod leaders;
mod outcome;

use crate::config::{Peers as PeerConfigs, RouterConfig};
use crate::consensus::network::{Peer, Peers, call};
use crate::consensus::types::{GroupId, NodeId};
use crate::meta::RoutingMap;
use crate::node::follow::Follower;
use crate::rpc::CallError;
use crate::rpc::protocol::{Request, Response};
use leaders::Leaders;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A request router; implements [`crate::backend::Backend`].
pub struct Router {
    name: String,
    az: String,
    configs: PeerConfigs,
    peers: Peers,
    map: watch::Sender<Arc<RoutingMap>>,
    follower: Follower,
    leaders: Leaders,
    partitions: u32,
    deadline: Duration,
    write_hop: Duration,
    read_hop: Duration,
}

impl Router {
    /// Starts dialling. Must be called inside a tokio runtime.
    pub fn new(config: &RouterConfig) -> Self {
        let peers: Peers = Arc::new(
            config
                .peers
                .values()
                .map(|p| (p.id, Peer::new(p.addr)))
                .collect(),
        );
        let mut meta: Vec<_> = config.peers.values().filter(|p| p.meta).collect();
        meta.sort_by_key(|p| (p.az != config.az, p.id));
        let replicas = meta
            .iter()
            .filter_map(|p| peers.get(&p.id).cloned())
            .collect();
        let (map, _) = watch::channel(Arc::new(RoutingMap::default()));
        Router {
            name: config.name.clone(),
            az: config.az.clone(),
            configs: config.peers.clone(),
            follower: Follower::new(replicas, map.clone()),
            leaders: Leaders::new(peers.clone()),
            peers,
            map,
            partitions: config.partitions,
            deadline: Duration::from_millis(config.deadline_ms),
            write_hop: Duration::from_millis(config.write_hop_ms),
            read_hop: Duration::from_millis(config.read_hop_ms),
        }
    }

    /// Follows the routing map; runs for ever beside the requests.
    pub async fn follow_map(&self) {
        self.follower.run().await;
    }

    fn az_of(&self, node: NodeId) -> Option<&str> {
        let mut peers = self.configs.values();
        peers.find(|p| p.id == node).map(|p| p.az.as_str())
    }

    /// Members of a group, those of this AZ first.
    fn nearest(&self, members: &[NodeId]) -> Vec<NodeId> {
        let mut members = members.to_vec();
        members.sort_by_key(|m| self.az_of(*m) != Some(&self.az));
        members
    }

    async fn ask(
        &self,
        node: NodeId,
        request: &Request,
        deadline: Duration,
    ) -> Result<Response, CallError> {
        let peer = self.peers.get(&node);
        let peer = peer.ok_or(CallError::NotSent("not in this router's configuration"))?;
        let link = match request {
            Request::Scan { .. } => &peer.bulk,
            _ => &peer.fast,
        };
        call(link, request, deadline).await
    }

    /// The leader of a group, found before `until`.
    async fn leader(&self, group: GroupId, members: &[NodeId], until: Instant) -> Option<NodeId> {
        self.leaders.find(group, members, until).await
    }
}

#[cfg(test)]
impl Router {
    /// Makes every route stale.
    pub(crate) fn mislead_all(&self) {
        let nodes: Vec<NodeId> = self.peers.keys().copied().collect();
        self.leaders.mislead(&nodes);
    }
}
