//! `opentrusty seed FILE`: declared tenants, people and clients, for development and tests.
//!
//! parse → validate (pure) → one transaction, with its audit row. Nothing is written unless everything is
//! valid, and nothing at all, not even an audit row, when the database already says what the file says.

mod file;
mod people;
mod plan;
mod protocol;
mod tally;
mod vocabulary;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::json;
use sqlx::{PgConnection, PgPool};
use store::audit::Event;

use crate::audit;
use crate::clients::{self, Registration};
use crate::database;
use crate::failure::Failure;
use crate::issuer::Issuer;
use crate::output::say;
use crate::settings::Place;
use plan::Plan;
use tally::{Kind, Tally};
use vocabulary::Tenants;

/// Longest file, bytes: some ten thousand users.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

pub(crate) fn run(place: &Place, args: &crate::args::Seed) -> Result<(), Failure> {
    let issuer = place.issuer()?;
    issuer.require_loopback("seed")?;
    let plan = Plan::of(file::parse(&read(&args.file)?)?, &place.api()?)?;
    database::with(place, async |pool| {
        database::check_schema(&pool).await?;
        let tally = apply(&pool, &issuer, &plan).await?;
        for line in tally.lines() {
            say(line)?;
        }
        say(if tally.changed() { "seeded" } else { "nothing changed: all of it was there" })
    })
}

/// All of the plan or, if any of it cannot be, nothing.
async fn apply(pool: &PgPool, issuer: &Issuer, plan: &Plan) -> Result<Tally, Failure> {
    let mut transaction = pool.begin().await?;
    database::exclusively(&mut transaction).await?;
    issuer.fix(&mut transaction).await?;
    let tally = write(&mut transaction, issuer, plan).await?;
    if tally.changed() {
        audit::write(&mut transaction, Event::Seeded, None, &json!(tally)).await?;
    }
    transaction.commit().await?;
    Ok(tally)
}

async fn write(
    transaction: &mut PgConnection,
    issuer: &Issuer,
    plan: &Plan,
) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    for tenant in &plan.tenants {
        tally.count(Kind::Tenants, vocabulary::put_tenant(transaction, tenant).await?);
    }
    let tenants = Tenants::load(transaction).await?;
    for scope in &plan.scopes {
        tally.count(Kind::Scopes, vocabulary::put_scope(transaction, &tenants, scope).await?);
    }
    for audience in &plan.audiences {
        tally.count(
            Kind::Audiences,
            vocabulary::put_audience(transaction, &tenants, audience).await?,
        );
    }
    people::write(transaction, &tenants, &plan.people, &mut tally).await?;
    for client in &plan.clients {
        let tenant = client.tenant.as_ref().map(|slug| tenants.find(slug)).transpose()?;
        let registration = Registration {
            tenant,
            id: &client.id,
            metadata: &client.metadata,
            secret: client.secret,
        };
        let outcome = clients::put(transaction, &registration).await;
        tally.count(Kind::Clients, outcome.map_err(|error| error.under(&client.path))?);
    }
    for tenant in &plan.issuers {
        let outcome = protocol::put_issuer(transaction, &tenants, issuer, tenant).await?;
        tally.count(Kind::Issuers, outcome);
    }
    for detail in &plan.detail_types {
        let outcome = protocol::put_detail_type(transaction, &tenants, detail).await?;
        tally.count(Kind::DetailTypes, outcome);
    }
    for policy in &plan.policies {
        tally.count(Kind::Policies, protocol::put_policy(transaction, policy).await?);
    }
    for invitation in &plan.invitations {
        let outcome = people::put_invitation(transaction, &tenants, invitation).await?;
        tally.count(Kind::Invitations, outcome);
    }
    Ok(tally)
}

/// The file's text, or that of standard input, bounded.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let what = format!("{} cannot be read", path.display());
    if path.as_os_str() == "-" {
        return bounded(std::io::stdin().lock(), &what);
    }
    bounded(File::open(path).map_err(Failure::io(&what))?, &what)
}

fn bounded(source: impl Read, what: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    source.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(Failure::io(what))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::refused(format!("the file is longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "seed/database_tests.rs"]
mod tests;
