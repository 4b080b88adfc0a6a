//! The way to PostgreSQL as the role that owns the schema.

use std::future::Future;

use host::config::ConfigError;
use sqlx::{PgConnection, PgPool};

use crate::failure::Failure;
use crate::settings::Place;

/// Runs a command against the database.
pub(crate) fn with<T>(
    place: &Place,
    work: impl AsyncFnOnce(PgPool) -> Result<T, Failure>,
) -> Result<T, Failure> {
    // A pool can only be made inside a runtime.
    block_on(async { work(pool(place)?).await })
}

/// A pool that connects when it is first used.
fn pool(place: &Place) -> Result<PgPool, Failure> {
    let invalid = |_| {
        let fix = "write postgres:///DATABASE?host=/SOCKET/FOLDER&user=ROLE";
        ConfigError::new("database_url", "is not a PostgreSQL connection URL", fix)
    };
    Ok(store::operator_pool(&place.database_url()?).map_err(invalid)?)
}

/// Refuses a database whose schema this command does not know, with the remedy.
pub(crate) async fn check_schema(pool: &PgPool) -> Result<(), Failure> {
    match store::schema::check(pool).await {
        Ok(()) => Ok(()),
        Err(store::schema::Unfit::Database(error)) => Err(Failure::Database(error)),
        Err(unfit @ (store::schema::Unfit::Behind(_) | store::schema::Unfit::Ahead(_))) => {
            Err(Failure::refused(unfit.to_string()))
        }
    }
}

/// One `seed` or `bootstrap` at a time, to the end of the transaction: two at once would trip over each
/// other's rows.
pub(crate) async fn exclusively(transaction: &mut PgConnection) -> Result<(), Failure> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('opentrusty seed'))")
        .execute(transaction)
        .await?;
    Ok(())
}

/// Runs a command that waits for others; one thread is enough for it.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::io("the runtime could not be started"))?.block_on(work)
}
