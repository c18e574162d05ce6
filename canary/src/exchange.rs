//! HTTP/1.1 as far as a canary speaks it: a signed `POST /` as bytes, and the
//! one answer to it (RFC 9112).
//!
//! Written for the pace: one write and one read of the connection for an
//! exchange that fits, no task and no allocation beside the body. What an
//! answer may be is bounded, and whatever breaks a rule of the format ends the
//! connection: where an answer ends must never be in doubt, else a later call
//! would take this one's answer for its own.

use crate::classify::Attempt;
use crate::sign::{Sign, Unsigned};
use bytes::Bytes;
use httparse::{Error, Header, ParserConfig, Response, Status};
use std::io::Write;
use std::mem::MaybeUninit;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest body of an answer, in bytes. An item has at most 400 KiB.
const MAX_BODY: usize = 1 << 20;

/// Longest head of an answer, trailers of its body as well, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// Most headers of an answer.
const MAX_HEADERS: usize = 100;

/// Longest line that tells the size of a chunk, in bytes.
const MAX_SIZE_LINE: usize = 256;

/// Room that is made for a read, in bytes.
const READ: usize = 4 << 10;

/// Largest buffer that a connection keeps from one answer to the next, in bytes.
const MAX_KEPT: usize = 64 << 10;

const CONTENT: &str = "application/x-amz-json-1.0";

/// A request of the DynamoDB JSON protocol. `host` and `target` are visible
/// ASCII: nothing in them can end a header.
pub(crate) fn post(signer: &dyn Sign, host: &str, target: &str, body: &[u8]) -> Vec<u8> {
    let signature = signer.sign(&Unsigned {
        host,
        content_type: CONTENT,
        target,
        body,
    });
    let mut out = Vec::with_capacity(512 + body.len());
    out.extend_from_slice(b"POST / HTTP/1.1\r\n");
    let mut header = |name: &str, value: &str| {
        for part in [name, ": ", value, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    };
    header("host", host);
    header("content-type", CONTENT);
    header("x-amz-target", target);
    for (name, value) in &signature {
        header(name, value);
    }
    // Writing to memory does not fail.
    let _ = write!(out, "content-length: {}\r\n\r\n", body.len());
    out.extend_from_slice(body);
    out
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    /// True if the connection can carry another call.
    pub(crate) again: bool,
}

/// Reads the answer to the one request that was written to `from`. `buffer`
/// only saves allocations: what is in it is forgotten.
///
/// # Errors
/// `Closed` if the connection ends before an answer begins, `Broken` if it ends
/// within one, `Garbled` if it is no answer that can be understood, or too long.
pub(crate) async fn answer(
    from: &mut (impl AsyncRead + Unpin + ?Sized),
    buffer: &mut Vec<u8>,
) -> Result<Answer, Attempt> {
    buffer.clear();
    let mut input = Input { from, buffer };
    let answer = input.answer().await;
    if buffer.capacity() > MAX_KEPT {
        *buffer = Vec::new();
    }
    answer
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

/// All that was read so far, and where more comes from.
struct Input<'a, R: ?Sized> {
    from: &'a mut R,
    buffer: &'a mut Vec<u8>,
}

impl<R: AsyncRead + Unpin + ?Sized> Input<'_, R> {
    async fn answer(&mut self) -> Result<Answer, Attempt> {
        let head = self.head().await?;
        let begin = head.len;
        let (body, end) = match head.framing {
            Framing::Length(n) => {
                let end = begin + n;
                while self.buffer.len() < end {
                    self.more(end - self.buffer.len()).await?;
                }
                (Bytes::copy_from_slice(&self.buffer[begin..end]), end)
            }
            Framing::Chunked => self.chunks(begin).await?,
            Framing::UntilClose => {
                while self.read(READ).await? > 0 {
                    within(self.buffer.len() - begin, MAX_BODY, "body")?;
                }
                let end = self.buffer.len();
                (Bytes::copy_from_slice(&self.buffer[begin..]), end)
            }
        };
        Ok(Answer {
            status: head.status,
            body,
            // What follows an answer that nobody asked for cannot be trusted.
            again: head.keep && self.buffer.len() == end,
        })
    }

    /// The head of the answer itself; interim ones (1xx) are passed over.
    async fn head(&mut self) -> Result<Head, Attempt> {
        let mut passed = 0;
        loop {
            match parse_head(self.buffer)? {
                Some(head) if (100..200).contains(&head.status) => {
                    if head.status == 101 {
                        return Err(garbled("101: it speaks another protocol now"));
                    }
                    passed += head.len;
                    within(passed, MAX_HEAD, "head")?;
                    self.buffer.drain(..head.len);
                }
                Some(head) => return Ok(head),
                None if passed == 0 && self.buffer.is_empty() => {
                    if self.read(READ).await? == 0 {
                        return Err(Attempt::Closed);
                    }
                }
                None => {
                    within(passed + self.buffer.len(), MAX_HEAD, "head")?;
                    self.more(READ).await?;
                }
            }
        }
    }

    /// A chunked body that begins at `at`, and where it ends.
    async fn chunks(&mut self, mut at: usize) -> Result<(Bytes, usize), Attempt> {
        let mut body = Vec::new();
        loop {
            let (line, size) = loop {
                match httparse::parse_chunk_size(&self.buffer[at..]) {
                    // The parser takes no digit at all for a zero.
                    Ok(Status::Complete(found)) if self.buffer[at].is_ascii_hexdigit() => {
                        break found;
                    }
                    Ok(Status::Partial) => {
                        within(self.buffer.len() - at, MAX_SIZE_LINE, "size of a chunk")?;
                        self.more(READ).await?;
                    }
                    Ok(Status::Complete(_)) | Err(_) => {
                        return Err(garbled("a chunk without a size"));
                    }
                }
            };
            within(line, MAX_SIZE_LINE, "size of a chunk")?;
            at += line;
            if size == 0 {
                return Ok((body.into(), self.trailers(at).await?));
            }
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            within(body.len().saturating_add(size), MAX_BODY, "body")?;
            while self.buffer.len() < at + size + 2 {
                self.more(at + size + 2 - self.buffer.len()).await?;
            }
            body.extend_from_slice(&self.buffer[at..at + size]);
            at += size;
            if &self.buffer[at..at + 2] != b"\r\n" {
                return Err(garbled("a chunk that is longer than its size"));
            }
            // What was understood is not kept: the buffer holds one chunk at most.
            self.buffer.drain(..at + 2);
            at = 0;
        }
    }

    /// Passes over the lines that begin at `at` until the empty one; returns
    /// where that ends.
    async fn trailers(&mut self, at: usize) -> Result<usize, Attempt> {
        let mut line = at;
        loop {
            match self.buffer[line..].iter().position(|b| *b == b'\n') {
                Some(n) => {
                    let text = &self.buffer[line..line + n];
                    line += n + 1;
                    within(line - at, MAX_HEAD, "trailers")?;
                    if matches!(text, b"" | b"\r") {
                        return Ok(line);
                    }
                }
                None => {
                    within(self.buffer.len() - at, MAX_HEAD, "trailers")?;
                    self.more(READ).await?;
                }
            }
        }
    }

    /// Reads something.
    async fn more(&mut self, room: usize) -> Result<(), Attempt> {
        match self.read(room).await? {
            0 => Err(Attempt::Broken(
                "connection closed before the answer was whole".into(),
            )),
            _ => Ok(()),
        }
    }

    /// Reads once, with room for this many bytes and some; 0 at the end.
    async fn read(&mut self, room: usize) -> Result<usize, Attempt> {
        self.buffer.reserve(room.max(READ));
        let read = self.from.read_buf(self.buffer).await;
        read.map_err(|e| Attempt::Broken(format!("reading the answer: {e}")))
    }
}

/// The head at the beginning of `bytes`; `None` if it is not whole yet.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, Attempt> {
    let mut headers = [const { MaybeUninit::<Header>::uninit() }; MAX_HEADERS];
    let mut response = Response::new(&mut []);
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

fn content_length(value: &[u8]) -> Result<usize, Attempt> {
    let digits = (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| digits);
    let Some(n) = number.and_then(|n| n.parse().ok()) else {
        return Err(garbled("a content-length that is no number"));
    };
    within(n, MAX_BODY, "body")?;
    Ok(n)
}

fn within(n: usize, most: usize, what: &str) -> Result<(), Attempt> {
    if n > most {
        return Err(garbled(&format!("{what} longer than {most} bytes")));
    }
    Ok(())
}

fn garbled(why: &str) -> Attempt {
    Attempt::Garbled(why.into())
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
