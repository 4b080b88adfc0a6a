//! OAuth 2.0 and OpenID Connect as pure functions: bytes and time in, decisions out.
//!
//! No I/O, no clock, no randomness, no async: `now` and random bytes are arguments. The daemons read,
//! ask a function here to decide, let keyd sign, and let one guarded SQL statement be the gate.
//!
//! Where to start reading: [`authorize`] (request → interaction → code), then [`code`], [`refresh`] and
//! [`issue`] (artefact → tokens). Every parser of public bytes is here too: [`form`], [`basic`], [`cookie`],
//! [`jwt`], [`jwk`], [`assertion`], [`rar`], [`uri`].
#![warn(missing_docs)]

pub mod account;
pub mod assertion;
pub mod authorize;
pub mod basic;
pub mod claims;
pub mod claims_request;
pub mod client;
pub mod code;
pub mod consent;
pub mod cookie;
pub mod deferred;
pub mod discovery;
pub mod error;
pub mod exchange;
pub mod form;
pub mod grant;
pub mod ids;
pub mod introspection;
pub mod issue;
pub mod jwk;
pub mod jwt;
pub mod logout;
pub mod machine;
pub mod password;
pub mod pkce;
pub mod rar;
pub mod refresh;
pub mod scope;
pub mod secret;
pub mod text;
pub mod throttle;
pub mod time;
pub mod token;
pub mod uri;
pub mod userinfo;
mod words;

pub use error::{Error, ErrorCode};
pub use scope::{Scope, ScopeSet};
pub use secret::{Hashed, Plain};
pub use time::Timestamp;
