//! The canaries of a run: one in each AZ.

use gameday_canary::config::{CanaryConfig, Endpoint};
use gameday_canary::service::ServiceSpec;
/// The first of the tables that the canaries use.
pub use gameday_chaos::playbook::TABLE;
use gameday_chaos::runtime::{Launch, UnitSpec};
use gameday_record::{Node, RunClock, WorkloadSpec};

/// Role of the instruments.
const ROLE: &str = "canary";

/// Name of an AZ's canary.
fn name(az: &str) -> String {
    format!("canary-{az}")
}

/// Names and AZs of the canaries.
pub fn instruments(azs: &[String]) -> Vec<Node> {
    let canary = |az: &String| Node {
        name: name(az),
        az: az.clone(),
        role: ROLE.into(),
    };
    azs.iter().map(canary).collect()
}

/// What a runtime must make room for.
pub fn units(azs: &[String]) -> Vec<UnitSpec> {
    let unit = |canary: Node| UnitSpec {
        name: canary.name,
        az: canary.az,
        role: canary.role,
        node: false,
        ports: Vec::new(),
    };
    instruments(azs).into_iter().map(unit).collect()
}

/// What every canary is told, whatever it calls.
pub struct Task<'a> {
    /// What it does.
    pub workload: &'a WorkloadSpec,
    /// Seed of the run.
    pub seed: u64,
    /// The run's clock.
    pub clock: RunClock,
}

/// How an endpoint is reached, and what it speaks.
pub struct Reached {
    /// Where.
    pub endpoint: Endpoint,
    /// What.
    pub service: ServiceSpec,
}

impl Reached {
    /// One of our own store.
    pub fn at(endpoint: Endpoint) -> Self {
        Reached {
            endpoint,
            service: ServiceSpec::default(),
        }
    }
}

/// How every AZ's canary is started: it calls every AZ's endpoint, which `way` tells how to reach
/// from it, by the names of the canary and the AZ; on this table, or keys of that name.
///
/// # Errors
/// There is no way.
pub fn launches(
    azs: &[String],
    task: &Task<'_>,
    table: &str,
    way: impl Fn(&str, &str) -> Result<Reached, String>,
) -> Result<Vec<Launch>, String> {
    let mut launches = Vec::new();
    for (index, az) in (0..).zip(azs) {
        let unit = name(az);
        let ways: Vec<Reached> = azs
            .iter()
            .map(|to| way(&unit, to))
            .collect::<Result<_, _>>()?;
        // All speak the same.
        let service = ways
            .first()
            .map(|way| way.service.clone())
            .unwrap_or_default();
        let config = CanaryConfig {
            az: az.clone(),
            index,
            clock: task.clock,
            seed: task.seed,
            endpoints: ways.into_iter().map(|way| way.endpoint).collect(),
            service,
            table: table.into(),
            attributes: Default::default(),
            workload: task.workload.clone(),
            alone: false,
        };
        let json = serde_json::to_string(&config).map_err(|e| e.to_string())?;
        launches.push(Launch {
            unit,
            args: vec!["internal".into(), "canary".into()],
            env: vec![("GAMEDAY_CANARY".into(), json)],
        });
    }
    Ok(launches)
}
