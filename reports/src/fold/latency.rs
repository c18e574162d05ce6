//! Histograms of latencies, in microseconds.

use hdrhistogram::Histogram;
use std::time::Duration;

/// Longest latency that histograms tell apart, in microseconds; beyond it
/// they say "at least this".
const MAX_LATENCY_US: u64 = 600_000_000;

/// p50 and p99, if there is anything.
pub(crate) fn quantiles(h: &Histogram<u32>) -> (Option<Duration>, Option<Duration>) {
    let at = |q| (!h.is_empty()).then(|| Duration::from_micros(h.value_at_quantile(q)));
    (at(0.5), at(0.99))
}

/// Microseconds, rounded up to at least one, so that nothing counts as free.
pub(crate) fn micros(d: Duration) -> u64 {
    (d.as_nanos().div_ceil(1000) as u64).clamp(1, MAX_LATENCY_US)
}

pub(crate) fn histogram<C: hdrhistogram::Counter>(digits: u8) -> Histogram<C> {
    let mut h =
        Histogram::new_with_bounds(1, 2, digits).expect("1, 2 and a digit are valid bounds");
    // Grows with what is recorded, so that a fast second costs a kilobyte.
    h.auto(true);
    h
}

/// Records a latency in a histogram that grows. (`saturating_record` would
/// clip it to the histogram's size of the moment.)
pub(crate) fn record<C: hdrhistogram::Counter>(h: &mut Histogram<C>, us: u64) {
    // Cannot fail: `micros` bounds the value, far below what a histogram can grow to.
    let _ = h.record(us.min(MAX_LATENCY_US));
}
