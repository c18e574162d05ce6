//! Who leads which partition, asked of the nodes themselves over the control
//! path. `chaos` resolves its `leader` selectors with it.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use gameday_chaos::runner::{Group, Roles, Timeline};
use gameday_chaos::runtime::Runtime;
use gameday_record::TimelineEvent;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Time within which a node must answer a question about its state.
const ASK: Duration = Duration::from_secs(2);

/// How often leaders are looked for. What happens faster is not on the timeline.
const FOLLOW: Duration = Duration::from_millis(1000);

/// One replication group as its members see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// `table/partition`.
    pub name: String,
    /// Node that leads it, if one claims to.
    pub leader: Option<String>,
    /// Term of that claim.
    pub term: u64,
    /// Nodes that hold a replica.
    pub members: Vec<String>,
}

/// The part of a node's `/status` that is read here; a router's has the same shape.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeStatus {
    /// Its replicas.
    pub groups: Vec<GroupStatus>,
}

/// One replica as its node sees it.
#[derive(Clone, Debug, Deserialize)]
pub struct GroupStatus {
    /// `table/partition`.
    pub group: String,
    /// `leader`, `follower`, `candidate`, `repairing`; none of a router, which only knows the group.
    #[serde(default)]
    pub role: Option<String>,
    /// Raft term.
    pub term: u64,
    /// Nodes that hold a replica.
    pub members: Vec<String>,
}

/// Asks storage nodes.
#[derive(Clone)]
pub struct StoreRoles {
    runtime: Arc<dyn Runtime>,
    nodes: Vec<String>,
}

impl StoreRoles {
    /// For these storage nodes.
    pub fn new(runtime: Arc<dyn Runtime>, nodes: Vec<String>) -> Self {
        StoreRoles { runtime, nodes }
    }

    /// Every group that some node knows; nodes that do not answer are left out.
    pub async fn view(&self) -> Vec<GroupView> {
        let asked = self.nodes.iter().map(|node| async move {
            let body = self.runtime.admin(node, "/status", ASK).await.ok()?;
            let status: NodeStatus = serde_json::from_str(&body).ok()?;
            Some((node.clone(), status))
        });
        merge(join_all(asked).await.into_iter().flatten())
    }
}

impl StoreRoles {
    /// Puts every change of leader on the timeline, until the task is aborted.
    pub async fn follow(self: Arc<Self>, timeline: Timeline) {
        let mut known: BTreeMap<String, (String, u64)> = BTreeMap::new();
        let mut tick = tokio::time::interval(FOLLOW);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            for group in self.view().await {
                let Some(leader) = group.leader else { continue };
                let now = (leader.clone(), group.term);
                if known.get(&group.name) == Some(&now) {
                    continue;
                }
                let detail = match known.insert(group.name.clone(), now) {
                    Some((before, _)) if before != leader => {
                        format!(
                            "{leader} leads {} in term {}, after {before}",
                            group.name, group.term
                        )
                    }
                    _ => format!("{leader} leads {} in term {}", group.name, group.term),
                };
                let event = TimelineEvent::Cluster {
                    node: leader,
                    kind: "leader".into(),
                    detail,
                };
                // The runner's own writes notice a timeline that cannot be written.
                let _ = timeline.append(event).await;
            }
        }
    }
}

impl Roles for StoreRoles {
    fn groups(&self) -> BoxFuture<'_, Result<Vec<Group>, String>> {
        async {
            let view = self.view().await;
            if view.is_empty() {
                return Err(format!("none of {} knows any group", self.nodes.join(", ")));
            }
            let group = |g: GroupView| Group {
                name: g.name,
                leader: g.leader,
                members: g.members,
            };
            Ok(view.into_iter().map(group).collect())
        }
        .boxed()
    }
}

/// The leader of a group is the node that claims so with the highest term: a
/// deposed leader that has not noticed yet has a lower one.
fn merge(answers: impl Iterator<Item = (String, NodeStatus)>) -> Vec<GroupView> {
    let mut views: BTreeMap<String, GroupView> = BTreeMap::new();
    for (node, status) in answers {
        for g in status.groups {
            let view = views.entry(g.group.clone()).or_insert_with(|| GroupView {
                name: g.group,
                leader: None,
                term: 0,
                members: g.members,
            });
            let leads = g.role.as_deref() == Some("leader");
            if leads && (view.leader.is_none() || g.term > view.term) {
                view.leader = Some(node.clone());
                view.term = g.term;
            }
        }
    }
    views.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(node: &str, role: &str, term: u64) -> (String, NodeStatus) {
        let group = GroupStatus {
            group: "canary/0".into(),
            role: Some(role.into()),
            term,
            members: vec!["x".into(), "y".into(), "z".into()],
        };
        (
            node.into(),
            NodeStatus {
                groups: vec![group],
            },
        )
    }

    #[test]
    fn a_deposed_leader_that_still_believes_in_itself_does_not_count() {
        for answers in [
            vec![
                says("x", "leader", 3),
                says("y", "leader", 4),
                says("z", "follower", 4),
            ],
            vec![
                says("y", "leader", 4),
                says("z", "follower", 4),
                says("x", "leader", 3),
            ],
        ] {
            let merged = merge(answers.into_iter());
            assert_eq!(merged.len(), 1);
            assert_eq!(merged[0].leader.as_deref(), Some("y"));
        }
        let none = merge([says("x", "follower", 3), says("z", "candidate", 4)].into_iter());
        assert_eq!(none[0].leader, None);
    }

    #[test]
    fn what_a_router_says_of_itself_is_understood() {
        use gameday_cluster::node::admin::{GroupView, Status};
        let status = Status {
            role: "router",
            name: "router-a".into(),
            map_version: 3,
            log: None,
            groups: vec![GroupView {
                group: "music/0".into(),
                role: None,
                leader: Some("storage-a1".into()),
                term: 0,
                applied: 0,
                members: vec!["storage-a1".into()],
            }],
        };
        let text = serde_json::to_string(&status).unwrap();
        let read: NodeStatus = serde_json::from_str(&text).unwrap();
        assert_eq!(read.groups[0].role, None);
        assert_eq!(
            merge([("router-a".into(), read)].into_iter())[0].leader,
            None
        );
    }
}
