//! The checkers against an oracle that tries every order, on small random
//! histories. `GAMEDAY_FUZZ` sets how many.

mod agree;
mod histories;
mod lost;
mod refusals;
