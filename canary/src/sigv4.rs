//! Signing requests: AWS Signature Version 4.
//!
//! Source: "AWS Signature Version 4 for API requests", AWS Identity and Access
//! Management user guide. A request is boiled down to a canonical text, whose
//! hash, with the time and the scope, is signed by a key that is derived from
//! the secret, the day, the region and the service.
//!
//! Only what a canary needs: one chunk of payload, signed whole, and paths and
//! queries that are canonical as they stand (the DynamoDB protocol has `/` and
//! none).

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Access key id; not a secret.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
    /// Session token of temporary credentials.
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A secret must not reach a log by way of a debug print.
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// The parts of a request that are signed.
#[derive(Clone, Copy, Debug)]
pub struct Signable<'a> {
    /// `GET`, `POST` …
    pub method: &'a str,
    /// Path, in canonical form.
    pub path: &'a str,
    /// Query, in canonical form, without its `?`.
    pub query: &'a str,
    /// Every header that is signed but `x-amz-date` and `x-amz-security-token`,
    /// which signing adds; names in lower case, in any order.
    pub headers: &'a [(&'a str, &'a str)],
    /// Body.
    pub body: &'a [u8],
}

/// What signing adds to a request's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// `x-amz-date`.
    pub date: String,
    /// `x-amz-security-token`, for temporary credentials.
    pub session_token: Option<String>,
    /// `authorization`.
    pub authorization: String,
}

/// Signs requests to one service in one region. The derived key is kept for
/// its day: deriving it takes four times as long as using it.
#[derive(Clone)]
pub struct Signer {
    credentials: Credentials,
    region: String,
    service: String,
    key: Option<(String, [u8; 32])>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("credentials", &self.credentials)
            .field("region", &self.region)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer for `service` (such as `dynamodb`) in `region` (such as `eu-west-1`).
    pub fn new(credentials: Credentials, region: &str, service: &str) -> Self {
        Signer {
            credentials,
            region: region.into(),
            service: service.into(),
            key: None,
        }
    }

    /// Signs one request as of `now`. A service refuses a signature whose time
    /// is more than a few minutes from its own.
    pub fn sign(&mut self, request: Signable<'_>, now: SystemTime) -> Signature {
        let date = timestamp(now);
        let day = &date[..8];
        let token = self.credentials.session_token.clone();
        let (canonical, names) = canonical(request, &date, token.as_deref());
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let hash = hex(&Sha256::digest(canonical.as_bytes()));
        let to_sign = format!("{ALGORITHM}\n{date}\n{scope}\n{hash}");
        let signature = hex(&hmac(&self.key_of(day), to_sign.as_bytes()));
        let id = &self.credentials.access_key_id;
        let authorization = format!(
            "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
        );
        Signature {
            session_token: token,
            authorization,
            date,
        }
    }

    fn key_of(&mut self, day: &str) -> [u8; 32] {
        match &self.key {
            Some((of, key)) if of == day => *key,
            _ => {
                let secret = format!("AWS4{}", self.credentials.secret_access_key);
                let parts = [day, &self.region, &self.service, "aws4_request"];
                let mut key = hmac(secret.as_bytes(), parts[0].as_bytes());
                for part in &parts[1..] {
                    key = hmac(&key, part.as_bytes());
                }
                self.key = Some((day.into(), key));
                key
            }
        }
    }
}

/// The canonical request, and the names of the signed headers.
fn canonical(request: Signable<'_>, date: &str, token: Option<&str>) -> (String, String) {
    let mut headers: Vec<(&str, String)> = request
        .headers
        .iter()
        .map(|(name, value)| (*name, trimmed(value)))
        .collect();
    headers.push(("x-amz-date", date.into()));
    headers.extend(token.map(|t| ("x-amz-security-token", trimmed(t))));
    headers.sort_by_key(|(name, _)| *name);
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut text = format!("{}\n{}\n{}\n", request.method, request.path, request.query);
    for (name, value) in &headers {
        text.push_str(name);
        text.push(':');
        text.push_str(value);
        text.push('\n');
    }
    let body = hex(&Sha256::digest(request.body));
    let _ = write!(text, "\n{names}\n{body}");
    (text, names)
}

/// Without spaces at its ends, and with one where there were several.
fn trimmed(value: &str) -> String {
    let words: Vec<&str> = value.split(' ').filter(|w| !w.is_empty()).collect();
    words.join(" ")
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut out, b| {
            let _ = write!(out, "{b:02x}");
            out
        })
}

/// `20150830T123600Z`; the epoch for times before it.
fn timestamp(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{h:02}{m:02}{s:02}Z")
}

/// Date of a day that lies `days` after 1970-01-01, by counting in eras of 400
/// years that begin on 1 March (H. Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Credentials and time of AWS's published test suite.
    fn suite(token: Option<&str>) -> Signer {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: token.map(String::from),
        };
        Signer::new(credentials, "us-east-1", "service")
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// 2015-08-30 12:36:00 UTC.
    const SUITE_TIME: u64 = 1_440_938_160;

    const HOST: (&str, &str) = ("host", "example.amazonaws.com");

    #[test]
    fn the_published_test_vectors_are_met() {
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        let form = ("content-type", "application/x-www-form-urlencoded");
        for (name, token, method, query, headers, body, expected) in [
            (
                "get-vanilla",
                None,
                "GET",
                "",
                vec![HOST],
                "",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-key-case",
                None,
                "GET",
                "Param1=value1&Param2=value2",
                vec![HOST],
                "",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "get-header-value-trim",
                None,
                "GET",
                "",
                vec![
                    HOST,
                    ("my-header1", " value1"),
                    ("my-header2", " \"a   b   c\""),
                ],
                "",
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
            (
                "post-vanilla",
                None,
                "POST",
                "",
                vec![HOST],
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-header-key-sort",
                None,
                "POST",
                "",
                vec![("my-header1", "value1"), HOST],
                "",
                "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
            ),
            (
                "post-x-www-form-urlencoded",
                None,
                "POST",
                "",
                vec![form, HOST],
                "Param1=value1",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "post-sts-header-before",
                Some(token),
                "POST",
                "",
                vec![HOST],
                "",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ] {
            let request = Signable {
                method,
                path: "/",
                query,
                headers: &headers,
                body: body.as_bytes(),
            };
            let signed = suite(token).sign(request, at(SUITE_TIME));
            assert_eq!(signed.date, "20150830T123600Z");
            assert_eq!(signed.session_token.as_deref(), token);
            let found = signed.authorization.rsplit("Signature=").next();
            assert_eq!(found, Some(expected), "{name}: {}", signed.authorization);
        }
    }

    #[test]
    fn the_example_of_the_user_guide_is_met() {
        let mut signer = Signer {
            service: "iam".into(),
            ..suite(None)
        };
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let request = Signable {
            method: "GET",
            path: "/",
            query: "Action=ListUsers&Version=2010-05-08",
            headers: &[("host", "iam.amazonaws.com"), ("content-type", form)],
            body: b"",
        };
        assert_eq!(
            signer.sign(request, at(SUITE_TIME)).authorization,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn a_new_day_has_a_new_key() {
        let request = Signable {
            method: "POST",
            path: "/",
            query: "",
            headers: &[HOST],
            body: b"{}",
        };
        let mut kept = suite(None);
        for now in [SUITE_TIME, SUITE_TIME + 86_400, SUITE_TIME] {
            let fresh = suite(None).sign(request, at(now));
            assert_eq!(kept.sign(request, at(now)), fresh);
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_709_251_200, "20240301T000000Z"),
            (1_798_761_599, "20261231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(timestamp(at(seconds)), expected);
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let mut signer = suite(Some("token-of-a-session"));
        signer.key_of("20150830");
        let shown = format!("{signer:?}");
        assert!(shown.contains("AKIDEXAMPLE"), "{shown}");
        assert!(
            !shown.contains("wJalr") && !shown.contains("token-of"),
            "{shown}"
        );
    }
}
