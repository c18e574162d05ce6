use super::frames::tests::{message, ready, row, speaking};
use super::*;
use crate::classify::tests::{one_of_each, short};
use crate::config::tests::config;
use gameday_record::ErrorClass;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn spec(url: &str) -> PostgresSpec {
    match PostgresSpec::parse(url).unwrap().service {
        ServiceSpec::Postgres(spec) => spec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn urls_are_read() {
    let url =
        PostgresSpec::parse("b=postgres://u:p%40@h1,h2:6543/db?target_session_attrs=read-write");
    let url = url.unwrap();
    let hosts: Vec<_> = url
        .hosts
        .iter()
        .map(|h| (h.host.as_str(), h.port))
        .collect();
    assert_eq!(
        (url.az.as_deref(), hosts),
        (Some("b"), vec![("h1", 5432), ("h2", 6543)])
    );
    let s = spec("postgresql://u@h?sslmode=verify-full");
    assert_eq!(
        (s.user.as_str(), s.database.as_str(), s.tls),
        ("u", "u", true)
    );
    for (url, expected) in [
        ("mysql://u@h", "postgres://"),
        ("postgres://h/db", "user is missing"),
        ("postgres://u@h/a/b", "one name"),
        ("postgres://u%00@h", "without a zero"),
        ("postgres://u@h?sslmode=require", "verify-full"),
        ("postgres://u@h?target_session_attrs=standby", "read-write"),
        ("postgres://u@h?x=y", "not known"),
    ] {
        let e = PostgresSpec::parse(url).unwrap_err();
        assert!(e.contains(expected), "{url}: {e}");
    }
}

#[test]
fn requests_are_one_statement_and_a_sync() {
    let mut c = config();
    c.table = "a\"b".into();
    let p = Postgres::new(&spec("postgres://u@h"), &c).unwrap();
    let said = |call: &Call| {
        let drawn = Drawn {
            call: call.clone(),
            table: 0,
            fresh: false,
            bytes: 2,
        };
        let request = p.request(&drawn, 0);
        let (mut tags, mut texts, mut at) = (String::new(), Vec::new(), 0);
        while at < request.len() {
            let (frame, end) = frames::frame(&request, at).unwrap();
            tags.push(char::from(frame.tag));
            texts.push(String::from_utf8_lossy(frame.body).into_owned());
            at = end;
        }
        assert_eq!(tags, "PBES", "{call:?}");
        // The values in the message that binds them, without their lengths.
        let values = texts[1].replace(|c: char| c.is_control(), " ");
        let words: Vec<String> = values.split_whitespace().map(String::from).collect();
        (texts[0].trim_matches('\0').to_string(), words)
    };
    let [read, _, write, insert, cas, add] = one_of_each("k1");
    for (call, begins, values) in [
        (
            &read,
            "SELECT \"v\" FROM \"a\"\"b\" WHERE \"pk\" = $1",
            &["k1"][..],
        ),
        (
            &write,
            "INSERT INTO \"a\"\"b\" (\"pk\", \"v\", \"pad\") VALUES ($1, $2, $3) ON CONFLICT (\"pk\") DO UPDATE",
            &["k1", "9", "xx"],
        ),
        (
            &insert,
            "INSERT INTO \"a\"\"b\" (\"pk\", \"v\", \"pad\") VALUES ($1, $2, $3) ON CONFLICT (\"pk\") DO NOTHING",
            &["k1", "9", "xx"],
        ),
        (
            &cas,
            "UPDATE \"a\"\"b\" SET \"v\" = $2, \"pad\" = $3 WHERE \"pk\" = $1 AND \"v\" = $4",
            &["k1", "9", "xx", "4"],
        ),
        (
            &add,
            "INSERT INTO \"a\"\"b\" (\"pk\", \"v\") VALUES ($1, $2) ON CONFLICT",
            &["k1", "2"],
        ),
    ] {
        let (statement, words) = said(call);
        assert!(statement.starts_with(begins), "{statement}");
        assert_eq!(words, values, "{call:?}");
    }
    let first = Call::Cas {
        key: "k1".into(),
        expected: None,
        new: 9,
    };
    assert_eq!(said(&first), said(&insert));
    c.table = "a\0b".into();
    assert!(Postgres::new(&spec("postgres://u@h"), &c).is_err());
}

#[test]
fn an_answer_is_understood_when_it_is_whole() {
    let p = Postgres::new(&spec("postgres://u@h"), &config()).unwrap();
    let [read, ..] = one_of_each("k1");
    let said = [row(Some("5")), frames::tests::done("SELECT 1"), ready()].concat();
    for end in 0..said.len() {
        let got = p.answer(&read, &said[..end], false);
        assert!(matches!(got, Answer::Partial { .. }), "{end}: {got:?}");
    }
    let Answer::Done { used, keep, what } = p.answer(&read, &said, false) else {
        panic!("not whole");
    };
    assert_eq!(
        (used, keep, short(&what)),
        (said.len(), true, "ok 5".into())
    );
}

/// A request for authentication.
fn asks(kind: u32, rest: &[u8]) -> Vec<u8> {
    message(b'R', &[&kind.to_be_bytes()[..], rest].concat())
}

/// Opens a connection to one who says these, one after each read.
async fn opened(url: &str, says: Vec<Vec<u8>>) -> (Result<(), NoAnswer>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::plain("a", listener.local_addr().unwrap());
    let p = Postgres::new(&spec(url), &config()).unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::with_capacity(4096);
        for word in says {
            assert!(stream.read_buf(&mut heard).await.unwrap() > 0);
            stream.write_all(&word).await.unwrap();
        }
        heard
    };
    let connector = Connector::default();
    let (opened, heard) = tokio::join!(p.open(&connector, &endpoint), serve);
    (opened.map(drop), heard)
}

fn welcome() -> Vec<u8> {
    let all = [
        asks(0, b""),
        message(b'S', b"server_version\x0015\0"),
        message(b'K', &[0; 8]),
        ready(),
    ];
    all.concat()
}

#[tokio::test]
async fn whoever_connects_says_who_it_is() {
    let (done, heard) = opened("postgres://me@h/db", vec![welcome()]).await;
    assert_eq!(done, Ok(()));
    let heard = String::from_utf8_lossy(&heard).into_owned();
    assert!(heard.contains("user\0me\0database\0db\0"), "{heard:?}");
    let salted = asks(5, b"salt");
    let (done, heard) = opened("postgres://me:pw@h/db", vec![salted, welcome()]).await;
    assert_eq!(done, Ok(()));
    // The digest was computed with the formula of the documentation: md5(md5(pw + me) + salt).
    let digest = postgres_protocol::authentication::md5_hash(b"me", b"pw", *b"salt");
    let heard = String::from_utf8_lossy(&heard).into_owned();
    assert!(heard.contains(&digest), "{heard:?}");
    let shows = |value| [row(Some(value)), frames::tests::done("SHOW"), ready()].concat();
    let url = "postgres://me@h/db?target_session_attrs=read-write";
    let (done, heard) = opened(url, vec![welcome(), shows("off")]).await;
    assert_eq!(done, Ok(()));
    assert!(heard.ends_with(b"SHOW transaction_read_only\0"));
    let (done, _) = opened(url, vec![welcome(), shows("on")]).await;
    assert!(
        matches!(done, Err(NoAnswer::NotServed(ErrorClass::Server, _))),
        "{done:?}"
    );
}

#[tokio::test]
async fn what_is_refused_at_the_door_is_certainly_not_done() {
    let many = asks(11, b"r=x,s=AAAA,i=2000000000");
    let url = "postgres://me:pw@h/db";
    for (says, expected) in [
        (
            vec![speaking(b'E', "FATAL", "28P01")],
            "NotServed(Misconfigured",
        ),
        (
            vec![speaking(b'E', "FATAL", "3D000")],
            "NotServed(Misconfigured",
        ),
        (vec![speaking(b'E', "FATAL", "57P03")], "NotServed(Server"),
        (vec![speaking(b'E', "FATAL", "53300")], "NotServed(Server"),
        (
            vec![asks(3, b"")],
            "NotServed(Misconfigured, \"it asks for the password in clear",
        ),
        (
            vec![asks(7, b"")],
            "NotServed(Misconfigured, \"it asks for authentication of kind 7",
        ),
        (
            vec![asks(10, b"OTHER\0\0")],
            "NotServed(Misconfigured, \"it does not know SCRAM",
        ),
        (
            vec![asks(10, b"SCRAM-SHA-256\0\0"), many],
            "NotServed(Misconfigured, \"SCRAM with more than",
        ),
        // A server that does not know the password cannot pretend that it does.
        (
            vec![asks(10, b"SCRAM-SHA-256\0\0"), asks(12, b"v=AAAA")],
            "NotServed(Misconfigured, \"authentication",
        ),
        (
            vec![b"HTTP/1.1 400 Bad Request\r\n".to_vec()],
            "NotConnected",
        ),
        (vec![message(b'S', b"").repeat(300)], "NotConnected"),
        (vec![asks(0, b"")], "NotConnected"),
        (vec![Vec::new()], "NotConnected"),
    ] {
        let (done, _) = opened(url, says).await;
        let why = format!("{:?}", done.unwrap_err());
        assert!(why.starts_with(expected), "{expected}: {why}");
    }
    let (done, _) = opened("postgres://me@h", vec![asks(5, b"salt")]).await;
    assert!(done.unwrap_err().to_string().contains("there is none"));
    let (done, _) = opened("postgres://me@h?sslmode=verify-full", vec![b"N".to_vec()]).await;
    assert!(done.unwrap_err().to_string().contains("no TLS"));
}

#[tokio::test]
async fn of_several_hosts_the_first_that_serves_is_taken() {
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let serves = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut endpoint = Endpoint::plain("a", dead.local_addr().unwrap());
    endpoint.more = vec![crate::config::Host {
        addr: serves.local_addr().unwrap(),
        host: None,
    }];
    drop(dead);
    let p = Postgres::new(&spec("postgres://me@h1,h2/db"), &config()).unwrap();
    let connector = Connector::default();
    let serve = async |says: Vec<u8>| {
        let (mut stream, _) = serves.accept().await.unwrap();
        let mut heard = Vec::with_capacity(4096);
        assert!(stream.read_buf(&mut heard).await.unwrap() > 0);
        stream.write_all(&says).await.unwrap();
    };
    let (done, ()) = tokio::join!(p.open(&connector, &endpoint), serve(welcome()));
    assert!(done.is_ok(), "{done:?}");
    assert_eq!(p.first.load(std::sync::atomic::Ordering::Relaxed), 1);
    let starting = speaking(b'E', "FATAL", "57P03");
    let (done, ()) = tokio::join!(p.open(&connector, &endpoint), serve(starting));
    let why = done.unwrap_err();
    assert!(
        matches!(&why, NoAnswer::NotServed(ErrorClass::Server, _)),
        "{why:?}"
    );
    assert!(
        why.to_string().contains("57P03") && why.to_string().contains("refused"),
        "{why}"
    );
}

#[tokio::test]
async fn tls_is_gone_over_to_before_anything_is_said() {
    let (acceptor, connector) = crate::connect::tests::trusted(&["postgresql"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint {
        tls: true,
        ..Endpoint::plain("a", listener.local_addr().unwrap())
    };
    // A password in clear text is not refused within.
    let url = "postgres://me:secret@h/db?sslmode=verify-full";
    let p = Postgres::new(&spec(url), &config()).unwrap();
    let serve = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut asked = [0; 8];
        tcp.read_exact(&mut asked).await.unwrap();
        assert_eq!(asked, [0, 0, 0, 8, 4, 210, 22, 47]);
        tcp.write_all(b"S").await.unwrap();
        let mut stream = acceptor.accept(tcp).await.unwrap();
        let mut heard = Vec::with_capacity(4096);
        for says in [asks(3, b""), welcome()] {
            assert!(stream.read_buf(&mut heard).await.unwrap() > 0);
            stream.write_all(&says).await.unwrap();
            stream.flush().await.unwrap();
        }
        heard
    };
    let (opened, heard) = tokio::join!(p.open(&connector, &endpoint), serve);
    assert!(opened.is_ok(), "{opened:?}");
    assert!(heard.ends_with(b"secret\0"), "{heard:?}");
}
