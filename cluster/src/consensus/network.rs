//! Raft messages over the links between nodes.

use super::snapshot::{Pieces, SnapshotData};
use super::types::{GroupId, NodeId, Types, Vote};
use crate::rpc::protocol::{Request, Response, SnapshotPiece};
use crate::rpc::{CallError, Link};
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::{EmptyNode, OptionalSend};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// The two connections to a peer.
#[derive(Clone)]
pub struct Peer {
    /// For everything small and urgent.
    pub fast: Link,
    /// For snapshots, scans and what waits: nothing urgent queues behind them.
    pub bulk: Link,
}

impl Peer {
    /// Dials.
    pub fn new(addr: std::net::SocketAddr) -> Self {
        Peer {
            fast: Link::new(addr),
            bulk: Link::new(addr),
        }
    }
}

/// Connections to all storage nodes.
pub type Peers = Arc<BTreeMap<NodeId, Peer>>;

/// One call, typed.
pub async fn call(
    link: &Link,
    request: &Request,
    deadline: Duration,
) -> Result<Response, CallError> {
    let body = postcard::to_stdvec(request).map_err(|_| CallError::NotSent("cannot be encoded"))?;
    let answer = link.call(body, deadline).await?;
    postcard::from_bytes(&answer).map_err(|_| CallError::Lost("answer cannot be decoded"))
}

/// Makes clients for one group.
pub struct Network {
    /// Group.
    pub group: GroupId,
    /// This node.
    pub me: NodeId,
    /// Connections.
    pub peers: Peers,
    /// How long entries may take to be stored by a follower.
    pub patience: Duration,
}

/// Talks to one member of one group.
pub struct Client {
    group: GroupId,
    me: NodeId,
    target: NodeId,
    peer: Option<Peer>,
    patience: Duration,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: NodeId, _node: &EmptyNode) -> Client {
        Client {
            group: self.group,
            me: self.me,
            target,
            peer: self.peers.get(&target).cloned(),
            patience: self.patience,
        }
    }
}

impl Client {
    async fn ask(
        &self,
        kind: RPCTypes,
        request: Request,
        deadline: Duration,
    ) -> Result<Response, RPCError<Types>> {
        let peer = self
            .peer
            .as_ref()
            .ok_or_else(|| Unreachable::from_string("not in this node's configuration"))?;
        let link = match kind {
            RPCTypes::InstallSnapshot => &peer.bulk,
            _ => &peer.fast,
        };
        match call(link, &request, deadline).await {
            Ok(Response::Failed(reason)) => Err(Unreachable::from_string(reason).into()),
            Ok(response) => Ok(response),
            Err(CallError::NotSent(reason)) => Err(Unreachable::from_string(reason).into()),
            Err(CallError::Lost(_)) => Err(Timeout {
                action: kind,
                id: self.me,
                target: self.target,
                timeout: deadline,
            }
            .into()),
        }
    }
}

fn odd() -> RPCError<Types> {
    NetworkError::from_string("an answer to another question").into()
}

impl RaftNetworkV2<Types> for Client {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        // Heartbeats are given up by openraft at their hard limit; entries may have to wait for
        // a disk, and giving up on them only sends them again.
        let deadline = if rpc.entries.is_empty() {
            option.soft_ttl()
        } else {
            self.patience
        };
        let request = Request::Append(self.group, rpc);
        match self.ask(RPCTypes::AppendEntries, request, deadline).await? {
            Response::Append(response) => Ok(response),
            _ => Err(odd()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let request = Request::Vote(self.group, rpc);
        match self.ask(RPCTypes::Vote, request, option.soft_ttl()).await? {
            Response::Vote(response) => Ok(response),
            _ => Err(odd()),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let request = Request::PreVote(self.group, rpc);
        match self.ask(RPCTypes::Vote, request, option.soft_ttl()).await? {
            Response::Vote(response) => Ok(response),
            _ => Err(odd()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let send = async {
            let meta = postcard::to_stdvec(&snapshot.meta)
                .map_err(|e| NetworkError::from_string(format!("snapshot metadata: {e}")))?;
            let stream = rand::random();
            let mut pieces = Pieces::new(snapshot.snapshot);
            let mut number = 0;
            loop {
                let (data, last) = pieces
                    .next()
                    .await
                    .map_err(|e| Unreachable::from_string(format!("reading the tree: {e}")))?;
                let piece = SnapshotPiece {
                    vote,
                    stream,
                    number,
                    data: crate::rpc::protocol::Blob(data),
                    last: last.then(|| crate::rpc::protocol::Blob(meta.clone())),
                };
                // The last piece waits until the snapshot is durable at the receiver.
                let deadline = if last {
                    Duration::from_secs(30)
                } else {
                    Duration::from_secs(5)
                };
                let request = Request::Snapshot(self.group, piece);
                let response = self.ask(RPCTypes::InstallSnapshot, request, deadline).await;
                match response.map_err(StreamingError::from)? {
                    Response::Snapshot(Some(vote)) => return Ok(SnapshotResponse { vote }),
                    Response::Snapshot(None) if !last => number += 1,
                    _ => return Err(odd().into()),
                }
            }
        };
        tokio::select! {
            done = send => done,
            closed = cancel => Err(closed.into()),
        }
    }
}
