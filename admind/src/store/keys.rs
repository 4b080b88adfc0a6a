//! The rows about signing keys. What they say is keyd's; what they are for is finding them again.

use oauth::ids::UserId;
use sqlx::PgTransaction;
use store::audit::Event;
use uuid::Uuid;
use wire::{Class, KeyState, KeyView, Sealed};

use super::{Store, StoreError};

/// A statement that keyd has just made.
pub(crate) struct KeyChange<'a> {
    pub(crate) sealed: &'a Sealed,
    pub(crate) view: &'a KeyView,
    pub(crate) event: Event,
}

/// Whose keys there are: the platform's and each tenant's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issuer {
    pub(crate) id: Uuid,
    /// The `iss` that its keys sign for.
    pub(crate) url: String,
    pub(crate) is_platform: bool,
}

/// What the table holds about a key.
pub(crate) struct KeyRow {
    pub(crate) issuer: Uuid,
    /// As it stands in the table: a planted row need not hold an id that could be one.
    pub(crate) kid: String,
    pub(crate) class: Option<Class>,
    pub(crate) state: Option<KeyState>,
    /// Seconds since the epoch.
    pub(crate) retired_at: Option<u64>,
    pub(crate) sealed: Sealed,
}

impl Store {
    /// The platform issuer's row: found, or made by the first node that comes up. `Err(url)`: the database
    /// belongs to another issuer.
    pub(crate) async fn platform_issuer(
        &self,
        url: &str,
    ) -> Result<Result<Uuid, String>, StoreError> {
        sqlx::query!(
            r#"WITH made AS (
                   INSERT INTO issuers (id, tenant_id, url) VALUES ($1, NULL, $2) ON CONFLICT DO NOTHING RETURNING url
               )
               INSERT INTO audit_events (plane, type, actor_type, target_type, target)
               SELECT 'admin', $3, 'system', 'issuer', url FROM made"#,
            Uuid::now_v7(),
            url,
            Event::IssuerCreated.as_str(),
        )
        .execute(&self.pool)
        .await?;
        let row = sqlx::query!("SELECT id, url FROM issuers WHERE tenant_id IS NULL")
            .fetch_one(&self.pool)
            .await?;
        Ok(if row.url == url { Ok(row.id) } else { Err(row.url) })
    }

    /// The right to change keys, one node's at a time; `None`: another has it. Ends with the transaction.
    pub(crate) async fn key_lock(&self) -> Result<Option<PgTransaction<'_>>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let locked = sqlx::query_scalar!("SELECT one FROM key_lock FOR UPDATE SKIP LOCKED")
            .fetch_optional(&mut *transaction)
            .await?;
        // Two acts of a slow token, of half a minute each, take longer than an ordinary statement may leave a
        // transaction idle.
        sqlx::query!("SELECT set_config('idle_in_transaction_session_timeout', '90000', true)")
            .fetch_one(&mut *transaction)
            .await?;
        Ok(locked.map(|_| transaction))
    }

    /// Seconds since the epoch.
    pub(crate) async fn now(&self) -> Result<u64, StoreError> {
        let now =
            sqlx::query_scalar!(r#"SELECT floor(extract(epoch FROM now()))::bigint AS "now!""#)
                .fetch_one(&self.pool)
                .await?;
        Ok(u64::try_from(now).unwrap_or(0))
    }

    /// How many issuers there are.
    pub(crate) async fn issuers_number(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM issuers"#)
            .fetch_one(&self.pool)
            .await?)
    }

    /// Every issuer, the platform's first.
    pub(crate) async fn issuers(&self) -> Result<Vec<Issuer>, StoreError> {
        Ok(sqlx::query_as!(
            Issuer,
            r#"SELECT id, url, tenant_id IS NULL AS "is_platform!" FROM issuers
               ORDER BY tenant_id IS NOT NULL, created_at, id LIMIT 1000"#
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The rows of all keys that are not destroyed, the platform's first. A statement too short to hold a MAC
    /// goes along as it is: keyd will refuse it, and say so. Limits hold for each issuer, so that whatever
    /// stands in one issuer's name crowds no other out.
    pub(crate) async fn key_rows(&self) -> Result<Vec<KeyRow>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT i.id AS issuer, k.kid, k.class, k.state, k.statement,
                      floor(extract(epoch FROM k.retired_at))::bigint AS retired_at
               FROM (SELECT id, tenant_id, created_at FROM issuers
                     ORDER BY tenant_id IS NOT NULL, created_at, id LIMIT 1000) i
               CROSS JOIN LATERAL (
                   SELECT kid, class, state, statement, retired_at, created_at FROM signing_keys
                   WHERE issuer_id = i.id AND state <> 'destroyed'
                   ORDER BY created_at, kid LIMIT 2000) k
               ORDER BY i.tenant_id IS NOT NULL, i.created_at, i.id, k.created_at, k.kid LIMIT 20000"#
        )
        .fetch_all(&self.pool)
        .await?;
        let sealed = |bytes: &[u8]| {
            Sealed::from_bytes(bytes).unwrap_or(Sealed { body: Vec::new(), mac: [0; 32] })
        };
        let row = rows.into_iter().map(|found| KeyRow {
            issuer: found.issuer,
            kid: found.kid,
            class: found.class.parse().ok(),
            state: state(&found.state),
            retired_at: found.retired_at.and_then(|at| u64::try_from(at).ok()),
            sealed: sealed(&found.statement),
        });
        Ok(row.collect())
    }

    /// Which of these keys have ended for good.
    pub(crate) async fn destroyed_among(&self, kids: &[String]) -> Result<Vec<String>, StoreError> {
        if kids.is_empty() {
            return Ok(Vec::new());
        }
        Ok(sqlx::query_scalar!(
            "SELECT kid FROM signing_keys WHERE kid = ANY ($1) AND state = 'destroyed'",
            kids
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// A row that keyd did not write: noted once.
    pub(crate) async fn planted(&self, kid: &str) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO audit_events (plane, type, actor_type, target_type, target) VALUES ('admin', $1, 'system', 'key', $2)",
            Event::KeyPlanted.as_str(),
            kid,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// The word in the `state` column.
const fn word(state: KeyState) -> &'static str {
    match state {
        KeyState::Staged => "staged",
        KeyState::Active => "active",
        KeyState::Retired => "retired",
    }
}

fn state(word: &str) -> Option<KeyState> {
    match word {
        "staged" => Some(KeyState::Staged),
        "active" => Some(KeyState::Active),
        "retired" => Some(KeyState::Retired),
        _ => None,
    }
}

/// Stores a new statement with its audit row, inside the transaction that holds the lock. A key that was destroyed
/// stays so, whatever a keyd that has not heard of it says: `false`, and nothing is stored.
pub(crate) async fn record(
    transaction: &mut PgTransaction<'_>,
    issuer: Uuid,
    actor: Option<UserId>,
    change: &KeyChange<'_>,
) -> Result<bool, StoreError> {
    let state = word(change.view.state);
    let stored = sqlx::query_scalar!(
        r#"INSERT INTO signing_keys (kid, issuer_id, class, algorithm, state, statement, activated_at, retired_at)
           VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN $5 = 'active' THEN now() END,
               CASE WHEN $5 = 'retired' THEN now() END)
           ON CONFLICT (kid) DO UPDATE SET state = excluded.state, statement = excluded.statement,
               activated_at = CASE WHEN excluded.state = 'active' THEN now() ELSE signing_keys.activated_at END,
               retired_at = CASE WHEN excluded.state = 'retired' THEN now() ELSE signing_keys.retired_at END
           WHERE signing_keys.state <> 'destroyed'
           RETURNING xmax = 0 AS "is_new!""#,
        change.view.kid.to_string(),
        issuer,
        change.view.class.name(),
        change.view.algorithm.name(),
        state,
        change.sealed.to_bytes(),
    )
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(is_new) = stored else { return Ok(false) };
    let kid = change.view.kid.to_string();
    // A crash fell between keyd and the row: that the key was made has not been written down either.
    if is_new && change.event != Event::KeyStaged {
        audit(transaction, None, Event::KeyStaged, &kid).await?;
    }
    audit(transaction, actor, change.event, &kid).await?;
    Ok(true)
}

/// Marks a key that has left the token; another node may have been first.
pub(crate) async fn destroyed(
    transaction: &mut PgTransaction<'_>,
    actor: Option<UserId>,
    kid: &str,
) -> Result<(), StoreError> {
    let ended = sqlx::query!(
        "UPDATE signing_keys SET state = 'destroyed', destroyed_at = now() WHERE kid = $1 AND state <> 'destroyed'",
        kid
    )
    .execute(&mut **transaction)
    .await?;
    if ended.rows_affected() == 0 {
        return Ok(());
    }
    audit(transaction, actor, Event::KeyDestroyed, kid).await
}

async fn audit(
    transaction: &mut PgTransaction<'_>,
    actor: Option<UserId>,
    event: Event,
    kid: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"INSERT INTO audit_events (plane, type, actor_type, actor, target_type, target)
           VALUES ('admin', $1, $2, $3, 'key', $4)"#,
        event.as_str(),
        if actor.is_some() { "user" } else { "system" },
        actor.map(|actor| actor.to_string()),
        kid,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
