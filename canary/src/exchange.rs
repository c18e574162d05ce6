//! HTTP/1.1 as far as a canary speaks it: a request as bytes, and the one answer
//! to it from bytes (RFC 9112).
//!
//! Written for the pace: no task, and no copy of a body that came in one piece.
//! What an answer may be is bounded, and whatever breaks a rule of the format ends
//! the connection: where an answer ends must never be in doubt, else a later call
//! would take this one's answer for its own.

use crate::service::{Answer, Stop};
use httparse::{Error, Header, ParserConfig, Status};
use std::borrow::Cow;
use std::io::Write;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Longest body of an answer, in bytes. An item has at most 400 KiB.
const MAX_BODY: usize = 1 << 20;

/// Longest head of an answer, trailers of its body as well, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// Most headers of an answer.
const MAX_HEADERS: usize = 100;

/// Longest line that tells the size of a chunk, in bytes.
const MAX_SIZE_LINE: usize = 256;

/// Most chunks of a body: they are looked at again whenever something comes.
const MAX_CHUNKS: usize = 4096;

/// A request. Nothing in `head` (method and path) and `headers` ends a line.
pub(crate) fn request<'a>(
    head: &str,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    body: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + body.len());
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in headers {
        for part in [name, ": ", value, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    // Nothing is said of a body that a request of this kind never has (RFC 9110, 8.6).
    if !(body.is_empty() && head.starts_with("GET ")) {
        // Writing to memory does not fail.
        let _ = write!(out, "content-length: {}\r\n", body.len());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response<'a> {
    pub(crate) status: u16,
    pub(crate) body: Cow<'a, [u8]>,
}

/// The answer at the beginning of `bytes`, all that came so far; `closed` if nothing
/// more will come.
pub(crate) fn answer(bytes: &[u8], closed: bool) -> Answer<Response<'_>> {
    match whole(bytes, closed) {
        Ok((what, used, keep)) => Answer::Done { what, used, keep },
        Err(stop) => stop.into(),
    }
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    /// Bytes of it.
    len: usize,
    status: u16,
    framing: Framing,
    keep: bool,
}

/// The answer, the bytes of it and whether the connection can carry another one.
fn whole(bytes: &[u8], closed: bool) -> Result<(Response<'_>, usize, bool), Stop> {
    let (head, begin) = final_head(bytes)?;
    let (body, end) = match head.framing {
        Framing::Length(n) => {
            let end = begin + n;
            if bytes.len() < end {
                return Err(Stop::Partial(end - bytes.len()));
            }
            (Cow::Borrowed(&bytes[begin..end]), end)
        }
        Framing::Chunked => chunks(bytes, begin)?,
        Framing::UntilClose => {
            within(bytes.len() - begin, MAX_BODY, "body")?;
            if !closed {
                return Err(Stop::Partial(1));
            }
            (Cow::Borrowed(&bytes[begin..]), bytes.len())
        }
    };
    let status = head.status;
    Ok((Response { status, body }, end, head.keep))
}

/// The head of the answer itself, and where it ends; interim ones (1xx) are passed over.
fn final_head(bytes: &[u8]) -> Result<(Head, usize), Stop> {
    let mut passed = 0;
    loop {
        let Some(head) = parse_head(&bytes[passed..])? else {
            within(bytes.len(), MAX_HEAD, "head")?;
            return Err(Stop::Partial(1));
        };
        if head.status == 101 {
            return Err(garbled("101: it speaks another protocol now"));
        }
        passed += head.len;
        if !(100..200).contains(&head.status) {
            return Ok((head, passed));
        }
        within(passed, MAX_HEAD, "head")?;
    }
}

/// A chunked body that begins at `at`, and where it ends.
fn chunks(bytes: &[u8], mut at: usize) -> Result<(Cow<'_, [u8]>, usize), Stop> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    let mut length = 0_usize;
    loop {
        let rest = &bytes[at..];
        let (line, size) = match httparse::parse_chunk_size(rest) {
            // The parser takes no digit at all for a zero.
            Ok(Status::Complete(found)) if rest[0].is_ascii_hexdigit() => found,
            Ok(Status::Partial) => {
                within(rest.len(), MAX_SIZE_LINE, "size of a chunk")?;
                return Err(Stop::Partial(1));
            }
            Ok(Status::Complete(_)) | Err(_) => return Err(garbled("a chunk without a size")),
        };
        within(line, MAX_SIZE_LINE, "size of a chunk")?;
        at += line;
        if size == 0 {
            let end = trailers(bytes, at)?;
            let body = match &parts[..] {
                [one] => Cow::Borrowed(&bytes[one.clone()]),
                parts => Cow::Owned(
                    parts
                        .iter()
                        .flat_map(|p| &bytes[p.clone()])
                        .copied()
                        .collect(),
                ),
            };
            return Ok((body, end));
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        length = length.saturating_add(size);
        within(length, MAX_BODY, "body")?;
        if parts.len() >= MAX_CHUNKS {
            return Err(garbled(&format!("more than {MAX_CHUNKS} chunks")));
        }
        let end = at + size;
        if bytes.len() < end + 2 {
            return Err(Stop::Partial(end + 2 - bytes.len()));
        }
        if &bytes[end..end + 2] != b"\r\n" {
            return Err(garbled("a chunk that is longer than its size"));
        }
        parts.push(at..end);
        at = end + 2;
    }
}

/// Passes over the lines that begin at `at` until the empty one; returns where
/// that ends.
fn trailers(bytes: &[u8], at: usize) -> Result<usize, Stop> {
    let mut line = at;
    loop {
        let Some(n) = bytes[line..].iter().position(|b| *b == b'\n') else {
            within(bytes.len() - at, MAX_HEAD, "trailers")?;
            return Err(Stop::Partial(1));
        };
        let text = &bytes[line..line + n];
        line += n + 1;
        within(line - at, MAX_HEAD, "trailers")?;
        if matches!(text, b"" | b"\r") {
            return Ok(line);
        }
    }
}

/// The head at the beginning of `bytes`; `None` if it is not whole yet.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, Stop> {
    let mut headers = [const { MaybeUninit::<Header>::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        &mut headers,
    );
    let len = match parsed {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Ok(None),
        Err(Error::TooManyHeaders) => {
            return Err(garbled(&format!("more than {MAX_HEADERS} headers")));
        }
        Err(e) => return Err(garbled(&format!("no HTTP answer: {e}"))),
    };
    within(len, MAX_HEAD, "head")?;
    let status = response.code.unwrap_or(0);
    let mut length = None;
    let mut encoded = false;
    let mut keep = response.version == Some(1);
    for header in response.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let n = content_length(header.value)?;
            if length.replace(n).is_some_and(|before| before != n) {
                return Err(garbled("two lengths of one body"));
            }
        } else if is("transfer-encoding") {
            if encoded || !header.value.eq_ignore_ascii_case(b"chunked") {
                return Err(garbled("a transfer encoding other than chunked"));
            }
            encoded = true;
        } else if is("connection") {
            let mut options = header.value.split(|b| *b == b',');
            keep &= !options.any(|o| o.trim_ascii().eq_ignore_ascii_case(b"close"));
        }
    }
    let framing = match (encoded, length) {
        // None has a body, whatever its headers say.
        _ if matches!(status, 100..200 | 204 | 304) => Framing::Length(0),
        // Whom to believe? That is how requests are smuggled.
        (true, Some(_)) => return Err(garbled("a length and a transfer encoding")),
        (true, None) => Framing::Chunked,
        (false, Some(n)) => Framing::Length(n),
        (false, None) => Framing::UntilClose,
    };
    Ok(Some(Head {
        len,
        status,
        framing,
        keep: keep && framing != Framing::UntilClose,
    }))
}

fn content_length(value: &[u8]) -> Result<usize, Stop> {
    let digits = (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| digits);
    let Some(n) = number.and_then(|n| n.parse().ok()) else {
        return Err(garbled("a content-length that is no number"));
    };
    within(n, MAX_BODY, "body")?;
    Ok(n)
}

fn within(n: usize, most: usize, what: &str) -> Result<(), Stop> {
    if n > most {
        return Err(garbled(&format!("{what} longer than {most} bytes")));
    }
    Ok(())
}

fn garbled(why: &str) -> Stop {
    Stop::Garbled(why.into())
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
