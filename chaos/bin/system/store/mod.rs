//! Our own store, started for the run and ended with it.

mod applied;
mod digests;
pub mod layout;
pub mod roles;
pub mod up;

use self::roles::StoreRoles;
use super::canaries::{self, Reached, TABLE, Task};
use super::place::{self, Place};
use super::{Evidence, System, life};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gameday_canary::Endpoint;
use gameday_chaos::runner::Roles;
use gameday_chaos::runtime::marks::RunMarks;
use gameday_chaos::runtime::{Launch, Runtime};
use gameday_cluster::config::Bug;
use gameday_record::{ClusterSpec, RunClock, Topology, WorkloadSpec};
use std::sync::Arc;

/// A store in a place.
pub struct Store {
    topology: Topology,
    spec: ClusterSpec,
    runtime: Arc<dyn Runtime>,
    seed: u64,
    bug: Option<Bug>,
    tables: Vec<String>,
}

impl Store {
    /// Makes the place, with room for canaries; starts nothing.
    ///
    /// # Errors
    /// What the runtime says, for people.
    pub async fn new(
        place: &Place,
        marks: RunMarks,
        spec: &ClusterSpec,
        workload: &WorkloadSpec,
        seed: u64,
        bug: Option<Bug>,
    ) -> Result<Self, String> {
        let topology = layout::topology(spec);
        let mut units = layout::units(&topology);
        units.extend(canaries::units(&topology.azs));
        Ok(Store {
            runtime: place::create(place, marks, units).await?,
            spec: spec.clone(),
            tables: workload.table_names(TABLE),
            topology,
            seed,
            bug,
        })
    }

    /// Names of the nodes that hold replicas.
    fn holders(&self) -> Vec<String> {
        let holders = self.topology.replica_holders();
        holders.map(|n| n.name.clone()).collect()
    }

    fn leaders(&self) -> StoreRoles {
        StoreRoles::new(self.runtime.clone(), self.holders())
    }
}

impl System for Store {
    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn runtime(&self) -> Arc<dyn Runtime> {
        self.runtime.clone()
    }

    fn launch(&self) -> BoxFuture<'_, Result<(), String>> {
        async {
            let runtime = self.runtime.as_ref();
            let nodes =
                layout::node_launches(runtime, &self.topology, &self.spec, self.seed, self.bug)?;
            let launched = runtime.launch_nodes(nodes).await;
            launched.map_err(|e| e.to_string())
        }
        .boxed()
    }

    fn serve(&self) -> BoxFuture<'_, Result<(), String>> {
        async {
            let runtime = self.runtime.as_ref();
            life::wait_healthy(runtime, &self.topology).await?;
            for table in &self.tables {
                up::create_table(runtime, &self.topology, table).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn canaries(&self, task: &Task<'_>) -> Result<Vec<Launch>, String> {
        canaries::launches(&self.topology.azs, task, TABLE, |canary, az| {
            let router = layout::router_name(az);
            let addr = self.runtime.reach_addr(canary, &router, "public");
            let addr = addr.ok_or_else(|| format!("{canary} has no way to {router}"))?;
            Ok(Reached::at(Endpoint::plain(az, addr)))
        })
    }

    fn roles(&self) -> Arc<dyn Roles> {
        Arc::new(self.leaders())
    }

    fn evidence<'a>(
        &'a self,
        clock: RunClock,
        unknown: &'a [(String, i64)],
    ) -> BoxFuture<'a, Evidence> {
        async move {
            let runtime = self.runtime.as_ref();
            let nodes = self.holders();
            let tables = self.tables.iter();
            let partitions: Vec<String> = tables
                .flat_map(|table| (0..self.spec.partitions).map(move |p| format!("{table}/{p}")))
                .collect();
            let digests = digests::settle(runtime, &self.leaders(), &nodes, &partitions).await;
            let applied = applied::ask(runtime, clock, &nodes, &digests, unknown).await;
            Evidence {
                replicas: Some(digests),
                applied: Some(applied),
            }
        }
        .boxed()
    }

    fn release(&self) -> BoxFuture<'_, Result<(), String>> {
        life::down(self.runtime.as_ref()).boxed()
    }
}
