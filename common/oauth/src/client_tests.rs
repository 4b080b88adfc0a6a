use super::*;
use crate::form::Form;

fn draft(json: serde_json::Value) -> Draft {
    serde_json::from_value(json).unwrap()
}

fn metadata(json: serde_json::Value) -> Result<Metadata, InvalidMetadata> {
    Metadata::try_from(draft(json))
}

fn client(method: &str) -> Client {
    Client {
        key: ClientKey(uuid::Uuid::nil()),
        id: "app".parse().unwrap(),
        tenant: None,
        metadata: metadata(serde_json::json!({
            "redirect_uris": ["https://a.example/cb"], "token_endpoint_auth_method": method
        }))
        .unwrap(),
    }
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn stored(expires_at: Option<i64>) -> Vec<StoredSecret> {
    vec![StoredSecret { hash: Hashed::of(SECRET), expires_at: expires_at.map(Timestamp) }]
}

fn presented(authorization: Option<&str>, body: &str) -> Result<Presented, Error> {
    Presented::parse(authorization, &Form::parse(body.as_bytes()).unwrap())
}

fn basic_header(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}")))
}

#[test]
fn metadata_survives_its_column() {
    let original = metadata(serde_json::json!({
        "client_name": "Shop", "redirect_uris": ["https://a.example/cb", "http://127.0.0.1/cb"],
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "scope": "openid offline_access read", "audiences": ["https://api.example"], "refresh_retry_s": 30,
        "access_token_lifetime": 300, "id_token_signed_response_alg": "ES256"
    }))
    .unwrap();
    let column = serde_json::to_value(original.to_draft()).unwrap();
    assert_eq!(metadata(column).unwrap(), original);
}

#[test]
fn bad_metadata_names_its_field() {
    let base = serde_json::json!({"redirect_uris": ["https://a.example/cb"]});
    for (field, value) in [
        ("redirect_uris", serde_json::json!([])),
        ("redirect_uris", serde_json::json!(["http://a.example/cb"])),
        ("post_logout_redirect_uris", serde_json::json!(["javascript:x"])),
        ("grant_types", serde_json::json!(["implicit"])),
        ("grant_types", serde_json::json!(["password"])),
        ("response_types", serde_json::json!(["code", "token"])),
        ("token_endpoint_auth_method", serde_json::json!("tls_client_auth")),
        ("scope", serde_json::json!("a\"b")),
        ("audiences", serde_json::json!(["a b"])),
        ("refresh_retry_s", serde_json::json!(31)),
        ("access_token_lifetime", serde_json::json!(86_401)),
        ("refresh_token_lifetime", serde_json::json!(0)),
        ("id_token_signed_response_alg", serde_json::json!("none")),
        ("client_name", serde_json::json!("Bank\u{202e}kcaH")),
        ("client_name", serde_json::json!("Bank\u{61c}")),
        ("client_name", serde_json::json!(" ")),
        ("jwks", serde_json::json!({"keys": []})),
    ] {
        let mut bad = base.clone();
        bad[field] = value.clone();
        assert_eq!(metadata(bad).unwrap_err().field, field, "{value}");
    }
    let public = serde_json::json!({
        "redirect_uris": ["https://a.example/cb"], "token_endpoint_auth_method": "none", "require_pkce": false
    });
    assert_eq!(metadata(public).unwrap_err().field, "require_pkce");
    assert!(serde_json::from_value::<Draft>(serde_json::json!({"redirect_urls": []})).is_err());
}

#[test]
fn w151_the_admin_scope_stays_with_the_platform() {
    let admin = metadata(serde_json::json!({
        "redirect_uris": ["https://a.example/cb"], "scope": "openid opentrusty:admin"
    }))
    .unwrap();
    assert!(admin.check_owner(None).is_ok());
    assert!(admin.check_owner(Some(TenantId(uuid::Uuid::nil()))).is_err());
}

#[test]
fn w87_only_the_registered_method_authenticates() {
    let header = basic_header("app", SECRET);
    let body = format!("client_id=app&client_secret={SECRET}");
    let tries = [(Some(header.as_str()), ""), (None, body.as_str()), (None, "client_id=app")];
    for (index, method) in
        ["client_secret_basic", "client_secret_post", "none"].into_iter().enumerate()
    {
        for (tried, (authorization, body)) in tries.iter().enumerate() {
            let presented = presented(*authorization, body).unwrap();
            let outcome = client(method).authenticate(&presented, &stored(None), Timestamp(0));
            assert_eq!(outcome.is_ok(), index == tried, "{method} with {body}");
        }
    }
}

#[test]
fn w87_two_methods_at_once_are_an_invalid_request() {
    let header = basic_header("app", SECRET);
    for body in
        [&*format!("client_secret={SECRET}"), "client_assertion=x", "client_id=app&client_secret=x"]
    {
        let error = presented(Some(&header), body).err().unwrap();
        assert_eq!(error.code, crate::ErrorCode::InvalidRequest);
    }
    let other = presented(Some(&header), "client_id=other").err().unwrap();
    assert_eq!(other.code, crate::ErrorCode::InvalidClient);
}

#[test]
fn w129_unknown_and_wrong_are_one_error() {
    for (authorization, body) in [
        (Some("Basic !"), ""),
        (Some("Bearer x"), "client_id=app"),
        (None, ""),
        (None, "client_assertion=x"),
        (None, "client_secret=x"),
        (None, "client_id=%20"),
    ] {
        assert_eq!(presented(authorization, body).err().unwrap(), Error::client(), "{body}");
    }
    let wrong = presented(Some(&basic_header("app", &SECRET.replace('0', "1"))), "").unwrap();
    let outcome = client("client_secret_basic").authenticate(&wrong, &stored(None), Timestamp(0));
    assert_eq!(outcome.err().unwrap(), Error::client());
}

#[test]
fn two_secrets_live_side_by_side_until_one_expires() {
    let mut secrets = stored(Some(100));
    secrets.push(StoredSecret {
        hash: Hashed::of("another-secret-of-some-32-letters"),
        expires_at: None,
    });
    let presented = presented(Some(&basic_header("app", SECRET)), "").unwrap();
    for (now, ok) in [(99, true), (100, false)] {
        let outcome =
            client("client_secret_basic").authenticate(&presented, &secrets, Timestamp(now));
        assert_eq!(outcome.is_ok(), ok);
    }
}
