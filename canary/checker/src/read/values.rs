//! Values that are no numbers, as numbers.

use super::edn::Edn;
use super::pair::Call;
use std::collections::{HashMap, HashSet};

/// Numbers the values of a history. Integers stay what they are; everything
/// else gets a number that no integer of the history has.
#[derive(Debug, Default)]
pub(super) struct Values {
    used: HashSet<i64>,
    numbers: HashMap<String, i64>,
    next: i64,
}

impl Values {
    /// Knows which integers the calls use.
    pub fn of(calls: &[Call<'_>]) -> Self {
        let mut values = Values::default();
        for call in calls {
            values.see(&call.asked);
            values.see(&call.answer);
            values.see(call.more.observed.as_ref().unwrap_or(&Edn::Nil));
        }
        values
    }

    fn see(&mut self, form: &Edn<'_>) {
        match form {
            Edn::Int(n) => {
                self.used.insert(*n);
            }
            Edn::Vector(forms) | Edn::List(forms) | Edn::Set(forms) => {
                forms.iter().for_each(|f| self.see(f));
            }
            _ => {}
        }
    }

    /// The number of a value.
    pub fn number(&mut self, form: &Edn<'_>) -> i64 {
        if let Edn::Int(n) = form {
            return *n;
        }
        // Equal in the language of the harness, equal here.
        let name = match form.canonical() {
            Edn::Int(n) => return n,
            canonical => canonical.to_string(),
        };
        if let Some(n) = self.numbers.get(&name) {
            return *n;
        }
        while self.used.contains(&self.next) {
            self.next += 1;
        }
        self.numbers.insert(name, self.next);
        self.next += 1;
        self.next - 1
    }

    /// Every value that is no integer, with its number, by number.
    pub fn names(self) -> Vec<(i64, String)> {
        let mut names: Vec<_> = self
            .numbers
            .into_iter()
            .map(|(name, n)| (n, name))
            .collect();
        names.sort_unstable();
        names
    }
}
