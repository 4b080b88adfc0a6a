//! What arrives on keyd's sockets, and what its clients hear.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::{Decoder, FRAME_MAX, HEADER_LEN, REPLY_MAX, Reply, Request, VERSION, encode};

/// The bytes are read as a stream of requests and as one of replies.
pub fn keyd_frame(bytes: &[u8]) -> bool {
    let request = stream::<Request>(bytes, FRAME_MAX);
    let reply = stream::<Reply>(bytes, REPLY_MAX);
    request || reply
}

/// Whatever decodes was announced by its header, is incomplete without its last byte, and encodes to a
/// frame that decodes to the same. True if one frame did.
pub(crate) fn stream<T>(mut bytes: &[u8], limit: usize) -> bool
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let decoder = Decoder::new(limit);
    let mut any = false;
    loop {
        let announced = bytes.first_chunk::<4>().map(|field| u32::from_le_bytes(*field) as usize);
        let (id, message, used) = match decoder.next::<T>(bytes) {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                // More is waited for only within the limit, and only while it is missing.
                let waits = announced.is_none_or(|n| n <= limit && bytes.len() < n + 4);
                assert!(waits, "waits for more than {announced:?}");
                return any;
            }
            Err(_) => {
                assert!(decoder.next::<T>(&[bytes, &[0]].concat()).is_err(), "more bytes heal it");
                return any;
            }
        };
        any = true;
        assert_eq!(Some(used), announced.map(|length| length + 4));
        assert!(used <= limit + 4 && used <= bytes.len() && used > HEADER_LEN);
        assert_eq!(bytes[4], VERSION);
        assert_eq!(decoder.next::<T>(&bytes[..used - 1]), Ok(None), "complete before its end");

        let written = encode(id, &message, limit).expect("what arrived fits when it is sent");
        assert!(written.len() <= used, "grows from {used} to {}", written.len());
        assert_eq!(decoder.next::<T>(&written), Ok(Some((id, message, written.len()))));
        bytes = &bytes[used..];
    }
}
