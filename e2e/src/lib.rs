//! The bench: the real programs against a real PostgreSQL and a real PKCS#11 token.
//!
//! A test asks for a [`Stand`] and gets an installation of its own: a database made from a migrated
//! template, a token with its own PIN, certificates, keyd, authd and admind as separate processes, and as
//! separate users when root runs the tests. It is gone when the stand is dropped; what a killed test
//! leaves behind is ended by a reaper that outlives it.
//!
//! Everything here panics when it fails: the bench is part of a test, and a broken bench must stop the
//! test at the line that broke.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "test support: a failure here is the failure of the test that asked"
)]

pub mod aftermath;
pub mod authority;
pub mod bench;
mod browser;
mod client;
pub mod crowd;
pub mod flood;
mod html;
mod http;
pub mod ledger;
mod party;
pub mod people;
mod pkce;
mod process;
mod psql;
mod race;
mod routes;
mod stand;
pub mod timing;
pub mod tokens;
mod trace;
mod trap;
pub mod whole;

pub use browser::{Browser, Page};
pub use client::{Client, Form, basic, bearer, query};
pub use http::{Connection, Response, Trust};
pub use party::Party;
pub use pkce::Pkce;
pub use process::Daemon;
pub use psql::Psql;
pub use race::{Racer, Track, field, patiently, race, rounds};
pub use routes::routes;
pub use stand::{Node, Options, Stand};
pub use trap::{Answer, Heard, Trap};
