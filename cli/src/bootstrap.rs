//! `opentrusty bootstrap`: fixes the issuer, makes the first platform administrator and the two clients of
//! the platform. Once: the row in `installation` is the gate, and everything else commits with it.

mod readdress;
mod renew;

use std::fmt;

use oauth::Plain;
use oauth::client::{Draft, Metadata};
use oauth::ids::ClientId;
use oauth::secret::Enrolment;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use store::audit::Event;
use uuid::Uuid;

use crate::args::Bootstrap;
use crate::clients::{self, CLI, CONSOLE, Registration};
use crate::failure::Failure;
use crate::issuer::Issuer;
use crate::output::say;
use crate::settings::Place;
use crate::{audit, database, password};

pub(crate) use readdress::readdress;

/// The role that may do everything that belongs to the platform.
const ROLE: &str = "platform_admin";
/// How long the enrolment link lives, seconds.
const LINK_S: f64 = 3600.0;
const CONSOLE_ORIGIN: &str = "https://localhost:8082";
/// What both clients of the platform may ask for.
pub(crate) const SCOPE: &str = "openid profile email opentrusty:admin";

/// What the command was told.
struct Wanted {
    issuer: Issuer,
    address: Address,
    clients: [(ClientId, Metadata); 2],
}

/// An e-mail address as it was typed, and its canonical key.
struct Address {
    email: String,
    key: String,
}

pub(crate) fn run(place: &Place, args: &Bootstrap) -> Result<(), Failure> {
    if args.renew_link {
        return renew::run(place, args.email.as_deref());
    }
    let wanted = Wanted::of(place, args)?;
    database::with(place, async |pool| {
        database::check_schema(&pool).await?;
        make(&pool, &wanted, |done| done.show(&wanted)).await?;
        say("bootstrapped")
    })
}

/// Whether the gate is shut.
pub(crate) async fn is_done(pool: &PgPool) -> Result<bool, Failure> {
    Ok(sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM installation) AS "done!""#)
        .fetch_one(pool)
        .await?)
}

/// All of it or, if anything cannot be or the gate is shut, nothing.
async fn make(
    pool: &PgPool,
    wanted: &Wanted,
    show: impl FnOnce(&Done) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut transaction = pool.begin().await?;
    database::exclusively(&mut transaction).await?;
    let done = write(&mut transaction, wanted).await?;
    // Before the commit: a link that could not be shown is a link that must not count as given.
    show(&done)?;
    transaction.commit().await?;
    Ok(())
}

impl Wanted {
    fn of(place: &Place, args: &Bootstrap) -> Result<Self, Failure> {
        let issuer = args.issuer.clone().map_or_else(|| place.issuer(), Ok)?;
        let email = match &args.email {
            Some(email) => email.clone(),
            None => place.required("bootstrap_admin_email")?,
        };
        let address = Address::of(&email)?;
        let origin = match &args.console_origin {
            Some(origin) => origin.clone(),
            None => place.optional("console_origin")?.unwrap_or_else(|| CONSOLE_ORIGIN.to_owned()),
        };
        let clients = platform_clients(&origin, &place.api()?)?;
        Ok(Self { issuer, address, clients })
    }
}

impl Address {
    fn of(typed: &str) -> Result<Self, Failure> {
        let key = oauth::account::email_key(typed)
            .ok_or_else(|| Failure::value("--email", "not an e-mail address"))?;
        Ok(Self { email: typed.trim().to_owned(), key })
    }
}

/// The console, a page in a browser, and this command. Neither can keep a secret: PKCE holds both.
fn platform_clients(origin: &str, api: &str) -> Result<[(ClientId, Metadata); 2], Failure> {
    let public = Draft {
        token_endpoint_auth_method: Some("none".to_owned()),
        scope: Some(SCOPE.to_owned()),
        audiences: vec![api.to_owned()],
        skip_authorization: true,
        ..Draft::default()
    };
    let grants = |list: &[&str]| Some(list.iter().map(ToString::to_string).collect());
    let console = Draft {
        client_name: Some("OpenTrusty console".to_owned()),
        redirect_uris: vec![format!("{origin}/callback")],
        post_logout_redirect_uris: vec![format!("{origin}/")],
        grant_types: grants(&["authorization_code", "refresh_token"]),
        ..public.clone()
    };
    let command = Draft {
        client_name: Some("OpenTrusty command line".to_owned()),
        // The port is whichever is free (RFC 8252 §7.3).
        redirect_uris: vec!["http://127.0.0.1/callback".to_owned()],
        grant_types: grants(&["authorization_code"]),
        ..public
    };
    let client = |id: &str, draft: Draft| {
        let metadata = Metadata::try_from(draft)
            .map_err(|error| Failure::value(format!("{id}: {}", error.field), error.problem))?;
        let id = id
            .parse()
            .map_err(|error: oauth::ids::InvalidClientId| Failure::value(id, error.to_string()))?;
        Ok::<_, Failure>((id, metadata))
    };
    Ok([client(CONSOLE, console)?, client(CLI, command)?])
}

/// What was done, to be shown once.
struct Done {
    new_account: bool,
    link: Option<Plain<Enrolment>>,
}

impl Done {
    fn show(&self, wanted: &Wanted) -> Result<(), Failure> {
        let account = if self.new_account { "new account" } else { "existing account" };
        say(format!("issuer                  {}", wanted.issuer))?;
        say(format!("platform administrator  {} ({account})", wanted.address.email))?;
        say(format!("clients                 {CONSOLE}, {CLI}"))?;
        let Some(link) = &self.link else {
            return say("password                the account has one");
        };
        say_link(&wanted.issuer, link)
    }
}

fn say_link(issuer: &impl fmt::Display, link: &Plain<Enrolment>) -> Result<(), Failure> {
    say("\nSet the password within an hour; the link works once and is not shown again:")?;
    say(format!("  {issuer}/enroll?token={}\n", link.reveal()))
}

async fn write(transaction: &mut PgConnection, wanted: &Wanted) -> Result<Done, Failure> {
    let issuer = wanted.issuer.fix(&mut *transaction).await?;
    let gate = sqlx::query!(
        "INSERT INTO installation (issuer_id) VALUES ($1) ON CONFLICT (singleton) DO NOTHING",
        issuer
    )
    .execute(&mut *transaction)
    .await?;
    if gate.rows_affected() == 0 {
        let already = "this installation was bootstrapped already; nothing was changed";
        return Err(Failure::refused(if renew::possible(transaction).await? {
            format!("{already}; `opentrusty bootstrap --renew-link` prints another link")
        } else {
            already.to_owned()
        }));
    }
    let (user, new_account, has_password) = administrator(&mut *transaction, wanted).await?;
    sqlx::query!(
        "INSERT INTO role_assignments (id, user_id, role, scope) VALUES ($1, $2, $3, 'platform')
         ON CONFLICT (user_id, role, tenant_id) DO NOTHING",
        Uuid::now_v7(),
        user,
        ROLE
    )
    .execute(&mut *transaction)
    .await?;
    for (id, metadata) in &wanted.clients {
        let registration = Registration { tenant: None, id, metadata, secret: None };
        clients::put(&mut *transaction, &registration)
            .await
            .map_err(|error| error.under(id.as_str()))?;
    }
    let link = if has_password { None } else { Some(enrol(&mut *transaction, user).await?) };
    let data = json!({ "issuer": wanted.issuer.as_str(), "clients": [CONSOLE, CLI], "role": ROLE });
    let target = user.to_string();
    audit::write(transaction, Event::Bootstrapped, Some(("user", &target)), &data).await?;
    Ok(Done { new_account, link })
}

/// The account, made if nobody has: its row, whether it is new, whether it has a password.
async fn administrator(
    transaction: &mut PgConnection,
    wanted: &Wanted,
) -> Result<(Uuid, bool, bool), Failure> {
    let made = sqlx::query!(
        "INSERT INTO users (id, email, email_key) VALUES ($1, $2, $3) ON CONFLICT (email_key) DO NOTHING",
        Uuid::now_v7(),
        wanted.address.email,
        wanted.address.key
    )
    .execute(&mut *transaction)
    .await?;
    let row = sqlx::query!(
        r#"SELECT id, status = 'active' AS "active!",
               EXISTS (SELECT FROM credentials c WHERE c.user_id = u.id) AS "has_password!"
           FROM users u WHERE email_key = $1"#,
        wanted.address.key
    )
    .fetch_one(transaction)
    .await?;
    if !row.active {
        return Err(Failure::value("--email", "this account is disabled"));
    }
    Ok((row.id, made.rows_affected() > 0, row.has_password))
}

async fn enrol(transaction: &mut PgConnection, user: Uuid) -> Result<Plain<Enrolment>, Failure> {
    let token: Plain<Enrolment> = Plain::from_random(&password::random()?);
    let hash = token.hashed();
    sqlx::query!(
        "INSERT INTO enrolments (token_hash, user_id, expires_at)
         VALUES ($1, $2, now() + make_interval(secs => $3))",
        hash.as_bytes(),
        user,
        LINK_S
    )
    .execute(transaction)
    .await?;
    Ok(token)
}

#[cfg(test)]
mod tests;
