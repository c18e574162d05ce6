//! How fast histories are judged: `cargo bench -p gameday-checker`.
//!
//! The log is in memory already; reading a file is not part of it.

use criterion::{Criterion, criterion_group, criterion_main};
use gameday_checker::{Log, Options, check, generate};
use gameday_record::Verdict;
use std::hint::black_box;
use std::time::Duration;

fn judge(c: &mut Criterion) {
    // Name, keys, clients, operations, unknown share, share of compare-and-set.
    let cases = [
        (
            "1 key, 50 clients, 100 000 operations",
            1,
            50,
            100_000,
            0.0,
            0.0,
        ),
        (
            "1 key, 1 % unknown, 10 000 operations",
            1,
            10,
            10_000,
            0.01,
            0.0,
        ),
        (
            "1 key, 20 % unknown, 25 % CAS, 100 000 operations",
            1,
            50,
            100_000,
            0.2,
            0.25,
        ),
        (
            "1000 keys, 50 clients, 1 000 000 operations",
            1000,
            50,
            1_000_000,
            0.0,
            0.0,
        ),
    ];
    let mut group = c.benchmark_group("check");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    for (name, keys, clients, operations, unknown, cas) in cases {
        let history = generate::history(&generate::Options {
            seed: 1,
            keys,
            clients,
            operations,
            unknown,
            failed: 0.0,
            cas,
            writes: 0.5 - cas,
            eventual: 0.0,
            final_reads: true,
            ..generate::Options::default()
        });
        let log = Log::of(&history).expect("it fits");
        group.bench_function(name, |b| {
            b.iter(|| {
                let checks = check(black_box(&log), &Options::default());
                assert!(checks.iter().all(|c| c.verdict == Verdict::Pass));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, judge);
criterion_main!(benches);
