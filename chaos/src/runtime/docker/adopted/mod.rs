//! Containers that somebody else made and runs, lent to a game day by whoever
//! owns them. What they were is recorded before anything is done to them, and
//! is what they are put back to; what cannot be done to one safely is refused
//! beforehand, with the reason.

mod bounds;
pub mod consent;
pub mod difference;
pub mod discover;
mod ending;
mod events;
mod exec;
pub(super) mod follow;
pub mod found;
pub mod health;
pub mod leader;
mod life;
mod platform;
pub mod refuse;
pub mod snapshot;
pub mod undo;

pub use self::platform::{Adopted, Compared, Plan};

#[cfg(test)]
mod examples;

/// Label on a container by which its owner lends it (`yes`) or keeps it (`no`).
pub const CONSENT_LABEL: &str = "gameday.target";
/// Label that names a container's AZ, unless a playbook says another one.
pub const AZ_LABEL: &str = "gameday.az";
