use super::*;
use crate::classify::tests::one_of_each;
use crate::config::tests::config;

fn spec(url: &str) -> HttpSpec {
    match HttpSpec::parse(url).unwrap().service {
        ServiceSpec::Http(spec) => spec,
        other => panic!("{other:?}"),
    }
}

fn written(url: &str) -> HttpSpec {
    HttpSpec {
        write: Some(HttpWrite {
            method: "PUT".into(),
            body: "{\"v\":{value},\"pad\":\"{pad}\"}".into(),
            delete: "DELETE".into(),
            value: "/v".into(),
        }),
        headers: vec![("content-type".into(), "application/json".into())],
        ..spec(url)
    }
}

#[test]
fn urls_are_read() {
    let url = HttpSpec::parse("b=https://h/a/{key}?x=1&y={key}").unwrap();
    assert_eq!(
        (url.az.as_deref(), url.hosts[0].port, url.hosts[0].tls),
        (Some("b"), 443, true)
    );
    assert_eq!(
        spec("https://h/a/{key}?x=1&y={key}").path,
        "/a/{key}?x=1&y={key}"
    );
    assert_eq!(spec("http://h").path, "/");
    assert_eq!(spec("http://h?x=1").path, "/?x=1");
    for (url, expected) in [
        ("redis://h", "no HTTP"),
        ("http://u:p@h", "--http-header"),
        ("http://a,b/", "repeat"),
        ("http://h/#x", "'#'"),
    ] {
        let e = HttpSpec::parse(url).unwrap_err();
        assert!(e.contains(expected), "{url}: {e}");
    }
}

#[test]
fn headers_and_statuses_are_read() {
    let header = HttpSpec::header("Authorization:  Bearer x:y ").unwrap();
    assert_eq!(header, ("authorization".into(), "Bearer x:y".into()));
    assert!(HttpSpec::header("nothing").is_err());
    assert_eq!(
        HttpSpec::statuses("200-204, 404").unwrap(),
        [(200, 204), (404, 404)]
    );
    for wrong in ["", "2xx", "204-200", "100", "600", "200-700"] {
        assert!(HttpSpec::statuses(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    type Spoil = fn(&mut HttpSpec);
    let all: [(Spoil, &str); 10] = [
        (|s| s.path = "/x y".into(), "visible ASCII"),
        (|s| s.path = "/x".into(), "{key}"),
        (|s| s.read = "GET /".into(), "one word"),
        (|s| s.read = "HEAD".into(), "no body"),
        (|s| s.headers[0].1 = "x\r\ny: z".into(), "visible ASCII"),
        (|s| s.headers[0].0 = "host".into(), "by itself"),
        (
            |s| s.headers = vec![("x".into(), "y".into()); 33],
            "at most 32",
        ),
        (|s| s.success.clear(), "some status"),
        (|s| s.write.as_mut().unwrap().body = "x".into(), "{value}"),
        (
            |s| s.write.as_mut().unwrap().value = "v".into(),
            "JSON pointer",
        ),
    ];
    assert_eq!(written("http://h/{key}").validate(), Ok(()));
    for (spoil, expected) in all {
        let mut spec = written("http://h/{key}");
        spoil(&mut spec);
        let e = spec.validate().unwrap_err();
        assert!(e.contains(expected), "{expected}: {e}");
        assert!(Http::new(&spec, &config()).is_err());
    }
}

#[test]
fn requests_are_what_was_asked_for() {
    let mut c = config();
    c.table = "my table".into();
    let service = Http::new(&written("http://h/items/{key}"), &c).unwrap();
    let sent = |call: Call| {
        let drawn = Drawn {
            call,
            table: 0,
            fresh: false,
            bytes: 2,
        };
        String::from_utf8(service.request(&drawn, 0)).unwrap()
    };
    let [read, _, write, insert, ..] = one_of_each("k1");
    let headers = "host: 127.0.0.1:8000\r\ncontent-type: application/json\r\n";
    assert_eq!(
        sent(read),
        format!("GET /items/my-table-k1 HTTP/1.1\r\n{headers}\r\n")
    );
    let body = r#"{"v":9,"pad":"xx"}"#;
    let put = format!(
        "PUT /items/my-table-k1 HTTP/1.1\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(sent(write), put);
    assert_eq!(sent(insert), put);
}

#[test]
fn what_it_has_not_is_refused_with_what_to_do() {
    let only_read = spec("http://h");
    assert!(only_read.can(CallKind::StrongRead).is_ok());
    assert!(
        only_read
            .can(CallKind::Write)
            .unwrap_err()
            .contains("--http-write")
    );
    let written = written("http://h/{key}");
    assert!(written.can(CallKind::Insert).is_ok());
    assert!(
        written
            .can(CallKind::Cas)
            .unwrap_err()
            .contains("use writes")
    );
}
