//! What was issued, asked about later: introspection, userinfo, revocation. Look-up is by the hash of the
//! exact text presented, so nothing that we did not issue, to the byte, is ever found (W27).

use oauth::Hashed;
use oauth::claims::Holder;
use oauth::ids::{ClientId, ClientKey, TenantId, TokenId};
use oauth::introspection::Live;
use oauth::rar::Details;
use oauth::secret::Access;
use oauth::userinfo::Profile;
use oauth::{ScopeSet, Timestamp};
use sqlx::types::Json;
use store::audit::Event;

use super::{Store, StoreError, scopes};

/// What a revocation found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// Dead now, or unknown, or dead before: the same to the client.
    Done,
    /// It is another client's, and still alive.
    Foreign,
}

impl Store {
    /// A live access or refresh token, of a client that may still ask for what it says (W33).
    pub(crate) async fn live_token(
        &self,
        hash: Hashed<Access>,
    ) -> Result<Option<Live>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT c.id AS "client!", c.client_id AS "client_id!", c.tenant_id, g.sub AS "sub!", g.session_id,
                   coalesce(a.scopes, g.scopes) AS "scopes!", coalesce(a.audiences, g.audiences) AS "audiences!",
                   floor(extract(epoch FROM coalesce(a.issued_at, r.created_at)))::bigint AS "issued_at!",
                   floor(extract(epoch FROM coalesce(a.expires_at, g.expires_at)))::bigint AS "expires_at!",
                   floor(extract(epoch FROM g.auth_time))::bigint AS auth_time, g.amr AS "amr!", g.act, a.jti AS "jti?",
                   CASE WHEN a.jti IS NULL THEN g.authorization_details ELSE a.authorization_details END
                       AS "details: Json<Details>"
               FROM (SELECT $1::bytea AS hash) asked
                   LEFT JOIN access_tokens a ON a.token_hash = asked.hash AND a.revoked_at IS NULL AND a.expires_at > now()
                   LEFT JOIN refresh_tokens r ON r.token_hash = asked.hash AND r.rotated_at IS NULL
                   JOIN live_grants g ON g.id = coalesce(a.grant_id, r.grant_id)
                   JOIN clients c ON c.id = g.client
                       AND still_registered(c.metadata, coalesce(a.scopes, g.scopes))"#,
            hash.as_bytes()
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let client_id = ClientId::try_from(row.client_id)
            .map_err(|_| StoreError::Inconsistent("clients.client_id"))?;
        Ok(Some(Live {
            client: ClientKey(row.client),
            client_id,
            tenant: row.tenant_id.map(TenantId),
            scopes: scopes(&row.scopes, "access_tokens.scopes")?,
            audiences: row.audiences,
            issued_at: Timestamp(row.issued_at),
            expires_at: Timestamp(row.expires_at),
            holder: Holder {
                act: row.act,
                ..super::person(Some(row.sub), row.auth_time, Some(row.amr), row.session_id)
            },
            details: row.details.map(|json| json.0),
            token: row.jti.map(TokenId),
        }))
    }

    /// The person behind a live access token of this issuer, with what it may release. A machine's token has
    /// nobody behind it, and no `openid` either.
    pub(crate) async fn profile(
        &self,
        issuer: &str,
        hash: Hashed<Access>,
    ) -> Result<Option<(String, ScopeSet, Profile)>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT g.sub AS "sub!", a.scopes, u.email AS "email?", u.email_verified AS "email_verified?", u.name,
                   u.given_name, u.family_name, u.picture, u.locale
               FROM access_tokens a JOIN live_grants g ON g.id = a.grant_id
                   JOIN live_clients c ON c.id = g.client AND c.issuer = $2 AND still_registered(c.metadata, a.scopes)
                   LEFT JOIN users u ON u.id = g.user_id
               WHERE a.token_hash = $1 AND a.revoked_at IS NULL AND a.expires_at > now()"#,
            hash.as_bytes(),
            issuer,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let profile = Profile {
            email: row.email.unwrap_or_default(),
            email_verified: row.email_verified.unwrap_or(false),
            name: row.name,
            given_name: row.given_name,
            family_name: row.family_name,
            picture: row.picture,
            locale: row.locale,
        };
        Ok(Some((row.sub, scopes(&row.scopes, "access_tokens.scopes")?, profile)))
    }

    /// RFC 7009: an access token dies alone, a refresh token takes its family along.
    pub(crate) async fn revoke(
        &self,
        hash: Hashed<Access>,
        client: ClientKey,
        client_id: &ClientId,
        request_id: &str,
    ) -> Result<Revoked, StoreError> {
        let foreign = sqlx::query_scalar!(
            r#"WITH found AS (
                   SELECT a.jti, a.grant_id, g.client, a.revoked_at IS NULL AND a.expires_at > now() AS alive
                   FROM access_tokens a JOIN grants g ON g.id = a.grant_id WHERE a.token_hash = $1
                   UNION ALL
                   SELECT NULL, r.grant_id, g.client, r.rotated_at IS NULL
                   FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id WHERE r.token_hash = $1
               ), access AS (
                   UPDATE access_tokens SET revoked_at = now()
                   WHERE jti IN (SELECT jti FROM found WHERE client = $2) AND revoked_at IS NULL
                   RETURNING jti, grant_id
               ), family AS (
                   UPDATE grants SET revoked_at = now(), revoke_reason = 'revoked'
                   WHERE id IN (SELECT grant_id FROM found WHERE client = $2 AND jti IS NULL) AND revoked_at IS NULL
                   RETURNING id
               ), audited AS (
                   INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, request_id)
                   SELECT 'auth', $4, 'client', $3, (SELECT tenant_id FROM clients WHERE id = $2), kind, id::text, $5
                   FROM (SELECT 'access_token' AS kind, jti AS id FROM access
                         UNION ALL SELECT 'grant', id FROM family) effect
               )
               SELECT count(*) AS "count!" FROM found JOIN live_grants g ON g.id = grant_id
               WHERE found.client <> $2 AND alive"#,
            hash.as_bytes(),
            client.0,
            client_id.as_str(),
            Event::TokenRevoked.as_str(),
            request_id,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(if foreign > 0 { Revoked::Foreign } else { Revoked::Done })
    }
}
