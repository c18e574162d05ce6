//! `gameday cluster up|status|down`: a cluster to explore, without a game day.

use crate::cli::{ClusterAction, UpArgs};
use crate::exit::Exit;
use crate::prepare::choose;
use crate::stop::Stop;
use crate::system::life;
use crate::system::place::{self, Place};
use crate::system::store::layout;
use crate::system::store::roles::NodeStatus;
use crate::watchdog::{self, Watchdog};
use crate::{identity, panics};
use futures_util::future::join_all;
use gameday_chaos::runtime::Runtime;
use gameday_chaos::runtime::docker::Techniques;
use gameday_chaos::runtime::leftovers;
use gameday_chaos::runtime::marks::{Kind, RunMarks};
use gameday_record::folder::{read_json, write_json};
use gameday_record::{ClusterSpec, RunFolder, Topology};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Name of the file that describes a kept cluster, in its folder.
const FILE: &str = "cluster.json";

/// A kept cluster.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    id: String,
    runtime: String,
    topology: Topology,
    /// Public endpoint of each AZ.
    endpoints: BTreeMap<String, SocketAddr>,
    /// Admin address of each node.
    admin: BTreeMap<String, SocketAddr>,
}

/// Carries out one action.
pub async fn main(action: ClusterAction) -> Exit {
    let done = match action {
        ClusterAction::Up(args) => up(args).await,
        ClusterAction::Status => status().await,
        ClusterAction::Down { id } => down(id).await,
    };
    done.unwrap_or_else(|why| {
        warn!("{why}");
        Exit::Usage
    })
}

async fn up(args: UpArgs) -> Result<Exit, String> {
    let said = (
        "\ninterrupted: taking the cluster down",
        "it ends by itself once the cluster is down",
    );
    let stop = Stop::install_saying(said).map_err(|e| format!("signals cannot be handled: {e}"))?;
    let (runtime, why) = choose(args.runtime).await?;
    say!("runtime {runtime} ({why})");
    let spec = ClusterSpec {
        azs: 3,
        storage_nodes_per_az: args.storage_nodes_per_az,
        partitions: args.partitions,
        subnet: args.subnet.clone(),
        ..ClusterSpec::default()
    };
    let seed = identity::fresh_seed();
    let id = identity::run_id("cluster", seed);
    let marks = RunMarks::new(&id, Kind::Cluster, args.out.join(&id))?;
    let folder = RunFolder::create(args.out.join(&id))
        .map_err(|e| format!("{}: {e}", args.out.join(&id).display()))?;
    let topology = layout::topology(&spec);
    let place = Place {
        runtime,
        subnet: spec.subnet.clone(),
        techniques: Techniques::default(),
    };
    let log = folder.watchdog_log();
    let watchdog = Watchdog::start(marks.clone(), Some(log), watchdog::aloud())?;
    let runtime = match place::create(&place, marks, layout::units(&topology)).await {
        Ok(runtime) => runtime,
        Err(why) => {
            watchdog.dismiss().await;
            // Nothing was made yet.
            let _ = std::fs::remove_dir_all(folder.path());
            return Err(why);
        }
    };
    let launching = panics::caught(launch(&runtime, &topology, &spec, seed, &id, folder.path()));
    let launched = tokio::select! {
        biased;
        _ = stop.stopped() => Err("interrupted".to_string()),
        why = panics::comes() => Err(why),
        up = launching => up.and_then(|up| up),
    };
    let kept = match launched {
        Ok(kept) => kept,
        Err(why) => {
            warn!("{why}");
            if let Err(why) = life::down(runtime.as_ref()).await {
                // The watchdog was not dismissed: it tries again once we are gone.
                warn!("not clean: {why}");
                return Ok(Exit::NotClean);
            }
            watchdog.dismiss().await;
            return Ok(stop.signal().map_or(Exit::Internal, Exit::of_signal));
        }
    };
    // From here on it stays, whatever becomes of this command.
    watchdog.dismiss().await;
    say!("cluster {id} is up");
    for (az, addr) in &kept.endpoints {
        say!("  endpoint {az}  http://{addr}");
    }
    if let Some(addr) = kept.endpoints.values().next() {
        say!(
            "to try it with boto3:\n  python3 -c \"{}\"",
            boto3_line(*addr)
        );
    }
    say!("to end it:\n  gameday cluster down {id}");
    Ok(Exit::Pass)
}

/// A line that works as it is, with any credentials.
fn boto3_line(addr: SocketAddr) -> String {
    format!(
        "import boto3; d=boto3.client('dynamodb', endpoint_url='http://{addr}', region_name='us-east-1', \
         aws_access_key_id='x', aws_secret_access_key='x'); print(d.list_tables())"
    )
}

async fn launch(
    runtime: &Arc<dyn Runtime>,
    topology: &Topology,
    spec: &ClusterSpec,
    seed: u64,
    id: &str,
    folder: &Path,
) -> Result<Kept, String> {
    let launches = layout::node_launches(runtime.as_ref(), topology, spec, seed, None)?;
    runtime
        .launch_nodes(launches)
        .await
        .map_err(|e| e.to_string())?;
    let healthy = life::wait_healthy(runtime.as_ref(), topology);
    let logs = folder.join("nodes");
    life::while_all_run(runtime.as_ref(), topology, &logs, healthy).await?;
    let mut endpoints = BTreeMap::new();
    for az in &topology.azs {
        let addr = runtime.host_addr(&layout::router_name(az), "public");
        endpoints.insert(
            az.clone(),
            addr.ok_or_else(|| format!("the router of {az} has no address"))?,
        );
    }
    let admin = topology
        .nodes
        .iter()
        .filter_map(|n| Some((n.name.clone(), runtime.host_addr(&n.name, "admin")?)));
    let kept = Kept {
        id: id.into(),
        runtime: runtime.name().into(),
        topology: topology.clone(),
        endpoints,
        admin: admin.collect(),
    };
    write_json(&folder.join(FILE), &kept)?;
    Ok(kept)
}

/// Kept clusters on this machine: id and folder.
async fn kept() -> BTreeMap<String, PathBuf> {
    let found = leftovers::find(None).await;
    for why in &found.unsearched {
        warn!("not looked at: {why}");
    }
    let clusters = found
        .things
        .into_iter()
        .filter(|t| t.marks.kind == Kind::Cluster);
    clusters.map(|t| (t.marks.run, t.marks.folder)).collect()
}

async fn status() -> Result<Exit, String> {
    let clusters = kept().await;
    if clusters.is_empty() {
        say!("no cluster is up");
    }
    for (id, folder) in clusters {
        let kept: Kept = match read_json(&folder.join(FILE)) {
            Ok(kept) => kept,
            Err(why) => {
                say!("{id}: cannot be described ({why}); gameday cluster down {id} still ends it");
                continue;
            }
        };
        say!("{id}  ({})", kept.runtime);
        say!(
            "  {:<14} {:<3} {:<8} {:<22} LEADS",
            "NODE",
            "AZ",
            "STATE",
            "ADDRESS"
        );
        let asked = kept.topology.nodes.iter().map(|node| {
            let admin = kept.admin.get(&node.name).copied();
            async move {
                let addr = admin.ok_or("it has no address")?;
                ask(addr).await
            }
        });
        let mut silent = Vec::new();
        for (node, answer) in kept.topology.nodes.iter().zip(join_all(asked).await) {
            let (state, groups) = match answer {
                Ok(status) => ("up", status.groups),
                Err(why) => {
                    silent.push(format!("  {}: {why}", node.name));
                    ("silent", Vec::new())
                }
            };
            let leading = groups
                .into_iter()
                .filter(|g| g.role.as_deref() == Some("leader"));
            let leads: BTreeSet<String> = leading.map(|g| g.group).collect();
            let addr = if node.role == layout::ROUTER {
                kept.endpoints.get(&node.az).map(|a| format!("http://{a}"))
            } else {
                None
            };
            say!(
                "  {:<14} {:<3} {:<8} {:<22} {}",
                node.name,
                node.az,
                state,
                addr.unwrap_or_default(),
                leads.into_iter().collect::<Vec<_>>().join(" ")
            );
        }
        silent.into_iter().for_each(|why| say!("{why}"));
    }
    Ok(Exit::Pass)
}

/// What a node says of itself, or why that is not known.
async fn ask(addr: SocketAddr) -> Result<NodeStatus, String> {
    let asked = async {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(2))
            .no_proxy()
            .build()?;
        let asked = client.get(format!("http://{addr}/status")).send();
        asked.await?.error_for_status()?.text().await
    };
    let text = asked.await.map_err(|e| format!("no answer: {e}"))?;
    serde_json::from_str(&text).map_err(|e| format!("its answer is not understood: {e}"))
}

async fn down(id: Option<String>) -> Result<Exit, String> {
    let clusters = kept().await;
    if let Some(id) = &id
        && !clusters.contains_key(id)
    {
        return Err(format!(
            "no cluster {id} is up (gameday cluster status lists them)"
        ));
    }
    let mut clean = true;
    for run in clusters
        .into_keys()
        .filter(|run| id.as_ref().is_none_or(|id| id == run))
    {
        let things = leftovers::find(Some(&run)).await.things;
        for (thing, result) in things.iter().zip(leftovers::remove(&things).await) {
            if let Err(e) = result {
                warn!("{run}: {} could not be removed: {e}", thing.thing);
            }
        }
        let left = leftovers::find(Some(&run)).await.things;
        clean &= left.is_empty();
        say!(
            "{run}: {}",
            if left.is_empty() {
                "down"
            } else {
                "NOT fully down"
            }
        );
    }
    Ok(if clean { Exit::Pass } else { Exit::NotClean })
}
