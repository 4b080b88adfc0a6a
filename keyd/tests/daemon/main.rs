//! keyd as it ships, on a `SoftHSM` token, seen from its sockets. Needs softhsm2, opensc and root.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test support"
)]

mod attack;
mod bed;
mod life;
mod sign;
mod start;
mod token;
