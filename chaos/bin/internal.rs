//! The programs inside our own units, each told by one JSON document in its
//! environment.

use crate::cli::Internal;
use crate::exit::Exit;
use gameday_canary::names::{EndpointUrl, Names, Renewed};
use gameday_canary::{CanaryConfig, Endpoint, Wire};
use gameday_cluster::config::NodeConfig;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{BufReader, stdin, stdout};
use tokio::signal::unix::{SignalKind, signal};

/// How often a canary of a run looks up the names of what it calls.
const FOLLOW: Duration = Duration::from_secs(1);

/// Runs one of them to its end.
pub fn main(what: Internal) -> Exit {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // A log that cannot be written to is no reason to end.
        .log_internal_errors(false)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("GAMEDAY_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,openraft=warn")),
        )
        .init();
    let outcome = match what {
        Internal::Node => node(),
        Internal::Canary => canary(),
        Internal::Links => gameday_chaos::runtime::links::main(),
        Internal::Watchdog => crate::watchdog::main(),
        Internal::Agent => gameday_chaos::runtime::agent::main(),
        Internal::Volume => gameday_chaos::runtime::docker::volume::main(),
        Internal::Probe => gameday_chaos::runtime::facilities::main(),
    };
    match outcome {
        Ok(()) => Exit::Pass,
        Err(why) => {
            warn!("gameday internal: {why}");
            Exit::Internal
        }
    }
}

fn env(name: &str) -> Result<String, String> {
    std::env::var(name)
        .map_err(|_| format!("{name} is not set; gameday starts this program itself"))
}

fn blocking(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    let outcome = runtime.block_on(work);
    // A read of standard input that nobody answers must not keep a program that has ended.
    runtime.shutdown_background();
    outcome
}

fn node() -> Result<(), String> {
    let mut config = NodeConfig::from_json(&env("GAMEDAY_NODE")?).map_err(|e| e.to_string())?;
    if let (NodeConfig::Storage(storage), Ok(data)) = (&mut config, std::env::var("GAMEDAY_DATA")) {
        storage.data = PathBuf::from(data);
    }
    // Many nodes share few processors, and their work is small: handing it from thread to thread
    // would cost more than it does.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let mut term = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
        let shutdown = async move {
            term.recv().await;
        };
        gameday_cluster::node::run(config, Box::pin(shutdown))
            .await
            .map_err(|e| e.to_string())
    })
}

fn canary() -> Result<(), String> {
    let config: CanaryConfig = serde_json::from_str(&env("GAMEDAY_CANARY")?)
        .map_err(|e| format!("GAMEDAY_CANARY: {e}"))?;
    let names = Names::default();
    let wire = Wire::of(&config, names.clone()).map_err(|e| e.to_string())?;
    let named: Vec<EndpointUrl> = config.endpoints.iter().flat_map(named).collect();
    blocking(async {
        let following = tokio::spawn(follow(names, named));
        let ran = gameday_canary::run(config, wire, BufReader::new(stdin()), stdout()).await;
        following.abort();
        ran.map_err(|e| e.to_string())
    })
}

/// The names of an endpoint's hosts, if they have some.
fn named(endpoint: &Endpoint) -> Vec<EndpointUrl> {
    let of = |host: Endpoint| {
        let (addr, tls) = (host.addr, host.tls);
        let host = host.host?;
        let host = host
            .strip_suffix(&format!(":{}", addr.port()))
            .unwrap_or(&host);
        Some(EndpointUrl {
            az: None,
            tls,
            host: host.into(),
            port: addr.port(),
        })
    };
    endpoint.hosts().filter_map(of).collect()
}

/// Follows containers that are given other addresses when they are started again.
async fn follow(names: Names, named: Vec<EndpointUrl>) {
    while !named.is_empty() {
        for news in names.refresh(&named).await {
            match news {
                Renewed::Failed(why) => tracing::debug!("{why}"),
                news => tracing::info!("{news}"),
            }
        }
        tokio::time::sleep(FOLLOW).await;
    }
}
