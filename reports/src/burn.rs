//! Error budgets, burn rates and the standard alarms on them.

use gameday_record::{AlarmRule, Nanos};

/// A period that budgets are of: 30 days, in seconds.
pub const PERIOD_S: f64 = 30.0 * 86_400.0;

/// Share of the error budget that was used: `(1 - A) / (1 - SLO)`; also the
/// burn rate of a window. `None` without attempts or budget (`slo` = 1).
///
/// Source: Google, *The Site Reliability Workbook*, chapter 5.
pub fn burn(missed: u64, attempts: u64, slo: f64) -> Option<f64> {
    (attempts > 0 && slo < 1.0).then(|| missed as f64 / attempts as f64 / (1.0 - slo))
}

/// Seconds after which an alarm with burn rate `b` over a window of `long`
/// seconds fires, for a share of errors `e` and a clean past:
/// `t = b (1 - SLO) long / e`. `None` if it never does (`e` not above
/// `b (1 - SLO)`, which a full window shows).
///
/// Source: *The Site Reliability Workbook*, chapter 5, "detection time".
pub fn fires_after(factor: f64, slo: f64, long: f64, errors: f64) -> Option<f64> {
    let threshold = factor * (1.0 - slo);
    (errors > threshold).then(|| threshold * long / errors)
}

/// Interval fractions that were lost: `c = Σ (1 - A_s) / 300` over seconds with
/// availability `A_s`; a full outage of 6 s costs 0.02 of an interval of five
/// minutes. `seconds` are (attempts, missed).
///
/// For a steady load this equals AWS's sum over intervals of `1 - A_k`, and
/// it does not depend on how the intervals lie or on a run being shorter than one.
pub fn cost(seconds: impl IntoIterator<Item = (u64, u64)>) -> f64 {
    seconds
        .into_iter()
        .filter(|(attempts, _)| *attempts > 0)
        .map(|(attempts, missed)| missed as f64 / attempts as f64 / 300.0)
        .sum()
}

/// Incidents of that cost that a 30-day month with objective `slo` survives:
/// `8640 (1 - SLO) / c` (a month has 8 640 intervals of five minutes). `None`
/// if they cost nothing.
///
/// Source: AWS's form of monthly uptime, solved for the number of incidents.
pub fn incidents_per_month(cost: f64, slo: f64) -> Option<f64> {
    (cost > 0.0).then(|| 8_640.0 * (1.0 - slo) / cost)
}

/// One alarm of the standard set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standard {
    /// `page` or `ticket`.
    pub severity: &'static str,
    /// Long window, seconds.
    pub long: u64,
    /// Short window, seconds.
    pub short: u64,
    /// Burn rate.
    pub factor: f64,
}

const fn standard(severity: &'static str, long: u64, short: u64, factor: f64) -> Standard {
    Standard {
        severity,
        long,
        short,
        factor,
    }
}

/// The standard multi-window burn-rate alarms for 30 days: `b` = share of the
/// budget × period / long window, for 2, 5, 10 and 10 % of the budget.
///
/// Source: *The Site Reliability Workbook*, chapter 5 (1 h, 6 h, 3 d); the
/// row of one day as Sloth adds it.
pub const STANDARD: [Standard; 4] = [
    standard("page", 3_600, 300, 14.4),
    standard("page", 21_600, 1_800, 6.0),
    standard("ticket", 86_400, 7_200, 3.0),
    standard("ticket", 259_200, 21_600, 1.0),
];

impl Standard {
    /// The rule with its real windows, time before the run taken as clean.
    pub fn rule(&self, objective: f64) -> AlarmRule {
        AlarmRule::BurnRate {
            objective,
            long_ms: self.long * 1000,
            short_ms: self.short * 1000,
            factor: self.factor,
            clean_before: true,
        }
    }

    /// The same with windows scaled so that the longest of the set, three
    /// days, becomes `run` seconds (at least 2); rounded up to whole seconds,
    /// the short one shorter than the long one.
    pub fn scaled(&self, objective: f64, run: u64) -> AlarmRule {
        let run = run.max(2);
        let scale = |s: u64| (u128::from(s) * u128::from(run)).div_ceil(259_200) as u64;
        let long = scale(self.long).max(2);
        AlarmRule::BurnRate {
            objective,
            long_ms: long * 1000,
            short_ms: scale(self.short).clamp(1, long - 1) * 1000,
            factor: self.factor,
            clean_before: true,
        }
    }
}

/// `1 h`, `30 min`, `5 s`, for windows.
pub fn window(ms: u64) -> String {
    match Nanos(ms * 1_000_000).as_secs_f64() as u64 {
        s if s >= 86_400 && s.is_multiple_of(86_400) => format!("{} d", s / 86_400),
        s if s >= 3_600 && s.is_multiple_of(3_600) => format!("{} h", s / 3_600),
        s if s >= 60 && s.is_multiple_of(60) => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_by_hand() {
        assert_eq!(burn(0, 0, 0.99), None);
        assert_eq!(burn(5, 10, 1.0), None);
        assert!((burn(2, 1_000, 0.999).unwrap() - 2.0).abs() < 1e-9);
        // A share of 2, 5, 10 and 10 % of 30 days.
        for (s, share) in STANDARD.iter().zip([0.02, 0.05, 0.1, 0.1]) {
            assert!((share * PERIOD_S / s.long as f64 - s.factor).abs() < 1e-9);
        }
    }

    #[test]
    fn a_full_outage_fires_when_the_book_says() {
        for (row, wants) in STANDARD.iter().zip([
            [51.84, 5.184, 0.5184],
            [129.6, 12.96, 1.296],
            [259.2, 25.92, 2.592],
            [259.2, 25.92, 2.592],
        ]) {
            for (slo, want) in [0.999, 0.9999, 0.99999].into_iter().zip(wants) {
                let t = fires_after(row.factor, slo, row.long as f64, 1.0).unwrap();
                assert!((t - want).abs() < 1e-6, "{t} {want}");
            }
        }
        // Half the errors, twice the time; too few, never.
        let half = fires_after(14.4, 0.999, 3_600.0, 0.5).unwrap();
        assert!((half - 103.68).abs() < 1e-6);
        assert_eq!(fires_after(14.4, 0.999, 3_600.0, 0.0144), None);
    }

    #[test]
    fn six_seconds_down_cost_a_fiftieth_of_an_interval() {
        let c = cost([
            (10, 10),
            (10, 10),
            (10, 10),
            (10, 10),
            (10, 10),
            (10, 10),
            (10, 0),
            (0, 0),
        ]);
        assert!((c - 0.02).abs() < 1e-12);
        assert!((incidents_per_month(c, 0.9999).unwrap() - 43.2).abs() < 1e-6);
        assert!((incidents_per_month(c, 0.99999).unwrap() - 4.32).abs() < 1e-6);
        assert_eq!(incidents_per_month(0.0, 0.9999), None);
    }

    #[test]
    fn windows_scale_to_the_run() {
        let of = |run| {
            STANDARD.map(|s| match s.scaled(0.99, run) {
                AlarmRule::BurnRate {
                    long_ms, short_ms, ..
                } => (long_ms / 1000, short_ms / 1000),
                AlarmRule::Failures { .. } => unreachable!("a burn rate"),
            })
        };
        assert_eq!(
            of(259_200),
            [
                (3_600, 300),
                (21_600, 1_800),
                (86_400, 7_200),
                (259_200, 21_600)
            ]
        );
        assert_eq!(of(120), [(2, 1), (10, 1), (40, 4), (120, 10)]);
        assert_eq!(of(0), [(2, 1); 4]);
        for (ms, want) in [
            (300_000, "5 min"),
            (86_400_000, "1 d"),
            (21_600_000, "6 h"),
            (61_000, "61 s"),
        ] {
            assert_eq!(window(ms), want);
        }
    }
}
