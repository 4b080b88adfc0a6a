//! Token exchange: what was presented, the policy, and the gate.

use oauth::claims::Holder;
use oauth::client::{Client, Draft};
use oauth::exchange::{Exchanged, Party, Policy};
use oauth::ids::{ClientId, ClientKey, GrantId, TenantId, UserId};
use oauth::rar::Details;
use oauth::secret::Access as AccessKind;
use oauth::{Hashed, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use sqlx::types::Json;
use store::audit::Event;
use uuid::Uuid;

use super::clients::{Asker, asker};
use super::codes::Access;
use super::{Store, StoreError, scopes};

/// What the token endpoint reads before it decides.
pub(crate) struct ExchangeRead {
    pub(crate) asker: Asker,
    pub(crate) subject: Option<Party>,
    pub(crate) actor: Option<Party>,
    pub(crate) policies: Vec<Policy>,
}

/// The gate's arguments.
pub(crate) struct Exchange<'a> {
    pub(crate) grant: GrantId,
    pub(crate) client: &'a Client,
    pub(crate) exchanged: &'a Exchanged,
    /// The person behind the subject token, if any.
    pub(crate) user: Option<UserId>,
    /// What was presented, by hash: it must be alive still.
    pub(crate) presented: Vec<Hashed<AccessKind>>,
    pub(crate) access: &'a Access,
    pub(crate) request_id: &'a str,
}

/// A live token as `exchange_party` gives it.
#[derive(Debug, Deserialize)]
struct PartyRow {
    grant: Uuid,
    ancestors: Vec<Uuid>,
    client: Uuid,
    tenant: Option<Uuid>,
    user: Option<Uuid>,
    administers: bool,
    sub: String,
    auth_time: Option<i64>,
    amr: Vec<String>,
    session: Option<Uuid>,
    act: Option<Value>,
    scopes: Vec<String>,
    audiences: Vec<String>,
    details: Option<Details>,
    expires_at: i64,
}

impl TryFrom<PartyRow> for Party {
    type Error = StoreError;

    fn try_from(row: PartyRow) -> Result<Self, StoreError> {
        let person = super::person(Some(row.sub), row.auth_time, Some(row.amr), row.session);
        Ok(Self {
            client: ClientKey(row.client),
            tenant: row.tenant.map(TenantId),
            user: row.user.map(UserId),
            administers: row.administers,
            holder: Holder { act: row.act, ..person },
            scopes: scopes(&row.scopes, "access_tokens.scopes")?,
            audiences: row.audiences,
            details: row.details,
            expires_at: Timestamp(row.expires_at),
            grants: std::iter::once(row.grant).chain(row.ancestors).map(GrantId).collect(),
        })
    }
}

impl Store {
    /// One round trip: client, clock, both tokens as far as they are alive, and the client's policy.
    pub(crate) async fn read_exchange(
        &self,
        issuer: &str,
        client: &ClientId,
        subject: Hashed<AccessKind>,
        actor: Option<Hashed<AccessKind>>,
    ) -> Result<Option<ExchangeRead>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT c.id AS "id!", c.tenant_id, c.client_id AS "client_id!", c.metadata AS "metadata!: Json<Draft>",
                   c.secret_hashes AS "hashes!", c.secret_ends AS "ends!: Vec<Option<i64>>", c.fetched_jwks,
                   floor(extract(epoch FROM now()))::bigint AS "now!",
                   exchange_party($3) AS "subject: Json<PartyRow>", exchange_party($4) AS "actor: Json<PartyRow>",
                   (SELECT jsonb_agg(jsonb_build_object('subject_audience', p.subject_audience,
                       'target_audience', p.target_audience, 'mode', p.mode))
                    FROM exchange_policies p WHERE p.client = c.id) AS "policies: Json<Vec<Policy>>"
               FROM live_clients c WHERE c.client_id = $1 AND c.issuer = $2"#,
            client.as_str(),
            issuer,
            subject.as_bytes(),
            actor.as_ref().map(|hash| hash.as_bytes().as_slice()),
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let party = |row: Option<Json<PartyRow>>| row.map(|row| row.0.try_into()).transpose();
        let (subject, actor) = (party(row.subject)?, party(row.actor)?);
        let policies = row.policies.map(|json| json.0).unwrap_or_default();
        Ok(Some(ExchangeRead { asker: asker!(row)?, subject, actor, policies }))
    }

    /// The gate: records grant and token if everything that they hang on is alive at this moment. `false`:
    /// something died since it was read.
    pub(crate) async fn exchange(&self, gate: &Exchange<'_>) -> Result<bool, StoreError> {
        let holder = &gate.exchanged.holder;
        let person = holder.authentication.as_ref();
        let ancestors: Vec<Uuid> = gate.exchanged.ancestors.iter().map(|grant| grant.0).collect();
        let presented: Vec<&[u8]> =
            gate.presented.iter().map(|hash| hash.as_bytes().as_slice()).collect();
        let granted = sqlx::query_scalar!(
            r#"WITH issued AS (
                   SELECT 'epoch'::timestamptz + $22::bigint * interval '1 second' AS at
               ), granted AS (
                   INSERT INTO grants (id, client, user_id, sub, session_id, scopes, audiences, offline, auth_time, amr,
                                       authorization_details, act, ancestors, expires_at)
                   SELECT $1, c.id, $3, $4, $5, $6, $7, true, 'epoch'::timestamptz + $8::bigint * interval '1 second', $9, $10, $11, $12,
                          issued.at + make_interval(secs => $13)
                   FROM live_clients c, issued
                   WHERE c.id = $2
                     AND (SELECT count(*) FROM live_grants g WHERE g.id = ANY ($12)) = cardinality($12::uuid[])
                     AND (SELECT count(*) FROM access_tokens a JOIN grants p ON p.id = a.grant_id
                              JOIN clients k ON k.id = p.client AND still_registered(k.metadata, a.scopes)
                          WHERE a.token_hash = ANY ($14) AND a.revoked_at IS NULL
                            AND a.expires_at > now()) = cardinality($14::bytea[])
                     AND ($21 <> 'impersonation' OR NOT EXISTS (
                         SELECT FROM role_assignments r WHERE r.user_id = $3 AND r.role <> 'tenant_member'))
                   RETURNING id
               ), access AS (
                   INSERT INTO access_tokens (jti, token_hash, grant_id, scopes, audiences, issued_at,
                                              expires_at, authorization_details)
                   SELECT $15, $16, id, $6, $7, issued.at, issued.at + make_interval(secs => $13), $10
                   FROM granted, issued
               ), audited AS (
                   INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, request_id,
                                             data)
                   SELECT 'auth', $17, 'client', $18, $19, 'grant', id::text, $20,
                          jsonb_build_object('mode', $21::text, 'subject', $4::text, 'act', $11::jsonb,
                                             'audiences', $7::text[])
                   FROM granted
               )
               SELECT count(*) AS "count!" FROM granted"#,
            gate.grant.0,
            gate.client.key.0,
            gate.user.map(|user| user.0),
            holder.sub,
            person.and_then(|person| person.session).map(|session| session.0),
            &gate.access.scopes.to_vec(),
            &gate.access.audiences,
            person.map(|person| person.auth_time.0),
            person.map_or(&[][..], |person| &person.amr),
            gate.access.details.as_ref().map(Json) as _,
            holder.act,
            &ancestors,
            f64::from(gate.access.lifetime_s),
            &presented as _,
            gate.access.id.0,
            gate.access.hash.as_bytes(),
            Event::TokensExchanged.as_str(),
            gate.client.id.as_str(),
            gate.client.tenant.map(|tenant| tenant.0),
            gate.request_id,
            gate.exchanged.mode.as_str(),
            gate.access.issued_at.0,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(granted > 0)
    }
}
