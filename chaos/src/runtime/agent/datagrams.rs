//! Sockets of an agent, for both families of addresses where the kernel has
//! both. Their ports are whatever is free: an agent may be in the network of a
//! program that is not ours, whose ports nobody knows.

use serde::{Deserialize, Serialize};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use tokio::net::{TcpListener, UdpSocket};

/// Where an agent listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    /// UDP: for probes.
    pub probe: u16,
    /// TCP: for probes.
    pub dial: u16,
    /// UDP: for measurements.
    pub measure: u16,
}

/// All addresses, of both families first.
const ANY: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
];

/// A socket for datagrams.
pub(super) struct Datagrams {
    socket: UdpSocket,
    /// Whether it writes IPv4 addresses as mapped ones.
    maps: bool,
}

impl Datagrams {
    /// At a free port.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn open() -> io::Result<Self> {
        let mut last = None;
        for ip in ANY {
            match UdpSocket::bind((ip, 0)).await {
                // One for IPv6 alone reaches nobody by IPv4.
                Ok(socket) if ip.is_ipv6() && is_for_ipv6_alone(socket.as_raw_fd()) => {}
                Ok(socket) => {
                    let maps = ip.is_ipv6();
                    return Ok(Datagrams { socket, maps });
                }
                Err(e) => last = Some(e),
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::Unsupported.into()))
    }

    /// The socket itself.
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Its port.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Sends, if there is room.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.socket.try_send_to(bytes, self.written(to))
    }

    /// Sends.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.socket.send_to(bytes, self.written(to)).await
    }

    fn written(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(ip) if self.maps => SocketAddr::from((ip.to_ipv6_mapped(), to.port())),
            IpAddr::V4(_) | IpAddr::V6(_) => to,
        }
    }
}

/// A listener at a free port.
///
/// # Errors
/// What the kernel says.
pub(super) async fn listener() -> io::Result<TcpListener> {
    match TcpListener::bind((ANY[0], 0)).await {
        Ok(listener) if !is_for_ipv6_alone(listener.as_raw_fd()) => Ok(listener),
        Ok(_) | Err(_) => TcpListener::bind((ANY[1], 0)).await,
    }
}

/// Whether an IPv6 socket takes no IPv4: not so unless somebody has set up the namespace so.
fn is_for_ipv6_alone(fd: RawFd) -> bool {
    let mut alone: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: value and length live during the call, and the length is that of the value.
    let asked = unsafe {
        let value = (&raw mut alone).cast();
        libc::getsockopt(
            fd,
            libc::IPPROTO_IPV6,
            libc::IPV6_V6ONLY,
            value,
            &raw mut length,
        )
    };
    asked != 0 || alone != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_socket_hears_both_families() {
        let (one, other) = (
            Datagrams::open().await.unwrap(),
            Datagrams::open().await.unwrap(),
        );
        let port = other.port().unwrap();
        assert_ne!(one.port().unwrap(), port);
        let mut families = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        // Not every machine has it.
        if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await.is_ok() {
            families.push(IpAddr::V6(Ipv6Addr::LOCALHOST));
        }
        for ip in families {
            one.send_to(b"x", (ip, port).into()).await.unwrap();
            let (n, from) = other.socket().recv_from(&mut [0; 8]).await.unwrap();
            assert_eq!((n, from.ip().to_canonical()), (1, ip));
        }
        assert_ne!(listener().await.unwrap().local_addr().unwrap().port(), 0);
    }
}
