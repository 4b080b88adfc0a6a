//! The bytes of a binding statement, and what exactly its MAC covers.

use wire::Statement;

/// Begins every body; another layout of [`Statement`] will begin with another.
const LAYOUT: u8 = 1;
/// Longest body that is looked at: a 4096-bit RSA key and a long issuer fit twice.
pub const BODY_MAX: usize = 2048;
/// Keeps a MAC over a statement from being one over anything else.
const DOMAIN: &[u8] = b"opentrusty binding statement\0";

/// The body of a [`wire::Sealed`].
pub fn encode(statement: &Statement) -> Option<Vec<u8>> {
    let body = postcard::to_extend(statement, vec![LAYOUT]).ok()?;
    (body.len() <= BODY_MAX).then_some(body)
}

/// The inverse of [`encode`]; to be trusted only after the MAC has been checked.
pub fn decode(body: &[u8]) -> Option<Statement> {
    let (&LAYOUT, encoded) = body.split_first()? else { return None };
    let (statement, trailing) = postcard::take_from_bytes(encoded).ok()?;
    trailing.is_empty().then_some(statement)
}

/// What is given to HMAC-SHA-256; `None` for a body longer than any that keyd makes.
pub fn mac_input(body: &[u8]) -> Option<Vec<u8>> {
    (body.len() <= BODY_MAX).then(|| [DOMAIN, body].concat())
}

#[cfg(test)]
mod tests {
    use wire::{Algorithm, Class, Jwk, Kid, thumbprint};

    use super::*;

    fn statement() -> Statement {
        let public = Jwk::Rsa { n: vec![0xff; 512], e: vec![1, 0, 1] };
        Statement {
            kid: Kid([3; 16]),
            issuer: format!("https://{}", "a".repeat(248)),
            algorithm: Algorithm::Rs256,
            class: Class::Token,
            thumbprint: thumbprint(&public),
            public,
            staged_at: u64::MAX,
            not_sign_before: Some(u64::MAX),
            not_sign_after: Some(u64::MAX),
            serial: u32::MAX,
        }
    }

    #[test]
    fn the_largest_statement_survives_the_round_trip() {
        let body = encode(&statement()).unwrap();
        assert_eq!(decode(&body), Some(statement()));
        assert!(mac_input(&body).unwrap().ends_with(&body));
    }

    #[test]
    fn other_layouts_and_trailing_bytes_are_no_statement() {
        let body = encode(&statement()).unwrap();
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&body[..body.len() - 1]), None);
        assert_eq!(decode(&[body.as_slice(), &[0]].concat()), None);
        assert_eq!(decode(&[&[2], &body[1..]].concat()), None);
        assert_eq!(mac_input(&[0; BODY_MAX + 1]), None);
    }
}
