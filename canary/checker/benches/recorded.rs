//! Recorded histories against the times in their `EXPECTED.tsv`, in the folder
//! that `GAMEDAY_HISTORIES` names: `cargo bench -p gameday-checker --bench recorded`.
//!
//! Both sides are the least of fifty repetitions with the history in memory
//! already. The other side was measured on another day and machine.

use gameday_checker::read::{self, read};
use gameday_checker::{Options, check};
use std::path::Path;
use std::time::Instant;

const REPETITIONS: usize = 50;

fn main() {
    let Ok(folder) = std::env::var("GAMEDAY_HISTORIES") else {
        println!("GAMEDAY_HISTORIES names no folder: nothing was measured");
        return;
    };
    let folder = Path::new(&folder);
    let list = std::fs::read_to_string(folder.join("EXPECTED.tsv")).expect("EXPECTED.tsv");
    let (mut ours, mut theirs, mut files, mut slower) = (0.0, 0.0, 0, 0);
    for line in list.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let Ok(other) = fields[6].parse::<f64>() else {
            continue;
        };
        let bytes = std::fs::read(folder.join(fields[0])).expect(fields[0]);
        let reading = read(&bytes, &read::Options::default()).expect(fields[0]);
        let least = (0..REPETITIONS)
            .map(|_| {
                let begun = Instant::now();
                std::hint::black_box(check(&reading.log, &Options::default()));
                begun.elapsed().as_secs_f64()
            })
            .fold(f64::INFINITY, f64::min);
        println!(
            "{:24} {:9.1} µs, {:9.1} µs expected",
            fields[0],
            least * 1e6,
            other * 1e6
        );
        ours += least;
        theirs += other;
        files += 1;
        slower += u32::from(least > other);
    }
    println!(
        "{files} files: {:.2} ms of {:.2} ms, 1/{:.0}; {slower} slower",
        ours * 1e3,
        theirs * 1e3,
        theirs / ours
    );
}
