//! Tenants, and the scopes and audiences that they define.

use std::collections::HashMap;

use oauth::ids::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::plan::{Audience, Scope, Slug, Tenant};
use crate::failure::Failure;
use crate::outcome::Outcome;

/// Every tenant of the database, by slug.
pub(super) struct Tenants(HashMap<String, TenantId>);

impl Tenants {
    pub(super) async fn load(transaction: &mut PgConnection) -> Result<Self, Failure> {
        let rows = sqlx::query!("SELECT slug, id FROM tenants").fetch_all(transaction).await?;
        Ok(Self(rows.into_iter().map(|row| (row.slug, TenantId(row.id))).collect()))
    }

    pub(super) fn find(&self, slug: &Slug) -> Result<TenantId, Failure> {
        self.0.get(&slug.value).copied().ok_or_else(|| {
            let problem = format!("no tenant {:?}, neither here nor in the database", slug.value);
            Failure::value(&slug.path, problem)
        })
    }
}

// An upsert that changes nothing returns no row; `xmax = 0` tells a new row from a changed one.

pub(super) async fn put_tenant(
    transaction: &mut PgConnection,
    tenant: &Tenant,
) -> Result<Outcome, Failure> {
    let row = sqlx::query_scalar!(
        r#"INSERT INTO tenants (id, slug, name) VALUES ($1, $2, $3)
           ON CONFLICT (slug) DO UPDATE SET name = excluded.name WHERE tenants.name <> excluded.name
           RETURNING xmax = 0 AS "created!""#,
        Uuid::now_v7(),
        tenant.slug,
        tenant.name
    )
    .fetch_optional(transaction)
    .await?;
    Ok(Outcome::of_upsert(row))
}

pub(super) async fn put_scope(
    transaction: &mut PgConnection,
    tenants: &Tenants,
    scope: &Scope,
) -> Result<Outcome, Failure> {
    let row = sqlx::query_scalar!(
        r#"INSERT INTO scopes (id, tenant_id, name, description, is_default) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (tenant_id, name)
               DO UPDATE SET description = excluded.description, is_default = excluded.is_default
               WHERE (scopes.description, scopes.is_default) <> (excluded.description, excluded.is_default)
           RETURNING xmax = 0 AS "created!""#,
        Uuid::now_v7(),
        tenants.find(&scope.tenant)?.0,
        scope.name,
        scope.description,
        scope.default
    )
    .fetch_optional(transaction)
    .await?;
    Ok(Outcome::of_upsert(row))
}

pub(super) async fn put_audience(
    transaction: &mut PgConnection,
    tenants: &Tenants,
    audience: &Audience,
) -> Result<Outcome, Failure> {
    let row = sqlx::query_scalar!(
        r#"INSERT INTO audiences (id, tenant_id, identifier, name, scopes) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (tenant_id, identifier) DO UPDATE SET name = excluded.name, scopes = excluded.scopes
               WHERE (audiences.name, audiences.scopes) <> (excluded.name, excluded.scopes)
           RETURNING xmax = 0 AS "created!""#,
        Uuid::now_v7(),
        tenants.find(&audience.tenant)?.0,
        audience.identifier,
        audience.name,
        &audience.scopes
    )
    .fetch_optional(transaction)
    .await?;
    Ok(Outcome::of_upsert(row))
}
