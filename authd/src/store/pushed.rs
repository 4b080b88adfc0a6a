//! Pushed authorization requests (RFC 9126): checked, named, and waiting for a browser.

use oauth::Hashed;
use oauth::authorize::Request;
use oauth::ids::ClientKey;
use oauth::secret::{Browser, Interaction, Pushed};
use sqlx::types::Json;

use super::{Store, StoreError};

impl Store {
    /// Keeps a checked request under its name.
    pub(crate) async fn insert_pushed(
        &self,
        name: Hashed<Pushed>,
        client: ClientKey,
        request: &Request,
        lifetime_s: u32,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"INSERT INTO pushed_requests (request_hash, client, request, expires_at)
               VALUES ($1, $2, $3, now() + make_interval(secs => $4))"#,
            name.as_bytes(),
            client.0,
            Json(request) as _,
            f64::from(lifetime_s),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The gate between a pushed request and its one interaction. The first browser makes it; the same browser,
    /// coming again before the end, takes it over under a new handle, also after the name itself has expired.
    /// `false`: unknown, another client's, too late, finished, or another browser's.
    pub(crate) async fn open_pushed(
        &self,
        name: Hashed<Pushed>,
        (handle, browser): (Hashed<Interaction>, Hashed<Browser>),
        client: ClientKey,
        lifetime_s: u32,
    ) -> Result<bool, StoreError> {
        let opened = sqlx::query_scalar!(
            r#"WITH taken AS (
                   UPDATE interactions SET handle_hash = $3
                   WHERE pushed_hash = $1 AND client = $2 AND browser_hash = $4 AND completed_at IS NULL
                     AND expires_at > now()
                   RETURNING 1
               ), made AS (
                   INSERT INTO interactions (handle_hash, browser_hash, client, request, pushed_hash, expires_at)
                   SELECT $3, $4, client, request, $1, now() + make_interval(secs => $5) FROM pushed_requests
                   WHERE request_hash = $1 AND client = $2 AND expires_at > now() AND NOT EXISTS (SELECT FROM taken)
                   ON CONFLICT (pushed_hash) DO NOTHING
                   RETURNING 1
               )
               SELECT (SELECT count(*) FROM taken) + (SELECT count(*) FROM made) AS "count!""#,
            name.as_bytes(),
            client.0,
            handle.as_bytes(),
            browser.as_bytes(),
            f64::from(lifetime_s),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(opened > 0)
    }
}
