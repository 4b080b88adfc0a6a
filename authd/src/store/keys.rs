//! Statements about signing keys. They mean nothing until keyd has recognised its own MAC on them.

use wire::Sealed;

use super::{Store, StoreError};

impl Store {
    /// Every statement of keys that are not destroyed, to be handed to keyd. A row too short to hold a MAC
    /// goes along as it is: keyd will refuse it, and say so.
    pub(crate) async fn key_statements(
        &self,
        issuer: &str,
    ) -> Result<Vec<(String, Sealed)>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT k.kid, k.statement FROM signing_keys k JOIN issuers i ON i.id = k.issuer_id
               WHERE i.url = $1 AND k.state <> 'destroyed' ORDER BY k.created_at, k.kid LIMIT 2000"#,
            issuer
        )
        .fetch_all(&self.pool)
        .await?;
        let sealed = |bytes: Vec<u8>| {
            Sealed::from_bytes(&bytes).unwrap_or(Sealed { body: Vec::new(), mac: [0; 32] })
        };
        Ok(rows.into_iter().map(|row| (row.kid, sealed(row.statement))).collect())
    }
}
