//! The netlink socket: sends a batch, waits for every acknowledgement.

use super::message::{Batch, acknowledgements};
use crate::runtime::netlink;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long the kernel may take to answer. It answers at once.
const ANSWER: Duration = Duration::from_secs(5);

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
        let fd = netlink::open(libc::NETLINK_NETFILTER, ANSWER);
        let fd = fd.map_err(|e| NftError::new("netlink socket", &e))?;
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
        netlink::send(&self.fd, &bytes).map_err(|e| NftError::new("send", &e))?;
        let first = what[0].0.wrapping_sub(1);
        let mut open: HashMap<u32, &str> = what.into_iter().collect();
        let mut refused = None;
        let mut buffer = vec![0u8; 64 << 10];
        while !open.is_empty() {
            let got = netlink::receive(&self.fd, &mut buffer);
            let got = got.map_err(|e| NftError::new("answer", &e))?;
            for ack in acknowledgements(&buffer[..got]) {
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
