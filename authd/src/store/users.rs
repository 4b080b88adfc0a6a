//! People and their passwords.

use oauth::Hashed;
use oauth::ids::UserId;
use oauth::secret::Browser;
use secrecy::SecretString;

use super::{Store, StoreError};

/// What a sign-in is checked against.
pub(crate) struct Credential {
    pub(crate) user: UserId,
    pub(crate) active: bool,
    /// Whether this browser has signed in to the account before.
    pub(crate) known: bool,
    /// An argon2 PHC string; `None`: the account never had a password.
    pub(crate) password_hash: Option<SecretString>,
}

impl Store {
    /// The account of a canonical e-mail address.
    pub(crate) async fn credential(
        &self,
        email_key: &str,
        browser: Option<Hashed<Browser>>,
    ) -> Result<Option<Credential>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT u.id, u.status = 'active' AS "active!", c.password_hash AS "password_hash?",
                   EXISTS (SELECT FROM known_browsers b WHERE b.user_id = u.id AND b.browser_hash = $2) AS "known!"
               FROM users u LEFT JOIN credentials c ON c.user_id = u.id WHERE u.email_key = $1"#,
            email_key,
            browser.as_ref().map(|hash| hash.as_bytes().as_slice()),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| Credential {
            user: UserId(row.id),
            active: row.active,
            known: row.known,
            password_hash: row.password_hash.map(SecretString::from),
        }))
    }

    /// Whom a client calls by this `sub`.
    pub(crate) async fn user_of_subject(&self, sub: &str) -> Result<Option<UserId>, StoreError> {
        let user = sqlx::query_scalar!("SELECT user_id FROM subjects WHERE sub = $1", sub)
            .fetch_optional(&self.pool)
            .await?;
        Ok(user.map(UserId))
    }

    /// Replaces a hash whose parameters are out of date by one of the same password, unless the password
    /// was changed in between.
    pub(crate) async fn rehash(
        &self,
        user: UserId,
        old: &str,
        new: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE credentials SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2",
            user.0,
            old,
            new
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
