//! The founding of the metadata's group, and its replicas whose disk was replaced.
//!
//! # Why it is safe
//!
//! A replica without any trace of a past is either new, or one whose disk was replaced. To let the
//! latter vote would be to lose what it helped to commit (see [`super::repair`]). So it is
//! *doubtful*: it does as an amnesiac one, until it has asked **both** others.
//!
//! - Both are *innocent*, which is: they promised and stored nothing either. Whatever was committed
//!   was stored by two of three, and whoever was elected has two votes, so nothing ever was: the
//!   group is new. It notes that, durably, and is doubtful no more; from now on its disk remembers.
//!   (Only if *two* disks were replaced at once, and the third node never had anything, could that
//!   be wrong; but then nothing is left of what was.)
//! - Otherwise it forgot. It notes that, and is repaired.
//!
//! The first member begins the group once it has noted, and both others have: so none of them can
//! find one that is not innocent before it has decided for itself. That needs all three, once. A
//! replica that has noted and starts again without a vote or an entry knows from the note that it
//! has nothing to remember.

use super::repair;
use crate::consensus::group::Group;
use crate::consensus::network::Peers;
use crate::consensus::types::NodeId;
use crate::rpc::protocol::Standing;
use std::sync::Arc;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(30);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Ask again.
    Wait,
    /// The group is new: note it.
    Note,
    /// Make the first entry.
    Begin,
    /// It has forgotten: repair it.
    Repair,
    /// It has what it needs.
    Done,
}

/// Decides, for the `first` of three members or another, from what both others say. Pure.
fn step(me: &Standing, first: bool, others: &[(NodeId, Standing)]) -> Step {
    if !me.innocent {
        return Step::Done;
    }
    if others.iter().any(|(_, s)| !s.innocent) {
        // One that has noted that the group is new is not doubtful: it waits to be told.
        return if me.amnesiac {
            Step::Repair
        } else {
            Step::Done
        };
    }
    match others {
        [_, _] if me.amnesiac => Step::Note,
        [_, _] if !first => Step::Done,
        [(_, a), (_, b)] if !a.amnesiac && !b.amnesiac => Step::Begin,
        _ => Step::Wait,
    }
}

/// Runs until this replica of the metadata has a past.
pub async fn found(group: Arc<Group>, me: NodeId, peers: Peers) {
    let first = group.members.first() == Some(&me);
    loop {
        let others = repair::ask(&group, me, &peers).await;
        let done = match step(&group.standing(), first, &others) {
            Step::Wait => Ok(()),
            Step::Note => {
                let noted = group.remembered().await;
                if noted.is_ok() {
                    group.accept_from(0);
                }
                noted.map_err(|e| e.to_string())
            }
            Step::Begin => group.initialize().await,
            Step::Repair => {
                tracing::error!(
                    "this node has no metadata although others have: its data folder was \
                     replaced; it does not vote until it has been told the metadata"
                );
                match group.has_forgotten().await {
                    Ok(()) => return repair::repair(group, me, peers).await,
                    Err(e) => Err(e.to_string()),
                }
            }
            Step::Done => return,
        };
        if let Err(error) = done {
            tracing::warn!(error, "metadata not founded yet");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::{LogId, Vote};

    const DOUBTFUL: Standing = Standing {
        vote: None,
        last: None,
        amnesiac: true,
        leads: false,
        innocent: true,
    };
    const NOTED: Standing = Standing {
        amnesiac: false,
        ..DOUBTFUL
    };

    fn past() -> Standing {
        Standing {
            vote: Some(Vote::new_committed(3, 2)),
            last: Some(LogId::new_term_index(3, 9)),
            innocent: false,
            ..NOTED
        }
    }

    /// One whose log was damaged: there is nothing of its past, but there was one.
    fn forgot() -> Standing {
        Standing {
            innocent: false,
            ..DOUBTFUL
        }
    }

    fn next(me: &Standing, first: bool, others: &[Standing]) -> Step {
        let others: Vec<_> = (2..).zip(others.iter().cloned()).collect();
        step(me, first, &others)
    }

    #[test]
    fn a_replica_without_a_past_decides_when_both_others_have_answered() {
        for first in [false, true] {
            for other in [DOUBTFUL, NOTED] {
                assert_eq!(next(&DOUBTFUL, first, &[]), Step::Wait);
                let one = std::slice::from_ref(&other);
                assert_eq!(next(&DOUBTFUL, first, one), Step::Wait, "one is not enough");
                let both = [other.clone(), DOUBTFUL];
                assert_eq!(next(&DOUBTFUL, first, &both), Step::Note);
            }
            for told in [past(), forgot()] {
                for others in [vec![told.clone()], vec![DOUBTFUL, told.clone()]] {
                    assert_eq!(next(&DOUBTFUL, first, &others), Step::Repair);
                }
            }
        }
    }

    #[test]
    fn the_first_begins_when_nobody_is_in_doubt() {
        let noted = [NOTED, NOTED];
        assert_eq!(next(&NOTED, true, &noted), Step::Begin);
        assert_eq!(next(&NOTED, false, &noted), Step::Done);
        assert_eq!(next(&NOTED, true, &[NOTED, DOUBTFUL]), Step::Wait);
        assert_eq!(next(&NOTED, true, &noted[..1]), Step::Wait);
        assert_eq!(next(&NOTED, true, &[past(), NOTED]), Step::Done);
        assert_eq!(next(&past(), true, &noted), Step::Done);
    }
}
