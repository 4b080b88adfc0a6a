//! The file as somebody wrote it: names and JSON types are checked here, meaning in `plan`.
//!
//! Unknown names are errors everywhere: a key that has no effect is a key that somebody believes in.

use oauth::client::Draft;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Declared {
    pub(super) tenants: Vec<Tenant>,
    pub(super) users: Vec<User>,
    pub(super) scopes: Vec<Scope>,
    pub(super) audiences: Vec<Audience>,
    pub(super) clients: Vec<Client>,
    pub(super) issuers: Vec<TenantIssuer>,
    pub(super) authorization_detail_types: Vec<DetailType>,
    pub(super) exchange_policies: Vec<ExchangePolicy>,
    pub(super) invitations: Vec<Invitation>,
}

/// An existing account that a tenant asks to join.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Invitation {
    pub(super) tenant: String,
    pub(super) email: String,
}

/// A tenant that gets an issuer of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantIssuer {
    pub(super) tenant: String,
}

/// RFC 9396.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DetailType {
    pub(super) tenant: String,
    pub(super) r#type: String,
    pub(super) schema: Value,
    pub(super) summary: String,
}

/// RFC 8693.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExchangePolicy {
    pub(super) client_id: String,
    pub(super) subject_audience: String,
    pub(super) target_audience: String,
    pub(super) mode: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    pub(super) slug: String,
    pub(super) name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    pub(super) email: String,
    /// Without one, the account is left without, or with the one it has.
    pub(super) password: Option<SecretString>,
    #[serde(default)]
    pub(super) email_verified: bool,
    pub(super) given_name: Option<String>,
    pub(super) family_name: Option<String>,
    pub(super) name: Option<String>,
    pub(super) picture: Option<String>,
    pub(super) locale: Option<String>,
    #[serde(default)]
    pub(super) memberships: Vec<Membership>,
    #[serde(default)]
    pub(super) platform_roles: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Membership {
    pub(super) tenant: String,
    #[serde(default)]
    pub(super) roles: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scope {
    pub(super) tenant: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    pub(super) default: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Audience {
    pub(super) tenant: String,
    pub(super) identifier: String,
    /// Without one, its identifier.
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) scopes: Vec<String>,
}

/// A client: where it belongs, how it is called, and the fields of [`Draft`]. They are spelt out because
/// a flattened struct can neither refuse unknown names nor tell where in the file a value was wrong.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_field_names,
    clippy::struct_excessive_bools,
    reason = "RFC 7591 names them"
)]
pub(super) struct Client {
    /// `null` or absent: the platform.
    pub(super) tenant: Option<String>,
    pub(super) client_id: String,
    pub(super) client_secret: Option<SecretString>,
    client_name: Option<String>,
    #[serde(default)]
    redirect_uris: Vec<String>,
    #[serde(default)]
    post_logout_redirect_uris: Vec<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    token_endpoint_auth_method: Option<String>,
    jwks: Option<Value>,
    jwks_uri: Option<String>,
    #[serde(default)]
    assertion_audience_endpoint: bool,
    scope: Option<String>,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    skip_authorization: bool,
    require_pkce: Option<bool>,
    refresh_retry_s: Option<u32>,
    access_token_lifetime: Option<u32>,
    refresh_token_lifetime: Option<u32>,
    id_token_signed_response_alg: Option<String>,
    #[serde(default)]
    authorization_details_types: Vec<String>,
    #[serde(default)]
    opaque_access_tokens: bool,
    #[serde(default)]
    require_pushed_authorization_requests: bool,
    backchannel_token_delivery_mode: Option<String>,
    backchannel_client_notification_endpoint: Option<String>,
}

impl Client {
    /// The metadata, without what is ours.
    pub(super) fn into_draft(self) -> Draft {
        Draft {
            client_name: self.client_name,
            redirect_uris: self.redirect_uris,
            post_logout_redirect_uris: self.post_logout_redirect_uris,
            grant_types: self.grant_types,
            response_types: self.response_types,
            token_endpoint_auth_method: self.token_endpoint_auth_method,
            jwks: self.jwks,
            jwks_uri: self.jwks_uri,
            assertion_audience_endpoint: self.assertion_audience_endpoint,
            scope: self.scope,
            audiences: self.audiences,
            skip_authorization: self.skip_authorization,
            require_pkce: self.require_pkce,
            refresh_retry_s: self.refresh_retry_s,
            access_token_lifetime: self.access_token_lifetime,
            refresh_token_lifetime: self.refresh_token_lifetime,
            id_token_signed_response_alg: self.id_token_signed_response_alg,
            authorization_details_types: self.authorization_details_types,
            opaque_access_tokens: self.opaque_access_tokens,
            require_pushed_authorization_requests: self.require_pushed_authorization_requests,
            backchannel_token_delivery_mode: self.backchannel_token_delivery_mode,
            backchannel_client_notification_endpoint: self.backchannel_client_notification_endpoint,
        }
    }
}

/// Reads the JSON; an error names the path inside it.
pub(super) fn parse(bytes: &[u8]) -> Result<Declared, Failure> {
    // serde would take an array for a struct, by position.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Failure::value("the file", "not a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let declared = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let secret = path.ends_with("password") || path.ends_with("client_secret");
        let inner = error.into_inner();
        // serde's text for a wrong type repeats the value.
        let problem =
            if secret && inner.is_data() { "not a string".to_owned() } else { inner.to_string() };
        Failure::value(
            if path == "." || path == "?" { "the file".to_owned() } else { path },
            problem,
        )
    })?;
    json.end().map_err(|error| Failure::value("the file", error.to_string()))?;
    Ok(declared)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        parse(text.as_bytes()).err().unwrap_or_else(|| panic!("{text} is refused")).to_string()
    }

    #[test]
    fn unknown_keys_are_named_by_their_path() {
        for (text, path) in [
            (r#"{"tennants":[]}"#, "tennants: unknown field"),
            (r#"{"tenants":[{"slug":"a","name":"A","x":1}]}"#, "tenants[0].x: unknown field"),
            (
                r#"{"users":[{"email":"a@b","memberships":[{"tenant":"a","rolls":[]}]}]}"#,
                "users[0].memberships[0].rolls: unknown field",
            ),
            (
                r#"{"clients":[{"client_id":"a"},{"client_id":"b"},{"client_id":"c","redirect_urls":[]}]}"#,
                "clients[2].redirect_urls: unknown field",
            ),
            (
                r#"{"scopes":[{"tenant":"a","name":"b","is_default":true}]}"#,
                "scopes[0].is_default: unknown",
            ),
            (
                r#"{"audiences":[{"tenant":"a","identifier":"b","aud":1}]}"#,
                "audiences[0].aud: unknown",
            ),
        ] {
            let problem = problem(text);
            assert!(problem.starts_with(path), "{problem}");
        }
    }

    #[test]
    fn wrong_types_missing_keys_and_repeated_keys_are_named_by_their_path() {
        for (text, path) in [
            (r#"{"users":{}}"#, "users: invalid type"),
            (r#"{"users":[{"email":1}]}"#, "users[0].email: invalid type"),
            (r#"{"users":[{"password":"x"}]}"#, "users[0]: missing field `email`"),
            (r#"{"users":[{"email":"a@b","email":"c@d"}]}"#, "users[0]: duplicate field `email`"),
            (
                r#"{"clients":[{"client_id":"a","redirect_uris":["b",2]}]}"#,
                "clients[0].redirect_uris[1]: invalid",
            ),
            (
                r#"{"clients":[{"client_id":"a","refresh_retry_s":-1}]}"#,
                "clients[0].refresh_retry_s: invalid",
            ),
            (r#"{"scopes":[{"tenant":null,"name":"x"}]}"#, "scopes[0].tenant: invalid type: null"),
            ("[]", "the file: not a JSON object"),
            ("", "the file: not a JSON object"),
            ("{} {}", "the file: trailing characters"),
            ("{", "the file: EOF"),
        ] {
            let problem = problem(text);
            assert!(problem.starts_with(path), "{problem}");
        }
    }

    #[test]
    fn a_secret_of_the_wrong_type_is_not_repeated() {
        for text in [
            r#"{"users":[{"email":"a@b","password":271828182}]}"#,
            r#"{"clients":[{"client_id":"a","client_secret":271828182}]}"#,
        ] {
            let problem = problem(text);
            assert!(
                problem.contains("not a string") && !problem.contains("271828182"),
                "{problem}"
            );
        }
    }

    #[test]
    fn everything_but_the_names_may_be_left_out() {
        let declared =
            parse(br#"{"users":[{"email":"a@b"}],"clients":[{"client_id":"a","tenant":null}]}"#)
                .unwrap();
        assert!(declared.users[0].password.is_none() && declared.clients[0].tenant.is_none());
        assert!(parse(b"{}").unwrap().tenants.is_empty());
    }
}
