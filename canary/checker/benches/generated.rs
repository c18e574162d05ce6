//! Generated histories in which values repeat, and of texts, legal and not:
//! `cargo bench -p gameday-checker --bench generated`.
//!
//! The least of so many repetitions, with the history in memory already.

use gameday_checker::generate::{Calls, Keys, calls};
use gameday_checker::{Options, check};
use gameday_record::Verdict;
use std::hint::black_box;
use std::time::Instant;

const REPETITIONS: usize = 20;

fn main() {
    for (name, keys_hold, keys, clients, operations) in [
        ("texts, 10 keys", Keys::Texts, 10, 50, 2_000),
        ("texts, 1 key", Keys::Texts, 1, 50, 2_000),
        ("texts, 10 keys", Keys::Texts, 10, 50, 20_000),
        (
            "registers of 5 values, 10 keys",
            Keys::Registers(5),
            10,
            50,
            2_000,
        ),
        (
            "registers of 5 values, 1 key",
            Keys::Registers(5),
            1,
            20,
            2_000,
        ),
        (
            "registers of 20 values, 1 key",
            Keys::Registers(20),
            1,
            20,
            2_000,
        ),
        (
            "registers of 5 values, 100 keys",
            Keys::Registers(5),
            100,
            50,
            100_000,
        ),
    ] {
        for broken in [false, true] {
            let log = calls(&Calls {
                seed: 1,
                keys_hold,
                keys,
                clients,
                operations,
                broken,
            })
            .expect("it fits");
            let mut verdict = Verdict::Unknown;
            let least = (0..REPETITIONS)
                .map(|_| {
                    let begun = Instant::now();
                    let checks = black_box(check(&log, &Options::default()));
                    let took = begun.elapsed().as_secs_f64();
                    verdict = checks[0].verdict;
                    took
                })
                .fold(f64::INFINITY, f64::min);
            let what = if broken { "broken" } else { "legal" };
            println!(
                "{name:32} {clients:3} clients {operations:7} operations {what:6} {:9.2} ms {verdict:?}",
                least * 1e3
            );
        }
    }
}
