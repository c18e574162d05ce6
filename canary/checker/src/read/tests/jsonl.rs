use super::*;
use crate::generate;
use gameday_record::history::{self, Event, HistoryWriter};
use gameday_record::{Call, HistoryHeader, Outcome as Recorded};

const HEADER: &str = "{\"gameday_history\":{\"version\":2,\"run\":\"r\",\"seed\":1,\"clock\":\"c\",\"epoch_utc\":\"\"}}\n";

fn header() -> HistoryHeader {
    HistoryHeader {
        version: history::HISTORY_VERSION,
        run: "run".into(),
        seed: 1,
        clock: "CLOCK_MONOTONIC".into(),
        epoch_utc: "2026-01-01T00:00:00Z".into(),
        forgotten: None,
    }
}

fn error(lines: &str) -> String {
    let text = format!("{HEADER}{lines}");
    read(text.as_bytes(), &Options::default())
        .unwrap_err()
        .to_string()
}

/// A generated history as its recorder would have written it.
fn recorded(options: &generate::Options) -> Vec<u8> {
    let history = generate::history(options);
    let mut events = Vec::new();
    for op in &history.operations {
        events.push((op.invoked, Event::invoke(op)));
        if let Some(at) = op.returned {
            events.push((at, Event::complete(op, at)));
        }
    }
    events.sort_by_key(|(at, _)| *at);
    let mut writer = HistoryWriter::new(Vec::new(), header()).unwrap();
    for (_, event) in events {
        writer.append(event).unwrap();
    }
    writer.finish().unwrap()
}

fn sorted(log: &Log) -> Vec<String> {
    let mut words = words(log);
    words.sort();
    words
}

#[test]
fn the_reader_agrees_with_the_one_of_the_records() {
    for seed in 0..20 {
        let options = generate::Options {
            seed,
            ..generate::Options::default()
        };
        let bytes = recorded(&options);
        let theirs = Log::of(&history::read(&bytes[..]).unwrap()).unwrap();
        let ours = read(&bytes, &Options::default()).unwrap();
        assert_eq!(ours.format, Format::Gameday);
        assert_eq!(sorted(&ours.log), sorted(&theirs), "seed {seed}");
        assert!(ours.log.complete && !ours.log.is_empty());
        assert_eq!(ours.log.promises, theirs.promises);
        // Cut off anywhere, they still agree.
        for cut in [bytes.len() - 1, bytes.len() / 2, bytes.len() / 3] {
            let theirs = history::read(&bytes[..cut]).unwrap();
            let ours = read(&bytes[..cut], &Options::default()).unwrap();
            assert!(!ours.log.complete && !theirs.complete);
            assert_eq!(sorted(&ours.log), sorted(&Log::of(&theirs).unwrap()));
        }
    }
}

#[test]
fn every_call_and_outcome_is_read() {
    let event = |rest: &str| format!("{{\"process\":0,{rest}}}\n");
    let text = [
        HEADER.to_string(),
        event(r#""time":1,"type":"invoke","f":"cas","key":"k","value":[null,5],"az":"a","endpoint":"b","table":"t""#),
        event(r#""time":2,"type":"fail","f":"cas","key":"k","value":[null,5],"table":"t","observed":null,"error":{"class":"condition"}"#),
        event(r#""time":3,"type":"invoke","f":"add","key":"c","value":2"#),
        event(r#""time":4,"type":"ok","f":"add","key":"c","value":7"#),
        event(r#""time":5,"type":"invoke","f":"insert","key":"\u0069","value":9"#),
        event(r#""time":6,"type":"fail","f":"insert","key":"i","value":9,"error":{"class":"refused"}"#),
        event(r#""time":7,"type":"invoke","f":"eventual-read","key":"k","value":null,"last":true"#),
        event(r#""time":8,"type":"ok","f":"eventual-read","key":"k","value":5"#),
        event(r#""time":9,"type":"invoke","f":"write","key":"k","value":6"#),
    ]
    .concat();
    let r = reading(&text, &Options::default());
    assert_eq!(
        words(&r.log),
        [
            "c0 t/k: cas - 5 found - refused 1..2 a>b",
            "c0 c: add 2 7 ok 3..4",
            "c0 i: insert 9 failed 5..6",
            "c0 k: eventual-read 5 ok 7..8 last",
            "c0 k: write 6 unknown 9..",
        ]
    );
    assert_eq!(r.model, "cas-register + durable set + counter");
}

#[test]
fn lines_that_do_not_fit_are_refused_with_their_number() {
    let invoke = "{\"time\":1,\"process\":0,\"type\":\"invoke\",\"f\":\"read\",\"key\":\"k\",\"value\":null}\n";
    let ok = |time: u64, key: &str, value: &str| {
        format!(
            "{{\"time\":{time},\"process\":0,\"type\":\"ok\",\"f\":\"read\",\"key\":\"{key}\",\"value\":{value}}}\n"
        )
    };
    for (lines, what) in [
        (HEADER.to_string(), "line 2: a second header"),
        (
            "{\n".into(),
            "line 2, column 1: neither an event, a header nor an end marker (EOF while parsing an object)",
        ),
        ("\n".into(), "line 2: neither"),
        ("{\"time\":x}\n".into(), "line 2, column 9: neither"),
        (
            ok(1, "k", "1"),
            "line 2: process 0 completes a call that it did not invoke",
        ),
        (
            invoke.to_string() + invoke,
            "line 3: process 0 invokes while its last call is still open",
        ),
        (
            invoke.to_string() + &ok(1, "j", "1"),
            "line 3: process 0 completes a call on another key",
        ),
        (
            invoke.to_string() + &ok(2, "k", "1").replace("read", "write"),
            "line 3: process 0 completes 'write', but it invoked 'read'",
        ),
        (
            invoke.to_string() + &ok(0, "k", "1"),
            "line 3: process 0 completes a call before it began",
        ),
        (
            invoke.to_string() + &ok(2, "k", "[1,2]"),
            "line 3: 'read' returned a pair",
        ),
        (
            invoke.replace("read", "write"),
            "line 2: 'write' has no value to write",
        ),
        (
            invoke.replace("read", "scan"),
            "line 2: unknown call 'scan'",
        ),
        (
            invoke.replace("\"time\":1,", ""),
            "line 2: an event without 'time'",
        ),
        (
            invoke.replace("\"value\":null", "\"a\":1"),
            "line 2: an event without 'value'",
        ),
        (
            "{\"gameday_end\":1}\n".into(),
            "line 2: the end marker counts 1 events, but 0 stand before it",
        ),
        (
            "{\"gameday_end\":0}\n{}\n".into(),
            "line 3: something follows the end marker",
        ),
    ] {
        let error = error(&lines);
        assert!(error.starts_with(what), "{error}\n{lines}");
    }
    let e = read(
        HEADER.replace(":2,", ":99,").as_bytes(),
        &Options::default(),
    )
    .unwrap_err();
    assert!(e.what.starts_with("history format 99"), "{e}");
    let gameday = Options {
        format: Some(Format::Gameday),
        ..Options::default()
    };
    let e = read(invoke.as_bytes(), &gameday).unwrap_err();
    assert_eq!(e.to_string(), "line 1: an event before the header");
}

#[test]
fn a_model_is_held_against_the_calls() {
    let bytes = recorded(&generate::Options::default());
    let cas = generate::history(&generate::Options::default())
        .operations
        .iter()
        .any(|o| matches!(o.call, Call::Cas { .. }));
    assert!(cas);
    let with = |model| {
        let options = Options {
            model: Some(model),
            ..Options::default()
        };
        read(&bytes, &options)
    };
    assert!(with(Model::CasRegister).is_ok());
    for model in [Model::Register, Model::Counter, Model::Set, Model::KvAppend] {
        let e = with(model).unwrap_err();
        assert!(
            e.what
                .starts_with(&format!("the model {} has no '", model.name())),
            "{e}"
        );
    }
}

#[test]
fn nil_reads_and_the_initial_value_can_be_given_other_meanings() {
    let mut history = generate::history(&generate::Options::default());
    history.operations.retain(|o| {
        matches!(o.call, Call::Read { .. }) && matches!(o.outcome, Recorded::Ok { value: None })
    });
    let op = history.operations.first().expect("an early read");
    let mut writer = HistoryWriter::new(Vec::new(), header()).unwrap();
    writer.append(Event::invoke(op)).unwrap();
    writer
        .append(Event::complete(op, op.returned.unwrap()))
        .unwrap();
    let bytes = writer.finish().unwrap();
    let options = Options {
        nil: Some(Nil::Anything),
        initial: Some(Initial::Value("-3".into())),
        ..Options::default()
    };
    let r = read(&bytes, &options).unwrap();
    assert_eq!(r.log.entries[0].code, Code::ReadAnything);
    assert_eq!(r.log.initial, Some(-3));
    let options = Options {
        initial: Some(Initial::Value(":a".into())),
        ..options
    };
    let e = read(&bytes, &options).unwrap_err();
    assert_eq!(
        e.to_string(),
        "the initial value ':a' is no whole number of 64 bits"
    );
}

#[test]
fn the_header_of_a_segment_says_what_was_forgotten() {
    let header = HEADER.replace("\"\"}}", "\"\",\"forgotten\":70}}");
    let text = format!("{header}{{\"gameday_end\":0}}\n");
    let log = read(text.as_bytes(), &Options::default()).unwrap().log;
    assert_eq!(log.strangers, Some(crate::log::Strangers::Forgotten(70)));
}
