//! What only the database knows: schema, issuer, keys, clients, roles, audit, and how safely it keeps them.

use host::clock;
use sqlx::PgPool;

use super::clients::{self, Client};
use super::finding::{Finding, fail, ok, warn};
use super::settings::Files;
use crate::failure::Failure;
use crate::settings::Place;

/// Clients that are looked at.
const CLIENTS_MAX: i64 = 10_000;
/// So many grants say what a client asks for. They are kept for a day beyond their end, so only a client whose
/// oldest one is weeks old shows a whole month; one whose grants end within the hour is not judged.
const GRANTS_MIN: i64 = 20;
/// keyd allows a minute between its clock and PostgreSQL's.
const SKEW_WARN_S: f64 = 5.0;
const SKEW_FAIL_S: f64 = 30.0;
/// An archive that has been quiet for this long, in seconds, is looked at by a person.
const ARCHIVE_S: f64 = 3600.0;

/// One row about the whole.
#[derive(Debug, Clone)]
struct Facts {
    issuer: Option<String>,
    bootstrapped: bool,
    skew_s: f64,
    /// `fsync` and `full_page_writes`.
    durable: bool,
    archives: bool,
    archived_s: Option<f64>,
    loose_roles: Vec<String>,
    /// Audit rows that no month's partition took.
    unfiled: i64,
    /// Months after this one that have a partition.
    months_ahead: i64,
}

/// A signing key that signs.
#[derive(Debug)]
struct Key {
    class: String,
    algorithm: String,
    days: f64,
}

pub(super) fn check(place: &Place, files: &Files) -> Vec<Finding> {
    let gathered = crate::database::with(place, async |pool| gather(&pool).await);
    match gathered {
        Err(failure) => {
            let fix = "start PostgreSQL (systemctl start postgresql), or run opentrusty setup";
            vec![fail("database", failure.to_string(), fix)]
        }
        Ok((schema, None)) => vec![schema],
        Ok((schema, Some((facts, keys, clients)))) => {
            let mut all = vec![schema];
            all.extend(judge(&facts, files.issuer()));
            all.push(judge_keys(&keys, files.rotation_days()));
            all.extend(clients::check(&clients));
            all
        }
    }
}

type Gathered = Option<(Facts, Vec<Key>, Vec<Client>)>;

async fn gather(pool: &PgPool) -> Result<(Finding, Gathered), Failure> {
    let name = "schema";
    match store::schema::check(pool).await {
        Ok(()) => {}
        Err(store::schema::Unfit::Database(error)) => return Err(Failure::Database(error)),
        Err(unfit @ (store::schema::Unfit::Behind(_) | store::schema::Unfit::Ahead(_))) => {
            return Ok((
                fail(name, unfit.to_string(), "opentrusty migrate, of the newest release"),
                None,
            ));
        }
    }
    let schema = ok(name, format!("version {}", store::schema::NEWEST));
    let gathered = (facts(pool).await?, keys(pool).await?, all_clients(pool).await?);
    Ok((schema, Some(gathered)))
}

async fn facts(pool: &PgPool) -> Result<Facts, Failure> {
    let row = sqlx::query!(
        r#"SELECT (SELECT url FROM issuers WHERE tenant_id IS NULL) AS issuer,
                  EXISTS (SELECT FROM installation) AS "bootstrapped!",
                  extract(epoch FROM clock_timestamp())::float8 AS "now!",
                  current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on'
                      AS "durable!",
                  current_setting('archive_mode') <> 'off' AS "archives!",
                  (SELECT extract(epoch FROM now() - last_archived_time)::float8 FROM pg_stat_archiver)
                      AS archived_s,
                  ARRAY(SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'opentrusty\_%'
                      AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication))
                      AS "loose_roles!",
                  (SELECT count(*) FROM audit_events_default) AS "unfiled!",
                  (SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                      WHERE i.inhparent = 'audit_events'::regclass
                        AND c.relname > 'audit_events_' || to_char(now(), 'YYYYMM')
                        AND c.relname <> 'audit_events_default') AS "months_ahead!""#
    )
    .fetch_one(pool)
    .await?;
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in a double")]
    let ours = clock::now_s() as f64;
    Ok(Facts {
        issuer: row.issuer,
        bootstrapped: row.bootstrapped,
        skew_s: row.now - ours,
        durable: row.durable,
        archives: row.archives,
        archived_s: row.archived_s,
        loose_roles: row.loose_roles,
        unfiled: row.unfiled,
        months_ahead: row.months_ahead,
    })
}

async fn keys(pool: &PgPool) -> Result<Vec<Key>, Failure> {
    let rows = sqlx::query!(
        r#"SELECT class, algorithm, (extract(epoch FROM now() - activated_at) / 86400)::float8 AS "days!"
           FROM signing_keys WHERE state = 'active'"#
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Key { class: row.class, algorithm: row.algorithm, days: row.days })
        .collect())
}

async fn all_clients(pool: &PgPool) -> Result<Vec<Client>, Failure> {
    let rows = sqlx::query!(
        r#"SELECT c.client_id, c.tenant_id IS NULL AS "is_platform!", c.metadata,
                  CASE WHEN u.since < now() - interval '25 days' AND u.grants >= $2 THEN u.scopes END AS used
           FROM clients c LEFT JOIN LATERAL (
               SELECT count(DISTINCT g.id) AS grants, min(g.created_at) AS since, array_agg(DISTINCT scope) AS scopes
               FROM grants g, unnest(g.scopes) scope WHERE g.client = c.id) u ON true
           WHERE c.status = 'active' ORDER BY c.client_id LIMIT $1"#,
        CLIENTS_MAX,
        GRANTS_MIN,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Client {
            id: row.client_id,
            is_platform: row.is_platform,
            metadata: row.metadata,
            used: row.used,
        })
        .collect())
}

fn judge(facts: &Facts, issuer: Option<&str>) -> Vec<Finding> {
    vec![
        fixed_issuer(facts, issuer),
        skew(facts.skew_s),
        durability(facts),
        roles(&facts.loose_roles),
        audit(facts),
        archive(facts),
    ]
}

fn fixed_issuer(facts: &Facts, configured: Option<&str>) -> Finding {
    let name = "issuer.fixed";
    match (facts.issuer.as_deref(), configured) {
        (Some(fixed), Some(ours)) if fixed == ours && facts.bootstrapped => ok(name, fixed),
        (Some(fixed), Some(ours)) if fixed != ours => fail(
            name,
            format!("the database belongs to {fixed}, the settings say {ours}"),
            "set issuer back: it cannot change",
        ),
        (None | Some(_), _) => {
            let fix = "opentrusty setup --admin-email ADDRESS, or opentrusty bootstrap";
            warn(name, "there is no administrator yet", fix)
        }
    }
}

fn skew(seconds: f64) -> Finding {
    let name = "clock.database";
    let seen = format!("PostgreSQL is {seconds:+.1} s from this machine");
    let fix = "synchronise both clocks; keyd refuses to sign beyond clock_skew_s";
    match seconds.abs() {
        off if off <= SKEW_WARN_S => ok(name, seen),
        off if off <= SKEW_FAIL_S => warn(name, seen, fix),
        _ => fail(name, seen, fix),
    }
}

fn durability(facts: &Facts) -> Finding {
    let name = "database.durability";
    if facts.durable {
        return ok(name, "fsync and full_page_writes are on");
    }
    let fix =
        "switch both on in postgresql.conf: a power cut would bring spent codes and tokens back";
    fail(name, "fsync or full_page_writes is off", fix)
}

fn roles(loose: &[String]) -> Finding {
    if loose.is_empty() {
        return ok("database.roles", "none of ours has a right over the server");
    }
    let fix = "ALTER ROLE … NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION, or run opentrusty setup";
    fail("database.roles", format!("more rights than needed: {}", loose.join(", ")), fix)
}

fn audit(facts: &Facts) -> Finding {
    let name = "audit";
    if facts.unfiled > 0 || facts.months_ahead < 1 {
        let fix = "opentrusty migrate makes the partitions of the coming months";
        let seen =
            format!("{} months prepared, {} rows without one", facts.months_ahead, facts.unfiled);
        return warn(name, seen, fix);
    }
    ok(
        name,
        format!(
            "append-only in PostgreSQL, {} months prepared; the role opentrusty_auditor reads it",
            facts.months_ahead
        ),
    )
}

fn archive(facts: &Facts) -> Finding {
    let name = "database.archive";
    let fix = "see that archive_command works; doctor's `backup` says how old the last copy is";
    match (facts.archives, facts.archived_s) {
        (false, _) => ok(name, "no continuous archive (see `backup`)"),
        (true, Some(age)) if age <= ARCHIVE_S => ok(name, format!("archived {age:.0} s ago")),
        (true, Some(age)) => warn(name, format!("nothing archived for {age:.0} s"), fix),
        (true, None) => warn(name, "archive_mode is on and nothing was archived yet", fix),
    }
}

fn judge_keys(keys: &[Key], rotation_days: i64) -> Finding {
    let name = "keys";
    let missing: Vec<&str> = ["token", "admin", "audit"]
        .into_iter()
        .filter(|class| !keys.iter().any(|key| key.class == *class))
        .collect();
    if !missing.is_empty() {
        let fix =
            "admind makes them by itself: see that it and keyd run, then opentrusty keys list";
        return fail(name, format!("no active key of the class {}", missing.join(", ")), fix);
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 3650 days")]
    let limit = rotation_days as f64;
    // A rotation takes as long as the old key set may be cached.
    let late = keys.iter().filter(|key| key.days > limit + 2.0);
    let late: Vec<String> = late
        .map(|key| format!("{} {} is {:.0} days old", key.class, key.algorithm, key.days))
        .collect();
    if late.is_empty() {
        let oldest = keys.iter().map(|key| key.days).fold(0.0, f64::max);
        return ok(
            name,
            format!("{} active, the oldest {oldest:.0} days of {rotation_days}", keys.len()),
        );
    }
    let fix = "admind rotates them by itself: journalctl -u opentrusty-admind says what keeps it";
    warn(name, late.join(", "), fix)
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod tests;
