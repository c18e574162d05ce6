#![no_main]

use gameday_checker::read::Format;
use gameday_checker_fuzz::reader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| reader(Format::JepsenLog, bytes));
