//! Everything that can be asked of keyd, and everything it can answer.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{Algorithm, Class, Jwk, KeyState, Kid, Sealed};

/// What a signature is for. The purpose decides `typ`, the ceiling on the lifetime and the key class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// An RFC 9068 access token (`typ: at+jwt`) for anything but the admin API.
    AccessToken,
    /// An RFC 9068 access token whose only audience is the admin API.
    AdminToken,
    /// An OpenID Connect ID token (`typ: JWT`).
    IdToken,
}

/// Claims to be signed for a purpose by a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sign {
    /// The key.
    pub kid: Kid,
    /// What for.
    pub purpose: Purpose,
    /// A JSON object; keyd parses it strictly and signs exactly these bytes.
    pub claims: Vec<u8>,
}

/// A subkey that may be derived. An allow-list: there is no free-text label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeriveLabel {
    /// authd: binds a form to the browser that it was made for.
    Csrf,
    /// admind: seals pagination cursors.
    Cursor,
}

/// The root of an audit checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRoot(pub [u8; 32]);

impl AuditRoot {
    /// The bytes that an audit key signs. The prefix keeps a seal from ever being read as a JWS: base64url
    /// has no space.
    pub fn signing_input(&self) -> Vec<u8> {
        let mut bytes = b"opentrusty audit seal 1 ".to_vec();
        bytes.extend_from_slice(&self.0);
        bytes
    }
}

/// A request. Which peer may send which is one table in keyd (`permit.rs`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Sign claims.
    Sign(Sign),
    /// Every key that keyd believes in, for building a JWKS.
    PublicKeys,
    /// Statements that the caller read from the database. keyd believes only its own MAC.
    Load(Vec<Sealed>),
    /// A 32-byte subkey.
    Derive(DeriveLabel),
    /// Can the token sign right now?
    Health,
    /// Make a key inside the token; it is staged, not active.
    Generate {
        /// The `iss` it will sign for.
        issuer: String,
        /// Its algorithm.
        algorithm: Algorithm,
        /// What it will sign.
        class: Class,
    },
    /// Let a staged key sign from now on.
    Activate {
        /// The key.
        kid: Kid,
        /// Skip the wait for verifiers' caches: only for an issuer's very first key of that class and
        /// algorithm, when nobody can hold a JWKS without it. keyd checks that itself.
        first: bool,
    },
    /// Let an active key sign no more.
    Retire(Kid),
    /// Delete a retired key from the token.
    Destroy(Kid),
    /// Sign an audit checkpoint.
    SealAudit(AuditRoot),
    /// Counters and key states for an operator.
    Status,
}

/// A key as keyd sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// The key.
    pub kid: Kid,
    /// The issuer it is bound to.
    pub issuer: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// What it signs.
    pub class: Class,
    /// Its public half.
    pub public: Jwk,
    /// Where it stands now, by keyd's clock.
    pub state: KeyState,
    /// Seconds since the epoch.
    pub staged_at: u64,
    /// Seconds since the epoch; `None` while staged.
    pub not_sign_before: Option<u64>,
    /// Seconds since the epoch; `None` until retired.
    pub not_sign_after: Option<u64>,
    /// Signatures made by this process with this key.
    pub signatures: u64,
}

/// Whether the token can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenState {
    /// Signing works.
    Ready,
    /// Lost; keyd is trying to reopen it.
    Lost,
    /// The PIN was refused. keyd never retries a PIN: a token locks after a few.
    Locked,
}

/// 32 secret bytes; wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Secret32(pub [u8; 32]);

impl fmt::Debug for Secret32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret32(..)")
    }
}

/// Why keyd said no. Words only: no PKCS#11 code, nothing of the claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Refused {
    /// This peer may not ask this.
    NotPermitted,
    /// No such key is loaded.
    UnknownKey,
    /// The key's class does not serve this purpose, or its state forbids it.
    WrongKey,
    /// The claims are no strict JSON object within the size limit.
    MalformedClaims,
    /// `iss` is not the issuer that the key is bound to.
    ForeignIssuer,
    /// `aud` is missing, or the admin audience where it must not be, or not the admin audience where it must.
    WrongAudience,
    /// `iat` is missing or not within the skew of keyd's clock.
    WrongIssueTime,
    /// `exp` is missing, not after `iat`, or beyond the ceiling of the purpose.
    LifetimeTooLong,
    /// A claim that the purpose requires is missing or of the wrong type.
    MissingClaim,
    /// Activation before every verifier's cache can know the key.
    TooEarly,
    /// Destruction before the last token signed by the key has expired.
    StillNeeded,
    /// The queue is full; try again.
    Busy,
    /// The token cannot be used now; try again.
    Unavailable,
    /// The token refused the PIN.
    Locked,
    /// The algorithm is not offered by this token.
    Unsupported,
    /// keyd's own fault, logged there.
    Internal,
    /// There is no room for another key.
    Full,
    /// What a key is to be bound to can be no issuer.
    InvalidIssuer,
}

impl Refused {
    /// Whether the same request may succeed shortly.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Busy | Self::Unavailable)
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "replies are written or taken apart, never kept")]
pub enum Reply {
    /// A compact JWS.
    Signed(String),
    /// The keys keyd believes in.
    PublicKeys(Vec<KeyView>),
    /// How many statements were believed, and which positions were not: somebody else wrote those rows.
    Loaded {
        /// Statements accepted (or already known).
        accepted: u32,
        /// Positions in the request whose MAC, encoding or key in the token did not match.
        planted: Vec<u32>,
    },
    /// A subkey.
    Derived(Secret32),
    /// The token's state.
    Health(TokenState),
    /// The new statement about a key, to be stored; with the key's own view.
    Changed {
        /// To be stored verbatim.
        sealed: Sealed,
        /// What it says.
        view: KeyView,
    },
    /// The key is gone from the token.
    Destroyed,
    /// A signature over an audit root, with the key that made it.
    AuditSealed {
        /// The key.
        kid: Kid,
        /// The raw signature (r‖s for ES256).
        signature: Vec<u8>,
    },
    /// Counters for an operator.
    Status {
        /// The token.
        token: TokenState,
        /// Keys.
        keys: Vec<KeyView>,
        /// Signatures since start.
        signatures: u64,
        /// Requests refused since start.
        refusals: u64,
    },
    /// No.
    Refused(Refused),
}
