//! What is in our table: sets, maps, marks, and the queue.

/// What `silent` holds.
pub(super) const SILENT_KEY: [u8; 4] = [0, 0, 0, 1];
/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// Both.
pub(super) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
/// Names of the sets, of either family.
pub(super) const FROM: [&str; 2] = ["from", "from6"];
pub(super) const REJECT: [&str; 2] = ["reject", "reject6"];
pub(super) const QUEUED: [&str; 2] = ["queued", "queued6"];
/// Names of the maps from receivers to classes.
pub(super) const CLASS_TO: [&str; 2] = ["class-to", "class-to6"];
/// Name of the set that says whether everything is dropped.
pub(super) const SILENT: &str = "silent";
/// All, with what their keys are; they are numbered from 1 while they are made.
pub(super) const SETS: [(&str, Family); 9] = [
    (SILENT, Family::V4),
    (FROM[0], Family::V4),
    (FROM[1], Family::V6),
    (REJECT[0], Family::V4),
    (REJECT[1], Family::V6),
    (QUEUED[0], Family::V4),
    (QUEUED[1], Family::V6),
    (CLASS_TO[0], Family::V4),
    (CLASS_TO[1], Family::V6),
];
/// Of packets that have been through the queue.
pub(in crate::runtime) const QUEUED_MARK: u32 = 0x6764;

/// Number of the queue that packets are handed to, in the namespace of the rules.
pub(in crate::runtime) const QUEUE: u16 = 6764;
