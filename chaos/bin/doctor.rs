//! `gameday doctor`: what this machine can run and make wrong, and what would
//! make the rest possible. Looks and tries; changes nothing that stays, but for
//! the image that a run would make as well.

mod text;

use crate::cli::DoctorArgs;
use crate::exit::Exit;
use crate::system::canaries;
use crate::system::store::layout;
use crate::{prepare, print};
use gameday_chaos::abilities::Abilities;
use gameday_chaos::faults::{FaultKind, Params};
use gameday_chaos::runtime::docker::Techniques;
use gameday_chaos::runtime::facilities::{self, Facilities, Seen};
use gameday_chaos::runtime::leftovers::{self, Leftover};
use gameday_chaos::runtime::liveness::Liveness;
use gameday_chaos::runtime::marks::Kind;
use gameday_chaos::runtime::process::Moved;
use gameday_chaos::runtime::{docker, pressure, process};
use gameday_record::ClusterSpec;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that was found out.
#[derive(Debug, Serialize)]
struct Diagnosis {
    docker: Docker,
    process: Process,
    host: Host,
    /// Each fault, each runtime that can be used.
    faults: Vec<FaultRow>,
    leftovers: Residue,
}

/// Whether a runtime can be used, and if not, why.
#[derive(Debug, Serialize)]
struct Usable {
    usable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<String>,
}

impl From<Result<(), String>> for Usable {
    fn from(result: Result<(), String>) -> Self {
        Usable {
            usable: result.is_ok(),
            why_not: result.err(),
        }
    }
}

/// The engine, and what its containers can do.
#[derive(Debug, Serialize)]
struct Docker {
    #[serde(flatten)]
    usable: Usable,
    #[serde(flatten)]
    engine: Option<Engine>,
}

#[derive(Debug, Serialize)]
struct Process {
    #[serde(flatten)]
    usable: Usable,
    /// Ports of the nodes that others are used for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    moved_ports: Vec<Moved>,
}

#[derive(Debug, Serialize)]
struct Engine {
    engine: String,
    /// Where it listens, and who says so.
    at: String,
    api: String,
    storage: Option<String>,
    cgroup: Option<String>,
    cgroup_driver: Option<String>,
    rootless: bool,
    /// The network that clusters have unless they are given another one.
    network: String,
    /// Whether it is free.
    network_is: Usable,
    /// In a container with an agent's capabilities and no others.
    containers: Vec<Tried>,
}

#[derive(Debug, Serialize)]
struct Host {
    kernel: String,
    cpus: u32,
    /// Share of the last minute in which some task waited for a processor, 0 to 1; none where
    /// the kernel does not say.
    waiting: Option<f64>,
    cgroup_version: Option<u32>,
    /// As this user.
    facilities: Vec<Tried>,
}

/// One facility.
#[derive(Debug, Serialize)]
struct Tried {
    name: &'static str,
    seen: Seen,
    /// What would make it available, if it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct FaultRow {
    fault: &'static str,
    runtimes: BTreeMap<&'static str, Possible>,
}

/// Whether a fault can be made.
#[derive(Debug, PartialEq, Serialize)]
struct Possible {
    possible: bool,
    /// The techniques, if it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    by: Vec<String>,
    /// The reason, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<String>,
    /// What would make it possible, if anything would.
    #[serde(skip_serializing_if = "Option::is_none")]
    instead: Option<String>,
}

/// What carries our marks on this machine.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Residue {
    /// Things of runs whose runner is dead, by run.
    dead: BTreeMap<String, Vec<String>>,
    /// Runs that hold the machine's addresses just now, and the process that runs each.
    in_progress: BTreeMap<String, String>,
    /// Runs of which it cannot be known from here whether they go on, and what to do.
    unknown: BTreeMap<String, String>,
    /// Clusters that are kept.
    kept: BTreeSet<String>,
    /// Where could not be looked, and why.
    unsearched: Vec<String>,
}

/// Finds out and prints.
pub async fn main(args: DoctorArgs) -> Exit {
    let found = diagnose().await;
    let said = if args.json {
        serde_json::to_string_pretty(&found).map_err(|e| e.to_string())
    } else {
        Ok(text::lines(&found).join("\n"))
    };
    match said {
        Ok(said) => print::out(&said),
        Err(why) => {
            warn!("{why}");
            return Exit::Internal;
        }
    }
    if found.docker.usable.usable || found.process.usable.usable {
        Exit::Pass
    } else {
        Exit::Inconclusive
    }
}

async fn diagnose() -> Diagnosis {
    let docker = docker().await;
    let process = processes();
    let mut places = Vec::new();
    if docker.usable.usable {
        let techniques = docker::DockerRuntime::techniques(None).await;
        places.push(prepare::abilities("docker", techniques).await);
    }
    if process.usable.usable {
        places.push(prepare::abilities("process", Techniques::default()).await);
    }
    let versions = crate::identity::versions(None);
    let residue = leftovers::find(None).await;
    Diagnosis {
        host: Host {
            kernel: versions.kernel,
            cpus: versions.cpus,
            waiting: pressure::of_processors().map(|p| p.last_minute),
            cgroup_version: facilities::cgroup_version(),
            facilities: tried(&facilities::of_host().await),
        },
        faults: table(&places),
        leftovers: sort(residue.things, residue.unsearched),
        docker,
        process,
    }
}

fn processes() -> Process {
    let topology = layout::topology(&ClusterSpec::default());
    let mut units = layout::units(&topology);
    units.extend(canaries::units(&topology.azs));
    let moved = process::moved_ports(&units);
    let (moved_ports, usable) = match moved {
        Ok(moved) => (moved, process::available()),
        Err(why) => (Vec::new(), Err(why)),
    };
    Process {
        usable: usable.into(),
        moved_ports,
    }
}

async fn docker() -> Docker {
    let info = match docker::available().await {
        Ok(info) => info,
        Err(why) => {
            return Docker {
                usable: Err(why).into(),
                engine: None,
            };
        }
    };
    // An engine that answers but does not describe itself can still be used.
    let details = docker::details().await.unwrap_or_default();
    let network = ClusterSpec::default().subnet;
    Docker {
        usable: Ok(()).into(),
        engine: Some(Engine {
            engine: info.version,
            at: info.at,
            api: info.api,
            storage: details.storage,
            cgroup: details.cgroup,
            cgroup_driver: details.cgroup_driver,
            rootless: details.rootless,
            network_is: docker::subnet_is_free(&network).await.into(),
            network,
            containers: tried(docker::facilities().await),
        }),
    }
}

fn tried(found: &Facilities) -> Vec<Tried> {
    let each = found.0.iter().map(|(facility, seen)| Tried {
        name: facility.name(),
        remedy: matches!(seen, Seen::No(_)).then_some(facility.remedy()),
        seen: seen.clone(),
    });
    each.collect()
}

/// Every fault, with its default parameters, in every place.
fn table(places: &[Abilities]) -> Vec<FaultRow> {
    let params = Params::default();
    let row = |fault: &FaultKind| FaultRow {
        fault: fault.name(),
        runtimes: places
            .iter()
            .map(|place| {
                let possible = match place.of(*fault, &params) {
                    Ok(by) => Possible {
                        possible: true,
                        by: by.into_iter().map(String::from).collect(),
                        why_not: None,
                        instead: None,
                    },
                    Err(refusal) => Possible {
                        possible: false,
                        by: Vec::new(),
                        why_not: Some(refusal.why),
                        instead: refusal.instead,
                    },
                };
                (place.runtime, possible)
            })
            .collect(),
    };
    FaultKind::ALL.iter().map(row).collect()
}

/// Sorts what was found by what it means.
fn sort(things: Vec<Leftover>, unsearched: Vec<String>) -> Residue {
    let mut residue = Residue {
        unsearched,
        ..Residue::default()
    };
    for thing in things {
        let run = thing.marks.run.clone();
        if thing.marks.kind == Kind::Cluster {
            residue.kept.insert(run);
            continue;
        }
        match thing.runner {
            Liveness::Alive => {
                let runner = thing.marks.runner.told();
                residue.in_progress.insert(run, runner);
            }
            Liveness::Unknown(why) => {
                residue.unknown.insert(run, thing.marks.unknown(&why));
            }
            Liveness::Dead => {
                let of_run = residue.dead.entry(run).or_default();
                of_run.push(thing.thing.to_string());
            }
        }
    }
    residue
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameday_chaos::abilities::{Ability, Offer};

    #[test]
    fn the_table_says_by_what_or_why_not() {
        let place = Abilities {
            runtime: "docker",
            offers: [
                (Ability::Processes, Offer::By("Docker".into())),
                (
                    Ability::Cuts,
                    Offer::Not {
                        why: "no nftables".into(),
                        instead: Some("another kernel".into()),
                    },
                ),
            ]
            .into(),
        };
        let rows = table(&[place]);
        assert_eq!(rows.len(), FaultKind::ALL.len());
        let of = |name: &str| {
            let row = rows.iter().find(|r| r.fault == name).expect(name);
            &row.runtimes["docker"]
        };
        assert_eq!(of("kill").by, ["Docker"]);
        assert!(!of("isolate").possible && !of("power-off").possible);
        assert_eq!(of("isolate").instead.as_deref(), Some("another kernel"));
    }
}
