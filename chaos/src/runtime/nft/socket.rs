//! The netlink socket: sends a batch, waits for every acknowledgement.

use super::message::{Batch, acknowledgements};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// How long the kernel may take to answer, in seconds. It answers at once.
const ANSWER_SECS: i64 = 5;

/// What the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nf_tables: {what}: {why}")]
pub struct NftError {
    /// Which message.
    what: String,
    /// The kernel's reason in words.
    why: String,
    /// The kernel's reason as a number.
    pub(super) errno: Option<i32>,
}

impl NftError {
    fn new(what: &str, e: &io::Error) -> Self {
        NftError {
            what: what.into(),
            why: e.to_string(),
            errno: e.raw_os_error(),
        }
    }
}

/// A netlink socket in the network namespace of the thread that opened it.
pub(super) struct Socket {
    fd: OwnedFd,
    next: u32,
}

impl Socket {
    pub fn open() -> Result<Self, NftError> {
        let failed = |what: &str| NftError::new(what, &io::Error::last_os_error());
        // SAFETY: no pointers; a descriptor that is returned is new and ours.
        let fd = unsafe {
            let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
            let fd = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_NETFILTER);
            if fd < 0 {
                return Err(failed("netlink socket"));
            }
            OwnedFd::from_raw_fd(fd)
        };
        let wait = libc::timeval {
            tv_sec: ANSWER_SECS,
            tv_usec: 0,
        };
        // SAFETY: `wait` is a timeval and its size is given.
        let set = unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVTIMEO,
                (&raw const wait).cast(),
                size_of::<libc::timeval>() as libc::socklen_t,
            )
        };
        if set != 0 {
            return Err(failed("netlink socket"));
        }
        Ok(Socket { fd, next: 1 })
    }

    pub fn batch(&self) -> Batch {
        Batch::begin(self.next)
    }

    /// Sends a batch; an error if the kernel refused any of its messages (then it did none).
    pub fn commit(&mut self, batch: Batch) -> Result<(), NftError> {
        let (bytes, what) = batch.end();
        self.next = what
            .last()
            .map_or(self.next, |(last, _)| *last)
            .wrapping_add(2);
        if what.is_empty() {
            return Ok(());
        }
        // SAFETY: the buffer is valid for its length.
        let sent =
            unsafe { libc::send(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
        if sent != bytes.len() as isize {
            return Err(NftError::new("send", &io::Error::last_os_error()));
        }
        let first = what[0].0.wrapping_sub(1);
        let mut open: HashMap<u32, &str> = what.into_iter().collect();
        let mut refused = None;
        let mut buffer = vec![0u8; 64 << 10];
        while !open.is_empty() {
            // SAFETY: the buffer is writable for its length.
            let got = unsafe {
                libc::recv(
                    self.fd.as_raw_fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    0,
                )
            };
            if got < 0 {
                let e = io::Error::last_os_error();
                if e.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(NftError::new("answer", &e));
            }
            for ack in acknowledgements(&buffer[..got as usize]) {
                // An error of the batch as a whole comes with the number of its beginning.
                let whole = ack.sequence == first && ack.errno != 0;
                let Some(what) = open.remove(&ack.sequence).or(whole.then_some("batch")) else {
                    continue;
                };
                if ack.errno != 0 && refused.is_none() {
                    refused = Some(NftError::new(
                        what,
                        &io::Error::from_raw_os_error(ack.errno),
                    ));
                }
                if whole {
                    open.clear();
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }
}
