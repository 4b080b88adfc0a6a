//! Passwords as they are stored: argon2id. Declared test data may be any password; what people choose for
//! themselves is judged by authd.

use std::num::NonZero;
use std::thread;

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret as _, SecretString};

use crate::failure::Failure;

/// Memory of one hash in KiB, passes, lanes: authd's floor.
const COST: (u32, u32, u32) = (19_456, 2, 1);

/// A declared password beside what is stored for its account.
pub(crate) struct Candidate<'a> {
    pub(crate) declared: &'a SecretString,
    pub(crate) stored: Option<SecretString>,
}

/// The hash to be stored for each candidate; `None` where the stored one verifies already. As many threads
/// as there are cores: one hash takes some 20 ms.
pub(crate) fn hashes(candidates: &[Candidate<'_>]) -> Result<Vec<Option<SecretString>>, Failure> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = candidates.len().div_ceil(cores).max(1);
    thread::scope(|scope| {
        let workers: Vec<_> = candidates
            .chunks(share)
            .map(|chunk| {
                scope.spawn(move || chunk.iter().map(fresh).collect::<Result<Vec<_>, _>>())
            })
            .collect();
        let mut all = Vec::with_capacity(candidates.len());
        for worker in workers {
            let part =
                worker.join().map_err(|_| Failure::refused("a password could not be hashed"))?;
            all.extend(part?);
        }
        Ok(all)
    })
}

fn fresh(candidate: &Candidate<'_>) -> Result<Option<SecretString>, Failure> {
    let argon2 = argon2()?;
    let password = candidate.declared.expose_secret().as_bytes();
    let verifies = candidate.stored.as_ref().is_some_and(|stored| {
        PasswordHash::new(stored.expose_secret())
            .is_ok_and(|parsed| argon2.verify_password(password, &parsed).is_ok())
    });
    if verifies {
        return Ok(None);
    }
    let impossible = |_| Failure::refused("a password could not be hashed");
    let salt = SaltString::encode_b64(&random::<16>()?).map_err(impossible)?;
    let hash = argon2.hash_password(password, &salt).map_err(impossible)?;
    Ok(Some(hash.to_string().into()))
}

fn argon2() -> Result<Argon2<'static>, Failure> {
    let (memory_kib, passes, lanes) = COST;
    let params = Params::new(memory_kib, passes, lanes, None)
        .map_err(|_| Failure::refused("argon2 does not take its parameters"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Bytes of the system's generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::refused(format!("no randomness: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_does_not_verify_is_hashed_and_each_in_its_place() {
        let declared: Vec<SecretString> = (0..5).map(|n| format!("password {n}").into()).collect();
        let none: Vec<_> =
            declared.iter().map(|one| Candidate { declared: one, stored: None }).collect();
        let first = hashes(&none).unwrap();
        assert!(first.iter().all(|hash| {
            hash.as_ref().unwrap().expose_secret().starts_with("$argon2id$v=19$m=19456,t=2,p=1$")
        }));
        // The same file again, but for the third password.
        let changed = SecretString::from("another");
        let again: Vec<_> = first
            .into_iter()
            .enumerate()
            .map(|(n, stored)| Candidate {
                declared: if n == 2 { &changed } else { &declared[n] },
                stored,
            })
            .collect();
        let second = hashes(&again).unwrap();
        let fresh: Vec<bool> = second.iter().map(Option::is_some).collect();
        assert_eq!(fresh, [false, false, true, false, false]);
        assert!(hashes(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_stored_text_that_is_no_hash_is_replaced() {
        let declared = SecretString::from("x");
        let candidate = Candidate { declared: &declared, stored: Some("x".into()) };
        assert!(hashes(&[candidate]).unwrap()[0].is_some());
    }
}
