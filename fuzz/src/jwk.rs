//! Public keys out of a token's attributes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use wire::{Jwk, thumbprint};

/// The bytes are tried as `CKA_EC_POINT`, and as `CKA_MODULUS` with the usual exponent. What becomes a key
/// says the same bytes in JSON, and its thumbprint is the one of RFC 7638.
pub fn jwk(bytes: &[u8]) -> bool {
    let point = Jwk::from_p256_point(bytes);
    if let Ok(key) = &point {
        let bare = if bytes.len() == 67 { &bytes[2..] } else { bytes };
        let [0x04, coordinates @ ..] = bare else { panic!("a compressed point was accepted") };
        let json = published(key, "EC");
        assert_eq!(json["crv"], "P-256");
        assert_eq!([number(&json, "x"), number(&json, "y")].concat(), coordinates);
        let wrapped = [&[0x04, 0x41], bare].concat();
        assert_eq!(Jwk::from_p256_point(&wrapped), point, "bare or wrapped");
        assert_eq!(Jwk::from_p256_point(bare), point, "bare or wrapped");
        assert!(Jwk::from_p256_point(&bytes[1..]).is_err());
    }
    let rsa = Jwk::from_rsa(bytes, &[0, 1, 0, 1]);
    let modulus: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    let bits = modulus.first().map_or(0, |b| modulus.len() * 8 - b.leading_zeros() as usize);
    assert_eq!(rsa.is_ok(), (2048..=4096).contains(&bits), "{bits} bits");
    if let Ok(key) = &rsa {
        let json = published(key, "RSA");
        assert_eq!((number(&json, "n"), number(&json, "e")), (modulus, vec![1, 0, 1]));
        for exponent in [&[1][..], &[3], &[1, 0, 0], &[1, 0, 1, 0], &[]] {
            assert!(Jwk::from_rsa(bytes, exponent).is_err(), "exponent {exponent:?}");
        }
    }
    point.is_ok() || rsa.is_ok()
}

fn published(key: &Jwk, kind: &str) -> Value {
    let text = key.canonical_json();
    let json: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["kty"], kind);
    // `Value` keeps members sorted, so writing it is RFC 7638's form: ordered, without white space.
    assert_eq!(json.to_string(), text);
    assert_eq!(thumbprint(key).to_vec(), Sha256::digest(&text).to_vec());
    json
}

fn number(json: &Value, name: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(json[name].as_str().expect("a text")).expect("base64url")
}
