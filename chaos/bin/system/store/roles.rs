//! Who leads which partition, asked of the nodes themselves over the control
//! path. `chaos` resolves its `leader` selectors with it.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use gameday_chaos::runner::{Group, Roles};
use gameday_chaos::runtime::Runtime;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Time within which a node must answer a question about its state.
const ASK: Duration = Duration::from_secs(2);

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
    pub async fn view(&self) -> Vec<Group> {
        let asked = self.nodes.iter().map(|node| async move {
            let body = self.runtime.admin(node, "/status", ASK).await.ok()?;
            let status: NodeStatus = serde_json::from_str(&body).ok()?;
            Some((node.clone(), status))
        });
        merge(join_all(asked).await.into_iter().flatten())
    }
}

impl Roles for StoreRoles {
    fn groups(&self) -> BoxFuture<'_, Result<Vec<Group>, String>> {
        async {
            let view = self.view().await;
            if view.is_empty() {
                return Err(format!("none of {} knows any group", self.nodes.join(", ")));
            }
            Ok(view)
        }
        .boxed()
    }
}

/// The leader of a group is the node that claims so with the highest term: a
/// deposed leader that has not noticed yet has a lower one.
fn merge(answers: impl Iterator<Item = (String, NodeStatus)>) -> Vec<Group> {
    let mut views: BTreeMap<String, Group> = BTreeMap::new();
    for (node, status) in answers {
        for g in status.groups {
            let view = views.entry(g.group.clone()).or_insert_with(|| Group {
                name: g.group,
                leader: None,
                term: None,
                members: g.members,
            });
            let leads = g.role.as_deref() == Some("leader");
            if leads && view.term.is_none_or(|term| g.term > term) {
                view.leader = Some(node.clone());
                view.term = Some(g.term);
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
