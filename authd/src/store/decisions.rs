//! Requests that wait for a person, as that person sees them: found, and decided once.

use oauth::client::{Client, Draft};
use oauth::deferred::{FRESH_S, Kind};
use oauth::ids::{GrantId, SessionId, TenantId, TokenId, UserId};
use oauth::rar::Details;
use oauth::secret::{Access, Session};
use oauth::{Hashed, ScopeSet, Timestamp};
use sqlx::types::Json;
use store::audit::Event;
use uuid::Uuid;

use super::clients::ClientRow;
use super::{SessionRow, Store, StoreError, digest, scopes};

/// A request that waits, or waited.
pub(crate) struct Waiting {
    pub(crate) client: Client,
    pub(crate) scopes: ScopeSet,
    pub(crate) details: Option<Details>,
    pub(crate) binding_message: Option<String>,
    /// The address that it came from.
    pub(crate) origin: String,
    pub(crate) began_at: Timestamp,
    /// Seconds since then.
    pub(crate) age_s: u32,
    /// Seconds until it is over.
    pub(crate) left_s: u32,
    pub(crate) decided: bool,
    /// The hash of what the client polls with.
    pub(crate) poll: [u8; 32],
}

struct WaitingRow {
    id: Uuid,
    tenant_id: Option<Uuid>,
    client_id: String,
    metadata: Json<Draft>,
    scopes: Vec<String>,
    details: Option<Json<Details>>,
    binding_message: Option<String>,
    origin: String,
    began_at: i64,
    age_s: i64,
    left_s: i64,
    decided: bool,
    poll_hash: Vec<u8>,
}

impl TryFrom<WaitingRow> for Waiting {
    type Error = StoreError;

    fn try_from(row: WaitingRow) -> Result<Self, StoreError> {
        let seconds = |s: i64| u32::try_from(s).unwrap_or(0);
        let client = ClientRow {
            id: row.id,
            tenant_id: row.tenant_id,
            client_id: row.client_id,
            metadata: row.metadata,
        };
        Ok(Self {
            client: client.try_into()?,
            scopes: scopes(&row.scopes, "deferred_requests.scopes")?,
            details: row.details.map(|json| json.0),
            binding_message: row.binding_message,
            origin: row.origin,
            began_at: Timestamp(row.began_at),
            age_s: seconds(row.age_s),
            left_s: seconds(row.left_s),
            decided: row.decided,
            poll: digest(row.poll_hash, "deferred_requests.poll_hash")?,
        })
    }
}

/// By what a person decides.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Witness {
    /// A fresh sign-in at a browser.
    Session(SessionId),
    /// A token of their authenticator app.
    Token(TokenId),
}

impl Witness {
    /// Its row: a session's or a token's.
    fn ids(self) -> (Option<Uuid>, Option<Uuid>) {
        match self {
            Self::Session(id) => (Some(id.0), None),
            Self::Token(id) => (None, Some(id.0)),
        }
    }
}

/// Whose requests are within reach: those of an issuer's clients, and of one tenant alone if one is named.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) tenant: Option<TenantId>,
}

/// An app that shows a token, and whose it is.
pub(crate) struct Authenticator {
    pub(crate) client: Client,
    pub(crate) scopes: ScopeSet,
    pub(crate) token: TokenId,
    pub(crate) user: UserId,
}

/// The gate's arguments.
pub(crate) struct Decide<'a> {
    pub(crate) kind: Kind,
    /// The hash of what the person names it by.
    pub(crate) person: [u8; 32],
    pub(crate) user: UserId,
    pub(crate) witness: Witness,
    pub(crate) client: &'a Client,
    /// What the client calls the person; `None`: they decline.
    pub(crate) sub: Option<&'a str>,
    pub(crate) grant: GrantId,
    pub(crate) grant_lifetime_s: u32,
    pub(crate) request_id: &'a str,
}

impl Store {
    /// The live session behind a cookie, and whether its person proved who they are a moment ago.
    pub(crate) async fn deciding_session(
        &self,
        secret: Hashed<Session>,
        idle_s: u32,
    ) -> Result<Option<(SessionRow, bool)>, StoreError> {
        let session = self.session(secret, idle_s).await?;
        Ok(session.map(|session| {
            let fresh = session.age_s < i64::from(FRESH_S);
            (session, fresh)
        }))
    }

    /// Whoever shows a token of their authenticator app. `None`: it is no live token of this issuer with a
    /// person behind it.
    pub(crate) async fn authenticator(
        &self,
        issuer: &str,
        hash: Hashed<Access>,
    ) -> Result<Option<Authenticator>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT c.id AS "id!", c.tenant_id, c.client_id AS "client_id!", c.metadata AS "metadata!: Json<Draft>",
                   a.jti, a.scopes, g.user_id
               FROM access_tokens a JOIN live_grants g ON g.id = a.grant_id
                   JOIN live_clients c ON c.id = g.client AND c.issuer = $1
               WHERE a.token_hash = $2 AND a.revoked_at IS NULL AND a.expires_at > now()"#,
            issuer,
            hash.as_bytes(),
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let Some(user) = row.user_id else { return Ok(None) };
        let client = ClientRow {
            id: row.id,
            tenant_id: row.tenant_id,
            client_id: row.client_id,
            metadata: row.metadata,
        };
        Ok(Some(Authenticator {
            client: client.try_into()?,
            scopes: scopes(&row.scopes, "access_tokens.scopes")?,
            token: TokenId(row.jti),
            user: UserId(user),
        }))
    }

    /// What waits for this person and can be decided, oldest first.
    pub(crate) async fn waiting_for(
        &self,
        reach: &Reach<'_>,
        user: UserId,
    ) -> Result<Vec<Waiting>, StoreError> {
        let rows = sqlx::query_as!(
            WaitingRow,
            r#"SELECT c.id AS "id!", c.tenant_id, c.client_id AS "client_id!", c.metadata AS "metadata!: Json<Draft>",
                   r.scopes, r.authorization_details AS "details: Json<Details>", r.binding_message, coalesce(r.origin, '') AS "origin!",
                   extract(epoch FROM r.created_at)::bigint AS "began_at!",
                   extract(epoch FROM now() - r.created_at)::bigint AS "age_s!",
                   extract(epoch FROM r.expires_at - now())::bigint AS "left_s!",
                   r.decided_at IS NOT NULL AS "decided!", r.poll_hash
               FROM deferred_requests r JOIN live_clients c ON c.id = r.client AND c.issuer = $1
               WHERE r.user_id = $3 AND r.kind = 'ciba' AND r.decided_at IS NULL AND r.expires_at > now()
                 AND ($2::uuid IS NULL OR c.tenant_id = $2)
                 AND (c.tenant_id IS NULL OR EXISTS (
                     SELECT FROM memberships m
                     WHERE m.tenant_id = c.tenant_id AND m.user_id = $3 AND m.status = 'active'))
               ORDER BY r.created_at, r.poll_hash LIMIT 20"#,
            reach.issuer,
            reach.tenant.map(|tenant| tenant.0),
            user.0,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Waiting::try_from).collect()
    }

    /// The request of this name that this person may decide or has decided.
    pub(crate) async fn waiting(
        &self,
        reach: &Reach<'_>,
        (kind, person): (Kind, [u8; 32]),
        user: UserId,
    ) -> Result<Option<Waiting>, StoreError> {
        let row = sqlx::query_as!(
            WaitingRow,
            r#"SELECT c.id AS "id!", c.tenant_id, c.client_id AS "client_id!", c.metadata AS "metadata!: Json<Draft>",
                   r.scopes, r.authorization_details AS "details: Json<Details>", r.binding_message, coalesce(r.origin, '') AS "origin!",
                   extract(epoch FROM r.created_at)::bigint AS "began_at!",
                   extract(epoch FROM now() - r.created_at)::bigint AS "age_s!",
                   extract(epoch FROM r.expires_at - now())::bigint AS "left_s!",
                   r.decided_at IS NOT NULL AS "decided!", r.poll_hash
               FROM deferred_requests r JOIN live_clients c ON c.id = r.client AND c.issuer = $1
               WHERE ($5::uuid IS NULL OR c.tenant_id = $5) AND r.person_hash = $2 AND r.kind = $3 AND r.expires_at > now()
                 AND (r.user_id = $4 OR (r.kind = 'device' AND r.user_id IS NULL))
                 AND (c.tenant_id IS NULL OR EXISTS (
                     SELECT FROM memberships m
                     WHERE m.tenant_id = c.tenant_id AND m.user_id = $4 AND m.status = 'active'))"#,
            reach.issuer,
            person.as_slice(),
            kind.as_str(),
            user.0,
            reach.tenant.map(|tenant| tenant.0),
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(Waiting::try_from).transpose()
    }

    /// The gate of a decision, whichever it is: the first one is final (W55). It holds the person's credential,
    /// so that a password change waits and then ends what was granted (W44); session or token, membership and
    /// client must be alive at this very moment (W59). `false`: nothing was decided by it.
    ///
    /// A grant made here is not bound to the session: it lives on another device, whose user signs out there.
    pub(crate) async fn decide(&self, decide: &Decide<'_>) -> Result<bool, StoreError> {
        let (session, token) = decide.witness.ids();
        let grant = decide.sub.map(|_| decide.grant.0);
        let event = if grant.is_some() { Event::RequestApproved } else { Event::RequestDeclined };
        let ping = decide.client.metadata.notification_endpoint.as_ref().map(ToString::to_string);
        let decided = sqlx::query_scalar!(
            r#"WITH held AS (
                   SELECT c.user_id, w.auth_time, w.amr
                   FROM credentials c JOIN users u ON u.id = c.user_id AND u.status = 'active'
                       JOIN (SELECT s.user_id, s.auth_time, s.amr FROM sessions s
                             WHERE s.id = $4 AND s.ended_at IS NULL AND s.expires_at > now()
                               AND s.auth_time > now() - make_interval(secs => $5)
                             UNION ALL
                             SELECT g.user_id, g.auth_time, g.amr FROM access_tokens a JOIN live_grants g ON g.id = a.grant_id
                             WHERE a.jti = $6 AND a.revoked_at IS NULL AND a.expires_at > now()) w
                           ON w.user_id = c.user_id AND c.changed_at <= w.auth_time
                   WHERE c.user_id = $3 FOR SHARE OF c
               ), open AS (
                   SELECT r.*, c.client_id, c.tenant_id, h.auth_time, h.amr
                   FROM held h, deferred_requests r JOIN live_clients c ON c.id = r.client
                   WHERE r.person_hash = $1 AND r.kind = $2 AND r.decided_at IS NULL AND r.expires_at > now()
                     AND (r.user_id = $3 OR (r.kind = 'device' AND r.user_id IS NULL))
                     AND (c.tenant_id IS NULL OR EXISTS (
                         SELECT FROM memberships m WHERE m.tenant_id = c.tenant_id AND m.user_id = $3 AND m.status = 'active'))
                     AND ($7::text IS NULL OR EXISTS (
                         SELECT FROM subjects n
                         WHERE n.sub = $7 AND n.user_id = $3 AND n.tenant_id IS NOT DISTINCT FROM c.tenant_id))
                   FOR UPDATE OF r
               ), decided AS (
                   UPDATE deferred_requests r
                   SET decided_at = now(), user_id = $3, grant_id = $8, notify_token = NULL, ping_id = NULL
                   FROM open WHERE r.poll_hash = open.poll_hash RETURNING r.poll_hash
               ), granted AS (
                   INSERT INTO grants (id, client, user_id, sub, scopes, audiences, authorization_details, offline,
                                       auth_time, amr, expires_at)
                   SELECT $8, o.client, $3, $7, o.scopes, o.audiences, o.authorization_details, true, o.auth_time, o.amr,
                          now() + make_interval(secs => $9)
                   FROM open o JOIN decided USING (poll_hash) WHERE $8::uuid IS NOT NULL
               ), pinged AS (
                   INSERT INTO outbox (id, kind, client, url, bearer, body)
                   SELECT $10, 'ciba_ping', o.client, $11, o.notify_token, jsonb_build_object('auth_req_id', o.ping_id)
                   FROM open o JOIN decided USING (poll_hash) WHERE o.ping_id IS NOT NULL AND $11::text IS NOT NULL
               ), audited AS (
                   INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, request_id, data)
                   SELECT 'auth', $12, 'user', $3::uuid::text, o.tenant_id,
                          CASE WHEN $8::uuid IS NULL THEN 'client' ELSE 'grant' END, coalesce($8::uuid::text, o.client_id), $13,
                          jsonb_build_object('kind', o.kind, 'client_id', o.client_id, 'scopes', o.scopes,
                                             'by', CASE WHEN $4::uuid IS NULL THEN 'token' ELSE 'session' END)
                   FROM open o JOIN decided USING (poll_hash)
               )
               SELECT count(*) AS "count!" FROM decided"#,
            decide.person.as_slice(),
            decide.kind.as_str(),
            decide.user.0,
            session,
            f64::from(FRESH_S),
            token,
            decide.sub,
            grant,
            f64::from(decide.grant_lifetime_s),
            Uuid::now_v7(),
            ping,
            event.as_str(),
            decide.request_id,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(decided > 0)
    }
}
