use super::*;

fn error(text: &str, options: &Options) -> String {
    match read(text.as_bytes(), options) {
        Ok(r) => panic!("read as {:?}: {text}", words(&r.log)),
        Err(e) => e.to_string(),
    }
}

/// An invocation before what is wrong, so that lines count.
fn edn(second: &str) -> String {
    error(
        &format!("{{:process 0 :type :invoke :f :read}}\n  {second}"),
        &Options::default(),
    )
}

#[test]
fn what_is_wrong_with_an_operation_is_said_with_its_place() {
    for (second, what) in [
        ("7", "an operation is a map, not a number"),
        ("[{}]", "an operation is a map, not a vector"),
        ("{:type :ok :f :read}", "an operation without :process"),
        ("{:process 0 :f :read}", "an operation without :type"),
        ("{:process 0 :type :ok}", "an operation without :f"),
        (
            "{:process 0 :type 3 :f :read}",
            ":type is 3, not :invoke, :ok, :fail or :info",
        ),
        ("{:process 0 :type :ok :f 3}", ":f is 3, not a keyword"),
        (
            "{:process \"a\" :type :ok :f :read}",
            ":process is \"a\"; clients are numbered from 0",
        ),
        (
            "{:process 0 :process 1 :type :ok :f :read}",
            ":process stands twice in one operation",
        ),
        (
            "{:process 0 :type :ok :f :read :time -2}",
            ":time is -2, not a number from 0",
        ),
        (
            "{:process 0 :type :ok :f :read :index 1.5}",
            ":index is 1.5, not a number from 0",
        ),
        (
            "{:process 0 :type :invoke :f :read}",
            "process 0 invokes while its last call is still open",
        ),
        (
            "{:process 1 :type :ok :f :read}",
            "process 1 completes a call that it did not invoke",
        ),
        (
            "{:process 0 :type :ok :f :write}",
            "process 0 completes :write, but it invoked :read",
        ),
        (
            "{:process 1 :type :invoke :f :jump}",
            "no model has the call :jump; known are read, write, cas, get, put, append, add, enqueue, dequeue, drain",
        ),
        (
            "{:process 1 :type :invoke :f :write :value [1 2]}",
            "some values are [key value] tuples and others are not: is this more than one history?",
        ),
        (
            "{:process 1 :type :invoke :f :write}",
            "nil cannot be written: it stands for what is absent",
        ),
        (
            "{:process 1 :type :invoke :f :cas :value 1}",
            "the value of a :cas is [expected new], not 1",
        ),
        (
            "{:process 1 :type :invoke :f :txn :value [[:w 1 1] [:w 2 2]]}",
            "only transactions of one read or write can be judged ([[:r k nil]] or [[:w k v]])",
        ),
        (
            "{:process :gameday :type :info :f :history}",
            "the header of the history is no map",
        ),
    ] {
        assert_eq!(edn(second), format!("line 2, column 3: {what}"), "{second}");
    }
    assert_eq!(
        edn("{:process 0 :type :ok :f :read :value \"x}"),
        "line 2, column 41: this string is never closed"
    );
}

#[test]
fn answers_that_do_not_fit_are_said_with_the_place_of_the_answer() {
    let two = |asked: &str, answer: &str| {
        error(
            &format!("{{:process 0 :type :invoke {asked}}}\n {{:process 0 :type :ok {answer}}}"),
            &Options::default(),
        )
    };
    for (asked, answer, what) in [
        (
            ":f :read :value [1 nil]",
            ":f :read :value 5",
            "this value is no [key value] tuple, as the others are",
        ),
        (
            ":f :read :value [1 nil]",
            ":f :read :value [2 5]",
            "process 0 invoked a call on key 1, which returns for key 2",
        ),
        (
            ":f :get :key 1",
            ":f :get :key 2",
            "process 0 completes a call on another key",
        ),
        (
            ":f :get :key 1",
            ":f :get :key 1 :value 5",
            "a text is a string, not a number",
        ),
        (":f :add :value 5", ":f :add :time 1", ""),
    ] {
        let whole = format!("line 2, column 2: {what}");
        if !what.is_empty() {
            assert_eq!(two(asked, answer), whole);
        }
    }
}

#[test]
fn keys_that_would_get_one_name_are_refused() {
    let text =
        "{:process 0 :type :invoke :f :get :key 1}\n{:process 1 :type :invoke :f :get :key \"1\"}";
    assert_eq!(
        error(text, &Options::default()),
        "line 2, column 1: the keys 1 and \"1\" cannot be told apart by their names"
    );
}

#[test]
fn a_model_that_does_not_fit_is_refused() {
    let with = |model| Options {
        model: Some(model),
        ..Options::default()
    };
    let cas = "{:process 0 :type :invoke :f :cas :value [1 2]}";
    assert_eq!(
        error(cas, &with(Model::Register)),
        "line 1, column 1: the model register has no :cas (it is a call of cas-register)"
    );
    let add = "{:process 0 :type :invoke :f :add :value :x}";
    assert_eq!(
        error(add, &with(Model::Counter)),
        "line 1, column 1: a counter counts in whole numbers of 64 bits, not :x"
    );
    let initial = Options {
        initial: Some(Initial::Value("1".into())),
        ..with(Model::Set)
    };
    assert_eq!(
        error(add, &initial),
        "with the model set, every key begins empty"
    );
}

#[test]
fn json_that_is_wrong_is_placed() {
    let op = "{\"process\":0,\"type\":\"invoke\",\"f\":\"read\"}";
    for (text, what) in [
        (format!("[{op},\n {{\"process\":}}]"), "line 2, column 13: expected value"),
        (format!("[{op},\n {{\n \"a\":}}]"), "line 3, column 6: expected value"),
        (format!("[{op}\n {op}]"), "line 2, column 2: a comma is missing between operations"),
        (format!("[{op}"), "line 1, column 42: the file ends where ']' is missing"),
        (format!("[{op},"), "line 1, column 43: an operation is missing"),
        (format!("[{op}]\n x"), "line 2, column 2: something follows the array of operations"),
        (format!("{op}\n{{\"process\":0}}"), "line 2, column 1: an operation without :type"),
        (
            "[{\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"value\":123456789012345678901234567890}]".into(),
            "line 1, column 80: the number 1.2345678901234568e29 is too large to be exact",
        ),
    ] {
        assert_eq!(error(&text, &Options::default()), what, "{text}");
    }
}

#[test]
fn log_lines_that_are_wrong_are_placed() {
    let first = "INFO  jepsen.util - 0\t:invoke\t:read\tnil\n";
    for (line, what) in [
        (
            "something else",
            "line 2, column 1: 'something else' is no event of jepsen.util",
        ),
        (
            "INFO jepsen.util - x :ok",
            "line 2, column 20: 'x' is no process number",
        ),
        (
            "INFO jepsen.util - 0 ok",
            "line 2, column 22: 'ok' is none of :invoke, :ok, :fail, :info",
        ),
        (
            "INFO jepsen.util - 0 :ok read",
            "line 2, column 26: 'read' is no call",
        ),
        (
            "INFO jepsen.util - 0 :ok :read [1",
            "line 2, column 32: this bracket is never closed",
        ),
        (
            "INFO jepsen.util - 0 :ok :read 1 2",
            "line 2, column 34: '2' after the value",
        ),
        (
            "INFO jepsen.util - 1 :ok :read 1",
            "line 2, column 1: process 1 completes a call that it did not invoke",
        ),
    ] {
        assert_eq!(
            error(&format!("{first}{line}"), &Options::default()),
            what,
            "{line}"
        );
    }
}

#[test]
fn what_follows_a_history_or_is_no_text_is_refused() {
    assert_eq!(
        error("[]\n {}", &Options::default()),
        "line 2, column 2: something follows the sequence of operations"
    );
    let e = read(b"{:a\n\xff}", &Options::default()).unwrap_err();
    assert_eq!(
        e.to_string(),
        "line 2, column 1: this byte is not UTF-8 text"
    );
}
