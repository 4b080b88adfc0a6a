//! Pairs of keys as clients have them, and the assertions that are made with them: good ones, and any other.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// What clients may sign with.
pub(crate) const ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];

/// A pair, the name that its owner gives it, and the algorithm that it is used with.
pub(crate) struct Key {
    pair: Pair,
    pub(crate) kid: &'static str,
    pub(crate) algorithm: &'static str,
}

enum Pair {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Key {
    pub(crate) fn new(algorithm: &'static str, kid: &'static str) -> Self {
        let rsa = || RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let pair = match algorithm {
            "RS256" => Pair::Rsa(rsa(), &RSA_PKCS1_SHA256),
            "PS256" => Pair::Rsa(rsa(), &RSA_PSS_SHA256),
            "ES256" => {
                Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), "P-256")
            }
            "ES384" => {
                Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(), "P-384")
            }
            "EdDSA" => Pair::Ed(Ed25519KeyPair::generate().unwrap()),
            other => panic!("{other}"),
        };
        Self { pair, kid, algorithm }
    }

    /// The public half (RFC 7517 §4).
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            // RSAPublicKey (RFC 8017 §A.1.1): two lengths of two bytes each, a zero, then 2048 bits.
            Pair::Rsa(pair, _) => {
                json!({ "kty": "RSA", "n": b64(&pair.public_key().as_ref()[9..][..256]), "e": "AQAB" })
            }
            Pair::Ec(pair, curve) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": curve, "x": b64(x), "y": b64(y) })
            }
            Pair::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key()) })
            }
        };
        jwk["kid"] = self.kid.into();
        jwk
    }

    fn sign(&self, input: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, input, &mut signature).unwrap();
                signature
            }
            Pair::Ec(pair, _) => pair.sign(&random, input).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(input).as_ref().to_vec(),
        }
    }

    /// The header of a good assertion.
    pub(crate) fn header(&self) -> Value {
        json!({ "alg": self.algorithm, "kid": self.kid, "typ": "JWT" })
    }

    /// A JWS of any header and payload, as they are written: its signature is right.
    pub(crate) fn jws(&self, header: &str, payload: &[u8]) -> String {
        let input = format!("{}.{}", b64(header), b64(payload));
        format!("{input}.{}", b64(self.sign(input.as_bytes())))
    }

    /// An assertion with these claims.
    pub(crate) fn assertion(&self, claims: &Value) -> String {
        self.jws(&self.header().to_string(), claims.to_string().as_bytes())
    }

    /// The public half as somebody would paste it into an HMAC (W79).
    pub(crate) fn pasted(&self) -> Vec<Vec<u8>> {
        let der: PublicKeyX509Der<'_> = match &self.pair {
            Pair::Rsa(pair, _) => pair.public_key().as_der(),
            Pair::Ec(pair, _) => pair.public_key().as_der(),
            Pair::Ed(pair) => pair.public_key().as_der(),
        }
        .unwrap();
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<_> = text.as_bytes().chunks(64).collect();
        let body = String::from_utf8(lines.join(&b'\n')).unwrap();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
        vec![der.as_ref().to_vec(), pem.into_bytes(), self.jwk().to_string().into_bytes()]
    }
}

/// A JWS with an HMAC where the signature belongs.
pub(crate) fn hs256(secret: &[u8], header: &Value, claims: &Value) -> String {
    let input = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
    format!("{input}.{}", b64(tag))
}
