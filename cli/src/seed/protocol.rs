//! What tenants and clients define for parts of the protocol: issuers of their own, types of
//! `authorization_details` (RFC 9396), and who may exchange which tokens (RFC 8693).

use oauth::ids::ClientId;
use oauth::rar::Type;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::file;
use super::plan::{Located, Slug, audience_text, slug};
use super::vocabulary::Tenants;
use crate::failure::Failure;
use crate::issuer::Issuer;
use crate::outcome::Outcome;

pub(super) struct DetailType {
    pub(super) tenant: Slug,
    pub(super) name: String,
    pub(super) schema: Value,
    pub(super) summary: String,
}

pub(super) struct ExchangePolicy {
    pub(super) client: Located<ClientId>,
    pub(super) subject_audience: String,
    pub(super) target_audience: String,
    pub(super) mode: String,
}

pub(super) fn issuer(path: &str, given: file::TenantIssuer) -> Result<Slug, Failure> {
    slug(format!("{path}.tenant"), given.tenant)
}

pub(super) fn detail_type(path: &str, given: file::DetailType) -> Result<DetailType, Failure> {
    let at = |field: &str| format!("{path}.{field}");
    Type::define(&given.r#type, &given.schema, &given.summary)
        .map_err(|error| Failure::value(at(error.field), error.problem))?;
    Ok(DetailType {
        tenant: slug(at("tenant"), given.tenant)?,
        name: given.r#type,
        schema: given.schema,
        summary: given.summary,
    })
}

/// `api` is the audience of the management API, which no token is exchanged for.
pub(super) fn policy(
    path: &str,
    given: file::ExchangePolicy,
    api: &str,
) -> Result<ExchangePolicy, Failure> {
    let at = |field: &str| format!("{path}.{field}");
    let value = given.client_id.parse().map_err(|error: oauth::ids::InvalidClientId| {
        Failure::value(at("client_id"), error.to_string())
    })?;
    if !matches!(given.mode.as_str(), "delegation" | "impersonation") {
        return Err(Failure::value(at("mode"), "delegation or impersonation"));
    }
    if given.target_audience == api {
        let problem = "the management API is never reached by exchange";
        return Err(Failure::value(at("target_audience"), problem));
    }
    Ok(ExchangePolicy {
        client: Located { path: at("client_id"), value },
        subject_audience: audience_text(at("subject_audience"), given.subject_audience)?,
        target_audience: audience_text(at("target_audience"), given.target_audience)?,
        mode: given.mode,
    })
}

/// A tenant's own issuer, beneath the platform's. Its address never changes.
pub(super) async fn put_issuer(
    transaction: &mut PgConnection,
    tenants: &Tenants,
    platform: &Issuer,
    tenant: &Slug,
) -> Result<Outcome, Failure> {
    let row = sqlx::query_scalar!(
        r#"INSERT INTO issuers (id, tenant_id, url) VALUES ($1, $2, $3)
           ON CONFLICT (tenant_id) DO NOTHING RETURNING true AS "created!""#,
        Uuid::now_v7(),
        tenants.find(tenant)?.0,
        format!("{}/t/{}", platform.as_str(), tenant.value),
    )
    .fetch_optional(transaction)
    .await?;
    Ok(Outcome::of_upsert(row))
}

pub(super) async fn put_detail_type(
    transaction: &mut PgConnection,
    tenants: &Tenants,
    detail: &DetailType,
) -> Result<Outcome, Failure> {
    let row = sqlx::query_scalar!(
        r#"INSERT INTO authorization_detail_types AS t (id, tenant_id, type, schema, summary)
           VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (tenant_id, type) DO UPDATE SET schema = excluded.schema, summary = excluded.summary
               WHERE (t.schema, t.summary) IS DISTINCT FROM (excluded.schema, excluded.summary)
           RETURNING xmax = 0 AS "created!""#,
        Uuid::now_v7(),
        tenants.find(&detail.tenant)?.0,
        detail.name,
        detail.schema,
        detail.summary,
    )
    .fetch_optional(transaction)
    .await?;
    Ok(Outcome::of_upsert(row))
}

pub(super) async fn put_policy(
    transaction: &mut PgConnection,
    policy: &ExchangePolicy,
) -> Result<Outcome, Failure> {
    let client = sqlx::query_scalar!(
        "SELECT id FROM clients WHERE client_id = $1",
        policy.client.value.as_str()
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(client) = client else {
        return Err(Failure::value(&policy.client.path, "no such client, here or in the database"));
    };
    let row = sqlx::query_scalar!(
        r#"INSERT INTO exchange_policies (client, subject_audience, target_audience, mode)
           VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING true AS "created!""#,
        client,
        policy.subject_audience,
        policy.target_audience,
        policy.mode,
    )
    .fetch_optional(transaction)
    .await?;
    Ok(Outcome::of_upsert(row))
}
