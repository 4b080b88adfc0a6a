//! Rotating a refresh token: the read, the gate, and the theft.

use oauth::claims::Holder;
use oauth::client::Draft;
use oauth::grant::Granted;
use oauth::ids::{ClientId, ClientKey, GrantId};
use oauth::rar::Details;
use oauth::refresh::{Misuse, StoredRefresh};
use oauth::secret::Refresh;
use oauth::{Hashed, Timestamp};
use sqlx::types::Json;
use store::audit::Event;

use super::clients::{Asker, asker};
use super::codes::Access;
use super::{Store, StoreError, person, scopes};

/// What the token endpoint reads before it decides.
pub(crate) struct RefreshRead {
    pub(crate) asker: Asker,
    pub(crate) grant: Option<RefreshGrant>,
}

/// The grant behind a refresh token, spent or not.
pub(crate) struct RefreshGrant {
    pub(crate) stored: StoredRefresh,
    pub(crate) id: GrantId,
    pub(crate) holder: Holder,
    pub(crate) ends_at: Timestamp,
}

/// The gate's arguments.
pub(crate) struct Rotate<'a> {
    pub(crate) presented: Hashed<Refresh>,
    pub(crate) successor: Hashed<Refresh>,
    pub(crate) grant: GrantId,
    /// Seconds in which a lost answer may be asked for again.
    pub(crate) retry_s: u32,
    pub(crate) client: &'a ClientId,
    pub(crate) access: &'a Access,
    pub(crate) request_id: &'a str,
}

/// What the gate found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rotated {
    Fresh,
    Reused,
    Dead,
}

impl Store {
    /// One round trip: client, secrets, clock, token, grant.
    pub(crate) async fn read_refresh(
        &self,
        issuer: &str,
        client: &ClientId,
        token: Option<Hashed<Refresh>>,
    ) -> Result<Option<RefreshRead>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT c.id AS "id!", c.tenant_id, c.client_id AS "client_id!", c.metadata AS "metadata!: Json<Draft>",
                   c.secret_hashes AS "hashes!", c.secret_ends AS "ends!: Vec<Option<i64>>", c.fetched_jwks,
                   floor(extract(epoch FROM now()))::bigint AS "now!", (r.rotated_at IS NOT NULL) AS "spent?",
                   g.id AS "grant_id?", g.client AS "grant_client?", g.sub AS "sub?", g.scopes AS "scopes?",
                   g.audiences AS "audiences?", g.authorization_details AS "details: Json<Details>", floor(extract(epoch FROM g.auth_time))::bigint AS auth_time, g.amr AS "amr?",
                   g.session_id AS "session_id?", floor(extract(epoch FROM g.expires_at))::bigint AS ends_at
               FROM live_clients c LEFT JOIN refresh_tokens r ON r.token_hash = $2 LEFT JOIN grants g ON g.id = r.grant_id
               WHERE c.client_id = $1 AND c.issuer = $3"#,
            client.as_str(),
            token.as_ref().map(|hash| hash.as_bytes().as_slice()),
            issuer,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let asker = asker!(row)?;
        let (Some(id), Some(owner)) = (row.grant_id, row.grant_client) else {
            return Ok(Some(RefreshRead { asker, grant: None }));
        };
        let grant = RefreshGrant {
            stored: StoredRefresh {
                client: ClientKey(owner),
                granted: Granted {
                    scopes: scopes(&row.scopes.unwrap_or_default(), "grants.scopes")?,
                    audiences: row.audiences.unwrap_or_default(),
                    details: row.details.map(|json| json.0),
                },
                spent: row.spent.unwrap_or(true),
            },
            id: GrantId(id),
            holder: person(row.sub, row.auth_time, row.amr, row.session_id),
            ends_at: Timestamp(row.ends_at.unwrap_or(0)),
        };
        Ok(Some(RefreshRead { asker, grant: Some(grant) }))
    }

    /// The gate. A client with a retry window is served under a lock on its grant, so that two of its own
    /// requests see each other's outcome; without one, the loser of a race is a reuse (W36).
    pub(crate) async fn rotate(&self, rotate: &Rotate<'_>) -> Result<Rotated, StoreError> {
        if rotate.retry_s == 0 {
            return rotate_in(&self.pool, rotate).await;
        }
        let mut transaction = self.pool.begin().await?;
        sqlx::query_scalar!(
            "SELECT id FROM grants WHERE id = $1 FOR NO KEY UPDATE",
            rotate.grant.0
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let outcome = rotate_in(&mut *transaction, rotate).await?;
        transaction.commit().await?;
        Ok(outcome)
    }

    /// Ends a family, if it lives: `client` presented a token of it that it should not have.
    pub(crate) async fn end_family(
        &self,
        grant: GrantId,
        misuse: Misuse,
        client: &ClientId,
        request_id: &str,
    ) -> Result<(), StoreError> {
        let (reason, event) = match misuse {
            Misuse::Stolen => ("refresh_stolen", Event::RefreshStolen),
            Misuse::Reused => ("refresh_reuse", Event::RefreshReused),
        };
        sqlx::query!(
            r#"WITH killed AS (
                   UPDATE grants SET revoked_at = now(), revoke_reason = $5
                   WHERE id IN (SELECT id FROM live_grants WHERE id = $1) AND revoked_at IS NULL RETURNING id, client
               )
               INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, request_id)
               SELECT 'auth', $4, 'client', $2, c.tenant_id, 'grant', k.id::text, $3
               FROM killed k JOIN clients c ON c.id = k.client"#,
            grant.0,
            client.as_str(),
            request_id,
            event.as_str(),
            reason,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

async fn rotate_in(
    executor: impl sqlx::PgExecutor<'_>,
    rotate: &Rotate<'_>,
) -> Result<Rotated, StoreError> {
    let outcome = sqlx::query_scalar!(
        r#"WITH live AS (
               SELECT g.id FROM live_grants g JOIN refresh_tokens r ON r.grant_id = g.id WHERE r.token_hash = $1
           ), claimed AS (
               UPDATE refresh_tokens SET rotated_at = now(), successor_hash = $2
               WHERE token_hash = $1 AND rotated_at IS NULL AND grant_id IN (SELECT id FROM live)
               RETURNING grant_id
           ), replaced AS (
               -- A repeated request inside the window takes the place of the answer that was lost: the
               -- successor nobody has used dies, with its access tokens. One live token per family, always.
               UPDATE refresh_tokens s SET rotated_at = now()
               FROM refresh_tokens p
               WHERE $3::float8 > 0 AND p.token_hash = $1 AND p.rotated_at > now() - make_interval(secs => $3)
                 AND s.token_hash = p.successor_hash AND s.rotated_at IS NULL
                 AND s.grant_id IN (SELECT id FROM live) AND NOT EXISTS (SELECT FROM claimed)
               RETURNING s.grant_id, s.token_hash
           ), relinked AS (
               UPDATE refresh_tokens SET successor_hash = $2
               WHERE token_hash = $1 AND EXISTS (SELECT FROM replaced)
           ), withdrawn AS (
               UPDATE access_tokens SET revoked_at = now()
               WHERE refresh_hash IN (SELECT token_hash FROM replaced) AND revoked_at IS NULL
                 AND grant_id IN (SELECT grant_id FROM replaced)
           ), granted AS (
               SELECT grant_id FROM claimed UNION ALL SELECT grant_id FROM replaced
           ), refresh AS (
               INSERT INTO refresh_tokens (token_hash, grant_id) SELECT $2, grant_id FROM granted
           ), access AS (
               INSERT INTO access_tokens (jti, token_hash, grant_id, refresh_hash, scopes, audiences, issued_at,
                                          expires_at, authorization_details)
               SELECT $4, $5, grant_id, $2, $6, $7, issued.at, issued.at + make_interval(secs => $8), $13
               FROM granted, (SELECT 'epoch'::timestamptz + $14::bigint * interval '1 second' AS at) issued
           ), reused AS (
               UPDATE grants SET revoked_at = now(), revoke_reason = 'refresh_reuse'
               WHERE id IN (SELECT id FROM live) AND revoked_at IS NULL AND NOT EXISTS (SELECT FROM granted)
               RETURNING id
           ), audited AS (
               INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, request_id)
               SELECT 'auth', CASE WHEN EXISTS (SELECT FROM granted) THEN $11 ELSE $12 END, 'client', $9,
                   (SELECT c.tenant_id FROM grants g JOIN clients c ON c.id = g.client WHERE g.id = effect.id),
                   'grant', effect.id::text, $10
               FROM (SELECT grant_id AS id FROM granted UNION ALL SELECT id FROM reused) effect
           )
           SELECT CASE WHEN EXISTS (SELECT FROM granted) THEN 0
                       WHEN EXISTS (SELECT FROM reused) THEN 1 ELSE 2 END AS "outcome!""#,
        rotate.presented.as_bytes(),
        rotate.successor.as_bytes(),
        f64::from(rotate.retry_s),
        rotate.access.id.0,
        rotate.access.hash.as_bytes(),
        &rotate.access.scopes.to_vec(),
        &rotate.access.audiences,
        f64::from(rotate.access.lifetime_s),
        rotate.client.as_str(),
        rotate.request_id,
        Event::TokensRefreshed.as_str(),
        Event::RefreshReused.as_str(),
        rotate.access.details.as_ref().map(Json) as _,
        rotate.access.issued_at.0,
    )
    .fetch_one(executor)
    .await?;
    Ok(match outcome {
        0 => Rotated::Fresh,
        1 => Rotated::Reused,
        _ => Rotated::Dead,
    })
}
