//! People: accounts, passwords, memberships, roles.

use std::collections::HashMap;

use oauth::ids::TenantId;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sqlx::PgConnection;
use store::audit::Event;
use uuid::Uuid;

use super::plan::{Invitation, Located, Person};
use super::tally::{Kind, Tally};
use super::vocabulary::Tenants;
use crate::audit;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::password::{self, Candidate};

/// Roles by name: whether each belongs to a tenant.
struct Roles(HashMap<String, bool>);

pub(super) async fn write(
    transaction: &mut PgConnection,
    tenants: &Tenants,
    people: &[Person],
    tally: &mut Tally,
) -> Result<(), Failure> {
    let roles = sqlx::query!(r#"SELECT name, scope = 'tenant' AS "of_tenant!" FROM roles"#)
        .fetch_all(&mut *transaction)
        .await?;
    let roles = Roles(roles.into_iter().map(|row| (row.name, row.of_tenant)).collect());
    let hashes = hashes(transaction, people).await?;
    for (person, hash) in people.iter().zip(hashes) {
        let account = put_user(transaction, person).await?;
        let (user, outcome) = account;
        let credential = match hash {
            Some(hash) => put_password(transaction, user, &hash).await?,
            None => Outcome::Unchanged,
        };
        tally.count(Kind::Users, outcome.and(credential));
        put_authority(transaction, tenants, &roles, (user, person), tally).await?;
    }
    Ok(())
}

/// A new hash for each person whose password is declared and is not the stored one.
async fn hashes(
    transaction: &mut PgConnection,
    people: &[Person],
) -> Result<Vec<Option<SecretString>>, Failure> {
    let keys: Vec<String> = people.iter().map(|person| person.email_key.clone()).collect();
    let rows = sqlx::query!(
        "SELECT u.email_key, c.password_hash FROM users u JOIN credentials c ON c.user_id = u.id
         WHERE u.email_key = ANY($1)",
        &keys
    )
    .fetch_all(transaction)
    .await?;
    let mut stored: HashMap<String, SecretString> =
        rows.into_iter().map(|row| (row.email_key, row.password_hash.into())).collect();
    let candidates: Vec<_> = people
        .iter()
        .filter_map(|person| {
            let declared = person.password.as_ref()?;
            Some(Candidate { declared, stored: stored.remove(&person.email_key) })
        })
        .collect();
    let mut hashed = password::hashes(&candidates)?.into_iter();
    Ok(people
        .iter()
        .map(|person| if person.password.is_some() { hashed.next().flatten() } else { None })
        .collect())
}

async fn put_user(
    transaction: &mut PgConnection,
    person: &Person,
) -> Result<(Uuid, Outcome), Failure> {
    let written = sqlx::query_scalar!(
        r#"INSERT INTO users (id, email, email_key, email_verified, name, given_name, family_name, picture, locale)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
           ON CONFLICT (email_key) DO UPDATE SET email = excluded.email, email_verified = excluded.email_verified,
               name = excluded.name, given_name = excluded.given_name, family_name = excluded.family_name,
               picture = excluded.picture, locale = excluded.locale, updated_at = now()
           WHERE (users.email, users.email_verified, users.name, users.given_name, users.family_name,
                  users.picture, users.locale)
               IS DISTINCT FROM (excluded.email, excluded.email_verified, excluded.name, excluded.given_name,
                  excluded.family_name, excluded.picture, excluded.locale)
           RETURNING xmax = 0 AS "created!""#,
        Uuid::now_v7(),
        person.email,
        person.email_key,
        person.email_verified,
        person.name.as_deref(),
        person.given_name.as_deref(),
        person.family_name.as_deref(),
        person.picture.as_deref(),
        person.locale.as_deref()
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let id = sqlx::query_scalar!("SELECT id FROM users WHERE email_key = $1", person.email_key)
        .fetch_one(transaction)
        .await?;
    Ok((id, Outcome::of_upsert(written)))
}

/// A changed password ends what the old one began, as it does when somebody changes it themselves (W44).
///
/// Three statements, because under READ COMMITTED each sees what was committed when it began: the first waits
/// for every sign-in and every code under way for the account (they hold its credentials row), so that the
/// last sees what they made and ends it.
async fn put_password(
    transaction: &mut PgConnection,
    user: Uuid,
    hash: &SecretString,
) -> Result<Outcome, Failure> {
    sqlx::query!("SELECT user_id FROM credentials WHERE user_id = $1 FOR UPDATE", user)
        .fetch_optional(&mut *transaction)
        .await?;
    let created = sqlx::query_scalar!(
        r#"INSERT INTO credentials (user_id, password_hash) VALUES ($1, $2)
           ON CONFLICT (user_id) DO UPDATE SET password_hash = excluded.password_hash, changed_at = now()
           RETURNING xmax = 0 AS "created!""#,
        user,
        hash.expose_secret()
    )
    .fetch_one(&mut *transaction)
    .await?;
    if !created {
        sqlx::query!(
            "WITH ended AS (UPDATE sessions SET ended_at = now() WHERE user_id = $1 AND ended_at IS NULL)
             UPDATE grants SET revoked_at = now(), revoke_reason = 'password_change'
             WHERE user_id = $1 AND revoked_at IS NULL",
            user
        )
        .execute(transaction)
        .await?;
    }
    Ok(Outcome::Updated)
}

async fn put_authority(
    transaction: &mut PgConnection,
    tenants: &Tenants,
    roles: &Roles,
    (user, person): (Uuid, &Person),
    tally: &mut Tally,
) -> Result<(), Failure> {
    for membership in &person.memberships {
        let tenant = tenants.find(&membership.tenant)?;
        let made = sqlx::query!(
            "INSERT INTO memberships (tenant_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            tenant.0,
            user
        )
        .execute(&mut *transaction)
        .await?;
        tally.count(Kind::Memberships, made_or_there(made.rows_affected()));
        for role in &membership.roles {
            roles.check(role, true)?;
            tally.count(Kind::Roles, assign(transaction, user, role, Some(tenant)).await?);
        }
    }
    for role in &person.platform_roles {
        roles.check(role, false)?;
        tally.count(Kind::Roles, assign(transaction, user, role, None).await?);
    }
    Ok(())
}

/// An invitation that is there, answered or not, stays as it is.
pub(super) async fn put_invitation(
    transaction: &mut PgConnection,
    tenants: &Tenants,
    invitation: &Invitation,
) -> Result<Outcome, Failure> {
    let tenant = tenants.find(&invitation.tenant)?;
    let found = sqlx::query!(
        r#"SELECT u.id,
               EXISTS (SELECT FROM invitations i WHERE i.user_id = u.id AND i.tenant_id = $2) AS "invited!",
               EXISTS (SELECT FROM memberships m WHERE m.user_id = u.id AND m.tenant_id = $2) AS "member!"
           FROM users u WHERE u.email_key = $1"#,
        invitation.account.value,
        tenant.0
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let refused = |problem: &str| Failure::value(&invitation.account.path, problem);
    let found = found.ok_or_else(|| refused("no such account, here or in the database"))?;
    if found.invited {
        return Ok(Outcome::Unchanged);
    }
    if found.member {
        return Err(refused("is a member of this tenant already"));
    }
    sqlx::query!(
        "INSERT INTO invitations (tenant_id, user_id) VALUES ($1, $2)",
        tenant.0,
        found.id
    )
    .execute(&mut *transaction)
    .await?;
    let about = found.id.to_string();
    let data = json!({ "tenant": invitation.tenant.value });
    audit::write(transaction, Event::MembershipInvited, Some(("user", &about)), &data).await?;
    Ok(Outcome::Created)
}

fn made_or_there(rows: u64) -> Outcome {
    if rows > 0 { Outcome::Created } else { Outcome::Unchanged }
}

impl Roles {
    fn check(&self, role: &Located<String>, of_tenant: bool) -> Result<(), Failure> {
        let problem = match self.0.get(&role.value) {
            Some(scope) if *scope == of_tenant => return Ok(()),
            Some(true) => "is a role of a tenant; give it in a membership",
            Some(false) => "is a role of the platform; give it in platform_roles",
            None => "is no role",
        };
        Err(Failure::value(&role.path, format!("{:?} {problem}", role.value)))
    }
}

async fn assign(
    transaction: &mut PgConnection,
    user: Uuid,
    role: &Located<String>,
    tenant: Option<TenantId>,
) -> Result<Outcome, Failure> {
    let made = sqlx::query!(
        "INSERT INTO role_assignments (id, user_id, role, scope, tenant_id) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (user_id, role, tenant_id) DO NOTHING",
        Uuid::now_v7(),
        user,
        role.value,
        if tenant.is_some() { "tenant" } else { "platform" },
        tenant.map(|tenant| tenant.0)
    )
    .execute(transaction)
    .await;
    match made {
        Ok(made) => Ok(made_or_there(made.rows_affected())),
        Err(sqlx::Error::Database(error))
            if error.constraint() == Some("role_assignments_one_owner") =>
        {
            Err(Failure::value(
                &role.path,
                "the tenant has another owner already; it has exactly one",
            ))
        }
        Err(error) => Err(error.into()),
    }
}
