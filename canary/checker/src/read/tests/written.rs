//! Histories that were read are written as EDN and read again: the same
//! operations. Each of these was found by fuzzing.

use super::*;
use crate::write;

/// Written and read again, the operations are the same.
#[track_caller]
fn same_again(text: &str, options: &Options) {
    let before = reading(text, options);
    let mut edn = String::new();
    write::edn(&before.log, &mut edn).expect("one kind of object");
    let after = reading(&edn, &Options::default());
    assert_eq!(words(&after.log), words(&before.log), "{edn}");
    assert_eq!(after.log.initial, before.log.initial);
}

/// A text that was read as nil, where nil may be any text.
#[test]
fn a_read_of_any_text() {
    let text = "{:process 0, :type :invoke, :f :get, :key \"k\", :value nil}
        {:process 1, :type :invoke, :f :put, :key \"k\", :value \"a\"}
        {:process 0, :type :ok, :f :get, :key \"k\", :value nil}";
    let options = Options {
        nil: Some(Nil::Anything),
        ..Options::default()
    };
    assert_eq!(
        words(&reading(text, &options).log)[0],
        "c0 k: read anything ok 0..2"
    );
    same_again(text, &options);
}

/// A recording without any operation: whether it had times is not known.
#[test]
fn a_recording_of_nothing() {
    let text = "{\"gameday_history\":{\"version\":2,\"run\":\"r\",\"seed\":1,\"clock\":\"c\",\"epoch_utc\":\"\"}}\n";
    let mut written = [String::new(), String::new()];
    let before = reading(text, &Options::default());
    write::edn(&before.log, &mut written[0]).expect("nothing");
    let after = reading(&written[0], &Options::default());
    assert!(!after.log.complete);
    write::edn(&after.log, &mut written[1]).expect("nothing");
    assert_eq!(written[0], written[1]);
}

/// Which completion belongs to which invocation could not be told.
#[test]
fn a_process_with_two_calls_open_at_once_is_refused() {
    let header = "{\"gameday_history\":{\"version\":2,\"run\":\"r\",\"seed\":1,\"clock\":\"c\",\"epoch_utc\":\"\"}}\n";
    let event = |time: u64, kind: &str| {
        format!(
            "{{\"time\":{time},\"process\":4,\"type\":\"{kind}\",\"f\":\"write\",\"key\":\"k\",\"value\":{time}}}\n"
        )
    };
    // The lines are in order, their times are not.
    let text = header.to_string()
        + &event(1, "invoke")
        + &event(9, "ok")
        + &event(5, "invoke")
        + &event(12, "ok");
    let log = reading(&text, &Options::default()).log;
    let refused = write::edn(&log, &mut String::new());
    assert_eq!(refused, Err(write::Unwritable::Overlapping(4)));
}
