//! Redeeming a code: the read, the gate, and the burn.

use oauth::claims::Holder;
use oauth::client::Draft;
use oauth::code::StoredCode;
use oauth::grant::Granted;
use oauth::ids::{ClientId, ClientKey, TokenId};
use oauth::pkce::Challenge;
use oauth::rar::Details;
use oauth::secret::{Access as AccessKind, Code, Refresh};
use oauth::userinfo::Profile;
use oauth::{Hashed, ScopeSet, Timestamp};
use sqlx::types::Json;
use store::audit::Event;

use super::clients::{Asker, asker};
use super::{Store, StoreError, person, scopes};

/// What the token endpoint reads before it decides: who asks, the code, and what it stands for.
pub(crate) struct CodeRead {
    pub(crate) asker: Asker,
    pub(crate) code: Option<CodeGrant>,
}

/// A stored code with its grant.
pub(crate) struct CodeGrant {
    pub(crate) stored: StoredCode,
    pub(crate) spent: bool,
    pub(crate) holder: Holder,
    pub(crate) granted: Granted,
    pub(crate) nonce: Option<String>,
    /// What the request wants inside the ID token, and what there is to choose from.
    pub(crate) id_token_claims: Vec<String>,
    pub(crate) profile: Profile,
    pub(crate) ends_at: Timestamp,
}

/// An access token about to be recorded.
pub(crate) struct Access {
    pub(crate) id: TokenId,
    pub(crate) hash: Hashed<AccessKind>,
    pub(crate) scopes: ScopeSet,
    pub(crate) audiences: Vec<String>,
    /// RFC 9396; what of the grant's details this token carries.
    pub(crate) details: Option<Details>,
    /// The clock reading that its claims are made of: what the table says is what the token says, and what
    /// comes of it later can be held to its end to the second (W66).
    pub(crate) issued_at: Timestamp,
    pub(crate) lifetime_s: u32,
}

/// The gate's arguments.
pub(crate) struct Redeem<'a> {
    pub(crate) code: Hashed<Code>,
    pub(crate) client: &'a ClientId,
    pub(crate) access: &'a Access,
    pub(crate) refresh: Option<Hashed<Refresh>>,
    pub(crate) request_id: &'a str,
}

/// What the gate found. A replay is an outcome, not an error: the revocation it causes commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Fresh,
    Replayed,
    Dead,
}

impl Store {
    /// One round trip: client, secrets, clock, code, grant.
    pub(crate) async fn read_code(
        &self,
        issuer: &str,
        client: &ClientId,
        code: Option<Hashed<Code>>,
    ) -> Result<Option<CodeRead>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT c.id AS "id!", c.tenant_id, c.client_id AS "client_id!", c.metadata AS "metadata!: Json<Draft>",
                   c.secret_hashes AS "hashes!", c.secret_ends AS "ends!: Vec<Option<i64>>", c.fetched_jwks,
                   floor(extract(epoch FROM now()))::bigint AS "now!",
                   k.redirect_uri AS "redirect_uri?", k.code_challenge,
                   (k.redeemed_at IS NOT NULL OR k.burned_at IS NOT NULL) AS "spent?",
                   g.client AS "grant_client?", g.sub AS "sub?", g.scopes AS "scopes?",
                   g.audiences AS "audiences?", g.authorization_details AS "details: Json<Details>", g.nonce, floor(extract(epoch FROM g.auth_time))::bigint AS auth_time,
                   g.amr AS "amr?", g.session_id AS "session_id?", floor(extract(epoch FROM g.expires_at))::bigint AS ends_at,
                   g.id_token_claims AS "id_token_claims?", u.email AS "email?", u.email_verified AS "email_verified?",
                   u.name, u.given_name, u.family_name, u.picture, u.locale
               FROM live_clients c LEFT JOIN codes k ON k.code_hash = $2 LEFT JOIN grants g ON g.id = k.grant_id
                   LEFT JOIN users u ON u.id = g.user_id
               WHERE c.client_id = $1 AND c.issuer = $3"#,
            client.as_str(),
            code.as_ref().map(|hash| hash.as_bytes().as_slice()),
            issuer,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let asker = asker!(row)?;
        let (Some(redirect_uri), Some(owner)) = (row.redirect_uri, row.grant_client) else {
            return Ok(Some(CodeRead { asker, code: None }));
        };
        let challenge = row.code_challenge.map(|text| Challenge::parse(&text)).transpose();
        let code = CodeGrant {
            stored: StoredCode {
                client: ClientKey(owner),
                redirect_uri,
                challenge: challenge
                    .map_err(|_| StoreError::Inconsistent("codes.code_challenge"))?,
            },
            spent: row.spent.unwrap_or(true),
            holder: person(row.sub, row.auth_time, row.amr, row.session_id),
            granted: Granted {
                scopes: scopes(&row.scopes.unwrap_or_default(), "grants.scopes")?,
                audiences: row.audiences.unwrap_or_default(),
                details: row.details.map(|json| json.0),
            },
            nonce: row.nonce,
            id_token_claims: row.id_token_claims.unwrap_or_default(),
            profile: Profile {
                email: row.email.unwrap_or_default(),
                email_verified: row.email_verified.unwrap_or(false),
                name: row.name,
                given_name: row.given_name,
                family_name: row.family_name,
                picture: row.picture,
                locale: row.locale,
            },
            ends_at: Timestamp(row.ends_at.unwrap_or(0)),
        };
        Ok(Some(CodeRead { asker, code: Some(code) }))
    }

    /// The gate: spends the code, records the tokens and audits, or finds that it was spent and kills what
    /// was issued from it. One statement, so one transaction; the loser of a race waits for the row, sees it
    /// spent, and revokes the winner's grant too (W22).
    pub(crate) async fn redeem(&self, redeem: &Redeem<'_>) -> Result<Outcome, StoreError> {
        let outcome = sqlx::query_scalar!(
            r#"WITH claimed AS (
                   UPDATE codes SET redeemed_at = now()
                   WHERE code_hash = $1 AND redeemed_at IS NULL AND burned_at IS NULL AND expires_at > now()
                   RETURNING grant_id
               ), granted AS (
                   SELECT c.grant_id FROM claimed c JOIN live_grants g ON g.id = c.grant_id
               ), access AS (
                   INSERT INTO access_tokens (jti, token_hash, grant_id, refresh_hash, scopes, audiences, issued_at,
                                              expires_at, authorization_details)
                   SELECT $2, $3, grant_id, $4, $5, $6, issued.at, issued.at + make_interval(secs => $7), $13
                   FROM granted, (SELECT 'epoch'::timestamptz + $14::bigint * interval '1 second' AS at) issued
               ), refresh AS (
                   INSERT INTO refresh_tokens (token_hash, grant_id)
                   SELECT $4, grant_id FROM granted WHERE $4::bytea IS NOT NULL
               ), replayed AS (
                   -- This statement's snapshot may be older than the winner's commit: a code that looked good
                   -- and yet could not be claimed was taken in between.
                   UPDATE grants SET revoked_at = now(), revoke_reason = 'code_reuse'
                   WHERE id = (SELECT k.grant_id FROM codes k WHERE k.code_hash = $1
                               AND (k.redeemed_at IS NOT NULL OR (k.burned_at IS NULL AND k.expires_at > now())))
                     AND revoked_at IS NULL AND NOT EXISTS (SELECT FROM claimed)
                   RETURNING id
               ), audited AS (
                   INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, request_id)
                   SELECT 'auth', CASE WHEN EXISTS (SELECT FROM granted) THEN $10
                                       WHEN EXISTS (SELECT FROM claimed) THEN $11 ELSE $12 END,
                       'client', $8, (SELECT c.tenant_id FROM grants g JOIN clients c ON c.id = g.client WHERE g.id = effect.id),
                       'grant', effect.id::text, $9
                   FROM (SELECT grant_id AS id FROM claimed UNION ALL SELECT id FROM replayed) effect
               )
               SELECT CASE WHEN EXISTS (SELECT FROM granted) THEN 0
                           WHEN EXISTS (SELECT FROM replayed) THEN 1 ELSE 2 END AS "outcome!""#,
            redeem.code.as_bytes(),
            redeem.access.id.0,
            redeem.access.hash.as_bytes(),
            redeem.refresh.as_ref().map(|hash| hash.as_bytes().as_slice()),
            &redeem.access.scopes.to_vec(),
            &redeem.access.audiences,
            f64::from(redeem.access.lifetime_s),
            redeem.client.as_str(),
            redeem.request_id,
            Event::TokensIssued.as_str(),
            Event::GrantDead.as_str(),
            Event::CodeReused.as_str(),
            redeem.access.details.as_ref().map(Json) as _,
            redeem.access.issued_at.0,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(match outcome {
            0 => Outcome::Fresh,
            1 => Outcome::Replayed,
            _ => Outcome::Dead,
        })
    }

    /// A refused redemption by an authenticated client spends the code; if it was spent before, what was
    /// issued from it dies.
    pub(crate) async fn burn(
        &self,
        code: Hashed<Code>,
        client: &ClientId,
        request_id: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"WITH burned AS (
                   UPDATE codes SET burned_at = now()
                   WHERE code_hash = $1 AND redeemed_at IS NULL AND burned_at IS NULL RETURNING grant_id
               ), replayed AS (
                   UPDATE grants SET revoked_at = now(), revoke_reason = 'code_reuse'
                   WHERE id = (SELECT k.grant_id FROM codes k WHERE k.code_hash = $1 AND k.burned_at IS NULL)
                     AND revoked_at IS NULL AND NOT EXISTS (SELECT FROM burned)
                   RETURNING id
               )
               INSERT INTO audit_events (plane, type, actor_type, actor, tenant_id, target_type, target, request_id)
               SELECT 'auth', CASE WHEN EXISTS (SELECT FROM burned) THEN $4 ELSE $5 END, 'client', $2,
                   (SELECT c.tenant_id FROM grants g JOIN clients c ON c.id = g.client WHERE g.id = effect.id),
                   'grant', effect.id::text, $3
               FROM (SELECT grant_id AS id FROM burned UNION ALL SELECT id FROM replayed) effect"#,
            code.as_bytes(),
            client.as_str(),
            request_id,
            Event::CodeBurned.as_str(),
            Event::CodeReused.as_str(),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
