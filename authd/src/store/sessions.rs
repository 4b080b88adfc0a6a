//! Browser sessions: found by the hash of the cookie's secret, alive by PostgreSQL's clock.

use oauth::Hashed;
use oauth::ids::{SessionId, UserId};
use oauth::secret::{Browser, Interaction, Session};
use secrecy::{ExposeSecret as _, SecretString};
use store::audit::Event;

use super::{Store, StoreError};

/// A live session.
pub(crate) struct SessionRow {
    pub(crate) id: SessionId,
    pub(crate) user: UserId,
    pub(crate) email: String,
    /// Seconds since the person last proved who they are.
    pub(crate) age_s: i64,
}

/// What a successful sign-in writes.
pub(crate) struct NewSession<'a> {
    pub(crate) id: SessionId,
    pub(crate) secret: Hashed<Session>,
    /// The cookie that came with the sign-in: its session is taken over (same person) or ended.
    pub(crate) previous: Option<Hashed<Session>>,
    pub(crate) user: UserId,
    /// The hash that the password was verified against: it must still be the account's.
    pub(crate) verified: &'a SecretString,
    pub(crate) lifetime_s: u32,
    /// A session that has been idle for longer is not taken over.
    pub(crate) idle_s: u32,
    pub(crate) interaction: Option<Hashed<Interaction>>,
    /// It becomes one that the account knows (W132).
    pub(crate) browser: Hashed<Browser>,
    /// Shown to the person on `/account`, and believed for nothing.
    pub(crate) address: String,
    pub(crate) user_agent: Option<String>,
    pub(crate) request_id: &'a str,
}

impl Store {
    /// The session behind a cookie, if it is alive and its user active. Notes that it was seen, at most
    /// once a minute.
    pub(crate) async fn session(
        &self,
        secret: Hashed<Session>,
        idle_s: u32,
    ) -> Result<Option<SessionRow>, StoreError> {
        let row = sqlx::query!(
            r#"WITH found AS (
                   SELECT s.id, s.user_id, u.email, s.last_seen_at,
                       extract(epoch FROM now() - s.auth_time)::bigint AS age_s
                   FROM sessions s
                       JOIN users u ON u.id = s.user_id AND u.status = 'active'
                   WHERE s.secret_hash = $1 AND s.ended_at IS NULL AND s.expires_at > now()
                     AND s.last_seen_at > now() - make_interval(secs => $2)
               ), seen AS (
                   UPDATE sessions SET last_seen_at = now()
                   WHERE id IN (SELECT id FROM found WHERE last_seen_at < now() - interval '1 minute')
               )
               SELECT id, user_id, email, age_s AS "age_s!" FROM found"#,
            secret.as_bytes(),
            f64::from(idle_s),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| SessionRow {
            id: SessionId(row.id),
            user: UserId(row.user_id),
            email: row.email,
            age_s: row.age_s,
        }))
    }

    /// Notes that the browser of an interaction is active: without it, a session in use only through
    /// applications would go idle between sign-ins.
    pub(crate) async fn touch_session(&self, id: SessionId) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE sessions SET last_seen_at = now() WHERE id = $1 AND last_seen_at < now() - interval '1 minute'",
            id.0
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The gate of a sign-in. The secret is always new (W42). The same person signing in again keeps the
    /// session, so that what hangs on it lives on; another person's session at this browser ends first.
    /// `false`: the password was changed while it was being verified (W44).
    pub(crate) async fn sign_in(&self, new: &NewSession<'_>) -> Result<bool, StoreError> {
        let signed_in = sqlx::query_scalar!(
            r#"WITH held AS (
                   SELECT user_id FROM credentials WHERE user_id = $4 AND password_hash = $9 FOR SHARE
               ), renewed AS (
                   UPDATE sessions SET secret_hash = $2, auth_time = now(), last_seen_at = now(), amr = ARRAY['pwd'],
                       address = $12, user_agent = $13
                   WHERE secret_hash = $3 AND user_id IN (SELECT user_id FROM held) AND ended_at IS NULL
                     AND expires_at > now() AND last_seen_at > now() - make_interval(secs => $10)
                   RETURNING id
               ), ended AS (
                   UPDATE sessions SET ended_at = now()
                   WHERE secret_hash = $3 AND id NOT IN (SELECT id FROM renewed) AND ended_at IS NULL
                     AND EXISTS (SELECT FROM held)
               ), made AS (
                   INSERT INTO sessions (id, secret_hash, user_id, amr, expires_at, address, user_agent)
                   SELECT $1, $2, user_id, ARRAY['pwd'], now() + make_interval(secs => $5), $12, $13 FROM held
                   WHERE NOT EXISTS (SELECT FROM renewed) RETURNING id
               ), noted AS (
                   UPDATE interactions SET authenticated_at = now(), consented_by = NULL
                   WHERE handle_hash = $6 AND completed_at IS NULL AND EXISTS (SELECT FROM held)
               ), known AS (
                   INSERT INTO known_browsers (user_id, browser_hash) SELECT user_id, $11 FROM held
                   ON CONFLICT (user_id, browser_hash) DO UPDATE SET last_at = now()
               ), audited AS (
                   INSERT INTO audit_events (plane, type, actor_type, actor, target_type, target, request_id)
                   SELECT 'auth', $7, 'user', $4::uuid::text, 'session', id::text, $8
                   FROM (SELECT id FROM renewed UNION ALL SELECT id FROM made) session
               )
               SELECT count(*) AS "count!" FROM held"#,
            new.id.0,
            new.secret.as_bytes(),
            new.previous.as_ref().map(|hash| hash.as_bytes().as_slice()),
            new.user.0,
            f64::from(new.lifetime_s),
            new.interaction.as_ref().map(|hash| hash.as_bytes().as_slice()),
            Event::SignedIn.as_str(),
            new.request_id,
            new.verified.expose_secret(),
            f64::from(new.idle_s),
            new.browser.as_bytes(),
            new.address,
            new.user_agent,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(signed_in > 0)
    }

    /// A failed sign-in leaves nothing but this row. `user`: whose account it was, if any.
    pub(crate) async fn sign_in_failed(
        &self,
        user: Option<UserId>,
        request_id: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO audit_events (plane, type, actor_type, actor, request_id) VALUES ('auth', $1, 'user', $2, $3)",
            Event::SignInFailed.as_str(),
            user.map(|user| user.to_string()),
            request_id,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Ends a session. What was issued through it without `offline_access` is dead from here on.
    pub(crate) async fn end_session(
        &self,
        session: &SessionRow,
        request_id: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"WITH ended AS (
                   UPDATE sessions SET ended_at = now() WHERE id = $1 AND ended_at IS NULL RETURNING id
               )
               INSERT INTO audit_events (plane, type, actor_type, actor, target_type, target, request_id)
               SELECT 'auth', $3, 'user', $2, 'session', id::text, $4 FROM ended"#,
            session.id.0,
            session.user.to_string(),
            Event::SignedOut.as_str(),
            request_id,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
