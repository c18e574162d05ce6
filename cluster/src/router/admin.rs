//! What a router says about itself.

use super::Router;
use crate::consensus::recent::Written;
use crate::node::admin::{Admin, GroupView, ReplicaApplied, ReplicaDigest, Status};
use futures_util::future::BoxFuture;
use gameday_record::conditions::DiskProbe;
use std::collections::BTreeSet;

impl Admin for Router {
    fn health(&self) -> Result<(), String> {
        if self.follower.known() {
            Ok(())
        } else {
            Err("no routing map yet".into())
        }
    }

    fn status(&self) -> Status {
        let map = self.map.borrow().clone();
        let name = |id: u64| {
            let mut peers = self.configs.iter();
            peers
                .find(|(_, p)| p.id == id)
                .map(|(name, _)| name.clone())
        };
        let groups = map.groups().map(|(table, partition, placement)| GroupView {
            group: format!("{}/{partition}", table.info.spec.name),
            role: None,
            leader: self.leaders.cached(placement.group).and_then(name),
            term: 0,
            applied: 0,
            members: placement.members.iter().filter_map(|m| name(*m)).collect(),
        });
        Status {
            role: "router",
            name: self.name.clone(),
            map_version: map.version,
            log: None,
            groups: groups.collect(),
        }
    }

    fn digest(&self) -> BoxFuture<'_, Result<Vec<ReplicaDigest>, String>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn applied(&self, _: &BTreeSet<Written>) -> Vec<ReplicaApplied> {
        Vec::new()
    }

    fn disk(&self) -> Option<BoxFuture<'_, Result<DiskProbe, String>>> {
        None
    }
}
