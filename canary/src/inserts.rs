//! Inserts: keys that nobody writes again, so that nothing can hide their loss.
//! Every one is read at the end, so they are bounded; beyond, an insert is an
//! ordinary write.
//!
//! In a game day the table is new, and a key is named by the operation that
//! inserts it, so that all canaries know each other's. A canary that runs alone
//! may be given the table of an earlier one: its keys are few and numbered, so
//! that all that any such canary can have inserted is known and deleted first.

/// Keys that one canary inserts through one endpoint at most.
const MAX: u32 = 10_000;

/// The same of a canary that runs alone.
const MAX_ALONE: u32 = 500;

/// First letter of the keys.
pub(crate) const INSERT: &str = "i";

/// Number of a table, and a key in it.
pub(crate) type Place = (usize, String);

/// What one canary inserts.
#[derive(Debug)]
pub(crate) struct Inserts {
    alone: bool,
    canary: u32,
    tables: u32,
    /// By endpoint.
    done: Vec<u32>,
    all: Vec<Place>,
    /// By endpoint: the newest, with the operation that inserted it.
    newest: Vec<Option<(u64, Place)>>,
}

impl Inserts {
    pub(crate) fn new(alone: bool, canary: u32, tables: u32, endpoints: usize) -> Self {
        Inserts {
            alone,
            canary,
            tables,
            done: vec![0; endpoints],
            all: Vec::new(),
            newest: vec![None; endpoints],
        }
    }

    /// Most keys through one endpoint.
    pub(crate) fn most(&self) -> u32 {
        if self.alone { MAX_ALONE } else { MAX }
    }

    /// Where operation `n` through `endpoint` inserts; `None` beyond the bound.
    pub(crate) fn next(&mut self, endpoint: usize, n: u64) -> Option<Place> {
        let number = self.number(endpoint)?;
        let place = match self.alone {
            true => self.numbered(endpoint, number),
            false => self.of_operation(self.canary, endpoint, n),
        };
        self.newest[endpoint] = Some((n, place.clone()));
        self.all.push(place.clone());
        Some(place)
    }

    /// Where retry number `retry` of the canary inserts, of a request on `table`.
    pub(crate) fn again(&mut self, endpoint: usize, table: usize, retry: i64) -> Option<Place> {
        let place = match self.alone {
            true => {
                let number = self.number(endpoint)?;
                (table, key(self.canary, endpoint, u64::from(number)))
            }
            // Retries are as bounded as the inserts that they are of.
            false => {
                let canary = self.canary;
                (table, format!("{INSERT}{canary}-{endpoint}-r{retry:06}"))
            }
        };
        self.all.push(place.clone());
        Some(place)
    }

    fn number(&mut self, endpoint: usize) -> Option<u32> {
        let number = self.done[endpoint];
        (number < self.most()).then(|| self.done[endpoint] += 1)?;
        Some(number)
    }

    fn numbered(&self, endpoint: usize, number: u32) -> Place {
        let table = (number % self.tables) as usize;
        (table, key(self.canary, endpoint, u64::from(number)))
    }

    /// Where operation `n` of a pair inserts in a game day, if it inserts.
    pub(crate) fn of_operation(&self, canary: u32, endpoint: usize, n: u64) -> Place {
        let table = (n % u64::from(self.tables)) as usize;
        (table, key(canary, endpoint, n))
    }

    /// The newest through an endpoint, with the operation that inserted it.
    pub(crate) fn newest(&self, endpoint: usize) -> Option<&(u64, Place)> {
        self.newest[endpoint].as_ref()
    }

    /// All so far.
    pub(crate) fn all(&self) -> &[Place] {
        &self.all
    }

    /// All that a canary of this index that ran alone can have inserted
    /// through these endpoints, into however many of these tables.
    pub(crate) fn ever(&self) -> impl Iterator<Item = Place> + use<> {
        let (canary, tables, endpoints) = (self.canary, self.tables as usize, self.done.len());
        (0..tables).flat_map(move |table| {
            (0..endpoints).flat_map(move |endpoint| {
                (0..MAX_ALONE).map(move |n| (table, key(canary, endpoint, u64::from(n))))
            })
        })
    }
}

fn key(canary: u32, endpoint: usize, n: u64) -> String {
    format!("{INSERT}{canary}-{endpoint}-{n:07}")
}
