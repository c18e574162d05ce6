//! How late the canaries sent: their own health.

use crate::fold::{SECOND, Tally, histogram, micros, record};
use crate::load::{Load, Op};
use crate::report::CanaryLag;
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, BTreeSet};

/// A second's 99th percentile above this makes a canary suspect, microseconds.
pub const SUSPECT_P99_US: u64 = 5_000;

/// One operation of a second above this does.
pub const SUSPECT_MAX_US: u64 = 50_000;

/// Of every canary, by AZ, and the number of seconds in which any was suspect.
pub fn canaries(load: &Load) -> (Vec<CanaryLag>, u64) {
    let azs: BTreeSet<&str> = load.cells().iter().map(|c| c.az.as_str()).collect();
    let mut suspect = BTreeSet::new();
    let rows = azs
        .into_iter()
        .map(|az| canary(az, load.iter().filter(|o| o.cell.az == az), &mut suspect))
        .collect();
    (rows, suspect.len() as u64)
}

fn canary<'a>(
    az: &str,
    ops: impl Iterator<Item = Op<'a>>,
    suspect: &mut BTreeSet<u64>,
) -> CanaryLag {
    let mut all: Histogram<u64> = histogram(3);
    let mut seconds: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    let mut unsent = 0;
    for o in ops {
        if o.tally == Tally::Unsent {
            unsent += 1;
            continue;
        }
        let us = micros(o.lag);
        record(&mut all, us);
        let of = seconds.entry(o.due.0 / SECOND).or_default();
        of.push(u32::try_from(us).unwrap_or(u32::MAX));
    }
    let mut stretches: Vec<(u64, u64)> = Vec::new();
    for (second, lags) in &mut seconds {
        if !is_suspect(lags) {
            continue;
        }
        suspect.insert(*second);
        match stretches.last_mut() {
            Some(last) if last.1 == *second => last.1 += 1,
            _ => stretches.push((*second, second + 1)),
        }
    }
    let max = all.max();
    let at = |q| all.value_at_quantile(q).min(max);
    CanaryLag {
        az: az.into(),
        sent: all.len(),
        unsent,
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: max,
        suspect: stretches,
    }
}

/// Nearest rank: the 99th percentile is the `ceil(0.99 n)`-th smallest.
fn is_suspect(lags: &mut [u32]) -> bool {
    let rank = (lags.len() * 99).div_ceil(100);
    let Some(i) = rank.checked_sub(1) else {
        return false;
    };
    let (_, p99, above) = lags.select_nth_unstable(i);
    let p99 = *p99;
    let over = |us: u32, most: u64| u64::from(us) > most;
    over(p99, SUSPECT_P99_US) || above.iter().any(|us| over(*us, SUSPECT_MAX_US))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_suspect_by_its_99th_percentile_or_its_worst() {
        let of = |late: &[u32]| {
            let mut lags = vec![100; 200 - late.len()];
            lags.extend(late);
            is_suspect(&mut lags)
        };
        assert!(!of(&[]));
        // Two of 200 lie above the percentile, three reach it.
        assert!(!of(&[6_000, 50_000]));
        assert!(of(&[6_000, 6_000, 6_000]));
        assert!(of(&[50_001]));
        assert!(!is_suspect(&mut []));
        assert!(is_suspect(&mut [5_001]));
        assert!(!is_suspect(&mut [5_000]));
    }
}
