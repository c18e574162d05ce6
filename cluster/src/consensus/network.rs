//! Raft messages over the links between nodes.

use super::log::{BATCH_BYTES, that_fit, weight};
use super::snapshot::{Pieces, SnapshotData};
use super::types::{Entry, GroupId, LogId, NodeId, Types, Vote};
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
    load: Load,
}

/// Longer batches of entries go over the bulk connection: heartbeats, votes and other groups'
/// small appends do not wait behind them.
const URGENT_BYTES: usize = 64 << 10;
/// A batch is not made smaller than this for a slow follower.
const LEAST_BYTES: usize = 16 << 10;

/// How many bytes of entries a follower is sent at once: half of what it did not take in time,
/// twice of what it did. Sent again and again as a whole, a batch that a slow link cannot carry
/// within the deadline would never arrive.
#[derive(Debug, PartialEq, Eq)]
struct Load {
    bytes: usize,
}

impl Default for Load {
    fn default() -> Self {
        Load { bytes: BATCH_BYTES }
    }
}

impl Load {
    fn too_slow(&mut self) {
        self.bytes = (self.bytes / 2).max(LEAST_BYTES);
    }

    fn in_time(&mut self) {
        self.bytes = (self.bytes * 2).min(BATCH_BYTES);
    }

    /// Leaves of a batch what fits. If that is less than all, the last entry that stayed.
    fn lighten(&self, entries: &mut Vec<Entry>) -> Option<LogId> {
        let fit = that_fit(entries.iter(), self.bytes);
        let last = (fit < entries.len()).then(|| entries.get(fit.checked_sub(1)?));
        let last = last.flatten().map(|entry| entry.log_id);
        entries.truncate(fit);
        last
    }
}

/// Which connection carries such a request.
fn is_bulky(request: &Request) -> bool {
    match request {
        Request::Append(_, rpc) => rpc.entries.iter().map(weight).sum::<usize>() > URGENT_BYTES,
        Request::Snapshot(..) => true,
        _ => false,
    }
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
            load: Load::default(),
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
        let link = if is_bulky(&request) {
            &peer.bulk
        } else {
            &peer.fast
        };
        match call(link, &request, deadline).await {
            Ok(Response::Failed(reason)) => Err(Unreachable::from_string(reason).into()),
            Ok(response) => Ok(response),
            Err(CallError::NotSent(reason)) => Err(Unreachable::from_string(reason).into()),
            // The peer is well, and to send it again is of no use: what is accepted and how it is
            // cut into messages must be such that this cannot be.
            Err(error @ CallError::TooLong(_)) => {
                tracing::error!(group = self.group, %error, "a bug: a message that cannot be sent");
                Err(NetworkError::from_string(error.to_string()).into())
            }
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
        mut rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        // Heartbeats are given up by openraft at their hard limit; entries may have to wait for
        // a disk, and giving up on them only sends them again.
        let deadline = if rpc.entries.is_empty() {
            option.soft_ttl()
        } else {
            self.patience
        };
        let with_entries = !rpc.entries.is_empty();
        let partly = self.load.lighten(&mut rpc.entries);
        let request = Request::Append(self.group, rpc);
        let answer = self.ask(RPCTypes::AppendEntries, request, deadline).await;
        match &answer {
            Ok(_) if with_entries => self.load.in_time(),
            Err(RPCError::Timeout(_)) if with_entries => self.load.too_slow(),
            _ => {}
        }
        match (answer?, partly) {
            (Response::Append(AppendEntriesResponse::Success), Some(last)) => {
                Ok(AppendEntriesResponse::PartialSuccess(Some(last)))
            }
            (Response::Append(response), _) => Ok(response),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::Command;
    use openraft::entry::EntryPayload;

    fn entries(lengths: &[usize]) -> Vec<Entry> {
        let entry = |(index, length): (u64, &usize)| Entry {
            log_id: LogId::new_term_index(3, index),
            payload: EntryPayload::Normal(Command(vec![7; *length].into())),
        };
        (1..).zip(lengths).map(entry).collect()
    }

    fn append(entries: Vec<Entry>) -> Request {
        Request::Append(
            1,
            AppendEntriesRequest {
                vote: Vote::new_committed(3, 1),
                prev_log_id: None,
                entries,
                leader_commit: None,
            },
        )
    }

    #[test]
    fn a_slow_follower_is_sent_less_until_it_keeps_up() {
        let mut load = Load::default();
        let mut all = entries(&[300_000; 3]);
        assert_eq!(load.lighten(&mut all), None);
        assert_eq!(all.len(), 3, "all that a batch can have");
        load.too_slow();
        let last = load.lighten(&mut all);
        assert_eq!((last.map(|l| l.index), all.len()), (Some(1), 1));
        for _ in 0..100 {
            load.too_slow();
        }
        let mut all = entries(&[300_000; 3]);
        assert_eq!(load.lighten(&mut all).map(|l| l.index), Some(1));
        let mut small = entries(&[1000; 12]);
        assert_eq!(load.lighten(&mut small), None, "there is a least");
        assert_eq!(load.lighten(&mut Vec::new()), None, "a heartbeat");
        for _ in 0..100 {
            load.in_time();
        }
        assert_eq!(load, Load::default());
    }

    #[test]
    fn what_is_urgent_does_not_queue_behind_what_is_long() {
        assert!(!is_bulky(&append(Vec::new())), "a heartbeat");
        assert!(!is_bulky(&append(entries(&[1000; 10]))));
        assert!(is_bulky(&append(entries(&[1000; 100]))));
        assert!(!is_bulky(&Request::Leader(1)));
    }
}
