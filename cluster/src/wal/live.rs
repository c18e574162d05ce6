//! What of the log still matters, and in which segments it is: decides when a
//! segment may go, what a new one must repeat, and what has to be written once
//! more so that an old one can go.

use super::Record;
use super::format::encoded_len;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Segments that a log may have whatever little is live in it.
const FEW_SEGMENTS: u64 = 4;

/// Per group: where live entries are, and the small states.
#[derive(Debug, Default)]
pub(super) struct Live {
    groups: BTreeMap<u64, Group>,
    /// Segments with live entries, and how much is live in each.
    segments: BTreeMap<u64, Amount>,
}

#[derive(Debug, Default)]
struct Group {
    /// Where the record that counts stands, for each index.
    entries: BTreeMap<u64, Place>,
    states: BTreeMap<u8, Bytes>,
    purged: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    segment: u64,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    entries: u64,
    bytes: u64,
}

impl Live {
    /// Notes a record written to a segment; `repeated` in its head.
    pub fn note(&mut self, segment: u64, record: &Record, repeated: bool) {
        match record {
            Record::Entry { group, index, .. } => {
                let bytes = encoded_len(record) as u64;
                let amount = self.segments.entry(segment).or_default();
                amount.entries += 1;
                amount.bytes += bytes;
                let entries = &mut self.groups.entry(*group).or_default().entries;
                let replaced = entries.insert(*index, Place { segment, bytes });
                self.free(replaced);
            }
            Record::Truncate { group, from_index } => {
                if let Some(g) = self.groups.get_mut(group) {
                    let gone = g.entries.split_off(from_index);
                    self.free(gone.into_values());
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
                let kept = match up_to_index.checked_add(1) {
                    Some(from) => g.entries.split_off(&from),
                    None => BTreeMap::new(),
                };
                let gone = std::mem::replace(&mut g.entries, kept);
                self.free(gone.into_values());
            }
            Record::DropGroup { group } => {
                if let Some(g) = self.groups.remove(group) {
                    self.free(g.entries.into_values());
                }
            }
        }
    }

    fn free(&mut self, places: impl IntoIterator<Item = Place>) {
        for place in places {
            if let Some(amount) = self.segments.get_mut(&place.segment) {
                amount.entries -= 1;
                amount.bytes -= place.bytes;
                if amount.entries == 0 {
                    self.segments.remove(&place.segment);
                }
            }
        }
    }

    /// The oldest segment with a live entry.
    pub fn oldest_needed(&self) -> Option<u64> {
        self.segments.keys().next().copied()
    }

    /// Whether the entry's record that counts stands in this segment.
    pub fn is_in(&self, segment: u64, group: u64, index: u64) -> bool {
        let entries = self.groups.get(&group).map(|g| &g.entries);
        entries
            .and_then(|e| e.get(&index))
            .is_some_and(|place| place.segment == segment)
    }

    /// Bytes of all live entries.
    pub fn bytes(&self) -> u64 {
        self.segments.values().map(|amount| amount.bytes).sum()
    }

    /// Above this number of segments the oldest one's live entries are to be written once more:
    /// what is kept is then at most about twice what is live, and what is copied at most about
    /// what is written.
    pub fn most_segments(&self, segment_bytes: u64) -> u64 {
        FEW_SEGMENTS + 2 * self.bytes().div_ceil(segment_bytes)
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
