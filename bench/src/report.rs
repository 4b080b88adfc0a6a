//! The table.

use std::fmt::Write as _;
use std::time::Duration;

use crate::load::Driven;

/// One line: what was done, how fast, what it cost, and what bounds it.
#[derive(Debug, Clone)]
pub struct Row {
    what: String,
    rate: f64,
    latency: Option<(Duration, Duration)>,
    /// Microseconds of processor time for one: HTTP, signing, PostgreSQL.
    costs: [Option<f64>; 3],
    load_us: Option<f64>,
    trips: Option<f64>,
    bound: Option<Bound>,
}

/// What the parts cost alone.
#[derive(Debug, Clone)]
pub struct Bound {
    /// Which parts.
    pub of: String,
    /// Per second.
    pub rate: f64,
}

impl Row {
    /// A line about a rate.
    pub fn new(what: impl Into<String>, rate: f64) -> Self {
        let what = what.into();
        Self {
            what,
            rate,
            latency: None,
            costs: [None; 3],
            load_us: None,
            trips: None,
            bound: None,
        }
    }

    /// A line about a load on a server; costs of parts that took none are left out.
    pub fn of(what: impl Into<String>, driven: &Driven) -> Self {
        let cost = |spent: Duration| (!spent.is_zero()).then(|| driven.each_us(spent));
        let spent = driven.spent;
        Self {
            latency: Some((driven.percentile(50), driven.percentile(99))),
            costs: [cost(spent.http), cost(spent.signing), cost(spent.postgres)],
            load_us: cost(spent.load),
            ..Self::new(what, driven.rate())
        }
    }

    /// What one signature costs.
    #[must_use]
    pub fn signing(mut self, us: f64) -> Self {
        self.costs[1] = Some(us);
        self
    }

    /// What one costs PostgreSQL.
    #[must_use]
    pub fn postgres(mut self, us: f64) -> Self {
        self.costs[2] = Some(us);
        self
    }

    /// Of the load itself, or of a driver.
    #[must_use]
    pub fn load(mut self, us: f64) -> Self {
        self.load_us = Some(us);
        self
    }

    /// Round trips to PostgreSQL for one.
    #[must_use]
    pub fn trips(mut self, trips: f64) -> Self {
        self.trips = Some(trips);
        self
    }

    /// Beside a bound.
    #[must_use]
    pub fn beside(mut self, bound: Bound) -> Self {
        self.bound = Some(bound);
        self
    }

    /// Processor time of all servers for one, in microseconds.
    pub fn total_us(&self) -> f64 {
        self.costs.iter().flatten().sum()
    }
}

const COLUMNS: usize = 13;

const HEAD: [&str; COLUMNS] = [
    "", "per s", "p50 ms", "p99 ms", "http µs", "sign µs", "pg µs", "sum µs", "load µs", "trips",
    "bound/s", "of bound", "bound by",
];

/// All lines in columns.
pub fn table(rows: &[Row]) -> String {
    let mut cells = vec![HEAD.map(str::to_owned)];
    cells.extend(rows.iter().map(columns));
    let widths = cells.iter().fold([0; COLUMNS], |mut widths, row| {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
        widths
    });
    let mut text = String::new();
    for row in &cells {
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Words to the left, numbers to the right.
            match at {
                0 => write!(text, "{cell:width$}").unwrap(),
                _ if at + 1 == COLUMNS => write!(text, "  {cell}").unwrap(),
                _ => write!(text, "  {cell:>width$}").unwrap(),
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn columns(row: &Row) -> [String; COLUMNS] {
    let or_blank = |value: Option<f64>, decimals: usize| {
        value.map_or_else(String::new, |value| format!("{value:.decimals$}"))
    };
    let ms = |latency: Duration| latency.as_secs_f64() * 1e3;
    let total = Some(row.total_us()).filter(|total| *total > 0.0);
    let bound = row.bound.as_ref();
    [
        row.what.clone(),
        format!("{:.0}", row.rate),
        or_blank(row.latency.map(|(p50, _)| ms(p50)), 2),
        or_blank(row.latency.map(|(_, p99)| ms(p99)), 2),
        or_blank(row.costs[0], 1),
        or_blank(row.costs[1], 1),
        or_blank(row.costs[2], 1),
        or_blank(total, 1),
        or_blank(row.load_us, 1),
        or_blank(row.trips, 2),
        or_blank(bound.map(|bound| bound.rate), 0),
        bound.map_or_else(String::new, |bound| format!("{:.2}", row.rate / bound.rate)),
        bound.map_or_else(String::new, |bound| bound.of.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_the_ratio_is_ours_over_the_bound() {
        let bound = Bound { of: "raw".to_owned(), rate: 400.0 };
        let rows = [
            Row::new("signatures", 100.0).signing(12.0).beside(bound),
            Row::new("longer than signatures", 12345.0),
        ];
        let table = table(&rows);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].contains(" 100 ") && lines[1].contains("12.0"), "{table}");
        assert!(lines[1].ends_with("400      0.25  raw"), "{table}");
        assert!(lines[2].ends_with("12345"), "{table}");
        let end = |line: &str, cell: &str| line.find(cell).unwrap() + cell.len();
        assert_eq!(end(lines[1], " 100"), end(lines[2], "12345"), "{table}");
    }
}
