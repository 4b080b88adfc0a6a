//! What the parts cost alone, and every figure of ours beside what it is made of.

use wire::Algorithm;

use crate::insert::Inserts;
use crate::load::Driven;
use crate::machine::cores;
use crate::raw::Signatures;
use crate::report::{Bound, Row};

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

    /// A token request beside one bare POST, one durable row and its signatures.
    pub fn beside_parts(&self, what: &str, ours: &Driven, signatures: &[Algorithm]) -> Row {
        let http = self.bare.each_us(self.bare.spent.http);
        let row = self.inserts.last().map_or(0.0, |insert| insert.each_us);
        let signing: f64 = signatures.iter().map(|algorithm| self.sign(*algorithm).each_us).sum();
        let parts = http + row + signing;
        #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
        let rate = cores() as f64 * 1e6 / parts;
        let line = Row::of(what, ours);
        let times = line.total_us() / parts;
        let of = format!("{http:.0} + {row:.0} + {signing:.0} = {parts:.0} µs; ours {times:.1}×");
        line.beside(Bound { of, rate })
    }

    /// On all cores.
    fn sign(&self, algorithm: Algorithm) -> Signatures {
        let of = self.raw.iter().rfind(|raw| raw.algorithm == algorithm);
        *of.expect("every algorithm was measured")
    }
}

fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
