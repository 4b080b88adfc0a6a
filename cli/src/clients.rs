//! Registering a client as the owner: `seed` and `bootstrap` write through this, authd reads it back
//! through the same type.

use oauth::Hashed;
use oauth::client::Metadata;
use oauth::ids::{ClientId, TenantId};
use oauth::secret::Client as ClientSecret;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::failure::Failure;
use crate::outcome::Outcome;

/// The admin console.
pub(crate) const CONSOLE: &str = "opentrusty-console";
/// This command, when somebody signs in with it.
pub(crate) const CLI: &str = "opentrusty-cli";

/// A client as it shall be.
pub(crate) struct Registration<'a> {
    /// `None`: the platform.
    pub(crate) tenant: Option<TenantId>,
    pub(crate) id: &'a ClientId,
    pub(crate) metadata: &'a Metadata,
    /// The secret that it shall know; `None` for a public client.
    pub(crate) secret: Option<Hashed<ClientSecret>>,
}

/// Makes the client or brings it up to date. It cannot change hands: what was granted to it was granted to
/// its tenant's client.
pub(crate) async fn put(
    transaction: &mut PgConnection,
    registration: &Registration<'_>,
) -> Result<Outcome, Failure> {
    registration
        .metadata
        .check_owner(registration.tenant)
        .map_err(|error| Failure::value(error.field, error.problem))?;
    let tenant = registration.tenant.map(|tenant| tenant.0);
    let metadata = serde_json::to_value(registration.metadata.to_draft())
        .map_err(|error| Failure::value("client", error.to_string()))?;
    let written = sqlx::query_scalar!(
        r#"INSERT INTO clients (id, tenant_id, client_id, metadata) VALUES ($1, $2, $3, $4)
           ON CONFLICT (client_id) DO UPDATE SET metadata = excluded.metadata, updated_at = now()
               WHERE clients.metadata <> excluded.metadata
                 AND clients.tenant_id IS NOT DISTINCT FROM excluded.tenant_id
           RETURNING xmax = 0 AS "created!""#,
        Uuid::now_v7(),
        tenant,
        registration.id.as_str(),
        metadata
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let row = sqlx::query!(
        "SELECT id, tenant_id FROM clients WHERE client_id = $1",
        registration.id.as_str()
    )
    .fetch_one(&mut *transaction)
    .await?;
    if row.tenant_id != tenant {
        return Err(Failure::value("tenant", "this client belongs to another tenant already"));
    }
    let secret = match &registration.secret {
        Some(secret) => put_secret(transaction, row.id, secret).await?,
        None => drop_secrets(transaction, row.id).await?,
    };
    Ok(Outcome::of_upsert(written).and(secret))
}

/// The declared secret replaces every other one, unless it is among those that live. So this never adds one
/// beside another: a client whose secret is being replaced has two that live, and no client has more.
async fn put_secret(
    transaction: &mut PgConnection,
    client: Uuid,
    secret: &Hashed<ClientSecret>,
) -> Result<Outcome, Failure> {
    let known = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM client_secrets WHERE client = $1 AND secret_hash = $2
               AND (expires_at IS NULL OR expires_at > now())) AS "known!""#,
        client,
        secret.as_bytes()
    )
    .fetch_one(&mut *transaction)
    .await?;
    if known {
        return Ok(Outcome::Unchanged);
    }
    drop_secrets(transaction, client).await?;
    sqlx::query!(
        "INSERT INTO client_secrets (id, client, secret_hash) VALUES ($1, $2, $3)",
        Uuid::now_v7(),
        client,
        secret.as_bytes()
    )
    .execute(transaction)
    .await?;
    Ok(Outcome::Updated)
}

async fn drop_secrets(transaction: &mut PgConnection, client: Uuid) -> Result<Outcome, Failure> {
    let dropped = sqlx::query!("DELETE FROM client_secrets WHERE client = $1", client)
        .execute(transaction)
        .await?;
    Ok(if dropped.rows_affected() > 0 { Outcome::Updated } else { Outcome::Unchanged })
}
