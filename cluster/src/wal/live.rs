//! What of the log still matters, and in which segments it is: decides when a
//! segment may go and what a new one must repeat.

use super::Record;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Per group: where live entries are, and the small states.
#[derive(Debug, Default)]
pub(super) struct Live {
    groups: BTreeMap<u64, Group>,
}

#[derive(Debug, Default)]
struct Group {
    /// By segment: lowest and highest index of live entries in it. Entries that
    /// were replaced count until they are purged or truncated: a segment is
    /// kept too long rather than too short.
    spans: BTreeMap<u64, (u64, u64)>,
    states: BTreeMap<u8, Bytes>,
    purged: Option<u64>,
}

impl Live {
    /// Notes a record written to a segment; `repeated` in its head.
    pub fn note(&mut self, segment: u64, record: &Record, repeated: bool) {
        match record {
            Record::Entry { group, index, .. } => {
                let spans = &mut self.groups.entry(*group).or_default().spans;
                let span = spans.entry(segment).or_insert((*index, *index));
                *span = (span.0.min(*index), span.1.max(*index));
            }
            Record::Truncate { group, from_index } => {
                if let Some(g) = self.groups.get_mut(group) {
                    g.spans.retain(|_, span| {
                        span.1 = span.1.min(from_index.saturating_sub(1));
                        span.0 < *from_index
                    });
                }
            }
            Record::State { group, kind, body } => {
                let states = &mut self.groups.entry(*group).or_default().states;
                states.insert(*kind, body.clone());
            }
            Record::Purge { group, up_to_index } => {
                let g = self.groups.entry(*group).or_default();
                g.purged = g.purged.max(Some(*up_to_index));
                if repeated {
                    return;
                }
                g.spans.retain(|_, span| {
                    span.0 = span.0.max(up_to_index.saturating_add(1));
                    span.1 > *up_to_index
                });
            }
            Record::DropGroup { group } => {
                self.groups.remove(group);
            }
        }
    }

    /// The oldest segment with a live entry.
    pub fn oldest_needed(&self) -> Option<u64> {
        self.groups
            .values()
            .filter_map(|g| g.spans.keys().next().copied())
            .min()
    }

    /// What a new segment repeats, so that older ones hold nothing else that matters.
    pub fn head(&self) -> Vec<Record> {
        let mut out = Vec::new();
        for (&group, g) in &self.groups {
            out.extend(
                g.purged
                    .map(|up_to_index| Record::Purge { group, up_to_index }),
            );
            out.extend(g.states.iter().map(|(&kind, body)| Record::State {
                group,
                kind,
                body: body.clone(),
            }));
        }
        out
    }
}
