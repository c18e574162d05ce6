use super::*;

#[test]
fn jepsens_edn_is_read() {
    let text = "; a history of two clients and the nemesis
[{:process 0, :type :invoke, :f :write, :value 3, :time 10, :index 0}
 {:process :nemesis, :type :info, :f :jepsen.nemesis/start, :value {:a [\"b\" #{c}]}, :time 11, :index 1}
 {:process 1, :type :invoke, :f :read, :time 12, :index 2}
 #_{:process 9, :type :oops}
 {:process 0, :type :ok, :f :write, :value 3, :time 20, :index 3}
 {:process 1, :type :ok, :f :read, :value 3, :time 22, :index 4}
 {:process 2, :type :invoke, :f :cas, :value [3 4], :time 23, :index 5}
 {:process 2, :type :info, :f :cas, :value :timed-out, :error [:net {:why 1}], :time 30, :index 6}
 {:process 3, :type :invoke, :f :cas, :value [3 5], :time 31, :index 7}
 {:process 3, :type :fail, :f :cas, :value [3 5], :time 32, :index 8}
 {:process 4, :type :invoke, :f :write, :value 6, :time 33, :index 9}]";
    let r = reading(text, &Options::default());
    assert_eq!(r.model, "cas-register");
    assert_eq!((r.format, r.skipped, r.reordered), (Format::Edn, 1, 0));
    assert_eq!(r.log.clock, Clock::Nanoseconds);
    assert_eq!(
        words(&r.log),
        [
            "c0: write 3 ok 10..20",
            "c1: read 3 ok 12..22",
            "c2: cas 3 4 unknown 23..30",
            "c3: cas 3 5 failed 31..32",
            "c4: write 6 unknown 33..",
        ]
    );
    let indices: Vec<u64> = r.log.entries.iter().map(|e| e.index).collect();
    assert_eq!(indices, [0, 2, 5, 7, 9]);
    assert!(r.log.complete);
}

#[test]
fn lists_tags_and_bare_maps_are_the_same_history() {
    let ops_of = |open: &str, tag: &str, close: &str| {
        ops(&format!(
            "{open} {tag}{{:type :invoke :f :read :value nil :process 7}},
             {tag}{{:type :ok :f :read :value 1N :process 7}} {close}"
        ))
    };
    for (open, tag, close) in [
        ("", "", ""),
        ("[", "", "]"),
        ("(", "#jepsen.history.Op", ")"),
        ("", "#op ", ""),
    ] {
        assert_eq!(
            ops_of(open, tag, close),
            ["c7: read 1 ok 0..1"],
            "{open}{tag}"
        );
    }
}

#[test]
fn tuples_of_independent_keys_are_keys() {
    let text = "{:process 0 :type :invoke :f :read :value [x nil]}
        {:process 1 :type :invoke :f :write :value [\"x\" 2]}
        {:process 0 :type :ok :f :read :value [x 1]}
        {:process 1 :type :info :f :write}
        {:process 0 :type :invoke :f :cas :value #jepsen.independent.Tuple{:key 3, :value [1 2]}}
        {:process 0 :type :ok :f :cas :value #jepsen.independent.Tuple[3 [1 2]]}
        {:process 3 :type :invoke :f :read :value [[\"t\" \"k\"] nil]}";
    let text = text.replace("[x ", "[y ");
    assert_eq!(
        ops(&text),
        [
            "c0 y: read 1 ok 0..2",
            "c1 x: write 2 unknown 1..3",
            "c0 3: cas 1 2 ok 4..5",
            "c3 t/k: read - unknown 6..",
        ]
    );
}

#[test]
fn a_nil_read_means_what_the_format_or_the_user_says() {
    let edn =
        "{:process 0 :type :invoke :f :read :value nil} {:process 0 :type :ok :f :read :value nil}";
    let log =
        "INFO  jepsen.util - 0\t:invoke\t:read\tnil\nINFO  jepsen.util - 0\t:ok\t:read\tnil\n";
    let nil = |n| Options {
        nil: Some(n),
        ..Options::default()
    };
    let anything = ["c0: read anything ok 0..1"];
    let absent = ["c0: read - ok 0..1"];
    assert_eq!(ops(edn), anything);
    assert_eq!(words(&reading(edn, &nil(Nil::Absent)).log), absent);
    assert_eq!(ops(log), absent);
    assert_eq!(words(&reading(log, &nil(Nil::Anything)).log), anything);
}

#[test]
fn the_initial_value_is_given() {
    let text =
        "{:process 0 :type :invoke :f :write :value :b} {:process 0 :type :ok :f :write :value :b}
        {:process 1 :type :invoke :f :read} {:process 1 :type :ok :f :read :value 0}";
    let with = |initial: Initial| {
        let options = Options {
            initial: Some(initial),
            ..Options::default()
        };
        read(text.as_bytes(), &options)
    };
    assert_eq!(reading(text, &Options::default()).log.initial, None);
    assert_eq!(with(Initial::Absent).unwrap().log.initial, None);
    assert_eq!(
        with(Initial::Value("0".into())).unwrap().log.initial,
        Some(0)
    );
    let named = with(Initial::Value(":a".into())).unwrap();
    assert_eq!(named.log.initial, Some(1));
    assert_eq!(named.names, [(1, ":a".into()), (2, ":b".into())]);
    let error = with(Initial::Value("1 2".into())).unwrap_err();
    assert_eq!(error.to_string(), "the initial value '1 2' is no EDN value");
}

#[test]
fn times_that_contradict_the_order_of_the_file_are_counted() {
    let text = "{:process 0 :type :invoke :f :write :value 1 :time 5}
        {:process 0 :type :ok :f :write :value 1 :time 9}
        {:process 1 :type :invoke :f :read :time 7}
        {:process 1 :type :ok :f :read :value 1 :time 8}";
    let r = reading(text, &Options::default());
    assert_eq!(
        words(&r.log),
        ["c0: write 1 ok 5..9", "c1: read 1 ok 10..10"]
    );
    assert_eq!(r.reordered, 2);
    let untimed = text.replace(":time 8", "");
    let r = reading(&untimed, &Options::default());
    assert_eq!(words(&r.log), ["c0: write 1 ok 0..1", "c1: read 1 ok 2..3"]);
    assert_eq!((r.log.clock, r.reordered), (Clock::Events, 0));
}

#[test]
fn refusals_say_so() {
    let fail = |more: &str| {
        ops(&format!(
            "{{:process 0 :type :invoke :f :cas :value [1 2]}} {{:process 0 :type :fail :f :cas :value [1 2] {more}}}"
        ))
    };
    assert_eq!(fail(""), ["c0: cas 1 2 failed 0..1"]);
    assert_eq!(fail(":error :net"), ["c0: cas 1 2 failed 0..1"]);
    assert_eq!(fail(":error :condition"), ["c0: cas 1 2 refused 0..1"]);
    assert_eq!(fail(":error [:condition 1]"), ["c0: cas 1 2 refused 0..1"]);
    assert_eq!(fail(":observed 7"), ["c0: cas 1 2 found 7 refused 0..1"]);
}

#[test]
fn single_calls_of_transactions_are_registers() {
    let text = "{:process 0 :type :invoke :f :txn :value [[:w :x 1]]}
        {:process 0 :type :ok :f :txn :value [[:w :x 1]]}
        {:process 1 :type :invoke :f :txn :value [[:r 5 nil]]}
        {:process 1 :type :ok :f :txn :value [[:r 5 2]]}";
    assert_eq!(
        ops(text),
        ["c0 :x: write 1 ok 0..1", "c1 5: read 2 ok 2..3"]
    );
}

#[test]
fn sets_and_counters_are_told_apart_by_what_reads_return() {
    let text = |answer: &str| {
        format!(
            "{{:process 0 :type :invoke :f :add :value 1}} {{:process 0 :type :ok :f :add :value 1}}
             {{:process 1 :type :invoke :f :read}} {{:process 1 :type :ok :f :read :value {answer}}}"
        )
    };
    assert_eq!(
        ops(&text("1")),
        ["c0: add 1 - ok 0..1", "c1: read 1 ok 2..3"]
    );
    for set in ["[1 :x]", "#{1, :x}", "(1 :x)"] {
        let r = reading(&text(set), &Options::default());
        assert_eq!(r.model, "set");
        assert_eq!(
            words(&r.log),
            ["c0: add 1 ok 0..1", "c1: read [1, 0] ok 2..3"]
        );
        assert_eq!(r.names, [(0, ":x".into())]);
    }
}

#[test]
fn json_arrays_and_json_maps_are_read() {
    let array = "[{\"type\":\"invoke\",\"f\":\"add\",\"value\":[0,7],\"process\":0,\"time\":10,\"index\":0},
{\"type\":\"ok\",\"f\":\"add\",\"value\":[0,7],\"process\":0,\"time\":20,\"index\":1},
{\"type\":\"info\",\"f\":\"start\",\"value\":null,\"process\":\"nemesis\",\"time\":21,\"index\":2},
{\"type\":\"invoke\",\"f\":\"read\",\"value\":[0,null],\"process\":1,\"time\":22,\"index\":3},
{\"type\":\"ok\",\"f\":\"read\",\"value\":[0,[7,\"x\"]],\"process\":1,\"time\":23,\"index\":4}]\n";
    let r = reading(array, &Options::default());
    assert_eq!(
        (r.format, r.skipped, r.model.as_str()),
        (Format::Json, 1, "set")
    );
    assert_eq!(
        words(&r.log),
        ["c0 0: add 7 ok 10..20", "c1 0: read [7, 0] ok 22..23"]
    );
    let sequence = array.replace(",\n", "\n").replace("\n\n", "\n");
    let sequence = sequence
        .trim()
        .trim_start_matches('[')
        .trim_end_matches(']');
    assert_eq!(ops(sequence), words(&r.log));
    assert_eq!(ops("[]"), [""; 0]);
}

#[test]
fn logs_of_jepsen_util_are_read() {
    let text = "INFO  jepsen.util - 4\t:invoke\t:read\tnil
INFO jepsen.util - 4    :ok   :read  2
INFO  jepsen.util - 1\t:invoke\t:cas\t[2 4]
INFO  jepsen.util - :nemesis\t:info\t:start\tnil

INFO  jepsen.util - 1\t:fail\t:cas\t[2 4]
INFO  jepsen.util - 2\t:invoke\t:cas\t[1 2]
INFO  jepsen.util - 2\t:info\t:cas\t:timed-out
INFO  jepsen.util - 3\t:invoke\t:read\tnil
INFO  jepsen.util - 3\t:fail\t:read\t:timed-out
INFO  jepsen.util - 3\t:invoke\t:cas\t[0 1]
INFO  jepsen.util - 3\t:fail\t:cas\t:timed-out
";
    let r = reading(text, &Options::default());
    assert_eq!(
        (r.format, r.skipped, r.log.clock),
        (Format::JepsenLog, 1, Clock::Events)
    );
    assert_eq!(
        words(&r.log),
        [
            "c4: read 2 ok 0..1",
            "c1: cas 2 4 refused 2..3",
            "c2: cas 1 2 unknown 4..5",
            "c3: read - failed 6..7",
            "c3: cas 0 1 failed 8..9",
        ]
    );
}

#[test]
fn stores_of_texts_are_read() {
    let text = "{:process 0, :type :invoke, :f :put, :key \"0\", :value \"a b\"}
{:process 0, :type :ok, :f :put, :key \"0\", :value \"a b\"}
{:process 1, :type :invoke, :f :append, :key \"1\", :value \"x \\\"y\"}
{:process 2, :type :invoke, :f :get, :key \"0\", :value nil}
{:process 2, :type :ok, :f :get, :key \"0\", :value \"a b\"}
{:process 2, :type :invoke, :f :get, :key \"2\", :value nil}
{:process 2, :type :ok, :f :get, :key \"2\", :value nil}
";
    let r = reading(text, &Options::default());
    assert_eq!((r.format, r.model.as_str()), (Format::Kv, "kv-append"));
    assert_eq!(
        words(&r.log),
        [
            "c0 0: put 'a b' ok 0..1",
            "c1 1: append 'x \"y' unknown 2..",
            "c2 0: get 'a b' ok 3..4",
            "c2 2: get '' ok 5..6",
        ]
    );
}

#[test]
fn formats_are_told_apart_by_their_beginning() {
    for (start, format) in [
        ("", Format::Edn),
        (" \n\n", Format::Edn),
        ("; comment", Format::Edn),
        ("[]", Format::Edn),
        ("[{:process 0", Format::Edn),
        ("{:process 0, :type :invoke, :f :read}", Format::Edn),
        ("{:process 0, :type :invoke, :f :read, :key 1}", Format::Edn),
        ("{:process 0, :type :invoke, :f :get, :key 1}", Format::Kv),
        ("\u{feff} {:process 0}", Format::Edn),
        ("#jepsen.history.Op{", Format::Edn),
        ("({", Format::Edn),
        ("[ {\"type\"", Format::Json),
        ("{ \"type\": \"invoke\"}", Format::Json),
        ("{\"gameday_history\":{}}\n", Format::Gameday),
        (
            "{\"type\":\"invoke\"}\n{\"gameday_history\":{}}",
            Format::Json,
        ),
        ("INFO  jepsen.util - 1", Format::JepsenLog),
    ] {
        assert_eq!(detect(start.as_bytes()), Ok(format), "{start}");
    }
    let error = detect(b"\n  <html>").unwrap_err();
    assert_eq!((error.line, error.column), (2, 3));
    assert_eq!(
        error.what,
        "this begins like no history of a known format (gameday, edn, json, jepsen-log, jepsen-txt, kv)"
    );
}

#[test]
fn a_file_without_anything_is_an_empty_history() {
    for text in ["", "\n", "[]", "()", "; nothing"] {
        assert!(reading(text, &Options::default()).log.is_empty(), "{text}");
    }
}

/// Jepsen's loggers since 2013, and `history.txt`: the same events.
#[test]
fn logs_of_every_year_hold_the_same_history() {
    let events = [
        "0\t:invoke\t:write\t1",
        "0\t:ok\t:write\t1",
        "1\t:invoke\t:cas\t[1 2]",
        "1\t:fail\t:cas\t[1 2]\t:timed-out",
        "2\t:invoke\t:cas\t[7 2]",
        "2\t:fail\t:cas\t[7 2]",
        "3\t:invoke\t:write\t3",
        "3\t:info\t:write\t3\tConnection reset (by peer",
        ":nemesis\t:info\t:start\t#object[x \"y\"]",
    ];
    let others = "2024-03-01 12:00:00,123{GMT}\tWARN\t[main] jepsen.core: Process crashed\n\
                  java.lang.RuntimeException: no\n\tat jepsen.x(y.clj:1)\n\n";
    let layouts: [(&str, &str); 4] = [
        ("INFO  jepsen.util - ", ""),
        (
            "INFO [2018-10-24 10:00:00,000] jepsen worker 0 - jepsen.util ",
            others,
        ),
        (
            "2024-03-01 12:00:00,123{GMT}\tINFO\t[jepsen worker 0] jepsen.util: ",
            others,
        ),
        ("", ""),
    ];
    let mut all = Vec::new();
    for (prefix, before) in layouts {
        let lines = events.map(|e| format!("{prefix}{e}\n")).concat();
        let reading = read(format!("{before}{lines}").as_bytes(), &Options::default()).unwrap();
        let format = match prefix {
            "" => Format::JepsenTxt,
            _ => Format::JepsenLog,
        };
        assert_eq!((reading.format, reading.skipped), (format, 1), "{prefix}");
        all.push(words(&reading.log));
    }
    assert!(all[0][1].contains("failed"), "it timed out: {:?}", all[0]);
    assert!(
        all[0][2].contains("refused"),
        "its condition did not hold: {:?}",
        all[0]
    );
    assert!(all.iter().all(|w| *w == all[0]), "{all:#?}");
}

/// The nemesis may come first: what clients call decides.
#[test]
fn a_store_of_texts_is_recognised_behind_the_nemesis() {
    let nemesis = "{:process :nemesis :type :info :f :start}\n".repeat(3000);
    let calls = "{:process 0 :type :invoke :f :get :key \"k\" :value nil}";
    for text in [format!("{nemesis}{calls}"), format!("[{nemesis}{calls}]")] {
        assert_eq!(detect(text.as_bytes()), Ok(Format::Kv));
    }
    let bare = format!("{nemesis}{}", calls.replace(":key \"k\" ", ""));
    assert_eq!(detect(bare.as_bytes()), Ok(Format::Edn));
}

/// Twice a field is no operation; one kind of number; times that are not there.
#[test]
fn what_json_and_jepsen_mean_by_numbers_and_fields() {
    let text = r#"{"process":0,"type":"invoke","f":"write","value":1}
        {"process":0,"type":"fail","type":"ok","f":"write","value":1}"#;
    let e = read(text.as_bytes(), &Options::default()).unwrap_err();
    assert!(e.to_string().contains("\"type\" stands twice"), "{e}");
    let text = "{:process 0 :type :invoke :f :write :value 1 :time -1}
        {:process 0 :type :ok :f :write :value 1 :time -1}";
    let reading = read(text.as_bytes(), &Options::default()).unwrap();
    assert_eq!(reading.log.clock, Clock::Events);
    let text = r#"[{"process":0,"type":"invoke","f":"write","value":1.0},
        {"process":0,"type":"ok","f":"write","value":1}]"#;
    let log = read(text.as_bytes(), &Options::default()).unwrap().log;
    assert_eq!(log.entry(0).second(), 1);
}

#[test]
fn a_history_of_any_format_may_begin_with_a_byte_order_mark() {
    for (format, text) in [
        (
            Format::Gameday,
            "{\"gameday_history\":{\"version\":2,\"run\":\"r\",\"seed\":1,\"clock\":\"c\",\"epoch_utc\":\"\"}}
{\"time\":5,\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"key\":\"k\",\"value\":7}
{\"time\":9,\"process\":0,\"type\":\"ok\",\"f\":\"write\",\"key\":\"k\",\"value\":7}
{\"gameday_end\":2}
",
        ),
        (
            Format::Edn,
            "{:process 0, :type :invoke, :f :write, :value 7}
             {:process 0, :type :ok, :f :write, :value 7}",
        ),
        (
            Format::Json,
            "[{\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"value\":7},
              {\"process\":0,\"type\":\"ok\",\"f\":\"write\",\"value\":7}]",
        ),
        (
            Format::JepsenLog,
            "INFO  jepsen.util - 0\t:invoke\t:write\t7\nINFO  jepsen.util - 0\t:ok\t:write\t7\n",
        ),
        (
            Format::JepsenTxt,
            "0\t:invoke\t:write\t7\n0\t:ok\t:write\t7\n",
        ),
        (
            Format::Kv,
            "{:process 0, :type :invoke, :f :put, :key \"k\", :value \"7\"}
             {:process 0, :type :ok, :f :put, :key \"k\", :value \"7\"}",
        ),
    ] {
        let plain = reading(text, &Options::default());
        assert_eq!((plain.format, plain.log.len()), (format, 1));
        let marked = reading(&format!("\u{feff}{text}"), &Options::default());
        assert_eq!(marked.format, format);
        assert_eq!(words(&marked.log), words(&plain.log));
        assert_eq!(marked.log.complete, plain.log.complete);
    }
}

/// What a call that succeeded returns is what it wrote; then calls of unknown
/// outcome may have written what nobody knows.
#[test]
fn the_value_of_a_completion_counts() {
    let calls = |more: &str| {
        let text = format!(
            "{{:process 0 :type :invoke :f :write :value nil}}
             {{:process 0 :type :ok :f :write :value 7}}
             {{:process 1 :type :invoke :f :read :value nil}}
             {{:process 1 :type :ok :f :read :value 7}}{more}"
        );
        read(text.as_bytes(), &Options::default()).unwrap().log
    };
    let log = calls("");
    assert_eq!((log.entry(0).second(), log.strangers), (7, None));
    let more = "{:process 3 :type :invoke :f :write :value nil}
                {:process 3 :type :info :f :write :value nil}";
    let log = calls(more);
    assert_eq!(log.len(), 2, "nobody knows what the second one wrote");
    assert_eq!(log.strangers, Some(Strangers::Assigned));
}

#[test]
fn two_elements_are_a_value_where_keys_are_not_independent() {
    let text = "{:process 0 :type :invoke :f :write :value [1 2]}
        {:process 0 :type :ok :f :write :value [1 2]}
        {:process 1 :type :invoke :f :read :value nil}
        {:process 1 :type :ok :f :read :value (1 2)}";
    assert!(
        read(text.as_bytes(), &Options::default()).is_err(),
        "a mixture"
    );
    let plain = Options {
        independent: Some(false),
        ..Options::default()
    };
    let log = read(text.as_bytes(), &plain).unwrap().log;
    assert_eq!(log.entry(1).found(), Some(Some(log.entry(0).second())));
    let tuples = Options {
        independent: Some(true),
        ..Options::default()
    };
    assert!(
        read(text.as_bytes(), &tuples).is_err(),
        "the read has no key"
    );
}

/// Versions of etcd: what made a version is known, or must be guessed.
#[test]
fn versioned_registers_are_calls_on_pairs() {
    let write = |process: u64, kind: &str, version: &str, value: u64| {
        format!("{{:process {process} :type :{kind} :f :write :value [{version} {value}]}}\n")
    };
    let read_of = |version: u64, value: u64| {
        format!(
            "{{:process 9 :type :invoke :f :read :value [nil nil]}}
             {{:process 9 :type :ok :f :read :value [{version} {value}]}}\n"
        )
    };
    let log = |text: String| read(text.as_bytes(), &Options::default()).unwrap().log;
    let verdict = |log: &Log| {
        let checks = crate::check(log, &crate::Options::default());
        checks[0].verdict
    };
    let first = write(0, "invoke", "nil", 3) + &write(0, "ok", "1", 3);
    let lost = write(1, "invoke", "nil", 4) + &write(1, "info", "nil", 4);
    let fine = log(first.clone() + &lost + &read_of(1, 3) + &read_of(2, 4));
    assert_eq!(verdict(&fine), gameday_record::Verdict::Pass);
    // Back to the first version; a version with another value; one that nobody made.
    for wrong in [read_of(2, 4) + &read_of(1, 3), read_of(1, 4), read_of(2, 7)] {
        let log = log(first.clone() + &lost + &wrong);
        assert_eq!(verdict(&log), gameday_record::Verdict::Fail, "{wrong}");
    }
    // A write or a compare-and-set may have made version 2.
    let cas = "{:process 2 :type :invoke :f :cas :value [nil [3 4]]}
               {:process 2 :type :info :f :cas :value [nil [3 4]]}\n";
    let open = log(first + &lost + cas + &read_of(2, 4));
    assert_eq!(open.strangers, Some(Strangers::Assigned));
    assert_eq!(verdict(&open), gameday_record::Verdict::Unknown);
}
