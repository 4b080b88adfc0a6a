//! What a person sees and manages of their own: sessions, applications, the password.

use oauth::Hashed;
use oauth::ids::{ClientId, SessionId, TenantId, UserId};
use oauth::secret::Session;
use secrecy::{ExposeSecret as _, SecretString};
use store::audit::Event;

use super::{SessionRow, Store, StoreError};

/// Most rows of a list on one page.
const ROWS_MAX: i64 = 100;

/// A live session, with times in UTC as they are shown.
pub(crate) struct SessionLine {
    pub(crate) id: SessionId,
    pub(crate) since: String,
    pub(crate) seen: String,
    pub(crate) address: Option<String>,
    pub(crate) user_agent: Option<String>,
}

/// An application that holds a live grant, or that the person agreed to.
pub(crate) struct ApplicationLine {
    pub(crate) client_id: String,
    pub(crate) name: String,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) scopes: Vec<String>,
    pub(crate) since: String,
    /// It holds a grant that outlives the session.
    pub(crate) offline: bool,
}

/// Which of a person's sessions end.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    One(SessionId),
    /// All but the one that asks.
    Others,
}

/// A password change, once the old password was verified.
pub(crate) struct NewPassword<'a> {
    pub(crate) session: &'a SessionRow,
    pub(crate) presented: Hashed<Session>,
    pub(crate) successor: Hashed<Session>,
    /// The hash that the old password was verified against: it must still be the account's.
    pub(crate) verified: &'a SecretString,
    pub(crate) hash: &'a SecretString,
    /// Seconds since the person signed in here, at most.
    pub(crate) fresh_s: u32,
    pub(crate) request_id: &'a str,
}

impl Store {
    /// The live sessions of a person, those in use first.
    pub(crate) async fn sessions_of(
        &self,
        user: UserId,
        idle_s: u32,
    ) -> Result<Vec<SessionLine>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT id, address, user_agent,
                   to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS "since!",
                   to_char(last_seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS "seen!"
               FROM sessions
               WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now()
                 AND last_seen_at > now() - make_interval(secs => $2)
               ORDER BY last_seen_at DESC, id LIMIT $3"#,
            user.0,
            f64::from(idle_s),
            ROWS_MAX,
        )
        .fetch_all(&self.pool)
        .await?;
        let lines = rows.into_iter().map(|row| SessionLine {
            id: SessionId(row.id),
            since: row.since,
            seen: row.seen,
            address: row.address,
            user_agent: row.user_agent,
        });
        Ok(lines.collect())
    }

    /// The applications of a person, by name. What was agreed to and what is granted are shown as one.
    pub(crate) async fn applications_of(
        &self,
        user: UserId,
    ) -> Result<Vec<ApplicationLine>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT c.client_id, c.metadata ->> 'client_name' AS name, c.tenant_id,
                   ARRAY(SELECT DISTINCT unnest(a.scopes) ORDER BY 1) AS "scopes!", a.offline AS "offline!",
                   to_char(a.since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS "since!"
               FROM (
                   SELECT client, bool_or(offline) AS offline, min(since) AS since,
                       string_to_array(string_agg(array_to_string(scopes, ' '), ' '), ' ') AS scopes
                   FROM (
                       SELECT client, scopes, granted_at AS since, false AS offline FROM consents
                       WHERE user_id = $1 AND (withdrawn_at IS NULL OR granted_at > withdrawn_at)
                       UNION ALL
                       SELECT client, scopes, created_at, offline FROM live_grants WHERE user_id = $1
                   ) found
                   GROUP BY client
               ) a JOIN clients c ON c.id = a.client
               ORDER BY 2, 1 LIMIT $2"#,
            user.0,
            ROWS_MAX,
        )
        .fetch_all(&self.pool)
        .await?;
        let lines = rows.into_iter().map(|row| ApplicationLine {
            name: row.name.unwrap_or_else(|| row.client_id.clone()),
            client_id: row.client_id,
            tenant: row.tenant_id.map(TenantId),
            scopes: row.scopes.into_iter().filter(|scope| !scope.is_empty()).collect(),
            since: row.since,
            offline: row.offline,
        });
        Ok(lines.collect())
    }

    /// What tenants say of their scopes: tenant, name, words.
    pub(crate) async fn scopes_in_words(
        &self,
        tenants: &[TenantId],
    ) -> Result<Vec<(TenantId, String, String)>, StoreError> {
        let ids: Vec<uuid::Uuid> = tenants.iter().map(|tenant| tenant.0).collect();
        let rows = sqlx::query!(
            "SELECT tenant_id, name, description FROM scopes WHERE tenant_id = ANY ($1)",
            &ids
        )
        .fetch_all(&self.pool)
        .await?;
        let words = rows.into_iter();
        Ok(words.map(|row| (TenantId(row.tenant_id), row.name, row.description)).collect())
    }

    /// Ends sessions of the person who asks. What was issued through them without `offline_access` is dead.
    pub(crate) async fn end_sessions(
        &self,
        asking: &SessionRow,
        ending: Ending,
        request_id: &str,
    ) -> Result<(), StoreError> {
        let one = match ending {
            Ending::One(session) => Some(session.0),
            Ending::Others => None,
        };
        sqlx::query!(
            r#"WITH ended AS (
                   UPDATE sessions SET ended_at = now()
                   WHERE user_id = $1 AND ended_at IS NULL AND id <> $2 AND id = coalesce($3, id)
                     AND EXISTS (SELECT FROM sessions WHERE id = $2 AND ended_at IS NULL)
                   RETURNING id
               )
               INSERT INTO audit_events (plane, type, actor_type, actor, target_type, target, request_id)
               SELECT 'auth', $4, 'user', $1::uuid::text, 'session', id::text, $5 FROM ended"#,
            asking.user.0,
            asking.id.0,
            one,
            Event::SessionEnded.as_str(),
            request_id,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes back what an application may do: consent, where it was asked for, and every grant. A transaction whose
    /// first statement waits for every code and every approval under way (`issue_code` and `decide` hold the person's
    /// credential), so that the second sees what they made and ends it, consent or not.
    pub(crate) async fn withdraw(
        &self,
        user: UserId,
        client: &ClientId,
        request_id: &str,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query!("SELECT user_id FROM credentials WHERE user_id = $1 FOR UPDATE", user.0)
            .fetch_optional(&mut *transaction)
            .await?;
        sqlx::query!(
            r#"WITH client AS (
                   SELECT id, client_id, tenant_id FROM clients WHERE client_id = $2
               ), withdrawn AS (
                   UPDATE consents SET withdrawn_at = now()
                   WHERE user_id = $1 AND client = (SELECT id FROM client)
                     AND (withdrawn_at IS NULL OR granted_at > withdrawn_at)
                   RETURNING client
               ), killed AS (
                   UPDATE grants SET revoked_at = now(), revoke_reason = 'consent_withdrawn'
                   WHERE user_id = $1 AND client = (SELECT id FROM client) AND revoked_at IS NULL
                   RETURNING id
               )
               INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, request_id, data)
               SELECT 'auth', $3, 'user', $1::uuid::text, tenant_id, 'client', client_id, $4,
                   jsonb_build_object('grants', (SELECT count(*) FROM killed))
               FROM client WHERE EXISTS (SELECT FROM withdrawn) OR EXISTS (SELECT FROM killed)"#,
            user.0,
            client.as_str(),
            Event::ConsentWithdrawn.as_str(),
            request_id,
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The gate of a password change: a transaction whose first statement waits for every sign-in and every code
    /// under way for the account, so that the second sees what they made and ends it, as in `enrol` (W44).
    ///
    /// The session that asks goes on under another secret, as a sign-in of this moment; all others end, with
    /// every grant and every open link. `false`: the password or the session is no longer what it was.
    pub(crate) async fn change_password(
        &self,
        change: &NewPassword<'_>,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query!(
            "SELECT user_id FROM credentials WHERE user_id = $1 FOR UPDATE",
            change.session.user.0
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let changed = sqlx::query_scalar!(
            r#"WITH changed AS (
                   UPDATE credentials SET password_hash = $5, changed_at = now()
                   WHERE password_hash = $4 AND user_id = (
                       SELECT s.user_id FROM sessions s JOIN users u ON u.id = s.user_id AND u.status = 'active'
                       WHERE s.id = $1 AND s.secret_hash = $2 AND s.ended_at IS NULL AND s.expires_at > now()
                         AND s.auth_time > now() - make_interval(secs => $6))
                   RETURNING user_id
               ), renewed AS (
                   UPDATE sessions SET secret_hash = $3, auth_time = now(), last_seen_at = now(), amr = ARRAY['pwd']
                   WHERE id = $1 AND ended_at IS NULL AND EXISTS (SELECT FROM changed)
               ), ended AS (
                   UPDATE sessions SET ended_at = now()
                   WHERE user_id IN (SELECT user_id FROM changed) AND id <> $1 AND ended_at IS NULL
               ), links AS (
                   UPDATE enrolments SET used_at = now()
                   WHERE user_id IN (SELECT user_id FROM changed) AND used_at IS NULL
               ), killed AS (
                   UPDATE grants SET revoked_at = now(), revoke_reason = 'password_change'
                   WHERE user_id IN (SELECT user_id FROM changed) AND revoked_at IS NULL
               ), audited AS (
                   INSERT INTO audit_events (plane, type, actor_type, actor, target_type, target, request_id)
                   SELECT 'auth', $7, 'user', user_id::text, 'user', user_id::text, $8 FROM changed
               )
               SELECT count(*) AS "count!" FROM changed"#,
            change.session.id.0,
            change.presented.as_bytes(),
            change.successor.as_bytes(),
            change.verified.expose_secret(),
            change.hash.expose_secret(),
            f64::from(change.fresh_s),
            Event::PasswordChanged.as_str(),
            change.request_id,
        )
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(changed > 0)
    }
}
