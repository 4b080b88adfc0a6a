//! Assertions that were used (RFC 7523), and the wish for a client's newer keys.

use oauth::assertion::Proven;
use oauth::ids::ClientKey;

use super::{Store, StoreError};

impl Store {
    /// The gate of an assertion: `true` for the one who stores its `jti`, on whichever node (W75). Committed
    /// before anything is done for the client, so that an outage later spends the assertion, never revives it.
    pub(crate) async fn spend_assertion(
        &self,
        client: ClientKey,
        proven: &Proven,
    ) -> Result<bool, StoreError> {
        let spent = sqlx::query!(
            r#"INSERT INTO assertions (client, jti_hash, expires_at)
               VALUES ($1, $2, 'epoch'::timestamptz + $3::bigint * interval '1 second') ON CONFLICT DO NOTHING"#,
            client.0,
            proven.jti_hash(),
            proven.expires_at().0,
        )
        .execute(&self.pool)
        .await?;
        Ok(spent.rows_affected() > 0)
    }

    /// Asks the courier for what is at the client's `jwks_uri`, at most once a minute (W139).
    pub(crate) async fn want_keys(&self, client: ClientKey) -> Result<(), StoreError> {
        sqlx::query!(
            r#"INSERT INTO client_keys AS k (client, uri, wanted_at)
               SELECT id, metadata ->> 'jwks_uri', now() FROM clients WHERE id = $1 AND metadata ->> 'jwks_uri' IS NOT NULL
               ON CONFLICT (client) DO UPDATE SET wanted_at = now()
                   WHERE k.wanted_at IS NULL OR k.wanted_at < now() - interval '1 minute'"#,
            client.0
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
