//! How a connection is opened.

use crate::classify::Attempt;
use crate::config::Endpoint;
use std::fmt::Debug;
use std::io::{self, ErrorKind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection's bytes, whatever carries them.
pub trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Stream for T {}

/// Opens connections.
#[derive(Clone, Debug, Default)]
pub struct Connector {}

impl Connector {
    /// Opens a connection to `endpoint`. The caller sets the deadline.
    ///
    /// # Errors
    /// What prevented it, as an attempt of which nothing was sent.
    pub async fn open(&self, endpoint: &Endpoint) -> Result<Box<dyn Stream>, Attempt> {
        if endpoint.tls {
            return Err(Attempt::NoMeans("no TLS in this build".into()));
        }
        let stream = TcpStream::connect(endpoint.addr)
            .await
            .map_err(no_connection)?;
        // Requests are small and written at once: nothing is gained by waiting.
        stream.set_nodelay(true).map_err(no_connection)?;
        Ok(Box::new(stream))
    }
}

/// Nothing was sent; the question is only whose fault it is.
fn no_connection(e: io::Error) -> Attempt {
    match e.kind() {
        ErrorKind::TimedOut => Attempt::ConnectTimeout,
        ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory => Attempt::NoMeans(e.to_string()),
        _ => match e.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS) => Attempt::NoMeans(e.to_string()),
            _ => Attempt::NotConnected(e.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_fault_a_missing_connection_is() {
        let of = |code| no_connection(io::Error::from_raw_os_error(code));
        for code in [
            libc::ECONNREFUSED,
            libc::EHOSTUNREACH,
            libc::ENETUNREACH,
            libc::ECONNRESET,
        ] {
            assert!(matches!(of(code), Attempt::NotConnected(_)), "{code}");
        }
        assert_eq!(of(libc::ETIMEDOUT), Attempt::ConnectTimeout);
        for code in [
            libc::EMFILE,
            libc::ENFILE,
            libc::EADDRNOTAVAIL,
            libc::ENOBUFS,
            libc::ENOMEM,
        ] {
            assert!(matches!(of(code), Attempt::NoMeans(_)), "{code}");
        }
    }
}
