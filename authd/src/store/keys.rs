//! Issuers, and statements about their signing keys. They mean nothing until keyd has recognised its own MAC
//! on them.

use oauth::ids::TenantId;
use wire::Sealed;

use super::{Store, StoreError};
use crate::keys::IssuerRow;

impl Store {
    /// How many issuers there are.
    pub(crate) async fn issuers_number(&self) -> Result<usize, StoreError> {
        let number = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM issuers"#)
            .fetch_one(&self.pool)
            .await?;
        Ok(usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// Every issuer with the statements about its keys that are not destroyed, to be handed to keyd. A row too
    /// short to hold a MAC goes along as it is: keyd will refuse it, and say so.
    pub(crate) async fn issuers(&self) -> Result<Vec<IssuerRow>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT i.url, i.tenant_id, t.slug AS "slug?", k.kid AS "kid?", k.statement AS "statement?",
                   -- The platform's issuer is that of every tenant without one of its own.
                   ARRAY(SELECT DISTINCT d.type FROM authorization_detail_types d
                         WHERE d.tenant_id = i.tenant_id OR i.tenant_id IS NULL
                             AND NOT EXISTS (SELECT FROM issuers o WHERE o.tenant_id = d.tenant_id)
                         ORDER BY d.type) AS "detail_types!"
               FROM issuers i LEFT JOIN tenants t ON t.id = i.tenant_id
                   LEFT JOIN signing_keys k ON k.issuer_id = i.id AND k.state <> 'destroyed'
               ORDER BY i.url, k.created_at, k.kid"#
        )
        .fetch_all(&self.pool)
        .await?;
        let sealed = |bytes: Vec<u8>| {
            Sealed::from_bytes(&bytes).unwrap_or(Sealed { body: Vec::new(), mac: [0; 32] })
        };
        let mut issuers: Vec<IssuerRow> = Vec::new();
        for row in rows {
            if issuers.last().is_none_or(|last| last.url != row.url) {
                let tenant = row.tenant_id.map(TenantId).zip(row.slug);
                issuers.push(IssuerRow {
                    url: row.url,
                    tenant,
                    statements: Vec::new(),
                    detail_types: row.detail_types,
                });
            }
            if let (Some(last), Some(kid), Some(statement)) =
                (issuers.last_mut(), row.kid, row.statement)
            {
                last.statements.push((kid, sealed(statement)));
            }
        }
        Ok(issuers)
    }
}
