//! PostgreSQL on this machine: roles, the database, and who may connect as whom. There is no password: the
//! server asks the kernel who is at the other end of its socket.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};

use super::files::{self, Rights, Written};
use super::steps::{self, Steps};
use crate::appliance::{DAEMONS, DATABASE, MIGRATE_USER, OWNER};
use crate::failure::Failure;
use crate::program::Program;
use crate::settings::Place;
use crate::{database, output};

const BEGIN: &str = "# Begin of what `opentrusty setup` wrote.";
const END: &str = "# End of what `opentrusty setup` wrote.";
/// How long the server may take to read its files again.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// Roles without any right of their own; what they may do is granted by the migrations.
const ROLES: &str = "
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['owner', 'authd', 'admind', 'courier', 'auditor'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'opentrusty_' || name) THEN
      EXECUTE format('CREATE ROLE %I LOGIN', 'opentrusty_' || name);
      RAISE WARNING 'made %', 'opentrusty_' || name;
    END IF;
    EXECUTE format('ALTER ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOREPLICATION NOCREATEDB',
      'opentrusty_' || name);
  END LOOP;
END $$;
";

pub(super) fn run(steps: &mut Steps) -> Result<(), Failure> {
    let missing = psql(
        "SELECT 5 - count(*) FROM pg_roles WHERE rolname IN ('opentrusty_owner', 'opentrusty_authd',
             'opentrusty_admind', 'opentrusty_courier', 'opentrusty_auditor')",
    )?;
    psql(ROLES)?;
    match missing.as_str() {
        "0" => steps::same("the roles opentrusty_*")?,
        missing => steps.done(&format!("{missing} roles opentrusty_* made in PostgreSQL"))?,
    }
    make_database(steps)?;
    let hba = place_of("hba_file")?;
    let ident = place_of("ident_file")?;
    let mut reload = false;
    for (path, lines, first) in [(&ident, map(), false), (&hba, vec![access()], true)] {
        let written = block(Path::new(path), &lines, first)?;
        reload |= written != Written::Unchanged;
        steps.wrote(path, written, &[])?;
    }
    if reload {
        psql("SELECT pg_reload_conf()")?;
    }
    Ok(())
}

fn make_database(steps: &mut Steps) -> Result<(), Failure> {
    let there = psql(&format!("SELECT count(*) FROM pg_database WHERE datname = '{DATABASE}'"))?;
    if there == "1" {
        steps::same(&format!("the database {DATABASE}"))?;
    } else {
        psql(&format!(
            "CREATE DATABASE {DATABASE} OWNER {OWNER} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'"
        ))?;
        steps.done(&format!("the database {DATABASE} made"))?;
    }
    // The database's own grants; the rest is in the migrations.
    psql(&format!(
        "REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC;
         GRANT CONNECT ON DATABASE {DATABASE}
           TO opentrusty_authd, opentrusty_admind, opentrusty_courier, opentrusty_auditor;"
    ))?;
    Ok(())
}

/// Waits until the schema's owner may connect, which is when the server has read its files.
pub(super) fn wait(place: &Place) -> Result<(), Failure> {
    let url = place.database_url()?;
    let begin = Instant::now();
    database::block_on(async {
        loop {
            match PgConnection::connect(&url).await {
                Ok(connection) => return Ok(connection.close().await?),
                Err(error) if begin.elapsed() > PATIENCE => return Err(Failure::Database(error)),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    })
}

/// As the cluster's own user.
fn psql(sql: &str) -> Result<String, Failure> {
    let output = Program::new("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f", "-"])
        .user("postgres")
        .map_err(|_| {
            Failure::refused(
                "there is no PostgreSQL here; install it, or name a server with --database",
            )
        })?
        .input(sql.as_bytes().to_vec())
        .run()?;
    Ok(String::from_utf8_lossy(&output).trim().to_owned())
}

fn place_of(setting: &str) -> Result<String, Failure> {
    psql(&format!("SHOW {setting}"))
}

/// Only these, and each as its own role: nobody else of this machine can name one of ours.
fn access() -> String {
    format!("local {DATABASE} all peer map={DATABASE}")
}

fn map() -> Vec<String> {
    let mut all: Vec<(String, &str)> = DAEMONS
        .iter()
        .filter_map(|daemon| Some((daemon.user().to_owned(), daemon.role()?)))
        .collect();
    all.push((MIGRATE_USER.to_owned(), OWNER));
    all.push(("root".to_owned(), OWNER));
    // The cluster's superuser, for backups; it can read the files anyway.
    all.push(("postgres".to_owned(), "postgres"));
    all.into_iter().map(|(user, role)| format!("{DATABASE} {user} {role}")).collect()
}

fn block(path: &Path, lines: &[String], first: bool) -> Result<Written, Failure> {
    let failed = || Failure::io(path.display().to_string());
    let text = fs::read_to_string(path).map_err(failed())?;
    let about = fs::metadata(path).map_err(failed())?;
    let rights =
        Rights { uid: about.uid(), gid: about.gid(), mode: about.permissions().mode() & 0o7777 };
    files::put(path, with_block(&text, lines, first).as_bytes(), rights)
}

/// The text with our lines between their marks: where they are already, else at the beginning (`pg_hba.conf`:
/// the first line that fits decides) or the end.
fn with_block(text: &str, lines: &[String], first: bool) -> String {
    let block = format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"));
    let marks = text.find(BEGIN).and_then(|from| {
        let end = text.get(from..)?.find(END)? + from + END.len();
        Some((from, end))
    });
    if let Some((from, end)) = marks {
        let before = text.get(..from).unwrap_or_default();
        let after = text.get(end..).unwrap_or_default();
        return format!("{before}{block}{}", after.strip_prefix('\n').unwrap_or(after));
    }
    match (first, text.is_empty() || text.ends_with('\n')) {
        (true, _) => format!("{block}{text}"),
        (false, true) => format!("{text}{block}"),
        (false, false) => format!("{text}\n{block}"),
    }
}

/// Roles of a server elsewhere are its administrator's to make.
pub(super) fn say_remote(host: &str) -> Result<(), Failure> {
    output::say(format!("same  the roles and the database on {host}: its administrator made them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_lines_are_first_once_and_the_rest_stays() {
        let theirs = "# theirs\nlocal all all peer\n";
        let lines = ["ours one".to_owned()];
        let once = with_block(theirs, &lines, true);
        assert!(once.starts_with(BEGIN) && once.ends_with(theirs), "{once}");
        assert_eq!(with_block(&once, &lines, true), once, "the second run changes nothing");
        let other = with_block(&once, &["ours two".to_owned()], true);
        assert!(
            other.contains("ours two") && !other.contains("ours one") && other.ends_with(theirs)
        );
        let last = with_block("no newline", &lines, false);
        assert!(last.starts_with("no newline\n") && last.ends_with(&format!("{END}\n")), "{last}");
        assert_eq!(with_block(&last, &lines, false), last);
    }

    #[test]
    fn w185_every_user_has_one_role_and_no_two_users_share_one_but_the_owner() {
        let map = map();
        assert!(map.contains(&"opentrusty opentrusty-authd opentrusty_authd".to_owned()));
        for role in ["opentrusty_authd", "opentrusty_admind", "opentrusty_courier"] {
            let named = map.iter().filter(|line| line.ends_with(role)).count();
            assert_eq!(named, 1, "{role}");
        }
        assert!(!map.iter().any(|line| line.contains("keyd")), "keyd has no database");
    }
}
