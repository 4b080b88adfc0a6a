//! Length-prefixed, versioned, bounded frames.
//!
//! ```text
//! u32 LE  length of what follows (9 ..= limit)
//! u8      version
//! u64 LE  request id, chosen by the client, echoed in the reply
//! …       one message in postcard encoding, nothing after it
//! ```

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The only version there is.
pub const VERSION: u8 = 1;
/// Bytes before the message: length, version, id.
pub const HEADER_LEN: usize = 4 + 1 + 8;
/// Most bytes of one request after the length field. Bounds the claims of one token, and a `Load` of about 40 keys.
pub const FRAME_MAX: usize = 32 * 1024;
/// Most bytes of one reply after the length field. Bounds the keys that keyd can list: those of every issuer.
pub const REPLY_MAX: usize = 1024 * 1024;

/// Why bytes are no frame. Every one of them closes the connection it arrived on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// Longer than the limit; refused before anything is allocated.
    TooLong,
    /// Shorter than a version and an id.
    TooShort,
    /// A version that this program does not speak.
    Version,
    /// No message, or bytes after it.
    Message,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "frame longer than the limit",
            Self::TooShort => "frame too short",
            Self::Version => "unknown frame version",
            Self::Message => "malformed message",
        })
    }
}

impl std::error::Error for FrameError {}

/// Encodes one message. `TooLong` when it would exceed `limit` ([`FRAME_MAX`] or [`REPLY_MAX`]).
pub fn encode<T: Serialize>(id: u64, message: &T, limit: usize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; HEADER_LEN];
    bytes = postcard::to_extend(message, bytes).map_err(|_| FrameError::Message)?;
    let length = bytes.len() - 4;
    if length > limit {
        return Err(FrameError::TooLong);
    }
    let length = u32::try_from(length).map_err(|_| FrameError::TooLong)?;
    let mut header = [0; HEADER_LEN];
    let (length_field, rest) = header.split_at_mut(4);
    length_field.copy_from_slice(&length.to_le_bytes());
    let (version, id_field) = rest.split_at_mut(1);
    version.copy_from_slice(&[VERSION]);
    id_field.copy_from_slice(&id.to_le_bytes());
    if let Some(start) = bytes.get_mut(..HEADER_LEN) {
        start.copy_from_slice(&header);
    }
    Ok(bytes)
}

/// Takes frames off a growing buffer.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    limit: usize,
}

impl Decoder {
    /// `limit`: most bytes after the length field.
    pub const fn new(limit: usize) -> Self {
        Self { limit }
    }

    /// The first frame in `buffer`, if it is complete: its id, its message and how many bytes it took.
    /// The length is judged as soon as four bytes are there, before the rest has arrived.
    pub fn next<T: DeserializeOwned>(
        self,
        buffer: &[u8],
    ) -> Result<Option<(u64, T, usize)>, FrameError> {
        let Some((length, rest)) = buffer.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > self.limit {
            return Err(FrameError::TooLong);
        }
        if length < HEADER_LEN - 4 {
            return Err(FrameError::TooShort);
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let Some(([VERSION], frame)) = frame.split_first_chunk::<1>() else {
            return Err(FrameError::Version);
        };
        let Some((id, body)) = frame.split_first_chunk::<8>() else {
            return Err(FrameError::TooShort);
        };
        let (message, trailing) =
            postcard::take_from_bytes(body).map_err(|_| FrameError::Message)?;
        if !trailing.is_empty() {
            return Err(FrameError::Message);
        }
        Ok(Some((u64::from_le_bytes(*id), message, 4 + length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeriveLabel, Request};

    const DECODER: Decoder = Decoder::new(FRAME_MAX);

    #[test]
    fn a_frame_comes_back_whole_however_it_is_cut() {
        let bytes = encode(7, &Request::Derive(DeriveLabel::Csrf), FRAME_MAX).unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(DECODER.next::<Request>(&bytes[..cut]), Ok(None));
        }
        let (id, request, used) = DECODER.next::<Request>(&bytes).unwrap().unwrap();
        assert_eq!((id, request, used), (7, Request::Derive(DeriveLabel::Csrf), bytes.len()));
    }

    #[test]
    fn w171_lengths_are_judged_before_anything_is_read() {
        assert_eq!(DECODER.next::<Request>(&u32::MAX.to_le_bytes()), Err(FrameError::TooLong));
        assert_eq!(DECODER.next::<Request>(&0_u32.to_le_bytes()), Err(FrameError::TooShort));
        assert_eq!(DECODER.next::<Request>(&8_u32.to_le_bytes()), Err(FrameError::TooShort));
    }

    #[test]
    fn w171_trailing_bytes_and_other_versions_are_refused() {
        let mut bytes = encode(1, &Request::Health, FRAME_MAX).unwrap();
        bytes[4] = 2;
        assert_eq!(DECODER.next::<Request>(&bytes), Err(FrameError::Version));
        bytes[4] = VERSION;
        bytes.push(0);
        bytes[0] += 1;
        assert_eq!(DECODER.next::<Request>(&bytes), Err(FrameError::Message));
    }
}
