//! The listener of authd and admind: TLS and HTTP/1.1 or HTTP/2, with a limit on everything a
//! peer can send, hold or delay; and the responses, with the headers that each must carry.
//!
//! A handler sees a [`Request`] whose body has been read, on a host name that is served here,
//! and runs in a task of its own: a client that goes away cancels nothing.
#![warn(missing_docs)]

mod client;
mod connection;
pub mod cookie;
mod exchange;
mod gate;
mod hosts;
mod limits;
mod networks;
mod proxy;
#[cfg(test)]
mod proxy_tests;
mod request;
pub mod response;
mod serve;
mod tls;

pub use client::Proxies;
pub use hosts::{Hosts, InvalidHost};
pub use limits::Limits;
pub use networks::{InvalidNetwork, Network, Networks, network};
pub use request::{Malformed, Request, RequestId};
pub use response::Response;
pub use serve::{Handler, Server, serve, terminated, vouch};
pub use tls::{Tls, TlsError};
