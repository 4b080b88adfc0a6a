//! `opentrusty migrate`: brings the schema up to date. The only place that runs DDL.
//!
//! It holds one advisory lock from the first look to the last statement, so a second run waits and then
//! finds nothing to do. Each migration is a transaction of its own; a run that was cut short is resumed.

use std::collections::BTreeSet;
use std::time::Instant;

use sqlx::PgConnection;
use sqlx::migrate::{Migrate as _, Migration};
use store::schema::MIGRATOR;

use crate::database;
use crate::failure::Failure;
use crate::output::say;
use crate::settings::Place;

/// Where sqlx notes what was applied.
const TABLE: &str = "_sqlx_migrations";
/// How far ahead audit has a partition of its own for each month.
const MONTHS_AHEAD: i32 = 12;

pub(crate) fn run(place: &Place) -> Result<(), Failure> {
    database::with(place, async |pool| {
        let mut connection = pool.acquire().await?;
        connection.lock().await?;
        let applied = apply(&mut connection).await?;
        let made =
            sqlx::query_scalar!(r#"SELECT audit_partitions_ahead($1) AS "made!""#, MONTHS_AHEAD)
                .fetch_one(&mut *connection)
                .await?;
        connection.unlock().await?;
        if made > 0 {
            say(format!("audit: {made} monthly partitions made"))?;
        }
        let newest = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
        let what = if applied == 0 { "up to date already" } else { "up to date" };
        say(format!("{what}: schema version {newest}"))
    })
}

/// Applies what is missing, one after the other, and says so. The lock is held: PostgreSQL counts how often
/// a session takes it, so the migrator's own lock and unlock leave ours in place.
async fn apply(connection: &mut PgConnection) -> Result<usize, Failure> {
    connection.ensure_migrations_table(TABLE).await?;
    let there = connection.list_applied_migrations(TABLE).await?;
    let there: BTreeSet<i64> = there.iter().map(|migration| migration.version).collect();
    let missing: Vec<&Migration> = MIGRATOR
        .iter()
        .filter(|one| !there.contains(&one.version) && !one.migration_type.is_down_migration())
        .collect();
    for (number, migration) in missing.iter().enumerate() {
        let begin = Instant::now();
        MIGRATOR.run_to(migration.version, &mut *connection).await?;
        say(format!(
            "[{}/{}] applied {:04} {} in {} ms",
            number + 1,
            missing.len(),
            migration.version,
            migration.description,
            begin.elapsed().as_millis()
        ))?;
    }
    // Also when nothing was missing: what was applied must be what this binary has.
    MIGRATOR.run(&mut *connection).await?;
    Ok(missing.len())
}
