//! Reports of runs that never were, and whose truth is known.

mod alarms;
mod common;
mod full;
mod objectives;
mod outage;
mod pages;
mod report;
mod times;
mod truth;
