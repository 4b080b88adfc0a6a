//! A server that went away without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection, PgPool};

/// How often a pool is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Looks without a connection that came back, until it is plain that none will: no statement may take longer than
/// 2 s, and no transaction wait longer than 5 s.
const LOOKS: u32 = 10;
/// Longest wait for a connection that shows the server to be there.
const TRY: Duration = Duration::from_secs(2);

/// Every connection waits for an answer that will not come, while the server answers new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hung;

impl std::fmt::Display for Hung {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("every connection to the database hangs, and a new one does not")
    }
}

impl std::error::Error for Hung {}

/// Counts the connections of one pool that came back.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    pub(crate) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Comes back when every connection of `pool` hangs and a new one does not.
    ///
    /// A statement's time limit is the server's to keep. If its host, or the way to it, goes without a word, whoever
    /// waits at that moment waits until TCP gives up, which takes a quarter of an hour, and sqlx has no way to take a
    /// connection back from him. An idle one is found dead when it is next used. With all of them lost there is one
    /// thing left to do, to start anew, and it helps only once the server is there again.
    pub async fn hung(&self, pool: &PgPool) -> Hung {
        let most = pool.options().get_max_connections();
        let mut last = self.0.load(Ordering::Relaxed);
        let mut looks = 0;
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.0.load(Ordering::Relaxed);
            let out = pool.size() >= most && pool.num_idle() == 0;
            looks = if out && now == last { looks + 1 } else { 0 };
            last = now;
            if looks >= LOOKS && is_there(pool).await {
                return Hung;
            }
        }
    }
}

async fn is_there(pool: &PgPool) -> bool {
    let options = pool.connect_options();
    let look = async {
        let mut connection = PgConnection::connect_with(&options).await?;
        connection.ping().await?;
        connection.close().await
    };
    matches!(tokio::time::timeout(TRY, look).await, Ok(Ok(())))
}
