//! What has arrived at a socket and was not read yet: on a busy machine that is
//! much, and whoever asks what has arrived must not be told that it has not.

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use std::os::fd::AsRawFd;
use tokio::net::UdpSocket;

/// Datagrams that are read at once, at most: more than the buffers of our sockets have room for.
const MOST: usize = 65_536;
/// Largest datagram of ours, with room.
const LARGEST: usize = 2048;

/// Reads all of it, past the socket's readiness, which is known only to whoever waits for it.
pub(super) fn arrived(socket: &UdpSocket, mut each: impl FnMut(&[u8])) {
    let mut bytes = [0; LARGEST];
    for _ in 0..MOST {
        match recv(socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            Ok(n) => each(&bytes[..n]),
            Err(Errno::EAGAIN) => return,
            // An answer to something that was sent; it is told once.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn what_nobody_waited_for_is_read_too() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let sender = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        for n in 0..3u8 {
            let to = socket.local_addr().unwrap();
            sender.send_to(&[n], to).unwrap();
        }
        let mut all = Vec::new();
        arrived(&socket, |bytes| all.push(bytes.to_vec()));
        arrived(&socket, |bytes| all.push(bytes.to_vec()));
        assert_eq!(all, [[0], [1], [2]]);
    }
}
