//! Public keys out of a token's attributes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use wire::{Jwk, JwkError, thumbprint};

type Read = fn(&[u8]) -> Result<Jwk, JwkError>;

/// The bytes are tried as `CKA_EC_POINT` of every curve, and as `CKA_MODULUS` with the usual exponent. What
/// becomes a key says the same bytes in JSON, and its thumbprint is the one of RFC 7638.
pub fn jwk(bytes: &[u8]) -> bool {
    let mut point = false;
    for (read, curve, length) in [
        (Jwk::from_p256_point as Read, "P-256", 65),
        (Jwk::from_p384_point, "P-384", 97),
        (Jwk::from_ed25519_point, "Ed25519", 32),
    ] {
        let Ok(key) = read(bytes) else { continue };
        point = true;
        let bare = if bytes.len() == length { bytes } else { &bytes[2..] };
        if curve == "Ed25519" {
            let json = published(&key, "OKP");
            assert_eq!((&json["crv"], number(&json, "x").as_slice()), (&curve.into(), bare));
        } else {
            let [0x04, coordinates @ ..] = bare else { panic!("a compressed point was accepted") };
            let json = published(&key, "EC");
            assert_eq!(json["crv"], curve);
            assert_eq!([number(&json, "x"), number(&json, "y")].concat(), coordinates);
        }
        let wrapped = [&[0x04, bare.len().try_into().unwrap_or(0)], bare].concat();
        assert_eq!(read(&wrapped).as_ref(), Ok(&key), "bare or wrapped");
        assert_eq!(read(bare).as_ref(), Ok(&key), "bare or wrapped");
        assert!(read(&bytes[1..]).is_err());
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
    point || rsa.is_ok()
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
