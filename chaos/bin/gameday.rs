//! `gameday`: the command line, and the only place that knows every crate.

mod cli;
mod exit;
mod stop;

fn main() {}
