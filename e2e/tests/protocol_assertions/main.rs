//! `private_key_jwt` (RFC 7523, OIDC Core §9; security.md W73–W87, W90, W139) from a client's key to the answer:
//! every algorithm at every endpoint, what is refused and how, what is used up, and whose keys count.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

mod doors;
mod fetched;
mod key;
mod keys;
mod refused;
mod replay;
#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
#[path = "../support/mod.rs"]
mod support;

use e2e::{Response, Stand};
use serde_json::{Value, json};
use support::*;

use key::Key;

/// The only `client_assertion_type`.
const TYPE: (&str, &str) =
    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");

/// Where clients authenticate.
const DOORS: [&str; 6] = [
    "/oauth/token",
    "/oauth/par",
    "/oauth/introspect",
    "/oauth/revoke",
    "/oauth/device_authorization",
    "/oauth/bc-authorize",
];

/// A client, and the key that it signs with.
struct Rp {
    app: App,
    key: Key,
}

/// A client that is registered for `private_key_jwt`; names must be unique within a stand.
const fn app(id: &'static str) -> App {
    App { id, secret: None, posts: false, redirect: "https://rp.example.org/cb" }
}

/// Its metadata, which can ask for everything at every door.
fn metadata(app: App, keys: &Value) -> Value {
    let over = json!({
        "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": keys },
        "grant_types": ["authorization_code", "refresh_token", "client_credentials", DEVICE, CIBA, EXCHANGE],
        "scope": "openid email orders:read", "audiences": [OTHER]
    });
    client(app, &over)
}

impl Rp {
    /// Registered, with one key.
    fn seeded(stand: &Stand, id: &'static str, algorithm: &'static str) -> Self {
        let rp = Self { app: app(id), key: Key::new(algorithm, "the-key") };
        stand.seed(&json!({ "clients": [metadata(rp.app, &json!([rp.key.jwk()]))] }));
        rp
    }

    /// The claims of a good assertion.
    fn claims(&self, stand: &Stand) -> Value {
        let now = now(stand);
        json!({ "iss": self.app.id, "sub": self.app.id, "aud": stand.issuer(), "exp": now + 120, "iat": now,
            "jti": random() })
    }

    /// A good assertion that nobody has seen.
    fn assertion(&self, stand: &Stand) -> String {
        self.key.assertion(&self.claims(stand))
    }

    /// POST, authenticated by a new assertion.
    #[track_caller]
    fn call(&self, stand: &Stand, path: &str, form: e2e::Form<'_>) -> Response {
        post(stand, path, &self.assertion(stand), form)
    }
}

/// The database's clock, in seconds.
fn now(stand: &Stand) -> i64 {
    sql(stand, "SELECT floor(extract(epoch FROM now()))::bigint").parse().unwrap()
}

/// POST with an assertion.
#[track_caller]
fn post(stand: &Stand, path: &str, assertion: &str, form: e2e::Form<'_>) -> Response {
    let form = [&[TYPE, ("client_assertion", assertion)], form].concat();
    let url = format!("{}{path}", stand.issuer());
    let response = stand.client().post(&url, &form);
    assert_always(&url, &response);
    response
}

/// Asks for a token of its own.
const ITSELF: [(&str, &str); 1] = [("grant_type", "client_credentials")];

/// Whether an assertion lets its client in.
#[track_caller]
fn comes_in(stand: &Stand, assertion: &str) -> bool {
    let answer = post(stand, "/oauth/token", assertion, &ITSELF);
    if answer.status != 200 {
        assert_client_refused(&answer, false);
    }
    answer.status == 200
}

/// A form that is good at a door but for who sends it, and changes nothing that is not asked for.
fn form_of(door: &str) -> Vec<(&'static str, &'static str)> {
    match door {
        "/oauth/token" => ITSELF.to_vec(),
        "/oauth/par" => vec![
            ("response_type", "code"),
            ("redirect_uri", "https://rp.example.org/cb"),
            ("scope", "openid"),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
        ],
        "/oauth/introspect" | "/oauth/revoke" => vec![("token", "nothing")],
        "/oauth/device_authorization" => vec![("scope", "openid")],
        "/oauth/bc-authorize" => vec![("scope", "openid"), ("login_hint", "nobody@example.org")],
        other => panic!("{other}"),
    }
}

/// All that a client learns from an answer.
fn told(answer: &Response) -> (u16, Vec<(String, String)>, String) {
    let fields = answer
        .headers
        .iter()
        .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
        .cloned()
        .collect();
    (answer.status, fields, answer.text())
}
