//! A packet queue of the kernel (nfnetlink_queue) in this network namespace:
//! packets that a rule hands to it wait here for their verdicts, and are
//! delayed, lost, doubled, damaged or slowed down meanwhile. For kernels
//! without netem, and for what netem cannot do beside others: doubling.
//!
//! A thread of its own reads the queue and sleeps until the next packet is
//! due. It ends what it does by itself when its lease is over, and when it
//! dies the rules let packets pass. A doubled packet is sent again by a raw
//! socket, with a mark by which the rules spare it.

mod held;
mod message;

pub(crate) use self::held::Shaping;

use self::held::{Act, Held};
use self::message::{Verdict, packets, setup, verdict};
use crate::runtime::control::lock;
use crate::runtime::netlink;
use crate::runtime::nft::message::acknowledgements;
use crate::runtime::nft::{QUEUE, QUEUED_MARK};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long the kernel may take to acknowledge a message of the set-up.
const ANSWER: Duration = Duration::from_secs(5);
/// What the socket buffers, in bytes.
const BUFFER: libc::c_int = 8 << 20;
/// Datagrams that are read before due packets are looked at again.
const BATCH: usize = 64;

/// The queue; its thread ends when this is dropped.
pub(crate) struct Queue {
    shared: Arc<Shared>,
}

struct Shared {
    wanted: Mutex<Wanted>,
    /// Told when the thread has taken over what is wanted, or has ended.
    followed: Condvar,
    wake: UnixDatagram,
}

#[derive(Default)]
struct Wanted {
    shaping: Shaping,
    /// Whether the thread does it already.
    followed: bool,
    /// When it ends by itself.
    until: Option<Instant>,
    /// Why the thread has ended.
    failed: Option<String>,
}

impl Queue {
    /// Binds the queue in the network namespace of this thread.
    ///
    /// # Errors
    /// The kernel has no such queue, somebody else listens, or a right is missing.
    pub fn open() -> Result<Self, String> {
        let netlink = netlink().map_err(|e| format!("NFQUEUE: {e}"))?;
        let raw = Raw::open().map_err(|e| format!("a raw socket, for doubled packets: {e}"))?;
        for (sequence, what, bytes) in setup(QUEUE) {
            configure(netlink.as_raw_fd(), sequence, &bytes)
                .map_err(|e| format!("NFQUEUE: {what}: {e}"))?;
        }
        let say = |e: io::Error| format!("the queue's thread: {e}");
        let (wake, woken) = UnixDatagram::pair().map_err(say)?;
        for end in [&wake, &woken] {
            end.set_nonblocking(true).map_err(say)?;
        }
        let shared = Arc::new(Shared {
            wanted: Mutex::default(),
            followed: Condvar::new(),
            wake,
        });
        let server = Server {
            netlink,
            raw,
            woken,
            shared: Arc::downgrade(&shared),
            epoch: Instant::now(),
            held: Held::default(),
        };
        std::thread::Builder::new()
            .name("queue".into())
            .spawn(move || server.run())
            .map_err(say)?;
        Ok(Queue { shared })
    }

    /// From now on, for one lease, exactly this is done: when it returns, no packet is treated as
    /// before any more.
    ///
    /// # Errors
    /// Its thread has ended or does not answer.
    pub fn set(&self, shaping: Shaping, lease: Duration) -> Result<(), String> {
        let mut wanted = lock(&self.shared.wanted);
        wanted.until = (!shaping.is_empty()).then(|| Instant::now() + lease);
        wanted.shaping = shaping;
        wanted.followed = false;
        self.shared.wake();
        let (wanted, _) = self
            .shared
            .followed
            .wait_timeout_while(wanted, ANSWER, |w| !w.followed && w.failed.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        match (&wanted.failed, wanted.followed) {
            (None, true) => Ok(()),
            (Some(why), _) => Err(format!("the queue's thread has ended: {why}")),
            (None, false) => Err(format!("the queue's thread did nothing for {ANSWER:?}")),
        }
    }

    /// Begins the lease anew, unless it is over.
    ///
    /// # Errors
    /// Its thread has ended.
    pub fn renew(&self, lease: Duration) -> Result<(), String> {
        let mut wanted = lock(&self.shared.wanted);
        if let Some(why) = &wanted.failed {
            return Err(format!("the queue's thread has ended: {why}"));
        }
        let now = Instant::now();
        wanted.until = wanted
            .until
            .filter(|until| *until > now)
            .map(|_| now + lease);
        Ok(())
    }
}

impl Shared {
    fn wake(&self) {
        // If it is full, the thread will wake anyway.
        let _ = self.wake.send(&[0]);
    }
}

/// The thread.
struct Server {
    netlink: OwnedFd,
    raw: Raw,
    woken: UnixDatagram,
    shared: Weak<Shared>,
    epoch: Instant,
    held: Held,
}

impl Server {
    fn run(mut self) {
        let ended = self.serve();
        if let (Some(shared), Err(e)) = (self.shared.upgrade(), ended) {
            tracing::warn!("queue: {e}");
            lock(&shared.wanted).failed = Some(e.to_string());
            shared.followed.notify_all();
        }
    }

    /// Until the queue is dropped; its packets pass by then.
    fn serve(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 128 << 10];
        let mut random = rand::rng();
        loop {
            let wanted = self.follow();
            let mut verdicts = Vec::new();
            while let Some(act) = self.held.due(self.epoch.elapsed()) {
                self.act(act, &mut verdicts)?;
            }
            self.answer(&mut verdicts)?;
            let Some(ends) = wanted else {
                return Ok(());
            };
            self.wait(ends)?;
            for _ in 0..BATCH {
                let Some(n) = self.receive(&mut buffer)? else {
                    break;
                };
                let now = self.epoch.elapsed();
                for packet in packets(&buffer[..n]) {
                    if let Some(act) = self.held.take(&packet, now, &mut random) {
                        self.act(act, &mut verdicts)?;
                    }
                }
            }
            self.answer(&mut verdicts)?;
        }
    }

    /// Takes over what is wanted; when that ends. `None` if nobody wants anything any more.
    fn follow(&mut self) -> Option<Option<Instant>> {
        while self.woken.recv(&mut [0; 8]).is_ok() {}
        let Some(shared) = self.shared.upgrade() else {
            self.held.set(Shaping::default());
            return None;
        };
        let mut wanted = lock(&shared.wanted);
        if wanted.until.is_none_or(|until| until <= Instant::now()) {
            wanted.until = None;
            wanted.shaping = Shaping::default();
        }
        if *self.held.shaping() != wanted.shaping {
            self.held.set(wanted.shaping.clone());
        }
        wanted.followed = true;
        shared.followed.notify_all();
        Some(wanted.until)
    }

    /// Sleeps until there is something to do.
    fn wait(&self, ends: Option<Instant>) -> io::Result<()> {
        let due = self.held.next().map(|at| self.epoch + at);
        // Never for ever: the queue may have been dropped without a word.
        let most = Instant::now() + Duration::from_secs(1);
        let until = [due, ends].into_iter().flatten().fold(most, Instant::min);
        let left = until.saturating_duration_since(Instant::now());
        let left = libc::timespec {
            tv_sec: left.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(left.subsec_nanos() as i32),
        };
        let waits = |fd: RawFd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        let mut fds = [
            waits(self.netlink.as_raw_fd()),
            waits(self.woken.as_raw_fd()),
        ];
        // SAFETY: both arrays and the time live during the call; no signal mask is given.
        let n = unsafe { libc::ppoll(fds.as_mut_ptr(), 2, &raw const left, std::ptr::null()) };
        match n {
            0.. => Ok(()),
            _ => passing(io::Error::last_os_error()),
        }
    }

    /// A datagram, if there is one.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        // SAFETY: the buffer is writable for its length.
        let got = unsafe {
            libc::recv(
                self.netlink.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_DONTWAIT,
            )
        };
        match usize::try_from(got) {
            Ok(n) => Ok(Some(n)),
            Err(_) => passing(io::Error::last_os_error()).map(|()| None),
        }
    }

    fn act(&self, act: Act, verdicts: &mut Vec<u8>) -> io::Result<()> {
        match act {
            Act::Drop(id) => verdicts.extend(verdict(QUEUE, id, Verdict::Drop, None)),
            Act::Accept(id, bytes) => {
                verdicts.extend(verdict(QUEUE, id, Verdict::Accept, bytes.as_deref()));
            }
            Act::Send(bytes) => {
                // Its original has to go first.
                self.answer(verdicts)?;
                self.raw.send(&bytes);
            }
        }
        if verdicts.len() > 32 << 10 {
            self.answer(verdicts)?;
        }
        Ok(())
    }

    /// Gives verdicts.
    fn answer(&self, verdicts: &mut Vec<u8>) -> io::Result<()> {
        if verdicts.is_empty() {
            return Ok(());
        }
        let sent = persist(|| send(self.netlink.as_raw_fd(), verdicts));
        verdicts.clear();
        sent
    }
}

/// Errors that are over the next time.
fn passing(e: io::Error) -> io::Result<()> {
    match e.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS) => Ok(()),
        _ => Err(e),
    }
}

fn send(fd: RawFd, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the buffer is valid for its length.
    let sent = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), 0) };
    match sent {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Does what must not be left out, again while the kernel has no room for it: a packet whose
/// verdict it never got would wait for as long as the queue lives.
///
/// # Errors
/// It did not get through after so many tries; without a queue, packets pass.
fn persist(mut work: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    const TRIES: u32 = 500;
    const AGAIN: Duration = Duration::from_millis(1);
    for _ in 1..TRIES {
        match work().map_err(passing) {
            Ok(()) => return Ok(()),
            Err(Ok(())) => std::thread::sleep(AGAIN),
            Err(Err(e)) => return Err(e),
        }
    }
    work()
}

/// Raw sockets for whole packets, with the mark that the rules spare.
struct Raw {
    ipv4: OwnedFd,
    /// None on a kernel without it.
    ipv6: Option<OwnedFd>,
}

impl Raw {
    fn open() -> io::Result<Self> {
        Ok(Raw {
            ipv4: raw(libc::AF_INET)?,
            ipv6: raw(libc::AF_INET6).ok(),
        })
    }

    /// Sends a packet as it is. One that cannot be sent is lost, which a copy may be.
    fn send(&self, packet: &[u8]) {
        // SAFETY: zeroes are a valid address of either family, which the two fields below make
        // whole.
        let (mut to4, mut to6) = unsafe {
            let to4: libc::sockaddr_in = std::mem::zeroed();
            let to6: libc::sockaddr_in6 = std::mem::zeroed();
            (to4, to6)
        };
        let receiver = |from: usize, to: usize| packet.get(from..to);
        match (packet.first().map(|byte| byte >> 4), &self.ipv6) {
            (Some(4), _) => {
                let Some(octets) = receiver(16, 20).and_then(<[u8]>::first_chunk::<4>) else {
                    return;
                };
                to4.sin_family = libc::AF_INET as libc::sa_family_t;
                to4.sin_addr.s_addr = u32::from_ne_bytes(*octets);
                send_to(&self.ipv4, packet, &to4);
            }
            (Some(6), Some(ipv6)) => {
                let Some(octets) = receiver(24, 40).and_then(<[u8]>::first_chunk::<16>) else {
                    return;
                };
                to6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                to6.sin6_addr.s6_addr = *octets;
                send_to(ipv6, packet, &to6);
            }
            _ => {}
        }
    }
}

/// Sends to a socket address, `libc::sockaddr_in` or `libc::sockaddr_in6`.
fn send_to<A>(fd: &OwnedFd, packet: &[u8], to: &A) {
    // SAFETY: the buffer and the address are valid for the lengths that are given.
    unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            libc::MSG_DONTWAIT,
            std::ptr::from_ref(to).cast(),
            size_of::<A>() as libc::socklen_t,
        );
    }
}

fn netlink() -> io::Result<OwnedFd> {
    const NETLINK_NO_ENOBUFS: libc::c_int = 5;
    let fd = netlink::open(libc::NETLINK_NETFILTER, ANSWER)?;
    netlink::option(&fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &BUFFER)?;
    let on: libc::c_int = 1;
    netlink::option(&fd, libc::SOL_NETLINK, NETLINK_NO_ENOBUFS, &on)?;
    Ok(fd)
}

fn raw(family: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; a descriptor that is returned is new and ours.
    let fd = unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        match libc::socket(family, kind, libc::IPPROTO_RAW) {
            -1 => return Err(io::Error::last_os_error()),
            fd => OwnedFd::from_raw_fd(fd),
        }
    };
    netlink::option(&fd, libc::SOL_SOCKET, libc::SO_MARK, &QUEUED_MARK)?;
    Ok(fd)
}

/// Sends a message of the set-up and waits for its acknowledgement.
fn configure(fd: RawFd, sequence: u32, bytes: &[u8]) -> io::Result<()> {
    send(fd, bytes)?;
    let mut buffer = vec![0u8; 8 << 10];
    loop {
        // SAFETY: the buffer is writable for its length.
        let got = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let Ok(n) = usize::try_from(got) else {
            let e = io::Error::last_os_error();
            if e.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(e);
        };
        let acks = acknowledgements(&buffer[..n]);
        if let Some(ack) = acks.iter().find(|a| a.sequence == sequence) {
            return match ack.errno {
                0 => Ok(()),
                errno => Err(io::Error::from_raw_os_error(errno)),
            };
        }
    }
}

#[cfg(test)]
mod tests;
