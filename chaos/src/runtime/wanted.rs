//! How the links should be right now: cuts and what is done to their traffic
//! add up, powered-off nodes too.

use super::Link;
use super::traffic::Traffic;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a fault of a link lasts without being renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(3);
/// How often it is renewed.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(1);

/// Whether a direction carries anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Gate {
    /// It does.
    #[default]
    Open,
    /// It stalls; nothing is reset.
    Cut,
    /// Whoever sends is reset.
    Reject,
}

/// How a direction is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setting {
    /// Whether it carries.
    pub gate: Gate,
    /// How well; a stream of bytes has delay, jitter and rate only.
    pub traffic: Traffic,
}

/// The state that the links should be in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    cuts: BTreeMap<Link, Gate>,
    shaped: BTreeMap<Link, Traffic>,
    silent: BTreeSet<String>,
}

impl Wanted {
    /// More links that carry nothing.
    pub fn cut(&mut self, links: &[Link], gate: Gate) {
        self.cuts
            .extend(links.iter().map(|link| (link.clone(), gate)));
    }

    /// Fewer of them.
    pub fn open(&mut self, links: &[Link]) {
        for link in links {
            self.cuts.remove(link);
        }
    }

    /// The traffic of these links is like this from now on.
    pub fn shape(&mut self, links: &[Link], traffic: Traffic) {
        self.shaped
            .extend(links.iter().map(|link| (link.clone(), traffic)));
    }

    /// It is as it was.
    pub fn unshape(&mut self, links: &[Link]) {
        for link in links {
            self.shaped.remove(link);
        }
    }

    /// A node that loses its power.
    pub fn silence(&mut self, node: &str) {
        self.silent.insert(node.to_string());
    }

    /// A node that gets it back; cuts of its links stay.
    pub fn unsilence(&mut self, node: &str) {
        self.silent.remove(node);
    }

    /// Whether the node has no power.
    pub fn is_silent(&self, node: &str) -> bool {
        self.silent.contains(node)
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.cuts.is_empty() && self.shaped.is_empty() && self.silent.is_empty()
    }

    /// Every link that is not as it was, among these units.
    pub fn settings<'a>(
        &self,
        units: impl Iterator<Item = &'a str> + Clone,
    ) -> BTreeMap<Link, Setting> {
        let mut all: BTreeMap<Link, Setting> = BTreeMap::new();
        for (link, traffic) in &self.shaped {
            all.entry(link.clone()).or_default().traffic = *traffic;
        }
        for (link, gate) in &self.cuts {
            all.entry(link.clone()).or_default().gate = *gate;
        }
        // Without power nothing is rejected either.
        for node in &self.silent {
            for other in units.clone().filter(|u| u != node) {
                for (from, to) in [(node.as_str(), other), (other, node.as_str())] {
                    let link = Link {
                        from: from.to_string(),
                        to: to.to_string(),
                    };
                    all.entry(link).or_default().gate = Gate::Cut;
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(from: &str, to: &str) -> Link {
        Link {
            from: from.into(),
            to: to.into(),
        }
    }

    #[test]
    fn power_back_mends_neither_a_partition_nor_a_slow_link() {
        let units = ["a", "b", "c"];
        let closed = |wanted: &Wanted| -> Vec<(Link, Gate)> {
            let all = wanted.settings(units.into_iter());
            all.into_iter().map(|(link, s)| (link, s.gate)).collect()
        };
        let slow = Traffic {
            delay: Duration::from_millis(5),
            ..Traffic::default()
        };
        let mut wanted = Wanted::default();
        wanted.cut(&[link("a", "b")], Gate::Reject);
        wanted.shape(&[link("a", "c")], slow);
        wanted.silence("a");
        let all = [("a", "b"), ("a", "c"), ("b", "a"), ("c", "a")];
        let all = all.map(|(from, to)| (link(from, to), Gate::Cut));
        assert_eq!(closed(&wanted), all);
        wanted.unsilence("a");
        assert_eq!(
            closed(&wanted),
            [(link("a", "b"), Gate::Reject), (link("a", "c"), Gate::Open)]
        );
        let settings = wanted.settings(units.into_iter());
        assert_eq!(settings[&link("a", "c")].traffic, slow);
        wanted.open(&[link("a", "b"), link("b", "c")]);
        assert!(!wanted.is_empty());
        wanted.unshape(&[link("a", "c")]);
        assert!(wanted.is_empty());
    }
}
