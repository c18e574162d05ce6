//! Who leads which group, as far as a router knows.

use crate::consensus::network::{Peers, call};
use crate::consensus::types::{GroupId, NodeId};
use crate::rpc::protocol::{Request, Response};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a replica has to say who leads.
const PATIENCE: Duration = Duration::from_millis(150);
/// Between two rounds of asking.
const PACE: Duration = Duration::from_millis(25);
/// A leader that did not answer is not trusted for so long, unless it says itself that it leads.
const DISTRUST: Duration = Duration::from_secs(2);

/// Cached leaders.
pub struct Leaders {
    peers: Peers,
    known: Mutex<HashMap<GroupId, Arc<Known>>>,
}

#[derive(Default)]
struct Known {
    state: Mutex<State>,
    /// Held by whoever asks; the others wait for what it finds.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    leader: Option<NodeId>,
    distrusted: Option<(NodeId, Instant)>,
}

/// What one round of asking found. `answers`: per replica that answered, whom it names and
/// whether that is itself and serving. A leader's own word counts; hearsay does unless it names
/// somebody distrusted.
fn judge(answers: &[(NodeId, Option<NodeId>, bool)], distrusted: Option<NodeId>) -> Option<NodeId> {
    let own_word = answers.iter().find(|(_, _, ready)| *ready);
    own_word.map(|(node, _, _)| *node).or_else(|| {
        answers
            .iter()
            .filter_map(|(_, named, _)| *named)
            // One that was asked too and does not say so itself does not serve yet.
            .find(|named| {
                Some(*named) != distrusted && !answers.iter().any(|(node, _, _)| node == named)
            })
    })
}

impl Leaders {
    /// Knows nobody yet.
    pub fn new(peers: Peers) -> Self {
        Leaders {
            peers,
            known: Mutex::default(),
        }
    }

    fn of(&self, group: GroupId) -> Arc<Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(group).or_default().clone()
    }

    /// The cached leader, whether or not it can be reached.
    pub fn cached(&self, group: GroupId) -> Option<NodeId> {
        self.of(group).state().leader
    }

    /// Drops what is known of groups that are gone.
    pub fn keep(&self, wanted: impl Fn(GroupId) -> bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|group, _| wanted(*group));
    }

    /// `node` refused and named `hint`.
    pub fn refused(&self, group: GroupId, node: NodeId, hint: Option<NodeId>) {
        let known = self.of(group);
        let mut state = known.state();
        if state.leader == Some(node) || state.leader.is_none() {
            let trusted = hint.filter(|h| state.distrusted.is_none_or(|(d, _)| d != *h));
            state.leader = trusted.filter(|h| *h != node);
        }
    }

    /// `node` did not answer.
    pub fn silent(&self, group: GroupId, node: NodeId) {
        let known = self.of(group);
        let mut state = known.state();
        if state.leader == Some(node) {
            state.leader = None;
        }
        state.distrusted = Some((node, Instant::now()));
    }

    /// `node` answered as a leader does.
    pub fn confirmed(&self, group: GroupId, node: NodeId) {
        let known = self.of(group);
        let mut state = known.state();
        state.leader = Some(node);
        if state.distrusted.is_some_and(|(d, _)| d == node) {
            state.distrusted = None;
        }
    }

    /// The leader, asking the members if it is not known or its connection looks dead. Requests
    /// of one group that look for it at the same time ask once.
    pub async fn find(&self, group: GroupId, members: &[NodeId], until: Instant) -> Option<NodeId> {
        let known = self.of(group);
        if let Some(leader) = self.usable(group, &known) {
            return Some(leader);
        }
        let search = async {
            let _asking = known.asking.lock().await;
            loop {
                if let Some(leader) = self.usable(group, &known) {
                    return leader;
                }
                let distrusted = {
                    let state = known.state();
                    state
                        .distrusted
                        .filter(|(_, since)| since.elapsed() < DISTRUST)
                        .map(|(node, _)| node)
                };
                let answers = self.ask_all(group, members).await;
                if let Some(leader) = judge(&answers, distrusted) {
                    let mut state = known.state();
                    state.leader = Some(leader);
                    return leader;
                }
                tokio::time::sleep(PACE).await;
            }
        };
        tokio::time::timeout_at(until.into(), search).await.ok()
    }

    fn usable(&self, group: GroupId, known: &Known) -> Option<NodeId> {
        let leader = known.state().leader?;
        if self.peers.get(&leader)?.fast.looks_dead() {
            self.silent(group, leader);
            return None;
        }
        Some(leader)
    }

    /// Asks all members at once. A round ends with the first that says that it leads, or when
    /// all have answered or had their time.
    async fn ask_all(
        &self,
        group: GroupId,
        members: &[NodeId],
    ) -> Vec<(NodeId, Option<NodeId>, bool)> {
        use futures_util::StreamExt;
        let request = Request::Leader(group);
        let mut asked: futures_util::stream::FuturesUnordered<_> = members
            .iter()
            .filter_map(|id| Some((*id, self.peers.get(id)?)))
            .map(|(id, peer)| {
                let request = &request;
                async move {
                    match call(&peer.fast, request, PATIENCE).await {
                        Ok(Response::Leader(Ok((leader, ready)))) => Some((id, leader, ready)),
                        _ => None,
                    }
                }
            })
            .collect();
        let mut answers = Vec::new();
        while let Some(answer) = asked.next().await {
            let Some(answer) = answer else { continue };
            answers.push(answer);
            if answer.2 {
                break;
            }
        }
        answers
    }
}

impl Known {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Leaders {
    /// Believes, of every group, in a member that does not lead it.
    pub fn mislead(&self, members: &[NodeId]) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for group in known.values() {
            let mut state = group.state();
            let wrong = members.iter().find(|m| Some(**m) != state.leader);
            state.leader = wrong.copied();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_is_believed_before_hearsay() {
        let answers = [(1, Some(2), false), (3, Some(3), true)];
        assert_eq!(judge(&answers, None), Some(3));
        assert_eq!(judge(&answers, Some(3)), Some(3), "it is back");
    }

    #[test]
    fn hearsay_does_not_bring_back_a_silent_leader() {
        let answers = [(1, Some(2), false), (3, Some(2), false)];
        assert_eq!(judge(&answers, None), Some(2));
        assert_eq!(judge(&answers, Some(2)), None);
    }

    #[test]
    fn a_leader_that_does_not_serve_yet_is_waited_for() {
        let answers = [(1, Some(2), false), (2, Some(2), false)];
        assert_eq!(judge(&answers, None), None);
        assert_eq!(judge(&[], None), None);
    }
}
