//! From nodes that run to a store that serves.

use super::layout;
use futures_util::future::join_all;
use gameday_chaos::runtime::Runtime;
use gameday_cluster::backend::TableSpec;
use gameday_cluster::client::Client;
use gameday_record::Topology;
use std::time::{Duration, Instant};

/// All nodes must answer their health check in this time.
const HEALTHY: Duration = Duration::from_secs(60);
/// A table must serve in this time.
const TABLE: Duration = Duration::from_secs(30);

/// One call to the control plane.
const CALL: Duration = Duration::from_secs(5);
/// Waits until every node answers its health check.
///
/// # Errors
/// Names the nodes that do not, and what they say.
pub async fn wait_healthy(runtime: &dyn Runtime, topology: &Topology) -> Result<(), String> {
    let began = Instant::now();
    let each = topology.nodes.iter().map(|node| async move {
        loop {
            match runtime
                .admin(&node.name, "/health", Duration::from_secs(2))
                .await
            {
                Ok(_) => return None,
                Err(e) if began.elapsed() > HEALTHY => {
                    return Some(format!(
                        "{} does not serve after {HEALTHY:?}: {e}",
                        node.name
                    ));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    let sick: Vec<String> = join_all(each).await.into_iter().flatten().collect();
    if sick.is_empty() {
        Ok(())
    } else {
        Err(sick.join("; "))
    }
}

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
