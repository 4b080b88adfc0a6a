//! Any order of starting; and what must not be started at all.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::bench::{bench, free_port, until};
use e2e::people::{MEMBER, app};
use e2e::{Daemon, Options, Stand, people, tokens};

use crate::{beside_others, jwks, owner, text};

const REFUSES: Duration = Duration::from_secs(20);

/// Start one of a stand without waiting for anything.
fn start(stand: &mut Stand, daemon: usize) {
    match daemon {
        0 => stand.node(0).keyd.start(),
        1 => stand.node(0).authd.start(),
        _ => stand.admind().start(),
    }
}

fn stop_all(stand: &mut Stand) {
    assert!(stand.node(0).authd.stop().success(), "authd ends well after SIGTERM");
    assert!(stand.admind().stop().success(), "admind ends well after SIGTERM");
    assert!(stand.node(0).keyd.stop().success(), "keyd ends well after SIGTERM");
}

/// A person signs in and the tokens hold against the published keys.
fn signs_in(stand: &Stand) {
    let party = app(stand);
    let got = party.tokens(&mut stand.browser(), MEMBER);
    let keys = jwks(stand, 0);
    tokens::verify(text(&got, "id_token"), &keys, stand.issuer(), "app").unwrap();
    let access = text(&got, "access_token");
    tokens::verify(access, &keys, stand.issuer(), stand.issuer()).unwrap();
    assert_eq!(party.introspect(&mut stand.client(), access).expect(200).json()["active"], true);
}

#[test]
fn the_daemons_come_up_in_each_of_the_six_orders() {
    let _cluster = beside_others();
    let mut stand = Stand::prepare(&Options::default());
    let mut seeded = false;
    for order in [[1, 2, 0], [2, 1, 0], [0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 0, 1]] {
        for daemon in order {
            start(&mut stand, daemon);
        }
        stand.wait_ready();
        if !seeded {
            people::populate(&stand);
            seeded = true;
        }
        signs_in(&stand);
        stop_all(&mut stand);
    }
    assert_eq!(
        owner(&stand, "SELECT count(*) FROM signing_keys"),
        "7",
        "the first keys were made once"
    );
}

/// From inside the sandbox: ready, alive for as long as it runs, stopping.
#[test]
fn each_daemon_tells_systemd_how_it_is() {
    let _cluster = beside_others();
    let mut stand = Stand::prepare(&Options { courier: true, ..Options::default() });
    for which in 0..4 {
        let name = format!("ot-notify-{}-{which}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Of a run that was cut off, by a process of the same number.
        let _ = fs::remove_file(&path);
        let heard = UnixDatagram::bind(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        heard.set_read_timeout(Some(REFUSES)).unwrap();
        let said = || {
            let mut buffer = [0; 64];
            // A receiver with a time limit is not restarted after a signal.
            let length = loop {
                match heard.recv(&mut buffer) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    heard => break heard.unwrap(),
                }
            };
            String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
        };
        let daemon = match which {
            0 => &mut stand.node(0).keyd,
            1 => &mut stand.node(0).authd,
            2 => stand.admind(),
            _ => stand.courier(),
        };
        daemon.set_env("NOTIFY_SOCKET", path.to_str().unwrap());
        daemon.set_env("WATCHDOG_USEC", "300000");
        daemon.start();
        assert_eq!(said(), "READY=1", "{}", daemon.name());
        for _ in 0..3 {
            assert_eq!(said(), "WATCHDOG=1", "{}", daemon.name());
        }
        assert!(daemon.stop().success(), "{} ends well after SIGTERM", daemon.name());
        let last = std::iter::repeat_with(said).find(|word| word != "WATCHDOG=1");
        assert_eq!(last.as_deref(), Some("STOPPING=1"), "{}", daemon.name());
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn each_daemon_is_restarted_alone_while_the_others_go_on() {
    let _cluster = beside_others();
    let mut stand = crate::populated(&Options::default());
    for daemon in [0, 1, 2, 0, 1, 2] {
        match daemon {
            0 => drop(stand.node(0).keyd.stop()),
            1 => drop(stand.node(0).authd.stop()),
            _ => drop(stand.admind().stop()),
        }
        match daemon {
            // authd says that it is ready without it, and the page that a person signs in on needs it.
            0 => stand.node(0).start_keyd(),
            _ => start(&mut stand, daemon),
        }
        stand.wait_ready();
        until("a person signs in", REFUSES, || {
            let party = app(&stand);
            let mut browser = stand.browser();
            let (code, pkce) = party.code(&mut browser, MEMBER);
            let response = party.redeem(browser.client(), &code, &pkce);
            // keyd may still be on its way; nothing else is an answer.
            assert!(
                matches!(response.status, 200 | 503),
                "{} {}",
                response.status,
                response.text()
            );
            (response.status == 200).then_some(())
        });
    }
}

/// Start a daemon that ought to refuse; its exit code and what it said.
fn refusal(daemon: &Daemon) -> (Option<i32>, String) {
    let mut child = daemon.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let what = format!("{} refuses", daemon.name());
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until(&what, REFUSES, || child.try_wait().unwrap())
    }));
    if ended.is_err() {
        child.kill().unwrap();
    }
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let code = ended.unwrap_or_else(|_| panic!("{what} in vain: {said}")).code();
    (code, said.lines().last().unwrap_or_default().to_owned())
}

/// A plane's daemon of a stand, on a port of its own.
fn plane(stand: &Stand, name: &'static str) -> Daemon {
    let mut daemon = stand.stranger(name, 0);
    daemon.set_env("OPENTRUSTY_PORT", &free_port().to_string());
    daemon
}

#[test]
fn a_plane_refuses_a_database_that_belongs_to_another_issuer() {
    let _cluster = beside_others();
    let stand = Stand::start(&Options::default());
    let before = owner(&stand, "SELECT id, url FROM issuers");
    for name in ["authd", "admind"] {
        let mut daemon = plane(&stand, name);
        daemon.set_env("OPENTRUSTY_ISSUER", "https://other.example.com");
        let (code, said) = refusal(&daemon);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.starts_with(&format!("{name}: ")) && said.contains("issuer"), "{said}");
    }
    assert_eq!(owner(&stand, "SELECT id, url FROM issuers"), before);
}

#[test]
fn a_plane_refuses_a_database_without_our_schema_and_says_what_to_run() {
    let _cluster = beside_others();
    let stand = Stand::prepare(&Options { migrated: false, ..Options::default() });
    for name in ["authd", "admind"] {
        let (code, said) = refusal(&plane(&stand, name));
        assert!(code.is_some_and(|code| code != 0), "{said}");
        assert!(said.contains("opentrusty migrate"), "{said}");
    }
    assert_eq!(owner(&stand, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
    // And does as it says.
    assert!(stand.cli().arg("migrate").stdout(Stdio::null()).status().unwrap().success());
    let mut stand = stand;
    stand.begin();
    people::populate(&stand);
    signs_in(&stand);
}

#[test]
fn a_plane_refuses_a_schema_of_another_release() {
    let _cluster = beside_others();
    let stand = Stand::prepare(&Options::default());
    let newest = owner(&stand, "SELECT max(version) FROM _sqlx_migrations");
    for (change, back, word) in [
        (
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'later', true, '', 0)"
                .to_owned(),
            "DELETE FROM _sqlx_migrations WHERE version = 9999".to_owned(),
            "newer",
        ),
        (
            format!("UPDATE _sqlx_migrations SET success = false WHERE version = {newest}"),
            format!("UPDATE _sqlx_migrations SET success = true WHERE version = {newest}"),
            "opentrusty migrate",
        ),
    ] {
        owner(&stand, &change);
        for name in ["authd", "admind"] {
            let (code, said) = refusal(&plane(&stand, name));
            assert!(code.is_some_and(|code| code != 0), "{said}");
            assert!(said.contains(word), "{word}: {said}");
        }
        owner(&stand, &back);
    }
    assert_eq!(owner(&stand, "SELECT count(*) FROM issuers"), "0", "a refusal writes nothing");
}

#[test]
fn f24_two_migrations_at_once_leave_one_schema() {
    let _cluster = beside_others();
    let stand = Stand::prepare(&Options { migrated: false, ..Options::default() });
    let spawn = || -> std::process::Child {
        let mut command: Command = stand.cli();
        command.arg("migrate").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let all: Vec<_> = (0..4).map(|_| spawn()).collect();
    for child in all {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let versions = owner(
        &stand,
        "SELECT count(*), count(DISTINCT version), bool_and(success) FROM _sqlx_migrations",
    );
    let fresh = bench()
        .psql(
            "opentrusty_template",
            "opentrusty_owner",
            "SELECT count(*), count(DISTINCT version), bool_and(success) FROM _sqlx_migrations",
        )
        .unwrap();
    assert_eq!(versions, fresh);
    let again = stand.cli().arg("migrate").output().unwrap();
    assert!(again.status.success());
    assert!(String::from_utf8_lossy(&again.stdout).contains("up to date"), "{again:?}");
}

#[test]
fn w186_a_search_path_that_somebody_left_for_a_role_leads_no_daemon_astray() {
    let _cluster = beside_others();
    let mut stand = crate::populated(&Options::default());
    // Empty tables of the right names, to be found first by whoever does not say where to look.
    let tables = ["clients", "users", "issuers", "sessions", "access_tokens", "_sqlx_migrations"];
    for table in tables {
        owner(
            &stand,
            &format!(
                "CREATE SCHEMA IF NOT EXISTS astray; CREATE TABLE astray.{table} (LIKE public.{table})"
            ),
        );
    }
    for role in ["opentrusty_authd", "opentrusty_admind"] {
        let change = format!(
            "GRANT USAGE ON SCHEMA astray TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA astray TO {role}"
        );
        owner(&stand, &change);
        let path = format!(
            "ALTER ROLE {role} IN DATABASE {} SET search_path = astray, public",
            stand.database()
        );
        stand.psql("postgres", &path).unwrap();
        let seen = stand.psql(role, "SELECT count(*) FROM _sqlx_migrations").unwrap();
        assert_eq!(seen, "0", "a session that says nothing is led astray");
    }
    stop_all(&mut stand);
    stand.begin();
    signs_in(&stand);
    for table in tables {
        assert_eq!(owner(&stand, &format!("SELECT count(*) FROM astray.{table}")), "0", "{table}");
    }
}
