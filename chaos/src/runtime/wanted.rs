//! Which links should be silent right now: cuts add up, powered-off nodes too.

use super::Link;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a cut lasts without being renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(3);
/// How often it is renewed.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(1);

/// The state that the links should be in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    cuts: BTreeSet<Link>,
    silent: BTreeSet<String>,
}

impl Wanted {
    /// More cuts.
    pub fn cut(&mut self, links: &[Link]) {
        self.cuts.extend(links.iter().cloned());
    }

    /// Fewer cuts.
    pub fn open(&mut self, links: &[Link]) {
        for link in links {
            self.cuts.remove(link);
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

    /// Whether nothing is cut.
    pub fn is_empty(&self) -> bool {
        self.cuts.is_empty() && self.silent.is_empty()
    }

    /// Every link that must carry nothing, among these units.
    pub fn closed<'a>(&self, units: impl Iterator<Item = &'a str> + Clone) -> BTreeSet<Link> {
        let mut closed = self.cuts.clone();
        for node in &self.silent {
            for other in units.clone().filter(|u| u != node) {
                closed.insert(Link {
                    from: node.clone(),
                    to: other.to_string(),
                });
                closed.insert(Link {
                    from: other.to_string(),
                    to: node.clone(),
                });
            }
        }
        closed
    }

    /// The cuts alone.
    pub fn cuts(&self) -> impl Iterator<Item = &Link> {
        self.cuts.iter()
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
    fn power_back_does_not_mend_a_partition() {
        let units = ["a", "b", "c"];
        let mut wanted = Wanted::default();
        wanted.cut(&[link("a", "b")]);
        wanted.silence("a");
        let closed = wanted.closed(units.into_iter());
        let all = [
            link("a", "b"),
            link("a", "c"),
            link("b", "a"),
            link("c", "a"),
        ];
        assert_eq!(closed, BTreeSet::from(all));
        wanted.unsilence("a");
        assert_eq!(
            wanted.closed(units.into_iter()),
            BTreeSet::from([link("a", "b")])
        );
        wanted.open(&[link("a", "b"), link("b", "c")]);
        assert!(wanted.is_empty());
    }
}
