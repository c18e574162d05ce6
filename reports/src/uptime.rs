//! User-uptime: the share of the time in which users were served.

use gameday_record::Nanos;

/// Nanoseconds of a user, or of several, by what they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Served.
    pub up: u64,
    /// Not served.
    pub down: u64,
    /// Nobody asked for longer than the cutoff.
    pub inactive: u64,
}

impl Time {
    /// `Σ up / (Σ up + Σ down)`; `None` if both are 0.
    pub fn share(&self) -> Option<f64> {
        let active = self.up + self.down;
        (active > 0).then(|| self.up as f64 / active as f64)
    }
}

impl std::ops::AddAssign for Time {
    fn add_assign(&mut self, o: Time) {
        self.up += o.up;
        self.down += o.down;
        self.inactive += o.inactive;
    }
}

/// The time of one user with these events `(due, answered)`, sorted by due
/// time. The segment between two neighbouring events is up or down by its
/// *first* event, and inactive if it is longer than `cutoff` nanoseconds. The
/// time before the first and after the last event is not counted.
///
/// Source: Hauer et al., *Meaningful Availability*, NSDI 2020. The paper's
/// cutoff is the 99th percentile of the times between events; a canary's pace
/// is known, so ours is [`cutoff`]. The user is a pair of AZ and endpoint.
pub fn of_user(events: &[(Nanos, bool)], cutoff: u64) -> Time {
    let mut time = Time::default();
    for pair in events.windows(2) {
        let length = pair[1].0.0.saturating_sub(pair[0].0.0);
        if length > cutoff {
            time.inactive += length;
        } else if pair[0].1 {
            time.up += length;
        } else {
            time.down += length;
        }
    }
    time
}

/// `5 / rate`, nanoseconds, for `rate` events per second and user: a user that
/// misses five of its turns is not asking. The largest number if the rate is
/// not above 0.
pub fn cutoff(rate: f64) -> u64 {
    if rate > 0.0 {
        (5e9 / rate) as u64
    } else {
        u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(pattern: &[(u64, bool)], cutoff: u64) -> (u64, u64, u64) {
        let events: Vec<_> = pattern.iter().map(|(t, ok)| (Nanos(*t), *ok)).collect();
        let t = of_user(&events, cutoff);
        (t.up, t.down, t.inactive)
    }

    #[test]
    fn segments_are_what_their_first_event_was() {
        for (events, want) in [
            (vec![], (0, 0, 0)),
            (vec![(10, true)], (0, 0, 0)),
            (
                vec![(0, true), (10, false), (20, false), (40, true)],
                (10, 30, 0),
            ),
            // The segment of 60 is longer than the cutoff of 50: inactive.
            (
                vec![(0, true), (10, false), (70, true), (90, true)],
                (30, 0, 60),
            ),
            (vec![(0, false), (50, true)], (0, 50, 0)),
        ] {
            assert_eq!(user(&events, 50), want, "{events:?}");
        }
    }

    /// The paper's experiment: down for 15 minutes of an hour is 75 %, however
    /// often the user asks meanwhile.
    #[test]
    fn retries_do_not_weigh() {
        let minute = 60_000_000_000;
        let mut events = Vec::new();
        for m in 0..60u64 {
            let down = (30..45).contains(&m);
            let times = if down { 4 } else { 1 };
            for i in 0..times {
                events.push((Nanos(m * minute + i * minute / times), !down));
            }
        }
        events.push((Nanos(60 * minute), true));
        assert_eq!(of_user(&events, minute).share(), Some(0.75));
    }

    #[test]
    fn the_cutoff_is_five_turns() {
        assert_eq!(cutoff(20.0), 250_000_000);
        assert_eq!(cutoff(0.0), u64::MAX);
        assert_eq!(Time::default().share(), None);
    }
}
