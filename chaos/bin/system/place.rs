//! Where what we start ourselves stands.

use gameday_chaos::runtime::docker::{DockerRuntime, Techniques};
use gameday_chaos::runtime::marks::RunMarks;
use gameday_chaos::runtime::process::ProcessRuntime;
use gameday_chaos::runtime::{Runtime, UnitSpec};
use std::sync::Arc;

/// Where a cluster will stand.
pub struct Place {
    /// `docker` or `process`.
    pub runtime: &'static str,
    /// Network of the docker runtime.
    pub subnet: String,
    /// What traffic will be made worse with in the docker runtime.
    pub techniques: Techniques,
}

/// Makes the runtime for these units; starts none of them.
///
/// # Errors
/// What the runtime says, for people.
pub async fn create(
    place: &Place,
    marks: RunMarks,
    units: Vec<UnitSpec>,
) -> Result<Arc<dyn Runtime>, String> {
    Ok(match place.runtime {
        "docker" => Arc::new(
            DockerRuntime::new(marks, units, &place.subnet, place.techniques)
                .await
                .map_err(|e| e.to_string())?,
        ),
        _ => Arc::new(
            ProcessRuntime::new(marks, units)
                .await
                .map_err(|e| e.to_string())?,
        ),
    })
}
