//! The listener as a whole, over real TLS on loopback.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod descriptors;
mod lifecycle;
mod log;
mod proxies;
mod requests;
mod smuggling;
mod support;
