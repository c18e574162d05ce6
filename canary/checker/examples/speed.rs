//! How fast histories are judged: `cargo run --release -p gameday-checker --example speed`.

use gameday_checker::{Log, Options, check, generate};
use std::time::Instant;

fn main() {
    let cases = [
        ("1 key, 5 clients", 1, 5, 10_000, 0.0, 0.0),
        ("1 key, 50 clients", 1, 50, 100_000, 0.0, 0.0),
        ("100 keys, 50 clients", 100, 50, 100_000, 0.0, 0.0),
        ("100 keys, CAS 25 %", 100, 50, 100_000, 0.0, 0.25),
        ("1 key, 1 % unknown", 1, 10, 10_000, 0.01, 0.0),
        ("1 key, 20 % unknown, CAS 25 %", 1, 50, 100_000, 0.2, 0.25),
        ("1000 keys", 1000, 50, 1_000_000, 0.0, 0.0),
    ];
    println!(
        "{:<32} {:>9} {:>10} {:>10}  verdicts",
        "history", "ops", "log ms", "check ms"
    );
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
        let (mut best, mut building) = (f64::INFINITY, f64::INFINITY);
        let mut verdicts = Vec::new();
        for _ in 0..5 {
            let start = Instant::now();
            let log = Log::of(&history).expect("fits");
            building = building.min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            let checks = check(&log, &Options::default());
            best = best.min(start.elapsed().as_secs_f64());
            verdicts = checks.iter().map(|c| c.verdict).collect();
        }
        println!(
            "{name:<32} {operations:>9} {:>10.3} {:>10.3}  {verdicts:?}",
            building * 1e3,
            best * 1e3
        );
    }
}
