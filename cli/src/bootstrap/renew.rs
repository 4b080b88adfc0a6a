//! `opentrusty bootstrap --renew-link`: the way on when the one-time link was lost, has expired or went to a
//! mistyped address. Only until a platform administrator has a password: after that there is somebody to
//! ask, and a link made here would take an account over from its owner.

use oauth::Plain;
use oauth::secret::Enrolment;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use store::audit::Event;
use uuid::Uuid;

use super::{Address, ROLE, enrol, say_link};
use crate::failure::Failure;
use crate::output::say;
use crate::settings::Place;
use crate::{audit, database};

pub(super) fn run(place: &Place, email: Option<&str>) -> Result<(), Failure> {
    let address = email.map(Address::of).transpose()?;
    database::with(place, async |pool| {
        database::check_schema(&pool).await?;
        renew(&pool, address.as_ref(), Renewed::show).await?;
        say("renewed")
    })
}

/// Whether this command would find somebody to give a link to.
pub(super) async fn possible(transaction: &mut PgConnection) -> Result<bool, Failure> {
    Ok(waiting(&holders(transaction).await?).is_ok())
}

/// All of it or, if anything cannot be, nothing.
async fn renew(
    pool: &PgPool,
    address: Option<&Address>,
    show: impl FnOnce(&Renewed) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut transaction = pool.begin().await?;
    database::exclusively(&mut transaction).await?;
    let renewed = write(&mut transaction, address).await?;
    // Before the commit: a link that could not be shown must not have ended the one before it.
    show(&renewed)?;
    transaction.commit().await?;
    Ok(())
}

/// What was done, to be shown once.
struct Renewed {
    issuer: String,
    email: String,
    link: Plain<Enrolment>,
}

impl Renewed {
    fn show(&self) -> Result<(), Failure> {
        say(format!("issuer                  {}", self.issuer))?;
        say(format!("platform administrator  {}", self.email))?;
        say_link(&self.issuer, &self.link)
    }
}

async fn write(
    transaction: &mut PgConnection,
    address: Option<&Address>,
) -> Result<Renewed, Failure> {
    let issuer = sqlx::query_scalar!(
        "SELECT i.url FROM installation n JOIN issuers i ON i.id = n.issuer_id"
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or_else(|| Failure::refused("this installation is not bootstrapped yet"))?;
    hold_links(&mut *transaction).await?;
    let holders = holders(&mut *transaction).await?;
    let holder = choose(&holders, address)?;
    let email = match address {
        Some(address) => correct(&mut *transaction, holder.user, address).await?,
        None => holder.email.clone(),
    };
    sqlx::query!(
        "UPDATE enrolments SET used_at = now() WHERE user_id = $1 AND used_at IS NULL",
        holder.user
    )
    .execute(&mut *transaction)
    .await?;
    let link = enrol(&mut *transaction, holder.user).await?;
    let target = holder.user.to_string();
    let data = json!({ "renewed": true });
    audit::write(transaction, Event::Bootstrapped, Some(("user", &target)), &data).await?;
    Ok(Renewed { issuer, email, link })
}

/// Waits for a password that is being set with one of the links, and lets none begin: whether anybody has
/// one is asked after this, in a statement of its own, and so stays true until the commit.
async fn hold_links(transaction: &mut PgConnection) -> Result<(), Failure> {
    sqlx::query!(
        "SELECT token_hash FROM enrolments WHERE used_at IS NULL
             AND user_id IN (SELECT user_id FROM role_assignments WHERE role = $1)
         ORDER BY token_hash FOR UPDATE",
        ROLE
    )
    .fetch_all(transaction)
    .await?;
    Ok(())
}

/// An account with the role.
struct Holder {
    user: Uuid,
    email: String,
    email_key: String,
    active: bool,
    has_password: bool,
}

async fn holders(transaction: &mut PgConnection) -> Result<Vec<Holder>, Failure> {
    let holders = sqlx::query_as!(
        Holder,
        r#"SELECT u.id AS user, u.email, u.email_key, u.status = 'active' AS "active!",
               EXISTS (SELECT FROM credentials c WHERE c.user_id = u.id) AS "has_password!"
           FROM role_assignments r JOIN users u ON u.id = r.user_id WHERE r.role = $1"#,
        ROLE
    )
    .fetch_all(transaction)
    .await?;
    Ok(holders)
}

/// Those who may be given a link, at least one.
fn waiting(holders: &[Holder]) -> Result<Vec<&Holder>, Failure> {
    if holders.iter().any(|holder| holder.has_password) {
        return Err(Failure::refused(
            "a platform administrator has a password already; nothing was changed",
        ));
    }
    let waiting: Vec<_> = holders.iter().filter(|holder| holder.active).collect();
    if waiting.is_empty() {
        return Err(Failure::refused("no active account is platform administrator"));
    }
    Ok(waiting)
}

/// Whom the address names or, if it names nobody, the only one: it is the address that was meant.
fn choose<'a>(holders: &'a [Holder], address: Option<&Address>) -> Result<&'a Holder, Failure> {
    let waiting = waiting(holders)?;
    let named = waiting
        .iter()
        .find(|holder| address.is_some_and(|address| address.key == holder.email_key));
    match (named, waiting.as_slice()) {
        (Some(holder), _) | (None, [holder]) => Ok(holder),
        (None, _) => Err(Failure::value("--email", "name one of the platform administrators")),
    }
}

/// Gives the account the address, of which nobody has proved anything, and returns it.
async fn correct(
    transaction: &mut PgConnection,
    user: Uuid,
    address: &Address,
) -> Result<String, Failure> {
    let corrected = sqlx::query!(
        "UPDATE users SET email = $2, email_key = $3, updated_at = now(),
             email_verified = email_verified AND email_key = $3
         WHERE id = $1 AND email <> $2",
        user,
        address.email,
        address.key
    )
    .execute(transaction)
    .await;
    match corrected {
        Ok(_) => Ok(address.email.clone()),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            Err(Failure::value("--email", "this address belongs to another account"))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
