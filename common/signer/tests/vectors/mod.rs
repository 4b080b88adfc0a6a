//! How the lines of `jws_vectors.json` become assertions.

mod change;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};

/// One line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// What `kid` says.
    pub(crate) key: String,
    /// What `alg` says.
    pub(crate) alg: String,
    /// How the signature is made; `alg` if nothing is said.
    made: Option<String>,
    /// Whose key makes it; `key` if nothing is said.
    signer: Option<String>,
    /// What happens to it afterwards.
    change: Option<String>,
    pub(crate) accepted: bool,
}

/// A pair of each kind.
pub(crate) struct Keys {
    own: Pairs,
    others: Pairs,
}

struct Pairs {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

impl Pairs {
    fn generate() -> Self {
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            p384: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
            ed25519: Ed25519KeyPair::generate().unwrap(),
        }
    }
}

impl Keys {
    pub(crate) fn generate() -> Self {
        Self { own: Pairs::generate(), others: Pairs::generate() }
    }

    /// What the client registers.
    pub(crate) fn jwks(&self) -> Value {
        let keys = ["rsa", "p256", "p384", "ed25519"].map(|name| {
            let mut key = self.jwk(name);
            key["kid"] = name.into();
            key
        });
        json!({ "keys": keys })
    }

    fn jwk(&self, name: &str) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let half = |point: &[u8], which: usize| {
            let size = point.len() / 2;
            b64(&point[1 + which * size..][..size])
        };
        match name {
            "rsa" => {
                // RSAPublicKey (RFC 8017 §A.1.1): SEQUENCE and INTEGER with two-byte lengths, a zero, 2048 bits.
                let der = self.own.rsa.public_key().as_ref();
                json!({"kty": "RSA", "n": b64(&der[9..][..256]), "e": "AQAB"})
            }
            "p256" => {
                let point = self.own.p256.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": half(point, 0), "y": half(point, 1)})
            }
            "p384" => {
                let point = self.own.p384.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-384", "x": half(point, 0), "y": half(point, 1)})
            }
            "ed25519" => {
                let x = b64(self.own.ed25519.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "x": x})
            }
            other => panic!("{other}"),
        }
    }

    /// The public key as somebody would paste it into an HMAC (W79).
    fn public(&self, name: &str, form: &str) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = match name {
            "rsa" => self.own.rsa.public_key().as_der(),
            "p256" => self.own.p256.public_key().as_der(),
            "p384" => self.own.p384.public_key().as_der(),
            "ed25519" => self.own.ed25519.public_key().as_der(),
            other => panic!("{other}"),
        }
        .unwrap();
        match form {
            "DER" => der.as_ref().to_vec(),
            "JWK" => self.jwk(name).to_string().into_bytes(),
            "PEM" => {
                let text = STANDARD.encode(der.as_ref());
                let lines: Vec<_> = text.as_bytes().chunks(64).collect();
                let body = String::from_utf8(lines.join(&b'\n')).unwrap();
                format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n").into()
            }
            other => panic!("{other}"),
        }
    }

    fn sign(&self, name: &str, made: &str, input: &str) -> Vec<u8> {
        let (pairs, name) = match name.strip_prefix("other-") {
            Some(name) => (&self.others, name),
            None => (&self.own, name),
        };
        let rsa = |encoding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; pairs.rsa.public_modulus_len()];
            let random = SystemRandom::new();
            pairs.rsa.sign(encoding, &random, input.as_bytes(), &mut signature).unwrap();
            signature
        };
        let ecdsa = |pair: &EcdsaKeyPair| {
            pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap().as_ref().to_vec()
        };
        match (name, made) {
            ("rsa", "RS256") => rsa(&RSA_PKCS1_SHA256),
            ("rsa", "RS384") => rsa(&RSA_PKCS1_SHA384),
            ("rsa", "RS512") => rsa(&RSA_PKCS1_SHA512),
            ("rsa", "PS256") => rsa(&RSA_PSS_SHA256),
            ("rsa", "PS384") => rsa(&RSA_PSS_SHA384),
            ("rsa", "PS512") => rsa(&RSA_PSS_SHA512),
            ("p256", "ES256") => ecdsa(&pairs.p256),
            ("p384", "ES384") => ecdsa(&pairs.p384),
            ("ed25519", "EdDSA") => pairs.ed25519.sign(input.as_bytes()).as_ref().to_vec(),
            (name, made) => {
                let form = made.strip_prefix("HS256 ").unwrap_or_else(|| panic!("{name} {made}"));
                let key = hmac::Key::new(hmac::HMAC_SHA256, &self.public(name, form));
                hmac::sign(&key, input.as_bytes()).as_ref().to_vec()
            }
        }
    }
}

impl Case {
    pub(crate) fn assertion(&self, keys: &Keys) -> String {
        let change = self.change.as_deref().unwrap_or_default();
        // Some changes need a signature in which they change anything: the next `jti` gives another one.
        (0..64)
            .find_map(|attempt| self.attempt(keys, change, attempt))
            .unwrap_or_else(|| panic!("{}", self.name))
    }

    fn attempt(&self, keys: &Keys, change: &str, attempt: u8) -> Option<String> {
        let kid = Some(&self.key).filter(|_| change != "no kid");
        let header = json!({"alg": self.alg, "kid": kid, "typ": "JWT"});
        let claims = claims(&format!("{attempt}"));
        let input = input(&header, &claims);
        let made = self.made.as_ref().unwrap_or(&self.alg);
        let owner = self.signer.as_ref().unwrap_or(&self.key);
        let signed = match change {
            "signature of another token" => "a.b".to_owned(),
            "other claims" => self::input(&header, &self::claims("other")),
            "other header" => self::input(&json!({"alg": self.alg, "kid": kid}), &claims),
            _ => input.clone(),
        };
        let mut signature = keys.sign(owner, made, &signed);
        change::bytes(change, &mut signature);
        let text = change::text(change, &signature)?;
        Some(format!("{input}.{text}"))
    }
}

fn claims(jti: &str) -> Value {
    // A digest, so that the texts differ in more than a character.
    let jti = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, jti.as_bytes()));
    json!({"iss": "app", "sub": "app", "aud": super::ISSUER, "exp": 60, "jti": jti})
}

fn input(header: &Value, claims: &Value) -> String {
    let mut header = header.clone();
    header.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let b64 = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}", b64(&header), b64(claims))
}
