//! Public keys as JSON Web Keys (RFC 7517), and their thumbprints (RFC 7638).

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
        let bare = match point {
            [0x04, 0x41, rest @ ..] if rest.len() == 65 => rest,
            bare if bare.len() == 65 => bare,
            _ => return Err(JwkError),
        };
        let [0x04, coordinates @ ..] = bare else { return Err(JwkError) };
        let (x, y) = coordinates.split_first_chunk::<32>().ok_or(JwkError)?;
        Ok(Self::P256 { x: *x, y: y.try_into().map_err(|_| JwkError)? })
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
        }
    }
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
    fn points_are_read_by_length() {
        let mut point = vec![0x04];
        point.extend([7_u8; 64]);
        let mut wrapped = vec![0x04, 0x41];
        wrapped.extend(&point);
        assert_eq!(Jwk::from_p256_point(&point), Jwk::from_p256_point(&wrapped));
        assert!(Jwk::from_p256_point(&point[1..]).is_err());
        assert!(Jwk::from_p256_point(&[0x03; 65]).is_err());
    }

    #[test]
    fn weak_rsa_keys_have_no_representation() {
        assert!(Jwk::from_rsa(&[0xff; 128], &[1, 0, 1]).is_err());
        assert!(Jwk::from_rsa(&[0xff; 256], &[3]).is_err());
        assert!(Jwk::from_rsa(&[], &[]).is_err());
    }
}
