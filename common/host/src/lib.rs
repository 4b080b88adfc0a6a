//! What a process of ours needs from the machine it runs on: its arguments and settings, its
//! credentials and inherited sockets, its peers' identity, its log and its sandbox.
//!
//! No async here and no threads: everything runs before a runtime exists, because a Landlock
//! domain binds only the thread that enters it and the threads that one starts afterwards.
//! This is also the only crate that reads the environment or the clock.
#![warn(missing_docs)]

pub mod args;
pub mod clock;
pub mod config;
pub mod database;
pub mod descriptors;
mod environment;
pub mod exit;
pub mod origin;
pub mod peer;
pub mod resolver;
pub mod sandbox;
pub mod secret;
pub mod signals;
pub mod systemd;
pub mod telemetry;
