//! What the parts cost alone, and every figure of ours beside what it is made of.

use wire::Algorithm;

use crate::insert::Inserts;
use crate::load::Driven;
use crate::machine::cores;
use crate::raw::Signatures;
use crate::replay::Replayed;
use crate::report::{Bound, Row};
use crate::tour::Doing;

/// The processor time of a request may be so many times that of its parts.
pub const TIMES_MAX: f64 = 1.4;
/// What a daemon may hold in memory after the run, in MiB.
pub const MEMORY_MAX_MIB: u64 = 40;

/// Measured in this run, before anything of ours.
#[derive(Debug)]
pub struct Limits {
    /// Durable writes of one 8 kB block per second, if that could be asked.
    pub fdatasync: Option<f64>,
    /// Rows, with few clients first.
    pub inserts: Vec<Inserts>,
    /// The bare endpoint.
    pub bare: Driven,
    /// `C_Sign`, with few threads first for each algorithm.
    pub raw: Vec<Signatures>,
    /// Verifications of a client's ES256 signature per second, and what one costs in microseconds.
    pub verified: (f64, f64),
}

impl Limits {
    /// The limits themselves.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = vec![Row::of("bare POST 1 kB over TLS, 32 connections", &self.bare)];
        rows.extend(self.fdatasync.map(|rate| Row::new("fdatasync of 8 kB (pg_test_fsync)", rate)));
        for insert in &self.inserts {
            let clients = counted(insert.clients, "client");
            let row = Row::new(format!("durable row, {clients}"), insert.rate);
            rows.push(row.postgres(insert.each_us));
        }
        for raw in &self.raw {
            let (name, threads) = (raw.algorithm.name(), counted(raw.at_once, "thread"));
            let row = Row::new(format!("C_Sign {name}, {threads}"), raw.rate);
            rows.push(row.signing(raw.each_us));
        }
        let (rate, each_us) = self.verified;
        rows.push(Row::new("verify ES256, 1 thread", rate).load(each_us));
        rows
    }

    /// Signatures of keyd beside those of its token.
    pub fn beside_raw(&self, ours: &Signatures) -> Row {
        let raw = self.sign(ours.algorithm);
        let name = ours.algorithm.name();
        let of = format!("C_Sign on all cores; ours {:.1}×", ours.each_us / raw.each_us);
        Row::new(format!("keyd {name}, {} under way", ours.at_once), ours.rate)
            .signing(ours.each_us)
            .beside(Bound { of, rate: raw.rate })
    }

    /// A request beside what it is made of: bare requests, its SQL at both ends of the socket, its signatures.
    pub fn beside_parts(&self, doing: &Doing, ours: &Driven, sql: Replayed) -> Row {
        let signing = doing.signs.iter().map(|algorithm| self.sign(*algorithm).each_us).sum();
        let parts = [
            ("http", self.bare.each_us(self.bare.spent.http) * f64::from(doing.requests)),
            ("pg", sql.postgres_us),
            ("driver", sql.driver_us),
            ("sign", signing),
            ("verify", if doing.verifies { self.verified.1 } else { 0.0 }),
        ];
        let sum: f64 = parts.iter().map(|(_, us)| us).sum();
        #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
        let rate = cores() as f64 * 1e6 / sum;
        let row = Row::of(doing.what, ours).trips(sql.trips);
        let times = row.total_us() / sum;
        let parts = parts.iter().filter(|(_, us)| *us > 0.0);
        let parts: Vec<String> = parts.map(|(part, us)| format!("{part} {us:.0}")).collect();
        let verdict = verdict(times <= TIMES_MAX);
        let of = format!("{} = {sum:.0} µs; ours {times:.2}×: {verdict}", parts.join(" + "));
        row.beside(Bound { of, rate })
    }

    /// On all cores.
    fn sign(&self, algorithm: Algorithm) -> Signatures {
        let of = self.raw.iter().rfind(|raw| raw.algorithm == algorithm);
        *of.expect("every algorithm was measured")
    }
}

/// Of a target.
pub fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
