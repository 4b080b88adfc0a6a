//! One property per parser of bytes that somebody else wrote, each as a plain function.
//!
//! libFuzzer calls them through `fuzz_targets/`, `tests/replay.rs` calls them with the committed corpora
//! on the stable toolchain. A function says whether its parser accepted the input, so that the replay can
//! tell that a corpus reaches both verdicts; a property that does not hold panics.
//!
//! Where another reader of the same format exists (`serde_json`, `url`), the property is a comparison with
//! it: what a second parser reads differently is how filters are passed.
#![warn(missing_docs)]

mod authorization_details;
mod authorize_request;
mod basic;
mod claims;
mod client_assertion;
mod client_metadata;
mod cookie;
mod deferred;
mod detail_type;
mod form;
mod jwk;
mod jwt;
mod key_set;
mod keyd_frame;
mod proxy_header;
mod redirect_uri;
mod scope;
mod statement;
mod text;
mod token_request;

pub use authorization_details::authorization_details;
pub use authorize_request::authorize_request;
pub use basic::basic;
pub use claims::claims;
pub use client_assertion::client_assertion;
pub use client_metadata::client_metadata;
pub use cookie::cookie;
pub use deferred::{ciba_request, device_request, user_code};
pub use detail_type::detail_type;
pub use form::form;
pub use jwk::jwk;
pub use jwt::jwt;
pub use key_set::key_set;
pub use keyd_frame::keyd_frame;
pub use proxy_header::proxy_header;
pub use redirect_uri::redirect_uri;
pub use scope::scope;
pub use statement::statement;
pub use token_request::token_request;

/// A property over any bytes; true when its parser accepted them.
pub type Target = fn(&[u8]) -> bool;

/// Every target under the name of its file and its corpus.
pub const TARGETS: [(&str, Target); 21] = [
    ("authorization_details", authorization_details),
    ("authorize_request", authorize_request),
    ("basic", basic),
    ("claims", claims),
    ("ciba_request", ciba_request),
    ("client_assertion", client_assertion),
    ("client_metadata", client_metadata),
    ("cookie", cookie),
    ("detail_type", detail_type),
    ("device_request", device_request),
    ("form", form),
    ("jwk", jwk),
    ("jwt", jwt),
    ("key_set", key_set),
    ("keyd_frame", keyd_frame),
    ("proxy_header", proxy_header),
    ("redirect_uri", redirect_uri),
    ("scope", scope),
    ("statement", statement),
    ("token_request", token_request),
    ("user_code", user_code),
];
