//! Each anomaly is found under its name, and only where it is one.

mod eventual;
mod lost;
mod measures;
mod models;
mod order;
mod script;
mod sessions;
mod undecided;
