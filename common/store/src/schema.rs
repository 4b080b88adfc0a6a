//! The schema's version: applied by `opentrusty migrate` alone, checked by every daemon.

use std::fmt;

use sqlx::PgPool;
use sqlx::migrate::Migrator;

/// Every migration, with a checksum each, compiled in.
pub static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// The oldest schema that these binaries serve.
pub const OLDEST: i64 = 6;
/// The newest schema that these binaries know. Migrations expand before they contract, so the next
/// release's schema still serves this release's binaries: raise this when that has been shown.
pub const NEWEST: i64 = 6;

/// Why a daemon will not serve on this database.
#[derive(Debug)]
pub enum Unfit {
    /// `opentrusty migrate` has not run, or was older than these binaries.
    Behind(i64),
    /// The database belongs to a newer release.
    Ahead(i64),
    /// It could not be asked.
    Database(sqlx::Error),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind(version) => {
                write!(
                    f,
                    "schema version {version} is older than {OLDEST}; run `opentrusty migrate`"
                )
            }
            Self::Ahead(version) => {
                write!(
                    f,
                    "schema version {version} is newer than {NEWEST}; install a newer release"
                )
            }
            Self::Database(_) => f.write_str("the schema version could not be read"),
        }
    }
}

impl std::error::Error for Unfit {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database(error) => Some(error),
            Self::Behind(_) | Self::Ahead(_) => None,
        }
    }
}

/// Whether these binaries serve the schema that is there.
pub async fn check(pool: &PgPool) -> Result<(), Unfit> {
    let version: Result<Option<i64>, _> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(pool)
            .await;
    let version = match version {
        Ok(version) => version.unwrap_or(0),
        // 42P01: the table does not exist; 42501: it exists and migration 2 has not granted it yet.
        Err(sqlx::Error::Database(error))
            if matches!(error.code().as_deref(), Some("42P01" | "42501")) =>
        {
            0
        }
        Err(error) => return Err(Unfit::Database(error)),
    };
    match version {
        version if version < OLDEST => Err(Unfit::Behind(version)),
        version if version > NEWEST => Err(Unfit::Ahead(version)),
        _ => Ok(()),
    }
}
