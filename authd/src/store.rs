//! All SQL of authd. A gate is one guarded statement with its audit row inside: PostgreSQL decides, once,
//! by its own clock, and a restart in between changes nothing.
//!
//! A module per artefact. Every look-up of something issued goes through the view `live_grants`.

mod account;
mod assertions;
mod clients;
mod codes;
mod decisions;
mod deferred;
mod enrolments;
mod exchange;
mod interactions;
mod invitations;
mod keys;
mod machine;
mod pushed;
mod refresh;
mod sessions;
mod throttles;
mod tokens;
mod users;

use sqlx::PgPool;

pub(crate) use account::{ApplicationLine, Ending, NewPassword, SessionLine};
pub(crate) use clients::Asker;
pub(crate) use codes::{Access, Outcome, Redeem};
pub(crate) use decisions::{Authenticator, Decide, Reach, Waiting, Witness};
pub(crate) use deferred::{Begun, NewRequest, RedeemDeferred, Redeemed};
pub(crate) use enrolments::{Enrol, Reset};
pub(crate) use exchange::Exchange;
pub(crate) use interactions::{IssueCode, Visit};
pub(crate) use invitations::InvitationLine;
pub(crate) use machine::MachineGrant;
pub(crate) use refresh::{Rotate, Rotated};
pub(crate) use sessions::{NewSession, SessionRow};
pub(crate) use throttles::Admission;
pub(crate) use tokens::Revoked;

/// What went wrong below.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// PostgreSQL said no, or nothing.
    Database(sqlx::Error),
    /// A row does not hold what its column promises; names the column.
    Inconsistent(&'static str),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Database(_) => f.write_str("database"),
            Self::Inconsistent(column) => write!(f, "inconsistent row: {column}"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database(error) => Some(error),
            Self::Inconsistent(_) => None,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
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

    /// The platform issuer's URL, once some node has recorded it.
    pub(crate) async fn platform_issuer(&self) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar!("SELECT url FROM issuers WHERE tenant_id IS NULL")
            .fetch_optional(&self.pool)
            .await?)
    }
}

/// A 32-byte column.
fn digest(bytes: Vec<u8>, column: &'static str) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Inconsistent(column))
}

/// Whom a person's grant is about, from its columns.
fn person(
    sub: Option<String>,
    auth_time: Option<i64>,
    amr: Option<Vec<String>>,
    session: Option<uuid::Uuid>,
) -> oauth::claims::Holder {
    let authentication = auth_time.map(|at| oauth::claims::Authentication {
        auth_time: oauth::Timestamp(at),
        amr: amr.unwrap_or_default(),
        session: session.map(oauth::ids::SessionId),
    });
    oauth::claims::Holder { sub: sub.unwrap_or_default(), authentication, act: None }
}

/// A `text[]` column of scopes.
fn scopes(list: &[String], column: &'static str) -> Result<oauth::ScopeSet, StoreError> {
    oauth::ScopeSet::from_list(list).map_err(|_| StoreError::Inconsistent(column))
}
