//! Bad configuration stops a daemon before it serves: exit code 78, one line, the key's name, never a secret.
//! Good configuration may come under the names that the original systems used.
#![expect(
    clippy::unwrap_used,
    reason = "test support: a failure here is the failure of the test that asked"
)]

mod accepted;
mod command;
mod refused;
mod rig;
