//! From a store that serves to one that canaries can use.

use super::layout;
use gameday_chaos::runtime::Runtime;
use gameday_cluster::backend::TableSpec;
use gameday_cluster::client::Client;
use gameday_record::Topology;
use std::time::Duration;

/// A table must serve in this time.
const TABLE: Duration = Duration::from_secs(30);

/// One call to the control plane.
const CALL: Duration = Duration::from_secs(5);
/// Creates a table with a string key `pk` and waits until it serves.
///
/// # Errors
/// What the endpoint says, or that it took too long.
pub async fn create_table(
    runtime: &dyn Runtime,
    topology: &Topology,
    table: &str,
) -> Result<(), String> {
    let az = topology.azs.first().ok_or("a cluster without AZs")?;
    let router = layout::router_name(az);
    let addr = runtime
        .host_addr(&router, "public")
        .ok_or_else(|| format!("{router} has no public address"))?;
    let client = Client::new(&format!("http://{addr}"), CALL).map_err(|e| e.to_string())?;
    let spec = TableSpec::of_strings(table);
    client
        .create_table(&spec)
        .await
        .map_err(|e| format!("CreateTable through {router}: {e}"))?;
    client
        .wait_active(table, TABLE)
        .await
        .map_err(|e| format!("table {table}: {e}"))?;
    Ok(())
}
