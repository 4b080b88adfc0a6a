//! Signatures of clients: the arithmetic that `oauth::assertion` leaves to whoever links a provider of it.
//!
//! Straight to aws-lc-rs: what arrives is a key, an algorithm and bytes that the strict reader has taken
//! apart, and no library reads the token a second time.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters, RsaPublicKeyComponents,
    VerificationAlgorithm,
};
use oauth::jwk::{Algorithm, InvalidKey, Key, Public, Signed};

/// 65537; no other exponent has a representation in [`Public`].
const EXPONENT: [u8; 3] = [1, 0, 1];

/// Whether `key` made `signed`, which must be of one of the key's own algorithms (W78).
pub fn verify(key: &Key, signed: &Signed<'_>) -> bool {
    key.fits(signed.algorithm)
        && parsed(key.public(), signed.algorithm)
            .is_ok_and(|key| key.verify_sig(signed.input.as_bytes(), signed.signature).is_ok())
}

/// Whether there is such a key: a point must lie on its curve (W82). For whoever registers one; [`verify`]
/// finds out by itself.
pub fn check(key: &Key) -> Result<(), InvalidKey> {
    let algorithm = match key.public() {
        Public::P256 { .. } => Algorithm::Es256,
        Public::P384 { .. } => Algorithm::Es384,
        Public::Rsa { .. } => Algorithm::Rs256,
        Public::Ed25519 { .. } => Algorithm::EdDsa,
    };
    parsed(key.public(), algorithm).map(drop)
}

fn parsed(public: &Public, algorithm: Algorithm) -> Result<ParsedPublicKey, InvalidKey> {
    match (public, algorithm) {
        (Public::P256 { x, y }, Algorithm::Es256) => point(&ECDSA_P256_SHA256_FIXED, x, y),
        (Public::P384 { x, y }, Algorithm::Es384) => point(&ECDSA_P384_SHA384_FIXED, x, y),
        (Public::Rsa { n }, Algorithm::Rs256) => modulus(&RSA_PKCS1_2048_8192_SHA256, n),
        (Public::Rsa { n }, Algorithm::Ps256) => modulus(&RSA_PSS_2048_8192_SHA256, n),
        (Public::Ed25519 { x }, Algorithm::EdDsa) => {
            ParsedPublicKey::new(&ED25519, x).map_err(|_| InvalidKey::Point)
        }
        (
            Public::P256 { .. } | Public::P384 { .. } | Public::Rsa { .. } | Public::Ed25519 { .. },
            Algorithm::Es256
            | Algorithm::Es384
            | Algorithm::Rs256
            | Algorithm::Ps256
            | Algorithm::EdDsa,
        ) => Err(InvalidKey::Algorithm),
    }
}

/// From the uncompressed form (SEC 1 §2.3.3).
fn point(
    curve: &'static dyn VerificationAlgorithm,
    x: &[u8],
    y: &[u8],
) -> Result<ParsedPublicKey, InvalidKey> {
    ParsedPublicKey::new(curve, [&[0x04], x, y].concat()).map_err(|_| InvalidKey::Point)
}

fn modulus(padding: &'static RsaParameters, n: &[u8]) -> Result<ParsedPublicKey, InvalidKey> {
    RsaPublicKeyComponents { n, e: &EXPONENT[..] }
        .to_parsed_public_key(padding)
        .map_err(|_| InvalidKey::Rsa)
}
