//! A small world to test operations in: two tenants, people with each kind of authority, a client of a
//! tenant, a public one, and two of the platform.

use serde_json::{Value, json};

use crate::party::Party;
use crate::stand::Stand;

/// Email and password.
pub type Person = (&'static str, &'static str);

const PASSWORD: &str = "correct horse battery staple";
/// A member of tenant `alpha` without any role.
pub const MEMBER: Person = ("member@alpha.example", PASSWORD);
/// Owns tenant `alpha`.
pub const OWNER: Person = ("owner@alpha.example", PASSWORD);
/// Administers tenant `alpha`.
pub const TENANT_ADMIN: Person = ("admin@alpha.example", PASSWORD);
/// Administers the platform, member of nothing.
pub const PLATFORM_ADMIN: Person = ("platform@example.com", PASSWORD);
/// Has an account and nothing else.
pub const STRANGER: Person = ("stranger@example.com", PASSWORD);

const SECRET: &str = "a client secret of enough characters";
const CALLBACK: &str = "https://app.example.com/callback";

/// Write all of it into an installation that is running.
pub fn populate(stand: &Stand) {
    stand.wait_for_keys();
    stand.seed(&world(stand.api()));
}

/// All of it, in the form of `opentrusty seed`, for a management API at this address.
pub fn world(api: &str) -> Value {
    let user = |person: Person, memberships: Value, platform: &[&str]| {
        json!({ "email": person.0, "password": person.1, "email_verified": true,
                "memberships": memberships, "platform_roles": platform })
    };
    let of_alpha = |roles: &[&str]| json!([{ "tenant": "alpha", "roles": roles }]);
    json!({
        "tenants": [{ "slug": "alpha", "name": "Alpha" }, { "slug": "beta", "name": "Beta" }],
        "users": [
            user(MEMBER, of_alpha(&["tenant_member"]), &[]),
            user(OWNER, of_alpha(&["tenant_owner"]), &[]),
            user(TENANT_ADMIN, of_alpha(&["tenant_admin"]), &[]),
            user(PLATFORM_ADMIN, json!([]), &["platform_admin"]),
            user(STRANGER, json!([]), &[]),
        ],
        "clients": [
            { "tenant": "alpha", "client_id": "app", "client_name": "App", "client_secret": SECRET,
              "redirect_uris": [CALLBACK], "grant_types": ["authorization_code", "refresh_token"],
              "scope": "openid email offline_access", "skip_authorization": true },
            { "tenant": "beta", "client_id": "outsider", "client_name": "Outsider", "client_secret": SECRET,
              "redirect_uris": [CALLBACK], "grant_types": ["authorization_code", "refresh_token"],
              "scope": "openid email" },
            { "tenant": "alpha", "client_id": "careful", "client_name": "Careful", "client_secret": SECRET,
              "redirect_uris": [CALLBACK], "grant_types": ["authorization_code", "refresh_token"],
              "scope": "openid email" },
            { "tenant": null, "client_id": "console", "client_name": "Console",
              "token_endpoint_auth_method": "none", "redirect_uris": [CALLBACK],
              "grant_types": ["authorization_code", "refresh_token"],
              "scope": "openid email opentrusty:admin", "audiences": [api],
              "skip_authorization": true },
            { "tenant": null, "client_id": "plain", "client_name": "Plain",
              "token_endpoint_auth_method": "none", "redirect_uris": [CALLBACK],
              "grant_types": ["authorization_code", "refresh_token"], "scope": "openid email",
              "skip_authorization": true },
        ],
    })
}

/// Further members of tenant `alpha`, who sign in a lot.
pub fn crowd(count: usize) -> Vec<(String, &'static str)> {
    (0..count).map(|number| (format!("member{number}@alpha.example"), PASSWORD)).collect()
}

/// The [`world`] with such a crowd, and with a client for a library that is not ours.
pub fn crowded_world(api: &str, count: usize) -> Value {
    let mut world = world(api);
    if let Some(users) = world.get_mut("users").and_then(Value::as_array_mut) {
        users.extend(crowd(count).into_iter().map(|(email, password)| {
            json!({ "email": email, "password": password, "email_verified": true,
                    "memberships": [{ "tenant": "alpha", "roles": [] }] })
        }));
    }
    if let Some(clients) = world.get_mut("clients").and_then(Value::as_array_mut) {
        clients.push(json!({ "tenant": "alpha", "client_id": "foreign", "client_name": "Foreign",
            "client_secret": SECRET, "redirect_uris": [CALLBACK],
            "post_logout_redirect_uris": ["https://app.example.com/signed-out"],
            "grant_types": ["authorization_code", "refresh_token"],
            "scope": "openid profile email offline_access" }));
    }
    world
}

fn party(issuer: &str, client_id: &str, secret: Option<&str>, scope: &str) -> Party {
    Party {
        issuer: issuer.to_owned(),
        client_id: client_id.to_owned(),
        secret: secret.map(str::to_owned),
        redirect_uri: CALLBACK.to_owned(),
        scope: scope.to_owned(),
    }
}

/// A confidential client of tenant `alpha`, for whose requests nobody is asked.
pub fn app(stand: &Stand) -> Party {
    app_of(stand.issuer())
}

/// The same, of the installation with this issuer.
pub fn app_of(issuer: &str) -> Party {
    party(issuer, "app", Some(SECRET), "openid email")
}

/// A confidential client of tenant `beta`, of the installation with this issuer.
pub fn outsider_of(issuer: &str) -> Party {
    party(issuer, "outsider", Some(SECRET), "openid email")
}

/// A confidential client of tenant `alpha`, with a page of consent.
pub fn careful(stand: &Stand) -> Party {
    party(stand.issuer(), "careful", Some(SECRET), "openid email")
}

/// A client of the platform whose tokens are for the management API.
pub fn console(stand: &Stand) -> Party {
    console_of(stand.issuer())
}

/// The same, of the installation with this issuer.
pub fn console_of(issuer: &str) -> Party {
    party(issuer, "console", None, "openid email opentrusty:admin")
}

/// A client of the platform without the right to administer.
pub fn plain(stand: &Stand) -> Party {
    party(stand.issuer(), "plain", None, "openid email")
}
