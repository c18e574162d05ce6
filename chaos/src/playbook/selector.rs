//! How a playbook names a target.
//!
//! The keys of one table hold together: `{ az = "b", role = "storage" }` is
//! the storage nodes of AZ b. A list is any of its tables. A draw (`random`,
//! `percent`, `minority`, `majority`) chooses among what the other keys of
//! its table leave.

use super::fields::{Fields, Mistakes, Value, clip, text, wrong_type};
use super::groups::Groups;
use std::collections::BTreeMap;
use std::fmt;
use toml::de::DeValue;

/// Most tables or names in a list.
const MOST: usize = 100;
/// Deepest nesting of `not`.
const DEEPEST: usize = 4;

/// Names a target; resolved when planning, and what depends on who leads only
/// when injecting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Every node.
    All,
    /// One node by name.
    Node(String),
    /// Every node of one AZ.
    Az(String),
    /// Every node of one rack.
    Rack(String),
    /// Every node of a role.
    Role(String),
    /// Every node that carries a label.
    Label(String),
    /// Whoever leads this replication group, or any group of this table, at
    /// the moment of injection.
    Leader(String),
    /// Whoever holds a replica of this group, or of any group of this table,
    /// and does not lead it, at the moment of injection.
    Followers(String),
    /// The nodes that all of these name; at least two.
    Every(Vec<Selector>),
    /// The nodes that any of these names; at least two.
    Any(Vec<Selector>),
    /// Every other node.
    Not(Box<Selector>),
    /// Some of these, chosen by the seed.
    Draw(Draw, Box<Selector>),
}

/// How many are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// So many nodes; at least one.
    Count(u32),
    /// So many percent of the nodes, 1 to 100, rounded up.
    Percent(u32),
    /// The nodes of as many AZs as a quorum can lose.
    Minority,
    /// The nodes of as many AZs as make a quorum.
    Majority,
}

impl Selector {
    /// Whether it depends on who leads.
    pub fn names_leaders(&self) -> bool {
        match self {
            Selector::Leader(_) | Selector::Followers(_) => true,
            Selector::Every(all) | Selector::Any(all) => all.iter().any(Selector::names_leaders),
            Selector::Not(inner) | Selector::Draw(_, inner) => inner.names_leaders(),
            Selector::All
            | Selector::Node(_)
            | Selector::Az(_)
            | Selector::Rack(_)
            | Selector::Role(_)
            | Selector::Label(_) => false,
        }
    }
}

/// As it reads in plans, timelines and reports.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, all: &[Selector], word: &str| {
            for (i, one) in all.iter().enumerate() {
                if i > 0 {
                    write!(f, " {word} ")?;
                }
                match one {
                    Selector::Every(_) | Selector::Any(_) => write!(f, "({one})")?,
                    _ => write!(f, "{one}")?,
                }
            }
            Ok(())
        };
        match self {
            Selector::All => write!(f, "all"),
            Selector::Node(n) => write!(f, "node {n}"),
            Selector::Az(az) => write!(f, "az {az}"),
            Selector::Rack(rack) => write!(f, "rack {rack}"),
            Selector::Role(role) => write!(f, "all {role}"),
            Selector::Label(label) => write!(f, "label {label}"),
            Selector::Leader(group) => write!(f, "leader of {group}"),
            Selector::Followers(group) => write!(f, "followers of {group}"),
            Selector::Every(all) => list(f, all, "and"),
            Selector::Any(all) => list(f, all, "or"),
            Selector::Not(inner) => write!(f, "not ({inner})"),
            Selector::Draw(draw, inner) => match (draw, inner.as_ref()) {
                (Draw::Count(n), Selector::All) => write!(f, "random {n}"),
                (Draw::Count(n), Selector::Role(role)) => write!(f, "random {n} {role}"),
                (Draw::Count(n), inner) => write!(f, "random {n} of ({inner})"),
                (Draw::Percent(n), inner) => write!(f, "random {n}% of ({inner})"),
                (Draw::Minority, Selector::All) => write!(f, "a minority of AZs"),
                (Draw::Majority, Selector::All) => write!(f, "a majority of AZs"),
                (Draw::Minority, inner) => write!(f, "a minority of AZs of ({inner})"),
                (Draw::Majority, inner) => write!(f, "a majority of AZs of ({inner})"),
            },
        }
    }
}

const FILTERS: &[&str] = &[
    "node",
    "az",
    "rack",
    "role",
    "label",
    "all",
    "leader",
    "followers",
    "not",
];
const DRAWS: &[&str] = &["random", "percent", "minority", "majority"];

/// Reads `target = { … }` or `target = [{ … }, …]`; `None` only if a mistake
/// was recorded.
pub(super) fn read(value: &Value<'_>, groups: &Groups, m: &mut Mistakes<'_>) -> Option<Selector> {
    nested(value, groups, 0, m)
}

fn nested(
    value: &Value<'_>,
    groups: &Groups,
    depth: usize,
    m: &mut Mistakes<'_>,
) -> Option<Selector> {
    if depth > DEEPEST {
        m.wrong(
            value.span(),
            format!("a target is nested at most {DEEPEST} deep"),
        );
        return None;
    }
    match value.get_ref() {
        DeValue::Table(table) => {
            let known: Vec<&str> = FILTERS.iter().chain(DRAWS).copied().collect();
            let f = Fields::new(table, value.span(), "a target", &known, m);
            one_table(&f, value, groups, depth, m)
        }
        DeValue::Array(list) if depth == 0 || !list.is_empty() => {
            if list.is_empty() || list.len() > MOST {
                m.wrong(
                    value.span(),
                    format!("a list of targets has 1 to {MOST} tables"),
                );
                return None;
            }
            let all: Vec<Option<Selector>> = list
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::Table(_) => nested(item, groups, depth, m),
                    other => wrong_type(
                        "target",
                        "a list of tables such as { az = \"b\" }",
                        other,
                        item.span(),
                        m,
                    ),
                })
                .collect();
            any_of(all.into_iter().collect::<Option<Vec<_>>>()?)
        }
        other => wrong_type(
            "target",
            "a table such as { az = \"b\" }",
            other,
            value.span(),
            m,
        ),
    }
}

/// Any of these; of one, that one.
fn any_of(mut all: Vec<Selector>) -> Option<Selector> {
    match all.len() {
        0 => None,
        1 => all.pop(),
        _ => Some(Selector::Any(all)),
    }
}

fn one_table(
    f: &Fields<'_, '_>,
    value: &Value<'_>,
    groups: &Groups,
    depth: usize,
    m: &mut Mistakes<'_>,
) -> Option<Selector> {
    let present = |keys: &[&'static str]| {
        let mut all: Vec<&'static str> = keys
            .iter()
            .copied()
            .filter(|k| f.get(k).is_some())
            .collect();
        all.sort_by_key(|k| f.key_span(k).start);
        all
    };
    let draws = present(DRAWS);
    if let [_, second, ..] = draws.as_slice() {
        m.wrong(
            f.key_span(second),
            format!("a target is drawn once; here are {}", draws.join(", ")),
        );
        return None;
    }
    let filters = present(FILTERS);
    if filters.is_empty() && draws.is_empty() {
        m.missing(
            value.span(),
            "the target selects nothing",
            "for example { node = \"storage-a1\" }, { az = \"b\" }, { leader = \"canary/0\" }, \
             { role = \"storage\", random = 1 }",
        );
        return None;
    }
    let read: Vec<Option<Selector>> = filters
        .iter()
        .map(|key| filter(key, f.get(key)?, groups, depth, m))
        .collect();
    let mut read = read.into_iter().collect::<Option<Vec<_>>>()?;
    // Every node, and something else besides: the something else.
    if read.len() > 1 {
        read.retain(|s| *s != Selector::All);
    }
    let from = match read.len() {
        0 => Selector::All,
        1 => read.remove(0),
        _ => Selector::Every(read),
    };
    let Some(key) = draws.first() else {
        return Some(from);
    };
    let draw = match *key {
        "random" => Draw::Count(f.whole("random", 1..=1000, m)? as u32),
        "percent" => Draw::Percent(f.whole("percent", 1..=100, m)? as u32),
        key => {
            if !f.flag(key, m)? {
                m.wrong(
                    f.key_span(key),
                    format!("'{key}' is true, or it is left out"),
                );
                return None;
            }
            if key == "minority" {
                Draw::Minority
            } else {
                Draw::Majority
            }
        }
    };
    Some(Selector::Draw(draw, Box::new(from)))
}

fn filter(
    key: &str,
    value: &Value<'_>,
    groups: &Groups,
    depth: usize,
    m: &mut Mistakes<'_>,
) -> Option<Selector> {
    if key == "not" {
        let inner = nested(value, groups, depth + 1, m)?;
        return Some(Selector::Not(Box::new(inner)));
    }
    if let ("all", DeValue::Boolean(yes)) = (key, value.get_ref()) {
        if !yes {
            m.wrong(
                value.span(),
                "'all' is true, or the role whose nodes are all meant",
            );
            return None;
        }
        return Some(Selector::All);
    }
    let DeValue::Array(list) = value.get_ref() else {
        return named(key, value, groups, m);
    };
    if list.is_empty() || list.len() > MOST {
        m.wrong(
            value.span(),
            format!("'{key}' is a name or 1 to {MOST} names"),
        );
        return None;
    }
    let all: Vec<Option<Selector>> = list.iter().map(|v| named(key, v, groups, m)).collect();
    any_of(all.into_iter().collect::<Option<Vec<_>>>()?)
}

fn named(key: &str, value: &Value<'_>, groups: &Groups, m: &mut Mistakes<'_>) -> Option<Selector> {
    let make = match key {
        "node" => Selector::Node,
        "az" => Selector::Az,
        "rack" => Selector::Rack,
        "label" => Selector::Label,
        "all" | "role" => Selector::Role,
        key => {
            let group = text(key, value, 300, m)?;
            if let Err((message, help)) = groups.check(&group) {
                match help {
                    Some(help) => m.wrong_help(value.span(), message, help),
                    None => m.wrong(value.span(), message),
                }
                return None;
            }
            return Some(match key {
                "leader" => Selector::Leader(group),
                _ => Selector::Followers(group),
            });
        }
    };
    text(key, value, 40, m).map(make)
}

/// Reads `[cluster.labels]`: `name = ["node", …]`. Whether the nodes exist is
/// seen when a selector names the label.
pub(super) fn labels(value: &Value<'_>, m: &mut Mistakes<'_>) -> BTreeMap<String, Vec<String>> {
    let mut out = BTreeMap::new();
    let DeValue::Table(table) = value.get_ref() else {
        let _: Option<()> = wrong_type(
            "labels",
            "a table such as { old-disks = [\"storage-a1\"] }",
            value.get_ref(),
            value.span(),
            m,
        );
        return out;
    };
    if table.len() > MOST {
        m.wrong(
            value.span(),
            format!("{} labels; at most {MOST}", table.len()),
        );
        return out;
    }
    for (key, nodes) in table.iter() {
        let label: &str = key.get_ref();
        match nodes.get_ref() {
            DeValue::Array(list) if (1..=MOST).contains(&list.len()) => {
                let names = list.iter().filter_map(|n| text("node", n, 40, m)).collect();
                out.insert(clip(label), names);
            }
            _ => m.wrong(
                nodes.span(),
                format!(
                    "the label '{}' is a list of 1 to {MOST} nodes: [\"storage-a1\"]",
                    clip(label)
                ),
            ),
        }
    }
    out
}
