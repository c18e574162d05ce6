//! Single requests to traffic control, each with its answer.

use super::message::Request;
use crate::runtime::netlink;
use crate::runtime::nft::message::HEADER;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long the kernel may take to answer: it may load a module first.
const ANSWER: Duration = Duration::from_secs(5);
/// Length of the number in front of the message that is answered.
const CODE: usize = 4;

/// What the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("traffic control: {what}: {why}")]
pub(crate) struct TcError {
    /// What it was asked for.
    what: &'static str,
    /// Its reason in words.
    why: String,
}

impl TcError {
    fn new(what: &'static str, e: &io::Error) -> Self {
        TcError {
            what,
            why: e.to_string(),
        }
    }
}

/// A netlink socket in the network namespace of the thread that opened it.
pub(super) struct Socket {
    fd: OwnedFd,
    next: u32,
}

impl Socket {
    pub fn open() -> Result<Self, TcError> {
        const NETLINK_CAP_ACK: libc::c_int = 10;
        const NETLINK_EXT_ACK: libc::c_int = 11;
        let failed = |e: io::Error| TcError::new("netlink socket", &e);
        let fd = netlink::open(libc::NETLINK_ROUTE, ANSWER).map_err(failed)?;
        for option in [NETLINK_CAP_ACK, NETLINK_EXT_ACK] {
            // Reasons in words: without them a number says it.
            let _ = netlink::option(&fd, libc::SOL_NETLINK, option, &(1 as libc::c_int));
        }
        Ok(Socket { fd, next: 1 })
    }

    /// Asks, and waits for the acknowledgement.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn ask(&mut self, request: Request) -> Result<(), TcError> {
        let Request { what, mut bytes } = request;
        let failed = |e: io::Error| TcError::new(what, &e);
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        bytes[8..12].copy_from_slice(&number.to_ne_bytes());
        netlink::send(&self.fd, &bytes).map_err(failed)?;
        let mut buffer = vec![0; 16 << 10];
        loop {
            let n = netlink::receive(&self.fd, &mut buffer).map_err(failed)?;
            match answer(&buffer[..n], number) {
                // To something earlier that was not waited for.
                None => {}
                Some(Answer { errno: 0, .. }) => return Ok(()),
                Some(Answer { errno, why }) => {
                    let why = match why {
                        // What old kernels say of a kind that they do not have is a number.
                        None if errno == libc::ENOENT => "the kernel has none".into(),
                        None => io::Error::from_raw_os_error(errno).to_string(),
                        Some(why) => why,
                    };
                    return Err(TcError { what, why });
                }
            }
        }
    }
}

/// What the kernel answered.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    /// 0 or an errno.
    errno: i32,
    /// The reason in words.
    why: Option<String>,
}

/// Reads `struct nlmsgerr` and the reason behind it (`NLMSGERR_ATTR_MSG`); `None` if the datagram
/// answers something else.
fn answer(datagram: &[u8], number: u32) -> Option<Answer> {
    /// Flags of the answer: what was asked is not repeated, and attributes follow.
    const CAPPED: u16 = 0x100;
    const WITH_ATTRIBUTES: u16 = 0x200;
    let u16_at = |at: usize| Some(u16::from_ne_bytes(*datagram.get(at..)?.first_chunk()?));
    let u32_at = |at: usize| Some(u32::from_ne_bytes(*datagram.get(at..)?.first_chunk()?));
    if u16_at(4)? != libc::NLMSG_ERROR as u16 || u32_at(8)? != number {
        return None;
    }
    let flags = u16_at(6)?;
    let code = u32_at(HEADER)? as i32;
    let asked = match flags & CAPPED {
        0 => u32_at(HEADER + CODE)? as usize,
        _ => HEADER,
    };
    let rest = asked
        .checked_next_multiple_of(4)
        .and_then(|asked| datagram.get(HEADER + CODE + asked..));
    let why = match flags & WITH_ATTRIBUTES {
        0 => None,
        _ => rest.and_then(reason),
    };
    Some(Answer {
        errno: code.saturating_neg(),
        why,
    })
}

/// The text among attributes.
fn reason(mut attributes: &[u8]) -> Option<String> {
    const MESSAGE: u16 = 1;
    while let Some((head, _)) = attributes.split_first_chunk::<4>() {
        let [a, b, c, d] = *head;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([c, d]) == MESSAGE {
            let text = String::from_utf8_lossy(value);
            return Some(text.trim_end_matches('\0').to_string());
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to message 7, which was 36 bytes long.
    fn said(code: i32, flags: u16, rest: &[u8]) -> Vec<u8> {
        let mut m = Vec::new();
        m.extend(((HEADER + CODE + HEADER + rest.len()) as u32).to_ne_bytes());
        m.extend(2u16.to_ne_bytes());
        m.extend(flags.to_ne_bytes());
        m.extend(7u32.to_ne_bytes());
        m.extend(0u32.to_ne_bytes());
        m.extend(code.to_ne_bytes());
        m.extend(36u32.to_ne_bytes());
        m.resize(HEADER + CODE + HEADER, 0);
        m.extend(rest);
        m
    }

    const WHY: [u8; 8] = *b"\x07\0\x01\0no\0\0";

    #[test]
    fn an_answer_says_whether_and_why_not() {
        let is = |errno, why: Option<&str>| {
            Some(Answer {
                errno,
                why: why.map(String::from),
            })
        };
        assert_eq!(answer(&said(0, 0x100, &[]), 7), is(0, None));
        assert_eq!(answer(&said(-2, 0x100, &[]), 7), is(2, None));
        assert_eq!(answer(&said(-2, 0x300, &WHY), 7), is(2, Some("no")));
        // Behind another attribute, and behind the message that was asked.
        let behind = [&[8, 0, 2, 0, 1, 2, 3, 4][..], &WHY].concat();
        assert_eq!(answer(&said(-2, 0x300, &behind), 7), is(2, Some("no")));
        let asked = [&[0; 20][..], &WHY].concat();
        assert_eq!(answer(&said(-2, 0x200, &asked), 7), is(2, Some("no")));
        assert_eq!(answer(&said(0, 0x100, &[]), 8), None);
    }

    #[test]
    fn broken_answers_are_none_and_broken_reasons_no_words() {
        let whole = said(-2, 0x300, &WHY);
        for length in 0..HEADER + CODE {
            assert_eq!(answer(&whole[..length], 7), None);
        }
        for rest in [&[1, 0, 1, 0][..], &[200, 0, 1, 0], &[0; 8]] {
            let broken = answer(&said(-2, 0x300, rest), 7).unwrap();
            assert_eq!((broken.errno, broken.why), (2, None), "{rest:?}");
        }
    }
}
