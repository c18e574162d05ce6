//! The playbook: a TOML file that declares one experiment.
//!
//! Reading is strict, and tells *all* mistakes at once with line and column:
//! the text is parsed into a tree that remembers places, and the tree is
//! walked by hand.

mod alarms;
mod clients;
pub mod diagnostic;
mod fields;
mod groups;
mod measuring;
mod promises;
mod random;
mod resources;
mod sections;
mod selection;
mod selector;
mod step;
mod steps;
pub mod suggest;
mod system;
mod traffic;
mod until;
pub mod values;
mod words;
mod workload;

pub use diagnostic::{Diagnostic, Source, render};
pub use measuring::Measuring;
pub use sections::Baseline;
pub use selector::{Draw, Selector};
pub use step::{Random, Start, Step, Weighted};
pub use system::{RoleSpec, System};
pub use until::Until;

use fields::{Fields, MAX_BYTES, Mistakes, section};
use gameday_record::ClusterSpec;
pub(crate) use groups::Groups;
use std::io::Read;
use std::path::Path;
use std::time::Duration;
use toml::de::DeTable;

/// One experiment, checked: every name in it that does not depend on the
/// topology refers to something.
#[derive(Clone, Debug, PartialEq)]
pub struct Playbook {
    /// Title of the report.
    pub title: String,
    /// What it is for, in a few sentences; may be empty.
    pub description: String,
    /// Seed of every random choice, if the playbook fixes it.
    pub seed: Option<u64>,
    /// Whether steps may take more than a minority of replicas.
    pub allow_quorum_loss: bool,
    /// Whether steps may destroy what nodes have stored.
    pub allow_data_loss: bool,
    /// The store to start, unless a system is adopted.
    pub cluster: ClusterSpec,
    /// What is adopted instead.
    pub system: Option<System>,
    /// The groups whose leaders its targets can name.
    pub(crate) groups: Groups,
    /// What the canaries do, what must hold, and what would wake somebody.
    pub measuring: Measuring,
    /// How the healthy cluster is measured before any fault.
    pub baseline: Baseline,
    /// What is broken, in the order of the file.
    pub steps: Vec<Step>,
    /// What is drawn by the seed besides; there are steps, or this, or both.
    pub random: Option<Random>,
    /// How long is measured after everything is reverted.
    pub cooldown: Duration,
    /// The text that was read, for messages and for the run folder.
    pub source: Source,
}

/// Name of the first table that canaries use, unless it is chosen elsewhere.
pub const TABLE: &str = "canary";

const SECTIONS: [&str; 11] = [
    "playbook",
    "cluster",
    "system",
    measuring::SECTIONS[0],
    measuring::SECTIONS[1],
    measuring::SECTIONS[2],
    measuring::SECTIONS[3],
    "baseline",
    "step",
    "random",
    "cooldown",
];

impl Playbook {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is too large or not UTF-8; or every mistake in it.
    pub fn read(path: &Path) -> Result<Playbook, Vec<Diagnostic>> {
        let name = path.display().to_string();
        let refuse = |why: String| vec![Diagnostic::whole(name.clone(), why)];
        let file = std::fs::File::open(path)
            .map_err(|e| refuse(format!("the playbook cannot be read: {e}")))?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| refuse(format!("the playbook cannot be read: {e}")))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(refuse(format!(
                "a playbook is at most {} KiB",
                MAX_BYTES >> 10
            )));
        }
        let text = String::from_utf8(bytes)
            .map_err(|e| refuse(format!("a playbook is UTF-8 text: {}", e.utf8_error())))?;
        Playbook::parse(&name, &text)
    }

    /// Reads a text; `name` stands for it in messages.
    ///
    /// # Errors
    /// Every mistake in it, in the order of the text.
    pub fn parse(name: &str, text: &str) -> Result<Playbook, Vec<Diagnostic>> {
        // Some editors mark UTF-8 with a byte order mark; it is no column.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let source = Source {
            name: name.into(),
            text: text.into(),
        };
        if text.len() as u64 > MAX_BYTES {
            let why = format!("a playbook is at most {} KiB", MAX_BYTES >> 10);
            return Err(vec![Diagnostic::whole(name, why)]);
        }
        let mut m = Mistakes::new(&source);
        let (tree, errors) = DeTable::parse_recoverable(text);
        for e in &errors {
            m.syntax(e);
        }
        let read = read_tree(tree.get_ref(), &mut m);
        match read {
            Some(playbook) if m.none() => Ok(Playbook { source, ..playbook }),
            _ => Err(m.finish()),
        }
    }
}

/// The whole tree; `None` only if a mistake was recorded.
fn read_tree(root: &DeTable<'_>, m: &mut Mistakes<'_>) -> Option<Playbook> {
    let top = Fields::new(root, 0..0, "the playbook", &SECTIONS, m);
    let head = section(&top, "playbook", m).map(|(t, span)| sections::head(t, span, m));
    if top.get("playbook").is_none() {
        m.missing(
            0..0,
            "there is no [playbook] section",
            "begin with:\n[playbook]\ntitle = \"…\"",
        );
    }
    let cluster = section(&top, "cluster", m)
        .map(|(t, span)| sections::cluster(t, span, m))
        .unwrap_or_default();
    let system = section(&top, "system", m).map(|(t, span)| system::read(t, span, m));
    if system.is_some() && top.get("cluster").is_some() {
        m.wrong(
            top.key_span("cluster"),
            "a playbook is about a [system] that is adopted or a [cluster] that is started, not both",
        );
    }
    let measuring = measuring::read(&top, TABLE, m);
    let baseline = section(&top, "baseline", m)
        .map(|(t, span)| sections::baseline(t, span, m))
        .unwrap_or_default();
    let cooldown = section(&top, "cooldown", m).map_or(sections::COOLDOWN, |(t, span)| {
        sections::cooldown(t, span, m)
    });
    let groups = match &system {
        Some(Some(system)) => system.groups(),
        // The mistakes of its steps are told with its own.
        Some(None) => Groups::Unread,
        None => Groups::Partitions {
            tables: measuring.workload.table_names(TABLE),
            each: cluster.partitions,
        },
    };
    let random = random::read(&top, &groups, m);
    let steps = steps::read(&top, &groups, &measuring.alarms, m);
    let head = head.flatten()?;
    let system = match system {
        Some(read) => Some(read?),
        None => None,
    };
    Some(Playbook {
        title: head.title,
        description: head.description,
        seed: head.seed,
        allow_quorum_loss: head.allow_quorum_loss,
        allow_data_loss: head.allow_data_loss,
        cluster,
        system,
        groups,
        measuring,
        baseline,
        steps,
        random,
        cooldown,
        source: Source {
            name: String::new(),
            text: String::new(),
        },
    })
}
