//! A request's body: read within bounds, and unpacked.

use super::memory::Share;
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use std::io::Read;

/// Why there is no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// More than is allowed, packed or unpacked.
    TooLarge,
    /// All requests together take too much memory.
    Full,
    /// Its framing or its packing is wrong, or the connection broke.
    Malformed,
    /// It is packed in a way that is not understood.
    Encoding(String),
}

/// Reads all of a body, of at most `limit` bytes.
pub(super) async fn read<B>(
    mut body: B,
    limit: usize,
    share: &mut Share,
) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    // Nearly all bodies come in one piece, which need not be copied.
    let mut only = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Malformed)?.into_data() else {
            continue;
        };
        if only.len() + joined.len() + data.len() > limit {
            return Err(BodyError::TooLarge);
        }
        share.grow(data.len()).map_err(|_| BodyError::Full)?;
        if only.is_empty() && joined.is_empty() {
            only = data;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut only));
            joined.extend_from_slice(&data);
        }
    }
    Ok(if joined.is_empty() {
        only
    } else {
        joined.freeze()
    })
}

/// Unpacks a body as its headers say, to at most `limit` bytes.
pub(super) fn unpack(
    headers: &HeaderMap,
    body: Bytes,
    limit: usize,
    share: &mut Share,
) -> Result<Bytes, BodyError> {
    let Some(encoding) = headers.get(CONTENT_ENCODING) else {
        return Ok(body);
    };
    let encoding = encoding.to_str().unwrap_or("").trim().to_ascii_lowercase();
    match encoding.as_str() {
        "" | "identity" => return Ok(body),
        "gzip" | "x-gzip" => {}
        _ => return Err(BodyError::Encoding(encoding)),
    }
    let mut reader = MultiGzDecoder::new(&body[..]);
    let mut out = BytesMut::new();
    let mut piece = vec![0; 32 << 10];
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok(out.freeze()),
            Ok(count) if out.len() + count > limit => return Err(BodyError::TooLarge),
            Ok(count) => {
                share.grow(count).map_err(|_| BodyError::Full)?;
                out.extend_from_slice(&piece[..count]);
            }
            Err(_) => return Err(BodyError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use hyper::header::HeaderValue;
    use std::io::Write;

    fn packed(data: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap().into()
    }

    fn unpacked(encoding: &'static str, body: &[u8]) -> Result<Bytes, BodyError> {
        let headers = [(CONTENT_ENCODING, HeaderValue::from_static(encoding))];
        let headers = headers.into_iter().collect();
        let mut share = Memory::of(1 << 20).share();
        unpack(&headers, Bytes::copy_from_slice(body), 100_000, &mut share)
    }

    #[test]
    fn what_is_packed_is_unpacked_within_bounds() {
        assert_eq!(unpacked("GZIP", &packed(b"{}")).unwrap(), "{}");
        assert_eq!(unpacked("identity", b"{}").unwrap(), "{}");
        assert_eq!(
            unpacked("gzip", &packed(&[b' '; 100_000])).unwrap().len(),
            100_000
        );
        // A bomb: it is not unpacked further than allowed.
        let bomb = packed(&vec![0; 10 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(unpacked("gzip", &bomb), Err(BodyError::TooLarge));
        assert_eq!(unpacked("gzip", b"{}"), Err(BodyError::Malformed));
        let whole = packed(b"{}");
        assert_eq!(
            unpacked("gzip", &whole[..whole.len() - 3]),
            Err(BodyError::Malformed)
        );
        assert_eq!(unpacked("br", b"{}"), Err(BodyError::Encoding("br".into())));
        let mut little = Memory::of(1000).share();
        let headers = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        assert_eq!(
            unpack(
                &headers.into_iter().collect(),
                packed(&[0; 50_000]),
                100_000,
                &mut little
            ),
            Err(BodyError::Full)
        );
    }
}
