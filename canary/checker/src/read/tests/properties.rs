use super::*;
use crate::log::Act;
use crate::write;
use proptest::collection::vec;
use proptest::prelude::*;

/// Small valid files of every format, to be mutated.
const FILES: [&str; 6] = [
    "{\"gameday_history\":{\"version\":2,\"run\":\"r\",\"seed\":1,\"clock\":\"c\",\"epoch_utc\":\"\"}}
{\"time\":5,\"process\":0,\"type\":\"invoke\",\"f\":\"cas\",\"key\":\"k\",\"value\":[null,7],\"az\":\"a\"}
{\"time\":9,\"process\":0,\"type\":\"fail\",\"f\":\"cas\",\"key\":\"k\",\"value\":[null,7],\"observed\":3}
{\"gameday_end\":2}\n",
    "[{:process 0, :type :invoke, :f :write, :value [1 :a], :time 1}
 #_ skip {:process :nemesis :type :info :f :start :value #{\"x\\n\" 2/4 \\c}}
 #op{:process 0, :type :ok, :f :write, :value [1 :a], :time 2}]",
    "[{\"type\":\"invoke\",\"f\":\"add\",\"value\":1,\"process\":0},
{\"type\":\"ok\",\"f\":\"add\",\"value\":1,\"process\":0},
{\"type\":\"invoke\",\"f\":\"read\",\"value\":null,\"process\":1},
{\"type\":\"ok\",\"f\":\"read\",\"value\":[1,\"x\"],\"process\":1}]",
    "INFO  jepsen.util - 4\t:invoke\t:read\tnil
INFO  jepsen.util - 4    :ok  :read  2
INFO  jepsen.util - 1\t:invoke\t:cas\t[2 4]
INFO  jepsen.util - 1\t:info\t:cas\t:timed-out\n",
    "{:process 0, :type :invoke, :f :append, :key \"0\", :value \"x 0 \\\"y\"}
{:process 0, :type :ok, :f :append, :key \"0\", :value \"x 0 \\\"y\"}
{:process 1, :type :invoke, :f :get, :key \"0\", :value nil}
{:process 1, :type :ok, :f :get, :key \"0\", :value \"x\"}",
    "{:process :gameday, :type :info, :f :history, :value {:objects :registers, :complete true, :unique-values true, :final-reads false, :initial 5}}
{:process 0, :type :invoke, :f :cas, :value [[\"t\" \"k\"] [:absent 1]], :az \"a\"}
{:process 0, :type :fail, :f :cas, :value [[\"t\" \"k\"] [:absent 1]], :error [:condition], :observed 3}",
];

fn all_options() -> Vec<Options> {
    let formats = Format::ALL.map(Some).into_iter().chain([None]);
    formats
        .map(|format| Options {
            format,
            ..Options::default()
        })
        .collect()
}

/// Reads bytes in every way; what is refused must have a place in the file.
fn try_all(bytes: &[u8]) -> Result<(), TestCaseError> {
    let lines = bytes.split(|b| *b == b'\n').count() as u64;
    for options in all_options() {
        match read(bytes, &options) {
            Ok(r) => prop_assert!(words(&r.log).len() == r.log.len()),
            Err(e) => {
                prop_assert!(e.line <= lines, "{e}");
                let header = e.what == "not a gameday history: no header line";
                prop_assert!(e.line > 0 || header, "{e}");
            }
        }
    }
    Ok(())
}

#[derive(Clone, Debug)]
enum Mutation {
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize),
    Flip(usize, u8),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    // Pieces that mean something somewhere.
    let piece = prop::sample::select(vec![
        &b"{"[..],
        b"}",
        b"[",
        b"]",
        b"(",
        b")",
        b"\"",
        b"\\",
        b"#",
        b"#_",
        b"^",
        b":",
        b";",
        b"\n",
        b"nil",
        b"null",
        b"-",
        b"99999999999999999999",
        b"1/0",
        b"\\u12",
        b"##NaN",
        b":type",
        b"\xc3",
        b"18446744073709551615",
        b"-9223372036854775808",
        b"0x",
        b"37r1",
        b"#{",
        b"#:n{",
        b",",
    ]);
    prop_oneof![
        (any::<usize>(), 1..20usize).prop_map(|(at, n)| Mutation::Remove(at, n)),
        (any::<usize>(), piece.prop_map(<[u8]>::to_vec))
            .prop_map(|(at, p)| Mutation::Insert(at, p)),
        (any::<usize>(), 1..80usize).prop_map(|(at, n)| Mutation::Repeat(at, n)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, b)| Mutation::Flip(at, b)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, m: Mutation) {
    let place = |at: usize| at % (bytes.len() + 1);
    match m {
        Mutation::Remove(at, n) => {
            let at = place(at);
            bytes.drain(at..(at + n).min(bytes.len()));
        }
        Mutation::Insert(at, piece) => {
            let at = place(at);
            bytes.splice(at..at, piece);
        }
        Mutation::Repeat(at, n) => {
            let at = place(at);
            let piece = bytes[at..(at + n).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        Mutation::Flip(at, b) => {
            let at = place(at);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = b;
            }
        }
    }
}

#[test]
fn the_files_are_valid() {
    for file in FILES {
        let r = reading(file, &Options::default());
        assert!(!r.log.is_empty());
    }
}

/// What a client does next: process, pause, duration, key, which call, a
/// value, effect, table, last.
type Step = (u8, u8, u8, u8, u8, i64, u8, bool);

/// A log of registers, texts or sets without eventual reads.
fn log_of(steps: &[Step], objects: u8, clock: Clock, initial: Option<i64>) -> Log {
    let mut log = Log::default();
    log.clock = clock;
    log.initial = initial;
    log.complete = steps.len().is_multiple_of(2);
    log.promises.unique_values = steps.len().is_multiple_of(3);
    log.promises.final_reads = steps.len().is_multiple_of(5);
    let mut free: [(u64, u64); 4] = [(0, 0), (1, 0), (2, 3), (3, 0)];
    for (i, &(process, pause, duration, key, call, value, effect, flag)) in (0u64..).zip(steps) {
        let slot = &mut free[process as usize % 4];
        let start = slot.1 + u64::from(pause);
        let finish = start + u64::from(duration);
        let (id, effect) = (slot.0, effect % 8);
        slot.1 = finish;
        let maybe = (value % 3 != 0).then_some(value);
        let text = format!("t{value}\n\"\\é");
        let elements = [value, value + 1, value];
        let ok = effect < 5;
        let act = match (objects % 3, call % 6) {
            (0, 0) => Act::Read {
                strong: true,
                found: maybe.filter(|_| ok),
            },
            (0, 1) if ok => Act::ReadAnything,
            (0, 2) => Act::Insert(value),
            (0, 3 | 1) => Act::Cas {
                expected: maybe,
                new: value.wrapping_add(1),
                found: (effect == 7 && flag).then_some(maybe),
            },
            (0, 4) => Act::Add {
                delta: value,
                sum: maybe.filter(|_| ok),
            },
            (0, _) => Act::Write(value),
            (1, 0 | 1) => Act::Get(if ok { &text } else { "" }),
            (1, 2 | 3) => Act::Put(&text),
            (1, _) => Act::Append(&text),
            (_, 0..3) => Act::ReadSet(if ok { &elements } else { &[] }),
            _ => Act::AddElement(value),
        };
        let cas = matches!(act, Act::Cas { .. });
        let (effect, finish) = match effect {
            0..5 => (Effect::Ok, Some(finish)),
            5 => (Effect::Unknown, flag.then_some(finish)),
            6 => (Effect::Failed, Some(finish)),
            _ if cas => (Effect::Refused, Some(finish)),
            _ => (Effect::Failed, Some(finish)),
        };
        if effect == Effect::Unknown {
            // A process is retired after an unknown outcome.
            slot.0 += 4;
        }
        log.push(&Push {
            index: i,
            process: id,
            az: if flag { "a" } else { "" },
            endpoint: if flag { "b\"" } else { "" },
            table: if key % 4 == 0 { "t 1" } else { "" },
            key: ["k", "7", "-0", "ü\""][key as usize % 4],
            start,
            finish,
            effect,
            act,
            last: flag && matches!(act, Act::Read { .. }),
        })
        .unwrap();
    }
    log
}

fn sorted(log: &Log) -> Vec<String> {
    let mut words = words(log);
    words.sort();
    words
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        try_all(&bytes)?;
    }

    #[test]
    fn mutated_files_are_read_or_refused(
        file in 0..FILES.len(),
        mutations in vec(mutation(), 1..5),
    ) {
        let mut bytes = FILES[file].as_bytes().to_vec();
        for m in mutations {
            mutate(&mut bytes, m);
        }
        try_all(&bytes)?;
    }

    #[test]
    fn what_is_written_as_edn_reads_back_the_same(
        steps in vec(any::<Step>(), 0..40),
        objects in 0..3u8,
        timed in any::<bool>(),
        initial in any::<Option<i64>>(),
    ) {
        // Values as small as the ones of histories, so that some repeat.
        let steps: Vec<Step> = steps.into_iter().map(|mut s| { s.5 %= 50; s }).collect();
        let clock = if timed { Clock::Nanoseconds } else { Clock::Events };
        let initial = initial.filter(|_| objects == 0);
        let log = log_of(&steps, objects, clock, initial);
        let mut text = String::new();
        let written = write::edn(&log, &mut text).unwrap();
        prop_assert_eq!(written, write::Written { operations: log.len() as u64, left_out: 0 });
        let back = match read(text.as_bytes(), &Options::default()) {
            Ok(r) => r.log,
            Err(e) => return Err(TestCaseError::fail(format!("{e}\n{text}"))),
        };
        if timed {
            prop_assert_eq!(sorted(&back), sorted(&log), "{}", text);
        } else {
            prop_assert_eq!(back.len(), log.len());
        }
        prop_assert_eq!(back.initial, log.initial);
        prop_assert_eq!(back.complete, log.complete);
        prop_assert_eq!(back.promises, log.promises);
        let judge = |log: &Log| -> Vec<_> {
            let options = crate::Options { threads: 1, ..crate::Options::default() };
            let checks = crate::check(log, &options);
            checks.into_iter().map(|c| (c.name, c.verdict, c.anomalies_total)).collect()
        };
        if timed {
            prop_assert_eq!(judge(&back), judge(&log), "{}", text);
        }
    }
}
