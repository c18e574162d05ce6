//! Whether a container's owner has lent it: by a label on it, or whoever runs
//! the game day has typed whose containers may be touched. A playbook is data
//! that can be copied, and consents to nothing.

use super::CONSENT_LABEL;
use super::found::Found;
use super::refuse::{Part, Refusal};
use std::collections::BTreeSet;
use std::fmt;

/// Who has agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// A label on the container.
    Label,
    /// Whoever runs the game day, who typed the name of its project, or its own.
    Typed(String),
}

impl fmt::Display for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Consent::Label => write!(f, "its label {CONSENT_LABEL}=yes"),
            Consent::Typed(name) => write!(f, "--adopt {name}"),
        }
    }
}

/// Whether this container may be touched; `adopted` are the names that were typed.
///
/// # Errors
/// Nobody has agreed, or its owner says no, which always wins.
pub fn consent(found: &Found, adopted: &BTreeSet<String>) -> Result<Consent, Refusal> {
    let project = found.project();
    let whom = project.unwrap_or(&found.name);
    let help = format!("--adopt {whom}, or the label {CONSENT_LABEL}=yes on the container");
    let refuse = |why: String, help: String| Refusal::new(found, Part::Everything, why, help);
    match found.label(CONSENT_LABEL) {
        Some("no") => {
            return Err(refuse(
                format!("its owner keeps it: it has the label {CONSENT_LABEL}=no"),
                "to ask its owner; --adopt does not overrule it".into(),
            ));
        }
        Some("yes") => return Ok(Consent::Label),
        Some(other) => {
            return Err(refuse(
                format!("its label {CONSENT_LABEL}={other} says neither yes nor no"),
                format!("{CONSENT_LABEL}=yes or {CONSENT_LABEL}=no"),
            ));
        }
        None => {}
    }
    let mut names = project.into_iter().chain([found.name.as_str()]);
    match names.find(|name| adopted.contains(*name)) {
        Some(name) => Ok(Consent::Typed(name.into())),
        None => Err(refuse("nobody has lent it to a game day".into(), help)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::docker::adopted::examples::container;

    fn labelled(label: Option<&str>) -> Found {
        let mut found = container("db", 1);
        found.labels.remove(CONSENT_LABEL);
        if let Some(label) = label {
            found.labels.insert(CONSENT_LABEL.into(), label.into());
        }
        found
    }

    #[test]
    fn a_label_or_a_typed_name_agrees_and_a_no_always_wins() {
        let typed = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
        let by = |name: &str| Ok(Consent::Typed(name.into()));
        for (label, names, expected) in [
            (Some("yes"), &[][..], Ok(Consent::Label)),
            (None, &["shop"], by("shop")),
            (None, &["shop-db-1"], by("shop-db-1")),
            (None, &[], Err("nobody has lent it")),
            (None, &["other"], Err("nobody has lent it")),
            (
                Some("no"),
                &["shop", "shop-db-1"],
                Err("its owner keeps it"),
            ),
            (Some("maybe"), &["shop"], Err("neither yes nor no")),
        ] {
            let said = consent(&labelled(label), &typed(names));
            match (&said, &expected) {
                (Ok(said), Ok(expected)) => assert_eq!(said, expected),
                (Err(refusal), Err(part)) => assert!(refusal.why.contains(part), "{refusal}"),
                _ => panic!("{said:?} instead of {expected:?}"),
            }
        }
    }
}
