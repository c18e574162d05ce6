//! `[system]`: containers that somebody else made and runs, instead of a store of our own.

use super::fields::{Fields, MAX_NAMES, Mistakes, text, texts, wrong_type};
use super::groups::Groups;
use crate::runtime::docker::adopted::AZ_LABEL;
use crate::runtime::docker::adopted::discover::{Ask, Match, Role, Which, Zones};
use crate::runtime::docker::adopted::health::Check;
use crate::runtime::docker::adopted::leader::{LeaderProbe, Leads};
use std::collections::BTreeMap;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Longest name of a project, a container, a label or an AZ.
const NAME: usize = 255;
/// Longest word of a command, and longest URL.
const WORD: usize = 4096;
/// Most words of a command.
const WORDS: usize = 64;

/// A system that is adopted.
#[derive(Clone, Debug, PartialEq)]
pub struct System {
    /// Which containers, what they do, where they are.
    pub ask: Ask,
    /// More of each role, by name.
    pub roles: BTreeMap<String, RoleSpec>,
    /// What canaries call in each AZ, as a URL whose host is a container.
    pub endpoints: BTreeMap<String, String>,
    /// Where it stands in the text.
    pub(crate) span: Range<usize>,
}

/// What a playbook says of the containers of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleSpec {
    /// They hold replicas: more than a minority of them is not hurt unless that is allowed.
    pub replicas: bool,
    /// How their health is found out.
    pub health: Check,
    /// How it is found out which of them leads.
    pub leader: Option<LeaderProbe>,
}

impl System {
    /// The groups whose leaders can be found out: one for each role that says how.
    pub(super) fn groups(&self) -> Groups {
        let leads = |(name, role): (&String, &RoleSpec)| role.leader.as_ref().map(|_| name.clone());
        Groups::Named(self.roles.iter().filter_map(leads).collect())
    }

    /// A mistake about the section as a whole.
    pub fn wrong(&self, source: &super::Source, message: impl Into<String>) -> super::Diagnostic {
        super::Diagnostic::at(source, self.span.clone(), message)
    }
}

/// Reads the section; `None` only if a mistake was recorded.
pub(super) fn read(t: &DeTable<'_>, span: Range<usize>, m: &mut Mistakes<'_>) -> Option<System> {
    let keys = ["compose", "containers", "label", "az", "endpoints", "role"];
    let f = Fields::new(t, span.clone(), "[system]", &keys, m);
    let which = which(&f, m);
    let zones = match f.get("az") {
        Some(value) => zones(value, m),
        None => Some(Zones::Label(AZ_LABEL.into())),
    };
    let endpoints = match f.get("endpoints") {
        Some(value) => names(
            "endpoints",
            value,
            "{ a = \"redis://cache-1:6379\" }",
            WORD,
            m,
        ),
        None => {
            m.missing(
                span.clone(),
                "[system] does not say what clients call",
                "endpoints = { a = \"redis://cache-1:6379\" }, for each AZ a URL whose host is a container",
            );
            None
        }
    };
    let mut roles = BTreeMap::new();
    let mut matches = Vec::new();
    for (role, spec) in all_roles(&f, m)? {
        if roles.insert(role.name.clone(), spec).is_some() {
            m.wrong(
                f.key_span("role"),
                format!("the role '{}' twice", role.name),
            );
        }
        matches.push(role);
    }
    Some(System {
        ask: Ask {
            which: which?,
            roles: matches,
            zones: zones?,
        },
        roles,
        endpoints: endpoints?,
        span,
    })
}

fn which(f: &Fields<'_, '_>, m: &mut Mistakes<'_>) -> Option<Which> {
    let given: Vec<&str> = ["compose", "containers", "label"]
        .into_iter()
        .filter(|key| f.get(key).is_some())
        .collect();
    match given[..] {
        ["compose"] => f.text("compose", NAME, m).map(Which::Compose),
        ["label"] => f.text("label", NAME, m).map(Which::Label),
        [_] => texts("containers", f.get("containers")?, NAME, MAX_NAMES, m).map(Which::Containers),
        [] => {
            m.missing(
                f.span.clone(),
                "[system] does not say which containers",
                "compose = \"shop\", or containers = [\"db1\", \"db2\"], or label = \"game=day\"",
            );
            None
        }
        [_, second, ..] => {
            m.wrong(
                f.key_span(second),
                "containers are chosen by one of 'compose', 'containers' and 'label'",
            );
            None
        }
    }
}

/// `{ label = "gameday.az" }`, or an AZ for each container.
fn zones(value: &super::fields::Value<'_>, m: &mut Mistakes<'_>) -> Option<Zones> {
    let mut map = names(
        "az",
        value,
        "{ label = \"gameday.az\" }, or { db1 = \"a\" }",
        NAME,
        m,
    )?;
    Some(match map.len() {
        1 if map.contains_key("label") => Zones::Label(map.remove("label")?),
        _ => Zones::Map(map),
    })
}

/// A table of texts.
fn names(
    key: &str,
    value: &super::fields::Value<'_>,
    example: &str,
    most: usize,
    m: &mut Mistakes<'_>,
) -> Option<BTreeMap<String, String>> {
    let DeValue::Table(table) = value.get_ref() else {
        let expected = format!("a table such as {example}");
        return wrong_type(key, &expected, value.get_ref(), value.span(), m);
    };
    if table.is_empty() || table.len() > MAX_NAMES {
        m.wrong(
            value.span(),
            format!("'{key}' has 1 to {MAX_NAMES} entries"),
        );
        return None;
    }
    let read = table.iter().map(|(name, value)| {
        let said = text(name.get_ref(), value, most, m)?;
        Some((name.get_ref().to_string(), said))
    });
    // All of them, so that all mistakes are told.
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

fn all_roles(f: &Fields<'_, '_>, m: &mut Mistakes<'_>) -> Option<Vec<(Role, RoleSpec)>> {
    let Some(value) = f.get("role") else {
        return Some(Vec::new());
    };
    let DeValue::Array(list) = value.get_ref() else {
        let expected = "a list: each role begins with [[system.role]], in two brackets";
        return wrong_type("role", expected, value.get_ref(), value.span(), m);
    };
    if list.len() > MAX_NAMES {
        m.wrong(value.span(), format!("at most {MAX_NAMES} roles"));
        return None;
    }
    let read = list.iter().map(|item| match item.get_ref() {
        DeValue::Table(t) => role(t, item.span(), m),
        other => wrong_type("role", "a table", other, item.span(), m),
    });
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

fn role(t: &DeTable<'_>, span: Range<usize>, m: &mut Mistakes<'_>) -> Option<(Role, RoleSpec)> {
    let keys = ["name", "match", "replicas", "health", "leader"];
    let f = Fields::new(t, span, "[[system.role]]", &keys, m);
    for (key, example) in [
        ("name", "name = \"db\""),
        ("match", "match = { service = \"db\" }"),
    ] {
        if f.get(key).is_none() {
            m.missing(f.span.clone(), format!("the role has no '{key}'"), example);
        }
    }
    let name = f.text("name", 40, m);
    let by = matching(&f, m);
    let replicas = f.flag("replicas", m).unwrap_or_default();
    let health = health(&f, m);
    let leader = match f.get("leader") {
        Some(value) => Some(leader(value, m)?),
        None => None,
    };
    let role = Role {
        name: name?,
        by: by?,
    };
    let spec = RoleSpec {
        replicas,
        health: health?,
        leader,
    };
    Some((role, spec))
}

fn table<'t, 'i>(
    key: &str,
    value: &'t super::fields::Value<'i>,
    example: &str,
    m: &mut Mistakes<'_>,
) -> Option<&'t DeTable<'i>> {
    match value.get_ref() {
        DeValue::Table(t) => Some(t),
        other => wrong_type(
            key,
            &format!("a table such as {example}"),
            other,
            value.span(),
            m,
        ),
    }
}

/// The one key of several that is given.
fn one_of<'k>(f: &Fields<'_, '_>, keys: &[&'k str], m: &mut Mistakes<'_>) -> Option<&'k str> {
    let mut given = keys.iter().copied().filter(|key| f.get(key).is_some());
    let (first, second) = (given.next(), given.next());
    if first.is_none() || second.is_some() {
        m.wrong(
            f.span.clone(),
            format!("it takes one of '{}'", keys.join("', '")),
        );
        return None;
    }
    first
}

fn matching(f: &Fields<'_, '_>, m: &mut Mistakes<'_>) -> Option<Match> {
    let value = f.get("match")?;
    let t = table("match", value, "{ service = \"db\" }", m)?;
    let keys = ["service", "label", "name"];
    let f = Fields::new(t, value.span(), "'match'", &keys, m);
    let key = one_of(&f, &keys, m)?;
    let said = f.text(key, NAME, m)?;
    Some(match key {
        "service" => Match::Service(said),
        "label" => Match::Label(said),
        _ => Match::Name(said),
    })
}

fn health(f: &Fields<'_, '_>, m: &mut Mistakes<'_>) -> Option<Check> {
    let Some(value) = f.get("health") else {
        return Some(Check::None);
    };
    if let DeValue::String(word) = value.get_ref()
        && word.as_ref() == "docker"
    {
        return Some(Check::Docker);
    }
    let example =
        "{ tcp = 5432 }, { http = 8080, path = \"/health\" } or { exec = [\"…\"] }; or \"docker\"";
    let t = table("health", value, example, m)?;
    let f = Fields::new(
        t,
        value.span(),
        "'health'",
        &["tcp", "http", "path", "exec"],
        m,
    );
    if f.get("path").is_some() && f.get("http").is_none() {
        m.wrong(f.key_span("path"), "'path' goes with 'http'");
        return None;
    }
    match one_of(&f, &["tcp", "http", "exec"], m)? {
        "tcp" => port(&f, "tcp", m).map(Check::Tcp),
        "http" => Some(Check::Http {
            port: port(&f, "http", m)?,
            path: path(&f, m)?,
        }),
        _ => command(&f, m).map(Check::Exec),
    }
}

fn port(f: &Fields<'_, '_>, key: &str, m: &mut Mistakes<'_>) -> Option<u16> {
    f.whole(key, 1..=65_535, m).map(|port| port as u16)
}

fn path(f: &Fields<'_, '_>, m: &mut Mistakes<'_>) -> Option<String> {
    let Some(value) = f.get("path") else {
        return Some("/".into());
    };
    let path = f.text("path", WORD, m)?;
    if !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic()) {
        m.wrong(
            value.span(),
            "'path' begins with a slash and is visible ASCII",
        );
        return None;
    }
    Some(path)
}

fn command(f: &Fields<'_, '_>, m: &mut Mistakes<'_>) -> Option<Vec<String>> {
    texts("exec", f.get("exec")?, WORD, WORDS, m)
}

/// `{ exec = […], leads = "exit 0" }` or `leads = { stdout = "…" }`.
fn leader(value: &super::fields::Value<'_>, m: &mut Mistakes<'_>) -> Option<LeaderProbe> {
    let example = "{ exec = [\"…\"], leads = \"exit 0\" }";
    let t = table("leader", value, example, m)?;
    let f = Fields::new(t, value.span(), "'leader'", &["exec", "leads"], m);
    if f.get("exec").is_none() {
        m.missing(f.span.clone(), "'leader' has no 'exec'", example);
        return None;
    }
    let exec = command(&f, m);
    let leads = match f.get("leads") {
        None => Some(Leads::Exit0),
        Some(value) => match value.get_ref() {
            DeValue::String(word) if word.as_ref() == "exit 0" => Some(Leads::Exit0),
            DeValue::Table(t) => {
                let f = Fields::new(t, value.span(), "'leads'", &["stdout"], m);
                f.text("stdout", NAME, m).map(Leads::Says)
            }
            other => wrong_type(
                "leads",
                "\"exit 0\", or { stdout = \"…\" }",
                other,
                value.span(),
                m,
            ),
        },
    };
    Some(LeaderProbe {
        exec: exec?,
        leads: leads?,
    })
}
