//! What a server of PostgreSQL says: messages from bytes, and what they add up to.
//!
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>

use crate::service::Stop;

/// Longest message, in bytes.
const MAX_MESSAGE: usize = 1 << 20;

/// Most messages in one answer.
const MAX_MESSAGES: usize = 256;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
}

/// The message that begins at `at`, and where it ends.
pub(super) fn frame(bytes: &[u8], at: usize) -> Result<(Frame<'_>, usize), Stop> {
    let rest = &bytes[at..];
    let Some(&[tag, a, b, c, d]) = rest.first_chunk::<5>() else {
        return match rest.first() {
            Some(tag) if !tag.is_ascii_alphanumeric() => Err(garbled("no message of PostgreSQL")),
            _ => Err(Stop::Partial(5 - rest.len())),
        };
    };
    // The length counts itself and not the tag.
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if !tag.is_ascii_alphanumeric() || length < 4 {
        return Err(garbled("no message of PostgreSQL"));
    }
    if length > MAX_MESSAGE {
        return Err(garbled("a message that is too long"));
    }
    match rest.get(5..1 + length) {
        Some(body) => Ok((Frame { tag, body }, at + 1 + length)),
        None => Err(Stop::Partial(1 + length - rest.len())),
    }
}

/// An error or a warning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// `ERROR`, `FATAL`, `WARNING` … whatever the server's language.
    pub(super) severity: String,
    /// Five letters and digits.
    pub(super) code: String,
    pub(super) message: String,
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.severity, self.code, self.message)
    }
}

/// The fields of an error or a notice.
pub(super) fn said(body: &[u8]) -> Said {
    let mut said = Said::default();
    let fields = body.split(|b| *b == 0).filter(|f| !f.is_empty());
    for field in fields {
        let text = || String::from_utf8_lossy(&field[1..]).into_owned();
        match field[0] {
            // Before 9.6 there is only the one in the server's language.
            b'S' if said.severity.is_empty() => said.severity = text(),
            b'V' => said.severity = text(),
            b'C' => said.code = text(),
            b'M' => said.message = text(),
            _ => {}
        }
    }
    said
}

/// The answer to one statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// What was done and with how many rows, such as `UPDATE 1`.
    pub(super) tag: Option<String>,
    /// The first column of the first row; a null is `None` within.
    pub(super) value: Option<Option<String>>,
    pub(super) error: Option<Said>,
    pub(super) warning: Option<Said>,
    /// True if the server is ready for another one; it has ended else.
    pub(super) ready: bool,
}

/// The whole answer to a statement that was followed by a sync, and its bytes.
pub(super) fn reply(bytes: &[u8], closed: bool) -> Result<(Reply, usize), Stop> {
    let (mut reply, mut at) = (Reply::default(), 0);
    for _ in 0..MAX_MESSAGES {
        let (frame, end) = match frame(bytes, at) {
            // Who is shown the door is told so, and no more.
            Err(Stop::Partial(_)) if closed && reply.error.is_some() => return Ok((reply, at)),
            other => other?,
        };
        at = end;
        match frame.tag {
            b'Z' => {
                if frame.body != b"I" {
                    return Err(garbled("it is within a transaction"));
                }
                reply.ready = true;
                return Ok((reply, at));
            }
            b'C' => reply.tag = Some(text(frame.body)),
            b'D' if reply.value.is_none() => reply.value = Some(first_column(frame.body)?),
            b'E' => reply.error = Some(said(frame.body)),
            b'N' => {
                let said = said(frame.body);
                if said.severity == "WARNING" {
                    reply.warning = Some(said);
                }
            }
            // Parsed and bound; further rows; an empty query; a parameter that changed; a
            // notification.
            b'1' | b'2' | b'D' | b'I' | b'S' | b'A' | b'T' => {}
            other => {
                let other = char::from(other);
                return Err(garbled(&format!(
                    "a message '{other}' that was not asked for"
                )));
            }
        }
    }
    Err(garbled("too many messages"))
}

/// What comes before the zero at the end.
pub(super) fn text(body: &[u8]) -> String {
    let end = body.iter().position(|b| *b == 0).unwrap_or(body.len());
    String::from_utf8_lossy(&body[..end]).into_owned()
}

fn first_column(body: &[u8]) -> Result<Option<String>, Stop> {
    let wrong = || garbled("a row that is none");
    let (columns, rest) = body.split_first_chunk::<2>().ok_or_else(wrong)?;
    if u16::from_be_bytes(*columns) == 0 {
        return Err(wrong());
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
    match i32::from_be_bytes(*length) {
        -1 => Ok(None),
        n => {
            let n = usize::try_from(n).map_err(|_| wrong())?;
            let value = rest.get(..n).ok_or_else(wrong)?;
            Ok(Some(String::from_utf8_lossy(value).into_owned()))
        }
    }
}

fn garbled(why: &str) -> Stop {
    Stop::Garbled(why.into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A message as a server writes it.
    pub(in super::super) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag][..], &length.to_be_bytes(), body].concat()
    }

    /// An error or a notice.
    pub(in super::super) fn speaking(tag: u8, severity: &str, code: &str) -> Vec<u8> {
        let body = format!("Sx\0V{severity}\0C{code}\0Mwhy\0\0");
        message(tag, body.as_bytes())
    }

    pub(in super::super) fn row(value: Option<&str>) -> Vec<u8> {
        let value = match value {
            None => (-1_i32).to_be_bytes().to_vec(),
            Some(v) => [&(v.len() as u32).to_be_bytes()[..], v.as_bytes()].concat(),
        };
        message(b'D', &[&[0, 1][..], &value].concat())
    }

    pub(in super::super) fn done(tag: &str) -> Vec<u8> {
        message(b'C', format!("{tag}\0").as_bytes())
    }

    pub(in super::super) fn ready() -> Vec<u8> {
        message(b'Z', b"I")
    }

    #[test]
    fn an_answer_is_whole_at_its_end_and_not_before() {
        let said = [
            message(b'1', b""),
            message(b'2', b""),
            message(b'S', b"x\0y\0"),
            row(Some("12")),
            row(None),
            done("SELECT 2"),
            speaking(b'N', "NOTICE", "00000"),
            speaking(b'N', "WARNING", "01000"),
            ready(),
        ]
        .concat();
        for end in 0..said.len() {
            let cut = reply(&said[..end], false);
            assert!(
                matches!(cut, Err(Stop::Partial(more)) if (1..=said.len() - end).contains(&more)),
                "{end}: {cut:?}"
            );
        }
        let (got, used) = reply(&said, false).unwrap();
        assert_eq!(used, said.len());
        assert_eq!(
            (got.tag.as_deref(), got.value),
            (Some("SELECT 2"), Some(Some("12".into())))
        );
        assert_eq!(
            (got.warning.unwrap().code.as_str(), got.error, got.ready),
            ("01000", None, true)
        );
    }

    #[test]
    fn who_is_shown_the_door_is_told_why() {
        let said = speaking(b'E', "FATAL", "57P01");
        assert!(matches!(reply(&said, false), Err(Stop::Partial(_))));
        let (got, _) = reply(&said, true).unwrap();
        assert_eq!(got.error.unwrap().to_string(), "FATAL 57P01: why");
        assert!(!got.ready);
    }

    #[test]
    fn what_is_none_is_refused() {
        let long = [b'D'].into_iter().chain([0, 32, 0, 0]).collect::<Vec<u8>>();
        let within = message(b'Z', b"T");
        let unasked = message(b'G', b"");
        let endless = done("SELECT 1").repeat(300);
        for said in [
            &b"HTTP/1.1 400 Bad Request"[..],
            b"\0\0\0\0\x08",
            b"Z\0\0\0\x03",
            &long,
            &within,
            &unasked,
            &endless,
            &message(b'D', b""),
            &message(b'D', &[0, 0]),
            &message(b'D', &[0, 1, 0, 0, 0, 9, b'x']),
            &message(b'D', &[0, 1, 0xff, 0, 0, 9, b'x']),
        ] {
            let got = reply(said, false);
            assert!(matches!(got, Err(Stop::Garbled(_))), "{said:?}: {got:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_said_confuses_it(bytes in prop::collection::vec(any::<u8>(), 0..80), closed: bool) {
            if let Ok((_, used)) = reply(&bytes, closed) {
                prop_assert!(used <= bytes.len());
            }
        }
    }
}
