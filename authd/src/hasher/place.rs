//! Where a hash is made: memory that is kept and used again.
//!
//! An allocator keeps what was freed for the thread that had it, so each thread that ever hashed would cost the memory
//! of a hash, and the bound would be the number of threads.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use argon2::password_hash::{
    self, Decimal, Ident, Output, ParamsString, PasswordHash, PasswordHasher, Salt,
};
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// Longest salt that a PHC string can hold, bytes.
const SALT_MAX: usize = 64;

/// The places that nobody works at.
#[derive(Default)]
pub(super) struct Places(Mutex<Vec<Vec<Block>>>);

/// A place that somebody works at.
pub(super) struct Place<'a> {
    of: &'a Places,
    params: &'a Params,
    blocks: RefCell<Vec<Block>>,
}

impl Places {
    /// For new hashes with these parameters. There are never more than were taken at once.
    pub(super) fn take<'a>(&'a self, params: &'a Params) -> Place<'a> {
        let blocks = self.free().pop().unwrap_or_default();
        Place { of: self, params, blocks: RefCell::new(blocks) }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let blocks = std::mem::take(self.blocks.get_mut());
        // A stored hash may have wanted more than ours do; that is not kept.
        if blocks.len() <= self.params.block_count() {
            self.of.free().push(blocks);
        }
    }
}

impl PasswordHasher for Place<'_> {
    type Params = Params;

    fn hash_password<'a>(
        &self,
        password: &[u8],
        salt: impl Into<Salt<'a>>,
    ) -> password_hash::Result<PasswordHash<'a>> {
        let algorithm = Some(Algorithm::Argon2id.ident());
        let version = Some(Version::V0x13.into());
        self.hash_password_customized(password, algorithm, version, self.params.clone(), salt)
    }

    fn hash_password_customized<'a>(
        &self,
        password: &[u8],
        algorithm: Option<Ident<'a>>,
        version: Option<Decimal>,
        params: Params,
        salt: impl Into<Salt<'a>>,
    ) -> password_hash::Result<PasswordHash<'a>> {
        let algorithm = algorithm.map(Algorithm::try_from).transpose()?.unwrap_or_default();
        let version = version.map(Version::try_from).transpose()?.unwrap_or_default();
        let salt = salt.into();
        let mut buffer = [0; SALT_MAX];
        let salted = salt.decode_b64(&mut buffer)?;
        let written = ParamsString::try_from(&params)?;
        let wanted = params.block_count();
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let argon2 = Argon2::new(algorithm, version, params);
        let mut blocks = self.blocks.borrow_mut();
        if blocks.len() < wanted {
            blocks.resize(wanted, Block::new());
        }
        let blocks = blocks.get_mut(..wanted).unwrap_or_default();
        let output = Output::init_with(length, |out| {
            Ok(argon2.hash_password_into_with_memory(password, salted, out, blocks)?)
        })?;
        Ok(PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: written,
            salt: Some(salt),
            hash: Some(output),
        })
    }
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordVerifier as _, SaltString};

    use super::*;

    fn salt(byte: u8) -> SaltString {
        SaltString::encode_b64(&[byte; 16]).unwrap()
    }

    #[test]
    fn a_hash_is_the_librarys_own_whatever_was_in_the_memory_before() {
        let params = Params::new(64, 2, 1, None).unwrap();
        let library = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let places = Places::default();
        for round in 0..3_u8 {
            let place = places.take(&params);
            for password in [&b"one"[..], b"another", b""] {
                let salt = salt(round);
                let ours = place.hash_password(password, &salt).unwrap();
                assert_eq!(ours, library.hash_password(password, &salt).unwrap());
                place.verify_password(password, &ours).unwrap();
                assert!(place.verify_password(b"wrong", &ours).is_err());
            }
        }
        assert_eq!(places.free().len(), 1, "one place was enough");
    }

    #[test]
    fn a_hash_with_other_parameters_is_verified_and_its_memory_kept_only_if_it_is_no_more() {
        let ours = Params::new(64, 1, 1, None).unwrap();
        let places = Places::default();
        for (memory_kib, kept) in [(1024, 0), (32, 1)] {
            let other = Params::new(memory_kib, 1, 1, None).unwrap();
            let library = Argon2::new(Algorithm::Argon2i, Version::V0x10, other);
            let salt = salt(7);
            let stored = library.hash_password(b"password", &salt).unwrap();
            places.take(&ours).verify_password(b"password", &stored).unwrap();
            assert!(places.take(&ours).verify_password(b"wrong", &stored).is_err());
            assert_eq!(places.free().len(), kept);
        }
    }

    #[test]
    fn f27_there_are_as_many_places_as_were_taken_at_once() {
        let params = Params::new(64, 1, 1, None).unwrap();
        let places = Places::default();
        for _ in 0..20 {
            let two = [places.take(&params), places.take(&params)];
            let salt = salt(1);
            for place in &two {
                place.hash_password(b"password", &salt).unwrap();
            }
        }
        assert_eq!(places.free().len(), 2);
    }
}
