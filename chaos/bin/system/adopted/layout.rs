//! What an adopted system consists of: its topology, and what canaries call. Data in, data out.

use gameday_canary::service::url::ServiceUrl;
use gameday_chaos::playbook::System;
use gameday_chaos::runtime::docker::adopted::discover::{Adoption, Target};
use gameday_record::{Node, Role, Topology};
use std::collections::{BTreeMap, BTreeSet};

/// What the canaries of one AZ call as their own endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// The unit at each of the URL's hosts, in order.
    pub units: Vec<String>,
    /// The URL.
    pub url: ServiceUrl,
}

/// What a game day will see of an adopted system.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// Its nodes.
    pub topology: Topology,
    /// What is called, by AZ.
    pub called: BTreeMap<String, Called>,
}

/// Role of a container of which the playbook and Compose say none.
const NO_ROLE: &str = "node";

/// Puts together what a playbook says of containers and what they are.
///
/// # Errors
/// What does not fit, all of it.
pub fn layout(system: &System, adoption: &Adoption) -> Result<Layout, Vec<String>> {
    let mut wrong = Vec::new();
    let azs: BTreeSet<&String> = adoption
        .targets
        .iter()
        .filter_map(|t| t.az.as_ref())
        .collect();
    if azs.is_empty() && !adoption.targets.is_empty() {
        wrong.push(
            "no container says in which AZ it is: az = { label = \"…\" } or az = { NAME = \"a\" }"
                .into(),
        );
    }
    let mut called = BTreeMap::new();
    for (az, text) in &system.endpoints {
        match call(text, &adoption.targets) {
            Ok(one) => {
                called.insert(az.clone(), one);
            }
            Err(why) => wrong.push(format!("the endpoint of AZ {az}: {why}")),
        }
    }
    for az in &azs {
        if !system.endpoints.contains_key(*az) {
            wrong.push(format!(
                "AZ {az} has no endpoint in 'endpoints': its canary would call nothing of its own"
            ));
        }
    }
    for az in system.endpoints.keys().filter(|az| !azs.contains(az)) {
        let known: Vec<&str> = azs.iter().map(|az| az.as_str()).collect();
        wrong.push(format!(
            "no container is in AZ {az}: there are {}",
            known.join(", ")
        ));
    }
    let mut services = called.values().map(|one| &one.url.service);
    if let Some(first) = services.next()
        && services.any(|other| other != first)
    {
        wrong.push("all endpoints have the same protocol, user, password and path".into());
    }
    if let Some(one) = called.values().find(|one| one.url.service.has_tables()) {
        wrong.push(format!(
            "a game day makes no table in {} that is not its own; gameday canary makes one and \
             measures it, beside a game day with other endpoints",
            one.url.service.name()
        ));
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let node = |target: &Target| Node {
        name: target.unit.clone(),
        az: target.az.clone().unwrap_or_default(),
        role: role(target).to_string(),
    };
    let nodes: Vec<Node> = adoption.targets.iter().map(node).collect();
    let mut roles: BTreeMap<String, Role> = BTreeMap::new();
    for (name, spec) in &system.roles {
        roles.entry(name.clone()).or_default().replicas = spec.replicas;
    }
    for unit in called.values().flat_map(|one| &one.units) {
        if let Some(node) = nodes.iter().find(|n| n.name == *unit) {
            roles.entry(node.role.clone()).or_default().endpoint = true;
        }
    }
    Ok(Layout {
        topology: Topology {
            azs: azs.into_iter().cloned().collect(),
            nodes,
            roles,
            ..Topology::default()
        },
        called,
    })
}

/// What a container does: as the playbook says, else its service in Compose.
pub fn role(target: &Target) -> &str {
    let said = target.role.as_deref().or(target.found.service());
    said.unwrap_or(NO_ROLE)
}

/// Finds the containers that a URL names.
fn call(text: &str, targets: &[Target]) -> Result<Called, String> {
    let url = ServiceUrl::parse(text)?;
    let unit = |host: &str| {
        let is = |t: &&Target| t.unit == host || t.found.is_called(host);
        let of_service = || {
            let mut of = targets.iter().filter(|t| t.found.service() == Some(host));
            of.next().filter(|_| of.next().is_none())
        };
        let found = targets.iter().find(is).or_else(of_service);
        found.map(|t| t.unit.clone()).ok_or_else(|| {
            let known: Vec<&str> = targets.iter().map(|t| t.unit.as_str()).collect();
            format!(
                "its host '{host}' is no container that is adopted: there are {}",
                known.join(", ")
            )
        })
    };
    let units = url.hosts.iter().map(|h| unit(&h.host));
    Ok(Called {
        units: units.collect::<Result<_, _>>()?,
        url,
    })
}
