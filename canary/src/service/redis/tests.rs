use super::*;
use crate::classify::tests::{one_of_each, short};
use crate::config::tests::config;
use tokio::net::TcpListener;

fn spec(url: &str) -> RedisSpec {
    match RedisSpec::parse(url).unwrap().service {
        ServiceSpec::Redis(spec) => spec,
        other => panic!("{other:?}"),
    }
}

fn redis(url: &str) -> Redis {
    Redis::new(&spec(url), &config())
}

fn drawn(call: Call, bytes: u32) -> Drawn {
    Drawn {
        call,
        table: 0,
        fresh: false,
        bytes,
    }
}

#[test]
fn urls_are_read() {
    let url = RedisSpec::parse("b=rediss://u:p%40@h/3").unwrap();
    assert_eq!(url.az.as_deref(), Some("b"));
    assert_eq!(
        (url.hosts.len(), url.hosts[0].port, url.hosts[0].tls),
        (1, 6379, true)
    );
    let s = spec("rediss://u:p%40@h/3");
    assert_eq!(
        (s.user.as_deref(), s.database, s.primary),
        (Some("u"), 3, None)
    );
    assert_eq!(s.password.unwrap().reveal(), "p@");
    let url = RedisSpec::parse("redis+sentinel://a:1,b/my%20main/2").unwrap();
    let ports: Vec<u16> = url.hosts.iter().map(|h| h.port).collect();
    assert_eq!(ports, [1, 26379]);
    let s = spec("redis+sentinel://a:1,b/my%20main/2");
    assert_eq!((s.primary.as_deref(), s.database), (Some("my main"), 2));
    for (url, expected) in [
        ("http://h", "redis://"),
        ("redis://a,b", "redis+sentinel"),
        ("redis+sentinel://a,b", "mymaster"),
        ("redis://h/x", "no number"),
        ("redis://h/1/2", "too long"),
        ("redis://h?db=1", "not known"),
    ] {
        let e = RedisSpec::parse(url).unwrap_err();
        assert!(e.contains(expected), "{url}: {e}");
    }
}

#[test]
fn requests_are_commands() {
    let r = redis("redis://h");
    let said = |call, bytes| {
        let request = r.request(&drawn(call, bytes), 0);
        let mut words = Vec::new();
        let (reply, used) = resp::reply(&request, 0).unwrap();
        assert_eq!(used, request.len());
        let Reply::Array(Some(all)) = reply else {
            panic!("{reply:?}");
        };
        for word in all {
            let Reply::Bulk(Some(word)) = word else {
                panic!("{word:?}");
            };
            words.push(String::from_utf8(word).unwrap());
        }
        words
    };
    let [read, eventual, write, insert, cas, add] = one_of_each("k1");
    assert_eq!(said(read, 3), ["GET", "canary:k1"]);
    assert_eq!(said(eventual, 3), ["GET", "canary:k1"]);
    assert_eq!(said(write.clone(), 3), ["SET", "canary:k1", "9 xxx"]);
    assert_eq!(said(write, 0), ["SET", "canary:k1", "9"]);
    assert_eq!(said(insert, 1), ["SET", "canary:k1", "9 x", "NX"]);
    assert_eq!(said(add, 3), ["INCRBY", "canary:k1", "2"]);
    let words = said(cas, 1);
    assert_eq!(words[0], "EVAL");
    assert_eq!(words[2..], ["1", "canary:k1", "4", "9 x"]);
    let absent = Call::Cas {
        key: "k1".into(),
        expected: None,
        new: 9,
    };
    assert_eq!(said(absent, 0)[4..], ["", "9"]);
}

#[test]
fn an_answer_is_understood_when_it_is_whole() {
    let r = redis("redis://h");
    let [read, ..] = one_of_each("k1");
    let said = b"$4\r\n5 xx\r\n";
    for end in 0..said.len() {
        let got = r.answer(&read, &said[..end], false);
        assert!(matches!(got, Answer::Partial { .. }), "{end}: {got:?}");
    }
    let got = r.answer(&read, said, false);
    let Answer::Done { used, keep, what } = got else {
        panic!("{got:?}");
    };
    assert_eq!(
        (used, keep, short(&what)),
        (said.len(), true, "ok 5".into())
    );
    let got = r.answer(&read, b"SSH-2.0", false);
    assert!(matches!(got, Answer::Garbled(_)), "{got:?}");
}

/// Opens a connection to one who has these words to say, one for each read.
async fn opened(url: &str, says: &[&'static str]) -> (Result<(), NoAnswer>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::plain("a", listener.local_addr().unwrap());
    let r = redis(url);
    let serve = async {
        use tokio::io::AsyncReadExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::with_capacity(4096);
        for word in says {
            assert!(stream.read_buf(&mut heard).await.unwrap() > 0);
            stream.write_all(word.as_bytes()).await.unwrap();
        }
        String::from_utf8(heard).unwrap()
    };
    let connector = Connector::default();
    let (opened, heard) = tokio::join!(r.open(&connector, &endpoint), serve);
    (opened.map(drop), heard)
}

#[tokio::test]
async fn whoever_connects_says_who_it_is() {
    let (done, heard) = opened("redis://me:secret@h/2", &["+OK\r\n+OK\r\n"]).await;
    assert_eq!(done, Ok(()));
    let words: Vec<&str> = heard
        .split("\r\n")
        .filter(|w| !w.starts_with(['*', '$']))
        .collect();
    assert_eq!(words, ["AUTH", "me", "secret", "SELECT", "2", ""]);
    let (done, heard) = opened("redis://:secret@h", &["+OK\r\n"]).await;
    assert_eq!(done, Ok(()));
    assert!(
        heard.starts_with("*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"),
        "{heard}"
    );
    // Nothing to say, nothing to wait for.
    let (done, heard) = opened("redis://h", &[]).await;
    assert_eq!((done, heard.as_str()), (Ok(()), ""));
}

#[tokio::test]
async fn what_is_refused_at_the_door_is_certainly_not_done() {
    let whys = [
        ("-WRONGPASS no\r\n-NOAUTH x\r\n", "NotServed(Misconfigured"),
        (
            "-LOADING Redis is loading\r\n-LOADING x\r\n",
            "NotServed(Server",
        ),
        ("-ERR max number of clients reached\r\n", "NotServed(Server"),
        (
            "+OK\r\n-ERR DB index is out of range\r\n",
            "NotServed(Misconfigured",
        ),
        ("HTTP/1.1 400 Bad Request\r\n", "NotConnected"),
        ("+OK\r\n", "NotConnected"),
        ("", "NotConnected"),
    ];
    for (says, expected) in whys {
        let (done, _) = opened("redis://:p@h/2", &[says]).await;
        let why = format!("{:?}", done.unwrap_err());
        assert!(why.starts_with(expected), "{says:?}: {why}");
    }
}

#[tokio::test]
async fn the_primary_is_asked_of_the_first_sentinel_that_knows() {
    let (dead, deaf, knows, primary) = (
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let addr = |l: &TcpListener| l.local_addr().unwrap();
    let mut endpoint = Endpoint::plain("a", addr(&dead));
    endpoint.more = [&deaf, &knows]
        .map(|l| crate::config::Host {
            addr: addr(l),
            host: None,
        })
        .to_vec();
    drop(dead);
    let port = addr(&primary).port().to_string();
    let said = format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len());
    let answer = async |listener: &TcpListener, says: String| {
        use tokio::io::AsyncReadExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::with_capacity(4096);
        assert!(stream.read_buf(&mut heard).await.unwrap() > 0);
        stream.write_all(says.as_bytes()).await.unwrap();
    };
    let r = redis("redis+sentinel://x,y,z/main");
    let connector = Connector::default();
    for (role, expected) in [("master", true), ("slave", false), ("master", true)] {
        let role = format!("*1\r\n${}\r\n{role}\r\n", role.len());
        let (opened, (), ()) = tokio::join!(
            r.open(&connector, &endpoint),
            answer(&knows, said.clone()),
            answer(&primary, role)
        );
        assert_eq!(opened.is_ok(), expected, "{opened:?}");
    }
    // The deaf one was asked once: afterwards the one that knows is the first.
    assert_eq!(r.sentinels.as_ref().unwrap().first(), 2);
    drop((knows, deaf));
    let refused = r.open(&connector, &endpoint).await.unwrap_err();
    let why = refused.to_string();
    assert!(
        why.contains("no Sentinel knows the primary 'main'"),
        "{why}"
    );
}

#[tokio::test]
async fn tls_is_spoken_where_the_url_says_so() {
    let (acceptor, connector) = crate::connect::tests::trusted(&["redis"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint {
        tls: true,
        ..Endpoint::plain("a", listener.local_addr().unwrap())
    };
    let r = redis("rediss://:secret@h");
    let serve = async {
        use tokio::io::AsyncReadExt;
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(tcp).await.unwrap();
        let mut heard = Vec::with_capacity(4096);
        assert!(stream.read_buf(&mut heard).await.unwrap() > 0);
        stream.write_all(b"+OK\r\n").await.unwrap();
        stream.flush().await.unwrap();
        heard
    };
    let (opened, heard) = tokio::join!(r.open(&connector, &endpoint), serve);
    assert!(opened.is_ok(), "{opened:?}");
    assert!(heard.starts_with(b"*2\r\n$4\r\nAUTH"), "{heard:?}");
}
