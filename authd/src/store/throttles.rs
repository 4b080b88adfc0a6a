//! The gate before every guess: attempts are taken before anything is verified (W130), and given back on success.
//!
//! The rule is `oauth::throttle`'s; here it is applied under a row lock, so that nodes share one budget. Whatever
//! keeps the statement from running is an error: a door never opens because nobody could count.

use oauth::throttle::{Budget, GivenBack, Key};
use sqlx::PgExecutor;

use super::{Store, StoreError};

/// Whether an attempt may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Admission {
    /// It was taken from every key.
    Admitted,
    /// It was taken from none; the longest wait of all keys, in seconds, at least one.
    Wait(u32),
}

/// A round that is lost to a race shows the next one what is shut, unless a success opened it meanwhile. Whoever
/// finds that every time is refused.
const ROUNDS: u32 = 3;
/// What refuses an attempt in the middle of the statement, and with it the whole.
const REFUSED: &str = "throttles_attempts_check";

impl Store {
    /// Takes an attempt from every key at once, or from none.
    pub(crate) async fn reserve(&self, keys: &[Key]) -> Result<Admission, StoreError> {
        for _ in 0..ROUNDS {
            match reserve_in(&self.pool, keys).await {
                Err(StoreError::Database(error)) if was_refused(&error) => {}
                outcome => return outcome,
            }
        }
        Ok(Admission::Wait(1))
    }

    /// The attempt succeeded: every key gets back what its door says.
    pub(crate) async fn release(&self, keys: &[Key]) -> Result<(), StoreError> {
        release_in(&self.pool, keys).await
    }

    /// The attempt was not made: every key gets it back.
    pub(crate) async fn refund(&self, keys: &[Key]) -> Result<(), StoreError> {
        give_back(&self.pool, keys, &vec![false; keys.len()]).await
    }
}

fn was_refused(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.constraint() == Some(REFUSED))
}

fn wait(seconds: i64) -> Admission {
    Admission::Wait(u32::try_from(seconds).unwrap_or(u32::MAX).max(1))
}

/// The columns of a list of keys, as PostgreSQL takes them.
struct Columns<'a> {
    hashes: Vec<&'a [u8]>,
    free: Vec<i32>,
    first_s: Vec<i32>,
    longest_s: Vec<i32>,
    forget_s: Vec<i32>,
    leak_s: Vec<i32>,
}

impl<'a> Columns<'a> {
    fn of(keys: &'a [Key]) -> Self {
        let column = |of: fn(Budget) -> u32| {
            keys.iter().map(|key| i32::try_from(of(key.budget())).unwrap_or(i32::MAX)).collect()
        };
        Self {
            hashes: keys.iter().map(|key| key.as_bytes().as_slice()).collect(),
            free: column(|budget| budget.free),
            first_s: column(|budget| budget.first_delay_s),
            longest_s: column(|budget| budget.longest_delay_s),
            forget_s: column(|budget| budget.forget_s),
            leak_s: column(|budget| budget.leak_s),
        }
    }
}

/// The gate, one statement. What is shut already is found without a lock, so that a flood of refused attempts
/// writes nothing. What was shut since then shows when the row is locked: then `attempts` becomes -1, its CHECK
/// ends the statement, and no key has lost anything.
///
/// Rows are locked or inserted one after the other in the order of their keys, here and in `release_in`: of two
/// statements that want the same rows, one waits, never both.
async fn reserve_in(executor: impl PgExecutor<'_>, keys: &[Key]) -> Result<Admission, StoreError> {
    let columns = Columns::of(keys);
    let row = sqlx::query!(
        r#"WITH wanted AS (
               SELECT * FROM unnest($1::bytea[], $2::int[], $3::int[], $4::int[], $5::int[], $6::int[])
                   AS w (key, free, first_s, longest_s, forget_s, leak_s)
           ), refused AS (
               SELECT max(ceil(extract(epoch FROM t.blocked_until - now())))::bigint AS wait_s
               FROM throttles t JOIN wanted w ON w.key = t.key WHERE t.blocked_until > now()
           ), taken AS (
               INSERT INTO throttles AS t (key, attempts, last_at, blocked_until)
               SELECT w.key, 1, now(), CASE WHEN w.free <= 1 THEN now() + make_interval(secs => w.first_s) END
               FROM wanted w WHERE (SELECT wait_s FROM refused) IS NULL ORDER BY w.key
               ON CONFLICT (key) DO UPDATE SET (attempts, last_at, blocked_until) = (
                   SELECT CASE WHEN t.blocked_until > now() THEN -1 ELSE r.attempts + 1 END,
                       CASE WHEN r.attempts > 0 AND w.leak_s > 0
                           THEN least(t.last_at + make_interval(secs => l.leaked * w.leak_s), now()) ELSE now() END,
                       CASE WHEN r.attempts + 1 >= w.free THEN now() + make_interval(secs =>
                           least(w.first_s * power(2, least(r.attempts + 1 - w.free, 31)), w.longest_s)) END
                   FROM wanted w CROSS JOIN LATERAL (
                       SELECT greatest(coalesce(floor(extract(epoch FROM now() - t.last_at) / nullif(w.leak_s, 0)), 0),
                           0)::bigint AS leaked
                   ) l CROSS JOIN LATERAL (
                       SELECT CASE WHEN t.last_at + make_interval(secs => w.forget_s) > now()
                           THEN greatest(t.attempts - l.leaked, 0) ELSE 0 END::int AS attempts
                   ) r
                   WHERE w.key = t.key)
               RETURNING 1
           )
           SELECT (SELECT wait_s FROM refused) AS wait_s, (SELECT count(*) FROM taken) AS "taken!""#,
        columns.hashes.as_slice() as &[&[u8]],
        &columns.free,
        &columns.first_s,
        &columns.longest_s,
        &columns.forget_s,
        &columns.leak_s,
    )
    .fetch_one(executor)
    .await?;
    match row.wait_s {
        Some(seconds) => Ok(wait(seconds)),
        // An attempt that nothing counts would be free.
        None if keys.is_empty() || usize::try_from(row.taken) != Ok(keys.len()) => {
            Err(StoreError::Inconsistent("throttles.attempts"))
        }
        None => Ok(Admission::Admitted),
    }
}

async fn release_in(executor: impl PgExecutor<'_>, keys: &[Key]) -> Result<(), StoreError> {
    let given: Vec<Key> =
        keys.iter().filter(|key| key.door().given_back() != GivenBack::Nothing).copied().collect();
    if given.is_empty() {
        return Ok(());
    }
    let all: Vec<bool> =
        given.iter().map(|key| key.door().given_back() == GivenBack::All).collect();
    give_back(executor, &given, &all).await
}

/// Of each key everything, or one attempt.
async fn give_back(
    executor: impl PgExecutor<'_>,
    keys: &[Key],
    all: &[bool],
) -> Result<(), StoreError> {
    let columns = Columns::of(keys);
    sqlx::query!(
        r#"WITH wanted AS (
               SELECT * FROM unnest($1::bytea[], $2::int[], $3::bool[]) AS w (key, free, everything)
           )
           INSERT INTO throttles AS t (key, attempts) SELECT w.key, 0 FROM wanted w ORDER BY w.key
           ON CONFLICT (key) DO UPDATE SET (attempts, blocked_until) = (
               SELECT a.attempts, CASE WHEN a.attempts >= w.free THEN t.blocked_until END
               FROM wanted w CROSS JOIN LATERAL (
                   SELECT CASE WHEN w.everything THEN 0 ELSE greatest(t.attempts - 1, 0) END AS attempts
               ) a
               WHERE w.key = t.key)"#,
        columns.hashes.as_slice() as &[&[u8]],
        &columns.free,
        all,
    )
    .execute(executor)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
