//! Invitations: a tenant asks, the person answers here, and admind makes the membership.

use oauth::ids::UserId;
use store::audit::Event;

use super::{Store, StoreError};

/// Most invitations on one page.
const ROWS_MAX: i64 = 100;

/// An invitation that waits for its answer.
pub(crate) struct InvitationLine {
    /// Names the tenant, in the form too.
    pub(crate) slug: String,
    pub(crate) tenant: String,
    pub(crate) roles: Vec<String>,
}

impl Store {
    /// What a person has not answered yet.
    pub(crate) async fn invitations_of(
        &self,
        user: UserId,
    ) -> Result<Vec<InvitationLine>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT t.slug, t.name, i.roles FROM invitations i JOIN tenants t ON t.id = i.tenant_id
               WHERE i.user_id = $1 AND i.accepted_at IS NULL AND i.declined_at IS NULL AND i.expires_at > now()
                 AND t.status = 'active'
               ORDER BY t.name, t.slug LIMIT $2"#,
            user.0,
            ROWS_MAX,
        )
        .fetch_all(&self.pool)
        .await?;
        let lines = rows.into_iter().map(|row| InvitationLine {
            slug: row.slug,
            tenant: row.name,
            roles: row.roles,
        });
        Ok(lines.collect())
    }

    /// The gate: an open invitation is answered once. A second answer changes nothing.
    pub(crate) async fn answer_invitation(
        &self,
        user: UserId,
        slug: &str,
        accepted: bool,
        request_id: &str,
    ) -> Result<(), StoreError> {
        let event = if accepted { Event::MembershipAccepted } else { Event::MembershipDeclined };
        sqlx::query!(
            r#"WITH answered AS (
                   UPDATE invitations SET accepted_at = CASE WHEN $3 THEN now() END,
                       declined_at = CASE WHEN NOT $3 THEN now() END
                   WHERE user_id = $1 AND accepted_at IS NULL AND declined_at IS NULL AND expires_at > now()
                     AND tenant_id = (SELECT id FROM tenants WHERE slug = $2 AND status = 'active')
                   RETURNING tenant_id, roles
               )
               INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, request_id, data)
               SELECT 'auth', $4, 'user', $1::uuid::text, tenant_id, 'user', $1::uuid::text, $5,
                   jsonb_build_object('roles', roles)
               FROM answered"#,
            user.0,
            slug,
            accepted,
            event.as_str(),
            request_id,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
