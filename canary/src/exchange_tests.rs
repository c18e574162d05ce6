use super::*;
use proptest::prelude::*;

/// How an exchange ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Whole {
    status: u16,
    body: Vec<u8>,
    again: bool,
}

/// What is understood of what a server says in pieces of so many bytes, in turn, before it
/// closes.
fn read(said: &[u8], sizes: &[usize]) -> Result<Whole, String> {
    let (mut came, mut wanted, mut turn) = (0, 1, 0);
    loop {
        // As the connection does: asked when enough came, or when nothing more will.
        while came < wanted && came < said.len() {
            came = said
                .len()
                .min(came.saturating_add(sizes[turn % sizes.len()].min(4096)));
            turn += 1;
        }
        let closed = came < wanted;
        match answer(&said[..came], closed) {
            Answer::Partial { .. } if came == 0 => return Err("closed".into()),
            Answer::Partial { .. } if closed => return Err("broken".into()),
            Answer::Partial { more } => {
                assert!(more > 0);
                wanted = came + more;
            }
            Answer::Garbled(why) => return Err(format!("garbled: {why}")),
            Answer::Done { used, keep, what } => {
                return Ok(Whole {
                    status: what.status,
                    body: what.body.into_owned(),
                    again: keep && used == came,
                });
            }
        }
    }
}

/// `200 again hello`, `200 last hello`, `broken`, `garbled: why`.
fn short(read: &Result<Whole, String>) -> String {
    match read {
        Ok(a) => {
            let again = if a.again { "again" } else { "last" };
            let body = String::from_utf8_lossy(&a.body);
            format!("{} {again} {body}", a.status)
        }
        Err(why) => why.clone(),
    }
}

#[test]
fn the_table() {
    let long_header = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(MAX_HEAD));
    let many_headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
    let endless_hints = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000);
    let endless_trailers = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n{}",
        "a: b\r\n".repeat(4000)
    );
    let size_line = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;{}\r\n",
        "x".repeat(300)
    );
    let many_chunks = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}",
        "1\r\nx\r\n".repeat(MAX_CHUNKS + 1)
    );
    let until_close = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(MAX_BODY + 1));
    let chunked =
        |chunks: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
    let with = |headers: &str| format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\nhello");
    for (said, expected) in [
        // Lengths.
        (with("content-length: 5"), "200 again hello"),
        (with("Content-Length:5"), "200 again hello"),
        (with("content-length: 05"), "200 again hello"),
        (with("content-length: 5\r\ncontent-length: 5"), "200 again hello"),
        (with("content-length: 6"), "broken"),
        (with("content-length: 1048577"), "garbled: body longer"),
        (with("content-length: 99999999999999999999"), "garbled: a content-length"),
        (with("content-length: +5"), "garbled: a content-length"),
        (with("content-length: 5, 5"), "garbled: a content-length"),
        (with("content-length:"), "garbled: a content-length"),
        (with("content-length: 5\r\ncontent-length: 4"), "garbled: two lengths"),
        // Until the connection ends.
        (with("server: x"), "200 last hello"),
        (until_close, "garbled: body longer"),
        // Chunks.
        (chunked("5\r\nhello\r\n0\r\n\r\n"), "200 again hello"),
        (chunked("2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n"), "200 again hello"),
        (chunked("A\r\n0123456789\r\n0\r\na: b\r\n\r\n"), "200 again 0123456789"),
        (chunked("0\r\n\r\n"), "200 again "),
        (chunked("0\r\n"), "broken"),
        (chunked("5\r\nhello\r\n"), "broken"),
        (chunked("5\r\nhel"), "broken"),
        (chunked("5\r\nhello!\r\n0\r\n\r\n"), "garbled: a chunk that is longer"),
        (chunked("x\r\n"), "garbled: a chunk without"),
        (chunked("\r\n"), "garbled: a chunk without"),
        (chunked("100001\r\n"), "garbled: body longer"),
        (chunked("ffffffffffffffff\r\n"), "garbled: body longer"),
        (chunked("10000000000000000\r\n"), "garbled: a chunk without"),
        (many_chunks, "garbled: more than 4096 chunks"),
        (size_line, "garbled: size of a chunk"),
        (endless_trailers, "garbled: trailers"),
        (
            with("transfer-encoding: chunked\r\ncontent-length: 5"),
            "garbled: a length and",
        ),
        (with("transfer-encoding: gzip, chunked"), "garbled: a transfer encoding"),
        (
            with("transfer-encoding: chunked\r\ntransfer-encoding: chunked"),
            "garbled: a transfer encoding",
        ),
        // Whether the connection can be used again.
        (with("content-length: 5\r\nConnection: Close"), "200 last hello"),
        (with("content-length: 5\r\nconnection: x , close"), "200 last hello"),
        (with("content-length: 5\r\nconnection: keep-alive"), "200 again hello"),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}".into(), "200 last {}"),
        // Statuses.
        ("HTTP/1.1 500\r\ncontent-length: 0\r\n\r\n".into(), "500 again "),
        ("HTTP/1.1 204 X\r\n\r\n".into(), "204 again "),
        ("HTTP/1.1 304 X\r\ncontent-length: 7\r\n\r\n".into(), "304 again "),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nlink: y\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".into(),
            "200 again {}",
        ),
        ("HTTP/1.1 101 X\r\n\r\n".into(), "garbled: 101"),
        (endless_hints, "garbled: head longer"),
        // No answers.
        (String::new(), "closed"),
        ("HTTP/1.1 200 OK\r\ncontent-le".into(), "broken"),
        ("SSH-2.0-x\r\n".into(), "garbled: no HTTP"),
        ("HTTP/2 200\r\n\r\n".into(), "garbled: no HTTP"),
        ("HTTP/1.1 2000 OK\r\n\r\n".into(), "garbled: no HTTP"),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n".into(), "garbled: no HTTP"),
        (long_header, "garbled: head longer"),
        (many_headers, "garbled: more than 100"),
    ] {
        for sizes in [&[1][..], &[3, 1, 7], &[4096], &[usize::MAX]] {
            let got = short(&read(said.as_bytes(), sizes));
            let begin = &said[..said.len().min(80)];
            let same = match expected.strip_prefix("garbled") {
                Some(_) => got.starts_with(expected),
                None => got == expected,
            };
            assert!(same, "{begin:?} in pieces of {sizes:?}: {got}");
        }
    }
}

proptest! {
    /// However an answer is framed and cut, it is read as it was meant, and the
    /// connection is known to be at its end.
    #[test]
    fn an_answer_is_read_as_it_was_written(
        status in 200u16..600,
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
        chunked: bool,
        sizes in prop::collection::vec(1usize..600, 1..6),
    ) {
        let status = if matches!(status, 204 | 304) { 200 } else { status };
        let body = chunks.concat();
        let mut said = format!("HTTP/1.1 {status} Why\r\nx: y\r\n").into_bytes();
        if chunked {
            said.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in &chunks {
                said.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                said.extend_from_slice(chunk);
                said.extend_from_slice(b"\r\n");
            }
            said.extend_from_slice(b"0\r\n\r\n");
        } else {
            said.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            said.extend_from_slice(&body);
        }
        let expected = Whole { status, body, again: true };
        prop_assert_eq!(read(&said, &sizes), Ok(expected.clone()));
        // Cut off anywhere it is broken, never a shorter answer.
        let cut = sizes.iter().sum::<usize>() % said.len();
        let expected_of_cut = if cut == 0 { "closed" } else { "broken" };
        prop_assert_eq!(short(&read(&said[..cut], &sizes)), expected_of_cut);
        // What follows is seen, or left in the connection for the next look.
        said.push(b'x');
        let more = read(&said, &[usize::MAX]);
        prop_assert_eq!(more, Ok(Whole { again: false, ..expected }));
    }

    /// Whatever a server says, the call ends, and in the same way however it is cut.
    #[test]
    fn nothing_that_is_said_confuses_it(
        head in "(HTTP/1\\.[01] [0-9]{3} ?[a-z]*\r?\n)?([a-zA-Z-]{1,9}: ?[0-9a-z, ]{0,9}\r\n)*",
        framing in "(content-length: [0-9]{1,3}\r\n|transfer-encoding: chunked\r\n|)\r\n",
        rest in "([0-9a-f]{1,3}(;x)?\r?\n[a-z]{0,9}\r?\n)*(0\r\n\r\n)?[ -~\r\n]{0,40}",
        sizes in prop::collection::vec(1usize..50, 1..4),
    ) {
        let said = [head, framing, rest].concat();
        let whole = read(said.as_bytes(), &[usize::MAX]);
        let cut = read(said.as_bytes(), &sizes);
        match (whole, cut) {
            (Ok(whole), Ok(cut)) => {
                prop_assert_eq!((whole.status, whole.body), (cut.status, cut.body));
            }
            (whole, cut) => prop_assert_eq!(whole, cut),
        }
    }
}
