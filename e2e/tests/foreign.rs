//! Relying parties that nobody here wrote: three client libraries do the code flow, use what comes of it, and go by
//! every other grant that they know.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail where the test fails"
)]

#[path = "../foreign/key.rs"]
mod key;
#[path = "../foreign/program.rs"]
mod program;

use std::sync::OnceLock;
use std::time::Duration;

use e2e::bench::until;
use e2e::{Options, Stand};
use key::Key;
use program::Program;
use serde_json::{Value, json};

const USER: &str = "user@example.com";
const PASSWORD: &str = "four plain words suffice";
const SECRET: &str = "a-client-secret-of-enough-characters-0123456789";
/// What HTTP Basic can only carry when both sides form-encode it first (RFC 6749 §2.3.1).
const CROOKED_SECRET: &str = "a client+secret%41 of: enough/characters=&ä 0123";
const REDIRECT_URI: &str = "https://app.example.com/callback";
const POST_LOGOUT_URI: &str = "https://app.example.com/signed-out";
const SCOPE: &str = "openid profile email offline_access";
/// What a client may ask for itself, and the audience of tokens that it gets.
const OWN_SCOPE: &str = "orders:read";
const AUDIENCE: &str = "https://orders.example.com";
/// What a token for that audience may be exchanged for.
const TARGET: &str = "https://ledger.example.com";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A client. Each test has one of its own, so that each is asked for consent once.
#[derive(Clone, Copy)]
struct Party {
    id: &'static str,
    method: &'static str,
    algorithm: &'static str,
    secret: &'static str,
    /// Registered for more than the code flow.
    grants: bool,
}

const BASIC: Party = Party {
    id: "with-basic",
    method: "client_secret_basic",
    algorithm: "RS256",
    secret: CROOKED_SECRET,
    grants: false,
};
const POST: Party = Party { id: "with-post", method: "client_secret_post", ..BASIC };
const PUBLIC: Party = Party { id: "public", method: "none", ..BASIC };
const FORM_POST: Party = Party { id: "by-form", ..BASIC };
const ES256: Party = Party { id: "es256", algorithm: "ES256", ..BASIC };
// Authlib puts the secret into the header as it is.
const AUTHLIB: Party = Party { id: "authlib", secret: SECRET, ..BASIC };
const CRATE: Party = Party { id: "openidconnect", ..BASIC };
const BY_KEY: Party = Party { id: "with-key", method: "private_key_jwt", ..BASIC };
const AUTHLIB_BY_KEY: Party = Party { id: "authlib-with-key", ..BY_KEY };
const GRANTS: Party = Party { id: "with-grants", grants: true, ..BY_KEY };
const DEFERRED: Party = Party { id: "with-deferred", ..GRANTS };
const AUTHLIB_GRANTS: Party = Party { id: "authlib-grants", ..GRANTS };
const CRATE_GRANTS: Party = Party { id: "openidconnect-grants", grants: true, ..BASIC };

/// What clients prove that have no secret.
fn key() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(|| Key::new("foreign-1"))
}

/// One installation for all tests here, with one person and all clients.
fn stand() -> &'static Stand {
    static STAND: OnceLock<Stand> = OnceLock::new();
    STAND.get_or_init(|| {
        let stand = Stand::start(&Options::default());
        let by_grants = [GRANTS, DEFERRED, AUTHLIB_GRANTS, CRATE_GRANTS];
        let parties = [
            &[BASIC, POST, PUBLIC, FORM_POST, ES256, AUTHLIB, CRATE, BY_KEY, AUTHLIB_BY_KEY][..],
            &by_grants,
        ];
        stand.seed(&json!({
            "tenants": [{"slug": "example", "name": "Example"}],
            "users": [{
                "email": USER, "password": PASSWORD, "email_verified": true,
                "name": "Given Family", "given_name": "Given", "family_name": "Family",
                "memberships": [{"tenant": "example", "roles": []}],
            }],
            "scopes": [{"tenant": "example", "name": OWN_SCOPE, "description": "Read your orders"}],
            "audiences": [
                {"tenant": "example", "identifier": AUDIENCE, "scopes": [OWN_SCOPE]},
                {"tenant": "example", "identifier": TARGET, "scopes": [OWN_SCOPE]},
            ],
            "clients": parties.concat().into_iter().map(Party::seed).collect::<Vec<_>>(),
            "exchange_policies": by_grants.map(|party| json!({
                "client_id": party.id, "subject_audience": AUDIENCE, "target_audience": TARGET,
                "mode": "delegation",
            })),
        }));
        // A library that reads the metadata twice would find what became ready in between.
        stand.wait_for_keys();
        let metadata = format!("{}/.well-known/openid-configuration", stand.issuer());
        until("every algorithm is offered", Duration::from_secs(60), || {
            let metadata = stand.client().get(&metadata).expect(200).json();
            let offered = metadata["id_token_signing_alg_values_supported"].as_array()?.len();
            (offered == 5).then_some(())
        });
        stand
    })
}

impl Party {
    fn seed(self) -> Value {
        let mut client = json!({
            "tenant": "example",
            "client_id": self.id,
            "client_name": "Relying Party",
            "redirect_uris": [REDIRECT_URI],
            "post_logout_redirect_uris": [POST_LOGOUT_URI],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": self.method,
            "id_token_signed_response_alg": self.algorithm,
            "scope": SCOPE,
        });
        if self.has_secret() {
            client["client_secret"] = self.secret.into();
        } else if !self.is_public() {
            client["jwks"] = key().jwks();
        }
        if self.grants {
            client["grant_types"] = json!([
                "authorization_code",
                "refresh_token",
                "client_credentials",
                "urn:ietf:params:oauth:grant-type:token-exchange",
                "urn:ietf:params:oauth:grant-type:device_code",
                "urn:openid:params:grant-type:ciba",
            ]);
            client["scope"] = format!("{SCOPE} {OWN_SCOPE}").into();
            client["audiences"] = json!([AUDIENCE]);
        }
        client
    }

    fn is_public(self) -> bool {
        self.method == "none"
    }

    fn has_secret(self) -> bool {
        self.method.starts_with("client_secret")
    }

    /// Run a program as this client, and check what every library must have seen.
    fn run(self, program: Program) -> Value {
        let seen = self.told(program).run();
        self.assert_signed_in(&seen);
        self.assert_ended(&seen);
        seen
    }

    /// Tell a program who it is.
    fn told(self, program: Program) -> Program {
        let mut program = program
            .with("CLIENT_ID", self.id)
            .with("AUTH_METHOD", self.method)
            .with("ID_TOKEN_ALG", self.algorithm)
            .with("REDIRECT_URI", REDIRECT_URI)
            .with("POST_LOGOUT_URI", POST_LOGOUT_URI)
            .with("USER", USER)
            .with("PASSWORD", PASSWORD);
        if self.has_secret() {
            program = program.with("CLIENT_SECRET", self.secret);
        } else if !self.is_public() {
            program = program.with("KEY", key().file()).with("KEY_ID", key().id());
        }
        program
    }

    /// Run a program that goes by other grants, and check what every library must have seen.
    fn run_grants(self, program: Program) -> Value {
        let program = program.with("OWN_SCOPE", OWN_SCOPE).with("TARGET", TARGET);
        let seen = self.told(program).run();
        let own = &seen["for_itself"];
        // RFC 6749 §4.4.3: "A refresh token SHOULD NOT be included."
        assert_eq!(
            own["members"],
            json!(["access_token", "expires_in", "scope", "token_type"]),
            "{seen}"
        );
        assert_eq!(own["before"]["active"], true, "{seen}");
        assert_eq!(own["before"]["client_id"], self.id, "{seen}");
        assert_eq!(own["before"]["scope"], OWN_SCOPE, "{seen}");
        assert_eq!(own["after"], json!({"active": false}), "{seen}");
        assert_eq!(own["about_a_person"], "invalid_scope", "{seen}");
        seen
    }

    fn assert_pushed(seen: &Value) {
        let pushed = &seen["pushed"];
        // RFC 9126 §4: nothing of the request passes through the browser.
        assert_eq!(pushed["carried"], json!(["client_id", "request_uri"]), "{seen}");
        assert_eq!(pushed["response"], json!(["code", "iss", "state"]), "{seen}");
    }

    fn assert_exchanged(self, seen: &Value) {
        let exchanged = &seen["exchanged"];
        assert_eq!(exchanged["issued"], ACCESS_TOKEN, "{seen}");
        let before = &exchanged["before"];
        assert_eq!(before["active"], true, "{seen}");
        assert_eq!(before["aud"], json!([TARGET]), "{seen}");
        // RFC 8693 §4.1: the person, and who acts for the person.
        assert_eq!(before["sub"], seen["pushed"]["subject"], "{seen}");
        assert_eq!(before["act"]["client_id"], self.id, "{seen}");
        assert_eq!(exchanged["elsewhere"], "invalid_target", "{seen}");
        assert_eq!(exchanged["after"], json!({"active": false}), "{seen}");
        assert_eq!(exchanged["dead_subject"], "invalid_request", "{seen}");
    }

    fn assert_signed_in(self, seen: &Value) {
        assert_eq!(seen["forms"], json!(["login", "consent"]), "{seen}");
        assert_eq!(seen["response"], json!(["code", "iss", "state"]), "{seen}");
        let claims = &seen["id_token"];
        assert_eq!(claims["iss"], stand().issuer(), "{seen}");
        // A string as it is sent, a list as the crate keeps it.
        assert!(claims["aud"] == self.id || claims["aud"] == json!([self.id]), "{seen}");
        let info = &seen["userinfo"];
        assert_eq!(info["sub"], claims["sub"], "{seen}");
        assert_eq!(info["email"], USER, "{seen}");
        assert_eq!(info["email_verified"], true, "{seen}");
        assert_eq!(info["name"], "Given Family", "{seen}");
        let mut granted: Vec<&str> = seen["scope"].as_str().expect("a scope").split(' ').collect();
        granted.sort_unstable();
        assert_eq!(granted, ["email", "offline_access", "openid", "profile"], "{seen}");
    }

    fn assert_ended(self, seen: &Value) {
        for what in ["rotated", "access_token_changed", "same_subject"] {
            assert_eq!(seen["refresh"][what], true, "{what}: {seen}");
        }
        if !self.is_public() {
            let before = &seen["introspection"]["before"];
            assert_eq!(before["active"], true, "{seen}");
            assert_eq!(before["iss"], stand().issuer(), "{seen}");
            assert_eq!(before["client_id"], self.id, "{seen}");
            // RFC 7662 §2.2: nothing else is said of a token that is not live.
            assert_eq!(seen["introspection"]["after"], json!({"active": false}), "{seen}");
        }
        assert_eq!(seen["revoked_refresh"], "invalid_grant", "{seen}");
        assert_eq!(seen["silent_forms"], json!([]), "{seen}");
        assert_eq!(
            seen["logout"],
            json!({"forms": [], "state": true, "uri": POST_LOGOUT_URI, "silent": "login_required"}),
            "{seen}"
        );
    }
}

/// openid-client checks the most: `iss` of the response (RFC 9207), nonce, the signature by `jwks_uri`.
fn openid_client(party: Party, response_mode: &str) {
    let program =
        Program::new(stand(), "node", &["openid-client.mjs"]).with("RESPONSE_MODE", response_mode);
    let seen = party.run(program);
    assert_eq!(seen["response_mode"], response_mode, "{seen}");
    assert_eq!(seen["id_token_alg"], party.algorithm, "{seen}");
    // RFC 9068 §2.1: nobody can take an access token for an ID token, or the reverse.
    assert_eq!(seen["access_token_header"]["typ"], "at+jwt", "{seen}");
    assert_eq!(seen["at_hash"], true, "{seen}");
    assert_eq!(seen["refresh"]["at_hash"], true, "{seen}");
    assert_eq!(seen["same_subject"], true, "{seen}");
    assert_eq!(seen["metadata_agree"], true, "RFC 8414 and OIDC Discovery: {seen}");
    let dead = json!({
        "code": "invalid_grant", "access_token": "invalid_token", "refresh_token": "invalid_grant",
    });
    assert_eq!(seen["replay"], dead, "{seen}");
}

#[test]
fn openid_client_signs_in_with_client_secret_basic() {
    openid_client(BASIC, "query");
}

#[test]
fn openid_client_signs_in_with_client_secret_post() {
    openid_client(POST, "query");
}

#[test]
fn openid_client_signs_in_as_a_public_client() {
    openid_client(PUBLIC, "query");
}

#[test]
fn openid_client_takes_a_form_post_response() {
    openid_client(FORM_POST, "form_post");
}

#[test]
fn openid_client_takes_es256_id_tokens() {
    openid_client(ES256, "query");
}

#[test]
fn openid_client_proves_itself_by_a_key() {
    openid_client(BY_KEY, "query");
}

#[test]
fn openid_client_pushes_requests_and_exchanges_tokens() {
    let seen = GRANTS.run_grants(Program::new(stand(), "node", &["openid-client-grants.mjs"]));
    Party::assert_pushed(&seen);
    GRANTS.assert_exchanged(&seen);
    assert_eq!(seen["pushed"]["forms"], json!(["login", "consent"]), "{seen}");
    // RFC 9126 §7.3: a reference is good once.
    assert_eq!(seen["pushed"]["again"], 400, "{seen}");
}

#[test]
fn openid_client_waits_for_people_at_other_devices() {
    let seen = DEFERRED.told(Program::new(stand(), "node", &["openid-client-deferred.mjs"])).run();
    let device = json!([
        "device_code",
        "expires_in",
        "interval",
        "user_code",
        "verification_uri",
        "verification_uri_complete",
    ]);
    let used = json!({
        "members": ["access_token", "expires_in", "id_token", "refresh_token", "scope", "token_type"],
        "scope": seen["approved"]["used"]["scope"], "audience": DEFERRED.id, "nonce": null,
        "email": USER, "refreshed": true,
    });
    for outcome in ["approved", "declined"] {
        assert_eq!(seen[outcome]["members"], device, "{seen}");
        assert_eq!(seen[outcome]["forms"], json!(["login", "device", "decision"]), "{seen}");
    }
    assert_eq!(seen["approved"]["used"], used, "{seen}");
    assert_eq!(seen["approved"]["again"], "invalid_grant", "{seen}");
    assert_eq!(seen["declined"]["refused"], "access_denied", "{seen}");
    let elsewhere = &seen["elsewhere"];
    assert_eq!(elsewhere["members"], json!(["auth_req_id", "expires_in", "interval"]), "{seen}");
    assert_eq!(elsewhere["forms"], json!(["login", "request-1"]), "{seen}");
    assert_eq!(elsewhere["used"], used, "{seen}");
}

#[test]
fn authlib_proves_itself_by_a_key() {
    AUTHLIB_BY_KEY.run(Program::new(stand(), "authlib", &["flow.py"]));
}

#[test]
fn authlib_pushes_requests_and_exchanges_tokens() {
    let seen = AUTHLIB_GRANTS.run_grants(Program::new(stand(), "authlib", &["grants.py"]));
    Party::assert_pushed(&seen);
    AUTHLIB_GRANTS.assert_exchanged(&seen);
    assert_eq!(seen["by_form"]["forms"], json!(["login", "consent"]), "{seen}");
    assert_eq!(seen["by_form"]["response"], json!(["code", "iss", "state"]), "{seen}");
    assert_eq!(seen["pushed"]["forms"], json!([]), "agreed already: {seen}");
}

#[test]
fn authlib_signs_in_and_uses_every_endpoint() {
    AUTHLIB.run(Program::new(stand(), "authlib", &["flow.py"]));
}

#[test]
fn the_openidconnect_crate_signs_in_and_uses_every_endpoint() {
    CRATE.run(Program::new(stand(), "openidconnect", &[]));
}

#[test]
fn the_openidconnect_crate_takes_a_form_post_and_tokens_for_itself_and_a_device() {
    let seen = CRATE_GRANTS.run_grants(Program::new(stand(), "openidconnect", &["grants"]));
    assert_eq!(seen["by_form"]["forms"], json!(["login", "consent"]), "{seen}");
    assert_eq!(seen["by_form"]["response"], json!(["code", "iss", "state"]), "{seen}");
    let device = &seen["device"];
    assert_eq!(device["forms"], json!(["device", "decision"]), "signed in already: {seen}");
    assert_eq!(device["audience"], json!([CRATE_GRANTS.id]), "{seen}");
    assert_eq!(device["introspection"]["active"], true, "{seen}");
    assert_eq!(device["refresh_token"], true, "{seen}");
}
