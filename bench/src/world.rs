//! Who takes part: one tenant, one person, and a client for every kind of request.

use e2e::{Party, Stand};
use serde_json::{Value, json};

use crate::assertion::ClientKey;

/// Who signs in.
pub const PERSON: (&str, &str) = ("ana@bench.example", "velvet otter climbs quietly");
/// Of every client that has one.
pub const SECRET: &str = "a client secret of enough characters";
/// Where every code is sent.
pub const CALLBACK: &str = "https://app.bench.example/callback";
/// What a person is asked for.
pub const SCOPE: &str = "openid profile offline_access";
/// `grant_type` of RFC 8693.
pub const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// Its tokens are what the broker exchanges.
pub const FRONT: &str = "front";
/// Exchanges them.
pub const BROKER: &str = "broker";
/// Gets JWTs for itself.
pub const MACHINE: &str = "machine";
/// Gets random text for itself.
pub const OPAQUE: &str = "opaque";
/// Proves itself by `private_key_jwt`.
pub const KEYED: &str = "keyed";
/// Of the front's tokens.
const ORDERS: &str = "https://orders.bench.example";
/// Of the broker's.
pub const STOCK: &str = "https://stock.bench.example";

/// Seeds all of it; nobody is asked for consent.
pub fn populate(stand: &Stand, key: &ClientKey) {
    // RS256 is what OpenID Connect expects of ID tokens by default.
    let signs_in = [("es", "ES256"), ("rs", "RS256"), (FRONT, "ES256")].map(|(id, algorithm)| {
        let more = json!({
            "redirect_uris": [CALLBACK], "grant_types": ["authorization_code", "refresh_token"],
            "scope": SCOPE, "skip_authorization": true, "id_token_signed_response_alg": algorithm,
            "audiences": if id == FRONT { vec![ORDERS] } else { Vec::new() },
        });
        with_secret(id, more)
    });
    let own = json!({ "grant_types": ["client_credentials"], "scope": "stock:read" });
    let mut opaque = own.clone();
    opaque["opaque_access_tokens"] = true.into();
    let mut keyed = own.clone();
    keyed["token_endpoint_auth_method"] = "private_key_jwt".into();
    keyed["jwks"] = key.jwks();
    let broker =
        json!({ "grant_types": [EXCHANGE], "scope": "openid profile", "audiences": [STOCK] });
    let mut clients = signs_in.to_vec();
    clients.extend([
        with_secret(MACHINE, own),
        with_secret(OPAQUE, opaque),
        client(KEYED, keyed),
        with_secret(BROKER, broker),
    ]);
    stand.seed(&json!({
        "tenants": [{ "slug": "bench", "name": "Bench" }],
        "users": [{
            "email": PERSON.0, "password": PERSON.1, "email_verified": true,
            "memberships": [{ "tenant": "bench", "roles": ["tenant_member"] }],
        }],
        "scopes": [{ "tenant": "bench", "name": "stock:read", "description": "Read the stock" }],
        "audiences": [
            { "tenant": "bench", "identifier": ORDERS },
            { "tenant": "bench", "identifier": STOCK },
        ],
        "clients": clients,
        "exchange_policies": [{
            "client_id": BROKER, "subject_audience": ORDERS, "target_audience": STOCK,
            "mode": "delegation",
        }],
    }));
}

fn with_secret(id: &str, mut more: Value) -> Value {
    more["client_secret"] = SECRET.into();
    client(id, more)
}

fn client(id: &str, mut more: Value) -> Value {
    for (name, value) in [("tenant", "bench"), ("client_id", id), ("client_name", id)] {
        more[name] = value.into();
    }
    more
}

/// A client that people sign in to.
pub fn party(stand: &Stand, client: &str) -> Party {
    Party {
        issuer: stand.issuer().to_owned(),
        client_id: client.to_owned(),
        secret: Some(SECRET.to_owned()),
        redirect_uri: CALLBACK.to_owned(),
        scope: SCOPE.to_owned(),
    }
}
