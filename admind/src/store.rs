//! All SQL of admind. Row-level security is forced: without a setting no row is visible, so every statement
//! about tenants, people or clients runs in a transaction that says first for whom.

mod callers;
mod keys;

use oauth::ids::UserId;
use sqlx::{PgPool, PgTransaction};

pub(crate) use callers::{Assignment, Caller};
pub(crate) use keys::{Issuer, KeyChange, KeyRow, destroyed, record};

/// PostgreSQL said no, or nothing.
#[derive(Debug)]
pub(crate) struct StoreError(pub(crate) sqlx::Error);

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("database")
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

pub(crate) struct Store {
    pool: PgPool,
}

impl Store {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A transaction that sees the platform's rows and those of `actor` alone.
    async fn as_platform(&self, actor: Option<UserId>) -> Result<PgTransaction<'_>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let actor = actor.map(|actor| actor.to_string()).unwrap_or_default();
        // Transaction-local: a pooled connection carries nothing over (W146).
        sqlx::query!(
            "SELECT set_config('opentrusty.tenant', 'platform', true) AS tenant, set_config('opentrusty.actor', $1, true) AS actor",
            actor
        )
        .fetch_one(&mut *transaction)
        .await?;
        Ok(transaction)
    }

    /// Expired rows leave in bounded batches.
    pub(crate) async fn sweep(&self, batch: i32) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!("SELECT sweep_expired($1)", batch)
            .fetch_one(&self.pool)
            .await?
            .unwrap_or(0))
    }

    /// Accepted invitations become memberships, each with its roles and its audit row. How many did.
    pub(crate) async fn join_invited(&self, batch: i32) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!("SELECT join_invited($1)", batch)
            .fetch_one(&self.pool)
            .await?
            .unwrap_or(0))
    }

    /// Audit partitions of the next months, made ahead.
    pub(crate) async fn partitions_ahead(&self, months: i32) -> Result<(), StoreError> {
        sqlx::query!("SELECT audit_partitions_ahead($1)", months).fetch_one(&self.pool).await?;
        Ok(())
    }
}
