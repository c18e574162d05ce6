//! The replication groups that a playbook can name.

use super::fields::clip;
use super::suggest::hint;

/// Which there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Groups {
    /// Of every table so many, named `<table>/<number>`; a table's name alone stands for all of
    /// them.
    Partitions {
        /// Names of the tables.
        tables: Vec<String>,
        /// Groups of each.
        each: u32,
    },
    /// These, by names of their own.
    Named(Vec<String>),
    /// What there is could not be read: of any name nothing is said.
    Unread,
}

impl Groups {
    /// Checks that a name means at least one of them.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub(super) fn check(&self, name: &str) -> Result<(), (String, Option<String>)> {
        match self {
            Groups::Partitions { tables, each } => partition(name, tables, *each),
            Groups::Unread => Ok(()),
            Groups::Named(groups) if groups.iter().any(|g| g == name) => Ok(()),
            Groups::Named(groups) if groups.is_empty() => {
                let help = "say in its [[system.role]] how a leader is known: leader = { … }";
                Err((
                    "no role has a leader that is known".into(),
                    Some(help.into()),
                ))
            }
            Groups::Named(groups) => {
                let known: Vec<&str> = groups.iter().map(String::as_str).collect();
                let message = format!("no group '{}' has a leader that is known", clip(name));
                Err((message, Some(hint(name, &known))))
            }
        }
    }

    /// Whether a name that was checked means exactly one of them.
    pub(crate) fn is_one(&self, name: &str) -> bool {
        match self {
            Groups::Partitions { .. } => name.contains('/'),
            Groups::Named(_) | Groups::Unread => true,
        }
    }

    /// One of them, for examples.
    pub(super) fn example(&self) -> String {
        match self {
            Groups::Partitions { tables, .. } => {
                format!("{}/0", tables.first().map_or("canary", String::as_str))
            }
            Groups::Named(groups) => groups.first().map_or("db", String::as_str).to_string(),
            Groups::Unread => "db".into(),
        }
    }
}

fn partition(name: &str, tables: &[String], each: u32) -> Result<(), (String, Option<String>)> {
    let table = match name.rsplit_once('/') {
        None => name,
        Some((table, number)) => {
            let number = number.parse::<u32>().ok().filter(|_| !table.is_empty());
            let number = number.ok_or_else(|| {
                let message = format!(
                    "a replication group is named <table>/<partition>, for example \"canary/0\", \
                     not '{}'",
                    clip(name)
                );
                (message, None)
            })?;
            if number >= each {
                let last = each.saturating_sub(1);
                let message = format!("tables have {each} partitions, numbered from 0 to {last}");
                return Err((message, None));
            }
            table
        }
    };
    if tables.iter().any(|t| t == table) {
        return Ok(());
    }
    let known: Vec<&str> = tables.iter().map(String::as_str).collect();
    let message = format!(
        "there is no table '{}' that anybody leads: canaries make none",
        clip(table)
    );
    Err((message, Some(hint(table, &known))))
}
