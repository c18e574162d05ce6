//! What authenticates a request.

use std::borrow::Cow;
use std::fmt::Debug;

/// A request as far as a signature covers it: `POST /` with these headers and body.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned<'a> {
    /// `host`.
    pub host: &'a str,
    /// `content-type`.
    pub content_type: &'a str,
    /// `x-amz-target`.
    pub target: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// A header: its name in lower case, and its value without line breaks.
pub type Header = (&'static str, Cow<'static, str>);

/// Signs requests, each once, right before it is sent.
pub trait Sign: Debug + Send + Sync {
    /// The headers that authenticate `request`, to be sent beside those named there.
    fn sign(&self, request: &Unsigned<'_>) -> Vec<Header>;
}

/// A dummy of the right shape (AWS Signature Version 4): servers for tests check
/// no more, and signing would cost more than the rest of the request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dummy;

const DATE: &str = "20260101T000000Z";
const CREDENTIAL: &str = concat!(
    "AWS4-HMAC-SHA256 Credential=gameday/20260101/us-east-1/dynamodb/aws4_request, ",
    "SignedHeaders=host;x-amz-date;x-amz-target, ",
    "Signature=0000000000000000000000000000000000000000000000000000000000000000"
);

impl Sign for Dummy {
    fn sign(&self, _: &Unsigned<'_>) -> Vec<Header> {
        vec![
            ("x-amz-date", DATE.into()),
            ("authorization", CREDENTIAL.into()),
        ]
    }
}
