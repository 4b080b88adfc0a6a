//! What may be said to keyd, and how it is framed. Pure: bytes in, types out.
//!
//! keyd is not a signing oracle. A caller names a key and a [`Purpose`] and hands over *claims*; keyd
//! checks them against its policy and assembles the JWS itself. Everything that may cross the socket is
//! in [`Request`] and [`Reply`]; there is no other vocabulary.
#![warn(missing_docs)]

mod claims;
mod frame;
mod jwk;
mod message;
mod statement;

pub use claims::{ClaimsError, strict_array, strict_object};
pub use frame::{Decoder, FRAME_MAX, FrameError, HEADER_LEN, REPLY_MAX, VERSION, encode};
pub use jwk::{Jwk, JwkError, thumbprint};
pub use message::{
    AuditRoot, DeriveLabel, KeyView, Purpose, Refused, Reply, Request, Secret32, Sign, TokenState,
};
pub use statement::{Algorithm, Class, KeyState, Kid, KidError, Sealed, Statement};
