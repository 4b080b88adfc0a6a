//! All SQL of the courier. Taking work is one statement that also says when it may be taken again: whoever
//! dies in between loses nothing, and a second courier takes something else.

use secrecy::SecretString;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

/// Attempts at one message, and for how many minutes it is worth one: whatever it tells of has expired then.
pub(super) const ATTEMPTS_MAX: i32 = 8;
const WORTH_MIN: i32 = 60;
/// A client's keys are not asked for more often than this, whoever wants them (W139).
const APART_S: f64 = 60.0;
/// Most rows that one statement of upkeep changes.
const BATCH: i64 = 500;
/// The receiver of what goes to the operator and to no client.
const OPERATOR: Uuid = Uuid::nil();

/// What an outbox row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// CIBA §10.2: the client is told to ask again.
    CibaPing,
    /// A link for somebody who forgot the password, for the operator's mail service.
    ResetMail,
}

/// A message, taken for one attempt.
pub(super) struct Message {
    pub(super) id: Uuid,
    pub(super) kind: Kind,
    /// The client, or nobody's id for the operator.
    pub(super) receiver: Uuid,
    /// Where the client is registered to be told; authd's word in the row is not asked (W140).
    pub(super) url: Option<String>,
    pub(super) bearer: Option<SecretString>,
    /// As stored: not a byte of it is ours.
    pub(super) json: String,
    /// This one included.
    pub(super) attempts: i32,
}

/// A client whose keys are to be fetched.
pub(super) struct Source {
    pub(super) client: Uuid,
    pub(super) uri: String,
}

pub(super) struct Store(PgPool);

impl Store {
    pub(super) fn new(pool: PgPool) -> Self {
        Self(pool)
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.0
    }

    /// Takes due messages for an attempt each: at most one for a receiver, none for those that are busy. The
    /// time of the next attempt is set now, 5 s away and then twice as far each time, which is longer than an
    /// attempt can take.
    pub(super) async fn take_messages(
        &self,
        limit: i64,
        busy: &[Uuid],
    ) -> Result<Vec<Message>, sqlx::Error> {
        let rows = sqlx::query!(
            r#"WITH due AS MATERIALIZED (
                SELECT o.id FROM outbox o
                WHERE o.done_at IS NULL AND o.failed_at IS NULL AND o.next_at <= now()
                  AND o.attempts < $4 AND o.created_at >= now() - make_interval(mins => $5)
                  AND coalesce(o.client, $3) <> ALL ($2)
                  AND NOT EXISTS (
                    SELECT FROM outbox e
                    WHERE e.done_at IS NULL AND e.failed_at IS NULL AND e.next_at <= now()
                      AND e.client IS NOT DISTINCT FROM o.client
                      AND (e.next_at, e.id) < (o.next_at, o.id))
                ORDER BY o.next_at LIMIT $1
                FOR UPDATE SKIP LOCKED)
            UPDATE outbox o SET attempts = o.attempts + 1,
                next_at = now() + interval '5 seconds' * (2 ^ o.attempts)
            FROM due WHERE o.id = due.id
            RETURNING o.id, o.kind, coalesce(o.client, $3) AS "receiver!", o.bearer, o.body::text AS "json!", o.attempts,
                (SELECT c.metadata->>'backchannel_client_notification_endpoint' FROM clients c
                 WHERE c.id = o.client AND c.status = 'active') AS url"#,
            limit,
            busy,
            OPERATOR,
            ATTEMPTS_MAX,
            WORTH_MIN,
        )
        .fetch_all(&self.0)
        .await?;
        let messages = rows.into_iter().filter_map(|row| {
            let kind = match row.kind.as_str() {
                "ciba_ping" => Kind::CibaPing,
                "reset_mail" => Kind::ResetMail,
                // Of a newer release, whose courier will take it.
                _ => return None,
            };
            Some(Message {
                id: row.id,
                kind,
                receiver: row.receiver,
                url: row.url,
                bearer: row.bearer.map(SecretString::from),
                json: row.json,
                attempts: row.attempts,
            })
        });
        Ok(messages.collect())
    }

    /// A message arrived; what authorised it is no longer needed.
    pub(super) async fn done(&self, id: Uuid) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE outbox SET done_at = now(), bearer = NULL
             WHERE id = $1 AND done_at IS NULL AND failed_at IS NULL",
            id
        )
        .execute(&self.0)
        .await
        .map(drop)
    }

    /// A message will not arrive.
    pub(super) async fn failed(&self, id: Uuid) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE outbox SET failed_at = now(), bearer = NULL
             WHERE id = $1 AND done_at IS NULL AND failed_at IS NULL",
            id
        )
        .execute(&self.0)
        .await
        .map(drop)
    }

    /// Gives up what has had its attempts, or is too old for one, as after a long outage.
    pub(super) async fn give_up(&self) -> Result<Vec<Uuid>, sqlx::Error> {
        sqlx::query_scalar!(
            "WITH late AS MATERIALIZED (
                SELECT id FROM outbox
                WHERE done_at IS NULL AND failed_at IS NULL AND next_at <= now()
                  AND (attempts >= $1 OR created_at < now() - make_interval(mins => $2))
                ORDER BY next_at LIMIT $3
                FOR UPDATE SKIP LOCKED)
             UPDATE outbox o SET failed_at = now(), bearer = NULL
             FROM late WHERE o.id = late.id RETURNING o.id",
            ATTEMPTS_MAX,
            WORTH_MIN,
            BATCH,
        )
        .fetch_all(&self.0)
        .await
    }

    /// Notes where clients' keys are. A changed place drops the copy of the old one; when it was last tried
    /// stays, so that changing it often fetches no more often.
    pub(super) async fn note_sources(&self) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "INSERT INTO client_keys (client, uri)
             SELECT c.id, c.metadata->>'jwks_uri' FROM clients c
             WHERE c.status = 'active' AND length(c.metadata->>'jwks_uri') BETWEEN 1 AND 2000
               AND NOT EXISTS (
                 SELECT FROM client_keys k WHERE k.client = c.id AND k.uri = c.metadata->>'jwks_uri')
             LIMIT $1
             ON CONFLICT (client) DO UPDATE SET uri = excluded.uri, jwks = NULL, fetched_at = NULL
             WHERE client_keys.uri <> excluded.uri",
            BATCH
        )
        .execute(&self.0)
        .await
        .map(drop)
    }

    /// Takes clients whose keys are due, for one attempt each: never fetched, older than `age_s`, or wanted
    /// since the last attempt. Those that only ever fail come last: many dead places must not delay a live one.
    pub(super) async fn take_sources(
        &self,
        limit: i64,
        busy: &[Uuid],
        age_s: u32,
    ) -> Result<Vec<Source>, sqlx::Error> {
        sqlx::query_as!(
            Source,
            "WITH due AS MATERIALIZED (
                SELECT k.client FROM client_keys k JOIN clients c ON c.id = k.client
                WHERE c.status = 'active' AND c.metadata->>'jwks_uri' = k.uri
                  AND (k.fetched_at IS NULL OR k.wanted_at > k.tried_at
                       OR k.fetched_at <= now() - make_interval(secs => $3))
                  AND (k.tried_at IS NULL OR k.tried_at <= now() - make_interval(secs => $4))
                  AND k.client <> ALL ($2)
                ORDER BY k.tried_at IS NOT NULL
                    AND coalesce(k.fetched_at < now() - interval '1 hour', true), k.tried_at NULLS FIRST
                LIMIT $1
                FOR UPDATE OF k SKIP LOCKED)
             UPDATE client_keys k SET tried_at = now() FROM due WHERE k.client = due.client
             RETURNING k.client, k.uri",
            limit,
            busy,
            f64::from(age_s),
            APART_S,
        )
        .fetch_all(&self.0)
        .await
    }

    /// Keeps a client's keys, unless they are of a place that is no longer theirs. A failed attempt keeps the
    /// former copy: authd stops believing it by its age.
    pub(super) async fn keep_keys(&self, source: &Source, jwks: &Value) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE client_keys SET jwks = $3, fetched_at = now() WHERE client = $1 AND uri = $2",
            source.client,
            source.uri,
            jwks
        )
        .execute(&self.0)
        .await
        .map(drop)
    }
}
