//! keyd signs tokens with keys that never leave a PKCS#11 token.
//!
//! It is not a signing oracle: a caller names a key and a purpose and hands over claims, and a request goes
//! `serve → permit → policy → jws → hsm`, five short files. What a key may be used for is a statement that
//! keyd has sealed itself; PostgreSQL only keeps it.

pub mod answer;
pub mod config;
pub mod connection;
pub mod hsm;
pub mod init;
pub mod jws;
pub mod keyring;
pub mod permit;
pub mod policy;
pub mod queue;
pub mod serve;
pub mod statements;

/// A signer in doubt must not live on. The message of the panic may hold anything, so only its place is said.
pub fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "ALARM: keyd panicked and aborts");
        std::process::abort()
    }));
}
