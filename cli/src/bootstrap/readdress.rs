//! The platform's own clients follow the API and the console when `opentrusty setup` is told other addresses: with the
//! former audience no administrator could come in any more.

use oauth::client::{Draft, Metadata};
use serde_json::json;
use sqlx::PgPool;
use sqlx::types::Json;
use store::audit::Event;

use super::{CONSOLE_ORIGIN, platform_clients};
use crate::clients::{self, Registration};
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::{audit, database};

/// Whether anything had to be changed. What else was registered for them stays; so does where the console is, if nobody
/// said.
pub(crate) async fn readdress(
    pool: &PgPool,
    console_origin: Option<&str>,
    api: &str,
) -> Result<bool, Failure> {
    let wanted = platform_clients(console_origin.unwrap_or(CONSOLE_ORIGIN), api)?;
    let mut transaction = pool.begin().await?;
    database::exclusively(&mut transaction).await?;
    let mut moved = Vec::new();
    for (id, wanted) in &wanted {
        let there = sqlx::query_scalar!(
            r#"SELECT metadata AS "metadata: Json<Draft>" FROM clients WHERE client_id = $1 AND tenant_id IS NULL"#,
            id.as_str()
        )
        .fetch_optional(&mut *transaction)
        .await?;
        // Taken away on purpose; nobody else puts it back either.
        let Some(Json(there)) = there else { continue };
        let wanted = wanted.to_draft();
        let mut draft = Draft { audiences: wanted.audiences, ..there };
        if console_origin.is_some() {
            draft.redirect_uris = wanted.redirect_uris;
            draft.post_logout_redirect_uris = wanted.post_logout_redirect_uris;
        }
        let metadata = Metadata::try_from(draft)
            .map_err(|error| Failure::value(error.field, error.problem))?;
        let registration = Registration { tenant: None, id, metadata: &metadata, secret: None };
        if clients::put(&mut transaction, &registration).await? != Outcome::Unchanged {
            moved.push(id.as_str());
        }
    }
    if moved.is_empty() {
        return Ok(false);
    }
    let data = json!({ "clients": moved, "api": api });
    audit::write(&mut transaction, Event::Seeded, None, &data).await?;
    transaction.commit().await?;
    Ok(true)
}
