//! `gameday bench`: durable PutItem/s and strongly consistent GetItem/s
//! through the routers, and the processor time that the servers need for each.

use crate::cli::BenchArgs;
use crate::exit::Exit;
use crate::prepare::choose;
use crate::stop::Stop;
use crate::system::canaries::TABLE;
use crate::system::life;
use crate::system::place::{self, Place};
use crate::system::store::{layout, up};
use crate::watchdog::{self, Watchdog};
use crate::{identity, panics};
use gameday_chaos::runtime::docker::Techniques;
use gameday_chaos::runtime::marks::{Kind, RunMarks};
use gameday_chaos::runtime::{ProcessState, Runtime};
use gameday_cluster::load::{self, LoadOperation, LoadSpec};
use gameday_record::{ClusterSpec, Topology};
use std::path::Path;
use std::time::{Duration, Instant};

/// Runs it.
pub async fn main(args: BenchArgs) -> Exit {
    let said = (
        "\ninterrupted: taking the cluster down",
        "it ends by itself once the cluster is down",
    );
    let stop = match Stop::install_saying(said) {
        Ok(stop) => stop,
        Err(e) => {
            warn!("signals cannot be handled: {e}");
            return Exit::Internal;
        }
    };
    let (runtime, why) = match choose(args.runtime).await {
        Ok(choice) => choice,
        Err(why) => {
            warn!("{why}");
            return Exit::Usage;
        }
    };
    say!("runtime {runtime} ({why})");
    let began = Instant::now();
    let spec = ClusterSpec {
        subnet: args.subnet.clone(),
        ..ClusterSpec::default()
    };
    let topology = layout::topology(&spec);
    let id = identity::run_id("bench", 0);
    let place = Place {
        runtime,
        subnet: spec.subnet.clone(),
        techniques: Techniques::default(),
    };
    let marks = match RunMarks::new(&id, Kind::Run, std::env::temp_dir()) {
        Ok(marks) => marks,
        Err(why) => {
            warn!("{why}");
            return Exit::Internal;
        }
    };
    let watchdog = match Watchdog::start(marks.clone(), None, watchdog::aloud()) {
        Ok(watchdog) => watchdog,
        Err(why) => {
            warn!("{why}");
            return Exit::Internal;
        }
    };
    let runtime = match place::create(&place, marks, layout::units(&topology)).await {
        Ok(runtime) => runtime,
        Err(why) => {
            warn!("{why}");
            watchdog.dismiss().await;
            return Exit::Usage;
        }
    };
    let logs = std::env::temp_dir().join(format!("gameday-{id}.logs"));
    let cluster = (&topology, &spec);
    let measuring = panics::caught(measure(&args, runtime.as_ref(), cluster, &logs, began));
    let measured = tokio::select! {
        biased;
        _ = stop.stopped() => Ok(()),
        why = panics::comes() => Err(why),
        m = measuring => m.and_then(|m| m),
    };
    if let Err(why) = &measured {
        warn!("{why}");
    }
    // They are there only if a node died.
    let _ = std::fs::remove_dir_all(&logs);
    if let Err(why) = life::down(runtime.as_ref()).await {
        // The watchdog was not dismissed: it tries again once we are gone.
        warn!("not clean: {why}");
        return Exit::NotClean;
    }
    watchdog.dismiss().await;
    match (stop.signal(), measured) {
        (Some(signal), _) => Exit::of_signal(signal),
        (None, Ok(())) => Exit::Pass,
        (None, Err(_)) => Exit::Internal,
    }
}

async fn measure(
    args: &BenchArgs,
    runtime: &dyn Runtime,
    (topology, spec): (&Topology, &ClusterSpec),
    logs: &Path,
    began: Instant,
) -> Result<(), String> {
    let launches = layout::node_launches(runtime, topology, spec, 1, None)?;
    runtime
        .launch_nodes(launches)
        .await
        .map_err(|e| e.to_string())?;
    life::while_all_run(runtime, topology, logs, async {
        life::wait_healthy(runtime, topology).await?;
        up::create_table(runtime, topology, TABLE).await
    })
    .await?;
    say!(
        "cluster of {} nodes up in {:.2} s, table included",
        topology.nodes.len(),
        began.elapsed().as_secs_f64()
    );
    let endpoints = topology
        .azs
        .iter()
        .filter_map(|az| runtime.host_addr(&layout::router_name(az), "public"))
        .collect::<Vec<_>>();
    for (name, operation) in [
        ("PutItem (durable)", LoadOperation::Put),
        ("GetItem (strong)", LoadOperation::Get),
    ] {
        let before = cpu(runtime, topology).await?;
        let result = load::run(LoadSpec {
            endpoints: endpoints.clone(),
            table: TABLE.into(),
            key: "pk".into(),
            operation,
            clients: args.clients as usize,
            duration: Duration::from_secs(args.seconds),
            keys: 10_000,
            value_size: args.item_bytes as usize,
            seed: 1,
            deadline: Duration::from_secs(5),
        })
        .await
        .map_err(|e| e.to_string())?;
        let spent = cpu(runtime, topology).await? - before;
        let l = &result.latencies;
        say!(
            "{name:<18} {:>8.0}/s  {} failed  p50 {:.2} ms  p99 {:.2} ms  p99.9 {:.2} ms  server CPU {:.0} µs/op",
            result.per_second,
            result.failed,
            l.p50.as_secs_f64() * 1e3,
            l.p99.as_secs_f64() * 1e3,
            l.p999.as_secs_f64() * 1e3,
            spent * 1e6 / result.succeeded.max(1) as f64,
        );
        for (why, n) in &result.failures {
            say!("  {n} × {why}");
        }
    }
    Ok(())
}

/// Processor seconds that all nodes have used, routers included; the proxied
/// links of the process runtime are not counted.
async fn cpu(runtime: &dyn Runtime, topology: &Topology) -> Result<f64, String> {
    // SAFETY: sysconf has no preconditions.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
    let mut total = 0.0;
    for node in &topology.nodes {
        let state = runtime
            .process(&node.name)
            .await
            .map_err(|e| e.to_string())?;
        let ProcessState::Running { identity } = state else {
            return Err(format!("{} is not running", node.name));
        };
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", identity.pid))
            .map_err(|e| format!("processor time of {}: {e}", node.name))?;
        // The name in parentheses may hold spaces; utime and stime are fields 14 and 15.
        let rest = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<f64> = rest
            .split_ascii_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|f| f.parse().ok())
            .collect();
        total += fields.iter().sum::<f64>() / ticks;
    }
    Ok(total)
}
