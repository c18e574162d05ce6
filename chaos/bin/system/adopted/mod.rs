//! Containers that somebody else made and runs, lent to one game day.

pub mod fit;
pub mod layout;
mod leaders;

use self::layout::{Called, Layout};
use self::leaders::{Leaders, Led};
use super::canaries::{self, Reached, Task};
use super::{Evidence, System, life};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gameday_canary::config::{Endpoint, Host};
use gameday_canary::names::EndpointUrl;
use gameday_chaos::playbook;
use gameday_chaos::runner::Roles;
use gameday_chaos::runtime::docker::Techniques;
use gameday_chaos::runtime::docker::adopted::discover::{self, Adoption};
use gameday_chaos::runtime::docker::adopted::{Adopted, Plan};
use gameday_chaos::runtime::marks::RunMarks;
use gameday_chaos::runtime::{Launch, Runtime};
use gameday_record::{RunClock, Topology};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Finds what a playbook asks for. `typed`: projects and containers that whoever runs the game day
/// has lent to it.
///
/// # Errors
/// No engine, or nothing that is meant.
pub async fn find(system: &playbook::System, typed: &[String]) -> Result<Adoption, String> {
    let all = discover::list().await.map_err(|e| e.to_string())?;
    let typed: BTreeSet<String> = typed.iter().cloned().collect();
    let mut adoption = discover::choose(&all, &system.ask, &typed)?;
    let looked = discover::look_at_power(&mut adoption).await;
    looked.map_err(|e| e.to_string())?;
    Ok(adoption)
}

/// A system of adopted containers.
pub struct AdoptedSystem {
    /// The run's id, and what its keys begin with: those of another run are not taken for its own.
    run: String,
    topology: Topology,
    called: BTreeMap<String, Called>,
    groups: Vec<Led>,
    adopted: Arc<Adopted>,
}

impl AdoptedSystem {
    /// Writes down what the containers are, and puts an agent beside each; nothing is done to them
    /// yet.
    ///
    /// # Errors
    /// What the engine says, for people; then all are let go.
    pub async fn adopt(
        marks: RunMarks,
        folder: &Path,
        system: &playbook::System,
        adoption: &Adoption,
        layout: &Layout,
        techniques: Techniques,
    ) -> Result<Self, String> {
        let checks = adoption.targets.iter().filter_map(|target| {
            let role = system.roles.get(target.role.as_ref()?)?;
            Some((target.unit.clone(), role.health.clone()))
        });
        let plan = Plan {
            targets: adoption.targets.clone(),
            checks: checks.collect(),
            techniques,
        };
        let run = marks.run.clone();
        let adopted = Adopted::adopt(marks, plan, folder).await;
        let Layout { topology, called } = layout.clone();
        // Every role that holds replicas is a group, whether its leader can be found out or not.
        let led = system
            .roles
            .iter()
            .filter(|(_, role)| role.replicas || role.leader.is_some());
        let groups = led.map(|(name, role)| Led {
            name: name.clone(),
            members: topology
                .nodes
                .iter()
                .filter(|n| n.role == *name)
                .map(|n| n.name.clone())
                .collect(),
            probe: role.leader.clone(),
        });
        Ok(AdoptedSystem {
            run,
            groups: groups.collect(),
            adopted: Arc::new(adopted.map_err(|e| e.to_string())?),
            topology,
            called,
        })
    }
}

impl System for AdoptedSystem {
    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn runtime(&self) -> Arc<dyn Runtime> {
        self.adopted.clone()
    }

    /// They run already.
    fn launch(&self) -> BoxFuture<'_, Result<(), String>> {
        async { Ok(()) }.boxed()
    }

    fn serve(&self) -> BoxFuture<'_, Result<(), String>> {
        life::wait_healthy(self.adopted.as_ref(), &self.topology).boxed()
    }

    fn canaries(&self, task: &Task<'_>) -> Result<Vec<Launch>, String> {
        canaries::launches(&self.topology.azs, task, &self.run, |_, az| {
            let called = self
                .called
                .get(az)
                .ok_or_else(|| format!("AZ {az} has no endpoint"))?;
            let mut hosts = Vec::new();
            for (unit, url) in called.units.iter().zip(&called.url.hosts) {
                let addr = self.adopted.host_addr(unit, &url.port.to_string());
                // Docker tells every container in its networks where another is now, by its name.
                let name = self.adopted.container(unit).unwrap_or(&url.host);
                let named = EndpointUrl {
                    host: name.into(),
                    ..url.clone()
                };
                hosts.push(Host {
                    addr: addr.ok_or_else(|| format!("{unit} has no address"))?,
                    host: Some(named.host_header()),
                });
            }
            let mut hosts = hosts.into_iter();
            let first = hosts.next().ok_or("a URL without a host")?;
            Ok(Reached {
                endpoint: Endpoint {
                    az: az.into(),
                    addr: first.addr,
                    host: first.host,
                    tls: called.url.hosts.iter().any(|h| h.tls),
                    more: hosts.collect(),
                },
                service: called.url.service.clone(),
            })
        })
    }

    fn roles(&self) -> Arc<dyn Roles> {
        Arc::new(Leaders {
            adopted: self.adopted.clone(),
            groups: self.groups.clone(),
        })
    }

    /// What is not ours says nothing that a canary cannot see.
    fn evidence<'a>(
        &'a self,
        _clock: RunClock,
        _unknown: &'a [(String, i64)],
    ) -> BoxFuture<'a, Evidence> {
        async { Evidence::default() }.boxed()
    }

    fn release(&self) -> BoxFuture<'_, Result<(), String>> {
        async {
            life::down(self.adopted.as_ref()).await?;
            let compared = self.adopted.compare().await.map_err(|e| e.to_string())?;
            let differ = compared.iter().flat_map(|one| {
                let container = &one.container;
                one.differences
                    .iter()
                    .map(move |d| format!("{container}: {d}"))
            });
            let differ: Vec<String> = differ.collect();
            match differ.is_empty() {
                true => Ok(()),
                false => Err(format!("not as it was: {}", differ.join("; "))),
            }
        }
        .boxed()
    }
}
