//! What is written is what is read, and what is not a record is refused with its place.

use gameday_record::history::{self, HistoryFile, HistoryWriter};
use gameday_record::operation::{Call, ErrorClass, Failure, Operation, Outcome};
use gameday_record::timeline::{self, TimelineEvent, TimelineLine, TimelineWriter};
use gameday_record::{Event, HistoryHeader, Nanos, Phase, Verdict};

fn header() -> HistoryHeader {
    HistoryHeader {
        version: history::HISTORY_VERSION,
        run: "r".into(),
        seed: 7,
        clock: "CLOCK_MONOTONIC".into(),
        epoch_utc: "2026-01-01T00:00:00Z".into(),
        forgotten: None,
    }
}

fn op(process: u64, at: u64, call: Call, outcome: Outcome) -> Operation {
    Operation {
        index: 0,
        process,
        az: "a".into(),
        endpoint: "b".into(),
        call,
        due: Nanos(at - 1),
        invoked: Nanos(at),
        returned: Some(Nanos(at + 5)),
        outcome,
        last: false,
        table: String::new(),
        fresh: false,
        attempt: Default::default(),
    }
}

fn every_kind() -> Vec<Operation> {
    let key = || "k".to_string();
    let failure = |class| Failure {
        class,
        message: "m".into(),
    };
    vec![
        op(
            1,
            10,
            Call::Write {
                key: key(),
                value: 3,
            },
            Outcome::Ok { value: None },
        ),
        op(
            2,
            20,
            Call::Read {
                key: key(),
                strong: true,
            },
            Outcome::Ok { value: Some(3) },
        ),
        op(
            3,
            30,
            Call::Read {
                key: key(),
                strong: false,
            },
            Outcome::Ok { value: None },
        ),
        op(
            4,
            40,
            Call::Cas {
                key: key(),
                expected: None,
                new: 4,
            },
            Outcome::Failed {
                failure: failure(ErrorClass::Condition),
                observed: Some(Some(3)),
            },
        ),
        op(
            5,
            50,
            Call::Cas {
                key: key(),
                expected: Some(1),
                new: 5,
            },
            Outcome::Failed {
                failure: failure(ErrorClass::Condition),
                observed: Some(None),
            },
        ),
        op(
            6,
            60,
            Call::Write {
                key: key(),
                value: 6,
            },
            Outcome::Failed {
                failure: failure(ErrorClass::Refused),
                observed: None,
            },
        ),
        op(
            7,
            70,
            Call::Write {
                key: key(),
                value: 7,
            },
            Outcome::Unknown {
                failure: failure(ErrorClass::Timeout),
            },
        ),
    ]
}

fn written(ops: &[Operation]) -> Vec<u8> {
    let mut w = HistoryWriter::new(Vec::new(), header()).unwrap();
    for o in ops {
        w.append(Event::invoke(o)).unwrap();
        if let Some(at) = o.returned {
            w.append(Event::complete(o, at)).unwrap();
        }
    }
    w.finish().unwrap()
}

#[test]
fn a_history_survives_the_file() {
    let mut ops = every_kind();
    let bytes = written(&ops);
    let back = history::read(&bytes[..]).unwrap();
    assert!(back.complete);
    for (i, o) in ops.iter_mut().enumerate() {
        o.index = 2 * i as u64;
    }
    assert_eq!(back.operations, ops);
}

#[test]
fn a_call_without_completion_is_unknown() {
    let mut pending = every_kind().remove(0);
    pending.returned = None;
    let back = history::read(&written(&[pending])[..]).unwrap();
    let Outcome::Unknown { failure } = &back.operations[0].outcome else {
        panic!("not unknown")
    };
    assert_eq!(failure.class, ErrorClass::Abandoned);
    assert_eq!(back.operations[0].returned, None);
}

#[test]
fn a_history_cut_off_anywhere_is_read_but_never_complete() {
    let bytes = written(&every_kind());
    let first = bytes.iter().position(|b| *b == b'\n').unwrap();
    for cut in first + 1..bytes.len() {
        let back = history::read(&bytes[..cut]).unwrap();
        assert!(!back.complete, "cut at {cut}");
    }
    assert!(
        history::read(&bytes[..first]).is_err(),
        "without header it is no history"
    );
}

#[test]
fn what_is_no_history_is_refused_with_its_line() {
    let good = String::from_utf8(written(&every_kind())).unwrap();
    let lines: Vec<_> = good.lines().collect();
    let bad = |replace: usize, with: &str| {
        let mut l = lines.clone();
        l[replace] = with;
        history::read(format!("{}\n", l.join("\n")).as_bytes()).unwrap_err()
    };
    assert!(bad(1, "{}").starts_with("line 2:"));
    assert!(bad(2, lines[1]).contains("still open"));
    assert!(bad(3, lines[4]).contains("did not invoke"));
    assert!(bad(0, lines[1]).contains("before the header"));
    assert!(bad(3, &lines[3].replace("\"read\"", "\"peek\"")).contains("unknown call 'peek'"));
    let long = "x".repeat(history::MAX_LINE + 2);
    assert!(bad(1, &long).contains("longer than"));
}

#[test]
fn the_end_marker_and_the_names_of_calls_are_checked() {
    let good = String::from_utf8(written(&every_kind())).unwrap();
    let lines: Vec<_> = good.lines().collect();
    let read = |lines: &[&str]| {
        history::read(format!("{}\n", lines.join("\n")).as_bytes()).map(|h| h.complete)
    };
    assert_eq!(read(&lines), Ok(true));
    // Both lines of one call are gone, as after bit rot or a second writer.
    let mut fewer = lines.clone();
    fewer.drain(1..3);
    let error = read(&fewer).unwrap_err();
    assert!(
        error.contains("the end marker counts 14 events, but 12"),
        "{error}"
    );
    let at = 1 + lines
        .iter()
        .position(|l| l.contains("\"f\":\"read\""))
        .unwrap();
    let other = lines[at].replace("\"f\":\"read\"", "\"f\":\"write\"");
    let mut renamed = lines.clone();
    renamed[at] = &other;
    let error = read(&renamed).unwrap_err();
    assert!(
        error.contains("completes 'write', but it invoked 'read'"),
        "{error}"
    );
}

#[test]
fn a_history_may_begin_with_a_byte_order_mark_and_nowhere_else() {
    let mut plain = Vec::new();
    let mut writer = HistoryWriter::new(&mut plain, header()).unwrap();
    for o in &every_kind() {
        writer.append(Event::invoke(o)).unwrap();
    }
    writer.finish().unwrap();
    let marked = [b"\xef\xbb\xbf", &plain[..]].concat();
    assert_eq!(history::read(&marked[..]), history::read(&plain[..]));
    let twice = [b"\xef\xbb\xbf", &marked[..]].concat();
    assert!(history::read(&twice[..]).unwrap_err().contains("line 1"));
}

/// Many lines, so that there are several frames.
fn packed(ops: &[Operation], path: &std::path::Path) {
    let file = std::fs::File::create(path).unwrap();
    let packed = path.extension() == Some("zst".as_ref());
    let file = HistoryFile::new(std::io::BufWriter::new(file), packed).unwrap();
    let mut w = HistoryWriter::new(file, header()).unwrap();
    for (i, o) in ops.iter().enumerate() {
        w.append(Event::of_invocation(o)).unwrap();
        w.append(Event::of_completion(o, o.returned.unwrap()))
            .unwrap();
        if i % 1000 == 0 {
            w.flush().unwrap();
        }
    }
    w.finish().unwrap().finish().unwrap();
}

fn many() -> Vec<Operation> {
    let kinds = every_kind();
    (0..30_000)
        .map(|i| Operation {
            index: 2 * i,
            process: i % 7,
            invoked: Nanos(i * 1_000_000),
            due: Nanos(i * 1_000_000),
            returned: Some(Nanos(i * 1_000_000 + 700)),
            ..kinds[i as usize % kinds.len()].clone()
        })
        .collect()
}

#[test]
fn a_packed_history_has_the_same_lines_and_begins_at_any_frame() {
    let dir = tempfile::tempdir().unwrap();
    let ops = many();
    let [plain, zst] = ["history.jsonl", "history.jsonl.zst"].map(|n| dir.path().join(n));
    packed(&ops, &plain);
    packed(&ops, &zst);
    let mut lines = String::new();
    history::open(&zst)
        .unwrap()
        .read_to_string(&mut lines)
        .unwrap();
    assert!(lines == std::fs::read_to_string(&plain).unwrap());
    let folder = gameday_record::RunFolder::at(dir.path());
    assert_eq!(folder.history(), plain);
    std::fs::remove_file(&plain).unwrap();
    assert_eq!(folder.history(), zst);
    let back = folder.read_history().unwrap();
    assert!(back.complete && back.operations == ops);

    let mut file = std::fs::File::open(&zst).unwrap();
    let frames = history::frames(&mut file).unwrap().expect("an index");
    assert!(frames.len() > 1, "{frames:?}");
    let bytes = std::fs::read(&zst).unwrap();
    let mut at = 0;
    for f in &frames {
        let one = &bytes[f.at as usize..][..f.packed as usize];
        let part = {
            let mut part = Vec::new();
            zstd::stream::copy_decode(one, &mut part).unwrap();
            part
        };
        assert!(part == lines.as_bytes()[at..][..f.content as usize]);
        assert_eq!(part.last(), Some(&b'\n'), "frames are of whole lines");
        at += f.content as usize;
    }
    assert_eq!(at, lines.len());
    // Of one that is no packed history there is nothing to say.
    assert_eq!(
        history::frames(&mut std::io::Cursor::new(lines)).unwrap(),
        None
    );
    // An index that does not fit is no index.
    let mut torn = std::io::Cursor::new(bytes[7..].to_vec());
    assert!(history::frames(&mut torn).is_err());
}

#[test]
fn a_packed_history_cut_off_anywhere_is_read_as_far_as_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let zst = dir.path().join("history.jsonl.zst");
    let ops = many();
    packed(&ops, &zst);
    let bytes = std::fs::read(&zst).unwrap();
    let folder = gameday_record::RunFolder::at(dir.path());
    let mut before = 0;
    for part in 1..=10 {
        // The last cut is in the index: all lines are there, the end marker too.
        let cut = if part == 10 {
            bytes.len() - 3
        } else {
            bytes.len() * part / 10
        };
        std::fs::write(&zst, &bytes[..cut]).unwrap();
        let back = folder.read_history().unwrap();
        assert_eq!(back.complete, part == 10);
        assert!(back.operations.len() >= before);
        before = back.operations.len();
        // What was flushed is there: at most a flush apart from the share of the file.
        assert!(before + 3_000 > ops.len() * part / 10, "{before} of {part}");
    }
    // Damage in the middle is no end.
    let mut bad = bytes.clone();
    bad[bytes.len() / 2] ^= 0x55;
    std::fs::write(&zst, &bad).unwrap();
    let error = folder.read_history().unwrap_err();
    assert!(error.contains("history.jsonl.zst: line"), "{error}");
}

#[test]
fn a_timeline_survives_a_torn_last_line_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("timeline.jsonl");
    let line = |t, phase| TimelineLine {
        time: Nanos(t),
        event: TimelineEvent::Phase {
            phase,
            cpu_wait_ms: None,
        },
    };
    let lines = [line(1, Phase::Up), line(2, Phase::Baseline)];
    let mut w = TimelineWriter::open(&path).unwrap();
    for l in &lines {
        w.append(l).unwrap();
    }
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(timeline::read(&bytes[..]).unwrap(), lines);
    assert_eq!(
        timeline::read(&bytes[..bytes.len() - 5]).unwrap(),
        lines[..1]
    );
    std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    TimelineWriter::open(&path)
        .unwrap()
        .append(&lines[1])
        .unwrap();
    assert_eq!(
        timeline::read(&std::fs::read(&path).unwrap()[..]).unwrap(),
        lines
    );
    let mut torn = b"{\"time\"\n".to_vec();
    torn.extend_from_slice(&bytes);
    assert!(
        timeline::read(&torn[..])
            .unwrap_err()
            .starts_with("line 1:")
    );
}

#[test]
fn unknown_never_hides_a_failure_and_never_becomes_a_pass() {
    use Verdict::*;
    assert_eq!(Pass.and(Pass), Pass);
    assert_eq!(Pass.and(Unknown), Unknown);
    assert_eq!(Unknown.and(Fail), Fail);
    assert_eq!(Fail.and(Pass), Fail);
}
