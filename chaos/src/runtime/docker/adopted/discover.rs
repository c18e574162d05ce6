//! Which containers a playbook means, what each of them is in the system, and
//! which of them cannot be had. Pure but for [`list`], which asks the engine.

use super::consent::{Consent, consent};
use super::found::{Found, NUMBER_LABEL};
use super::refuse::{self, Part, Refusal};
use crate::runtime::RuntimeError;
use crate::runtime::docker::deadline::{bounded, err};
use crate::runtime::docker::engine::{self, is_missing};
use crate::runtime::docker::volume;
use bollard::Docker;
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptions};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};

/// Most containers that are looked at on one engine.
const MOST: usize = 2_000;
/// Containers that are asked for at the same time.
const AT_ONCE: usize = 8;
/// Longest name of a unit, in bytes.
const MAX_NAME: usize = 40;

/// Which containers are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those of a Compose project.
    Compose(String),
    /// These, by name or id.
    Containers(Vec<String>),
    /// Those with this label, `NAME` or `NAME=VALUE`.
    Label(String),
}

/// By what containers are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// Their service in Compose.
    Service(String),
    /// A label, `NAME` or `NAME=VALUE`.
    Label(String),
    /// Their own name, or the name of their unit.
    Name(String),
}

/// Containers that do the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Which they are.
    pub by: Match,
}

/// What says in which AZ a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zones {
    /// The value of this label.
    Label(String),
    /// AZ by unit, container or service, the first of these that is named.
    Map(BTreeMap<String, String>),
}

/// What a playbook asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which containers.
    pub which: Which,
    /// The first that fits is a container's role.
    pub roles: Vec<Role>,
    /// Where they are.
    pub zones: Zones,
}

/// A container that is adopted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What it is called in this game day: `[a-z0-9-]`, at most 40 characters.
    pub unit: String,
    /// What it does, if a role fits.
    pub role: Option<String>,
    /// Its AZ, if it is known.
    pub az: Option<String>,
    /// Who has agreed.
    pub consent: Consent,
    /// What it is.
    pub found: Found,
    /// What is not done to it.
    pub refused: Vec<Refusal>,
}

impl Target {
    /// Why this is not done to it, if it is refused.
    pub fn refusal(&self, part: Part) -> Option<&Refusal> {
        self.refused.iter().find(|refusal| refusal.part == part)
    }
}

/// What a game day can have of what it asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adoption {
    /// What it has, by unit.
    pub targets: Vec<Target>,
    /// What it asked for and has not, and why.
    pub refused: Vec<Refusal>,
}

impl Adoption {
    /// Every refusal, of whole containers first.
    pub fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        let parts = self.targets.iter().flat_map(|target| &target.refused);
        self.refused.iter().chain(parts)
    }
}

/// All containers of the engine that answers.
///
/// # Errors
/// No engine; what it says; more than can be looked at.
pub async fn list() -> Result<Vec<Found>, RuntimeError> {
    let (docker, _) = engine::connect().await.map_err(err)?;
    list_on(&docker).await
}

async fn list_on(docker: &Docker) -> Result<Vec<Found>, RuntimeError> {
    let options = ListContainersOptions {
        all: true,
        ..Default::default()
    };
    let listed = bounded("list of containers", docker.list_containers(Some(options))).await?;
    if listed.len() > MOST {
        let many = listed.len();
        return Err(err(format!(
            "the engine has {many} containers; at most {MOST} are looked at"
        )));
    }
    let ids = listed.into_iter().filter_map(|container| container.id);
    let asked = stream::iter(ids).map(|id| async move {
        let asked = docker.inspect_container(&id, None::<InspectContainerOptions>);
        let found = bounded("a container", async {
            match asked.await {
                Ok(said) => Ok(Some(said)),
                // It has gone since.
                Err(e) if is_missing(&e) => Ok(None),
                Err(e) => Err(e),
            }
        });
        match found.await? {
            Some(said) => Found::read(said).map(Some).map_err(err),
            None => Ok(None),
        }
    });
    let found: Vec<Option<Found>> = asked.buffered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// Says of an adoption which containers cannot lose power.
///
/// # Errors
/// No engine.
pub async fn look_at_power(adoption: &mut Adoption) -> Result<(), RuntimeError> {
    let (docker, _) = engine::connect().await.map_err(err)?;
    for target in &mut adoption.targets {
        let disks = volume::disks(&docker, &target.found).await;
        let refusal = refuse::power(&target.found, disks.map(|disks| !disks.is_empty()));
        target.refused.extend(refusal);
    }
    Ok(())
}

/// Chooses among all containers of an engine; `adopted` are the names that were typed by whoever
/// runs the game day.
///
/// # Errors
/// Nothing is meant, or what is named is not there: what there is instead.
pub fn choose(all: &[Found], ask: &Ask, adopted: &BTreeSet<String>) -> Result<Adoption, String> {
    let meant = meant(all, &ask.which)?;
    let units = units(&meant);
    let mut adoption = Adoption::default();
    let mut agreed = Vec::new();
    for (found, unit) in meant.into_iter().zip(units) {
        let consent = consent(found, adopted);
        let whole = match refuse::whole(found, all) {
            Some(refusal) => Err(refusal),
            None => consent,
        };
        match whole {
            Ok(consent) => agreed.push((found, unit, consent)),
            Err(refusal) => adoption.refused.push(refusal),
        }
    }
    let ids: BTreeSet<&str> = agreed.iter().map(|(found, ..)| found.id.as_str()).collect();
    let is_adopted = |found: &Found| ids.contains(found.id.as_str());
    for (found, unit, consent) in &agreed {
        let az = zone(found, unit, &ask.zones);
        adoption.targets.push(Target {
            role: role(found, unit, &ask.roles),
            refused: refuse::parts(found, all, &is_adopted, az.is_some()),
            az,
            unit: unit.clone(),
            consent: consent.clone(),
            found: (*found).clone(),
        });
    }
    adoption.targets.sort_by(|a, b| a.unit.cmp(&b.unit));
    Ok(adoption)
}

fn meant<'a>(all: &'a [Found], which: &Which) -> Result<Vec<&'a Found>, String> {
    let some = |is: &dyn Fn(&Found) -> bool| all.iter().filter(|f| is(f)).collect::<Vec<_>>();
    let (mut meant, missing) = match which {
        Which::Compose(project) => {
            let meant = some(&|found| found.project() == Some(project));
            let there: BTreeSet<&str> = all.iter().filter_map(Found::project).collect();
            let there: Vec<&str> = there.into_iter().collect();
            let there = match there.is_empty() {
                true => "there is none".to_string(),
                false => format!("there are {}", there.join(", ")),
            };
            let missing = format!("no container of the Compose project {project}: {there}");
            (meant, missing)
        }
        Which::Label(label) => (
            some(&|found| found.is_labelled(label)),
            format!("no container has the label {label}"),
        ),
        Which::Containers(names) => {
            for name in names {
                if !all.iter().any(|found| found.is_called(name)) {
                    return Err(format!(
                        "there is no container {name}: `docker ps -a` lists all"
                    ));
                }
            }
            (
                some(&|found| names.iter().any(|name| found.is_called(name))),
                "no container is named".into(),
            )
        }
    };
    meant.sort_by(|a, b| a.name.cmp(&b.name));
    if meant.is_empty() {
        Err(missing)
    } else {
        Ok(meant)
    }
}

/// Names of units: the service, with a number if it has several containers, or else the
/// container's own name; each once.
fn units(meant: &[&Found]) -> Vec<String> {
    let several = |service: &str| {
        let of = meant
            .iter()
            .filter(|other| other.service() == Some(service));
        of.count() > 1
    };
    let mut taken = BTreeSet::new();
    let names = meant.iter().map(|found| {
        let name = match found.service() {
            Some(service) if several(service) => {
                format!("{service}-{}", found.label(NUMBER_LABEL).unwrap_or("0"))
            }
            Some(service) => service.to_string(),
            None => found.name.clone(),
        };
        let plain = plain(&name);
        let mut name = plain.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            let end = format!("-{number}");
            name = format!("{}{end}", &plain[..plain.len().min(MAX_NAME - end.len())]);
            number += 1;
        }
        name
    });
    names.collect()
}

/// The same of `[a-z0-9-]` only, and not too long.
fn plain(name: &str) -> String {
    let plain = name.chars().map(|c| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9') => c,
        _ => '-',
    });
    let plain: String = plain.take(MAX_NAME).collect();
    match plain.trim_matches('-') {
        "" => "unit".into(),
        name => name.into(),
    }
}

fn role(found: &Found, unit: &str, roles: &[Role]) -> Option<String> {
    let fits = |role: &&Role| match &role.by {
        Match::Service(service) => found.service() == Some(service),
        Match::Label(label) => found.is_labelled(label),
        Match::Name(name) => unit == name || found.is_called(name),
    };
    roles.iter().find(fits).map(|role| role.name.clone())
}

fn zone(found: &Found, unit: &str, zones: &Zones) -> Option<String> {
    let az = match zones {
        Zones::Label(label) => found.labels.get(label),
        Zones::Map(map) => {
            let names = [Some(unit), Some(found.name.as_str()), found.service()];
            names.into_iter().flatten().find_map(|name| map.get(name))
        }
    };
    az.filter(|az| !az.is_empty()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::docker::adopted::examples::container;
    use crate::runtime::docker::adopted::found::{Network, Standing};
    use crate::runtime::docker::adopted::{AZ_LABEL, CONSENT_LABEL};
    use crate::runtime::marks::RUN_LABEL;

    fn ask(which: Which) -> Ask {
        Ask {
            which,
            roles: vec![
                Role {
                    name: "store".into(),
                    by: Match::Service("db".into()),
                },
                Role {
                    name: "first".into(),
                    by: Match::Name("web".into()),
                },
                Role {
                    name: "rest".into(),
                    by: Match::Label(format!("{AZ_LABEL}=a")),
                },
            ],
            zones: Zones::Label(AZ_LABEL.into()),
        }
    }

    fn shop() -> Which {
        Which::Compose("shop".into())
    }

    #[test]
    fn units_roles_and_zones_come_from_labels_and_names() {
        let mut elsewhere = container("db", 3);
        elsewhere
            .labels
            .insert("com.docker.compose.project".into(), "bank".into());
        let all = [
            container("db", 1),
            container("db", 2),
            container("web", 1),
            elsewhere,
        ];
        let had = choose(&all, &ask(shop()), &BTreeSet::new()).unwrap();
        let told = |t: &Target| {
            (
                t.unit.clone(),
                t.role.clone().unwrap(),
                t.az.clone().unwrap(),
            )
        };
        let told: Vec<_> = had.targets.iter().map(told).collect();
        let expected = [
            ("db-1", "store", "a"),
            ("db-2", "store", "a"),
            ("web", "first", "a"),
        ];
        let expected = expected.map(|(u, r, z)| (u.to_string(), r.to_string(), z.to_string()));
        assert_eq!(told, expected);
        assert_eq!(had.refusals().count(), 0);

        let map = [("web", "x"), ("db", "y"), ("db-2", "z")];
        let map = map
            .map(|(name, az)| (name.to_string(), az.to_string()))
            .into();
        let mapped = Ask {
            zones: Zones::Map(map),
            ..ask(shop())
        };
        let had = choose(&all, &mapped, &BTreeSet::new()).unwrap();
        let zones: Vec<_> = had
            .targets
            .iter()
            .map(|t| t.az.as_deref().unwrap())
            .collect();
        assert_eq!(zones, ["y", "z", "x"]);
    }

    #[test]
    fn what_is_not_there_is_said_with_what_there_is() {
        let all = [container("db", 1)];
        let nothing = |which| choose(&all, &ask(which), &BTreeSet::new()).unwrap_err();
        let project = nothing(Which::Compose("shpo".into()));
        assert!(
            project.contains("shpo") && project.contains("there are shop"),
            "{project}"
        );
        let named = Which::Containers(vec!["shop-db-1".into(), "nobody".into()]);
        assert!(nothing(named).contains("nobody"));
        assert!(nothing(Which::Label("x=y".into())).contains("x=y"));
        assert!(nothing(Which::Containers(vec![])).contains("no container is named"));
    }

    #[test]
    fn names_of_units_are_plain_and_each_is_one() {
        let long = "x".repeat(60);
        let named = |name: &str| {
            let mut found = container("web", 1);
            found.labels.clear();
            found.name = name.into();
            found
        };
        let all = ["My_App.1", "my-app-1", &long, &format!("{long}y"), "__"].map(named);
        let all: Vec<&Found> = all.iter().collect();
        let expected = [
            "my-app-1".to_string(),
            "my-app-1-2".into(),
            "x".repeat(40),
            format!("{}-2", "x".repeat(38)),
            "unit".into(),
        ];
        assert_eq!(units(&all), expected);
    }

    /// Ten containers, and for each the reason why not.
    #[test]
    fn ten_containers_that_are_refused_have_ten_reasons() {
        let mut all: Vec<Found> = (1..=10).map(|n| container("db", n)).collect();
        let label = |found: &mut Found, name: &str, value: &str| {
            found.labels.insert(name.into(), value.into());
        };
        label(&mut all[0], CONSENT_LABEL, "no");
        all[1].labels.remove(CONSENT_LABEL);
        label(&mut all[2], "com.docker.swarm.task.id", "x");
        label(&mut all[3], "io.kubernetes.pod.name", "x");
        all[4].goes_when_it_ends = true;
        all[5].network = Network::Host;
        all[6].standing = Standing::Paused;
        all[7].network = Network::Of(all[8].id.clone());
        all[8].labels.remove(AZ_LABEL);
        label(&mut all[9], RUN_LABEL, "r1");
        let had = choose(&all, &ask(shop()), &BTreeSet::new()).unwrap();
        let said: Vec<String> = had.refusals().map(Refusal::to_string).collect();
        let expected = "\
shop-db-1: everything refused: its owner keeps it: it has the label gameday.target=no; what helps: to ask its owner; --adopt does not overrule it
shop-db-10: everything refused: it is gameday's own, of another run or cluster; what helps: to adopt what the system consists of
shop-db-2: everything refused: nobody has lent it to a game day; what helps: --adopt shop, or the label gameday.target=yes on the container
shop-db-3: everything refused: Docker Swarm runs it, and would replace it while it is hurt; what helps: a system that Docker alone runs, for example by Compose
shop-db-4: everything refused: Kubernetes runs it, and would replace it while it is hurt; what helps: a system that Docker alone runs, for example by Compose
shop-db-7: everything refused: somebody has paused it, and it must not be thawed by us; what helps: docker unpause, if it is yours to do
shop-db-5: kill, stop, restart, power-off refused: the engine removes it when it ends (--rm): it could not be started again; what helps: to make it without --rm
shop-db-6: partitions and traffic refused: it is in the host's network, where a rule would meet everybody; what helps: a network of its own (no network_mode: host)
shop-db-8: partitions and traffic refused: its network is that of shop-db-9: both are one unit there; what helps: to name shop-db-9 instead
shop-db-9: kill, stop, restart, power-off refused: shop-db-8 is in its network, and would be cut off for good; what helps: to give shop-db-8 a network of its own
shop-db-9: selection by AZ refused: its AZ is not known; what helps: the label that [system] names for AZs, or to name the container in its map";
        assert_eq!(said.join("\n"), expected);
        let refused: BTreeSet<&str> = had.refusals().map(|r| r.container.as_str()).collect();
        assert_eq!(refused.len(), 10);
    }

    #[test]
    fn what_does_not_run_and_what_has_no_network_is_refused() {
        let mut all = [container("db", 1), container("db", 2), container("db", 3)];
        all[0].standing = Standing::Ended;
        all[1].standing = Standing::Restarting;
        all[2].network = Network::None;
        let had = choose(&all, &ask(shop()), &BTreeSet::new()).unwrap();
        let parts: Vec<Part> = had.refusals().map(|r| r.part).collect();
        assert_eq!(parts, [Part::Everything, Part::Everything, Part::Links]);
        assert!(
            had.targets[0]
                .refusal(Part::Links)
                .unwrap()
                .why
                .contains("none")
        );
        assert!(had.targets[0].refusal(Part::Ending).is_none());
    }
}
