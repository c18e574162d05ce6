//! What `plan` and `run` share: from a file to a plan.

use crate::cli::{RuntimeChoice, TrafficChoice};
use crate::exit::Exit;
use crate::identity;
use crate::judge::EQUAL;
use crate::system::adopted::layout::Layout;
use crate::system::adopted::{self, fit};
use crate::system::store::layout;
use gameday_chaos::abilities::Abilities;
use gameday_chaos::plan::{Plan, plan, unreadable};
use gameday_chaos::playbook::{Playbook, diagnostic};
use gameday_chaos::runtime::docker::adopted::Adopted;
use gameday_chaos::runtime::docker::adopted::discover::Adoption;
use gameday_chaos::runtime::docker::{DockerRuntime, Technique, Techniques, check_subnet};
use gameday_chaos::runtime::process::ProcessRuntime;
use gameday_record::{Topology, Unpromised};
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
    /// What it adopts, if it does.
    pub lent: Option<Lent>,
    /// What will be done.
    pub plan: Plan,
    /// Seed of every choice.
    pub seed: u64,
}

/// What the command line says beside the playbook.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chosen<'a> {
    /// Seed of every choice.
    pub seed: Option<u64>,
    /// Network of the docker runtime.
    pub subnet: Option<&'a str>,
    /// How long `[random]` draws faults.
    pub duration: Option<Duration>,
    /// Projects and containers that are lent to the game day.
    pub adopt: &'a [String],
}

/// Containers that a playbook adopts.
pub struct Lent {
    /// Which, and what is refused.
    pub adoption: Adoption,
    /// What they make up.
    pub layout: Layout,
}

/// Reads and plans; prints what is wrong.
///
/// # Errors
/// The exit code, after the reasons were printed.
pub async fn prepare(path: &Path, chosen: Chosen<'_>) -> Result<Prepared, Exit> {
    let Chosen {
        seed,
        subnet,
        duration,
        adopt,
    } = chosen;
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
    let lent = lend(&playbook, adopt).await.map_err(refuse)?;
    let topology = match &lent {
        Some(lent) => lent.layout.topology.clone(),
        None => layout::topology(&playbook.cluster),
    };
    let plan = plan(&playbook, seed, &topology).map_err(|all| refuse(diagnostic::render(&all)))?;
    if let Some(lent) = &lent {
        let unfit = fit::refuse(&playbook, &plan, &lent.adoption);
        if !unfit.is_empty() {
            return Err(refuse(diagnostic::render(&unfit)));
        }
        lent.fit(&mut playbook).map_err(refuse)?;
    }
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
        lent,
        plan,
        seed,
    })
}

/// Finds what a playbook adopts, if it does; says what is refused of it.
async fn lend(playbook: &Playbook, typed: &[String]) -> Result<Option<Lent>, String> {
    let Some(system) = &playbook.system else {
        return match typed {
            [] => Ok(None),
            _ => Err(
                "--adopt lends containers to a playbook with a [system]; this one starts a \
                      cluster of its own"
                    .into(),
            ),
        };
    };
    let wrong = |why: String| diagnostic::render(&[system.wrong(&playbook.source, why)]);
    if playbook.measuring.workload.tables > 1 {
        let why = "its canaries use one table's keys: [workload] tables = 1";
        return Err(wrong(why.into()));
    }
    let adoption = adopted::find(system, typed).await.map_err(wrong)?;
    if adoption.targets.is_empty() {
        let refused: Vec<String> = adoption.refusals().map(|r| r.to_string()).collect();
        return Err(wrong(format!(
            "no container can be adopted: {}",
            refused.join("; ")
        )));
    }
    let layout = adopted::layout::layout(system, &adoption).map_err(|all| {
        let all: Vec<_> = all
            .into_iter()
            .map(|why| system.wrong(&playbook.source, why))
            .collect();
        diagnostic::render(&all)
    })?;
    Ok(Some(Lent { adoption, layout }))
}

impl Lent {
    /// Makes the workload one that the service has.
    ///
    /// # Errors
    /// The playbook asks for what it has not.
    fn fit(&self, playbook: &mut Playbook) -> Result<(), String> {
        let Some(called) = self.layout.called.values().next() else {
            return Ok(());
        };
        let service = &called.url.service;
        let workload = &mut playbook.measuring.workload;
        if !playbook.source.text.contains("[workload") {
            let left_out = service.fit(workload);
            if !left_out.is_empty() {
                say!(
                    "{} has no {}: left out of the mix",
                    service.name(),
                    left_out.join(", ")
                );
            }
        }
        service
            .can_all(workload)
            .map_err(|why| format!("the workload has what {} has not: {why}", service.name()))
    }

    /// Checks that are left out, and why.
    pub fn unpromised(&self) -> Vec<Unpromised> {
        let service = self.layout.called.values().next();
        let mut all = service
            .map(|one| one.url.service.unpromised())
            .unwrap_or_default();
        all.push(Unpromised {
            check: EQUAL.into(),
            why: "Whether its replicas are equal is not looked at: it is not ours.".into(),
        });
        all
    }
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
    let (runtime, why) = match (&playbook.system, runtime) {
        (Some(_), RuntimeChoice::Process) => {
            let why = "a [system] is adopted where it runs: --runtime docker";
            return Err(refuse(why.into()));
        }
        (Some(_), _) => choose(RuntimeChoice::Docker).await.map_err(refuse)?,
        (None, runtime) => choose(runtime).await.map_err(refuse)?,
    };
    let techniques = techniques(runtime, traffic).await.map_err(refuse)?;
    let abilities = match &playbook.system {
        Some(_) => Adopted::abilities(techniques).await,
        None => abilities(runtime, techniques).await,
    };
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
