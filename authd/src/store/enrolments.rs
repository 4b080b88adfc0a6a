//! One-time links that set a password.

use oauth::Hashed;
use oauth::secret::{Browser, Enrolment};
use secrecy::{ExposeSecret as _, SecretString};
use store::audit::Event;

use super::{Store, StoreError};

/// Seconds for which a link that a person asked for is good.
const RESET_S: u32 = 3600;

/// What somebody who forgot a password asks for.
pub(crate) struct Reset<'a> {
    pub(crate) email_key: &'a str,
    pub(crate) token: Hashed<Enrolment>,
    /// Where the token leads, in clear: it waits in the outbox until the courier has delivered it.
    pub(crate) link: &'a SecretString,
    pub(crate) request_id: &'a str,
}

/// The gate's arguments.
pub(crate) struct Enrol<'a> {
    pub(crate) token: Hashed<Enrolment>,
    pub(crate) password_hash: &'a SecretString,
    /// Whoever has the account's mail is no stranger to it, however many guesses others have made (W132).
    pub(crate) browser: Hashed<Browser>,
    pub(crate) request_id: &'a str,
}

impl Store {
    /// A link to a new password, sent to the account's own address, if there is an active account with a
    /// password. One statement that tells nobody which it was (W128): without an account it writes as many rows, a
    /// link for nobody and a mail that is over. How often is for the throttle to say.
    pub(crate) async fn ask_reset(&self, reset: &Reset<'_>) -> Result<(), StoreError> {
        sqlx::query!(
            r#"WITH account AS MATERIALIZED (
                   SELECT u.id, u.email
                   FROM (SELECT) asked LEFT JOIN (users u JOIN credentials c ON c.user_id = u.id)
                       ON u.email_key = $1 AND u.status = 'active'
               ), link AS (
                   INSERT INTO enrolments (token_hash, user_id, expires_at)
                   SELECT $2, id, now() + make_interval(secs => $3) FROM account
               ), mail AS (
                   INSERT INTO outbox (id, kind, url, done_at, body)
                   SELECT $4, 'reset_mail', '', CASE WHEN id IS NULL THEN now() END, jsonb_build_object('to', email, 'link', $5::text, 'expires_at',
                       to_char((now() + make_interval(secs => $3)) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
                   FROM account
               )
               INSERT INTO audit_events (plane, type, actor_type, actor, request_id)
               VALUES ('auth', $6, 'user', (SELECT id::text FROM account), $7)"#,
            reset.email_key,
            reset.token.as_bytes(),
            f64::from(RESET_S),
            uuid::Uuid::now_v7(),
            reset.link.expose_secret(),
            Event::ResetAsked.as_str(),
            reset.request_id,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Whose account a live link is for: the e-mail address, to be shown. Looking spends nothing, so a mail
    /// scanner that follows links spends nothing either.
    pub(crate) async fn enrolment(
        &self,
        token: Hashed<Enrolment>,
    ) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"SELECT u.email FROM enrolments e JOIN users u ON u.id = e.user_id
               WHERE e.token_hash = $1 AND e.used_at IS NULL AND e.expires_at > now() AND u.status = 'active'"#,
            token.as_bytes()
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The gate: a transaction whose first statement waits for every sign-in and every code under way for the
    /// account (they hold its credentials row), so that the second sees what they made and ends it.
    ///
    /// Spends the link and sets the password, once. Every other open link of the account is spent
    /// with it, and its sessions end (W44). `false`: somebody else was faster, or it was no link.
    pub(crate) async fn enrol(&self, enrol: &Enrol<'_>) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query!(
            r#"SELECT c.user_id FROM credentials c JOIN enrolments e ON e.user_id = c.user_id
               WHERE e.token_hash = $1 FOR UPDATE OF c"#,
            enrol.token.as_bytes()
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let enrolled = sqlx::query_scalar!(
            r#"WITH spent AS (
                   UPDATE enrolments e SET used_at = now() FROM users u
                   WHERE e.token_hash = $1 AND e.used_at IS NULL AND e.expires_at > now()
                     AND u.id = e.user_id AND u.status = 'active'
                   RETURNING e.user_id
               ), others AS (
                   UPDATE enrolments SET used_at = now()
                   WHERE user_id IN (SELECT user_id FROM spent) AND used_at IS NULL AND token_hash <> $1
               ), credential AS (
                   INSERT INTO credentials (user_id, password_hash) SELECT user_id, $2 FROM spent
                   ON CONFLICT (user_id) DO UPDATE SET password_hash = excluded.password_hash, changed_at = now()
               ), ended AS (
                   UPDATE sessions SET ended_at = now()
                   WHERE user_id IN (SELECT user_id FROM spent) AND ended_at IS NULL
               ), killed AS (
                   UPDATE grants SET revoked_at = now(), revoke_reason = 'password_change'
                   WHERE user_id IN (SELECT user_id FROM spent) AND revoked_at IS NULL
               ), known AS (
                   INSERT INTO known_browsers (user_id, browser_hash) SELECT user_id, $5 FROM spent
                   ON CONFLICT (user_id, browser_hash) DO UPDATE SET last_at = now()
               ), audited AS (
                   INSERT INTO audit_events (plane, type, actor_type, actor, target_type, target, request_id)
                   SELECT 'auth', $3, 'user', user_id::text, 'user', user_id::text, $4 FROM spent
               )
               SELECT count(*) AS "count!" FROM spent"#,
            enrol.token.as_bytes(),
            enrol.password_hash.expose_secret(),
            Event::Enrolled.as_str(),
            enrol.request_id,
            enrol.browser.as_bytes(),
        )
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(enrolled > 0)
    }
}
