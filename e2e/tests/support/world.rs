//! The people and clients of the tests.

use serde_json::{Value, json};

/// Everybody's password.
pub(crate) const PASSWORD: &str = "four unrelated words walk home";

/// A member of `acme`, with every claim.
pub(crate) const ANA: &str = "ana@example.org";
/// A member of `acme`.
pub(crate) const BEN: &str = "ben@example.org";
/// A member of `acme` and `rival`.
pub(crate) const CLEO: &str = "cleo@example.org";
/// A member of `rival` alone.
pub(crate) const DORA: &str = "dora@example.org";

/// A client as the tests know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct App {
    pub(crate) id: &'static str,
    /// `None`: a public client.
    pub(crate) secret: Option<&'static str>,
    /// `client_secret_post` instead of Basic.
    pub(crate) posts: bool,
    pub(crate) redirect: &'static str,
}

const fn confidential(id: &'static str, redirect: &'static str) -> App {
    App { id, secret: Some("0123456789abcdef0123456789abcdef-secret"), posts: false, redirect }
}

const fn public(id: &'static str, redirect: &'static str) -> App {
    App { id, secret: None, posts: false, redirect }
}

/// Asks for consent; everything that a client may have.
pub(crate) const WEB: App = confidential("web", "https://web.example.org/cb");
/// First-party; the redirect URI of `WEB`.
pub(crate) const TWIN: App = App {
    secret: Some("another secret of the twin, 32 characters and more"),
    ..confidential("twin", "https://web.example.org/cb")
};
/// First-party, `client_secret_post`.
pub(crate) const POST: App =
    App { posts: true, ..confidential("post", "https://post.example.org/cb") };
/// First-party and public.
pub(crate) const SPA: App = public("spa", "https://spa.example.org/cb");
/// First-party and public, with the redirect URI of `SPA`.
pub(crate) const SPA2: App = public("spa2", "https://spa.example.org/cb");
/// Public, on the user's machine: loopback and a private-use scheme.
pub(crate) const NATIVE: App = public("native", "http://127.0.0.1/cb");
/// First-party, without the refresh grant.
pub(crate) const BRIEF: App = confidential("brief", "https://brief.example.org/cb");
/// First-party, without PKCE.
pub(crate) const OLD: App = confidential("old", "https://old.example.org/cb");
/// First-party, may ask again for a lost refresh response; ES256 ID tokens.
pub(crate) const RETRY: App = confidential("retry", "https://retry.example.org/cb");
/// First-party; its redirect URI has a query, and it has two.
pub(crate) const QUERY: App = confidential("query", "https://query.example.org/cb?a=1&b=x%20y");
/// A resource server: an audience of `WEB`'s and `TWIN`'s tokens; cannot sign anybody in.
pub(crate) const ORDERS: App = confidential("orders-api", "https://orders.example.org/unused");
/// Of another tenant.
pub(crate) const RIVAL: App = confidential("rival-web", "https://rival.example.org/cb");
/// Of the platform.
pub(crate) const PLATFORM: App = confidential("platform-web", "https://platform.example.org/cb");
/// Only lets people sign in; neither `openid` nor anything of a profile.
pub(crate) const BARE: App = confidential("bare", "https://bare.example.org/cb");

/// Public, without a browser: what it wants is approved on another device.
pub(crate) const TV: App = public("tv", "https://tv.example.org/unused");
/// A CIBA client that polls, without a consent page.
pub(crate) const BANK: App = confidential("bank", "https://bank.example.org/unused");
/// A CIBA client that is pinged.
pub(crate) const SHOP: App = confidential("shop", "https://shop.example.org/unused");
/// A first-party authenticator app.
pub(crate) const KEY: App = public("key", "https://key.example.org/cb");

/// The grants that are decided elsewhere.
pub(crate) const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
pub(crate) const CIBA: &str = "urn:openid:params:grant-type:ciba";
/// Asks for itself and for nobody else.
pub(crate) const ROBOT: App = confidential("robot", "https://robot.example.org/unused");
/// Asks for itself, and for people too.
pub(crate) const MIXED: App = confidential("mixed", "https://mixed.example.org/cb");
/// Gets random text as access tokens, for people and for itself.
pub(crate) const OPAQUE: App = confidential("opaque", "https://opaque.example.org/cb");
/// Must push its authorization requests; asks for consent.
pub(crate) const PUSHER: App = confidential("pusher", "https://pusher.example.org/cb");
/// Acts for people towards `other.example.org` and `orders-api`, and says so.
pub(crate) const BROKER: App = confidential("broker", "https://broker.example.org/unused");
/// Appears as whoever it has a token of; its own tokens are random text.
pub(crate) const MASK: App = confidential("mask", "https://mask.example.org/unused");
/// May exchange tokens, but no policy says which.
pub(crate) const IDLE: App = confidential("idle-broker", "https://idle.example.org/unused");
/// A broker of the other tenant, with a policy for the same audiences.
pub(crate) const RIVAL_BROKER: App =
    confidential("rival-broker", "https://rival-broker.example.org/unused");

/// Has every grant and asks for consent; acts for people towards `other.example.org` without saying so.
pub(crate) const WHOLE: App = confidential("whole", "https://whole.example.org/cb");

/// `grant_type` of RFC 8693.
pub(crate) const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The audience that everybody in `acme` may reach through a broker.
pub(crate) const OTHER: &str = "https://other.example.org";

/// What `opentrusty seed` is given.
pub(crate) fn world() -> Value {
    let person = |email: &str, tenants: &[&str]| {
        let memberships: Vec<Value> = tenants.iter().map(|t| json!({ "tenant": t })).collect();
        json!({ "email": email, "password": PASSWORD, "memberships": memberships })
    };
    let ana = json!({
        "email": ANA, "password": PASSWORD, "email_verified": true, "given_name": "Ana", "family_name": "Lima",
        "name": "Ana Lima", "picture": "https://img.example.org/ana.png", "locale": "pt-BR",
        "memberships": [{ "tenant": "acme", "roles": ["tenant_owner"] }]
    });
    json!({
        "tenants": [{ "slug": "acme", "name": "Acme" }, { "slug": "rival", "name": "Rival" }],
        "users": [ana, person(BEN, &["acme"]), person(CLEO, &["acme", "rival"]), person(DORA, &["rival"])],
        "scopes": [
            { "tenant": "acme", "name": "orders:read", "description": "Read your orders" },
            { "tenant": "acme", "name": "orders:write", "description": "Change your orders" },
            { "tenant": "rival", "name": "rival:read", "description": "Read at the rival" }
        ],
        "audiences": [
            { "tenant": "acme", "identifier": "orders-api", "scopes": ["orders:read", "orders:write"] },
            { "tenant": "acme", "identifier": "https://other.example.org" }
        ],
        "clients": clients()
    })
}

fn clients() -> Value {
    let all = "openid profile email offline_access orders:read";
    json!([
        client(
            WEB,
            &json!({ "skip_authorization": false, "audiences": ["orders-api"], "scope": all,
            "grant_types": ["authorization_code", "refresh_token", DEVICE, CIBA],
            "post_logout_redirect_uris": ["https://web.example.org/bye"] })
        ),
        client(
            TWIN,
            &json!({ "audiences": ["orders-api", "https://other.example.org"], "scope": all })
        ),
        client(
            POST,
            &json!({ "scope": all,
            "post_logout_redirect_uris": ["https://post.example.org/bye?x=1"] })
        ),
        client(SPA, &json!({ "scope": all })),
        client(SPA2, &json!({ "scope": all })),
        client(
            NATIVE,
            &json!({ "scope": all, "redirect_uris": [NATIVE.redirect, "http://[::1]/cb",
            "http://localhost:7777/cb", "com.example.app:/cb"] })
        ),
        client(BRIEF, &json!({ "grant_types": ["authorization_code"] })),
        client(OLD, &json!({ "require_pkce": false, "scope": all })),
        client(
            RETRY,
            &json!({ "refresh_retry_s": 30, "scope": all, "id_token_signed_response_alg": "ES256" })
        ),
        client(
            QUERY,
            &json!({ "redirect_uris": ["https://query.example.org/other", QUERY.redirect] })
        ),
        client(ORDERS, &json!({})),
        client(RIVAL, &json!({ "tenant": "rival", "scope": "openid email rival:read" })),
        client(PLATFORM, &json!({ "tenant": null, "scope": "openid profile email" })),
        client(BARE, &json!({ "scope": "orders:read" })),
        client(
            TV,
            &json!({ "grant_types": [DEVICE, "refresh_token"], "scope": all,
            "skip_authorization": false, "audiences": ["orders-api"] })
        ),
        client(BANK, &json!({ "grant_types": [CIBA, "refresh_token"], "scope": all })),
        client(
            SHOP,
            &json!({ "grant_types": [CIBA], "scope": all, "backchannel_token_delivery_mode": "ping",
            "backchannel_client_notification_endpoint": "https://shop.example.org/ping" })
        ),
        client(KEY, &json!({ "scope": "openid opentrusty:ciba" })),
    ])
}

/// Clients that act without a person or for one, and what they may: beside [`world`], for those who test them.
pub(crate) fn machines() -> Value {
    let all = "openid profile email offline_access orders:read";
    let both = ["orders-api", OTHER];
    let own = ["authorization_code", "refresh_token", "client_credentials"];
    let broker = json!({ "grant_types": [EXCHANGE, "client_credentials"], "audiences": [OTHER],
        "scope": "openid email orders:read" });
    let hidden = json!({ "grant_types": [EXCHANGE, "client_credentials"], "audiences": [OTHER],
        "scope": "openid email orders:read", "opaque_access_tokens": true });
    let rival =
        json!({ "grant_types": [EXCHANGE], "tenant": "rival", "scope": "openid rival:read" });
    let policy = |app: App, from: &str, to: &str, mode: &str| json!({ "client_id": app.id, "subject_audience": from, "target_audience": to, "mode": mode });
    json!({
        "clients": [
            client(ROBOT, &json!({ "grant_types": ["client_credentials"], "redirect_uris": [],
                "scope": "orders:read orders:write", "audiences": both })),
            client(MIXED, &json!({ "grant_types": own, "scope": all })),
            client(OPAQUE, &json!({ "grant_types": own, "scope": all, "audiences": ["orders-api"],
                "opaque_access_tokens": true })),
            client(PUSHER, &json!({ "scope": all, "skip_authorization": false,
                "require_pushed_authorization_requests": true })),
            client(BROKER, &broker),
            client(MASK, &hidden),
            client(IDLE, &broker),
            client(RIVAL_BROKER, &rival),
        ],
        "exchange_policies": [
            policy(BROKER, "orders-api", OTHER, "delegation"),
            policy(BROKER, "orders-api", "orders-api", "delegation"),
            policy(BROKER, OTHER, OTHER, "delegation"),
            policy(MASK, "orders-api", OTHER, "impersonation"),
            policy(MASK, OTHER, OTHER, "impersonation"),
            policy(RIVAL_BROKER, "orders-api", OTHER, "delegation"),
            policy(RIVAL_BROKER, OTHER, OTHER, "delegation"),
        ]
    })
}

/// One client with every grant, for the matrices: beside [`machines`].
pub(crate) fn whole() -> Value {
    let grants =
        ["authorization_code", "refresh_token", "client_credentials", DEVICE, CIBA, EXCHANGE];
    json!({
        "clients": [client(WHOLE, &json!({ "skip_authorization": false, "grant_types": grants,
            "scope": "openid profile email offline_access orders:read orders:write",
            "audiences": ["orders-api", OTHER],
            "post_logout_redirect_uris": ["https://whole.example.org/bye"] }))],
        "exchange_policies": [{ "client_id": WHOLE.id, "subject_audience": "orders-api",
            "target_audience": OTHER, "mode": "delegation" }]
    })
}

/// A client of `acme` with refresh and without a consent page, but for what `over` says.
pub(crate) fn client(app: App, over: &Value) -> Value {
    let mut client = json!({
        "tenant": "acme", "client_id": app.id, "client_name": format!("The {} app", app.id),
        "redirect_uris": [app.redirect], "grant_types": ["authorization_code", "refresh_token"],
        "skip_authorization": true, "scope": "openid"
    });
    let method = match app.secret {
        None => "none",
        Some(_) if app.posts => "client_secret_post",
        Some(_) => "client_secret_basic",
    };
    client["token_endpoint_auth_method"] = method.into();
    if let Some(secret) = app.secret {
        client["client_secret"] = secret.into();
    }
    for (name, value) in over.as_object().expect("an object of metadata") {
        client[name] = value.clone();
    }
    client
}
