//! How a connection is opened: to the address that a name has now, over TCP or TLS.

use crate::classify::NoAnswer;
use crate::config::Endpoint;
use crate::names::Names;
use std::fmt::Debug;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A connection's bytes, whatever carries them.
pub trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {
    /// Bytes that the kernel took and the other side's kernel has not
    /// acknowledged; `None` if that cannot be known.
    fn unacknowledged(&self) -> Option<usize>;
}

impl Stream for TcpStream {
    fn unacknowledged(&self) -> Option<usize> {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the descriptor is open as long as `self`, and the kernel writes
        // one int, which outlives the call. For TCP this is SIOCOUTQ: tcp(7).
        let done = unsafe { libc::ioctl(self.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
        if done == 0 {
            bytes.try_into().ok()
        } else {
            None
        }
    }
}

/// Counts what the records weigh, which is more than what is in them.
impl Stream for TlsStream<TcpStream> {
    fn unacknowledged(&self) -> Option<usize> {
        self.get_ref().0.unacknowledged()
    }
}

/// Opens connections.
#[derive(Clone, Default)]
pub struct Connector {
    names: Names,
    tls: Option<Tls>,
}

/// TLS, with what is said of the protocol within.
#[derive(Clone)]
struct Tls {
    /// That it is HTTP/1.1.
    http: TlsConnector,
    /// Nothing: other protocols have no name there, or refuse one that is not theirs.
    bare: TlsConnector,
}

impl Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("names", &self.names)
            .field("tls", &self.tls.is_some())
            .finish()
    }
}

impl Connector {
    /// One that follows `names` and can speak TLS. Servers are trusted that
    /// have a certificate of a public authority, or of one in `ca_file` (PEM).
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate.
    pub fn new(names: Names, ca_file: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        if let Some(path) = ca_file {
            let say = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
            let before = roots.len();
            for certificate in CertificateDer::pem_file_iter(path).map_err(|e| say(&e))? {
                let certificate = certificate.map_err(|e| say(&e))?;
                roots.add(certificate).map_err(|e| say(&e))?;
            }
            if roots.len() == before {
                return Err(say(&"no certificate in it"));
            }
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| format!("TLS: {e}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let bare = TlsConnector::from(Arc::new(config.clone()));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http = TlsConnector::from(Arc::new(config));
        Ok(Connector {
            names,
            tls: Some(Tls { http, bare }),
        })
    }

    /// Opens a connection of HTTP to `endpoint`, TLS handshake included. The caller
    /// sets the deadline.
    ///
    /// # Errors
    /// What prevented it, so that nothing was sent.
    pub async fn open(&self, endpoint: &Endpoint) -> Result<Box<dyn Stream>, NoAnswer> {
        let stream = self.tcp(endpoint).await?;
        match endpoint.tls {
            false => Ok(Box::new(stream)),
            true => handshake(stream, self.tls.as_ref().map(|t| &t.http), endpoint).await,
        }
    }

    /// The same for a protocol other than HTTP.
    ///
    /// # Errors
    /// As [`Connector::open`].
    pub async fn open_bare(&self, endpoint: &Endpoint) -> Result<Box<dyn Stream>, NoAnswer> {
        let stream = self.tcp(endpoint).await?;
        match endpoint.tls {
            false => Ok(Box::new(stream)),
            true => self.secure(stream, endpoint).await,
        }
    }

    /// Opens a connection of TCP, whatever will be spoken over it.
    ///
    /// # Errors
    /// As [`Connector::open`].
    pub async fn tcp(&self, endpoint: &Endpoint) -> Result<TcpStream, NoAnswer> {
        let stream = TcpStream::connect(self.names.address(endpoint))
            .await
            .map_err(no_connection)?;
        // Requests are small and written at once: nothing is gained by waiting.
        stream.set_nodelay(true).map_err(no_connection)?;
        Ok(stream)
    }

    /// Goes over to TLS, for a protocol other than HTTP.
    ///
    /// # Errors
    /// As [`Connector::open`].
    pub async fn secure(
        &self,
        stream: TcpStream,
        endpoint: &Endpoint,
    ) -> Result<Box<dyn Stream>, NoAnswer> {
        handshake(stream, self.tls.as_ref().map(|t| &t.bare), endpoint).await
    }
}

async fn handshake(
    stream: TcpStream,
    tls: Option<&TlsConnector>,
    endpoint: &Endpoint,
) -> Result<Box<dyn Stream>, NoAnswer> {
    let Some(tls) = tls else {
        return Err(NoAnswer::NoMeans("made without TLS".into()));
    };
    let name = server_name(endpoint).map_err(NoAnswer::NoMeans)?;
    let stream = tls
        .connect(name, stream)
        .await
        .map_err(|e| NoAnswer::NotConnected(format!("TLS handshake: {e}")))?;
    Ok(Box::new(stream))
}

/// Whose certificate the server must have.
fn server_name(endpoint: &Endpoint) -> Result<ServerName<'static>, String> {
    let host = match &endpoint.host {
        None => endpoint.addr.ip().to_string(),
        Some(host) => {
            // A port stands behind the last colon, unless that is inside brackets.
            let bare = match host.rsplit_once(':') {
                Some((name, port)) if !port.contains(']') => name,
                _ => host,
            };
            bare.trim_start_matches('[').trim_end_matches(']').into()
        }
    };
    ServerName::try_from(host.clone()).map_err(|e| format!("'{host}' for TLS: {e}"))
}

/// Nothing was sent; the question is only whose fault it is.
fn no_connection(e: io::Error) -> NoAnswer {
    match e.kind() {
        ErrorKind::TimedOut => NoAnswer::ConnectTimeout,
        ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory => NoAnswer::NoMeans(e.to_string()),
        _ => match e.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS) => NoAnswer::NoMeans(e.to_string()),
            _ => NoAnswer::NotConnected(e.to_string()),
        },
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::call::{Connection, attempt};
    use crate::exchange;
    use std::net::SocketAddr;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::Instant;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    /// A server with a certificate for `store.test` and 127.0.0.1, and the PEM of it.
    fn server() -> (TlsAcceptor, String) {
        server_of(&[])
    }

    /// One that takes these protocols alone from whoever names any.
    fn server_of(protocols: &[&str]) -> (TlsAcceptor, String) {
        let names = ["store.test".to_string(), "127.0.0.1".to_string()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
    }

    /// A server as [`server_of`] makes it, and a connector that trusts it.
    pub(crate) fn trusted(protocols: &[&str]) -> (TlsAcceptor, Connector) {
        let (acceptor, pem) = server_of(protocols);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, pem).unwrap();
        let connector = Connector::new(Names::default(), Some(&path)).unwrap();
        (acceptor, connector)
    }

    /// What came of saying `ping` to `host`, whose server answers `pong`.
    async fn ping(host: Option<&str>, ca: bool) -> Result<String, NoAnswer> {
        let (acceptor, pem) = server();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, pem).unwrap();
        let names = Names::default();
        // The endpoint's own address is stale: the name has another one now.
        let stale = SocketAddr::from(([127, 0, 0, 1], 1));
        let endpoint = Endpoint {
            host: host.map(String::from),
            tls: true,
            ..Endpoint::plain("a", if host.is_some() { stale } else { addr })
        };
        names.set(host.unwrap_or_default(), vec![addr]);
        let connector = Connector::new(names, ca.then_some(path.as_path())).unwrap();
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            // The client may refuse.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut asked = [0; 4];
                stream.read_exact(&mut asked).await.unwrap();
                assert_eq!(&asked, b"ping");
                stream.write_all(b"pong").await.unwrap();
                stream.flush().await.unwrap();
            }
        };
        let ask = async {
            let mut stream = connector.open(&endpoint).await?;
            stream.write_all(b"ping").await.unwrap();
            stream.flush().await.unwrap();
            let mut answer = [0; 4];
            stream.read_exact(&mut answer).await.unwrap();
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let (answer, ()) = tokio::join!(ask, serve);
        answer
    }

    #[tokio::test]
    async fn tls_is_spoken_with_whom_the_certificate_names() {
        for host in [Some("store.test:8443"), Some("127.0.0.1:8443"), None] {
            assert_eq!(ping(host, true).await.as_deref(), Ok("pong"), "{host:?}");
        }
        for (host, ca) in [("other.test", true), ("store.test", false)] {
            let refused = ping(Some(host), ca).await;
            assert!(
                matches!(&refused, Err(NoAnswer::NotConnected(why)) if why.contains("certificate")),
                "{refused:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_not_http_is_not_called_so() {
        // As PostgreSQL does since version 17.
        let (acceptor, connector) = trusted(&["postgresql"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint {
            tls: true,
            ..Endpoint::plain("a", listener.local_addr().unwrap())
        };
        let accept = async || acceptor.accept(listener.accept().await.unwrap().0).await;
        let (opened, accepted) = tokio::join!(connector.open(&endpoint), accept());
        assert!(opened.is_err() && accepted.is_err());
        let (opened, accepted) = tokio::join!(connector.open_bare(&endpoint), accept());
        assert!(opened.is_ok() && accepted.is_ok(), "{opened:?}");
    }

    #[tokio::test]
    async fn calls_are_made_over_tls_one_after_the_other() {
        let (acceptor, pem) = server();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint {
            tls: true,
            ..Endpoint::plain("a", listener.local_addr().unwrap())
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, pem).unwrap();
        let connector = Connector::new(Names::default(), Some(&path)).unwrap();
        // One that is written at once, and one that is longer than TLS takes at once.
        let requests = [vec![b'x'; 300], vec![b'y'; 1 << 20]];
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await.unwrap();
            for request in &requests {
                let mut asked = vec![0; request.len()];
                stream.read_exact(&mut asked).await.unwrap();
                assert!(asked == *request);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                stream.write_all(answer).await.unwrap();
                stream.flush().await.unwrap();
            }
            stream
        };
        let ask = async {
            let mut idle: Option<Connection> = None;
            for request in &requests {
                let begun = idle.map(|mut idle| {
                    assert!(idle.usable());
                    idle.begin(request)
                });
                let deadline = Instant::now() + Duration::from_secs(60);
                let read = |bytes: &[u8], closed| exchange::answer(bytes, closed).map(|r| r.status);
                let open = || connector.open(&endpoint);
                let (came, kept) = attempt(open, begun, request, deadline, read).await;
                assert_eq!(came, Ok(200));
                idle = kept;
            }
            idle.unwrap()
        };
        let (mut idle, stream) = tokio::join!(ask, serve);
        drop(stream);
        while idle.usable() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            std::fs::write(&path, text).unwrap();
            let e = Connector::new(Names::default(), Some(&path)).unwrap_err();
            assert!(e.contains("ca.pem"), "{e}");
        }
        assert!(Connector::new(Names::default(), Some(&dir.path().join("none"))).is_err());
    }

    #[test]
    fn the_name_for_tls_has_no_port() {
        for (host, expected) in [
            ("x.test", "x.test"),
            ("x.test:8443", "x.test"),
            ("[::1]:8443", "::1"),
            ("[::1]", "::1"),
        ] {
            let endpoint = Endpoint {
                host: Some(host.into()),
                ..Endpoint::plain("a", SocketAddr::from(([127, 0, 0, 1], 1)))
            };
            assert_eq!(server_name(&endpoint).unwrap().to_str(), expected);
        }
    }

    #[test]
    fn whose_fault_a_missing_connection_is() {
        let of = |code| no_connection(io::Error::from_raw_os_error(code));
        for code in [
            libc::ECONNREFUSED,
            libc::EHOSTUNREACH,
            libc::ENETUNREACH,
            libc::ECONNRESET,
        ] {
            assert!(matches!(of(code), NoAnswer::NotConnected(_)), "{code}");
        }
        assert_eq!(of(libc::ETIMEDOUT), NoAnswer::ConnectTimeout);
        for code in [
            libc::EMFILE,
            libc::ENFILE,
            libc::EADDRNOTAVAIL,
            libc::ENOBUFS,
            libc::ENOMEM,
        ] {
            assert!(matches!(of(code), NoAnswer::NoMeans(_)), "{code}");
        }
    }
}
