//! Public keys of clients as JSON Web Keys (RFC 7517, RFC 7518 §6, RFC 8037 §2): what may be registered.
//!
//! A key that could not be used safely has no representation: no symmetric key, no private half, no RSA key
//! outside 2048 to 4096 bits or with another exponent than 65537 (W83). Whether a point lies on its curve is
//! checked where the arithmetic is (`signer::client_key`), at registration and again at every use.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::words::words;

mod bounds;
mod set;

pub use set::KeySet;
pub(crate) use set::Named;

/// Longest `kid`, in bytes.
pub const KID_MAX: usize = 255;

words! {
    /// What a client may sign with. `none` and everything symmetric have no representation (W78, W79).
    Algorithm {
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        Rs256 = "RS256",
        /// RSASSA-PSS with SHA-256.
        Ps256 = "PS256",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// ECDSA on P-384 with SHA-384.
        Es384 = "ES384",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}

/// The public half of a client's key. Coordinates and integers are raw big-endian bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Public {
    /// Two coordinates within the field of P-256; not yet known to be a point of it.
    P256 {
        /// The x coordinate.
        x: [u8; 32],
        /// The y coordinate.
        y: [u8; 32],
    },
    /// Two coordinates within the field of P-384; not yet known to be a point of it.
    P384 {
        /// The x coordinate.
        x: [u8; 48],
        /// The y coordinate.
        y: [u8; 48],
    },
    /// An RSA key of 2048 to 4096 bits; its exponent is 65537.
    Rsa {
        /// The modulus, without leading zeros.
        n: Vec<u8>,
    },
    /// A key of Ed25519 as RFC 8032 §5.1.2 encodes it (little-endian), not of small order.
    Ed25519 {
        /// The encoded point.
        x: [u8; 32],
    },
}

impl Public {
    /// Whether a signature of `algorithm` can be made with such a key.
    pub const fn fits(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::P256 { .. } => matches!(algorithm, Algorithm::Es256),
            Self::P384 { .. } => matches!(algorithm, Algorithm::Es384),
            Self::Rsa { .. } => matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256),
            Self::Ed25519 { .. } => matches!(algorithm, Algorithm::EdDsa),
        }
    }
}

/// Why a key, or a set of them, may not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidKey {
    /// Not `{"keys": [..]}`, or a member has another JSON type than it should.
    Shape,
    /// None at all, or more than 20.
    Count,
    /// A private member, or a symmetric key: what should never have left its owner.
    Private,
    /// A `kty` or `crv` that is not served.
    Kind,
    /// `use` or `key_ops` says that it is not for signatures.
    Use,
    /// `alg` is not served, or not this key's.
    Algorithm,
    /// `kid` is empty, too long or carries controls.
    Kid,
    /// Two keys with one `kid` (W90).
    Repeated,
    /// Not 2048 to 4096 bits, an even modulus, or an exponent other than 65537.
    Rsa,
    /// Not two coordinates of the curve's field, or a point of small order.
    Point,
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape => "a JSON Web Key Set: an object with an array keys of objects",
            Self::Count => "1 to 20 keys",
            Self::Private => "public keys only: no private members, no symmetric keys",
            Self::Kind => "kty EC with P-256 or P-384, RSA, or OKP with Ed25519",
            Self::Use => "use must be sig, and key_ops verify, where they are given",
            Self::Algorithm => "alg must be RS256, PS256, ES256, ES384 or EdDSA, and the key's own",
            Self::Kid => "kid: 1 to 255 bytes without control characters",
            Self::Repeated => "two keys have the same kid",
            Self::Rsa => "RSA: 2048 to 4096 bits, exponent AQAB, canonical base64url",
            Self::Point => "not a point of the key's curve in canonical base64url",
        })
    }
}

impl std::error::Error for InvalidKey {}

/// One public key of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    kid: Option<String>,
    algorithm: Option<Algorithm>,
    public: Public,
}

/// A signature with what it covers, as it arrived; the algorithm is the sender's word until a key of that
/// algorithm says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed<'a> {
    /// What the signature is said to be.
    pub algorithm: Algorithm,
    /// What it covers.
    pub input: &'a str,
    /// Its bytes: r‖s for ECDSA (RFC 7518 §3.4).
    pub signature: &'a [u8],
}

/// Members of private and symmetric keys (RFC 7518 §6.2.2, §6.3.2, §6.4; RFC 8037 §2).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

impl Key {
    /// From one member of a set. Members that we do not know are ignored (RFC 7517 §4).
    pub fn parse(value: &Value) -> Result<Self, InvalidKey> {
        let members = value.as_object().ok_or(InvalidKey::Shape)?;
        if PRIVATE.iter().any(|name| members.contains_key(*name)) {
            return Err(InvalidKey::Private);
        }
        let public = public(members)?;
        is_for_signatures(members)?;
        let algorithm = match text(members, "alg")? {
            None => None,
            Some(word) => Some(
                Algorithm::parse(word)
                    .filter(|algorithm| public.fits(*algorithm))
                    .ok_or(InvalidKey::Algorithm)?,
            ),
        };
        let kid = text(members, "kid")?.map(kid).transpose()?;
        Ok(Self { kid, algorithm, public })
    }

    /// How its owner names it.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The key itself.
    pub const fn public(&self) -> &Public {
        &self.public
    }

    /// Whether it may verify a signature of `algorithm`: the kind's, and the key's own where it names one.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.public.fits(algorithm) && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// The registered members, in one spelling; what was ignored is gone.
    pub fn to_json(&self) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut members = match &self.public {
            Public::P256 { x, y } => {
                json!({"kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y)})
            }
            Public::P384 { x, y } => {
                json!({"kty": "EC", "crv": "P-384", "x": b64(x), "y": b64(y)})
            }
            Public::Rsa { n } => json!({"kty": "RSA", "n": b64(n), "e": bounds::EXPONENT}),
            Public::Ed25519 { x } => json!({"kty": "OKP", "crv": "Ed25519", "x": b64(x)}),
        };
        if let Some(map) = members.as_object_mut() {
            map.extend(self.kid.as_ref().map(|kid| ("kid".to_owned(), json!(kid))));
            map.extend(self.algorithm.map(|alg| ("alg".to_owned(), json!(alg.as_str()))));
        }
        members
    }
}

fn public(members: &Map<String, Value>) -> Result<Public, InvalidKey> {
    let kind = text(members, "kty")?.ok_or(InvalidKey::Shape)?;
    match (kind, text(members, "crv")?) {
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes(members, "x")?, bytes(members, "y")?);
            bounds::point(&[&x, &y], &bounds::P256)?;
            Ok(Public::P256 { x, y })
        }
        ("EC", Some("P-384")) => {
            let (x, y) = (bytes(members, "x")?, bytes(members, "y")?);
            bounds::point(&[&x, &y], &bounds::P384)?;
            Ok(Public::P384 { x, y })
        }
        ("OKP", Some("Ed25519")) => {
            let x = bytes(members, "x")?;
            bounds::ed25519(&x)?;
            Ok(Public::Ed25519 { x })
        }
        ("RSA", _) => {
            let n = text(members, "n")?.ok_or(InvalidKey::Rsa)?;
            bounds::rsa(n, text(members, "e")?.ok_or(InvalidKey::Rsa)?)
        }
        ("oct", _) => Err(InvalidKey::Private),
        _ => Err(InvalidKey::Kind),
    }
}

/// RFC 7517 §4.2, §4.3. A key for encryption, or one that signs, is somebody's mistake.
fn is_for_signatures(members: &Map<String, Value>) -> Result<(), InvalidKey> {
    if text(members, "use")?.is_some_and(|word| word != "sig") {
        return Err(InvalidKey::Use);
    }
    match members.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(words)) if words.iter().any(|word| word == "verify") => Ok(()),
        Some(_) => Err(InvalidKey::Use),
    }
}

fn kid(text: &str) -> Result<String, InvalidKey> {
    if (1..=KID_MAX).contains(&text.len()) && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(InvalidKey::Kid)
}

fn text<'a>(
    members: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, InvalidKey> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(InvalidKey::Shape),
    }
}

/// "The length of this octet string MUST be the full size of a coordinate" (RFC 7518 §6.2.1.2).
fn bytes<const N: usize>(
    members: &Map<String, Value>,
    name: &'static str,
) -> Result<[u8; N], InvalidKey> {
    let text = text(members, name)?.ok_or(InvalidKey::Point)?;
    let mut array = [0; N];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut array) {
        Ok(length) if length == N => Ok(array),
        Ok(_) | Err(_) => Err(InvalidKey::Point),
    }
}

#[cfg(test)]
mod tests;
