//! Whether what a request presents proves that it comes from its client (W73–W89).

use secrecy::ExposeSecret as _;

use super::{AuthMethod, Client, Keys, Presented, StoredSecret};
use crate::Timestamp;
use crate::assertion::{Assertion, Expected, Proven, Signature};
use crate::jwk::{Key, KeySet, Signed};
use crate::secret::Hashed;

/// A client that has just proved who it is, in its registered way. [`Client::authenticate`] is the only maker.
#[derive(Debug, Clone)]
pub struct Authenticated(Client);

impl std::ops::Deref for Authenticated {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

/// What the server knows when a client authenticates, whichever way that is registered for.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Secrets that the client has.
    pub secrets: &'a [StoredSecret],
    /// What the courier fetched from its `jwks_uri`, if it has one and there was time; keys that are
    /// registered are in the metadata.
    pub fetched: Option<&'a KeySet>,
    /// Who we are.
    pub issuer: &'a str,
    /// The URL of the endpoint that was called, for clients that may name it as audience.
    pub endpoint: &'a str,
    /// The database's clock.
    pub now: Timestamp,
}

/// Why a client did not authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// Another method than the registered one, or not a good proof of it.
    Refused,
    /// The fetched keys lack the one that is named: it may be newer than they are.
    KeyUnknown,
    /// No keys were fetched yet, so nothing can be said.
    KeysMissing,
}

impl Unproven {
    /// Whether the courier should fetch the client's keys anew (it decides how often, W139).
    pub const fn wants_keys(self) -> bool {
        match self {
            Self::KeyUnknown | Self::KeysMissing => true,
            Self::Refused => false,
        }
    }
}

impl Client {
    /// Whether `presented` is this client's registered method and a good proof of it (W87). `verify` says
    /// whether a key made a signature (`signer::client_key::verify`).
    ///
    /// With an assertion there is a [`Proven`], and nothing may be done for the client before its `jti` is
    /// stored as new.
    pub fn authenticate(
        self,
        presented: &Presented,
        evidence: &Evidence<'_>,
        verify: impl Fn(&Key, &Signed<'_>) -> bool,
    ) -> Result<(Authenticated, Option<Proven>), Unproven> {
        if presented.client_id() != &self.id {
            return Err(Unproven::Refused);
        }
        let proven = match (self.metadata.auth_method, presented) {
            (AuthMethod::ClientSecretBasic, Presented::Basic(_, secret))
            | (AuthMethod::ClientSecretPost, Presented::Post(_, secret)) => {
                is_secret(secret.expose_secret(), evidence).then_some(None)
            }
            (AuthMethod::PrivateKeyJwt, Presented::Assertion(_, assertion)) => {
                Some(Some(self.proven(assertion, evidence, verify)?))
            }
            (AuthMethod::None, Presented::Nothing(_)) => Some(None),
            (
                AuthMethod::ClientSecretBasic,
                Presented::Post(..) | Presented::Assertion(..) | Presented::Nothing(_),
            )
            | (
                AuthMethod::ClientSecretPost,
                Presented::Basic(..) | Presented::Assertion(..) | Presented::Nothing(_),
            )
            | (
                AuthMethod::PrivateKeyJwt,
                Presented::Basic(..) | Presented::Post(..) | Presented::Nothing(_),
            )
            | (
                AuthMethod::None,
                Presented::Basic(..) | Presented::Post(..) | Presented::Assertion(..),
            ) => None,
        };
        proven.map(|proven| (Authenticated(self), proven)).ok_or(Unproven::Refused)
    }

    /// Claims first: only an assertion that could count costs a signature, or a fetch.
    fn proven(
        &self,
        assertion: &Assertion,
        evidence: &Evidence<'_>,
        verify: impl Fn(&Key, &Signed<'_>) -> bool,
    ) -> Result<Proven, Unproven> {
        let expected = Expected {
            issuer: evidence.issuer,
            endpoint: self.metadata.assertion_audience_endpoint.then_some(evidence.endpoint),
            now: evidence.now,
        };
        let proven = assertion.judge(&expected).map_err(|_| Unproven::Refused)?;
        let (keys, fetched) = match (&self.metadata.keys, evidence.fetched) {
            (Some(Keys::Inline(keys)), _) => (keys, false),
            (Some(Keys::At(_)), Some(keys)) => (keys, true),
            (Some(Keys::At(_)), None) => return Err(Unproven::KeysMissing),
            (None, _) => return Err(Unproven::Refused),
        };
        match assertion.signature(keys, verify) {
            Signature::Good => Ok(proven),
            Signature::UnknownKey if fetched => Err(Unproven::KeyUnknown),
            Signature::UnknownKey | Signature::Bad => Err(Unproven::Refused),
        }
    }
}

/// Every stored secret is compared, found or not.
fn is_secret(secret: &str, evidence: &Evidence<'_>) -> bool {
    let hash = Hashed::of(secret);
    evidence
        .secrets
        .iter()
        .map(|stored| stored.hash == hash && stored.expires_at.is_none_or(|end| evidence.now < end))
        .fold(false, |any, one| any | one)
}
