//! Texts whose parts are distinct, as registers: linearizability of one key
//! without a search.
//!
//! If no part is written twice and every text that was read can be taken apart
//! in one way only, a read shows the order of all that is in it, as in
//! list-append of Elle (K. Kingsbury and P. Alvaro, "Elle: inferring isolation
//! anomalies from experimental observations", VLDB 2020). Every beginning of a
//! text that was read is a version of its own: a put made the first of its
//! line, and an append that stands in a text is a compare-and-set from what
//! stands before it to the same with itself. An append that nobody found is
//! a write that nobody found: what it made was replaced before anybody looked.
//! So the key is a register with unique values, which [`crate::zones`] decide.
//!
//! Linear in the length of the texts that were read, less what each has in
//! common with the one before it in the order of a dictionary.

use crate::budget::{Budget, Exhausted};
use crate::register::{Action, FOREVER, Operations, RegisterOp, Value};
use crate::violation::{Kind, Violations};
use hashbrown::HashMap;

/// A key of texts as a register.
pub(crate) struct Chains {
    /// One for each operation of the key, in its place.
    pub ops: Vec<RegisterOp>,
    /// What texts show by themselves.
    pub found: Violations,
}

const NONE: u32 = u32::MAX;

/// What is written at once: a put or an append.
struct Part {
    op: u32,
    put: bool,
    /// The version that it made, if anybody found it.
    version: u32,
}

/// A text as a register: `None` if its parts are not distinct, or not to be
/// told apart.
///
/// # Errors
/// The budget ran out.
pub(crate) fn chains<'t, O: Operations + ?Sized>(
    ops: &O,
    text: impl Fn(i64) -> &'t str,
    budget: &mut Budget,
) -> Result<Option<Chains>, Exhausted> {
    let mut parts: Vec<Part> = Vec::new();
    let mut names: HashMap<&str, u32> = HashMap::new();
    let mut reads: Vec<(&str, u32)> = Vec::new();
    for i in 0..ops.len() as u32 {
        budget.spend()?;
        let op = ops.get(i);
        let (part, put) = match op.action {
            Action::Write(id) => (id, true),
            Action::Append(id) => (id, false),
            Action::FailedWrite(id) => (id, false),
            Action::Read(Some(id)) => {
                reads.push((text(id), i));
                continue;
            }
            Action::Read(None) | Action::Cas { .. } | Action::FailedCas { .. } => continue,
        };
        let part = text(part);
        let new = names.insert(part, parts.len() as u32).is_none();
        if part.is_empty() || !new {
            return Ok(None);
        }
        parts.push(Part {
            op: i,
            put,
            version: NONE,
        });
    }
    reads.sort_unstable();
    let mut split = Splitter::new(&names);
    let mut versions = Versions::default();
    let mut found = Violations::default();
    // By operation: the version that it found.
    let mut seen: HashMap<u32, Value> = HashMap::new();
    for (text, read) in reads {
        match split.take_apart(text, budget)? {
            Split::One => {}
            Split::Several => return Ok(None),
            Split::None => {
                found.push(Kind::PhantomRead, read, None, [None; 2]);
                continue;
            }
        }
        let mut version = None;
        let mut explained = true;
        for part in split.parts() {
            budget.spend()?;
            let Part { op, put, .. } = parts[part as usize];
            if put && version.is_some() {
                // A put replaces what was there.
                found.push(Kind::NotLinearizable, read, Some(op), [None; 2]);
                explained = false;
                break;
            }
            let from = if put { NONE } else { version.unwrap_or(0) };
            let next = versions.after(from, part, read);
            let made = &mut parts[part as usize].version;
            if *made == NONE {
                *made = next;
            } else if *made != next {
                // One append in two places: two reads disagree, or one shows it twice.
                let other = versions.first_read(*made);
                found.push(
                    Kind::NotLinearizable,
                    read,
                    Some(op),
                    [some(other, read), None],
                );
                explained = false;
                break;
            }
            version = Some(next);
        }
        if explained {
            seen.insert(read, version.map(i64::from));
        }
    }
    Ok(Some(Chains {
        ops: registers(ops, &parts, &versions, &seen),
        found,
    }))
}

fn some(other: u32, read: u32) -> Option<u32> {
    (other != read).then_some(other)
}

/// The operations, as what they do to versions.
fn registers<O: Operations + ?Sized>(
    ops: &O,
    parts: &[Part],
    versions: &Versions,
    seen: &HashMap<u32, Value>,
) -> Vec<RegisterOp> {
    let mut registers: Vec<RegisterOp> = (0..ops.len() as u32).map(|i| ops.get(i)).collect();
    // What takes no part is a failure that nobody can have found.
    let mut nobody = 0;
    let mut hidden = || {
        nobody -= 1;
        nobody
    };
    for (op, i) in registers.iter_mut().zip(0u32..) {
        if let Action::Read(_) = op.action {
            let found = seen.get(&i).copied();
            op.action = match (op.action, found) {
                (Action::Read(None), _) => Action::Read(None),
                (_, Some(version)) => Action::Read(version),
                (_, None) => Action::FailedWrite(hidden()),
            };
        }
    }
    for part in parts {
        let op = &mut registers[part.op as usize];
        let failed = matches!(op.action, Action::FailedWrite(_));
        op.action = match part.version {
            NONE if failed || op.finish == FOREVER => Action::FailedWrite(hidden()),
            NONE => Action::Write(hidden()),
            version if failed => Action::FailedWrite(version.into()),
            version if part.put => Action::Write(version.into()),
            version => Action::Cas {
                expected: match versions.before(version) {
                    0 => None,
                    from => Some(from.into()),
                },
                new: version.into(),
            },
        };
    }
    registers
}

/// Versions that were read, and all their beginnings; 0 is the empty text.
#[derive(Default)]
struct Versions {
    next: HashMap<(u32, u32), u32>,
    /// Of each: what it follows, and the first read that shows it.
    all: Vec<(u32, u32)>,
}

impl Versions {
    fn after(&mut self, from: u32, part: u32, read: u32) -> u32 {
        let Versions { next, all } = self;
        *next.entry((from, part)).or_insert_with(|| {
            all.push((from, read));
            all.len() as u32
        })
    }

    fn before(&self, version: u32) -> u32 {
        self.all[version as usize - 1].0
    }

    fn first_read(&self, version: u32) -> u32 {
        self.all[version as usize - 1].1
    }
}

/// In how many ways a text is made of parts.
enum Split {
    None,
    One,
    Several,
}

/// Takes texts apart that come in the order of a dictionary.
struct Splitter<'n, 't> {
    names: &'n HashMap<&'t str, u32>,
    /// Different lengths of parts, in bytes, and the length of each part.
    lengths: Vec<usize>,
    sizes: Vec<usize>,
    text: &'t str,
    /// For each beginning of the text: in how many ways it is made of parts (2
    /// is several), and the last of them.
    ways: Vec<(u8, u32)>,
}

impl<'n, 't> Splitter<'n, 't> {
    fn new(names: &'n HashMap<&'t str, u32>) -> Self {
        let mut lengths: Vec<usize> = names.keys().map(|name| name.len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let mut sizes = vec![0; names.len()];
        for (name, part) in names {
            sizes[*part as usize] = name.len();
        }
        Splitter {
            names,
            lengths,
            sizes,
            text: "",
            ways: vec![(1, NONE)],
        }
    }

    fn take_apart(&mut self, text: &'t str, budget: &mut Budget) -> Result<Split, Exhausted> {
        let same = self.text.bytes().zip(text.bytes());
        let common = same.take_while(|(a, b)| a == b).count();
        self.ways.truncate(common + 1);
        self.text = text;
        for end in self.ways.len()..=text.len() {
            budget.spend()?;
            let mut here = (0u8, NONE);
            for length in self.lengths.iter().take_while(|l| **l <= end) {
                let (before, _) = self.ways[end - length];
                if before == 0 {
                    continue;
                }
                let part = text.get(end - length..end).and_then(|p| self.names.get(p));
                if let Some(part) = part {
                    here = ((here.0 + before).min(2), *part);
                }
            }
            self.ways.push(here);
        }
        Ok(match self.ways[text.len()].0 {
            0 => Split::None,
            1 => Split::One,
            _ => Split::Several,
        })
    }

    /// The parts of the text, if there is just one way.
    fn parts(&self) -> Vec<u32> {
        let mut parts = Vec::new();
        let mut end = self.text.len();
        while end > 0 {
            let (_, part) = self.ways[end];
            parts.push(part);
            end -= self.sizes[part as usize];
        }
        parts.reverse();
        parts
    }
}
