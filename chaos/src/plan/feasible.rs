//! Whether the faults of a playbook can be made in a place.

use crate::abilities::{Abilities, Offer, Refusal};
use crate::faults::{FaultKind, Params};
use crate::playbook::{Diagnostic, Playbook, Step};
use crate::runtime::program;
use std::collections::BTreeSet;

impl Abilities {
    /// By what techniques a fault would be made here.
    ///
    /// # Errors
    /// What is missing, and what would help.
    pub fn of(&self, fault: FaultKind, params: &Params) -> Result<Vec<&str>, Refusal> {
        let mut by = Vec::new();
        for need in fault.needs(params) {
            match self.offers.get(need) {
                Some(Offer::By(technique)) if by.contains(&technique.as_str()) => {}
                Some(Offer::By(technique)) => by.push(technique.as_str()),
                Some(Offer::Not { why, instead }) => {
                    return Err(Refusal {
                        why: why.clone(),
                        instead: instead.clone(),
                    });
                }
                None => {
                    return Err(Refusal {
                        why: format!("the {} runtime does not offer it", self.runtime),
                        instead: None,
                    });
                }
            }
        }
        Ok(by)
    }

    /// Every fault of the playbook that cannot be made here, where it stands.
    pub fn refuse(&self, playbook: &Playbook) -> Vec<Diagnostic> {
        let mut told = BTreeSet::new();
        let mut all = Vec::new();
        for step in steps(playbook) {
            if let Err(refusal) = self.of(step.fault, &step.params)
                && told.insert(step.span.start)
            {
                let message = format!(
                    "{} is not possible in the {} runtime here: {}",
                    step.fault.name(),
                    self.runtime,
                    refusal.why
                );
                let mut d = Diagnostic::at(&playbook.source, step.span.clone(), message);
                d.help = refusal.instead;
                all.push(d);
            }
        }
        all
    }
}

/// Every program that nodes should be upgraded to and that cannot be read, where it is asked for.
pub fn unreadable(playbook: &Playbook) -> Vec<Diagnostic> {
    let wrong = |step: &Step| {
        let why = program::open(step.params.binary.as_deref()?).err()?;
        let mut d = Diagnostic::at(&playbook.source, step.span.clone(), why);
        d.help = Some("a path is taken from where gameday is run".into());
        Some(d)
    };
    steps(playbook).filter_map(wrong).collect()
}

/// Every step, also those that may be drawn.
fn steps(playbook: &Playbook) -> impl Iterator<Item = &Step> {
    let drawn = playbook.random.iter().flat_map(|r| &r.faults);
    playbook.steps.iter().chain(drawn.map(|w| &w.step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abilities::Ability;

    const PLAYBOOK: &str = "[playbook]\ntitle = \"t\"\n\n[[step]]\nfault = \"kill\"\n\
        target = { node = \"storage-a1\" }\nat = \"0s\"\nfor = \"1s\"\n";

    fn place(offer: Option<Offer>) -> Abilities {
        Abilities {
            runtime: "process",
            offers: offer.map(|o| (Ability::Processes, o)).into_iter().collect(),
        }
    }

    #[test]
    fn a_fault_that_a_place_cannot_make_is_refused_where_it_stands() {
        let playbook = Playbook::parse("p.toml", PLAYBOOK).unwrap();
        let not = Offer::Not {
            why: "no signals".into(),
            instead: Some("use others".into()),
        };
        let refused = place(Some(not)).refuse(&playbook);
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].place.as_ref().unwrap().line, 4);
        assert!(refused[0].message.contains("no signals"), "{refused:?}");
        assert_eq!(refused[0].help.as_deref(), Some("use others"));
        assert_eq!(place(None).refuse(&playbook).len(), 1);
        assert_eq!(unreadable(&playbook), []);
        assert_eq!(
            place(Some(Offer::By("signals".into()))).refuse(&playbook),
            []
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_refused_where_it_is_asked_for() {
        let text = PLAYBOOK.replace("\"kill\"", "\"rolling-upgrade\"\nbinary = \"/nowhere/x\"");
        let playbook = Playbook::parse("p.toml", &text).unwrap();
        let refused = unreadable(&playbook);
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].place.as_ref().unwrap().line, 4);
        assert!(refused[0].message.contains("/nowhere/x"), "{refused:?}");
    }
}
