//! A client's own grant: the gate of RFC 6749 §4.4.

use oauth::client::Client;
use oauth::ids::GrantId;
use sqlx::types::Json;
use store::audit::Event;

use super::codes::Access;
use super::{Store, StoreError};

/// The gate's arguments.
pub(crate) struct MachineGrant<'a> {
    pub(crate) grant: GrantId,
    pub(crate) client: &'a Client,
    pub(crate) access: &'a Access,
    pub(crate) request_id: &'a str,
}

impl Store {
    /// Records grant and token if the client is alive at this moment. Its `sub` is its own id, unless a person
    /// is called so: the names of people and machines never meet (W31). `false`: nothing was issued.
    pub(crate) async fn grant_machine(&self, gate: &MachineGrant<'_>) -> Result<bool, StoreError> {
        let granted = sqlx::query_scalar!(
            r#"WITH issued AS (
                   SELECT 'epoch'::timestamptz + $13::bigint * interval '1 second' AS at
               ), granted AS (
                   INSERT INTO grants (id, client, sub, scopes, audiences, offline, expires_at)
                   SELECT $1, c.id, c.client_id, $3, $4, true, issued.at + make_interval(secs => $5)
                   FROM live_clients c, issued
                   WHERE c.id = $2 AND NOT EXISTS (SELECT FROM subjects s WHERE s.sub = c.client_id)
                   RETURNING id
               ), access AS (
                   INSERT INTO access_tokens (jti, token_hash, grant_id, scopes, audiences, issued_at,
                                              expires_at, authorization_details)
                   SELECT $6, $7, id, $3, $4, issued.at, issued.at + make_interval(secs => $5), $8 FROM granted, issued
               ), audited AS (
                   INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, request_id)
                   SELECT 'auth', $9, 'client', $10, $11, 'grant', id::text, $12 FROM granted
               )
               SELECT count(*) AS "count!" FROM granted"#,
            gate.grant.0,
            gate.client.key.0,
            &gate.access.scopes.to_vec(),
            &gate.access.audiences,
            f64::from(gate.access.lifetime_s),
            gate.access.id.0,
            gate.access.hash.as_bytes(),
            gate.access.details.as_ref().map(Json) as _,
            Event::MachineGranted.as_str(),
            gate.client.id.as_str(),
            gate.client.tenant.map(|tenant| tenant.0),
            gate.request_id,
            gate.access.issued_at.0,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(granted > 0)
    }
}
