//! The shape of a compact JWS, and the check that a signature is what the token was asked for.

use std::borrow::Cow;

use aws_lc_rs::digest::{self, SHA256, SHA384};
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wire::{Algorithm, Jwk, Kid};

/// DER of `DigestInfo { algorithm: sha256, digest: <32 bytes that follow> }` (RFC 8017 §9.2 note 1).
const DIGEST_INFO_SHA256: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// Header and payload as RFC 7515 §7.1 joins them: what is signed, and what the JWS starts with.
/// The header has exactly three members and none of them comes from a caller.
pub fn signing_input(algorithm: Algorithm, kid: Kid, typ: &str, claims: &[u8]) -> String {
    let header = format!(r#"{{"alg":"{}","kid":"{kid}","typ":"{typ}"}}"#, algorithm.name());
    let mut input = String::with_capacity(128 + claims.len() * 4 / 3);
    URL_SAFE_NO_PAD.encode_string(header, &mut input);
    input.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut input);
    input
}

/// Appends the signature.
pub fn compact(mut input: String, signature: &[u8]) -> String {
    input.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut input);
    input
}

/// What the token is given to sign. keyd hashes by itself: `CKM_ECDSA` and `CKM_RSA_PKCS` take whatever
/// bytes they are handed, of any length. Only Ed25519 wants the whole message, because it hashes twice
/// (RFC 8032 §5.1.6); it never is anything else than a [`signing_input`] or a seal.
pub fn to_be_signed(algorithm: Algorithm, message: &[u8]) -> Cow<'_, [u8]> {
    let sha256 = || digest::digest(&SHA256, message);
    match algorithm {
        Algorithm::Es256 | Algorithm::Ps256 => sha256().as_ref().to_vec().into(),
        Algorithm::Rs256 => [DIGEST_INFO_SHA256.as_slice(), sha256().as_ref()].concat().into(),
        Algorithm::Es384 => digest::digest(&SHA384, message).as_ref().to_vec().into(),
        Algorithm::EdDsa => message.into(),
    }
}

/// A public key made ready to check signatures.
pub struct Verifier(ParsedPublicKey);

impl Verifier {
    /// `None` when the key is not one of `algorithm`, or no valid key at all (a point off the curve, say).
    pub fn new(algorithm: Algorithm, public: &Jwk) -> Option<Self> {
        let point = |x: &[u8], y: &[u8]| [&[0x04], x, y].concat();
        let parsed = match (algorithm, public) {
            (Algorithm::Es256, Jwk::P256 { x, y }) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point(x, y)).parse()
            }
            (Algorithm::Es384, Jwk::P384 { x, y }) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point(x, y)).parse()
            }
            (Algorithm::EdDsa, Jwk::Ed25519 { x }) => UnparsedPublicKey::new(&ED25519, x).parse(),
            (Algorithm::Rs256, Jwk::Rsa { n, e }) => {
                PublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            }
            (Algorithm::Ps256, Jwk::Rsa { n, e }) => {
                PublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PSS_2048_8192_SHA256)
            }
            (
                Algorithm::Es256
                | Algorithm::Rs256
                | Algorithm::Ps256
                | Algorithm::Es384
                | Algorithm::EdDsa,
                Jwk::P256 { .. } | Jwk::Rsa { .. } | Jwk::P384 { .. } | Jwk::Ed25519 { .. },
            ) => return None,
        };
        parsed.ok().map(Self)
    }

    /// Whether `signature` (r‖s for the two kinds of ECDSA) is by this key over `message`.
    pub fn accepts(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify_sig(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PSS_SHA256, RsaKeyPair,
    };

    use super::*;

    // RFC 7515 appendix A.3: ES256.
    const ES256_INPUT: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const ES256_SIGNATURE: &str =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    // RFC 7515 appendix A.2: RS256.
    const RS256_INPUT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const RS256_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

    fn decoded(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    fn es256_key() -> Jwk {
        let coordinate = |text| decoded(text).try_into().unwrap();
        Jwk::P256 {
            x: coordinate("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
            y: coordinate("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
        }
    }

    fn rs256_key() -> Jwk {
        Jwk::Rsa {
            n: decoded(
                "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
            ),
            e: vec![1, 0, 1],
        }
    }

    // RFC 8037 appendix A.4: EdDSA.
    const EDDSA_INPUT: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    const EDDSA_SIGNATURE: &str =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

    fn eddsa_key() -> Jwk {
        let x = decoded("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        Jwk::Ed25519 { x: x.try_into().unwrap() }
    }

    /// A key of each algorithm with a signature over `INPUT`. Those that no RFC gives are made here.
    fn samples() -> Vec<(Algorithm, Jwk, &'static str, Vec<u8>)> {
        vec![
            (Algorithm::Es256, es256_key(), ES256_INPUT, decoded(ES256_SIGNATURE)),
            (Algorithm::Rs256, rs256_key(), RS256_INPUT, decoded(RS256_SIGNATURE)),
            (Algorithm::EdDsa, eddsa_key(), EDDSA_INPUT, decoded(EDDSA_SIGNATURE)),
            es384_sample(),
            ps256_sample(),
        ]
    }

    fn es384_sample() -> (Algorithm, Jwk, &'static str, Vec<u8>) {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        let key = Jwk::from_p384_point(pair.public_key().as_ref()).unwrap();
        let signature = pair.sign(&SystemRandom::new(), ES256_INPUT.as_bytes()).unwrap();
        (Algorithm::Es384, key, ES256_INPUT, signature.as_ref().to_vec())
    }

    fn ps256_sample() -> (Algorithm, Jwk, &'static str, Vec<u8>) {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        // An RSAPublicKey of RFC 8017 appendix A.1.1: a header, the modulus with a zero before it, 65537.
        let n = pair.public_key().as_ref()[9..265].to_vec();
        let mut signature = vec![0; pair.public_modulus_len()];
        let (random, message) = (SystemRandom::new(), RS256_INPUT.as_bytes());
        pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature).unwrap();
        (Algorithm::Ps256, Jwk::Rsa { n, e: vec![1, 0, 1] }, RS256_INPUT, signature)
    }

    #[test]
    fn genuine_signatures_are_accepted() {
        for (algorithm, key, input, signature) in samples() {
            let verifier = Verifier::new(algorithm, &key).unwrap();
            assert!(verifier.accepts(input.as_bytes(), &signature), "{algorithm:?}");
        }
    }

    #[test]
    fn w178_every_flipped_bit_is_refused() {
        for (algorithm, key, input, signature) in samples() {
            let verifier = Verifier::new(algorithm, &key).unwrap();
            for bit in 0..signature.len() * 8 {
                let mut bad = signature.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(!verifier.accepts(input.as_bytes(), &bad), "{algorithm:?} bit {bit}");
            }
            assert!(!verifier.accepts(&input.as_bytes()[1..], &signature));
            assert!(!verifier.accepts(input.as_bytes(), &[]));
        }
    }

    #[test]
    fn a_key_of_another_kind_or_off_the_curve_verifies_nothing() {
        let of_kind = |algorithm, key: &Jwk| match key {
            Jwk::P256 { .. } => algorithm == Algorithm::Es256,
            Jwk::P384 { .. } => algorithm == Algorithm::Es384,
            Jwk::Ed25519 { .. } => algorithm == Algorithm::EdDsa,
            Jwk::Rsa { .. } => matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256),
        };
        for (_, key, _, _) in samples() {
            for algorithm in Algorithm::ALL {
                let made = Verifier::new(algorithm, &key).is_some();
                assert_eq!(made, of_kind(algorithm, &key), "{algorithm:?} {key:?}");
            }
        }
        assert!(Verifier::new(Algorithm::Es256, &Jwk::P256 { x: [1; 32], y: [2; 32] }).is_none());
        assert!(Verifier::new(Algorithm::Es384, &Jwk::P384 { x: [1; 48], y: [2; 48] }).is_none());
    }

    #[test]
    fn the_two_paddings_of_rsa_are_not_taken_for_each_other() {
        let rs256 = (rs256_key(), RS256_INPUT, decoded(RS256_SIGNATURE));
        let (_, key, input, signature) = ps256_sample();
        for (algorithm, (key, input, signature)) in
            [(Algorithm::Ps256, rs256), (Algorithm::Rs256, (key, input, signature))]
        {
            let verifier = Verifier::new(algorithm, &key).unwrap();
            assert!(!verifier.accepts(input.as_bytes(), &signature), "{algorithm:?}");
        }
    }

    #[test]
    fn the_header_has_exactly_three_members() {
        let input =
            signing_input(Algorithm::Es256, Kid([0; 16]), "at+jwt", br#"{"iss":"https://a.test"}"#);
        let (header, payload) = input.split_once('.').unwrap();
        assert_eq!(
            String::from_utf8(decoded(header)).unwrap(),
            r#"{"alg":"ES256","kid":"AAAAAAAAAAAAAAAAAAAAAA","typ":"at+jwt"}"#
        );
        assert_eq!(decoded(payload), br#"{"iss":"https://a.test"}"#);
        assert_eq!(compact("a.b".to_owned(), &[0xff]), "a.b._w");
    }

    #[test]
    fn the_token_is_handed_a_digest_wherever_it_can_do_with_one() {
        // FIPS 180-4: SHA-256("abc") and SHA-384("abc").
        let hash = decoded("ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
        assert_eq!(*to_be_signed(Algorithm::Es256, b"abc"), hash);
        assert_eq!(*to_be_signed(Algorithm::Ps256, b"abc"), hash);
        let rsa = to_be_signed(Algorithm::Rs256, b"abc");
        assert_eq!((rsa.len(), &rsa[19..]), (51, hash.as_slice()));
        let long = decoded("ywB1P0WjXou1oD1pmsZQBycsMqsO3tFjGotgWkP_W-2AhgcroefMI1i67KE0yCWn");
        assert_eq!(*to_be_signed(Algorithm::Es384, b"abc"), long);
        assert_eq!(*to_be_signed(Algorithm::EdDsa, b"abc"), *b"abc");
    }
}
