//! The least that a durable write can cost here: one row, one commit.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Executor as _};

use crate::processor::used_by_family;

/// A rate, and what one row costs.
#[derive(Debug, Clone, Copy)]
pub struct Inserts {
    /// Connections.
    pub clients: usize,
    /// Rows per second.
    pub rate: f64,
    /// Processor time of PostgreSQL for one, in microseconds.
    pub each_us: f64,
}

/// Inserts rows with 32 random bytes as their key, as everything is that a token is looked up by.
pub fn measure(sockets: &Path, postmaster: u32, clients: usize, length: Duration) -> Inserts {
    let bench = e2e::bench::bench();
    let database = format!("rows_{clients}");
    bench.database(&database, None);
    let options = PgConnectOptions::new_without_pgpass()
        .socket(sockets)
        .username("postgres")
        .database(&database);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..clients {
            connections.push(options.connect().await.unwrap());
        }
        let first = connections.first_mut().expect("at least one client");
        let table = "CREATE TABLE rows (key bytea PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), note text)";
        first.execute(table).await.unwrap();
        let durable: String = sqlx::query_scalar("SHOW fsync").fetch_one(first).await.unwrap();
        assert_eq!(durable, "on", "rows that are not durable are no bound");

        let before = used_by_family(postmaster);
        let began = Instant::now();
        let tasks: Vec<_> = connections
            .into_iter()
            .map(|connection| tokio::spawn(insert(connection, began, length)))
            .collect();
        let mut count = 0_u32;
        let mut connections = Vec::new();
        for task in tasks {
            let (rows, connection) = task.await.unwrap();
            count += rows;
            connections.push(connection);
        }
        let count = f64::from(count);
        let rate = count / began.elapsed().as_secs_f64();
        // Read while the connections are open: a server process that has ended is counted elsewhere.
        let spent = used_by_family(postmaster).saturating_sub(before);
        drop(connections);
        Inserts { clients, rate, each_us: spent.as_secs_f64() * 1e6 / count }
    })
}

async fn insert(
    mut connection: PgConnection,
    began: Instant,
    length: Duration,
) -> (u32, PgConnection) {
    let mut count = 0;
    let note = "x".repeat(120);
    while began.elapsed() < length {
        let mut key = [0; 32];
        getrandom::fill(&mut key).unwrap();
        let row = sqlx::query("INSERT INTO rows (key, note) VALUES ($1, $2)").bind(key.as_slice());
        row.bind(&note).execute(&mut connection).await.unwrap();
        count += 1;
    }
    (count, connection)
}
