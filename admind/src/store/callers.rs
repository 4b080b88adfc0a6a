//! Who calls, and what they may do: read from the database at every request, so that a demotion works on the
//! next one (W155).

use oauth::Timestamp;
use oauth::ids::{TenantId, TokenId, UserId};

use super::{Store, StoreError};

/// One role of a caller.
pub(crate) struct Assignment {
    pub(crate) role: String,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) permissions: Vec<String>,
}

/// The person behind a live token.
pub(crate) struct Caller {
    pub(crate) user: UserId,
    pub(crate) email: String,
    pub(crate) name: Option<String>,
    pub(crate) client_id: String,
    pub(crate) auth_time: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) assignments: Vec<Assignment>,
}

impl Store {
    /// The caller behind a token that keyd's signature has vouched for: it must be recorded and alive, and
    /// issued to a client of the platform. `None` otherwise.
    pub(crate) async fn caller(
        &self,
        sub: &str,
        token: TokenId,
    ) -> Result<Option<Caller>, StoreError> {
        let user =
            sqlx::query_scalar!("SELECT user_of_subject($1)", sub).fetch_one(&self.pool).await?;
        let Some(user) = user.map(UserId) else { return Ok(None) };
        let mut transaction = self.as_platform(Some(user)).await?;
        let row = sqlx::query!(
            r#"SELECT u.email, u.name, c.client_id, extract(epoch FROM g.auth_time)::bigint AS "auth_time!",
                   extract(epoch FROM now())::bigint AS "now!"
               FROM access_tokens a
                   JOIN live_grants g ON g.id = a.grant_id AND g.sub = $2
                   JOIN clients c ON c.id = g.client AND c.tenant_id IS NULL
                   JOIN users u ON u.id = g.user_id
               WHERE a.jti = $1 AND a.revoked_at IS NULL AND a.expires_at > now()"#,
            token.0,
            sub,
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let assignments = sqlx::query!(
            r#"SELECT a.role, a.tenant_id, r.permissions FROM role_assignments a JOIN roles r ON r.name = a.role
               WHERE a.user_id = $1 AND (a.tenant_id IS NULL OR EXISTS (
                   SELECT FROM memberships m JOIN tenants t ON t.id = m.tenant_id
                   WHERE m.tenant_id = a.tenant_id AND m.user_id = a.user_id AND m.status = 'active'
                     AND t.status = 'active'))
               ORDER BY a.tenant_id NULLS FIRST, a.role"#,
            user.0
        )
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let assignment =
            |(role, tenant, permissions): (String, Option<uuid::Uuid>, Vec<String>)| Assignment {
                role,
                tenant: tenant.map(TenantId),
                permissions,
            };
        Ok(Some(Caller {
            user,
            email: row.email,
            name: row.name,
            client_id: row.client_id,
            auth_time: Timestamp(row.auth_time),
            now: Timestamp(row.now),
            assignments: assignments
                .into_iter()
                .map(|row| assignment((row.role, row.tenant_id, row.permissions)))
                .collect(),
        }))
    }
}
