//! Servers that nobody here wrote, as Debian packages them: a web server that has people sign in with us, and a
//! mail server that asks us what a token is worth.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail where the test fails"
)]

#[path = "../../foreign/key.rs"]
mod key;
#[path = "../../foreign/server.rs"]
mod server;

mod dovecot;
mod httpd;

use std::sync::OnceLock;

use e2e::{Browser, Options, Party, Stand};
use serde_json::{Value, json};

const USER: &str = "user@example.com";
const PASSWORD: &str = "four plain words suffice";
const SECRET: &str = "a-client-secret-of-enough-characters-0123456789";
const REDIRECT_URI: &str = "https://app.example.com/callback";

/// One installation for all tests here, with one person; each test brings its clients.
fn stand() -> &'static Stand {
    static STAND: OnceLock<Stand> = OnceLock::new();
    STAND.get_or_init(|| {
        let stand = Stand::start(&Options::default());
        stand.seed(&json!({
            "tenants": [{"slug": "example", "name": "Example"}],
            "users": [{
                "email": USER, "password": PASSWORD, "email_verified": true, "name": "Given Family",
                "memberships": [{"tenant": "example", "roles": []}],
            }],
        }));
        stand
    })
}

/// Register a client of the tenant: what every one here has, and what `over` says.
fn register(client_id: &str, over: &Value) {
    let mut client = json!({
        "tenant": "example",
        "client_id": client_id,
        "client_name": "Relying Party",
        "client_secret": SECRET,
        "redirect_uris": [REDIRECT_URI],
        "grant_types": ["authorization_code", "refresh_token"],
        "scope": "openid profile email offline_access",
    });
    for (name, value) in over.as_object().expect("metadata") {
        if !value.is_null() {
            client[name] = value.clone();
        } else if let Some(members) = client.as_object_mut() {
            members.remove(name);
        }
    }
    stand().seed(&json!({"clients": [client]}));
}

/// Register a resource server: a client that only asks about tokens, and the audience of its name.
fn register_resource(client_id: &str) {
    stand().seed(&json!({"audiences": [{"tenant": "example", "identifier": client_id}]}));
    register(client_id, &json!({}));
}

/// A client as [`register`] makes it.
fn party(client_id: &str) -> Party {
    Party {
        issuer: stand().issuer().to_owned(),
        client_id: client_id.to_owned(),
        secret: Some(SECRET.to_owned()),
        redirect_uri: REDIRECT_URI.to_owned(),
        scope: "openid profile email offline_access".to_owned(),
    }
}

/// An access token of the person for a client.
fn access_token(browser: &mut Browser, client_id: &str) -> String {
    let tokens = party(client_id).tokens(browser, (USER, PASSWORD));
    tokens["access_token"].as_str().expect("an access token").to_owned()
}
