//! Endpoints by name: URLs, and the addresses that their names have now.
//!
//! Names are looked up beside the measured calls, never in them, again and
//! again also while all is well: what is only used in an emergency fails in
//! the emergency. If a look-up fails, the last addresses stay.
//!
//! A name may have addresses of both families where only one leads to the
//! service: `localhost` is `::1` too, whoever listens on 127.0.0.1 alone, and many
//! hosts have no way to IPv6. Every client then uses the family that answers
//! (RFC 8305), so calls to the other one would measure nothing but the name. A
//! family that has never taken a connection is left out, and said, while the other
//! one has; it is asked again at every look-up, and once it has answered it stays.
//! What has answered before and does not any more is never left out.

use crate::config::{Endpoint, Host};
use futures_util::future::join_all;
use http::Uri;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpStream;

/// Time that one look-up has.
const LOOK_UP: Duration = Duration::from_secs(10);

/// Time that an address has to take a connection, when families are tried.
const TRY: Duration = Duration::from_secs(2);

/// Most addresses of one name.
const MAX_ADDRESSES: usize = 64;

/// An endpoint as a person names it: `[AZ=]http[s]://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointUrl {
    /// Its AZ, if it was said.
    pub az: Option<String>,
    /// True for `https`.
    pub tls: bool,
    /// Name or address of the host.
    pub host: String,
    /// Port, the scheme's if none was given.
    pub port: u16,
}

impl EndpointUrl {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (az, url) = match text.split_once('=') {
            Some((az, url)) if !az.contains("://") => (Some(az), url),
            _ => (None, text),
        };
        let refuse = |why: &str| Err(format!("'{text}': {why}, such as http://127.0.0.1:8000"));
        if az.is_some_and(|az| !is_az(az)) {
            return refuse("an AZ is 1 to 32 letters, digits, '-' or '_' before a '=' and a URL");
        }
        let Ok(uri) = url.parse::<Uri>() else {
            return refuse("not a URL");
        };
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return refuse("an endpoint is a URL with http:// or https://"),
        };
        let Some(host) = uri.host().filter(|h| !h.is_empty()) else {
            return refuse("an endpoint is a URL with a host");
        };
        let authority = uri.authority().map_or("", |a| a.as_str());
        if authority.contains('@') || uri.path() != "/" || uri.query().is_some() {
            return refuse("an endpoint is a URL without user, path and query");
        }
        // What follows the host is nothing or a port that can be read.
        if authority.len() > host.len() && uri.port_u16().is_none() {
            return refuse("the port is a number up to 65535");
        }
        Ok(EndpointUrl {
            az: az.map(String::from),
            tls,
            host: host.into(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
        })
    }

    /// What the `Host` header says: with the port if it is not the scheme's.
    pub fn host_header(&self) -> String {
        match (self.tls, self.port) {
            (false, 80) | (true, 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// The endpoint at the first of its addresses, in the AZ `az`.
    ///
    /// # Errors
    /// The name has no address now.
    pub async fn resolve(&self, az: &str) -> Result<Endpoint, String> {
        let found = look_up(&self.host, self.port).await?;
        Ok(Endpoint {
            az: az.into(),
            addr: found[0],
            host: Some(self.host_header()),
            tls: self.tls,
            more: Vec::new(),
        })
    }
}

impl EndpointUrl {
    /// One endpoint of all of these hosts, at least one, in this order.
    ///
    /// # Errors
    /// A name has no address now.
    pub async fn resolve_all(hosts: &[EndpointUrl], az: &str) -> Result<Endpoint, String> {
        let mut all = Vec::new();
        for host in hosts {
            all.push(host.resolve(az).await?);
        }
        let mut all = all.into_iter();
        let mut first = all.next().ok_or("an endpoint without a host")?;
        first.more = all
            .map(|Endpoint { addr, host, .. }| Host { addr, host })
            .collect();
        Ok(first)
    }
}

/// True if it can be the name of an AZ: it becomes a part of names elsewhere.
pub fn is_az(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Addresses of one name now; at least one, in a fixed order.
async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((bare, port))).await;
    let mut all: Vec<SocketAddr> = match found {
        Ok(Ok(all)) => all.take(MAX_ADDRESSES).collect(),
        Ok(Err(e)) => return Err(format!("the name '{host}' cannot be resolved: {e}")),
        Err(_) => {
            return Err(format!(
                "the name '{host}' was not resolved within {LOOK_UP:?}"
            ));
        }
    };
    all.sort_unstable();
    all.dedup();
    if all.is_empty() {
        return Err(format!("the name '{host}' has no address"));
    }
    Ok(all)
}

/// The addresses that names have now. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Names {
    known: Arc<RwLock<BTreeMap<String, Vec<SocketAddr>>>>,
    families: Arc<RwLock<BTreeMap<String, Families>>>,
    turn: Arc<AtomicUsize>,
}

/// Which families of a name's addresses have ever taken a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Families {
    v4: bool,
    v6: bool,
}

impl Families {
    /// True if `address` is of a family that has answered.
    fn has(self, address: &SocketAddr) -> bool {
        if address.is_ipv4() { self.v4 } else { self.v6 }
    }

    fn answered(&mut self, address: &SocketAddr) {
        if address.is_ipv4() {
            self.v4 = true;
        } else {
            self.v6 = true;
        }
    }

    /// The addresses that are used and those that are left out: of the family
    /// that has never answered, if the other one has.
    fn choose(self, all: Vec<SocketAddr>) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        if all.iter().any(|a| self.has(a)) {
            all.into_iter().partition(|a| self.has(a))
        } else {
            (all, Vec::new())
        }
    }
}

/// What a refresh found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// A name has other addresses than before.
    Changed {
        /// The name.
        host: String,
        /// Its addresses now.
        addresses: Vec<SocketAddr>,
    },
    /// Addresses of a family that never took a connection are not used, because
    /// those of the other one did.
    LeftOut {
        /// The name.
        host: String,
        /// Which addresses.
        addresses: Vec<SocketAddr>,
    },
    /// A look-up failed; what was known stays in use.
    Failed(String),
}

impl std::fmt::Display for Renewed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |all: &[SocketAddr]| {
            let all: Vec<String> = all.iter().map(SocketAddr::to_string).collect();
            all.join(", ")
        };
        match self {
            Renewed::Changed { host, addresses } => {
                write!(f, "{host} has new addresses: {}", list(addresses))
            }
            Renewed::LeftOut { host, addresses } => write!(
                f,
                "{host}: {} takes no connection and addresses of the other family do: left out \
                 until it does",
                list(addresses)
            ),
            Renewed::Failed(why) => write!(f, "{why}; its last addresses stay in use"),
        }
    }
}

impl Names {
    /// Where to connect to `endpoint` now: its name's addresses in turn, or its
    /// own address if the name is not known here.
    pub fn address(&self, endpoint: &Endpoint) -> SocketAddr {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let all = endpoint.host.as_ref().and_then(|h| known.get(h));
        match all.filter(|all| !all.is_empty()) {
            Some(all) => all[self.turn.fetch_add(1, Ordering::Relaxed) % all.len()],
            None => endpoint.addr,
        }
    }

    /// Sets a name's addresses; true if they are others than before. No address
    /// at all changes nothing.
    pub fn set(&self, host: &str, addresses: Vec<SocketAddr>) -> bool {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if addresses.is_empty() || known.get(host) == Some(&addresses) {
            return false;
        }
        known.insert(host.into(), addresses);
        true
    }

    /// Looks all of `urls` up, and tries what may have to be left out. Bounded:
    /// 12 seconds for each.
    pub async fn refresh(&self, urls: &[EndpointUrl]) -> Vec<Renewed> {
        let mut news = Vec::new();
        for url in urls {
            let all = match look_up(&url.host, url.port).await {
                Ok(all) => all,
                Err(why) => {
                    news.push(Renewed::Failed(why));
                    continue;
                }
            };
            let host = url.host_header();
            let before = self.families_of(&host);
            let families = tried(before, &all).await;
            self.families
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(host.clone(), families);
            let (addresses, left_out) = families.choose(all);
            let changed = self.set(&host, addresses.clone());
            if !left_out.is_empty() && (changed || before != families) {
                news.push(Renewed::LeftOut {
                    host,
                    addresses: left_out,
                });
            } else if changed {
                news.push(Renewed::Changed { host, addresses });
            }
        }
        news
    }

    fn families_of(&self, host: &str) -> Families {
        let families = self.families.read();
        let families = families.unwrap_or_else(PoisonError::into_inner);
        families.get(host).copied().unwrap_or_default()
    }
}

/// Which families answer, those included that did before; nobody is asked if all
/// addresses are of one family, or all families are known.
async fn tried(mut known: Families, all: &[SocketAddr]) -> Families {
    let of_both = all.iter().any(SocketAddr::is_ipv4) && all.iter().any(SocketAddr::is_ipv6);
    if !of_both {
        return known;
    }
    let unknown: Vec<&SocketAddr> = all.iter().filter(|a| !known.has(a)).collect();
    let takes = unknown.iter().map(async |address| {
        let connected = tokio::time::timeout(TRY, TcpStream::connect(address)).await;
        matches!(connected, Ok(Ok(_)))
    });
    for (address, takes) in unknown.iter().zip(join_all(takes).await) {
        if takes {
            known.answered(address);
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let of = |text| EndpointUrl::parse(text).unwrap();
        let plain = of("http://127.0.0.1:8000");
        assert_eq!(plain.host_header(), "127.0.0.1:8000");
        assert_eq!((plain.az.as_deref(), plain.tls), (None, false));
        let named = of("a-1=https://dynamodb.eu-west-1.amazonaws.com/");
        assert_eq!(named.az.as_deref(), Some("a-1"));
        assert_eq!((named.tls, named.port), (true, 443));
        assert_eq!(
            named.host_header(),
            "dynamodb.eu-west-1.amazonaws.com",
            "without the port that the scheme has"
        );
        assert_eq!(of("https://x:80").host_header(), "x:80");
        assert_eq!(of("http://[::1]:8000").host_header(), "[::1]:8000");
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for bad in [
            "",
            "127.0.0.1:8000",
            "ftp://x",
            "http://",
            "http://x/path",
            "http://x?q=1",
            "http://user:pw@x",
            "http://x:99999",
            "a b=http://x",
            "=http://x",
        ] {
            let e = EndpointUrl::parse(bad).unwrap_err();
            assert!(e.contains("such as"), "{bad}: {e}");
        }
    }

    #[test]
    fn addresses_take_turns_and_follow_their_name() {
        let at = |n| SocketAddr::from(([127, 0, 0, n], 8000));
        let names = Names::default();
        let endpoint = Endpoint {
            host: Some("store:8000".into()),
            ..Endpoint::plain("a", at(1))
        };
        assert_eq!(names.address(&endpoint), at(1));
        let shared = names.clone();
        assert!(shared.set("store:8000", vec![at(2), at(3)]));
        assert!(!shared.set("store:8000", vec![at(2), at(3)]), "the same");
        assert!(!shared.set("store:8000", vec![]), "nothing is no news");
        let two: Vec<_> = (0..4).map(|_| names.address(&endpoint)).collect();
        assert!(two == [at(2), at(3), at(2), at(3)] || two == [at(3), at(2), at(3), at(2)]);
        assert_eq!(names.address(&Endpoint::plain("a", at(1))), at(1));
    }

    #[test]
    fn only_a_family_that_never_answered_beside_one_that_did_is_left_out() {
        let v4 = SocketAddr::from(([127, 0, 0, 1], 80));
        let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 80));
        let both = vec![v4, v6];
        for (families, all, used, left_out) in [
            ((false, false), &both, vec![v4, v6], vec![]),
            ((true, true), &both, vec![v4, v6], vec![]),
            ((true, false), &both, vec![v4], vec![v6]),
            ((false, true), &both, vec![v6], vec![v4]),
            // A name that has lost the addresses that answered.
            ((true, false), &vec![v6], vec![v6], vec![]),
        ] {
            let (v4, v6) = families;
            let got = Families { v4, v6 }.choose(all.clone());
            assert_eq!(got, (used, left_out), "{families:?} {all:?}");
        }
    }

    #[tokio::test]
    async fn families_are_tried_until_they_have_answered() {
        let v4 = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let v4 = (v4.local_addr().unwrap(), v4);
        let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], v4.0.port()));
        let only = |v4, v6| Families { v4, v6 };
        let none = Families::default();
        // Nobody is asked about one family alone.
        assert_eq!(tried(none, &[v4.0]).await, none);
        assert_eq!(tried(none, &[v4.0, v6]).await, only(true, false));
        // What has answered once has, and is not asked again.
        let gone = v4.0;
        drop(v4);
        assert_eq!(
            tried(only(true, false), &[gone, v6]).await,
            only(true, false)
        );
    }

    #[tokio::test]
    async fn a_look_up_that_fails_changes_nothing() {
        let names = Names::default();
        let url = |host: &str| EndpointUrl {
            az: None,
            tls: false,
            host: host.into(),
            port: 8000,
        };
        let good = url("127.0.0.1");
        let news = names.refresh(std::slice::from_ref(&good)).await;
        assert!(matches!(&news[..], [Renewed::Changed { .. }]), "{news:?}");
        assert_eq!(names.refresh(std::slice::from_ref(&good)).await, []);
        // A name with a zero byte fails before anybody is asked.
        let bad = url("no\0name");
        let news = names.refresh(&[bad.clone(), good.clone()]).await;
        assert!(matches!(&news[..], [Renewed::Failed(_)]), "{news:?}");
        let endpoint = good.resolve("a").await.unwrap();
        assert_eq!(names.address(&endpoint).port(), 8000);
        assert!(bad.resolve("a").await.is_err());
    }
}
