//! Bearer secrets by kind: a code is not a refresh token, plain is not stored, hashed is not shown.
//!
//! Every secret that we make is 256 random bits behind a prefix that names its kind, so that a secret
//! scanner finds a leaked one and no store can be asked for another store's artefact (W26). Look-up is
//! by SHA-256 of the exact bytes presented: any variant of a token is another token (W27).

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A kind of bearer secret that we make ourselves.
pub trait Kind {
    /// What its text begins with.
    const PREFIX: &'static str;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl Kind for $name {
            const PREFIX: &'static str = $prefix;
        }
    )*};
}

kinds! {
    /// An authorization code.
    Code = "otc_"
    /// A refresh token.
    Refresh = "otr_"
    /// The secret in the session cookie.
    Session = "ots_"
    /// The secret in the cookie that binds a browser to what it began.
    Browser = "otb_"
    /// The handle of a sign-in under way, in the URL.
    Interaction = "oti_"
    /// A one-time enrolment link.
    Enrolment = "ote_"
    /// An access token of a client that wants no JWT.
    OpaqueAccess = "ota_"
    /// What a pushed authorization request is called, after the URN's own words.
    Pushed = "otu_"
    /// What a device polls with (RFC 8628 §3.2).
    DeviceCode = "otd_"
    /// What a CIBA client polls with (CIBA §7.3).
    AuthReqId = "otq_"
    /// What a person or their authenticator app names a CIBA request by. Never told to the client.
    ApprovalHandle = "oth_"
    /// A client secret that we made (registered ones may look otherwise).
    Client = "otk_"
}

/// Marks the hash of an access token, whose text keyd makes.
#[derive(Debug)]
pub enum Access {}

/// A secret as its owner holds it. No `Debug`, `Clone` or `Serialize`: it is shown once.
pub struct Plain<K>(SecretString, PhantomData<K>);

/// Characters after the prefix: 32 bytes in base64url.
const BODY_LEN: usize = 43;

impl<K: Kind> Plain<K> {
    /// From 32 bytes of a cryptographic random generator.
    pub fn from_random(bytes: &[u8; 32]) -> Self {
        let text = format!("{}{}", K::PREFIX, URL_SAFE_NO_PAD.encode(bytes));
        Self(text.into(), PhantomData)
    }

    /// From what somebody presented: exact prefix, length and canonical alphabet, or nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix(K::PREFIX)?;
        if body.len() != BODY_LEN || URL_SAFE_NO_PAD.decode(body).is_err() {
            return None;
        }
        Some(Self(text.to_owned().into(), PhantomData))
    }
}

impl<K> Plain<K> {
    /// What a table holds in its stead.
    pub fn hashed(&self) -> Hashed<K> {
        Hashed::of(self.0.expose_secret())
    }

    /// The text, for the one response that shows it.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

/// SHA-256 of a secret of 256 random bits (a slow hash would protect nothing more). Equality is
/// constant-time.
pub struct Hashed<K>([u8; 32], PhantomData<K>);

impl<K> Hashed<K> {
    /// The hash of a secret's exact text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into(), PhantomData)
    }

    /// From a table.
    pub const fn from_stored(bytes: [u8; 32]) -> Self {
        Self(bytes, PhantomData)
    }

    /// For a table.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl<K> Clone for Hashed<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Hashed<K> {}

impl<K> PartialEq for Hashed<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl<K> Eq for Hashed<K> {}

impl<K> fmt::Debug for Hashed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hashed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w27_any_variant_of_a_token_is_no_token() {
        let plain = Plain::<Code>::from_random(&[7; 32]);
        let text = plain.reveal().to_owned();
        assert!(Plain::<Code>::parse(&text).is_some());
        for cut in 0..text.len() {
            assert!(Plain::<Code>::parse(&text[..cut]).is_none(), "truncated to {cut}");
        }
        for variant in [
            format!("{text}="),
            format!("{text} "),
            format!(" {text}"),
            format!("\u{feff}{text}"),
            text.to_uppercase(),
            text.replace('c', "%63"),
            format!("{text}{text}"),
        ] {
            assert!(Plain::<Code>::parse(&variant).is_none(), "{variant}");
        }
        // The last character carries two bits that must be zero: only one spelling exists.
        let twin = format!("{}d", &text[..text.len() - 1]);
        assert!(Plain::<Code>::parse(&twin).is_none());
    }

    #[test]
    fn w26_kinds_do_not_stand_in_for_each_other() {
        let code = Plain::<Code>::from_random(&[1; 32]);
        assert!(Plain::<Refresh>::parse(code.reveal()).is_none());
        assert!(Plain::<Session>::parse(code.reveal()).is_none());
    }

    #[test]
    fn w89_equality_compares_digests() {
        assert_eq!(Hashed::<Client>::of("a"), Hashed::of("a"));
        assert_ne!(Hashed::<Client>::of("a"), Hashed::of("b"));
        assert_eq!(format!("{:?}", Hashed::<Client>::of("a")), "Hashed(..)");
    }
}
