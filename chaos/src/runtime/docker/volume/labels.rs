//! By what a volume of ours is known.

/// Label of a volume, and of the one that backs it, that holds the volume's name.
pub(super) const NAME_LABEL: &str = "gameday.volume";
/// Label of a volume that holds its loop device.
pub(super) const DEVICE_LABEL: &str = "gameday.volume.device";
/// Label of a volume that holds its size in bytes.
pub(super) const SIZE_LABEL: &str = "gameday.volume.size";

/// Name of the volume in which the file of another one is.
pub(super) fn backing(name: &str) -> String {
    format!("{name}-backing")
}
