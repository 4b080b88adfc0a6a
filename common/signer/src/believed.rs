//! What keyd makes of the table of keys.

use std::collections::HashSet;

use wire::{FRAME_MAX, KeyView, Reply, Request, Sealed};

use crate::{Signer, SignerError};

/// What a `Load` has room for: a frame, without header, discriminants and lengths.
const LOAD_BYTES: usize = FRAME_MAX - 64;
/// A MAC, and the length of the body.
const SEALED_OVERHEAD: usize = 32 + 5;

/// A row of the table: a statement, and of which key of which issuer it is said to be.
#[derive(Debug, Clone, Copy)]
pub struct Stated<'a> {
    /// The issuer's URL.
    pub issuer: &'a str,
    /// The key's id as text.
    pub kid: &'a str,
    /// The statement.
    pub sealed: &'a Sealed,
}

/// What keyd believes after it was told the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Believed {
    /// Every key that keyd knows.
    pub keys: Vec<KeyView>,
    /// Positions of rows that keyd did not write, or wrote about another key or another issuer.
    pub planted: Vec<usize>,
}

impl Signer {
    /// Tells keyd the whole table and takes back what it believes.
    ///
    /// That takes several calls, and a keyd that restarts between them has forgotten what it heard before. A row that
    /// it does not know is therefore told again before it passes for somebody else's, and so is the whole table: a
    /// set of keys with some missing must not be published.
    pub async fn believed(&self, rows: &[Stated<'_>]) -> Result<Believed, SignerError> {
        let first = self.told(rows).await?;
        if first.planted.is_empty() {
            return Ok(first);
        }
        self.told(rows).await
    }

    async fn told(&self, rows: &[Stated<'_>]) -> Result<Believed, SignerError> {
        let mut told = 0;
        for batch in batches(rows.iter().map(|row| row.sealed)) {
            let Reply::Loaded { accepted, .. } = self.call(Request::Load(batch)).await? else {
                return Err(SignerError::Protocol);
            };
            told += accepted;
        }
        let keys = self.public_keys().await?;
        if keys.is_empty() && told > 0 {
            return Err(SignerError::Unavailable);
        }
        let known: HashSet<_> =
            keys.iter().map(|key| (key.issuer.as_str(), key.kid.to_string())).collect();
        let unknown = |row: &Stated<'_>| !known.contains(&(row.issuer, row.kid.to_owned()));
        let planted = (0..).zip(rows).filter(|(_, row)| unknown(row)).map(|(at, _)| at).collect();
        Ok(Believed { keys, planted })
    }
}

/// Statements in portions that fit into a frame. One that fits into none is not keyd's.
fn batches<'a>(statements: impl Iterator<Item = &'a Sealed>) -> Vec<Vec<Sealed>> {
    let mut batches: Vec<Vec<Sealed>> = Vec::new();
    let mut left = 0;
    for sealed in statements {
        let size = sealed.body.len() + SEALED_OVERHEAD;
        if size > LOAD_BYTES {
            continue;
        }
        match batches.last_mut() {
            Some(batch) if size <= left => {
                batch.push(sealed.clone());
                left -= size;
            }
            Some(_) | None => {
                batches.push(vec![sealed.clone()]);
                left = LOAD_BYTES - size;
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_fit_into_frames() {
        let row = |n: usize| Sealed { body: vec![7; n], mac: [0; 32] };
        let sizes = [100, 40_000, LOAD_BYTES - SEALED_OVERHEAD, 16_000, 16_000, 1000, 0];
        let rows = sizes.map(row);
        let batches = batches(rows.iter());
        let lengths: Vec<Vec<usize>> =
            batches.iter().map(|batch| batch.iter().map(|row| row.body.len()).collect()).collect();
        let full = LOAD_BYTES - SEALED_OVERHEAD;
        assert_eq!(lengths, [vec![100], vec![full], vec![16_000, 16_000], vec![1000, 0]]);
        for batch in batches {
            assert!(wire::encode(1, &Request::Load(batch), FRAME_MAX).is_ok());
        }
    }
}
