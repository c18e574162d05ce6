//! What `plan` and `run` share: from a file to a plan.

use crate::cli::{RuntimeChoice, TrafficChoice};
use crate::exit::Exit;
use crate::identity;
use crate::system::store::layout;
use gameday_chaos::abilities::Abilities;
use gameday_chaos::plan::{Plan, plan, unreadable};
use gameday_chaos::playbook::{Playbook, diagnostic};
use gameday_chaos::runtime::docker::{DockerRuntime, Technique, Techniques, check_subnet};
use gameday_chaos::runtime::process::ProcessRuntime;
use gameday_record::Topology;
use std::path::Path;
use std::time::Duration;

/// A playbook, checked, with what it means here.
pub struct Prepared {
    /// As written.
    pub playbook: Playbook,
    /// The playbook's file stem.
    pub name: String,
    /// The nodes it will have.
    pub topology: Topology,
    /// What will be done.
    pub plan: Plan,
    /// Seed of every choice.
    pub seed: u64,
}

/// Reads and plans; prints what is wrong.
///
/// # Errors
/// The exit code, after the reasons were printed.
pub fn prepare(
    path: &Path,
    seed: Option<u64>,
    subnet: Option<&str>,
    duration: Option<Duration>,
) -> Result<Prepared, Exit> {
    let refuse = |why: String| {
        warn!("{why}");
        Exit::Usage
    };
    let mut playbook = Playbook::read(path).map_err(|all| refuse(diagnostic::render(&all)))?;
    if let Some(subnet) = subnet {
        check_subnet(subnet).map_err(|why| refuse(format!("--subnet: {why}")))?;
        playbook.cluster.subnet = subnet.to_string();
    }
    if let Some(duration) = duration {
        let Some(random) = &mut playbook.random else {
            let why = "--duration is how long [random] draws faults, and this playbook has none";
            return Err(refuse(why.into()));
        };
        random.lasting = duration;
    }
    let seed = seed.or(playbook.seed).unwrap_or_else(identity::fresh_seed);
    let topology = layout::topology(&playbook.cluster);
    let plan = plan(&playbook, seed, &topology).map_err(|all| refuse(diagnostic::render(&all)))?;
    // The bound on inserts must not end them in the first hours of a night.
    let workload = &mut playbook.measuring.workload;
    *workload = gameday_canary::spread_inserts(workload, plan.least_duration());
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(Prepared {
        playbook,
        name,
        topology,
        plan,
        seed,
    })
}

/// Where a playbook will run.
pub struct Stage {
    /// `docker` or `process`.
    pub runtime: &'static str,
    /// Why this one.
    pub why: String,
    /// What traffic is made worse with.
    pub techniques: Techniques,
    /// What can be made wrong there.
    pub abilities: Abilities,
}

/// Finds where a playbook will run; refuses one of which a fault cannot be made
/// there. Prints why.
///
/// # Errors
/// The exit code, after the reasons were printed.
pub async fn stage(
    playbook: &Playbook,
    runtime: RuntimeChoice,
    traffic: Option<TrafficChoice>,
) -> Result<Stage, Exit> {
    let refuse = |why: String| {
        warn!("{why}");
        Exit::Usage
    };
    let (runtime, why) = choose(runtime).await.map_err(refuse)?;
    let techniques = techniques(runtime, traffic).await.map_err(refuse)?;
    let abilities = abilities(runtime, techniques).await;
    let mut refused = abilities.refuse(playbook);
    refused.extend(unreadable(playbook));
    if !refused.is_empty() {
        return Err(refuse(diagnostic::render(&refused)));
    }
    Ok(Stage {
        runtime,
        why,
        techniques,
        abilities,
    })
}

/// What can be made wrong in this runtime here.
pub async fn abilities(runtime: &'static str, techniques: Techniques) -> Abilities {
    match runtime {
        "docker" => DockerRuntime::abilities(techniques).await,
        _ => ProcessRuntime::abilities().await,
    }
}

/// What traffic is made worse with in this runtime here, of which `--traffic` may have chosen.
///
/// # Errors
/// There is nothing to choose in this runtime.
pub async fn techniques(
    runtime: &'static str,
    choice: Option<TrafficChoice>,
) -> Result<Techniques, String> {
    let wanted = choice.map(|choice| match choice {
        TrafficChoice::Netem => Technique::Netem,
        TrafficChoice::Nfqueue => Technique::Nfqueue,
    });
    match (runtime, wanted) {
        ("docker", wanted) => Ok(DockerRuntime::techniques(wanted).await),
        (_, None) => Ok(Techniques::default()),
        (_, Some(_)) => Err(format!(
            "--traffic is for containers: the {runtime} runtime has its proxied links for it"
        )),
    }
}

/// The runtime that `--runtime` means here, and why.
pub async fn choose(choice: RuntimeChoice) -> Result<(&'static str, String), String> {
    match choice {
        RuntimeChoice::Process => Ok(("process", "asked for".into())),
        RuntimeChoice::Docker => match gameday_chaos::runtime::docker::available().await {
            Ok(engine) => Ok(("docker", format!("Docker {}", engine.version))),
            Err(why) => Err(format!("--runtime docker: Docker does not answer: {why}")),
        },
        RuntimeChoice::Auto => match gameday_chaos::runtime::docker::available().await {
            Ok(engine) => Ok(("docker", format!("Docker {}", engine.version))),
            Err(why) => Ok(("process", format!("Docker does not answer: {why}"))),
        },
    }
}
