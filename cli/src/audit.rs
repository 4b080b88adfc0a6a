//! The audit rows of the owner's plane: what was done from a shell, in the transaction that did it.

use serde_json::Value;
use sqlx::PgConnection;
use store::audit::Event;

/// One row, about `target` (its kind and its name).
pub(crate) async fn write(
    transaction: &mut PgConnection,
    event: Event,
    target: Option<(&str, &str)>,
    data: &Value,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO audit_events (plane, type, actor_type, target_type, target, data)
         VALUES ('owner', $1, 'system', $2, $3, $4)",
        event.as_str(),
        target.map(|(kind, _)| kind),
        target.map(|(_, name)| name),
        data
    )
    .execute(transaction)
    .await?;
    Ok(())
}
