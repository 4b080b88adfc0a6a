//! The variables of seeds/000, 001, 003 and 004 as names of our settings: each is read, wins over the file,
//! and is refused by its own name when its value is bad.

use e2e::{Options, Party, Stand};
use serde_json::json;

use crate::rig::{Settings, fault};

#[test]
fn the_names_of_the_original_systems_are_read_and_win_over_the_file() {
    let database = "postgres:///opentrusty?host=/run/postgresql&user=opentrusty_authd";
    for (daemon, variable, key, good, bad) in [
        ("authd", "OPENTRUSTY_PORT", "port", "8080", "port"),
        ("authd", "OPENTRUSTY_AUTH_PORT", "port", "8080", "port"),
        ("authd", "OPENTRUSTY_AUTH_DOMAIN", "domain", "localhost", "auth.example.com"),
        ("authd", "OPENTRUSTY_DATABASE_URL", "database_url", database, "mysql://x"),
        ("authd", "DATABASE_URL", "database_url", database, "mysql://x"),
        ("authd", "ISSUER", "issuer", "https://localhost:8080", "http://localhost:8080"),
        ("authd", "OAUTH_ISSUER", "issuer", "https://localhost:8080", "http://localhost:8080"),
        ("authd", "BASE_URL", "issuer", "https://localhost:8080", "http://localhost:8080"),
        ("authd", "ACCESS_TOKEN_LIFETIME", "access_token_lifetime", "3600", "86401"),
        ("authd", "REFRESH_TOKEN_LIFETIME", "refresh_token_lifetime", "2592000", "1"),
        ("authd", "AUTH_CODE_LIFETIME", "auth_code_lifetime", "600", "601"),
        ("authd", "DEVICE_CODE_LIFETIME", "device_code_lifetime", "3600", "3601"),
        ("authd", "CIBA_POLL_INTERVAL", "ciba_poll_interval", "60", "61"),
        ("admind", "OPENTRUSTY_PORT", "port", "8081", "port"),
        ("admind", "OPENTRUSTY_ADMIN_PORT", "port", "8081", "port"),
        ("admind", "OPENTRUSTY_ADMIN_DOMAIN", "domain", "localhost", "api.example.com"),
        ("admind", "OPENTRUSTY_DATABASE_URL", "database_url", database, "mysql://x"),
        ("admind", "DATABASE_URL", "database_url", database, "mysql://x"),
        ("admind", "ISSUER", "issuer", "https://localhost:8080", "http://localhost:8080"),
        ("admind", "OAUTH_ISSUER", "issuer", "https://localhost:8080", "http://localhost:8080"),
        ("keyd", "SOFTHSM2_CONF", "module_config", "/etc/softhsm2.conf", "softhsm2.conf"),
    ] {
        let given = Settings::of(daemon).without(key).env(variable, good).check();
        assert_eq!(given.code, Some(0), "{daemon} {variable}={good}: {}", given.stderr);
        // The file's own line is good: that this is refused shows that the variable counted.
        let refused = Settings::of(daemon).env(variable, bad).check();
        let named = fault(daemon, &refused, &[]);
        assert_eq!(named, None, "{daemon} {variable}={bad}");
        let line = refused.stderr;
        assert!(line.contains(key) || line.contains(variable), "{daemon} {variable}={bad}: {line}");
    }
}

#[test]
fn every_variable_of_the_original_systems_at_once_is_no_obstacle() {
    let common = |daemon: &str| {
        Settings::of(daemon)
            .env("OPENTRUSTY_SECRET_KEY", "0123456789abcdef0123456789abcdef")
            .env("OAUTH_ISSUER", "https://localhost:8080")
            .env("ISSUER", "https://localhost:8080")
            .env("BASE_URL", "https://localhost:8080")
            .env("ACCESS_TOKEN_LIFETIME", "3600")
            .env("REFRESH_TOKEN_LIFETIME", "2592000")
            .env("AUTH_CODE_LIFETIME", "600")
            .env("DEVICE_CODE_LIFETIME", "1800")
            .env("CIBA_POLL_INTERVAL", "5")
    };
    let auth = common("authd")
        .env("OPENTRUSTY_MODE", "auth")
        .env("OPENTRUSTY_AUTH_PORT", "8080")
        .env("OPENTRUSTY_AUTH_DOMAIN", "localhost");
    let admin = common("admind")
        .env("OPENTRUSTY_MODE", "admin")
        .env("OPENTRUSTY_ADMIN_PORT", "8081")
        .env("OPENTRUSTY_ADMIN_DOMAIN", "localhost");
    for settings in [auth, admin, common("keyd")] {
        let ended = settings.check();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

#[test]
fn an_empty_variable_counts_as_absent() {
    for (daemon, variable) in [
        ("authd", "OAUTH_ISSUER"),
        ("authd", "REDIS_URL"),
        ("admind", "DATABASE_URL"),
        ("keyd", "OPENTRUSTY_SECRET_KEY"),
    ] {
        let ended = Settings::of(daemon).env(variable, "").check();
        assert_eq!(ended.code, Some(0), "{variable}: {}", ended.stderr);
    }
}

#[test]
fn an_alias_changes_what_is_issued() {
    let mut stand = Stand::prepare(&Options::default());
    stand.node(0).authd.set_env("ACCESS_TOKEN_LIFETIME", "77");
    stand.begin();
    stand.seed(&json!({
        "tenants": [{ "slug": "t", "name": "T" }],
        "users": [{ "email": "a@example.com", "password": "correct horse battery",
                    "memberships": [{ "tenant": "t", "roles": [] }] }],
        "clients": [{ "tenant": "t", "client_id": "app", "client_secret": "0123456789abcdef0123456789abcdef",
                      "redirect_uris": ["https://app.example.com/cb"], "scope": "openid",
                      "skip_authorization": true }],
    }));
    let party = Party {
        issuer: stand.issuer().to_owned(),
        client_id: "app".into(),
        secret: Some("0123456789abcdef0123456789abcdef".into()),
        redirect_uri: "https://app.example.com/cb".into(),
        scope: "openid".into(),
    };
    let tokens = party.tokens(&mut stand.browser(), ("a@example.com", "correct horse battery"));
    assert_eq!(tokens["expires_in"], 77);
    let claims = e2e::tokens::claims(tokens["access_token"].as_str().unwrap());
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 77);
}
