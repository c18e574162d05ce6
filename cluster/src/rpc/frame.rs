//! The wire format: `u32` length, `u32` crc32c of the rest, postcard header, body.
//!
//! Numbers are little-endian. The length counts what follows the checksum. A frame that is too
//! long or fails its checksum ends the connection: after it nothing can be trusted.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use std::io;

/// Longest frame after its checksum, in bytes. Snapshots are cut into smaller pieces, and a
/// batch of log entries is kept far below it.
pub const MAX_FRAME: usize = 16 << 20;
/// Longest body in bytes: what a frame has room for beside any header.
pub const MAX_BODY: usize = MAX_FRAME - HEADER;
const PREFIX: usize = 8;
/// No encoded header is longer.
const HEADER: usize = 24;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Do this; the answer is wanted within so many milliseconds.
    Request {
        /// Time left when it was sent.
        deadline_ms: u32,
    },
    /// The answer to the request of the same id.
    Response,
}

/// Precedes every body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Pairs a response with its request; unique per connection.
    pub id: u64,
    /// Request or response.
    pub kind: Kind,
}

/// Appends one frame to `out`. Fails if it would be too long.
pub fn encode(out: &mut BytesMut, header: Header, body: &[u8]) -> io::Result<()> {
    let mut head = [0u8; HEADER];
    let head = postcard::to_slice(&header, &mut head).map_err(io::Error::other)?;
    let len = head.len() + body.len();
    if len > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("message of {len} bytes is longer than {MAX_FRAME}"),
        ));
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(head), body);
    out.reserve(PREFIX + len);
    out.put_u32_le(len as u32);
    out.put_u32_le(crc);
    out.put_slice(head);
    out.put_slice(body);
    Ok(())
}

/// Takes one whole frame from the front of `buf`, if there is one.
pub fn decode(buf: &mut BytesMut) -> io::Result<Option<(Header, Bytes)>> {
    if buf.len() < PREFIX {
        return Ok(None);
    }
    let len = u32::from_le_bytes([buf[0], buf[1], buf[2], buf[3]]) as usize;
    let crc = u32::from_le_bytes([buf[4], buf[5], buf[6], buf[7]]);
    if len > MAX_FRAME {
        return Err(invalid(format!(
            "frame of {len} bytes is longer than {MAX_FRAME}"
        )));
    }
    if buf.len() < PREFIX + len {
        buf.reserve(PREFIX + len - buf.len());
        return Ok(None);
    }
    buf.advance(PREFIX);
    let rest = buf.split_to(len).freeze();
    if crc32c::crc32c(&rest) != crc {
        return Err(invalid("frame fails its checksum".into()));
    }
    let (header, body) = postcard::take_from_bytes::<Header>(&rest)
        .map_err(|e| invalid(format!("frame header: {e}")))?;
    let body = rest.slice(rest.len() - body.len()..);
    Ok(Some((header, body)))
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        id: 7_000_000_000,
        kind: Kind::Request { deadline_ms: 1500 },
    };

    #[test]
    fn frames_survive_any_cut_of_the_stream() {
        let mut wire = BytesMut::new();
        encode(&mut wire, HEADER, b"first").unwrap();
        let second = Header {
            id: 1,
            kind: Kind::Response,
        };
        encode(&mut wire, second, b"").unwrap();
        for cut in 0..wire.len() {
            let mut buf = BytesMut::from(&wire[..cut]);
            let mut seen = Vec::new();
            while let Some(frame) = decode(&mut buf).unwrap() {
                seen.push(frame);
            }
            buf.extend_from_slice(&wire[cut..]);
            while let Some(frame) = decode(&mut buf).unwrap() {
                seen.push(frame);
            }
            assert_eq!(
                seen,
                vec![
                    (HEADER, Bytes::from_static(b"first")),
                    (second, Bytes::new())
                ]
            );
        }
    }

    #[test]
    fn a_flipped_bit_is_never_delivered() {
        let mut wire = BytesMut::new();
        encode(&mut wire, HEADER, b"precious").unwrap();
        for bit in 0..wire.len() * 8 {
            let mut bad = wire.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(decode(&mut bad), Ok(Some(_))), "bit {bit}");
        }
    }

    #[test]
    fn the_longest_body_fits_with_any_header() {
        let header = Header {
            id: u64::MAX,
            kind: Kind::Request {
                deadline_ms: u32::MAX,
            },
        };
        let body = vec![0; MAX_BODY];
        assert!(encode(&mut BytesMut::new(), header, &body).is_ok());
    }

    #[test]
    fn too_long_is_refused_on_both_sides() {
        let body = vec![0; MAX_FRAME];
        assert!(encode(&mut BytesMut::new(), HEADER, &body).is_err());
        let mut wire = BytesMut::from(&(u32::MAX).to_le_bytes()[..]);
        wire.put_u32_le(0);
        assert!(decode(&mut wire).is_err());
    }
}
