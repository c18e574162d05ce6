//! When each operation is due: an arithmetic sequence per endpoint, fixed
//! before the load begins, `t_i = t0 + i / rate + phase`.
//!
//! Nothing that happens later moves a due time. Counting latency from the due
//! time is what keeps a stalled server from hiding the requests that should
//! have met the stall (coordinated omission; Tene, "How NOT to Measure
//! Latency", 2015).

use gameday_record::Nanos;

/// One operation that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Number of the endpoint.
    pub endpoint: usize,
    /// Number of the operation at this endpoint, from 0.
    pub number: u64,
    /// When.
    pub due: Nanos,
}

/// The due times of all endpoints of one canary, in order.
#[derive(Clone, Debug)]
pub struct Schedule {
    t0: Nanos,
    rate: f64,
    phases: Vec<f64>,
    next: Vec<Tick>,
}

impl Schedule {
    /// `rate` operations per second through each of `endpoints` endpoints, from
    /// `t0` on. `canary` is the canary's index: it and the endpoint choose the
    /// phase, so that not all pairs tick together.
    pub fn new(t0: Nanos, rate: f64, endpoints: usize, canary: u32) -> Self {
        let phases = (0..endpoints)
            .map(|e| phase(canary as usize * endpoints + e))
            .collect();
        let mut schedule = Schedule {
            t0,
            rate,
            phases,
            next: Vec::new(),
        };
        schedule.next = (0..endpoints).map(|e| schedule.at(e, 0)).collect();
        schedule
    }

    /// The `number`th operation of `endpoint`.
    pub fn at(&self, endpoint: usize, number: u64) -> Tick {
        // One multiplication from `t0`, no running sum: rounding never adds up.
        let after = (number as f64 + self.phases[endpoint]) * 1e9 / self.rate;
        Tick {
            endpoint,
            number,
            due: Nanos(self.t0.0.saturating_add(after.round() as u64)),
        }
    }

    /// The next operation of all; `None` without endpoints.
    pub fn next_tick(&mut self) -> Option<Tick> {
        let tick = *self.next.iter().min_by_key(|t| t.due)?;
        self.next[tick.endpoint] = self.at(tick.endpoint, tick.number + 1);
        Some(tick)
    }
}

/// Part of a period, 0 to 1, by which pair `n` ticks later than `t0`: multiples
/// of the golden ratio keep any number of pairs well apart.
fn phase(n: usize) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    (n as f64 * GOLDEN).fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn due_times_are_exact_after_a_month() {
        let s = Schedule::new(Nanos(5_000_000_000), 30.0, 1, 0);
        assert_eq!(s.at(0, 0).due, Nanos(5_000_000_000));
        assert_eq!(s.at(0, 1).due, Nanos(5_033_333_333));
        let month = 30 * 86_400;
        assert_eq!(s.at(0, 30 * month).due, Nanos((5 + month) * 1_000_000_000));
    }

    #[test]
    fn pairs_of_all_canaries_do_not_tick_together() {
        let mut first: Vec<u64> = (0..3)
            .flat_map(|canary| {
                let s = Schedule::new(Nanos(0), 1.0, 3, canary);
                (0..3).map(move |e| s.at(e, 0).due.0)
            })
            .collect();
        first.sort_unstable();
        first.push(first[0] + 1_000_000_000);
        // Nine pairs in one second: evenly spread they would be 111 ms apart.
        assert!(
            first.windows(2).all(|w| w[1] - w[0] > 30_000_000),
            "{first:?}"
        );
    }

    proptest! {
        #[test]
        fn ticks_come_in_order_and_none_is_missing(
            rate in 1.0..1000.0f64, endpoints in 1usize..6, canary in 0u32..10,
        ) {
            let mut s = Schedule::new(Nanos(1_000), rate, endpoints, canary);
            let mut seen = vec![0u64; endpoints];
            let mut last = Nanos(0);
            for _ in 0..500 {
                let t = s.next_tick().unwrap();
                prop_assert!(t.due >= last && t.due >= Nanos(1_000));
                last = t.due;
                prop_assert_eq!(t.number, seen[t.endpoint]);
                prop_assert_eq!(t, s.at(t.endpoint, t.number));
                seen[t.endpoint] += 1;
            }
            let most = seen.iter().max().unwrap();
            let least = seen.iter().min().unwrap();
            prop_assert!(most - least <= 1);
        }
    }
}
