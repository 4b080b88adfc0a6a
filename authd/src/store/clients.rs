//! Clients, read through the type that wrote them.

use oauth::client::{Client, Draft, Metadata, StoredSecret};
use oauth::ids::{ClientId, ClientKey, TenantId};
use oauth::rar::Type;
use oauth::{Hashed, ScopeSet, Timestamp};
use sqlx::types::Json;
use uuid::Uuid;

use super::{Store, StoreError, digest, scopes};

/// The columns of a client that every query selects, by these names.
pub(crate) struct ClientRow {
    pub(crate) id: Uuid,
    pub(crate) tenant_id: Option<Uuid>,
    pub(crate) client_id: String,
    pub(crate) metadata: Json<Draft>,
}

/// The columns of `live_clients` that authenticate a client, as every read at a machine endpoint selects them
/// beside its own, and PostgreSQL's clock. A macro, because each query has a row type of its own.
macro_rules! asker {
    ($row:ident) => {
        $crate::store::clients::Asker::of(
            $crate::store::clients::ClientRow {
                id: $row.id,
                tenant_id: $row.tenant_id,
                client_id: $row.client_id,
                metadata: $row.metadata,
            },
            ($row.hashes, $row.ends),
            $row.fetched_jwks,
            $row.now,
        )
    };
}
pub(super) use asker;

impl TryFrom<ClientRow> for Client {
    type Error = StoreError;

    fn try_from(row: ClientRow) -> Result<Self, StoreError> {
        let metadata = Metadata::try_from(row.metadata.0)
            .map_err(|_| StoreError::Inconsistent("clients.metadata"))?;
        Ok(Self {
            key: ClientKey(row.id),
            id: ClientId::try_from(row.client_id)
                .map_err(|_| StoreError::Inconsistent("clients.client_id"))?,
            tenant: row.tenant_id.map(TenantId),
            metadata,
        })
    }
}

/// A client at a machine endpoint, with what authenticates it and PostgreSQL's clock.
pub(crate) struct Asker {
    pub(crate) client: Client,
    pub(crate) secrets: Vec<StoredSecret>,
    /// What the courier fetched from its `jwks_uri`.
    pub(crate) fetched_jwks: Option<serde_json::Value>,
    pub(crate) now: Timestamp,
}

impl Asker {
    pub(super) fn of(
        client: ClientRow,
        (hashes, ends): (Vec<Vec<u8>>, Vec<Option<i64>>),
        fetched_jwks: Option<serde_json::Value>,
        now: i64,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            client: client.try_into()?,
            secrets: secrets(hashes, ends)?,
            fetched_jwks,
            now: Timestamp(now),
        })
    }
}

/// Pairs the two arrays that the queries select for a client's secrets.
fn secrets(hashes: Vec<Vec<u8>>, ends: Vec<Option<i64>>) -> Result<Vec<StoredSecret>, StoreError> {
    let pair = |(hash, end): (Vec<u8>, Option<i64>)| {
        let hash = Hashed::from_stored(digest(hash, "client_secrets.secret_hash")?);
        Ok(StoredSecret { hash, expires_at: end.map(Timestamp) })
    };
    hashes.into_iter().zip(ends).map(pair).collect()
}

impl Store {
    /// A live client of this issuer, for the authorization endpoint.
    pub(crate) async fn client(
        &self,
        issuer: &str,
        id: &ClientId,
    ) -> Result<Option<Client>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT c.id AS "id!", c.tenant_id, c.client_id AS "client_id!", c.metadata AS "metadata!: Json<Draft>"
               FROM live_clients c WHERE c.client_id = $1 AND c.issuer = $2"#,
            id.as_str(),
            issuer,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let client = ClientRow {
            id: row.id,
            tenant_id: row.tenant_id,
            client_id: row.client_id,
            metadata: row.metadata,
        };
        client.try_into().map(Some)
    }

    /// What a client's tenant grants when no scope is asked for.
    pub(crate) async fn default_scopes(&self, client: &Client) -> Result<ScopeSet, StoreError> {
        let Some(tenant) = client.tenant else { return Ok(ScopeSet::default()) };
        let names = sqlx::query_scalar!(
            "SELECT name FROM scopes WHERE tenant_id = $1 AND is_default",
            tenant.0
        )
        .fetch_all(&self.pool)
        .await?;
        scopes(&names, "scopes.name")
    }

    /// A live client of this issuer, for the endpoints where clients authenticate.
    pub(crate) async fn asker(
        &self,
        issuer: &str,
        id: &ClientId,
    ) -> Result<Option<Asker>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT c.id AS "id!", c.tenant_id, c.client_id AS "client_id!", c.metadata AS "metadata!: Json<Draft>",
                   c.secret_hashes AS "hashes!", c.secret_ends AS "ends!: Vec<Option<i64>>", c.fetched_jwks,
                   floor(extract(epoch FROM now()))::bigint AS "now!"
               FROM live_clients c WHERE c.client_id = $1 AND c.issuer = $2"#,
            id.as_str(),
            issuer,
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| asker!(row)).transpose()
    }

    /// Whether a public client of this issuer is sent back to this origin.
    pub(crate) async fn is_public_origin(
        &self,
        issuer: &str,
        origin: &str,
    ) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (
                   SELECT FROM live_clients c, jsonb_array_elements_text(c.metadata -> 'redirect_uris') uri
                   WHERE c.metadata ->> 'token_endpoint_auth_method' = 'none' AND c.issuer = $1
                     AND (uri = $2 OR starts_with(uri, $2 || '/') OR starts_with(uri, $2 || '?'))
               ) AS "known!""#,
            issuer,
            origin,
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// The types of `authorization_details` that a client's tenant defines; the platform defines none.
    pub(crate) async fn detail_types(
        &self,
        tenant: Option<TenantId>,
    ) -> Result<Vec<Type>, StoreError> {
        let Some(tenant) = tenant else { return Ok(Vec::new()) };
        let rows = sqlx::query!(
            "SELECT type, schema, summary FROM authorization_detail_types WHERE tenant_id = $1 ORDER BY type",
            tenant.0
        )
        .fetch_all(&self.pool)
        .await?;
        let defined = |row: &str, schema: &serde_json::Value, summary: &str| {
            Type::define(row, schema, summary)
                .map_err(|_| StoreError::Inconsistent("authorization_detail_types.schema"))
        };
        rows.iter().map(|row| defined(&row.r#type, &row.schema, &row.summary)).collect()
    }

    /// What a tenant calls its scopes, for the consent page.
    pub(crate) async fn scope_descriptions(
        &self,
        tenant: TenantId,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let rows =
            sqlx::query!("SELECT name, description FROM scopes WHERE tenant_id = $1", tenant.0)
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(|row| (row.name, row.description)).collect())
    }
}
