//! Volumes that can lose power: each has a file system of its own, in a file that
//! the kernel makes a disk of (a loop device), so that it can be shut down without
//! any other. What was not synced is gone then, as on a machine that lost its
//! power, and not in the host's page cache, as after a kill.
//!
//! Nothing is done on the host: what needs rights is done by short-lived
//! containers of our own image, over the engine.

mod format;
mod helper;
mod labels;
mod loops;
mod manage;
mod power;
mod size;

pub use self::helper::main;
use self::manage::list_on;
pub use self::manage::{Listed, MAX_SIZE, MIN_SIZE, create, list, remove};
pub(super) use self::power::{OwnDisk, back, disks, helper, off};
pub use self::size::{parse as parse_size, show as show_size};
