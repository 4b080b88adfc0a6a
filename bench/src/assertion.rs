//! What `private_key_jwt` takes (RFC 7523): a client's key, its assertions, and the least that believing one can cost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::processor::used;

/// Seconds that an assertion is good for.
const LIFETIME_S: i64 = 120;
/// As long as the input of an assertion.
const MESSAGE: usize = 300;

/// A P-256 key that a client signs with.
#[derive(Debug)]
pub struct ClientKey {
    pair: EcdsaKeyPair,
    made: AtomicU64,
}

impl Default for ClientKey {
    fn default() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { pair, made: AtomicU64::new(0) }
    }
}

impl ClientKey {
    /// The public half, as a client registers it (RFC 7517 §5).
    pub fn jwks(&self) -> Value {
        // SEC 1 §2.3.3: 4, then x and y.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|half| URL_SAFE_NO_PAD.encode(half));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "bench",
            "x": x, "y": y }] })
    }

    /// An assertion that nobody has seen yet.
    pub fn assertion(&self, client: &str, issuer: &str) -> String {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let now = i64::try_from(host::clock::now_s()).unwrap();
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": "bench" });
        let claims = json!({
            "iss": client, "sub": client, "aud": issuer, "iat": now, "exp": now + LIFETIME_S,
            "jti": format!("bench-{number:020}"),
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(&header), part(&claims));
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Verifies one signature again and again for `length`: how many per second, and what one costs in microseconds.
    pub fn verifications(&self, length: Duration) -> (f64, f64) {
        let message = [7; MESSAGE];
        let signature = self.pair.sign(&SystemRandom::new(), &message).unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key());
        let before = used(std::process::id());
        let began = Instant::now();
        let mut count = 0_u32;
        while began.elapsed() < length {
            key.verify(&message, signature.as_ref()).unwrap();
            count += 1;
        }
        let spent = used(std::process::id()).saturating_sub(before);
        let count = f64::from(count);
        (count / began.elapsed().as_secs_f64(), spent.as_secs_f64() * 1e6 / count)
    }
}
