//! Proof Key for Code Exchange (RFC 7636). `plain` has no representation.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// An S256 `code_challenge`: `BASE64URL(SHA256(ASCII(code_verifier)))` (RFC 7636 §4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Challenge([u8; 32]);

/// Text that is no S256 challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidChallenge;

impl std::fmt::Display for InvalidChallenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("code_challenge: 43 characters of base64url")
    }
}

impl Challenge {
    /// Exactly 43 canonical base64url characters.
    pub fn parse(text: &str) -> Result<Self, InvalidChallenge> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidChallenge)?;
        Ok(Self(bytes.try_into().map_err(|_| InvalidChallenge)?))
    }

    /// Whether `verifier` is well-formed (43 to 128 unreserved characters, §4.1) and hashes to this
    /// challenge. Constant-time in the digest.
    pub fn is_met_by(&self, verifier: &str) -> bool {
        let unreserved =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(unreserved) {
            return false;
        }
        let digest: [u8; 32] = Sha256::digest(verifier).into();
        digest.ct_eq(&self.0).into()
    }
}

impl TryFrom<String> for Challenge {
    type Error = InvalidChallenge;

    fn try_from(text: String) -> Result<Self, InvalidChallenge> {
        Self::parse(&text)
    }
}

impl From<Challenge> for String {
    fn from(challenge: Challenge) -> Self {
        URL_SAFE_NO_PAD.encode(challenge.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_rfc() {
        let challenge = Challenge::parse(CHALLENGE).unwrap();
        assert!(challenge.is_met_by(VERIFIER));
        assert_eq!(String::from(challenge), CHALLENGE);
    }

    #[test]
    fn w12_malformed_challenges_and_verifiers_are_refused() {
        for bad in
            ["", "short", &CHALLENGE[1..], &format!("{CHALLENGE}="), &format!("{CHALLENGE}A")]
        {
            assert!(Challenge::parse(bad).is_err(), "{bad}");
        }
        assert!(Challenge::parse(&CHALLENGE.replace('-', "+")).is_err());
        let challenge = Challenge::parse(CHALLENGE).unwrap();
        for bad in
            [CHALLENGE, "", &VERIFIER[1..], &format!("{VERIFIER} "), &VERIFIER.to_lowercase()]
        {
            assert!(!challenge.is_met_by(bad), "{bad}");
        }
        let long = "a".repeat(129);
        let digest = Challenge(Sha256::digest(&long).into());
        assert!(!digest.is_met_by(&long), "longer than the RFC allows though the hash matches");
    }
}
