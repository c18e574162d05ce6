use super::*;

fn all(text: &str) -> Result<Vec<Edn<'_>>, String> {
    let mut reader = Reader::new(text);
    let mut forms = Vec::new();
    while let Some(form) = reader.form().map_err(|e| e.to_string())? {
        forms.push(form);
    }
    Ok(forms)
}

fn one(text: &str) -> Edn<'_> {
    let forms = all(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(forms.len(), 1, "{text}");
    forms.into_iter().next().unwrap()
}

fn key(name: &str) -> Edn<'_> {
    Edn::Keyword(name.into())
}

fn number(text: &str) -> Edn<'_> {
    Edn::Number(text.into())
}

#[test]
fn atoms_are_read() {
    for (text, form) in [
        ("nil", Edn::Nil),
        ("true", Edn::Bool(true)),
        ("false", Edn::Bool(false)),
        ("nile", Edn::Symbol("nile")),
        ("-", Edn::Symbol("-")),
        ("a/b", Edn::Symbol("a/b")),
        (":a", key("a")),
        (":jepsen.nemesis/start", key("jepsen.nemesis/start")),
        (":a'b#c", key("a'b#c")),
        ("\\a", Edn::Char('a')),
        ("\\(", Edn::Char('(')),
        ("\\newline", Edn::Char('\n')),
        ("\\u00e4", Edn::Char('ä')),
        ("\\o101", Edn::Char('A')),
        ("\\u", Edn::Char('u')),
        ("\\ä", Edn::Char('ä')),
    ] {
        assert_eq!(one(text), form, "{text}");
    }
}

#[test]
fn numbers_that_are_equal_read_equal() {
    for (text, form) in [
        ("0", Edn::Int(0)),
        ("+7", Edn::Int(7)),
        ("-7", Edn::Int(-7)),
        ("7N", Edn::Int(7)),
        ("0x1F", Edn::Int(31)),
        ("-0x1F", Edn::Int(-31)),
        ("017", Edn::Int(15)),
        ("2r101", Edn::Int(5)),
        ("36rZ", Edn::Int(35)),
        ("4/2", Edn::Int(2)),
        ("-2/4", number("-1/2")),
        ("9223372036854775807", Edn::Int(i64::MAX)),
        ("-9223372036854775808", Edn::Int(i64::MIN)),
        ("9223372036854775808", number("9223372036854775808")),
        ("1.50", number("1.5")),
        ("15e-1", number("1.5")),
        ("1.50M", number("1.50M")),
        ("-1.", number("-1.0")),
        ("##Inf", number("##Inf")),
        (
            "999999999999999999999999999999999999999999N",
            number("999999999999999999999999999999999999999999"),
        ),
    ] {
        assert_eq!(one(text), form, "{text}");
    }
}

#[test]
fn strings_have_their_escapes() {
    assert_eq!(one("\"plain, ;ä\""), Edn::Text("plain, ;ä".into()));
    assert_eq!(
        one(r#""a\t\n\r\b\f\\\"\u00e4\101\0z""#),
        Edn::Text("a\t\n\r\u{8}\u{c}\\\"äA\0z".into())
    );
    assert_eq!(one(r#""\ud83d\ude00""#), Edn::Text("😀".into()));
    assert!(matches!(one("\"x\""), Edn::Text(Cow::Borrowed("x"))));
}

#[test]
fn collections_nest() {
    assert_eq!(
        one("{:a [1 (2), #{3}]}"),
        Edn::Map(vec![(
            key("a"),
            Edn::Vector(vec![
                Edn::Int(1),
                Edn::List(vec![Edn::Int(2)]),
                Edn::Set(vec![Edn::Int(3)])
            ])
        )])
    );
    assert_eq!(one("[]"), Edn::Vector(vec![]));
}

#[test]
fn comments_and_discarded_forms_are_no_forms() {
    assert_eq!(all("; only a comment").unwrap(), []);
    assert_eq!(all("#_ 1").unwrap(), []);
    assert_eq!(
        all("1 ; one\n#_ 2 #_ #_ 3 [4] 5,,;\n").unwrap(),
        [Edn::Int(1), Edn::Int(5)]
    );
    assert_eq!(one("[1 #_2]"), Edn::Vector(vec![Edn::Int(1)]));
    assert_eq!(one("[#_{:a #_1 2} 3]"), Edn::Vector(vec![Edn::Int(3)]));
}

#[test]
fn tags_metadata_and_namespaced_maps_are_read() {
    assert_eq!(
        one("#jepsen.history.Op{:index 0}"),
        Edn::Tagged(
            "jepsen.history.Op",
            Box::new(Edn::Map(vec![(key("index"), Edn::Int(0))]))
        )
    );
    assert_eq!(
        one("#inst \"2026-01-01\""),
        Edn::Tagged("inst", Box::new(Edn::Text("2026-01-01".into())))
    );
    assert_eq!(one("^{:a 1} [2]"), Edn::Vector(vec![Edn::Int(2)]));
    assert_eq!(
        one("#:n{:a 1, :_/b 2, :m/c 3, \"d\" 4}"),
        Edn::Map(vec![
            (key("n/a"), Edn::Int(1)),
            (key("b"), Edn::Int(2)),
            (key("m/c"), Edn::Int(3)),
            (Edn::Text("d".into()), Edn::Int(4)),
        ])
    );
}

#[test]
fn what_is_no_edn_is_refused_with_its_place() {
    for (text, error) in [
        ("[1\n  2", "line 1, column 1: this bracket is never closed"),
        ("[1\n )", "line 2, column 2: ')' where ']' should be"),
        (
            "}",
            "line 1, column 1: nothing is open that '}' could close",
        ),
        (
            "{:a}",
            "line 1, column 1: this map has a key without a value",
        ),
        ("\"ab", "line 1, column 1: this string is never closed"),
        ("\"ab\\", "line 1, column 1: this string is never closed"),
        ("\"a\\q\"", "line 1, column 3: '\\q' is no escape"),
        (
            "\"\\u12\"",
            "line 1, column 2: \\u needs four hexadecimal digits",
        ),
        (
            "\"\\ud800x\"",
            "line 1, column 2: half of a surrogate pair is no character",
        ),
        (
            "\"\\777\"",
            "line 1, column 2: octal escapes go from \\0 to \\377",
        ),
        ("1x", "line 1, column 1: '1x' is no number"),
        ("1/0", "line 1, column 1: '1/0' is no number"),
        ("08", "line 1, column 1: '08' is no number"),
        ("0x-1", "line 1, column 1: '0x-1' is no number"),
        ("::a", "line 1, column 1: '::a' is no keyword"),
        (": a", "line 1, column 1: ':' is no keyword"),
        ("\\foo", "line 1, column 1: '\\foo' is no character"),
        ("\\", "line 1, column 1: a backslash at the end of the file"),
        ("'a", "line 1, column 1: ''a' is no EDN"),
        ("@a", "line 1, column 1: '@a' is no EDN"),
        ("#(a)", "line 1, column 1: '#(a)' is no EDN"),
        ("#\"a\"", "line 1, column 1: '#\"a\"' is no EDN"),
        ("#_", "line 1, column 1: #_ without a form after it"),
        ("[#_]", "line 1, column 2: #_ without a form after it"),
        ("#tag", "line 1, column 1: a tag without a form after it"),
        (
            "##x",
            "line 1, column 1: of ##, only ##Inf, ##-Inf and ##NaN are known",
        ),
        (
            "#:n[]",
            "line 1, column 1: #: must be followed by a namespace and a map",
        ),
    ] {
        assert_eq!(all(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(all(&nested(MAX_DEPTH)).is_ok());
    for open in ["[", "#_", "^", "#t ", "{"] {
        let error = all(&open.repeat(100_000)).unwrap_err();
        assert!(
            error.ends_with("nested more than 64 deep"),
            "{open}: {error}"
        );
    }
}

#[test]
fn the_elements_of_a_sequence_are_read_one_by_one() {
    let mut reader = Reader::new("; a history\n({:a 1} 2)");
    let close = reader.enter().unwrap();
    assert!(matches!(reader.element(close), Ok(Some(Edn::Map(_)))));
    assert_eq!(reader.element(close), Ok(Some(Edn::Int(2))));
    assert_eq!(reader.element(close), Ok(None));
    assert_eq!(reader.form(), Ok(None));
    assert_eq!(Reader::new("{}").enter(), None);
    let mut reader = Reader::new("[1");
    let close = reader.enter().unwrap();
    assert_eq!(reader.element(close), Ok(Some(Edn::Int(1))));
    let error = reader.element(close).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 1, column 3: the file ends where ']' is missing"
    );
}

#[test]
fn what_is_printed_reads_back() {
    for text in [
        "nil",
        "[true -5 1/2 1.5 2.50M :a/b sym \\newline \\x \\u0007 \\space]",
        "{:a (1 2), \"k\\n\\\"\\\\\\u0000\" #{3}}",
        "#tag {:b []}",
    ] {
        let form = one(text);
        assert_eq!(form.to_string(), text);
    }
}
