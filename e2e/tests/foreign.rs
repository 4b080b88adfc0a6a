//! Relying parties that nobody here wrote: three client libraries do the code flow and use what comes of it.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail where the test fails"
)]

#[path = "../foreign/program.rs"]
mod program;

use std::sync::OnceLock;

use e2e::{Options, Stand};
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

/// A client. Each test has one of its own, so that each is asked for consent once.
#[derive(Clone, Copy)]
struct Party {
    id: &'static str,
    method: &'static str,
    algorithm: &'static str,
    secret: &'static str,
}

const BASIC: Party = Party {
    id: "with-basic",
    method: "client_secret_basic",
    algorithm: "RS256",
    secret: CROOKED_SECRET,
};
const POST: Party = Party { id: "with-post", method: "client_secret_post", ..BASIC };
const PUBLIC: Party = Party { id: "public", method: "none", ..BASIC };
const FORM_POST: Party = Party { id: "by-form", ..BASIC };
const ES256: Party = Party { id: "es256", algorithm: "ES256", ..BASIC };
// Authlib puts the secret into the header as it is.
const AUTHLIB: Party = Party { id: "authlib", secret: SECRET, ..BASIC };
const CRATE: Party = Party { id: "openidconnect", ..BASIC };

/// One installation for all tests here, with one person and all clients.
fn stand() -> &'static Stand {
    static STAND: OnceLock<Stand> = OnceLock::new();
    STAND.get_or_init(|| {
        let stand = Stand::start(&Options::default());
        let parties = [BASIC, POST, PUBLIC, FORM_POST, ES256, AUTHLIB, CRATE];
        stand.seed(&json!({
            "tenants": [{"slug": "example", "name": "Example"}],
            "users": [{
                "email": USER, "password": PASSWORD, "email_verified": true,
                "name": "Given Family", "given_name": "Given", "family_name": "Family",
                "memberships": [{"tenant": "example", "roles": []}],
            }],
            "clients": parties.map(Party::seed),
        }));
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
        if !self.is_public()
            && let Some(members) = client.as_object_mut()
        {
            members.insert("client_secret".to_owned(), self.secret.into());
        }
        client
    }

    fn is_public(self) -> bool {
        self.method == "none"
    }

    /// Run a program as this client, and check what every library must have seen.
    fn run(self, program: Program) -> Value {
        let mut program = program
            .with("CLIENT_ID", self.id)
            .with("AUTH_METHOD", self.method)
            .with("ID_TOKEN_ALG", self.algorithm)
            .with("REDIRECT_URI", REDIRECT_URI)
            .with("POST_LOGOUT_URI", POST_LOGOUT_URI)
            .with("USER", USER)
            .with("PASSWORD", PASSWORD);
        if !self.is_public() {
            program = program.with("CLIENT_SECRET", self.secret);
        }
        let seen = program.run();
        self.assert_signed_in(&seen);
        self.assert_ended(&seen);
        seen
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
fn authlib_signs_in_and_uses_every_endpoint() {
    AUTHLIB.run(Program::new(stand(), "authlib", &[]));
}

#[test]
fn the_openidconnect_crate_signs_in_and_uses_every_endpoint() {
    CRATE.run(Program::new(stand(), "openidconnect", &[]));
}
