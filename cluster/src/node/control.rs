//! What the leader of the metadata does: tables on their way in and out.

use super::storage::Storage;
use crate::backend::{TableSpec, TableStatus};
use crate::consensus::group::Role;
use crate::consensus::network::call;
use crate::consensus::types::{Command, GroupId, NodeId, Op, Outcome};
use crate::meta::{META_GROUP, MetaCommand, Placement, RoutingMap, Table, place};
use crate::rpc::protocol::{Refusal, Request, Response, WriteFailure};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks at tables that are on their way.
const PACE: Duration = Duration::from_millis(30);
/// How long an idle controller sleeps at most, in case it has just become the leader.
const IDLE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_millis(300);
/// A deleted table is forgotten after this time even if members do not confirm: a node that was
/// away drops its replicas when it sees the map.
const FORGET: Duration = Duration::from_secs(2);
/// How long a new group's first member may take to hear of the group before another begins it.
const GRACE: Duration = Duration::from_secs(1);
/// Tables that are worked on at the same time.
const AT_ONCE: usize = 4;

/// Proposes a change of the metadata on this node.
pub async fn change(storage: &Storage, command: MetaCommand) -> Result<Outcome, WriteFailure> {
    let Some(group) = storage.group(META_GROUP) else {
        let map = storage.map.borrow().version;
        return Err(WriteFailure::Refused(Refusal::NotMember { map }));
    };
    let command = Command::new(&Op::Meta(command))
        .map_err(|e| WriteFailure::Refused(Refusal::Unavailable(e.to_string())))?;
    group.propose(command).await
}

/// Starts creating a table.
pub async fn create(
    storage: &Storage,
    spec: TableSpec,
    partitions: u32,
) -> Result<Outcome, WriteFailure> {
    let created = crate::clock::wall()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as f64
        / 1000.0;
    let members = place(&storage.config.peers, partitions.clamp(1, 64));
    let id = uuid(rand::random());
    change(
        storage,
        MetaCommand::Create {
            spec,
            id,
            created,
            members,
        },
    )
    .await
}

/// UUID version 4 of random bits (RFC 9562).
fn uuid(random: u128) -> String {
    let n = random & !(0xf << 76) & !(0x3 << 62) | (4 << 76) | (2 << 62);
    let hex = format!("{n:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// Runs for ever; does something while this node leads the metadata.
pub async fn run(storage: &Arc<Storage>) {
    let Some(group) = storage.group(META_GROUP) else {
        return std::future::pending().await;
    };
    let mut changes = storage.map.subscribe();
    let mut since: BTreeMap<String, Instant> = BTreeMap::new();
    let mut turn = 0;
    loop {
        let map = changes.borrow_and_update().clone();
        let status = group.status();
        let leads = status.role == Role::Leader && status.ready;
        let pending = if leads { pending(&map) } else { Vec::new() };
        since.retain(|id, _| pending.iter().any(|t| t.info.id == *id));
        if pending.is_empty() {
            let _ = tokio::time::timeout(IDLE, changes.changed()).await;
            continue;
        }
        let steps = in_turn(&pending, turn).map(|table| {
            let id = table.info.id.clone();
            let since = *since.entry(id).or_insert_with(Instant::now);
            step(storage, table, since.elapsed())
        });
        futures_util::future::join_all(steps.collect::<Vec<_>>()).await;
        turn += AT_ONCE;
        tokio::time::sleep(PACE).await;
    }
}

/// Tables on their way in or out, those that were asked for first at the beginning.
fn pending(map: &RoutingMap) -> Vec<&Table> {
    let tables = map.tables.values();
    let mut pending: Vec<_> = tables
        .filter(|t| t.info.status != TableStatus::Active)
        .collect();
    pending.sort_by_key(|t| t.partitions.first().map(|p| p.group));
    pending
}

/// Those to work on in this turn: some, so that many that wait for a node do not make others wait.
fn in_turn<'a>(pending: &'a [&'a Table], turn: usize) -> impl Iterator<Item = &'a Table> {
    let begin = turn % pending.len().max(1);
    let all = pending.iter().cycle().skip(begin);
    all.take(AT_ONCE.min(pending.len())).copied()
}

/// Does what can be done for a table that has been on its way for so long.
async fn step(storage: &Storage, table: &Table, age: Duration) {
    let id = table.info.id.clone();
    if table.info.status == TableStatus::Creating {
        let begun = table.partitions.iter().map(|p| begin(storage, p, age));
        if futures_util::future::join_all(begun)
            .await
            .iter()
            .all(|served| *served)
        {
            finish(storage, MetaCommand::Activate { id }).await;
        }
    } else if age > FORGET || all_gone(storage, &table.partitions).await {
        finish(storage, MetaCommand::Remove { id }).await;
    }
}

/// Whether a leader serves this partition; if none does, has one of its members begin it.
async fn begin(storage: &Storage, placement: &Placement, age: Duration) -> bool {
    let group = placement.group;
    let answers = answers(storage, placement).await;
    if answers.contains(&Answer::Serves) {
        return true;
    }
    for node in beginners(&placement.members, &answers, age < GRACE) {
        if begin_on(storage, group, node).await {
            break;
        }
    }
    false
}

/// Who may begin a group that nobody leads, best first. Pure.
///
/// The first member, if it is there: so the leaders of a table's partitions are spread. One that
/// is down or cut off is passed over, and so is, unless `patient`, one that answers but has not
/// heard of the group yet. Nobody, until a quorum has the replica: it could not be elected.
///
/// It does no harm if two of them begin it, in turn or at once, whatever each knows of the other:
/// see [`crate::consensus::group::Group::initialize`]. Nor does it if a member begins that others
/// of them know nothing of: to be elected it needs the votes of a quorum.
fn beginners(members: &[NodeId], answers: &[Answer], patient: bool) -> Vec<NodeId> {
    let there = answers.iter().filter(|a| **a == Answer::Idle).count();
    if there <= members.len() / 2 {
        return Vec::new();
    }
    let known = members.iter().zip(answers);
    known
        .filter(|(_, answer)| **answer != Answer::Silent)
        .take_while(|(_, answer)| !patient || **answer == Answer::Idle)
        .filter(|(_, answer)| **answer == Answer::Idle)
        .map(|(node, _)| *node)
        .collect()
}

async fn begin_on(storage: &Storage, group: GroupId, node: NodeId) -> bool {
    if node == storage.me {
        return storage.begin(group).await.is_ok();
    }
    let Some(peer) = storage.peers.get(&node) else {
        return false;
    };
    let answer = call(&peer.fast, &Request::Begin(group), PATIENCE).await;
    matches!(answer, Ok(Response::Leader(Ok(_))))
}

async fn finish(storage: &Storage, command: MetaCommand) {
    // Idempotent, so a lost answer does no harm: the next look finds out.
    let done = tokio::time::timeout(PATIENCE, change(storage, command)).await;
    tracing::debug!(?done, "metadata changed");
}

/// Whether every member says that it has no replica any more.
async fn all_gone(storage: &Storage, partitions: &[Placement]) -> bool {
    let ask = partitions.iter().map(|p| answers(storage, p));
    let answers = futures_util::future::join_all(ask).await;
    answers.concat().iter().all(|a| *a == Answer::NoReplica)
}

/// What a member says of its replica of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Nothing, or that it cannot be used.
    Silent,
    /// It has none.
    NoReplica,
    /// It has one, which does not lead.
    Idle,
    /// It leads and serves.
    Serves,
}

/// In the order of the members.
async fn answers(storage: &Storage, placement: &Placement) -> Vec<Answer> {
    let ask = placement.members.iter();
    let ask = ask.map(|member| answer(storage, placement.group, *member));
    futures_util::future::join_all(ask).await
}

async fn answer(storage: &Storage, group: GroupId, node: NodeId) -> Answer {
    let replica = |serves| match serves {
        true => Answer::Serves,
        false => Answer::Idle,
    };
    if node == storage.me {
        let group = storage.group(group);
        return group.map_or(Answer::NoReplica, |g| replica(g.status().ready));
    }
    let Some(peer) = storage.peers.get(&node) else {
        return Answer::Silent;
    };
    match call(&peer.fast, &Request::Leader(group), PATIENCE).await {
        Ok(Response::Leader(Ok((_, ready)))) => replica(ready),
        Ok(Response::Leader(Err(Refusal::NotMember { .. }))) => Answer::NoReplica,
        _ => Answer::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_member_that_answers_begins_a_group() {
        use Answer::{Idle, NoReplica, Silent};
        let members = [7, 8, 9];
        let choose = |answers: [Answer; 3], patient| beginners(&members, &answers, patient);
        assert_eq!(choose([Idle; 3], true), [7, 8, 9]);
        assert_eq!(choose([Silent, Idle, Idle], true), [8, 9], "one is down");
        assert_eq!(choose([Idle, Silent, Idle], true), [7, 9]);
        assert!(
            choose([Silent, Idle, Silent], false).is_empty(),
            "no quorum"
        );
        assert!(
            choose([NoReplica, Idle, Idle], true).is_empty(),
            "it will hear of it"
        );
        assert_eq!(choose([NoReplica, Idle, Idle], false), [8, 9], "or not");
        assert_eq!(choose([Idle, NoReplica, Idle], true), [7]);
    }

    #[test]
    fn tables_that_cannot_be_made_do_not_keep_others_from_their_turn() {
        let mut map = RoutingMap::default();
        for n in 0..10 {
            map.apply(MetaCommand::Create {
                spec: TableSpec::of_strings(&format!("table-{}", 9 - n)),
                id: n.to_string(),
                created: 1.0,
                members: vec![vec![1, 2, 3]],
            });
        }
        map.apply(MetaCommand::Activate { id: "3".into() });
        let pending = pending(&map);
        let ids = |turn| {
            in_turn(&pending, turn)
                .map(|t| t.info.id.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            ids(0),
            ["0", "1", "2", "4"],
            "in the order of their creation"
        );
        assert_eq!(ids(4), ["5", "6", "7", "8"]);
        assert_eq!(ids(8), ["9", "0", "1", "2"]);
        assert_eq!(in_turn(&pending[..1], 5).count(), 1);
    }

    #[test]
    fn ids_look_like_version_4() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
