//! Requests that wait for a person, as their client sees them: begun, polled, redeemed.

use oauth::claims::Holder;
use oauth::client::{Client, Draft};
use oauth::deferred::{Kind, State, Stored};
use oauth::grant::Granted;
use oauth::ids::{ClientId, ClientKey, TenantId, UserId};
use oauth::rar::Details;
use oauth::secret::Refresh;
use oauth::{Hashed, ScopeSet, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgTransaction;
use sqlx::types::Json;
use store::audit::Event;

use super::clients::{Asker, asker};
use super::codes::Access;
use super::{Store, StoreError, person, scopes};

/// A request about to wait.
pub(crate) struct NewRequest<'a> {
    pub(crate) kind: Kind,
    /// The hash of what the client polls with.
    pub(crate) poll: [u8; 32],
    /// The hash of what a person names it by.
    pub(crate) person: [u8; 32],
    pub(crate) client: &'a Client,
    /// For whom; `None`: whoever types the code, or nobody.
    pub(crate) user: Option<UserId>,
    pub(crate) scopes: &'a ScopeSet,
    pub(crate) audiences: &'a [String],
    pub(crate) details: Option<&'a Details>,
    pub(crate) binding_message: Option<&'a str>,
    /// The address that it came from.
    pub(crate) origin: &'a str,
    /// What open requests are counted by, and how many there may be.
    pub(crate) quota: ([u8; 32], u32),
    /// What a ping will carry: the client's token, and the `auth_req_id`.
    pub(crate) ping: Option<(&'a SecretString, &'a str)>,
    pub(crate) interval_s: u32,
    pub(crate) lifetime_s: u32,
    pub(crate) request_id: &'a str,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    Waiting,
    /// Another request is called the same.
    Collision,
    /// As many are open as may be.
    TooMany,
}

/// What the token endpoint reads before it decides.
pub(crate) struct DeferredRead {
    pub(crate) asker: Asker,
    pub(crate) found: Option<(Stored, Option<DeferredGrant>)>,
}

/// What was approved.
pub(crate) struct DeferredGrant {
    pub(crate) holder: Holder,
    pub(crate) granted: Granted,
    pub(crate) ends_at: Timestamp,
}

/// The gate's arguments.
pub(crate) struct RedeemDeferred<'a> {
    pub(crate) poll: [u8; 32],
    pub(crate) client: &'a ClientId,
    pub(crate) access: &'a Access,
    pub(crate) refresh: Option<Hashed<Refresh>>,
    pub(crate) request_id: &'a str,
}

/// What the gate found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redeemed {
    Fresh,
    /// Somebody was faster, or it is over.
    Lost,
    /// It was approved, and what was granted is alive no more (W59).
    Dead,
}

impl Store {
    /// A live client of this issuer with its tenant's default scopes, for a request in which it authenticates.
    pub(crate) async fn asker_with_defaults(
        &self,
        issuer: &str,
        id: &ClientId,
    ) -> Result<Option<(Asker, ScopeSet)>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT c.id AS "id!", c.tenant_id, c.client_id AS "client_id!", c.metadata AS "metadata!: Json<Draft>",
                   c.secret_hashes AS "hashes!", c.secret_ends AS "ends!: Vec<Option<i64>>", c.fetched_jwks,
                   floor(extract(epoch FROM now()))::bigint AS "now!",
                   ARRAY(SELECT s.name FROM scopes s WHERE s.tenant_id = c.tenant_id AND s.is_default) AS "defaults!"
               FROM live_clients c WHERE c.client_id = $1 AND c.issuer = $2"#,
            id.as_str(),
            issuer,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let defaults = scopes(&row.defaults, "scopes.name")?;
        Ok(Some((asker!(row)?, defaults)))
    }

    /// Whom a CIBA request of a client of this tenant names: by the canonical key of an e-mail address, or by what
    /// the tenant calls them. `None`: nobody who could approve it; the caller does the same either way (W128).
    pub(crate) async fn hinted_person(
        &self,
        tenant: Option<TenantId>,
        email_key: Option<&str>,
        sub: Option<&str>,
    ) -> Result<Option<UserId>, StoreError> {
        let user = sqlx::query_scalar!(
            r#"SELECT u.id FROM users u
               WHERE u.id = coalesce((SELECT n.user_id FROM subjects n
                                      WHERE n.sub = $3 AND n.tenant_id IS NOT DISTINCT FROM $1),
                                     (SELECT e.id FROM users e WHERE e.email_key = $2))
                 AND u.status = 'active'
                 AND ($1::uuid IS NULL OR EXISTS (
                     SELECT FROM memberships m WHERE m.tenant_id = $1 AND m.user_id = u.id AND m.status = 'active'))"#,
            tenant.map(|tenant| tenant.0),
            email_key,
            sub,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(user.map(UserId))
    }

    /// Lets a request wait, unless as many are open as may be. Those of one quota take turns, and so do those for one
    /// person: counts are read after the locks, so that any number at once admits exactly the rest (W62, W136).
    ///
    /// A person who has as many open already, by other hints or of other tenants, is not asked: the request waits for
    /// nobody, and its client cannot tell.
    pub(crate) async fn begin_request(&self, new: &NewRequest<'_>) -> Result<Begun, StoreError> {
        let (quota, most) = &new.quota;
        // Whoever comes when all are taken need not wait for a turn, nor keep a connection meanwhile.
        let open = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM deferred_requests
               WHERE quota_hash = $1 AND decided_at IS NULL AND expires_at > now()"#,
            quota.as_slice(),
        )
        .fetch_one(&self.pool)
        .await?;
        if open >= i64::from(*most) {
            return Ok(Begun::TooMany);
        }
        let mut transaction = self.pool.begin().await?;
        take_turns(&mut transaction, new).await?;
        let outcome = sqlx::query_scalar!(
            r#"WITH open AS (
                   SELECT count(*) AS number FROM deferred_requests
                   WHERE quota_hash = $10 AND decided_at IS NULL AND expires_at > now()
               ), made AS (
                   INSERT INTO deferred_requests (poll_hash, person_hash, kind, client, user_id, scopes, audiences,
                                                  binding_message, origin, quota_hash, notify_token, ping_id,
                                                  interval_s, expires_at, authorization_details)
                   SELECT $1, $2, $3, $4,
                          CASE WHEN (SELECT count(*) FROM deferred_requests p WHERE p.user_id = $5
                                     AND p.decided_at IS NULL AND p.expires_at > now()) < $15 THEN $5::uuid END,
                          $6, $7, $8, $9, $10, $11, $12, $13, now() + make_interval(secs => $14), $16
                   FROM open WHERE open.number < $15
                   ON CONFLICT (person_hash) DO NOTHING
                   RETURNING user_id
               ), audited AS (
                   INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, request_id,
                                             data)
                   SELECT 'auth', $17, 'client', $18, $19, 'client', $18, $20,
                          jsonb_build_object('kind', $3::text, 'user', user_id, 'scopes', $6::text[])
                   FROM made
               )
               SELECT CASE WHEN EXISTS (SELECT FROM made) THEN 0
                           WHEN (SELECT number FROM open) < $15 THEN 1 ELSE 2 END AS "outcome!""#,
            new.poll.as_slice(),
            new.person.as_slice(),
            new.kind.as_str(),
            new.client.key.0,
            new.user.map(|user| user.0),
            &new.scopes.to_vec(),
            new.audiences,
            new.binding_message,
            new.origin,
            quota.as_slice(),
            new.ping.map(|(token, _)| token.expose_secret()),
            new.ping.map(|(_, id)| id),
            i32::try_from(new.interval_s).unwrap_or(i32::MAX),
            f64::from(new.lifetime_s),
            i64::from(*most),
            new.details.map(Json) as _,
            Event::RequestBegun.as_str(),
            new.client.id.as_str(),
            new.client.tenant.map(|tenant| tenant.0),
            new.request_id,
        )
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(match outcome {
            0 => Begun::Waiting,
            1 => Begun::Collision,
            _ => Begun::TooMany,
        })
    }

    /// One round trip: client, secrets, clock, request, grant.
    pub(crate) async fn read_request(
        &self,
        issuer: &str,
        client: &ClientId,
        (kind, poll): (Kind, Option<[u8; 32]>),
    ) -> Result<Option<DeferredRead>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT c.id AS "id!", c.tenant_id, c.client_id AS "client_id!", c.metadata AS "metadata!: Json<Draft>",
                   c.secret_hashes AS "hashes!", c.secret_ends AS "ends!: Vec<Option<i64>>", c.fetched_jwks,
                   floor(extract(epoch FROM now()))::bigint AS "now!",
                   r.client AS "owner?", floor(extract(epoch FROM r.expires_at))::bigint AS expires_at,
                   floor(extract(epoch FROM r.polled_at))::bigint AS polled_at, r.interval_s AS "interval_s?",
                   (r.decided_at IS NOT NULL) AS "decided?", (r.redeemed_at IS NOT NULL) AS "redeemed?",
                   g.id AS "grant_id?", g.sub AS "sub?", g.scopes AS "scopes?", g.audiences AS "audiences?",
                   g.authorization_details AS "details: Json<Details>", floor(extract(epoch FROM g.auth_time))::bigint AS auth_time, g.amr AS "amr?",
                   floor(extract(epoch FROM g.expires_at))::bigint AS ends_at
               FROM live_clients c LEFT JOIN deferred_requests r ON r.poll_hash = $2 AND r.kind = $3
                   LEFT JOIN grants g ON g.id = r.grant_id
               WHERE c.client_id = $1 AND c.issuer = $4"#,
            client.as_str(),
            poll.as_ref().map(<[u8; 32]>::as_slice),
            kind.as_str(),
            issuer,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let asker = asker!(row)?;
        let (Some(owner), Some(expires_at)) = (row.owner, row.expires_at) else {
            return Ok(Some(DeferredRead { asker, found: None }));
        };
        let state = match (row.redeemed, row.decided, row.grant_id) {
            (Some(true), _, _) => State::Redeemed,
            (_, Some(true), Some(_)) => State::Approved,
            (_, Some(true), None) => State::Declined,
            (_, _, _) => State::Undecided,
        };
        let stored = Stored {
            client: ClientKey(owner),
            state,
            expires_at: Timestamp(expires_at),
            polled_at: row.polled_at.map(Timestamp),
            interval_s: row.interval_s.and_then(|s| u32::try_from(s).ok()).unwrap_or(0),
        };
        let grant = match row.scopes {
            Some(list) => Some(DeferredGrant {
                holder: person(row.sub, row.auth_time, row.amr, None),
                granted: Granted {
                    scopes: scopes(&list, "grants.scopes")?,
                    audiences: row.audiences.unwrap_or_default(),
                    details: row.details.map(|json| json.0),
                },
                ends_at: Timestamp(row.ends_at.unwrap_or(0)),
            }),
            None => None,
        };
        Ok(Some(DeferredRead { asker, found: Some((stored, grant)) }))
    }

    /// Notes a poll of a request that still waits: the one write that a poll may cost (W56). A hasty one must
    /// wait longer from now on: "the interval MUST be increased by 5 seconds for this and all subsequent
    /// requests" (RFC 8628 §3.5).
    pub(crate) async fn note_poll(&self, poll: [u8; 32], hasty: bool) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE deferred_requests
             SET polled_at = now(), interval_s = least(600, interval_s + CASE WHEN $2::boolean THEN 5 ELSE 0 END)
             WHERE poll_hash = $1 AND decided_at IS NULL",
            poll.as_slice(),
            hasty,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The gate: one poll of however many gets the tokens (W55, W61), if everything that the grant stands on is
    /// alive at this moment. A second redemption harms nobody's first: a device that lost an answer repeats it.
    pub(crate) async fn redeem_request(
        &self,
        redeem: &RedeemDeferred<'_>,
    ) -> Result<Redeemed, StoreError> {
        let outcome = sqlx::query_scalar!(
            r#"WITH claimed AS (
                   UPDATE deferred_requests SET redeemed_at = now()
                   WHERE poll_hash = $1 AND grant_id IS NOT NULL AND redeemed_at IS NULL AND expires_at > now()
                   RETURNING grant_id
               ), granted AS (
                   SELECT c.grant_id FROM claimed c JOIN live_grants g ON g.id = c.grant_id
               ), access AS (
                   INSERT INTO access_tokens (jti, token_hash, grant_id, refresh_hash, scopes, audiences, issued_at,
                                              expires_at, authorization_details)
                   SELECT $2, $3, grant_id, $4, $5, $6, issued.at, issued.at + make_interval(secs => $7), $8
                   FROM granted, (SELECT 'epoch'::timestamptz + $13::bigint * interval '1 second' AS at) issued
               ), refresh AS (
                   INSERT INTO refresh_tokens (token_hash, grant_id)
                   SELECT $4, grant_id FROM granted WHERE $4::bytea IS NOT NULL
               ), audited AS (
                   INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, request_id)
                   SELECT 'auth', CASE WHEN EXISTS (SELECT FROM granted) THEN $11 ELSE $12 END, 'client', $9,
                       (SELECT c.tenant_id FROM grants g JOIN clients c ON c.id = g.client WHERE g.id = grant_id),
                       'grant', grant_id::text, $10
                   FROM claimed
               )
               SELECT CASE WHEN EXISTS (SELECT FROM granted) THEN 0
                           WHEN EXISTS (SELECT FROM claimed) THEN 1 ELSE 2 END AS "outcome!""#,
            redeem.poll.as_slice(),
            redeem.access.id.0,
            redeem.access.hash.as_bytes(),
            redeem.refresh.as_ref().map(|hash| hash.as_bytes().as_slice()),
            &redeem.access.scopes.to_vec(),
            &redeem.access.audiences,
            f64::from(redeem.access.lifetime_s),
            redeem.access.details.as_ref().map(Json) as _,
            redeem.client.as_str(),
            redeem.request_id,
            Event::TokensIssued.as_str(),
            Event::GrantDead.as_str(),
            redeem.access.issued_at.0,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(match outcome {
            0 => Redeemed::Fresh,
            1 => Redeemed::Dead,
            _ => Redeemed::Lost,
        })
    }
}

/// Waits for whoever begins a request of the same quota, then for whoever asks the same person: in this order
/// everywhere. Of nobody there is no second turn, but the same work.
async fn take_turns(
    transaction: &mut PgTransaction<'_>,
    new: &NewRequest<'_>,
) -> Result<(), StoreError> {
    let quota = new.quota.0.as_slice();
    let whose = new.user.as_ref().map_or(quota, |user| user.0.as_bytes());
    for subject in [quota, whose] {
        let turn = subject.last_chunk().map_or(0, |turn| i64::from_be_bytes(*turn));
        sqlx::query!("SELECT pg_advisory_xact_lock($1)", turn).execute(&mut **transaction).await?;
    }
    Ok(())
}
