//! What a balancer sends before TLS.

use std::net::{Ipv4Addr, Ipv6Addr};

// The file alone: linking the listener would bring its TLS and its runtime along.
#[path = "../../common/web/src/proxy.rs"]
mod proxy;

use proxy::{HEADER_MAX, Header, read};

/// A complete header is what a reader of the specification's own layout finds; each part of it asks for more and
/// never for what follows; a refused beginning stays refused. True if a header is there.
pub fn proxy_header(bytes: &[u8]) -> bool {
    match read(bytes) {
        Ok(Header::Whole { source, length }) => {
            assert!((16..=HEADER_MAX).contains(&length) && length <= bytes.len());
            let header = &bytes[..length];
            assert_eq!(usize::from(header[14]) * 256 + usize::from(header[15]) + 16, length);
            assert!(header.starts_with(b"\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A"));
            let expected = match (header[12], header[13]) {
                (0x20, _) => None,
                (0x21, 0x11) => {
                    let source = u32::from_be_bytes(header[16..20].try_into().expect("4"));
                    Some(Ipv4Addr::from_bits(source).into())
                }
                (0x21, 0x21) => {
                    let source = u128::from_be_bytes(header[16..32].try_into().expect("16"));
                    Some(Ipv6Addr::from_bits(source).to_canonical())
                }
                other => panic!("{other:x?} is accepted"),
            };
            assert_eq!(source, expected);
            for cut in 0..length {
                let Ok(Header::Needs(more)) = read(&header[..cut]) else {
                    panic!("complete or refused after {cut} of {length}")
                };
                assert!(more > 0 && cut + more <= length, "{more} more after {cut} of {length}");
            }
            assert_eq!(read(header), read(bytes), "what follows counts");
            true
        }
        Ok(Header::Needs(more)) => {
            assert!(more > 0 && bytes.len() + more <= HEADER_MAX);
            false
        }
        Err(_) => {
            assert!(read(&[bytes, &[0; 4]].concat()).is_err(), "more bytes heal it");
            false
        }
    }
}
