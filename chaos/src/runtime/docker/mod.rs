//! Units as containers.
mod engine;
pub(crate) mod image;
pub(crate) mod leftovers;
pub use engine::{EngineInfo, available};
