//! Where a service is, as a person writes it:
//! `[AZ=]scheme://[user[:password]@]host[:port][,host[:port]…][/path][?name=value&…]`.
//!
//! That is RFC 3986 but for the several hosts, which the clients of PostgreSQL and of
//! Redis' Sentinels are given like this.

use super::{Secret, ServiceSpec};
use crate::names::{EndpointUrl, is_az};

/// Longest URL, in bytes.
const MAX_URL: usize = 4096;

/// Most hosts of one URL.
const MAX_HOSTS: usize = 16;

/// One endpoint and what is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceUrl {
    /// Its AZ, if it was said.
    pub az: Option<String>,
    /// Its hosts, 1 to 16, in the order in which they are asked.
    pub hosts: Vec<EndpointUrl>,
    /// What is called.
    pub service: ServiceSpec,
}

/// A word, such as of a command line, without the password that a URL in it may hold.
pub fn redacted(word: &str) -> String {
    let Some((before, rest)) = word.split_once("://") else {
        return word.into();
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((who, _)) if who.contains(':') => {
            let user = who.split(':').next().unwrap_or_default();
            format!("{before}://{user}:***{}", &rest[who.len()..])
        }
        _ => word.into(),
    }
}

/// The parts of a URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) scheme: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    /// Names or addresses, and ports where they were given.
    pub(super) hosts: Vec<(String, Option<u16>)>,
    /// Without the slash in front, as it was written.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
}

/// The AZ before a URL, and the URL.
pub(super) fn az_of(text: &str) -> Result<(Option<String>, &str), String> {
    match text.split_once('=') {
        Some((az, url)) if !az.contains("://") => match is_az(az) {
            true => Ok((Some(az.into()), url)),
            false => Err(format!(
                "'{az}': an AZ is 1 to 32 letters, digits, '-' or '_' before a '=' and a URL"
            )),
        },
        _ => Ok((None, text)),
    }
}

impl Parts {
    /// Reads one. What is wrong never repeats the URL: it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Parts, String> {
        let mut parts = Parts::parse_whole_path(url)?;
        let path = std::mem::take(&mut parts.path);
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| {
            let (name, value) = pair
                .split_once('=')
                .ok_or(format!("'{pair}' is not name=value"))?;
            Ok((decoded(name)?, decoded(value)?))
        });
        parts.query = query.collect::<Result<_, String>>()?;
        parts.path = path.into();
        Ok(parts)
    }

    /// The same, with a query left in the path.
    pub(super) fn parse_whole_path(url: &str) -> Result<Parts, String> {
        if url.len() > MAX_URL {
            return Err(format!("a URL is at most {MAX_URL} bytes"));
        }
        if !url.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("a URL is visible ASCII; write other characters as %XX".into());
        }
        let (scheme, rest) = url.split_once("://").ok_or("not a URL with a scheme://")?;
        if rest.contains('#') {
            return Err("'#' means nothing here; in a password it is written %23".into());
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.strip_prefix('/').unwrap_or(path);
        let (who, hosts) = match authority.rsplit_once('@') {
            Some((who, hosts)) => (Some(who), hosts),
            None => (None, authority),
        };
        let (user, password) = match who {
            None => (None, None),
            Some(who) => match who.split_once(':') {
                Some((user, password)) => (Some(user), Some(Secret::new(decoded(password)?))),
                None => (Some(who), None),
            },
        };
        let user = user.filter(|u| !u.is_empty()).map(decoded).transpose()?;
        let hosts: Vec<_> = hosts.split(',').map(host).collect::<Result<_, _>>()?;
        if hosts.len() > MAX_HOSTS {
            return Err(format!("a URL has at most {MAX_HOSTS} hosts"));
        }
        Ok(Parts {
            scheme: scheme.to_ascii_lowercase(),
            user,
            password,
            hosts,
            path: path.into(),
            query: Vec::new(),
        })
    }

    /// The hosts as endpoints.
    pub(super) fn endpoints(&self, tls: bool, port: u16) -> Vec<EndpointUrl> {
        let of = |(host, own): &(String, Option<u16>)| EndpointUrl {
            az: None,
            tls,
            host: host.clone(),
            port: own.unwrap_or(port),
        };
        self.hosts.iter().map(of).collect()
    }
}

/// A host and its port.
fn host(text: &str) -> Result<(String, Option<u16>), String> {
    // The colons of an address of IPv6 stand within brackets.
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let bare = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').filter(|a| a.contains(':')),
        None => Some(host).filter(|h| !h.contains(':')),
    };
    let fits = |name: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
        (1..=253).contains(&name.len()) && name.bytes().all(plain)
    };
    if !bare.is_some_and(fits) {
        return Err("a host is a name, an address, or an address of IPv6 in brackets".into());
    }
    let port = port.map(|p| match p.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(format!("the port '{p}' is not 1 to 65535")),
    });
    Ok((host.into(), port.transpose()?))
}

/// Text with `%XX` for bytes.
pub(super) fn decoded(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = after
            .get(..2)
            .filter(|d| d.iter().all(u8::is_ascii_hexdigit))
            .and_then(|d| std::str::from_utf8(d).ok());
        let code = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
        out.push(code.ok_or("'%' is followed by two hexadecimal digits")?);
        rest = &after[2..];
    }
    String::from_utf8(out).map_err(|_| "what %XX stands for is no UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_read() {
        let p = Parts::parse("Redis://me:p%40%3ass@a:1,[::1]:2,b/main/2?x=1&y=%20z").unwrap();
        let host = |h: &str, p| (h.to_string(), p);
        assert_eq!(
            p,
            Parts {
                scheme: "redis".into(),
                user: Some("me".into()),
                password: Some(Secret::new("p@:ss")),
                hosts: vec![host("a", Some(1)), host("[::1]", Some(2)), host("b", None)],
                path: "main/2".into(),
                query: vec![("x".into(), "1".into()), ("y".into(), " z".into())],
            }
        );
        assert!(!format!("{p:?}").contains("p@:ss"));
        let bare = Parts::parse("etcd://h").unwrap();
        assert_eq!(
            (bare.user, bare.password, bare.path),
            (None, None, String::new())
        );
        let only = Parts::parse("redis://:secret@h").unwrap();
        assert_eq!(
            (only.user, only.password),
            (None, Some(Secret::new("secret")))
        );
    }

    #[test]
    fn passwords_are_taken_out_of_words() {
        for (word, expected) in [
            ("b=redis://u:p@ss@h:1/2", "b=redis://u:***@h:1/2"),
            ("--redis=redis://:p@h", "--redis=redis://:***@h"),
            ("redis://u@h/a:b@c", "redis://u@h/a:b@c"),
            ("http://h:1", "http://h:1"),
            ("x=y@z", "x=y@z"),
        ] {
            assert_eq!(redacted(word), expected);
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, expected) in [
            ("127.0.0.1:6379", "scheme"),
            ("x://", "host"),
            ("x://u:secret@", "host"),
            ("x://u:secret@a:0", "port '0'"),
            ("x://u:secret@a:65536", "port '65536'"),
            ("x://a:b:c", "host"),
            ("x://[1.2.3.4]", "brackets"),
            ("x://::1", "brackets"),
            ("x://u:sec%ret@a", "hexadecimal"),
            ("x://u:%ff@a", "UTF-8"),
            ("x://u:secret#1@a", "%23"),
            ("x://a?b", "name=value"),
            ("x://a b", "visible ASCII"),
            (&format!("x://{}", "a,".repeat(20)), "host"),
            (&format!("x://{}a", "a,".repeat(20)), "at most 16"),
            (&"x".repeat(5000), "4096"),
        ] {
            let e = Parts::parse(url).unwrap_err();
            assert!(e.contains(expected), "{url}: {e}");
            assert!(!e.contains("secret"), "{e}");
        }
        assert!(az_of("a/b=x://h").is_err());
        assert_eq!(az_of("b=x://h").unwrap(), (Some("b".into()), "x://h"));
        // A '=' of the URL itself names no AZ.
        assert_eq!(az_of("x://h?a=b").unwrap(), (None, "x://h?a=b"));
    }
}
