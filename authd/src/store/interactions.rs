//! Sign-ins under way. An interaction belongs to the browser that began it and completes once.

use oauth::authorize::{Facts, Request, SignedIn};
use oauth::client::{Client, Draft};
use oauth::ids::{ClientKey, GrantId, SessionId, UserId};
use oauth::secret::{Browser, Code, Interaction, Session};
use oauth::{Hashed, ScopeSet, Timestamp};
use sqlx::types::Json;
use store::audit::Event;

use super::clients::ClientRow;
use super::{Store, StoreError, scopes};

/// Everything that a visit to an interaction needs, from one round trip.
pub(crate) struct Visit {
    pub(crate) request: Request,
    pub(crate) client: Client,
    pub(crate) user: Option<UserId>,
    pub(crate) email: Option<String>,
    pub(crate) session: Option<SessionId>,
    /// What this client calls the person; `None`: they have not met.
    pub(crate) sub: Option<String>,
    pub(crate) facts: Facts,
    pub(crate) now: Timestamp,
}

/// The gate's arguments when a code is issued.
pub(crate) struct IssueCode<'a> {
    pub(crate) handle: Hashed<Interaction>,
    pub(crate) browser: Hashed<Browser>,
    pub(crate) session: SessionId,
    pub(crate) user: UserId,
    /// Whether this rests on a consent, which then must still be there.
    pub(crate) consented: bool,
    pub(crate) client: &'a Client,
    pub(crate) request: &'a Request,
    pub(crate) code: Hashed<Code>,
    pub(crate) grant: GrantId,
    pub(crate) sub: &'a str,
    pub(crate) audiences: Vec<String>,
    pub(crate) code_lifetime_s: u32,
    pub(crate) grant_lifetime_s: u32,
    pub(crate) request_id: &'a str,
}

impl Store {
    /// Records a checked request for the browser that sent it.
    pub(crate) async fn insert_interaction(
        &self,
        (handle, browser): (Hashed<Interaction>, Hashed<Browser>),
        client: ClientKey,
        request: &Request,
        lifetime_s: u32,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"INSERT INTO interactions (handle_hash, browser_hash, client, request, expires_at)
               VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))"#,
            handle.as_bytes(),
            browser.as_bytes(),
            client.0,
            Json(request) as _,
            f64::from(lifetime_s),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// An open interaction of this browser at this issuer, with whoever is signed in there. `None`: unknown, another
    /// browser's, expired or completed; or its client or tenant is no longer active.
    pub(crate) async fn visit(
        &self,
        issuer: &str,
        (handle, browser): (Hashed<Interaction>, Hashed<Browser>),
        session: Option<Hashed<Session>>,
        idle_s: u32,
    ) -> Result<Option<Visit>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT i.request AS "request: Json<Request>", i.consented_by,
                   (i.authenticated_at IS NOT NULL AND i.authenticated_at <= s.auth_time) AS authenticated_here,
                   c.id AS "id!", c.tenant_id, c.client_id AS "client_id!", c.metadata AS "metadata!: Json<Draft>",
                   s.id AS "session_id?", u.id AS "user_id?", u.email AS "email?",
                   floor(extract(epoch FROM s.auth_time))::bigint AS auth_time,
                   (c.tenant_id IS NULL OR m.user_id IS NOT NULL) AS "member!",
                   w.scopes AS "remembered?", n.sub AS "sub?", floor(extract(epoch FROM now()))::bigint AS "now!"
               FROM interactions i
                   JOIN live_clients c ON c.id = i.client AND c.issuer = $5
                   LEFT JOIN sessions s ON s.secret_hash = $3 AND s.ended_at IS NULL AND s.expires_at > now()
                       AND s.last_seen_at > now() - make_interval(secs => $4)
                       AND EXISTS (SELECT FROM users a WHERE a.id = s.user_id AND a.status = 'active')
                   LEFT JOIN users u ON u.id = s.user_id
                   LEFT JOIN memberships m ON m.tenant_id = c.tenant_id AND m.user_id = u.id AND m.status = 'active'
                   LEFT JOIN consents w ON w.user_id = u.id AND w.client = c.id
                       AND (w.withdrawn_at IS NULL OR w.granted_at > w.withdrawn_at)
                   LEFT JOIN subjects n ON n.user_id = u.id AND n.tenant_id IS NOT DISTINCT FROM c.tenant_id
               WHERE i.handle_hash = $1 AND i.browser_hash = $2 AND i.completed_at IS NULL AND i.expires_at > now()"#,
            handle.as_bytes(),
            browser.as_bytes(),
            session.as_ref().map(|hash| hash.as_bytes().as_slice()),
            f64::from(idle_s),
            issuer,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let client = ClientRow {
            id: row.id,
            tenant_id: row.tenant_id,
            client_id: row.client_id,
            metadata: row.metadata,
        };
        let hinted = &row.request.hinted_sub;
        let as_hinted = hinted.is_none() || *hinted == row.sub;
        let member = row.member;
        let signed_in =
            row.auth_time.map(|at| SignedIn { auth_time: Timestamp(at), member, as_hinted });
        let remembered = match row.remembered {
            Some(list) => scopes(&list, "consents.scopes")?,
            None => ScopeSet::default(),
        };
        Ok(Some(Visit {
            request: row.request.0,
            client: client.try_into()?,
            user: row.user_id.map(UserId),
            email: row.email,
            session: row.session_id.map(SessionId),
            sub: row.sub,
            facts: Facts {
                signed_in,
                authenticated_here: row.authenticated_here.unwrap_or(false),
                consented_here: row.user_id.is_some() && row.consented_by == row.user_id,
                remembered,
            },
            now: Timestamp(row.now),
        }))
    }

    /// Remembers that this person agreed to these scopes for this client, inside this interaction.
    pub(crate) async fn record_consent(
        &self,
        handle: Hashed<Interaction>,
        user: UserId,
        visit: &Visit,
        request_id: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"WITH agreed AS (
                   UPDATE interactions SET consented_by = $2 WHERE handle_hash = $1 AND completed_at IS NULL
                   RETURNING client
               ), remembered AS (
                   INSERT INTO consents (user_id, client, scopes) SELECT $2, client, $3 FROM agreed
                   ON CONFLICT (user_id, client) DO UPDATE SET
                       scopes = CASE WHEN consents.withdrawn_at IS NULL OR consents.granted_at > consents.withdrawn_at
                           THEN (SELECT array_agg(DISTINCT s ORDER BY s) FROM unnest(consents.scopes || excluded.scopes) s)
                           ELSE excluded.scopes END,
                       -- What a withdrawal killed stays dead: its time is kept, and older grants with it.
                       granted_at = now()
               )
               INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, request_id, data)
               SELECT 'auth', $4, 'user', $2::uuid::text, $5, 'client', $6, $7, jsonb_build_object('scopes', $3::text[])
               FROM agreed"#,
            handle.as_bytes(),
            user.0,
            &visit.request.scopes.to_vec(),
            Event::ConsentGranted.as_str(),
            visit.client.tenant.map(|tenant| tenant.0),
            visit.client.id.as_str(),
            request_id,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Ends an interaction without a code. `false`: it had ended already, and no answer may be sent twice.
    pub(crate) async fn refuse_interaction(
        &self,
        handle: Hashed<Interaction>,
        denied_by: Option<UserId>,
        client: &Client,
        request_id: &str,
    ) -> Result<bool, StoreError> {
        let ended = sqlx::query_scalar!(
            r#"WITH ended AS (
                   UPDATE interactions SET completed_at = now() WHERE handle_hash = $1 AND completed_at IS NULL
                   RETURNING 1
               ), audited AS (
                   INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, request_id)
                   SELECT 'auth', $2, 'user', $3, $4, 'client', $5, $6 FROM ended WHERE $3::text IS NOT NULL
               )
               SELECT count(*) AS "count!" FROM ended"#,
            handle.as_bytes(),
            Event::ConsentDenied.as_str(),
            denied_by.map(|user| user.to_string()),
            client.tenant.map(|tenant| tenant.0),
            client.id.as_str(),
            request_id,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(ended > 0)
    }

    /// What a client calls a person whom it has not met: a random name, kept from then on. Two at once agree.
    pub(crate) async fn name_subject(
        &self,
        user: UserId,
        client: &Client,
        random: &str,
    ) -> Result<String, StoreError> {
        let tenant = client.tenant.map(|tenant| tenant.0);
        sqlx::query!(
            "INSERT INTO subjects (sub, user_id, tenant_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            random,
            user.0,
            tenant
        )
        .execute(&self.pool)
        .await?;
        Ok(sqlx::query_scalar!(
            "SELECT sub FROM subjects WHERE user_id = $1 AND tenant_id IS NOT DISTINCT FROM $2",
            user.0,
            tenant
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// The gate at the end of an interaction: completes it and records grant and code, once. It holds the
    /// account's credentials, so that a password change waits, and then ends what it made (W44). The session must still
    /// be alive at this very moment. `false`: lost the race, nothing issued.
    pub(crate) async fn issue_code(&self, issue: &IssueCode<'_>) -> Result<bool, StoreError> {
        let issued = sqlx::query_scalar!(
            r#"WITH held AS (
                   SELECT c.user_id FROM credentials c JOIN sessions s ON s.user_id = c.user_id
                       JOIN users u ON u.id = c.user_id AND u.status = 'active'
                   WHERE c.user_id = $4 AND s.id = $3 AND c.changed_at <= s.auth_time AND s.ended_at IS NULL
                     AND s.expires_at > now()
                   FOR SHARE OF c
               ), agreement AS (
                   -- Held too: a withdrawal waits, and then ends what is made here; or it came first and is seen,
                   -- though it may have committed after this statement began.
                   SELECT granted_at, withdrawn_at FROM consents WHERE user_id = $4 AND client = $8 FOR SHARE
               ), completed AS (
                   UPDATE interactions SET completed_at = now()
                   WHERE handle_hash = $1 AND browser_hash = $2 AND completed_at IS NULL AND expires_at > now()
                     AND EXISTS (SELECT FROM held)
                     AND NOT ($23 AND EXISTS (SELECT FROM agreement WHERE withdrawn_at >= granted_at))
                   RETURNING 1
               ), granted AS (
                   INSERT INTO grants (id, client, user_id, sub, session_id, scopes, audiences, offline, nonce,
                                       auth_time, amr, expires_at, id_token_claims, authorization_details)
                   SELECT $7, $8, $4, n.sub, $3, $9, $10, $11, $12, s.auth_time, s.amr,
                          now() + make_interval(secs => $13), $21, $22
                   FROM completed, sessions s, subjects n
                   WHERE s.id = $3 AND n.sub = $5 AND n.user_id = $4 AND n.tenant_id IS NOT DISTINCT FROM $6
                   RETURNING id
               ), code AS (
                   INSERT INTO codes (code_hash, grant_id, redirect_uri, code_challenge, expires_at)
                   SELECT $14, id, $15, $16, now() + make_interval(secs => $17) FROM granted
               ), audited AS (
                   INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, request_id,
                                             data)
                   SELECT 'auth', $18, 'user', $4::uuid::text, $6, 'grant', id::text, $19,
                          jsonb_build_object('client_id', $20::text, 'scopes', $9::text[])
                   FROM granted
               )
               SELECT count(*) AS "count!" FROM granted"#,
            issue.handle.as_bytes(),
            issue.browser.as_bytes(),
            issue.session.0,
            issue.user.0,
            issue.sub,
            issue.client.tenant.map(|tenant| tenant.0),
            issue.grant.0,
            issue.client.key.0,
            &issue.request.scopes.to_vec(),
            &issue.audiences,
            oauth::refresh::is_offline(&issue.request.scopes),
            issue.request.nonce,
            f64::from(issue.grant_lifetime_s),
            issue.code.as_bytes(),
            issue.request.back.uri.as_str(),
            issue.request.challenge.clone().map(String::from),
            f64::from(issue.code_lifetime_s),
            Event::CodeIssued.as_str(),
            issue.request_id,
            issue.client.id.as_str(),
            &issue.request.id_token_claims,
            issue.request.details.as_ref().map(Json) as _,
            issue.consented,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(issued > 0)
    }
}
