//! How fast the appliance is, beside the limits of the machine that it ran on, in one run.
//!
//! Rates of a shared machine mean little and change by the hour; what one request costs in processor time,
//! and how near it comes to what its parts cost alone, means the same tomorrow. So every figure stands
//! beside a bound measured minutes before: a bare TLS endpoint, a durable insert, a raw `C_Sign`.
//!
//! `make bench` runs `benches/appliance.rs`. Three of its parts are processes of their own (the same binary
//! with a word as argument), because they are measured by process: [`bare`], [`raw`], [`pipeline`].
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a measurement that cannot be made must stop the run"
)]

pub mod assertion;
pub mod bare;
pub mod child;
pub mod grants;
pub mod insert;
pub mod limits;
pub mod load;
pub mod machine;
pub mod pipeline;
pub mod processor;
pub mod raw;
pub mod recording;
pub mod replay;
pub mod report;
pub mod requests;
pub mod tour;
pub mod world;
