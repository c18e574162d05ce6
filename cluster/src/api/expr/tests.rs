//! Expressions from text to effect.

use super::{
    Condition, MAX_EXPRESSION, MAX_OPERATORS, MAX_PATHS, MAX_SUBSTITUTIONS, MAX_WORK, Names, Scope,
    TooMuchWork, Update, Values, Work,
};
use crate::api::json::{Json, JsonItem, decode};
use crate::api::value::{AttributeValue, Item};
use crate::api::write::{Action, WriteOp, WriteReply};
use proptest::prelude::*;
use serde_json::{Value, json};

fn item(value: &Value) -> Item {
    decode::<JsonItem>(value.to_string().as_bytes()).unwrap().0
}

fn sample() -> Value {
    json!({
        "s": {"S": "hello"}, "n": {"N": "5"}, "b": {"B": "AAEC"}, "t": {"BOOL": true},
        "l": {"L": [{"N": "0"}, {"N": "1"}, {"M": {"x": {"S": "deep"}}}]},
        "m": {"M": {"a": {"M": {"b": {"N": "7"}}}, "c": {"S": "v"}}},
        "ss": {"SS": ["a", "b"]}, "ns": {"NS": ["1", "2"]},
    })
}

fn names() -> Names {
    [("#n", "n"), ("#d", "a.b"), ("#set", "SET")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
}

fn values() -> Values {
    let values = json!({
        ":s": {"S": "hello"}, ":h": {"S": "he"}, ":5": {"N": "5.0"}, ":6": {"N": "6"}, ":t": {"BOOL": true},
        ":N": {"S": "N"}, ":bad": {"S": "BAD"}, ":list": {"L": [{"N": "9"}]}, ":ss": {"SS": ["b", "c"]},
        ":all": {"SS": ["a", "b"]}, ":ns": {"NS": ["3"]}, ":null": {"NULL": true}, ":m": {"M": {}}, ":1": {"N": "1"},
        ":big": {"N": "1E100"}, ":x": {"S": "x"},
    });
    item(&values).0
}

fn condition(text: &str) -> Result<Condition, String> {
    Scope::new(Some(&names()), Some(values())).condition("ConditionExpression", text)
}

fn update(text: &str) -> Result<Update, String> {
    Scope::new(Some(&names()), Some(values())).update(text)
}

/// The values by their numbers.
fn numbered() -> Vec<AttributeValue> {
    values().into_values().collect()
}

fn holds(condition: &Condition, item: &Item) -> Result<bool, TooMuchWork> {
    condition.holds(item, &numbered(), &mut Work::default())
}

/// An item with one attribute.
fn one(name: &str, value: AttributeValue) -> Item {
    Item([(name.to_owned(), value)].into())
}

#[test]
fn conditions_hold_or_not() {
    let item = item(&sample());
    for (text, holds) in [
        ("attribute_exists(s)", true),
        ("attribute_not_exists(s)", false),
        (
            "attribute_exists(m.a.b) and attribute_not_exists(m.a.x)",
            true,
        ),
        (
            "attribute_exists(l[2].x) AND attribute_not_exists(l[3])",
            true,
        ),
        ("attribute_not_exists(#d)", true),
        ("s = :s", true),
        (":s = s", true),
        ("#n = :5", true),
        ("n <> :5", false),
        ("n < :6 AND n <= :5 AND n > :1 AND n >= :5", true),
        ("n < :s OR n >= :s", false),
        ("absent = :5", false),
        ("absent <> :5", true),
        ("absent = nowhere", false),
        ("absent <> nowhere", true),
        ("NOT absent = nowhere", true),
        ("absent < nowhere", false),
        ("t = :t", true),
        ("ss = :all", true),
        ("n BETWEEN :1 AND :6 AND s = :s", true),
        ("n BETWEEN :6 AND :big", false),
        ("n IN (:1, :5)", true),
        ("n in (:1)", false),
        ("begins_with(s, :h)", true),
        ("begins_with(s, :x)", false),
        ("contains(s, :h)", true),
        ("contains(ss, :x)", false),
        ("contains(ns, :1)", true),
        ("contains(l, :1)", true),
        ("attribute_type(n, :N)", true),
        ("attribute_type(s, :N)", false),
        ("size(s) = :5", true),
        ("size(l) < :5", true),
        ("size(n) = :1", false),
        ("size(:s) >= :5", true),
        ("size(:ss) > :1 AND size(:m) < :1", true),
        ("size(s) <> size(n)", true),
        ("attribute_type(:5, :N)", true),
        ("attribute_type(size(s), :N)", true),
        ("attribute_type(absent, :N)", false),
        ("contains(:s, :h)", true),
        ("NOT s = :s", false),
        ("NOT (s = :x) AND NOT NOT n = :5", true),
        // AND binds stronger than OR.
        ("s = :s OR s = :x AND n = :6", true),
        ("(s = :s OR s = :x) AND n = :6", false),
        ("s = :x AND s = :x OR s = :s", true),
        ("s = :s OR s = :x AND s = :x OR s = :x", true),
        ("s = :x OR s = :x AND s = :s OR s = :x", false),
        ("NOT (s = :s AND (n = :6 OR NOT (n = :5)))", true),
        ("((s = :s) AND (n = :5))", true),
        ("(NOT (s = :x))", true),
    ] {
        let found = condition(text).map(|c| self::holds(&c, &item).unwrap());
        assert_eq!(found, Ok(holds), "{text}");
    }
}

#[test]
fn conditions_that_make_no_sense_are_refused() {
    for (text, part) in [
        ("", "can not be empty"),
        (" ", "can not be empty"),
        ("s", "Syntax error; token: \"<EOF>\""),
        ("s =", "Syntax error"),
        ("s = = :s", "Syntax error; token: \"=\""),
        ("s = :s)", "Syntax error; token: \")\""),
        ("(s = :s", "Syntax error"),
        ("s = :s AND", "Syntax error"),
        ("AND = :s", "Syntax error"),
        ("s & :s", "Syntax error"),
        ("s = :none", "attribute value: :none"),
        ("#none = :s", "attribute name: #none"),
        ("foo(s)", "Invalid function name; function: foo"),
        ("attribute_exists(s, n)", "number of operands: 2"),
        ("attribute_exists(:s)", "requires a document path"),
        ("attribute_exists(s) = :t", "Syntax error"),
        ("s = attribute_exists(n)", "not allowed to be used this way"),
        ("if_not_exists(s, :s)", "not allowed to be used this way"),
        ("attribute_type(s, :bad)", "Invalid attribute type name"),
        ("begins_with(s, :5)", "operand type: N"),
        ("n < :t", "operand type: BOOL"),
        ("n BETWEEN :6 AND :1", "upper bound"),
        ("n BETWEEN :s AND :1", "same data type"),
        ("s = s", "distinct"),
        (
            "contains(s, s)",
            "distinct from the remaining operands for this operator or function; operator: contains, first operand: [s]",
        ),
        ("begins_with(m.a, m.a)", "distinct"),
        ("((s = :s))", "redundant parentheses"),
        ("n = :5 AND ((s = :s OR s = :x))", "redundant parentheses"),
        ("(((s = :s) AND n = :5))", "redundant parentheses"),
        (
            "size(:5) = :5",
            "operator or function: size, operand type: N",
        ),
        (
            "size(s, s) = :5",
            "operator or function: size, number of operands: 2",
        ),
        ("size(size(s)) = :5", "not allowed to be used this way"),
        ("attribute_type(s, n)", "requires a value"),
        ("attribute_type(s, :5)", "operand type: N"),
        ("_abc = :s", "Syntax error; token: \"_\""),
        ("_f(s)", "Syntax error; token: \"_\""),
        (
            "Status = :s",
            "Attribute name is a reserved keyword; reserved keyword: Status",
        ),
        ("m.name = :s", "reserved keyword: name"),
        ("l[99999999999] = :s", "allowable range"),
        ("l[x] = :s", "Syntax error"),
        ("l[-1] = :s", "Syntax error"),
    ] {
        let error = condition(text).unwrap_err();
        assert!(
            error.starts_with("Invalid ConditionExpression: "),
            "{error}"
        );
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn texts_and_trees_are_bounded() {
    let long = format!("s = :s{}", " ".repeat(MAX_EXPRESSION));
    assert!(
        condition(&long)
            .unwrap_err()
            .contains("maximum allowed size")
    );
    let deep = format!("{}s = :s{}", "(".repeat(1000), ")".repeat(1000));
    assert!(condition(&deep).unwrap_err().contains("redundant"));
    let open = "(".repeat(MAX_EXPRESSION);
    assert!(condition(&open).unwrap_err().contains("Syntax error"));
    let nots = format!("{}s = :s", "NOT ".repeat(1000));
    assert!(
        condition(&nots)
            .unwrap_err()
            .contains("operator count: 1001")
    );
    let sizes = format!("{}s{} = :5", "size(".repeat(600), ")".repeat(600));
    assert!(condition(&sizes).unwrap_err().contains("nested"));
    let wide = |count: usize| vec!["s=:s"; count].join(" OR ");
    assert!(condition(&wide(MAX_OPERATORS / 2)).is_ok());
    assert!(
        condition(&wide(MAX_OPERATORS / 2 + 1))
            .unwrap_err()
            .contains("too many operators; operator count: 301")
    );
    let path = |levels: usize| format!("a{} = :s", ".a".repeat(levels - 1));
    assert!(condition(&path(32)).is_ok());
    assert!(
        condition(&path(33))
            .unwrap_err()
            .contains("nesting levels: 33")
    );
    let nested = format!(
        "SET a = {}b{}",
        "if_not_exists(x, ".repeat(100),
        ")".repeat(100)
    );
    assert!(update(&nested).unwrap_err().contains("nested"));
}

/// As deep as operators allow, on a thread with little stack.
#[test]
fn depth_needs_no_stack() {
    let deep = |levels: usize| {
        format!(
            "{}s = :x{}",
            "s = :x OR (".repeat(levels),
            ")".repeat(levels)
        )
    };
    let thread = std::thread::Builder::new().stack_size(96 << 10);
    let tried = thread.spawn(move || {
        let item = item(&sample());
        for levels in [66, 149] {
            let parsed = condition(&deep(levels)).unwrap();
            assert_eq!(holds(&parsed, &item), Ok(false));
            let bytes = postcard::to_stdvec(&parsed).unwrap();
            let read: Condition = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(read, parsed);
        }
        assert!(
            condition(&deep(150))
                .unwrap_err()
                .contains("operator count: 301")
        );
        let nots = format!("{}s = :s", "NOT ".repeat(299));
        assert_eq!(holds(&condition(&nots).unwrap(), &item), Ok(false));
    });
    tried.unwrap().join().unwrap();
}

#[test]
fn a_value_is_carried_once_however_often_it_is_used() {
    let list = vec![":v"; 100].join(",");
    let text = vec![format!("a IN ({list})"); 13].join(" OR ");
    let values = Values::from([(":v".to_owned(), AttributeValue::S("x".repeat(10_000)))]);
    let mut scope = Scope::new(None, Some(values));
    let condition = scope.condition("ConditionExpression", &text).unwrap();
    let mut op = WriteOp::new(Action::Delete);
    op.condition = Some(condition);
    op.values = scope.finish().unwrap();
    assert_eq!(op.values.len(), 1);
    let size = postcard::to_stdvec(&op).unwrap().len();
    assert!(size < 20_000, "{size}");
}

#[test]
fn substitutions_are_bounded_together() {
    let finish = |name: &str, values: Values| {
        let names = Names::from([("#n".to_owned(), name.to_owned())]);
        let mut scope = Scope::new(Some(&names), Some(values));
        scope.condition("ConditionExpression", "#n IN (:a, :b)")?;
        scope.finish()
    };
    let values = |size: usize| {
        let value = |size| AttributeValue::S("x".repeat(size));
        Values::from([(":a".to_owned(), value(5)), (":b".to_owned(), value(size))])
    };
    // Keys count as well: 6 bytes, and 1 of the name, and 5.
    let most = MAX_SUBSTITUTIONS - 12;
    assert_eq!(finish("n", values(most)).map(|v| v.len()), Ok(2));
    assert!(
        finish("n", values(most + 1))
            .unwrap_err()
            .contains("maximum allowed size")
    );
    assert!(
        finish(&"n".repeat(65_536), values(1))
            .unwrap_err()
            .contains("Attribute name")
    );
    let names = Names::from([("#n".to_owned(), "n".repeat(60_000))]);
    let projection = |text: String| Scope::new(Some(&names), None).projection(&text);
    assert!(projection(["#n"; MAX_PATHS / 60_000].join(".")).is_ok());
    assert!(
        projection(["#n"; MAX_PATHS / 60_000 + 1].join("."))
            .unwrap_err()
            .contains("document paths")
    );
}

/// What took seconds when every position was compared anew.
#[test]
fn searching_is_linear() {
    let mut part = vec![0; 195_000];
    part.push(1);
    let item = one("b", AttributeValue::B(vec![0; 390_000]));
    let values = Values::from([(":p".to_owned(), AttributeValue::B(part))]);
    let mut scope = Scope::new(None, Some(values));
    let text = ["contains(b, :p)"; 50].join(" OR ");
    let condition = scope.condition("ConditionExpression", &text).unwrap();
    let values = scope.finish().unwrap();
    // Fifty times 585 001 bytes, all counted and searched.
    let mut work = Work::default();
    assert_eq!(condition.holds(&item, &values, &mut work), Ok(false));
    let spent = MAX_WORK - work.left();
    assert!((29_250_050..29_260_000).contains(&spent), "{spent}");
}

#[test]
fn evaluation_ends_when_it_takes_too_much() {
    let numbers = |n: i64| AttributeValue::L((0..n).map(|i| AttributeValue::N(i.into())).collect());
    let mut other = numbers(100_000);
    if let AttributeValue::L(list) = &mut other {
        list.pop();
        list.push(AttributeValue::Null);
    }
    let values = Values::from([(":v".to_owned(), other)]);
    let mut scope = Scope::new(None, Some(values));
    let list = vec![":v"; 100].join(",");
    let condition = scope
        .condition("ConditionExpression", &format!("l IN ({list})"))
        .unwrap();
    let mut op = WriteOp::new(Action::Delete);
    op.condition = Some(condition);
    op.values = scope.finish().unwrap();
    let item = one("l", numbers(100_000));
    assert_eq!(op.holds(Some(&item)), Err(TooMuchWork));
    assert!(matches!(
        op.apply(Some(item)),
        WriteReply::Invalid { message } if message.contains("too much work")
    ));
    assert_eq!(op.holds(None), Ok(false));
}

#[test]
fn unused_and_odd_names_and_values_are_refused() {
    let check = |names: Option<Names>, values: Option<Values>, text: Option<&str>| {
        let mut scope = Scope::new(names.as_ref(), values);
        if let Some(text) = text {
            scope.condition("ConditionExpression", text)?;
        }
        scope.finish().map(|_| ())
    };
    let name = |key: &str| Some(Names::from([(key.to_owned(), "n".to_owned())]));
    let value = |key: &str| Some(Values::from([(key.to_owned(), AttributeValue::Null)]));
    assert_eq!(check(name("#a"), value(":v"), Some("#a = :v")), Ok(()));
    for (names, values, text, part) in [
        (
            name("#a"),
            None,
            Some("attribute_exists(x)"),
            "unused in expressions: keys: {#a}",
        ),
        (
            None,
            value(":v"),
            Some("attribute_exists(x)"),
            "unused in expressions: keys: {:v}",
        ),
        (
            name("#a"),
            None,
            None,
            "can only be specified when using expressions",
        ),
        (name("a"), None, Some("attribute_exists(x)"), "invalid key"),
        (None, value(":"), Some("attribute_exists(x)"), "invalid key"),
        (
            None,
            Some(Values::new()),
            Some("attribute_exists(x)"),
            "must not be empty",
        ),
    ] {
        let error = check(names, values, text).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

/// The sample after an update, as the changed attributes only.
fn updated(text: &str) -> Result<Value, String> {
    let before = item(&sample());
    let after = update(text)?.apply(&before, &numbered())?;
    let mut out = serde_json::Map::new();
    for name in before.0.keys().chain(after.0.keys()) {
        if before.0.get(name) != after.0.get(name) {
            let value = after
                .0
                .get(name)
                .map(|v| serde_json::to_value(Json(v)).unwrap());
            out.insert(name.clone(), value.unwrap_or(Value::Null));
        }
    }
    Ok(Value::Object(out))
}

#[test]
fn updates_change_what_they_say() {
    for (text, changed) in [
        ("SET n = n + :1", json!({"n": {"N": "6"}})),
        ("SET n = :1 - n", json!({"n": {"N": "-4"}})),
        ("SET x = (n + :1)", json!({"x": {"N": "6"}})),
        (
            "SET #set = :s, #d = :1",
            json!({"SET": {"S": "hello"}, "a.b": {"N": "1"}}),
        ),
        (
            "SET x = if_not_exists(x, :1), y = if_not_exists(n, :1)",
            json!({"x": {"N": "1"}, "y": {"N": "5"}}),
        ),
        (
            "SET x = if_not_exists(x, :1) + :5",
            json!({"x": {"N": "6"}}),
        ),
        (
            "SET l = list_append(:list, l)",
            json!({"l": {"L": [{"N": "9"}, {"N": "0"}, {"N": "1"}, {"M": {"x": {"S": "deep"}}}]}}),
        ),
        // Values are those from before.
        (
            "SET s = n, n = s",
            json!({"s": {"N": "5"}, "n": {"S": "hello"}}),
        ),
        (
            "SET m.a.b = :1, m.z = :s",
            json!({"m": {"M": {"a": {"M": {"b": {"N": "1"}}}, "c": {"S": "v"}, "z": {"S": "hello"}}}}),
        ),
        (
            "SET l[9] = :5, l[7] = :6 REMOVE l[0], l[1]",
            json!({"l": {"L": [{"M": {"x": {"S": "deep"}}}, {"N": "6"}, {"N": "5"}]}}),
        ),
        (
            "REMOVE s, absent, m.a",
            json!({"s": null, "m": {"M": {"c": {"S": "v"}}}}),
        ),
        ("REMOVE l[7]", json!({})),
        // Both mean the list as it was.
        (
            "REMOVE l[0], l[2].x",
            json!({"l": {"L": [{"N": "1"}, {"M": {}}]}}),
        ),
        (
            "REMOVE l[1] SET l[2].x = :1",
            json!({"l": {"L": [{"N": "0"}, {"M": {"x": {"N": "1"}}}]}}),
        ),
        (
            "ADD n :1, fresh :5, ss :ss, ns :ns",
            json!({"n": {"N": "6"}, "fresh": {"N": "5"}, "ss": {"SS": ["a", "b", "c"]}, "ns": {"NS": ["1", "2", "3"]}}),
        ),
        ("DELETE ss :ss, absent :ss", json!({"ss": {"SS": ["a"]}})),
        ("DELETE ss :all", json!({"ss": null})),
        (
            "remove s set n = :1 delete ns :ns add m.a.b :1",
            json!({"s": null, "n": {"N": "1"}, "m": {"M": {"a": {"M": {"b": {"N": "8"}}}, "c": {"S": "v"}}}}),
        ),
    ] {
        assert_eq!(updated(text), Ok(changed), "{text}");
    }
}

#[test]
fn updates_that_make_no_sense_are_refused() {
    for (text, part) in [
        ("", "can not be empty"),
        ("SET", "Syntax error"),
        ("n = :1", "Syntax error"),
        ("SET n", "Syntax error"),
        ("SET n = :1,", "Syntax error"),
        ("SET n = :1 + :5 + :6", "Syntax error"),
        (
            "SET n = :1 SET s = :1",
            "\"SET\" section can only be used once",
        ),
        ("SET n = :1 REMOVE n", "overlap"),
        ("SET m = :m, m.a = :1", "overlap"),
        ("SET m.a = :1, m[0] = :1", "conflict"),
        ("SET n = size(s)", "not allowed"),
        ("SET n = foo(s)", "Invalid function name"),
        ("SET n = ((n + :1))", "redundant parentheses"),
        (
            "SET l = list_append(list_append(:list, :list), :list)",
            "not allowed to be used this way in an expression; function: list_append",
        ),
        ("SET status = :1", "reserved keyword: status"),
        ("REMOVE m.Value", "reserved keyword: Value"),
        ("SET _abc = :1", "Syntax error; token: \"_\""),
        ("SET n = list_append(l)", "number of operands: 1"),
        ("SET n = if_not_exists(:1, :1)", "requires a document path"),
        ("SET n = list_append(l, :1)", "operand type: N"),
        ("SET n = n + :s", "operand type: S"),
        ("ADD n n", "Syntax error"),
        ("ADD n :s", "operand type: S"),
        ("DELETE n :1", "operand type: N"),
        ("SET x = absent", "does not exist in the item"),
        (
            "SET x.y = :1",
            "document path provided in the update expression is invalid",
        ),
        ("SET n.y = :1", "document path"),
        ("REMOVE x.y", "document path"),
        ("REMOVE l[7].x", "document path"),
        ("REMOVE m[0]", "document path"),
        ("SET l.y = :1", "document path"),
        ("SET x = s + :1", "incorrect data type"),
        ("SET x = list_append(l, n)", "incorrect data type"),
        ("ADD s :1", "incorrect data type"),
        ("DELETE ns :ss", "incorrect data type"),
        ("SET n = n + :big", "38 significant digits"),
    ] {
        let error = updated(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn updates_cannot_grow_without_bound() {
    let big = AttributeValue::L(vec![AttributeValue::S("x".repeat(300_000))]);
    let before = Item([("l".to_owned(), big)].into());
    for text in ["SET l = list_append(l, l)", "SET x = l, y = l, z = l"] {
        let error = update(text).unwrap().apply(&before, &[]).unwrap_err();
        assert!(error.contains("Item size"), "{text}: {error}");
    }
    // 300 kB twice is too much as well, which only the whole item shows.
    let op = WriteOp::new(Action::Update {
        key: Item::default(),
        update: update("SET x = l").unwrap(),
    });
    assert!(matches!(op.apply(Some(before)), WriteReply::Invalid { .. }));
}

#[test]
fn projections_pick() {
    let item = item(&sample());
    let names = names();
    for (text, picked) in [
        (
            "s, #n, absent",
            json!({"s": {"S": "hello"}, "n": {"N": "5"}}),
        ),
        (
            "l[2].x, l[0]",
            json!({"l": {"L": [{"N": "0"}, {"M": {"x": {"S": "deep"}}}]}}),
        ),
        (
            "m.a.b, m.zzz",
            json!({"m": {"M": {"a": {"M": {"b": {"N": "7"}}}}}}),
        ),
        ("s.x, n[0], l[9]", json!({})),
    ] {
        let projection = Scope::new(Some(&names), None).projection(text).unwrap();
        assert_eq!(
            serde_json::to_value(Json(&projection.apply(&item))).unwrap(),
            picked,
            "{text}"
        );
    }
    for text in [
        "", "s,", "s, s", "m, m.a", ":v", "size(s)", "s, count", "_a",
    ] {
        let error = Scope::new(Some(&names), None).projection(text).unwrap_err();
        assert!(
            error.starts_with("Invalid ProjectionExpression: "),
            "{text}: {error}"
        );
    }
}

#[test]
fn writes_apply() {
    let current = item(&sample());
    let mut op = WriteOp::new(Action::Delete);
    op.condition = Some(condition("n = :6").unwrap());
    op.values = numbered();
    assert_eq!(
        op.apply(Some(current.clone())),
        WriteReply::ConditionFailed {
            old: Some(current.clone())
        }
    );
    assert_eq!(op.apply(None), WriteReply::ConditionFailed { old: None });
    assert_eq!(
        op.trim(op.apply(Some(current.clone()))),
        WriteReply::ConditionFailed { old: None }
    );
    op.condition = None;
    assert_eq!(
        op.apply(Some(current.clone())),
        WriteReply::Done {
            old: Some(current.clone()),
            new: None
        }
    );
    let key = item(&json!({"id": {"S": "k"}}));
    let update_with = |text: &str| {
        let mut op = WriteOp::new(Action::Update {
            key: key.clone(),
            update: update(text).unwrap(),
        });
        op.values = numbered();
        op
    };
    let op = update_with("ADD n :1");
    let made = item(&json!({"id": {"S": "k"}, "n": {"N": "1"}}));
    assert_eq!(
        op.apply(None),
        WriteReply::Done {
            old: None,
            new: Some(made)
        }
    );
    assert!(matches!(
        update_with("ADD s :1").apply(Some(current)),
        WriteReply::Invalid { .. }
    ));
    // What only takes away makes nothing; what is not there need not be removed.
    let nothing = WriteReply::Done {
        old: None,
        new: None,
    };
    for text in [
        "REMOVE b",
        "REMOVE x.y",
        "DELETE s :ss",
        "REMOVE x.y DELETE s :ss",
    ] {
        assert_eq!(update_with(text).apply(None), nothing, "{text}");
    }
    let made = item(&json!({"id": {"S": "k"}, "n": {"N": "1"}}));
    let op = update_with("SET n = :1 REMOVE x.y");
    assert!(matches!(op.apply(None), WriteReply::Done { new: Some(new), .. } if new == made));
}

#[test]
fn sizes_of_updates_are_known_before_the_item_is() {
    let size = |text: &str| update(text).unwrap().least_size(&numbered());
    let value = |key: &str| values()[key].size();
    assert_eq!(size("SET a = :s, b = :s"), 2 * value(":s"));
    assert_eq!(
        size("SET a = list_append(:list, :list)"),
        2 * value(":list") - 3
    );
    assert_eq!(
        size("SET a = if_not_exists(b, :s) ADD ss :ss"),
        value(":ss")
    );
    assert_eq!(
        size("SET a = b, n = n + :1 ADD m :1 REMOVE x DELETE ns :ns"),
        0
    );
}

/// Texts that look like expressions.
fn near_expression() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "SET",
        "REMOVE",
        "ADD",
        "DELETE",
        "AND",
        "OR",
        "NOT",
        "BETWEEN",
        "IN",
        "(",
        ")",
        "[",
        "]",
        "[0]",
        ".",
        ",",
        "=",
        "<>",
        "<",
        "+",
        "-",
        "s",
        "n",
        "l",
        "m.a",
        "#n",
        ":s",
        ":1",
        ":ss",
        ":list",
        "size(",
        "if_not_exists(",
        "list_append(",
        "attribute_exists(s)",
        "begins_with(s, :h)",
        "contains(",
        "é",
        "99999999999999999999",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

/// Conditions that make sense, and work.
fn sound_condition() -> impl Strategy<Value = String> {
    let operand = prop::sample::select(vec![
        "s", "n", "b", "l", "m.a", "ss", "x", ":s", ":5", ":ss", ":list", "size(s)", "size(:h)",
    ]);
    let test = prop_oneof![
        (
            operand.clone(),
            prop::sample::select(vec!["=", "<>"]),
            operand.clone()
        )
            .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (operand.clone(), operand.clone()).prop_map(|(a, b)| format!("contains({a}, {b})")),
        (operand.clone(), prop::collection::vec(operand, 1..20))
            .prop_map(|(a, list)| format!("{a} IN ({})", list.join(", "))),
        Just("attribute_type(s, :N)".to_owned()),
    ];
    test.prop_recursive(6, 40, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} OR {b}")),
            inner.prop_map(|a| format!("NOT ({a} OR n = :1)")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_condition_takes_more_work_than_there_is(text in sound_condition(), left in 0usize..4000) {
        let Ok(condition) = condition(&text) else { return Ok(()) };
        let current = item(&sample());
        let whole = {
            let mut work = Work::default();
            let holds = condition.holds(&current, &numbered(), &mut work).unwrap();
            (holds, MAX_WORK - work.left())
        };
        let tried = condition.holds(&current, &numbered(), &mut Work::of(left));
        let expected = if left >= whole.1 { Ok(whole.0) } else { Err(TooMuchWork) };
        prop_assert_eq!(tried, expected, "{} needs {}", text, whole.1);
    }

    #[test]
    fn any_text_is_survived(text in ".{0,60}") {
        let _ = condition(&text);
        let _ = update(&text);
        let _ = Scope::new(Some(&names()), None).projection(&text);
    }

    #[test]
    fn near_expressions_are_survived_and_replicas_agree(text in near_expression()) {
        let current = item(&sample());
        if let Ok(condition) = condition(&text) {
            let _ = holds(&condition, &current);
            let bytes = postcard::to_stdvec(&condition).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Condition>(&bytes).unwrap(), condition);
        }
        if let Ok(update) = update(&text) {
            let mut op = WriteOp::new(Action::Update { key: Item::default(), update });
            op.values = numbered();
            let bytes = postcard::to_stdvec(&op).unwrap();
            let other: WriteOp = postcard::from_bytes(&bytes).unwrap();
            prop_assert_eq!(other.apply(Some(current.clone())), op.apply(Some(current)));
        }
    }
}
