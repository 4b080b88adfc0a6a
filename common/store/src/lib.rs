//! What both daemons and the command need of PostgreSQL: a bounded pool, the schema check, the audit vocabulary.
//!
//! The SQL itself lives beside the code that needs it (`authd/src/store`, `admind/src/store`).
#![warn(missing_docs)]

pub mod audit;
mod hung;
pub mod schema;

use std::str::FromStr as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

pub use hung::{Hung, Pulse};
pub use sqlx::PgPool;

/// Longest wait for a free connection: a full pool answers 503 quickly instead of queueing (F9).
const ACQUIRE: Duration = Duration::from_millis(500);

/// A connection that lay idle for longer is asked whether it still lives. One in a busy pool never is; one of a
/// quiet pool would otherwise cost whoever meets it first a 503 after PostgreSQL was restarted (F2, F12).
const FRESH: Duration = Duration::from_millis(100);

/// Longest time that a daemon spends on [`fill`] before it serves with what it has.
const FILL: Duration = Duration::from_secs(5);

/// Age at which a connection is replaced: what a server keeps for one grows, and one may lead to a server that is
/// none any more.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// Time between two that are replaced.
const APART: Duration = Duration::from_secs(10);

/// A URL that is no PostgreSQL connection URL. Its text may hold a password and is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidUrl;

impl std::fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a PostgreSQL connection URL")
    }
}

impl std::error::Error for InvalidUrl {}

/// A pool of `connections`, none of them open yet: a daemon starts in any order with PostgreSQL, and opens them
/// with [`fill`]. What is open stays open, and is replaced for its age one at a time.
///
/// Every statement is bounded: 2 s to run, 1 s to wait for a lock, 5 s idle inside a transaction. By the server: the
/// [`Pulse`] tells when there is none behind any of the connections.
pub fn pool(url: &str, connections: u32, program: &str) -> Result<(PgPool, Pulse), InvalidUrl> {
    let options = options(url, program)?.options([
        ("statement_timeout", "2000"),
        ("lock_timeout", "1000"),
        ("idle_in_transaction_session_timeout", "5000"),
    ]);
    let renewals = Renewals(Mutex::new(Instant::now()));
    let pulse = Pulse::default();
    let beats = pulse.clone();
    let pool = PgPoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > FRESH {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        // What is closed here is opened again at once, by nobody who waits for it.
        .after_release(move |_, meta| {
            beats.beat();
            let keep = !renewals.is_due(meta.age);
            Box::pin(async move { Ok(keep) })
        })
        .connect_lazy_with(options);
    Ok((pool, pulse))
}

/// When connections are replaced for their age: one at a time. All were opened in the same moment, and all at once
/// their ends would be another cold start.
struct Renewals(Mutex<Instant>);

impl Renewals {
    fn is_due(&self, age: Duration) -> bool {
        if age < LIFETIME {
            return false;
        }
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.elapsed() >= APART;
        if due {
            *last = Instant::now();
        }
        due
    }
}

/// Opens what `pool` may hold, one connection after the other, for 5 s at most; gives up at the first that cannot
/// be opened.
///
/// A request that finds the pool empty has [`ACQUIRE`] to connect and prepare in, together with everybody who came
/// at that moment. After a restart under load that is the whole crowd, and on a slow machine too short.
pub async fn fill(pool: &PgPool) {
    let connections = pool.options().get_max_connections();
    if pool.size() == connections {
        return;
    }
    let open = async {
        let mut held = Vec::new();
        for _ in 0..connections {
            held.push(pool.acquire().await?);
        }
        Ok::<_, sqlx::Error>(())
    };
    match tokio::time::timeout(FILL, open).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "not every connection to the database could be opened");
        }
        Err(_) => tracing::warn!(connections, "connections to the database open slowly"),
    }
}

/// Two connections without time limits, for `opentrusty migrate` and other work of an operator.
pub fn operator_pool(url: &str) -> Result<PgPool, InvalidUrl> {
    Ok(PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(Duration::from_secs(10))
        .connect_lazy_with(options(url, "opentrusty")?))
}

/// `search_path` is fixed per connection: no object of somebody else's schema can stand in for ours (W186). Nothing is
/// compiled either: our queries take milliseconds, and on tables without statistics, those of a fresh installation,
/// the server would compile for a third of a second, on a slow machine for longer than a statement may take.
fn options(url: &str, program: &str) -> Result<PgConnectOptions, InvalidUrl> {
    Ok(PgConnectOptions::from_str(url)
        .map_err(|_| InvalidUrl)?
        .application_name(program)
        .options([("search_path", "public"), ("jit", "off")]))
}

/// Whether a failed statement may be tried again elsewhere or later: the connection, a timeout or the
/// server was the problem, not the statement.
pub fn is_outage(error: &sqlx::Error) -> bool {
    if let Some(error) = error.as_database_error() {
        // 08 connection, 53 resources, 57 operator intervention (also statement_timeout), 40 rollback, 55P03
        // lock, 25006 read-only after a failover, 42501 a grant that somebody took away: an act whose audit
        // row cannot be written does not happen (W165), and may be tried again when it can.
        return error.code().is_some_and(|code| {
            ["08", "53", "57", "40"].iter().any(|class| code.starts_with(class))
                || matches!(&*code, "55P03" | "25006" | "42501")
        });
    }
    matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f9_connections_that_are_old_together_are_not_replaced_together() {
        let now = Instant::now();
        let long_ago = now.checked_sub(APART).unwrap();
        let renewals = Renewals(Mutex::new(long_ago));
        assert!(!renewals.is_due(Duration::from_secs(29 * 60)));
        assert!(renewals.is_due(LIFETIME));
        assert!(!renewals.is_due(LIFETIME), "another at the same moment");
        *renewals.0.lock().unwrap() = long_ago;
        assert!(renewals.is_due(LIFETIME));
    }
}
