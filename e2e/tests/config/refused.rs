//! W181: every way to misconfigure a daemon that we could think of.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use e2e::bench::{bench, is_root};

use crate::rig::{CANARY, Settings, fault, file, folder};

/// What a case does to good settings, and the words that the refusal must hold.
type Case = (&'static str, Settings, Vec<&'static str>);

/// Ask each with `--check`, unless its fault lies outside the file, and start each that was refused so far.
fn faults(daemon: &str, cases: Vec<Case>, looks_outside: bool) -> Vec<String> {
    let judge = |(name, settings, names): (_, Settings, Vec<_>)| {
        let checked = (!looks_outside).then(|| settings.check());
        let fault = checked
            .and_then(|ended| fault(daemon, &ended, &names))
            .or_else(|| fault(daemon, &settings.start(), &names));
        fault.map(|fault| format!("{daemon}, {name}: {fault}"))
    };
    cases.into_iter().filter_map(judge).collect()
}

#[track_caller]
fn refused(daemon: &str, cases: Vec<Case>) {
    let count = cases.len();
    assert!(count >= 5, "cases were lost");
    none(&faults(daemon, cases, false));
}

#[track_caller]
fn none(faults: &[String]) {
    assert!(
        faults.is_empty(),
        "{} not refused as it should be:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn set(daemon: &str, name: &'static str, key: &'static str, value: &str) -> Case {
    (name, Settings::of(daemon).set(key, value), vec![key])
}

fn without(daemon: &str, key: &'static str) -> Case {
    (key, Settings::of(daemon).without(key), vec![key])
}

/// What is the same for the two planes.
fn of_a_plane(daemon: &'static str) -> Vec<Case> {
    let mut cases: Vec<Case> =
        ["issuer", "tls_certificate", "tls_key", "database_url", "keyd_socket", "keyd_user"]
            .map(|key| without(daemon, key))
            .into();
    for issuer in [
        "http://localhost:8080",
        "https://localhost:8080/",
        "https://localhost:8080/t/a",
        "https://localhost:8080?a=b",
        "https://localhost:8080#a",
        "https://LOCALHOST:8080",
        "https://user@localhost:8080",
        "https://localhost:",
        "https://localhost:99999",
        "https://localhost:8080:8080",
        "https://",
        "localhost",
    ] {
        cases.push((
            issuer,
            Settings::of(daemon).set("issuer", &format!("{issuer:?}")),
            vec!["issuer"],
        ));
    }
    for (name, key, value) in [
        ("an address without a port", "listen", "\"127.0.0.1\""),
        ("a name where an address belongs", "listen", "\"localhost:8080\""),
        ("no port", "port", "70000"),
        ("another domain", "domain", "\"auth.example.com\""),
        ("not yes or no", "tls12", "\"yes\""),
        ("another database", "database_url", "\"mysql://u:hunter2@localhost/db\""),
        ("in clear", "database_url", "\"postgres://u:hunter2@db.example/db?sslmode=disable\""),
        ("unverified", "database_url", "\"postgres://u:hunter2@db.example/db?sslmode=require\""),
        ("no word on TLS", "database_url", "\"postgres://u:hunter2@db.example/db\""),
        ("no server", "database_url", "\"postgres:///db\""),
        ("an empty secret", "database_url", "\"\""),
        ("no connection", "database_connections", "0"),
        ("too many connections", "database_connections", "201"),
        ("fewer than none", "database_connections", "-1"),
        ("no age", "jwks_max_age_s", "0"),
        ("an unknown word", "sandbox", "\"maybe\""),
        ("a switch", "sandbox", "true"),
        ("an unknown word", "memory_lock", "\"perhaps\""),
        ("a number with a fraction", "database_connections", "1.5"),
        ("an array", "issuer", "[\"https://localhost\"]"),
        ("a table", "issuer", "{ url = \"https://localhost\" }"),
        ("a date", "listen", "2030-01-01"),
        ("everybody's origin", "console_origin", "\"*\""),
        ("more than an origin", "console_origin", "\"https://console.example.com/path\""),
        ("an origin in clear", "console_origin", "\"http://console.example.com\""),
    ] {
        cases.push(set(daemon, name, key, value));
    }
    cases.extend(of_the_file(daemon));
    cases
}

/// What is wrong with the file rather than with a value.
fn of_the_file(daemon: &'static str) -> [Case; 5] {
    let text = |name, text: &str, names: &[&'static str]| {
        (name, Settings::of(daemon).append(text), names.to_vec())
    };
    [
        text("an unknown key", "isuer = \"https://localhost\"\n", &["isuer"]),
        text("a section", "[authd]\nissuer = \"https://localhost\"\n", &["authd"]),
        text("a key given twice", "issuer = \"https://localhost\"\n", &["--config", "duplicate"]),
        text(
            "a line that is no setting",
            "database_url = postgres://u:hunter2@localhost/db\n",
            &["--config"],
        ),
        (
            "a password that everybody can read",
            Settings::of(daemon)
                .set("database_url", "\"postgres://u:hunter2@localhost/db\"")
                .mode(0o644),
            vec!["database_url"],
        ),
    ]
}

#[test]
fn w181_authd_refuses_bad_settings() {
    let mut cases = of_a_plane("authd");
    cases.push(without("authd", "admin_audience"));
    for (name, key, value) in [
        ("a day and a second", "access_token_lifetime", "86401"),
        ("none", "access_token_lifetime", "0"),
        ("a word", "access_token_lifetime", "\"1h\""),
        ("a minute less a second", "refresh_token_lifetime", "59"),
        ("ten minutes and a second", "auth_code_lifetime", "601"),
        ("an hour and a second", "id_token_lifetime", "3601"),
        ("none", "session_lifetime", "0"),
        ("none", "session_idle", "0"),
        ("less than argon2id needs", "password_memory_kib", "1024"),
        ("less than argon2id needs", "password_passes", "1"),
        ("none at once", "password_concurrency", "0"),
    ] {
        cases.push(set("authd", name, key, value));
    }
    refused("authd", cases);
}

#[test]
fn w181_admind_refuses_bad_settings() {
    let mut cases = of_a_plane("admind");
    cases.push(without("admind", "api"));
    for (name, key, value) in [
        ("in clear", "api", "\"http://localhost:8081\""),
        ("a path", "api", "\"https://localhost:8081/api\""),
        ("no port number", "api", "\"https://localhost:x\""),
        ("never", "key_rotation_days", "0"),
        ("longer than a certificate lives", "key_rotation_days", "3651"),
        ("authd's", "password_memory_kib", "19456"),
        ("authd's", "access_token_lifetime", "300"),
    ] {
        cases.push(set("admind", name, key, value));
    }
    refused("admind", cases);
}

#[test]
fn w181_keyd_refuses_bad_settings() {
    let mut cases: Vec<Case> =
        ["authd_user", "admind_user", "pkcs11_module", "token_label", "admin_audience"]
            .map(|key| without("keyd", key))
            .into();
    for (name, key, value) in [
        ("a day and a second", "access_lifetime_max_s", "86401"),
        ("more than five minutes", "admin_lifetime_max_s", "301"),
        ("an hour and a second", "id_lifetime_max_s", "3601"),
        ("none", "id_lifetime_max_s", "0"),
        ("a day and a second", "jwks_max_age_s", "86401"),
        ("more than five minutes", "clock_skew_s", "301"),
        ("none", "workers", "0"),
        ("too many", "workers", "65"),
        ("a relative path", "sign_socket", "\"socket\""),
        ("a relative path", "pin_file", "\"pin\""),
        ("no port", "module_tcp_ports", "[0]"),
        ("a name", "module_tcp_ports", "[\"https\"]"),
        ("an unknown word", "sandbox", "\"maybe\""),
        ("an empty secret", "secret_key", "\"\""),
        ("an unknown key", "pin", "\"hunter2\""),
        ("a setting of authd", "issuer", "\"https://localhost\""),
    ] {
        cases.push(set("keyd", name, key, value));
    }
    cases.extend([
        (
            "a short root",
            Settings::of("keyd").env("OPENTRUSTY_SECRET_KEY", "hunter2-hunter2"),
            vec!["secret_key", "32"],
        ),
        (
            "a short root in the file",
            Settings::of("keyd").set("secret_key", "\"hunter2-hunter2\"").mode(0o640),
            vec!["secret_key", "32"],
        ),
    ]);
    refused("keyd", cases);
}

#[test]
fn w181_what_settings_point_at_must_be_there_and_closed_to_others() {
    none(&[files_of_a_plane("authd"), files_of_a_plane("admind"), files_of_keyd()].concat());
}

fn missing(daemon: &str, key: &'static str) -> Case {
    set(daemon, "a file that is not there", key, "\"/no/such/file\"")
}

fn at(daemon: &str, name: &'static str, key: &'static str, path: &Path) -> Case {
    set(daemon, name, key, &format!("{:?}", path.display().to_string()))
}

fn files_of_a_plane(daemon: &'static str) -> Vec<String> {
    let tls = bench().dir().join("tls");
    let key = fs::read(tls.join(daemon).join("key.pem")).unwrap();
    let other = if daemon == "authd" { "admind" } else { "authd" };
    let foreign = file(&fs::read(tls.join(other).join("certificate.pem")).unwrap(), 0o644);
    let cases = vec![
        missing(daemon, "tls_certificate"),
        missing(daemon, "tls_key"),
        at(daemon, "a key that everybody can read", "tls_key", &file(&key, 0o644)),
        at(daemon, "nothing in it", "tls_certificate", &file(b"", 0o644)),
        at(daemon, "no PEM", "tls_certificate", &file(b"hunter2", 0o644)),
        at(daemon, "another key's", "tls_certificate", &foreign),
        set(daemon, "nobody", "keyd_user", "\"opentrusty-nobody-such\""),
    ];
    faults(daemon, cases, true)
}

fn files_of_keyd() -> Vec<String> {
    let pin = |content: &[u8], mode| {
        let path = file(content, mode);
        if is_root() {
            assert!(
                Command::new("chown").arg("opentrusty-keyd").arg(&path).status().unwrap().success()
            );
        }
        path
    };
    let long = "\"hunter2-hunter2-hunter2-hunter2-hunter2\"";
    let cases = vec![
        missing("keyd", "pkcs11_module"),
        missing("keyd", "pin_file"),
        without("keyd", "pin_file"),
        at("keyd", "a PIN that everybody can read", "pin_file", &pin(CANARY.as_bytes(), 0o444)),
        at("keyd", "a PIN that a group can read", "pin_file", &pin(CANARY.as_bytes(), 0o440)),
        at("keyd", "an empty PIN", "pin_file", &pin(b"\n", 0o400)),
        set("keyd", "nobody", "authd_user", "\"opentrusty-nobody-such\""),
        set("keyd", "nobody", "admind_user", "\"opentrusty-nobody-such\""),
        (
            "a root that everybody can read",
            Settings::of("keyd").set("secret_key", long).mode(0o644),
            vec!["secret_key"],
        ),
    ];
    faults("keyd", cases, true)
}

#[test]
fn w181_a_settings_file_must_be_one() {
    let folder = folder().join("config");
    let huge = file(&vec![b'#'; 300 * 1024], 0o644);
    let latin = file(b"issuer = \"https://localhost\" # caf\xe9\n", 0o644);
    let closed = file(b"issuer = \"https://localhost\"\n", 0o000);
    let missing = folder.join("nothing-here.toml");
    for daemon in ["authd", "admind", "keyd"] {
        for path in [&folder, &huge, &latin, &closed, &missing] {
            let ended = crate::rig::start_with(daemon, path);
            assert_eq!(fault(daemon, &ended, &["--config"]), None, "{daemon} {}", path.display());
        }
    }
    fs::set_permissions(closed, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn w181_variables_that_cannot_apply_are_refused_with_what_replaces_them() {
    for daemon in ["authd", "admind", "keyd"] {
        let with = |name: &'static str, value: &str, replacement: &'static str| {
            (name, Settings::of(daemon).env(name, value), vec![name, replacement])
        };
        let remote = "postgresql://user:hunter2@db.example:5432/oryxid?sslmode=disable";
        refused(
            daemon,
            vec![
                with("REDIS_URL", "rediss://:hunter2@host:6379", "PostgreSQL"),
                with("JWT_PRIVATE_KEY_PATH", "/secrets/private_key.pem", "PKCS#11"),
                with("JWT_PUBLIC_KEY_PATH", "/secrets/public_key.pem", "PKCS#11"),
                with("DATABASE_URL", remote, "sslmode=verify-full"),
                with("OPENTRUSTY_DATABASE_URL", remote, "sslmode=verify-full"),
            ],
        );
    }
}

#[test]
fn w181_two_names_of_one_setting_with_two_values_are_both_named() {
    let local = |user: &str| format!("postgres://{user}:hunter2@localhost/db");
    for (daemon, one, other) in [
        ("authd", ("OAUTH_ISSUER", "https://a.example"), ("ISSUER", "https://b.example")),
        (
            "authd",
            ("OAUTH_ISSUER", "https://a.example"),
            ("OPENTRUSTY_ISSUER", "https://b.example"),
        ),
        ("authd", ("BASE_URL", "https://a.example"), ("ISSUER", "https://b.example")),
        ("authd", ("ACCESS_TOKEN_LIFETIME", "60"), ("OPENTRUSTY_ACCESS_TOKEN_LIFETIME", "61")),
        ("authd", ("OPENTRUSTY_PORT", "9001"), ("OPENTRUSTY_AUTH_PORT", "9002")),
        ("authd", ("DATABASE_URL", &local("a")), ("OPENTRUSTY_DATABASE_URL", &local("b"))),
        ("admind", ("DATABASE_URL", &local("a")), ("OPENTRUSTY_DATABASE_URL", &local("b"))),
        ("admind", ("OPENTRUSTY_PORT", "9001"), ("OPENTRUSTY_ADMIN_PORT", "9002")),
        ("admind", ("OAUTH_ISSUER", "https://a.example"), ("ISSUER", "https://b.example")),
        ("keyd", ("SOFTHSM2_CONF", "/a"), ("OPENTRUSTY_MODULE_CONFIG", "/b")),
    ] {
        let settings = Settings::of(daemon).env(one.0, one.1).env(other.0, other.1);
        assert_eq!(fault(daemon, &settings.start(), &[one.0, other.0]), None);
        // Two names of one value are no conflict.
        let agree = Settings::of(daemon).env(one.0, one.1).env(other.0, one.1).check();
        assert_eq!(agree.code, Some(0), "{agree:?}");
    }
}
