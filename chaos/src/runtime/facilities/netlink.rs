//! Single requests to the kernel over netlink, for what is only tried here.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// How long the kernel may take to answer, in seconds.
const ANSWER_SECS: i64 = 2;
/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Index of the loopback interface of every network namespace.
const LOOPBACK: i32 = 1;

/// Puts netem on the loopback interface and takes it away again.
pub(super) fn netem() -> Result<(), String> {
    let flags = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
    let ask = |kind, flags, body: &[u8]| request(libc::NETLINK_ROUTE, kind, flags, body);
    match ask(libc::RTM_NEWQDISC, flags, &netem_body()) {
        Ok(()) => ask(libc::RTM_DELQDISC, 0, &qdisc_head()).map_err(|e| e.to_string()),
        // What the kernel says of a kind that it does not have.
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {
            Err("the kernel has no such queueing discipline".into())
        }
        Err(e) => Err(e.to_string()),
    }
}

/// `struct tcmsg`: the root of the loopback interface.
fn qdisc_head() -> Vec<u8> {
    const TC_H_ROOT: u32 = 0xffff_ffff;
    let mut body = vec![libc::AF_UNSPEC as u8, 0, 0, 0];
    body.extend(LOOPBACK.to_ne_bytes());
    body.extend(0u32.to_ne_bytes());
    body.extend(TC_H_ROOT.to_ne_bytes());
    body.extend(0u32.to_ne_bytes());
    body
}

fn netem_body() -> Vec<u8> {
    let mut body = qdisc_head();
    // TCA_KIND, TCA_OPTIONS with a struct tc_netem_qopt: latency, limit, loss, gap, duplicate,
    // jitter.
    attribute(&mut body, 1, b"netem\0");
    let options = [0u32, 1000, 0, 0, 0, 0].map(u32::to_ne_bytes).concat();
    attribute(&mut body, 2, &options);
    body
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend(((4 + value.len()) as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let flags = flags | (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Number and sender; one request, one answer.
    bytes.extend(1u32.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(body);
    bytes
}

/// Sends one message in this thread's network namespace; what the kernel answers.
fn request(protocol: i32, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    let bytes = message(kind, flags, body);
    // SAFETY: no pointers; a descriptor that is returned is new and ours.
    let fd = unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        match libc::socket(libc::AF_NETLINK, kind, protocol) {
            -1 => return Err(io::Error::last_os_error()),
            fd => OwnedFd::from_raw_fd(fd),
        }
    };
    let wait = libc::timeval {
        tv_sec: ANSWER_SECS,
        tv_usec: 0,
    };
    let mut buffer = [0u8; 4096];
    // SAFETY: every pointer is to a live value of the size that is given.
    let got = unsafe {
        let set = libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const wait).cast(),
            size_of::<libc::timeval>() as libc::socklen_t,
        );
        if set != 0 || libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0)
    };
    match usize::try_from(got) {
        Ok(length) => answer(&buffer[..length]),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Reads `struct nlmsgerr`: 0, or an errno below zero.
fn answer(datagram: &[u8]) -> io::Result<()> {
    let kind = datagram.get(4..6);
    let code = datagram
        .get(HEADER..HEADER + 4)
        .and_then(|b| b.first_chunk());
    match (kind, code) {
        (Some(kind), Some(code)) if kind == (libc::NLMSG_ERROR as u16).to_ne_bytes() => {
            match i32::from_ne_bytes(*code) {
                0 => Ok(()),
                errno => Err(io::Error::from_raw_os_error(errno.saturating_neg())),
            }
        }
        _ => Err(io::Error::other("the kernel's answer is not understood")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_netem_is_whole() {
        let bytes = message(libc::RTM_NEWQDISC, 0, &netem_body());
        assert_eq!(bytes[..4], (bytes.len() as u32).to_ne_bytes());
        assert_eq!(bytes.len(), 16 + 20 + 12 + 28);
        assert_eq!(bytes[36..46], *b"\x0a\0\x01\0netem\0");
        assert_eq!(bytes[48..52], *b"\x1c\0\x02\0");
    }

    #[test]
    fn answers_are_read_or_not_understood() {
        let said = |kind: u16, code: i32| {
            let mut m = 36u32.to_ne_bytes().to_vec();
            m.extend(kind.to_ne_bytes());
            m.resize(16, 0);
            m.extend(code.to_ne_bytes());
            m
        };
        assert!(answer(&said(2, 0)).is_ok());
        let refused = answer(&said(2, -libc::ENOENT)).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ENOENT));
        for odd in [&said(3, 0)[..], &said(2, 0)[..18], b""] {
            assert!(answer(odd).unwrap_err().to_string().contains("understood"));
        }
    }
}
