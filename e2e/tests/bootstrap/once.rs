//! `opentrusty bootstrap` runs once, whoever runs it and however often at a time.

use std::process::Stdio;

use e2e::bench::bench;
use e2e::people::{self, MEMBER};
use e2e::{Options, Stand};

use crate::{ADMIN, bootstrap, enrolled, link, owner, succeeds, text};

/// Everything that is stored, audit included.
fn digest(stand: &Stand) -> String {
    let tables =
        owner(stand, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1");
    let parts: Vec<String> = tables
        .lines()
        .filter(|table| !table.starts_with("audit_events_"))
        .map(|table| format!("SELECT '{table}', md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t"))
        .collect();
    owner(stand, &parts.join(" UNION ALL "))
}

#[test]
fn w159_before_bootstrap_there_is_no_account_and_no_client() {
    let stand = Stand::start(&Options::default());
    for table in [
        "users",
        "credentials",
        "clients",
        "role_assignments",
        "installation",
        "enrolments",
        "tenants",
    ] {
        assert_eq!(owner(&stand, &format!("SELECT count(*) FROM {table}")), "0", "{table}");
    }
}

#[test]
fn w159_bootstrap_makes_one_administrator_two_clients_and_one_link() {
    let mut stand = Stand::prepare(&Options::default());
    // Before any daemon has ever run.
    let printed = succeeds(&bootstrap(&stand).output().unwrap());
    let link = link(&stand, &printed);
    let token = link.split_once("token=").unwrap().1;
    assert!(token.len() >= 43, "256 bits: {token}");
    assert_eq!(owner(&stand, "SELECT email FROM users"), ADMIN);
    assert_eq!(
        owner(&stand, "SELECT role, scope, tenant_id IS NULL FROM role_assignments"),
        "platform_admin|platform|t"
    );
    assert_eq!(
        owner(&stand, "SELECT client_id, tenant_id IS NULL, status FROM clients ORDER BY 1"),
        "opentrusty-cli|t|active\nopentrusty-console|t|active"
    );
    assert_eq!(owner(&stand, "SELECT count(*) FROM client_secrets"), "0", "both are public");
    assert_eq!(owner(&stand, "SELECT url FROM issuers"), stand.issuer());
    assert_eq!(
        owner(&stand, "SELECT i.url FROM installation n JOIN issuers i ON i.id = n.issuer_id"),
        stand.issuer()
    );
    assert_eq!(
        owner(
            &stand,
            "SELECT count(*), bool_and(used_at IS NULL), max(expires_at) <= now() + interval '1 hour' FROM enrolments"
        ),
        "1|t|t"
    );
    let audited = "SELECT plane, type, actor_type, db_role FROM audit_events WHERE type = 'platform.bootstrapped'";
    assert_eq!(owner(&stand, audited), "owner|platform.bootstrapped|system|opentrusty_owner");
    // The link is nowhere but on the screen.
    let dump = owner(
        &stand,
        "SELECT e::text FROM enrolments e UNION ALL SELECT a::text FROM audit_events a UNION ALL SELECT u::text FROM users u",
    );
    assert!(!dump.contains(token), "{dump}");
    // And the daemons take it from there.
    stand.begin();
    assert_eq!(owner(&stand, "SELECT count(*) FROM issuers"), "1");
    stand.client().get(&link).expect(200);
}

#[test]
fn w159_a_second_bootstrap_changes_nothing_and_fails() {
    let mut stand = Stand::start(&Options::default());
    enrolled(&stand);
    // Nobody else writes meanwhile.
    stand.admind().kill9();
    stand.node(0).kill9();
    let before = digest(&stand);
    for arguments in [
        vec!["--email", ADMIN],
        vec!["--email", "second@example.com"],
        vec!["--email", "second@example.com", "--console-origin", "https://evil.example"],
        vec!["--email", "second@example.com", "--issuer", "https://other.example.com"],
    ] {
        let output = stand.cli().arg("bootstrap").args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stderr));
        assert!(
            !text(&output.stdout).contains("token="),
            "{arguments:?}: {}",
            text(&output.stdout)
        );
        assert_eq!(text(&output.stderr).lines().count(), 1, "{}", text(&output.stderr));
        assert_eq!(digest(&stand), before, "{arguments:?}");
    }
}

#[test]
fn w159_of_many_bootstraps_at_once_one_succeeds() {
    let stand = Stand::prepare(&Options::default());
    let all: Vec<_> = (0..8)
        .map(|number| {
            let email = format!("admin{number}@example.com");
            let mut command = stand.cli();
            command.args(["bootstrap", "--email", &email]);
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let outputs: Vec<_> = all.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let done = outputs.iter().filter(|output| output.status.success()).count();
    let said: Vec<String> = outputs.iter().map(|output| text(&output.stderr)).collect();
    assert_eq!(done, 1, "{said:?}");
    for output in outputs.iter().filter(|output| !output.status.success()) {
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        assert!(!text(&output.stdout).contains("token="), "{}", text(&output.stdout));
    }
    for (table, count) in [
        ("users", "1"),
        ("role_assignments", "1"),
        ("installation", "1"),
        ("enrolments", "1"),
        ("clients", "2"),
    ] {
        assert_eq!(owner(&stand, &format!("SELECT count(*) FROM {table}")), count, "{table}");
    }
}

#[test]
fn an_account_that_has_a_password_gets_the_role_and_no_link() {
    let stand = Stand::start(&Options::default());
    people::populate(&stand);
    let before = owner(&stand, "SELECT password_hash FROM credentials ORDER BY 1");
    let output = stand.cli().args(["bootstrap", "--email", MEMBER.0]).output().unwrap();
    let printed = succeeds(&output);
    assert!(!printed.contains("token="), "{printed}");
    assert_eq!(owner(&stand, "SELECT count(*) FROM enrolments"), "0");
    assert_eq!(owner(&stand, "SELECT password_hash FROM credentials ORDER BY 1"), before);
    let role = format!(
        "SELECT count(*) FROM role_assignments a JOIN users u ON u.id = a.user_id
        WHERE a.role = 'platform_admin' AND u.email = '{}'",
        MEMBER.0
    );
    assert_eq!(owner(&stand, &role), "1");
}

#[test]
fn bootstrap_refuses_another_issuer_an_empty_schema_and_a_missing_address() {
    let mut stand = Stand::start(&Options::default());
    stand.admind().kill9();
    stand.node(0).kill9();
    let before = digest(&stand);
    let other = bootstrap(&stand).args(["--issuer", "https://other.example.com"]).output().unwrap();
    assert_eq!(other.status.code(), Some(1), "{}", text(&other.stderr));
    assert!(text(&other.stderr).contains("issuer"), "{}", text(&other.stderr));
    let plain = bootstrap(&stand).args(["--issuer", "http://localhost:8080"]).output().unwrap();
    assert!(matches!(plain.status.code(), Some(64 | 78)), "{plain:?}");
    let nobody = stand.cli().arg("bootstrap").output().unwrap();
    assert_eq!(nobody.status.code(), Some(78), "{}", text(&nobody.stderr));
    assert!(
        text(&nobody.stderr).contains("OPENTRUSTY_BOOTSTRAP_ADMIN_EMAIL"),
        "{}",
        text(&nobody.stderr)
    );
    for email in [
        "",
        "nobody",
        "a b@example.com",
        "@example.com",
        &format!("{}@example.com", "a".repeat(300)),
    ] {
        let output = stand.cli().args(["bootstrap", "--email", email]).output().unwrap();
        assert!(!output.status.success(), "{email:?} was taken");
    }
    assert_eq!(digest(&stand), before);

    bench().database("never_migrated", None);
    let empty = bootstrap(&stand).env("OPENTRUSTY_PG_DATABASE", "never_migrated").output().unwrap();
    assert_eq!(empty.status.code(), Some(1), "{empty:?}");
    assert!(text(&empty.stderr).contains("opentrusty migrate"), "{}", text(&empty.stderr));
    // The variable of the original system names the same thing.
    let output =
        stand.cli().arg("bootstrap").env("OT_BOOTSTRAP_ADMIN_EMAIL", ADMIN).output().unwrap();
    succeeds(&output);
}
