//! What is done to signatures.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The order of P-256's group, of P-384's, and (little-endian) of Ed25519's.
const N256: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const N384: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";
const L: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|two| u8::try_from(two[0] * 16 + two[1]).unwrap()).collect()
}

/// Changes to its bytes; others leave them alone.
pub(super) fn bytes(change: &str, signature: &mut Vec<u8>) {
    let length = signature.len();
    match change {
        "truncated" => signature.truncate(length - 1),
        "halved" => signature.truncate(length / 2),
        "extended" => signature.push(0),
        "prefixed" => signature.insert(0, 0),
        "first bit flipped" => signature[0] ^= 0x80,
        "last bit flipped" => signature[length - 1] ^= 1,
        "empty" => signature.clear(),
        "zeros" => signature.fill(0),
        "one" => {
            signature.fill(0);
            signature[length - 1] = 1;
        }
        "s + order" => {
            let mut carry = 0;
            for (byte, order) in signature[32..].iter_mut().zip(hex(L)) {
                let [high, low] = (u16::from(*byte) + u16::from(order) + carry).to_be_bytes();
                (carry, *byte) = (u16::from(high), low);
            }
        }
        _ => halves(change, signature),
    }
}

fn halves(change: &str, signature: &mut Vec<u8>) {
    let size = signature.len() / 2;
    let (r, s) = (signature[..size].to_vec(), signature[size..].to_vec());
    let order = || hex(if size == 32 { N256 } else { N384 });
    let small = |value: u8| [vec![0; size - 1], vec![value]].concat();
    let below = || {
        let mut below = order();
        below[size - 1] -= 1;
        below
    };
    let resized = |half: &[u8], to: usize| {
        let padded = [vec![0; 48], half.to_vec()].concat();
        padded[padded.len() - to..].to_vec()
    };
    let identity = || [vec![1], vec![0; 31]].concat();
    let (r, s) = match change {
        "r=0, s=0" => (small(0), small(0)),
        "r=0" => (small(0), s),
        "s=0" => (r, small(0)),
        "r=n" => (order(), s),
        "s=n" => (r, order()),
        "r=n, s=n" => (order(), order()),
        "r=1, s=1" => (small(1), small(1)),
        "r=n-1, s=1" => (below(), small(1)),
        "r=0, s=1" => (small(0), small(1)),
        "r=1, s=0" => (small(1), small(0)),
        "halves swapped" => (s, r),
        "a zero before each half" => (resized(&r, size + 1), resized(&s, size + 1)),
        "halves of 48 bytes" => (resized(&r, 48), resized(&s, 48)),
        "halves of 32 bytes" => (resized(&r, 32), resized(&s, 32)),
        "identity, s=0" => (identity(), small(0)),
        "identity, s kept" => (identity(), s),
        "DER" => (der(&r, &s, false), Vec::new()),
        "DER with long lengths" => (der(&r, &s, true), Vec::new()),
        ""
        | "no kid"
        | "other claims"
        | "other header"
        | "signature of another token"
        | "padded"
        | "standard alphabet"
        | "space after"
        | "newline after"
        | "unused bits set" => (r, s),
        other => panic!("{other}"),
    };
    *signature = [r, s].concat();
}

/// Changes to its spelling. `None`: nothing to change in this one.
pub(super) fn text(change: &str, signature: &[u8]) -> Option<String> {
    let text = URL_SAFE_NO_PAD.encode(signature);
    Some(match change {
        "padded" => format!("{text}="),
        "space after" => format!("{text} "),
        "newline after" => format!("{text}\n"),
        "standard alphabet" => {
            Some(STANDARD_NO_PAD.encode(signature)).filter(|other| *other != text)?
        }
        // Two characters for the last byte: four bits of the second are nothing. `A`, `Q`, `g` or `w`.
        "unused bits set" => {
            assert_eq!(signature.len() % 3, 1);
            let last = char::from(text.as_bytes()[text.len() - 1] + 1);
            format!("{}{last}", &text[..text.len() - 1])
        }
        _ => text,
    })
}

/// Ecdsa-Sig-Value (RFC 3279 §2.2.3).
fn der(r: &[u8], s: &[u8], long: bool) -> Vec<u8> {
    let field = |tag: u8, content: Vec<u8>| {
        let length = u8::try_from(content.len()).unwrap();
        let head = if long { vec![tag, 0x81, length] } else { vec![tag, length] };
        [head, content].concat()
    };
    let integer = |half: &[u8]| {
        let mut bytes: Vec<_> = half.iter().copied().skip_while(|byte| *byte == 0).collect();
        if bytes[0] & 0x80 != 0 {
            bytes.insert(0, 0);
        }
        field(2, bytes)
    };
    field(0x30, [integer(r), integer(s)].concat())
}
