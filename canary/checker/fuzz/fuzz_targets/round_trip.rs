#![no_main]

use gameday_checker_fuzz::round_trip;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| round_trip(bytes));
