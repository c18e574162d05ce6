//! Which fault is next: a shuffled deck of all that a runtime offers, so that
//! none is left out by chance.

use super::Dice;
use crate::support::{finish, gameday};
use gameday_chaos::faults::FaultKind;

/// The faults of one runtime, in an order of the dice; again in another when all had their turn.
pub struct Deck {
    all: Vec<FaultKind>,
    left: Vec<FaultKind>,
    /// How often all of them have had their turn.
    pub rounds: u32,
}

impl Deck {
    /// What can be made wrong in this runtime here; empty if it cannot be used.
    pub fn of(runtime: &str) -> Deck {
        let mut doctor = gameday();
        let said = finish(doctor.args(["doctor", "--json"]), super::LIMIT).stdout;
        let said: serde_json::Value = serde_json::from_slice(&said).expect("JSON");
        let rows = said["faults"].as_array().expect("faults").iter();
        let offered = rows.filter(|row| row["runtimes"][runtime]["possible"] == true);
        let named = offered.filter_map(|row| FaultKind::named(row["fault"].as_str()?));
        Deck {
            all: named.collect(),
            left: Vec::new(),
            rounds: 0,
        }
    }

    /// The next one (Fisher and Yates, one card at a time).
    pub fn draw(&mut self, dice: &mut Dice) -> FaultKind {
        if self.left.is_empty() {
            self.left = self.all.clone();
        }
        let i = dice.below(self.left.len() as u64) as usize;
        let drawn = self.left.swap_remove(i);
        if self.left.is_empty() {
            self.rounds += 1;
        }
        drawn
    }

    /// It had no turn: it comes again in this round.
    pub fn put_back(&mut self, kind: FaultKind) {
        if self.left.is_empty() {
            self.rounds -= 1;
        }
        self.left.push(kind);
    }

    /// How many faults there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }
}
