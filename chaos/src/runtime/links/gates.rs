//! How each direction is set, and the way of one connection through it.

use crate::runtime::control::lock;
use crate::runtime::traffic::line::Line;
use crate::runtime::wanted::{Gate, Setting};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// One direction of one link: its connections share a line.
struct Direction {
    setting: watch::Sender<Setting>,
    line: Arc<Mutex<Line>>,
}

/// All directions: one per ordered pair.
pub(super) struct Gates {
    units: usize,
    directions: Vec<Direction>,
    epoch: Instant,
}

impl Gates {
    /// All open.
    pub fn new(units: usize) -> Self {
        let direction = |_| Direction {
            setting: watch::Sender::new(Setting::default()),
            line: Arc::default(),
        };
        Gates {
            units,
            directions: (0..units * units).map(direction).collect(),
            epoch: Instant::now(),
        }
    }

    /// The way of a new connection. Both indexes are below the number of units.
    pub fn way(&self, from: usize, to: usize) -> Way {
        let direction = &self.directions[from * self.units + to];
        Way {
            setting: direction.setting.subscribe(),
            line: direction.line.clone(),
            epoch: self.epoch,
            last: Duration::ZERO,
        }
    }

    /// # Errors
    /// There is no such link.
    pub fn check(&self, from: usize, to: usize) -> Result<(), String> {
        if from >= self.units || to >= self.units {
            return Err(format!("there is no link {from} to {to}"));
        }
        Ok(())
    }

    /// Sets exactly these directions; all others are open.
    ///
    /// # Errors
    /// One does not exist, or a stream cannot be treated so; then nothing has changed.
    pub fn set_exactly(&self, links: &[(usize, usize, Setting)]) -> Result<(), String> {
        let mut wanted = BTreeMap::new();
        for (from, to, setting) in links {
            self.check(*from, *to)?;
            if setting.traffic.spoils_messages() {
                return Err("a stream of bytes has no messages to lose or double".into());
            }
            wanted.insert(from * self.units + to, *setting);
        }
        for (i, direction) in self.directions.iter().enumerate() {
            direction.set(wanted.get(&i).copied().unwrap_or_default());
        }
        Ok(())
    }

    /// Whether any was not open.
    pub fn open_all(&self) -> bool {
        let directions = self.directions.iter();
        directions.filter(|d| d.set(Setting::default())).count() > 0
    }
}

impl Direction {
    /// Whether that is a change.
    fn set(&self, new: Setting) -> bool {
        self.setting.send_if_modified(|now| {
            if now.traffic != new.traffic {
                lock(&self.line).set(new.traffic);
            }
            std::mem::replace(now, new) != new
        })
    }
}

/// One direction as one connection meets it.
pub(super) struct Way {
    setting: watch::Receiver<Setting>,
    line: Arc<Mutex<Line>>,
    epoch: Instant,
    /// When the last bytes arrive: later ones do not overtake them.
    last: Duration,
}

/// Largest piece of a stream that is read at once, in bytes.
const PIECE: usize = 16 << 10;
/// Smallest one.
const LEAST_PIECE: usize = 256;

impl Way {
    /// The same direction, for another part of the same connection.
    pub fn again(&self) -> Self {
        Way {
            setting: self.setting.clone(),
            line: self.line.clone(),
            epoch: self.epoch,
            last: self.last,
        }
    }

    fn now(&self) -> Setting {
        *self.setting.borrow()
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.now().gate == Gate::Open
    }

    /// The setting lives as long as the process.
    pub async fn changed(&mut self) {
        if self.setting.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the direction is open.
    pub async fn open(&mut self) {
        self.gate(|gate| gate == Gate::Open).await;
    }

    /// Waits until the direction rejects.
    pub async fn rejects(&mut self) {
        self.gate(|gate| gate == Gate::Reject).await;
    }

    async fn gate(&mut self, is: impl Fn(Gate) -> bool) {
        if self.setting.wait_for(|s| is(s.gate)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// How much is read at once: at a rate, what it carries in 10 ms.
    pub fn piece(&self) -> usize {
        match self.now().traffic.rate {
            None => PIECE,
            Some(bits) => usize::try_from(bits / 800)
                .unwrap_or(PIECE)
                .clamp(LEAST_PIECE, PIECE),
        }
    }

    /// When bytes that are sent now arrive.
    pub fn arrival(&mut self, bytes: usize) -> Instant {
        if self.now().traffic.is_nothing() {
            return Instant::now();
        }
        let now = self.epoch.elapsed();
        let at = lock(&self.line).bytes(now, bytes as u64, &mut rand::rng());
        self.last = self.last.max(at);
        self.epoch + self.last
    }

    /// Waits until what arrives at a time may go on: until then and until the gate is open. What
    /// was held goes on at once when nothing delays the direction any more.
    pub async fn pass(&mut self, at: Instant) {
        loop {
            let Setting { gate, traffic } = *self.setting.borrow_and_update();
            let open = gate == Gate::Open;
            if open && (traffic.is_nothing() || at <= Instant::now()) {
                return;
            }
            tokio::select! {
                () = self.changed() => {}
                () = tokio::time::sleep_until(at), if open => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::traffic::Traffic;

    fn slow(ms: u64) -> Setting {
        Setting {
            gate: Gate::Open,
            traffic: Traffic {
                delay: Duration::from_millis(ms),
                ..Traffic::default()
            },
        }
    }

    #[test]
    fn links_that_do_not_exist_and_faults_of_messages_are_refused() {
        let gates = Gates::new(2);
        assert!(gates.set_exactly(&[(0, 2, slow(1))]).is_err());
        let mut lossy = slow(1);
        lossy.traffic.loss = crate::runtime::traffic::Share::of(0.1);
        assert!(
            gates
                .set_exactly(&[(0, 1, slow(1)), (1, 0, lossy)])
                .is_err()
        );
        assert!(gates.way(0, 1).now().traffic.is_nothing());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_goes_on_in_time_or_when_the_delay_ends() {
        let gates = Gates::new(2);
        gates.set_exactly(&[(0, 1, slow(300))]).unwrap();
        let start = Instant::now();
        let (mut way, mut back) = (gates.way(0, 1), gates.way(1, 0));
        let (there, home) = (way.arrival(10), back.arrival(10));
        back.pass(home).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        way.pass(there).await;
        assert_eq!(start.elapsed().as_millis(), 300);

        let there = way.arrival(10);
        let ends = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(gates.open_all());
        };
        tokio::join!(way.pass(there), ends);
        assert_eq!(start.elapsed().as_millis(), 400);
        assert!(!gates.open_all());
    }

    #[tokio::test(start_paused = true)]
    async fn jitter_does_not_turn_a_stream_around() {
        let gates = Gates::new(2);
        let mut setting = slow(50);
        setting.traffic.jitter = Duration::from_millis(50);
        gates.set_exactly(&[(0, 1, setting)]).unwrap();
        let mut way = gates.way(0, 1);
        let arrivals: Vec<Instant> = (0..100).map(|_| way.arrival(10)).collect();
        assert!(arrivals.is_sorted());
    }

    #[test]
    fn at_a_low_rate_little_is_read_at_once() {
        let gates = Gates::new(2);
        let way = gates.way(0, 1);
        assert_eq!(way.piece(), PIECE);
        for (bits, piece) in [(64_000, 256), (8_000_000, 10_000), (u64::MAX, PIECE)] {
            let mut setting = slow(0);
            setting.traffic.rate = Some(bits);
            gates.set_exactly(&[(0, 1, setting)]).unwrap();
            assert_eq!(way.piece(), piece);
        }
    }
}
