//! RESP, version 2: commands as bytes, and replies from bytes.
//!
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>

use crate::service::Stop;

/// Longest text of a reply, in bytes.
const MAX_BULK: usize = 1 << 20;

/// Longest line, in bytes: a status, an error, a number.
const MAX_LINE: usize = 8 << 10;

/// Most replies within one.
const MAX_ITEMS: usize = 1024;

/// How deep arrays are nested at most.
const MAX_DEPTH: usize = 4;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Status(String),
    Error(String),
    Integer(i64),
    /// `None`: nil.
    Bulk(Option<Vec<u8>>),
    /// `None`: nil.
    Array(Option<Vec<Reply>>),
}

/// Appends a command of these words.
pub(super) fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// The reply that begins at `at`, and where it ends.
pub(super) fn reply(bytes: &[u8], at: usize) -> Result<(Reply, usize), Stop> {
    let mut reader = Reader {
        bytes,
        at,
        items: 0,
    };
    let reply = reader.reply(0)?;
    Ok((reply, reader.at))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    items: usize,
}

impl<'a> Reader<'a> {
    fn reply(&mut self, depth: usize) -> Result<Reply, Stop> {
        self.items += 1;
        if self.items > MAX_ITEMS || depth > MAX_DEPTH {
            return Err(garbled("a reply of too many parts"));
        }
        let Some(kind) = self.bytes.get(self.at).copied() else {
            return Err(Stop::Partial(1));
        };
        if !b"+-:$*".contains(&kind) {
            return Err(garbled("no reply of RESP"));
        }
        self.at += 1;
        let line = self.line()?;
        let text = || String::from_utf8_lossy(line).into_owned();
        match kind {
            b'+' => Ok(Reply::Status(text())),
            b'-' => Ok(Reply::Error(text())),
            b':' => Ok(Reply::Integer(number(line)?)),
            b'$' => match length(line, MAX_BULK)? {
                None => Ok(Reply::Bulk(None)),
                Some(n) => self.bulk(n).map(|b| Reply::Bulk(Some(b))),
            },
            _ => match length(line, MAX_ITEMS)? {
                None => Ok(Reply::Array(None)),
                Some(n) => {
                    let all: Result<Vec<_>, _> = (0..n).map(|_| self.reply(depth + 1)).collect();
                    all.map(|all| Reply::Array(Some(all)))
                }
            },
        }
    }

    /// What comes before the next end of a line.
    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().take(MAX_LINE).position(|b| *b == b'\r');
        let Some(end) = end else {
            return match rest.len() {
                0..MAX_LINE => Err(Stop::Partial(1)),
                _ => Err(garbled("a line that is too long")),
            };
        };
        match rest.get(end + 1) {
            None => Err(Stop::Partial(1)),
            Some(b'\n') => {
                self.at += end + 2;
                Ok(&rest[..end])
            }
            Some(_) => Err(garbled("a line that does not end")),
        }
    }

    fn bulk(&mut self, n: usize) -> Result<Vec<u8>, Stop> {
        let end = self.at + n;
        if self.bytes.len() < end + 2 {
            return Err(Stop::Partial(end + 2 - self.bytes.len()));
        }
        if &self.bytes[end..end + 2] != b"\r\n" {
            return Err(garbled("a text that is longer than its length"));
        }
        let text = self.bytes[self.at..end].to_vec();
        self.at = end + 2;
        Ok(text)
    }
}

fn number(line: &[u8]) -> Result<i64, Stop> {
    let text = std::str::from_utf8(line).ok();
    let plain = |t: &&str| {
        let digits = t.strip_prefix('-').unwrap_or(t);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let number = text.filter(plain).and_then(|t| t.parse().ok());
    number.ok_or(garbled("a number that is none"))
}

/// A length; `None` for nil.
fn length(line: &[u8], most: usize) -> Result<Option<usize>, Stop> {
    match number(line)? {
        -1 => Ok(None),
        n => match usize::try_from(n) {
            Ok(n) if n <= most => Ok(Some(n)),
            _ => Err(garbled("a length that is out of range")),
        },
    }
}

fn garbled(why: &str) -> Stop {
    Stop::Garbled(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(reply: &Reply) -> Vec<u8> {
        match reply {
            Reply::Status(s) => format!("+{s}\r\n").into_bytes(),
            Reply::Error(s) => format!("-{s}\r\n").into_bytes(),
            Reply::Integer(n) => format!(":{n}\r\n").into_bytes(),
            Reply::Bulk(None) => b"$-1\r\n".to_vec(),
            Reply::Bulk(Some(b)) => [format!("${}\r\n", b.len()).as_bytes(), b, b"\r\n"].concat(),
            Reply::Array(None) => b"*-1\r\n".to_vec(),
            Reply::Array(Some(all)) => {
                let parts: Vec<u8> = all.iter().flat_map(written).collect();
                [format!("*{}\r\n", all.len()).as_bytes(), &parts].concat()
            }
        }
    }

    fn any_reply() -> impl Strategy<Value = Reply> {
        let leaf = prop_oneof![
            "[ -~]{0,20}".prop_map(Reply::Status),
            "[ -~]{0,20}".prop_map(Reply::Error),
            any::<i64>().prop_map(Reply::Integer),
            prop::option::of(prop::collection::vec(any::<u8>(), 0..40)).prop_map(Reply::Bulk),
            Just(Reply::Array(None)),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop::collection::vec(inner, 0..4).prop_map(|all| Reply::Array(Some(all)))
        })
    }

    proptest! {
        /// Read as it was written, wherever it is cut, and never a shorter one.
        #[test]
        fn a_reply_is_read_as_it_was_written(reply in any_reply(), before in 0usize..5) {
            let mut bytes = vec![b'?'; before];
            bytes.extend(written(&reply));
            for end in before..bytes.len() {
                let cut = super::reply(&bytes[..end], before);
                prop_assert!(
                    matches!(cut, Err(Stop::Partial(more)) if (1..=bytes.len() - end).contains(&more)),
                    "{:?} of {:?}", cut, bytes
                );
            }
            let end = bytes.len();
            bytes.extend_from_slice(b"+x");
            prop_assert_eq!(super::reply(&bytes, before), Ok((reply, end)));
        }

        #[test]
        fn nothing_that_is_said_confuses_it(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok((reply, end)) = super::reply(&bytes, 0) {
                prop_assert!(end <= bytes.len() && matches!(bytes[0], b'+' | b'-' | b':' | b'$' | b'*'), "{reply:?}");
            }
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for said in [
            "HTTP/1.1 400 Bad Request\r\n",
            "OK\r\n",
            "+O\rK\r\n",
            ":\r\n",
            ":+1\r\n",
            ":1.5\r\n",
            ":9223372036854775808\r\n",
            "$-2\r\n",
            "$1048577\r\n",
            "$2\r\nabc\r\n",
            "*1025\r\n",
            "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
            &format!("+{}", "x".repeat(MAX_LINE)),
            &"*2\r\n".repeat(2000),
            &format!("*1000\r\n{}", "*1000\r\n:1\r\n".repeat(1000)),
        ] {
            let got = reply(said.as_bytes(), 0);
            let begin = &said[..said.len().min(40)];
            assert!(matches!(got, Err(Stop::Garbled(_))), "{begin:?}: {got:?}");
        }
    }

    #[test]
    fn a_command_is_an_array_of_texts() {
        let mut out = Vec::new();
        command(&mut out, &[b"SET", b"k", b""]);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
    }
}
