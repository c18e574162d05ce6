//! Repair of a replica that has forgotten: its log or its tree was damaged and moved aside.
//!
//! # Why it is safe
//!
//! Raft is safe as long as a replica remembers its votes and the entries it acknowledged. A
//! replica R that forgot could (a) vote twice in one term, (b) give its vote to a candidate that
//! lacks an entry which is committed only thanks to R's forgotten acknowledgement, or (c)
//! acknowledge entries of a leader in whose successor's election it had voted. So while R is
//! *amnesiac* (a mark in its log, durable before the damaged files go) it grants no votes and no
//! pre-votes and never campaigns, and at first takes nothing from any leader.
//!
//! R begins to follow once it has asked **both** other members, after it started, what they
//! promised, and both are in one term T with the same established leader L, which is one of
//! them and leads at that moment, and neither is amnesiac; from then on it takes messages of terms
//! from T on. It may vote again once it has applied up to L's last entry as of that answer (which
//! must be of term T).
//!
//! (a) Votes. Whoever asked R for a vote in a term above T had first durably voted for itself in
//! that term. Only those two could, and at the time of their answers, later than anything R did
//! before it forgot, neither had. So R's forgotten votes are for terms up to T; having taken
//! entries of a term from T on, it never votes in these again.
//!
//! (b) Entries. What R acknowledged and forgot came from leaders of terms up to T, as a leader has
//! durably voted for itself. If of term T, L had it in its log before its answer, and has it still,
//! because it leads: had it lost power since, its vote would be the same, but of its log only what
//! it had synced itself, and an entry is committed when both others have it. If of an
//! earlier term and committed, L has it by leader completeness: it was elected before R forgot,
//! or by the other two without R, one of whom is in every commit quorum with R. So all that R
//! helped to commit is at or before L's last entry, and any later leader, elected by the other
//! two, has it too. R has applied that far, so it has it again.
//!
//! (c) Old leaders. A leader of a term below T is refused, so no quorum is made of it and R.
//!
//! Two replicas of one group that forgot at the same time have nobody to ask: the group stays
//! unavailable rather than wrong, and says so.

use crate::consensus::group::Group;
use crate::consensus::network::{Peers, call};
use crate::consensus::types::NodeId;
use crate::rpc::protocol::{Request, Response, Standing};
use std::sync::Arc;
use std::time::Duration;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_millis(500);

/// What must be applied for a replica to have nothing forgotten any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Goal {
    term: u64,
    index: u64,
}

/// Finds the goal in what the two others say. Pure.
fn goal(others: &[(NodeId, Standing)]) -> Result<Goal, &'static str> {
    let [(_, a), (_, b)] = others else {
        return Err("not both other members answer");
    };
    if a.amnesiac || b.amnesiac {
        return Err("another member has forgotten too");
    }
    let (Some(vote), Some(vote_b)) = (a.vote, b.vote) else {
        return Err("another member knows no leader");
    };
    if vote != vote_b || !vote.committed {
        return Err("the other members do not agree on a leader");
    }
    let leader = vote.leader_id.voted_for;
    let Some((_, standing)) = others.iter().find(|(id, _)| *id == leader) else {
        return Err("the other members follow somebody else");
    };
    if !standing.leads {
        return Err("the leader that the others know does not lead now");
    }
    match standing.last {
        Some(last) if last.leader_id.term == vote.leader_id.term => Ok(Goal {
            term: last.leader_id.term,
            index: last.index,
        }),
        _ => Err("the leader has no entry of its term yet"),
    }
}

/// What the other members promised and have; those that do not answer are left out.
pub async fn ask(group: &Group, me: NodeId, peers: &Peers) -> Vec<(NodeId, Standing)> {
    let ask = group.members.iter().filter(|m| **m != me).map(|id| {
        let peers = peers.clone();
        let request = Request::Standing(group.id);
        async move {
            let peer = peers.get(id)?;
            match call(&peer.fast, &request, PATIENCE).await {
                Ok(Response::Standing(standing)) => Some((*id, standing?)),
                _ => None,
            }
        }
    });
    let answers = futures_util::future::join_all(ask).await;
    answers.into_iter().flatten().collect()
}

/// Runs until the replica has nothing forgotten any more.
pub async fn repair(group: Arc<Group>, me: NodeId, peers: Peers) {
    let started = std::time::Instant::now();
    let mut said = "";
    let goal = loop {
        match goal(&ask(&group, me, &peers).await) {
            Ok(goal) => {
                group.accept_from(goal.term);
                break goal;
            }
            Err(reason) => {
                if reason != said {
                    tracing::warn!(group = group.id, reason, "repair waits");
                    said = reason;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    loop {
        let status = group.status();
        if status.failed.is_some() {
            return;
        }
        if status.applied >= goal.index && status.term >= goal.term {
            break;
        }
        tokio::time::sleep(PAUSE / 4).await;
    }
    match group.remembered().await {
        Ok(()) => tracing::info!(
            group = group.id,
            applied = group.status().applied,
            millis = started.elapsed().as_millis() as u64,
            "replica is repaired from its peers"
        ),
        Err(error) => tracing::error!(group = group.id, %error, "repair cannot be recorded"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::{LogId, Vote};

    fn standing(vote: Vote, last: (u64, u64)) -> Standing {
        Standing {
            vote: Some(vote),
            last: Some(LogId::new_term_index(last.0, last.1)),
            amnesiac: false,
            leads: false,
            innocent: false,
        }
    }

    fn leading(vote: Vote, last: (u64, u64)) -> Standing {
        Standing {
            leads: true,
            ..standing(vote, last)
        }
    }

    #[test]
    fn both_must_follow_one_of_them() {
        let leader = Vote::new_committed(5, 2);
        let good = [
            (2, leading(leader, (5, 90))),
            (3, standing(leader, (5, 80))),
        ];
        assert_eq!(goal(&good), Ok(Goal { term: 5, index: 90 }));
        assert!(goal(&good[..1]).is_err(), "one is not enough");

        let mut other = good.clone();
        other[1].1.vote = Some(Vote::new_committed(6, 3));
        assert!(goal(&other).is_err(), "a newer leader");
        other[1].1.vote = Some(Vote::new(5, 2));
        assert!(goal(&other).is_err(), "voted, but not established");

        let mut other = good.clone();
        other[0].1.amnesiac = true;
        assert!(goal(&other).is_err(), "two forgot");

        let mut other = good.clone();
        other[0].1.last = Some(LogId::new_term_index(4, 95));
        assert!(
            goal(&other).is_err(),
            "a leader without an entry of its own"
        );

        let me = Vote::new_committed(5, 1);
        let mut other = good.clone();
        other[0].1.leads = false;
        assert!(
            goal(&other).is_err(),
            "a leader that lost power has its vote, but perhaps not its whole log"
        );

        let mine = [(2, standing(me, (5, 90))), (3, standing(me, (5, 80)))];
        assert!(goal(&mine).is_err(), "they follow the one that forgot");
    }
}
