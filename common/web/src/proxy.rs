//! The binary header of the PROXY protocol, version 2: who is behind the proxy that connected.
//!
//! Strict, and only what can be meant for us: a TCP connection over IPv4 or IPv6, or the proxy itself. The text
//! form of version 1 is not read. No crate of ours is named here: the fuzz targets read this file too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A longer header is refused, in bytes: the fixed part and what one TCP segment is sure to carry.
pub(crate) const HEADER_MAX: usize = 536;
/// Up to and including the length of the rest, in bytes.
const FIXED: usize = 16;
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// What is known from the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// So many more bytes, at least one, belong to the header for sure.
    Needs(usize),
    /// Complete.
    Whole {
        /// Who connected to the proxy; `None`: the proxy connects for itself, to see whether we live.
        source: Option<IpAddr>,
        /// Its bytes; what follows is the connection's.
        length: usize,
    },
}

/// Why the bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// They do not begin as one does.
    Signature,
    /// Not version 2, or not a command that it has.
    Command,
    /// Longer than a header may be here.
    Long,
    /// Not TCP over IPv4 or IPv6.
    Family,
    /// Too short for its addresses, or its TLVs do not end where it does.
    Shape,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Signature => "no PROXY header of version 2",
            Self::Command => "a PROXY command that does not exist",
            Self::Long => "the PROXY header is too long",
            Self::Family => "the PROXY header is not about TCP over IPv4 or IPv6",
            Self::Shape => "the PROXY header has the wrong length inside",
        })
    }
}

/// Reads the header at the beginning of `bytes`. Refuses as soon as no continuation could be right.
pub(crate) fn read(bytes: &[u8]) -> Result<Header, Malformed> {
    let begins = bytes.iter().zip(SIGNATURE).all(|(byte, expected)| *byte == expected);
    if !begins {
        return Err(Malformed::Signature);
    }
    // "The highest four bits contains the version. As of this specification, it must always be sent as \x2".
    let local = match bytes.get(12) {
        Some(0x20) => true,
        None | Some(0x21) => false,
        Some(_) => return Err(Malformed::Command),
    };
    let Some(fixed) = bytes.first_chunk::<FIXED>() else {
        return Ok(Header::Needs(FIXED - bytes.len()));
    };
    let [.., family, high, low] = *fixed;
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > HEADER_MAX {
        return Err(Malformed::Long);
    }
    // "The receiver must accept this connection as valid and must use the real connection endpoints and discard
    // the protocol block including the family which is ignored."
    if !local && !matches!(family, TCP4 | TCP6) {
        return Err(Malformed::Family);
    }
    let Some(rest) = bytes.get(FIXED..length) else {
        return Ok(Header::Needs(length - bytes.len()));
    };
    let source = if local { None } else { Some(source(family, rest)?) };
    Ok(Header::Whole { source, length })
}

/// Family in the upper four bits, transport in the lower.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// Source, destination, and a port of each, in bytes.
const ADDRESSES_4: usize = 12;
const ADDRESSES_6: usize = 36;

fn source(family: u8, rest: &[u8]) -> Result<IpAddr, Malformed> {
    let (address, after) = if family == TCP4 {
        let source = rest.first_chunk::<4>().map(|bytes| IpAddr::V4(Ipv4Addr::from(*bytes)));
        (source, ADDRESSES_4)
    } else {
        let source = rest.first_chunk::<16>().map(|bytes| IpAddr::V6(Ipv6Addr::from(*bytes)));
        (source, ADDRESSES_6)
    };
    let (Some(address), Some(extensions)) = (address, rest.get(after..)) else {
        return Err(Malformed::Shape);
    };
    if !are_extensions(extensions) {
        return Err(Malformed::Shape);
    }
    Ok(address.to_canonical())
}

/// Whether these are type, length, value and nothing else. None of them is needed, so what they say is not read.
fn are_extensions(mut bytes: &[u8]) -> bool {
    while let [_, high, low, rest @ ..] = bytes {
        match rest.get(usize::from(u16::from_be_bytes([*high, *low]))..) {
            Some(next) => bytes = next,
            None => return false,
        }
    }
    bytes.is_empty()
}
