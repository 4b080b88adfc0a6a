//! Public keys as JSON Web Keys (RFC 7517, RFC 8037), and their thumbprints (RFC 7638).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The public half of a key. Coordinates and integers are raw big-endian bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Jwk {
    /// A point on P-256.
    P256 {
        /// The x coordinate.
        x: [u8; 32],
        /// The y coordinate.
        y: [u8; 32],
    },
    /// An RSA key.
    Rsa {
        /// The modulus, without leading zeros.
        n: Vec<u8>,
        /// The public exponent, without leading zeros.
        e: Vec<u8>,
    },
    /// A point on P-384.
    P384 {
        /// The x coordinate.
        #[serde(with = "wide")]
        x: [u8; 48],
        /// The y coordinate.
        #[serde(with = "wide")]
        y: [u8; 48],
    },
    /// An Ed25519 key, encoded as in RFC 8032 §5.1.2.
    Ed25519 {
        /// The encoded point.
        x: [u8; 32],
    },
}

/// serde knows arrays of up to 32 items.
mod wide {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &[u8; 48], to: S) -> Result<S::Ok, S::Error> {
        value.as_slice().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 48], D::Error> {
        let bytes = Vec::<u8>::deserialize(from)?;
        bytes.try_into().map_err(|_| D::Error::custom("not 48 bytes"))
    }
}

/// Bytes from a token that are no public key of the kind asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JwkError;

impl std::fmt::Display for JwkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a public key of the expected kind")
    }
}

impl std::error::Error for JwkError {}

impl Jwk {
    /// From `CKA_EC_POINT`: an uncompressed point (65 bytes), bare or inside a DER OCTET STRING.
    /// Modules differ, so the length decides.
    pub fn from_p256_point(point: &[u8]) -> Result<Self, JwkError> {
        let (x, y) = coordinates::<32>(unwrapped(point, 65)?)?;
        Ok(Self::P256 { x, y })
    }

    /// The same for P-384: 97 bytes.
    pub fn from_p384_point(point: &[u8]) -> Result<Self, JwkError> {
        let (x, y) = coordinates::<48>(unwrapped(point, 97)?)?;
        Ok(Self::P384 { x, y })
    }

    /// From `CKA_EC_POINT` of an Edwards key: 32 bytes, bare (PKCS#11 3.0) or inside a DER OCTET STRING.
    pub fn from_ed25519_point(point: &[u8]) -> Result<Self, JwkError> {
        let x = unwrapped(point, 32)?;
        Ok(Self::Ed25519 { x: x.try_into().map_err(|_| JwkError)? })
    }

    /// From `CKA_MODULUS` and `CKA_PUBLIC_EXPONENT`; leading zeros are dropped. 2048 to 4096 bits, e = 65537.
    pub fn from_rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, JwkError> {
        let (n, e) = (strip_zeros(modulus), strip_zeros(exponent));
        let bits = n.first().map_or(0, |byte| n.len() * 8 - byte.leading_zeros() as usize);
        if !(2048..=4096).contains(&bits) || e != [1, 0, 1] {
            return Err(JwkError);
        }
        Ok(Self::Rsa { n: n.to_vec(), e: e.to_vec() })
    }

    /// The members that RFC 7638 §3.2 requires, in lexicographic order, as JSON without white space.
    pub fn canonical_json(&self) -> String {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::P256 { x, y } => {
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, b64(x), b64(y))
            }
            Self::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b64(e), b64(n)),
            Self::P384 { x, y } => {
                format!(r#"{{"crv":"P-384","kty":"EC","x":"{}","y":"{}"}}"#, b64(x), b64(y))
            }
            // RFC 8037 §2: the required members of an octet key pair are crv, kty and x.
            Self::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, b64(x)),
        }
    }
}

/// `point` if it has `length` bytes, or what a DER OCTET STRING of as many bytes holds. The length is below
/// 128, so DER writes it in one byte.
fn unwrapped(point: &[u8], length: usize) -> Result<&[u8], JwkError> {
    match point {
        [0x04, inner, rest @ ..] if rest.len() == length && usize::from(*inner) == length => {
            Ok(rest)
        }
        bare if bare.len() == length => Ok(bare),
        _ => Err(JwkError),
    }
}

/// SEC 1 §2.3.3: an uncompressed point is 04, x, y.
fn coordinates<const N: usize>(point: &[u8]) -> Result<([u8; N], [u8; N]), JwkError> {
    let [0x04, rest @ ..] = point else { return Err(JwkError) };
    let (x, y) = rest.split_first_chunk::<N>().ok_or(JwkError)?;
    Ok((*x, y.try_into().map_err(|_| JwkError)?))
}

fn strip_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// RFC 7638 thumbprint with SHA-256.
pub fn thumbprint(key: &Jwk) -> [u8; 32] {
    Sha256::digest(key.canonical_json()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprint_of_the_rfc_7638_example() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key = Jwk::from_rsa(&URL_SAFE_NO_PAD.decode(n).unwrap(), &[1, 0, 1]).unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(thumbprint(&key)),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn thumbprint_of_the_rfc_8037_example() {
        // Appendix A.2 and A.3.
        let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let key = Jwk::from_ed25519_point(&x).unwrap();
        assert_eq!(
            key.canonical_json(),
            r#"{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#
        );
        assert_eq!(
            URL_SAFE_NO_PAD.encode(thumbprint(&key)),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn points_are_read_by_length() {
        type Read = fn(&[u8]) -> Result<Jwk, JwkError>;
        let uncompressed = |n: usize| [vec![0x04], vec![7; n]].concat();
        for (read, point) in [
            (Jwk::from_p256_point as Read, uncompressed(64)),
            (Jwk::from_p384_point, uncompressed(96)),
            (Jwk::from_ed25519_point, vec![7; 32]),
        ] {
            let length = u8::try_from(point.len()).unwrap();
            let wrapped = [&[0x04, length], point.as_slice()].concat();
            assert!(read(&point).is_ok());
            assert_eq!(read(&point), read(&wrapped));
            let long_form = [&[0x04, 0x81, length], point.as_slice()].concat();
            let other_length = [&[0x04, length - 1], point.as_slice()].concat();
            for bad in [&point[1..], &wrapped[..wrapped.len() - 1], &long_form, &other_length, &[]]
            {
                assert_eq!(read(bad), Err(JwkError), "{bad:?}");
            }
        }
        assert!(Jwk::from_p256_point(&[0x03; 65]).is_err());
        assert!(Jwk::from_p384_point(&[0x02; 97]).is_err());
    }

    #[test]
    fn every_kind_survives_the_round_trip() {
        for key in [
            Jwk::P256 { x: [1; 32], y: [2; 32] },
            Jwk::Rsa { n: vec![0xff; 256], e: vec![1, 0, 1] },
            Jwk::P384 { x: [3; 48], y: [4; 48] },
            Jwk::Ed25519 { x: [5; 32] },
        ] {
            let bytes = postcard::to_allocvec(&key).unwrap();
            assert_eq!(postcard::from_bytes::<Jwk>(&bytes).unwrap(), key);
            assert!(postcard::from_bytes::<Jwk>(&bytes[..bytes.len() - 1]).is_err());
        }
        // A coordinate of another length has no representation.
        let p384 = postcard::to_allocvec(&Jwk::P384 { x: [3; 48], y: [4; 48] }).unwrap();
        let mut short = p384;
        short[1] = 47;
        assert!(postcard::from_bytes::<Jwk>(&short).is_err());
    }

    #[test]
    fn weak_rsa_keys_have_no_representation() {
        assert!(Jwk::from_rsa(&[0xff; 128], &[1, 0, 1]).is_err());
        assert!(Jwk::from_rsa(&[0xff; 256], &[3]).is_err());
        assert!(Jwk::from_rsa(&[], &[]).is_err());
    }
}
