//! What knows whom: crates, as the map in ARCHITECTURE.md allows, and files of a crate.

mod crates;
mod files;
