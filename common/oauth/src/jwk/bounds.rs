//! What can be told of a key by comparing numbers: its length, its field, and the points that are none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{InvalidKey, Public};

/// 65537, the only exponent: as `e` must be written.
pub(super) const EXPONENT: &str = "AQAB";
/// Longest `n`: 512 bytes.
const MODULUS_MAX: usize = 683;

/// The prime of P-256's field: 2^256 − 2^224 + 2^192 + 2^96 − 1 (FIPS 186-4 §D.1.2.3).
pub(super) const P256: [u8; 32] =
    *b"\xff\xff\xff\xff\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
/// The prime of P-384's field: 2^384 − 2^128 − 2^96 + 2^32 − 1 (FIPS 186-4 §D.1.2.4).
pub(super) const P384: [u8; 48] =
    *b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
       \xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff\xff\0\0\0\0\0\0\0\0\xff\xff\xff\xff";

/// Every coordinate within the field. Arrays of one length compare as big-endian numbers do.
pub(super) fn point(coordinates: &[&[u8]], prime: &[u8]) -> Result<(), InvalidKey> {
    if coordinates.iter().all(|coordinate| *coordinate < prime) {
        return Ok(());
    }
    Err(InvalidKey::Point)
}

/// 2048 to 4096 bits: below is weak, above costs the verifier (W83). A modulus is odd, and has no "extra
/// zero-valued octet at the beginning" (RFC 7518 §6.3.1.1).
pub(super) fn rsa(n: &str, e: &str) -> Result<Public, InvalidKey> {
    if n.len() > MODULUS_MAX || e != EXPONENT {
        return Err(InvalidKey::Rsa);
    }
    let n = URL_SAFE_NO_PAD.decode(n).map_err(|_| InvalidKey::Rsa)?;
    let bits = n.first().map_or(0, |byte| n.len() * 8 - byte.leading_zeros() as usize);
    let odd = n.last().is_some_and(|byte| byte & 1 == 1);
    let leading = n.first() == Some(&0);
    if leading || !odd || !(2048..=4096).contains(&bits) {
        return Err(InvalidKey::Rsa);
    }
    Ok(Public::Rsa { n })
}

/// y of the points whose order divides eight, little-endian without the sign of x, and the two spellings
/// beyond the field that decoders take for 0 and 1. With such a key one signature would verify for any text.
const SMALL_ORDER: [[u8; 32]; 7] = [
    spelt(0x00, 0x00, 0x00),
    spelt(0x01, 0x00, 0x00),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    spelt(0xec, 0xff, 0x7f),
    spelt(0xed, 0xff, 0x7f),
    spelt(0xee, 0xff, 0x7f),
];

/// Thirty-two bytes by their first, their last, and all between.
const fn spelt(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let m = middle;
    [
        first, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m,
        m, m, last,
    ]
}

pub(super) fn ed25519(x: &[u8; 32]) -> Result<(), InvalidKey> {
    let mut y = *x;
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    if SMALL_ORDER.contains(&y) { Err(InvalidKey::Point) } else { Ok(()) }
}
