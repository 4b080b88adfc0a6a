use super::*;
use crate::form::Form;
use crate::jwk;

fn draft(json: serde_json::Value) -> Draft {
    serde_json::from_value(json).unwrap()
}

fn metadata(json: serde_json::Value) -> Result<Metadata, InvalidMetadata> {
    Metadata::try_from(draft(json))
}

/// A client that is registered for `method`; two ways to have keys are methods here.
fn client(method: &str) -> Client {
    let keys = match method {
        "inline" => serde_json::json!({"jwks": jwks()}),
        "published" => serde_json::json!({"jwks_uri": "https://a.example/jwks"}),
        _ => serde_json::json!({"token_endpoint_auth_method": method}),
    };
    let mut json = serde_json::json!({
        "redirect_uris": ["https://a.example/cb"], "token_endpoint_auth_method": "private_key_jwt"
    });
    json.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    Client {
        key: ClientKey(uuid::Uuid::nil()),
        id: "app".parse().unwrap(),
        tenant: None,
        metadata: metadata(json).unwrap(),
    }
}

const ISSUER: &str = "https://as.example";
const ENDPOINT: &str = "https://as.example/oauth/token";
/// What [`verify`] takes for a signature, and what it does not.
const GOOD: &str = "AQID";
const BAD: &str = "AQIE";

fn jwks() -> serde_json::Value {
    let x = "BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU";
    serde_json::json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x}]})
}

/// Stands where `signer::client_key::verify` stands in authd; its own tests are there.
fn verify(key: &jwk::Key, signed: &jwk::Signed<'_>) -> bool {
    key.kid() == Some("k") && signed.signature == [1, 2, 3]
}

fn evidence(secrets: &[StoredSecret], now: i64) -> Evidence<'_> {
    Evidence { secrets, fetched: None, issuer: ISSUER, endpoint: ENDPOINT, now: Timestamp(now) }
}

fn assertion(header: &serde_json::Value, claims: &serde_json::Value, signature: &str) -> String {
    use base64::Engine as _;
    let b64 = |json: &serde_json::Value| {
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json.to_string())
    };
    let text = format!("{}.{}.{signature}", b64(header), b64(claims));
    format!("client_assertion={text}&client_assertion_type={}", crate::assertion::TYPE)
}

fn assertion_body(kid: &str, signature: &str) -> String {
    assertion(
        &serde_json::json!({"alg": "EdDSA", "kid": kid}),
        &serde_json::json!({"iss": "app", "sub": "app", "aud": ISSUER, "exp": 60, "jti": "j"}),
        signature,
    )
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
        ("jwks", jwks()),
        ("jwks_uri", serde_json::json!("https://a.example/jwks")),
        ("assertion_audience_endpoint", serde_json::json!(true)),
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
fn w82_keys_go_with_private_key_jwt_and_are_registered_in_one_way() {
    let with = |extra: serde_json::Value| {
        let mut json = serde_json::json!({
            "redirect_uris": ["https://a.example/cb"], "token_endpoint_auth_method": "private_key_jwt"
        });
        json.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        metadata(json)
    };
    let uri = "https://a.example/jwks";
    for (field, extra) in [
        ("jwks", serde_json::json!({})),
        ("jwks", serde_json::json!({"jwks": {"keys": []}})),
        ("jwks", serde_json::json!({"jwks": {"keys": [{"kty": "oct", "k": "AQAB"}]}})),
        ("jwks_uri", serde_json::json!({"jwks": jwks(), "jwks_uri": uri})),
        ("jwks_uri", serde_json::json!({"jwks_uri": "http://127.0.0.1/jwks"})),
        ("jwks_uri", serde_json::json!({"jwks_uri": "com.example.app:/jwks"})),
    ] {
        assert_eq!(with(extra.clone()).unwrap_err().field, field, "{extra}");
    }
    for extra in [
        serde_json::json!({"jwks": jwks(), "assertion_audience_endpoint": true}),
        serde_json::json!({"jwks_uri": uri}),
    ] {
        let original = with(extra).unwrap();
        let column = serde_json::to_value(original.to_draft()).unwrap();
        assert_eq!(metadata(column).unwrap(), original);
    }
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
    let (right, wrong) = (basic_header("app", SECRET), basic_header("app", &"1".repeat(32)));
    let bodies =
        [SECRET, &"1".repeat(32)].map(|text| format!("client_id=app&client_secret={text}"));
    let asserted = [GOOD, BAD].map(|signature| assertion_body("k", signature));
    let tries = [
        (Some(&*right), ""),
        (None, &*bodies[0]),
        (None, &*asserted[0]),
        (None, "client_id=app"),
        (Some(&*wrong), ""),
        (None, &*bodies[1]),
        (None, &*asserted[1]),
    ];
    let fetched = jwk::KeySet::parse(&jwks()).unwrap();
    for (registered, works) in [
        ("client_secret_basic", 0),
        ("client_secret_post", 1),
        ("inline", 2),
        ("published", 2),
        ("none", 3),
    ] {
        for (tried, (authorization, body)) in tries.iter().enumerate() {
            let presented = presented(*authorization, body).unwrap();
            let secrets = stored(None);
            let evidence = Evidence { fetched: Some(&fetched), ..evidence(&secrets, 0) };
            let outcome = client(registered).authenticate(&presented, &evidence, verify);
            match outcome {
                Ok((client, proven)) => {
                    assert_eq!(works, tried, "{registered} with {body}");
                    assert_eq!(proven.is_some(), tried == 2, "{registered} with {body}");
                    assert_eq!(client.id.as_str(), "app");
                }
                Err(why) => {
                    assert_ne!(works, tried, "{registered} with {body}");
                    assert_eq!(why, Unproven::Refused);
                }
            }
        }
    }
}

#[test]
fn w87_secrets_that_linger_do_not_help_a_client_that_signs() {
    // Same secret rows, another registered method: what was left behind opens nothing.
    let secrets = stored(None);
    for body in [format!("client_id=app&client_secret={SECRET}"), "client_id=app".to_owned()] {
        let presented = presented(None, &body).unwrap();
        let outcome = client("inline").authenticate(&presented, &evidence(&secrets, 0), verify);
        assert_eq!(outcome.err(), Some(Unproven::Refused));
    }
}

#[test]
fn w139_keys_are_asked_for_only_when_they_could_decide() {
    let fetched = jwk::KeySet::parse(&jwks()).unwrap();
    let outcome = |registered: &str, kid: &str, keys: Option<&jwk::KeySet>, now: i64| {
        let presented = presented(None, &assertion_body(kid, BAD)).unwrap();
        let evidence = Evidence { fetched: keys, ..evidence(&[], now) };
        client(registered).authenticate(&presented, &evidence, verify).err().unwrap()
    };
    let missing = outcome("published", "k", None, 0);
    assert_eq!(missing, Unproven::KeysMissing);
    assert!(missing.wants_keys());
    let unknown = outcome("published", "new", Some(&fetched), 0);
    assert_eq!(unknown, Unproven::KeyUnknown);
    assert!(unknown.wants_keys());
    // A known key, keys that are registered, and an assertion that is over: nothing to fetch for.
    assert_eq!(outcome("published", "k", Some(&fetched), 0), Unproven::Refused);
    assert_eq!(outcome("inline", "new", Some(&fetched), 0), Unproven::Refused);
    assert_eq!(outcome("published", "k", None, 1000), Unproven::Refused);
    assert!(!Unproven::Refused.wants_keys());
}

#[test]
fn w74_the_client_id_beside_an_assertion_is_the_same() {
    let body = assertion_body("k", GOOD);
    assert!(presented(None, &format!("{body}&client_id=app")).is_ok());
    for bad in [format!("{body}&client_id=other"), format!("{body}&client_id=%20")] {
        assert_eq!(presented(None, &bad).err().unwrap(), Error::client());
    }
    // Its own client, loaded for another name: not even a good signature counts.
    let mut other = client("inline");
    other.id = "other".parse().unwrap();
    let presented = presented(None, &body).unwrap();
    assert!(other.authenticate(&presented, &evidence(&[], 0), verify).is_err());
}

#[test]
fn w73_the_endpoint_counts_as_audience_only_by_registration() {
    let body = assertion(
        &serde_json::json!({"alg": "EdDSA"}),
        &serde_json::json!({"iss": "app", "sub": "app", "aud": ENDPOINT, "exp": 60, "jti": "j"}),
        GOOD,
    );
    let presented = presented(None, &body).unwrap();
    let mut client = client("inline");
    for (opted_in, ok) in [(false, false), (true, true)] {
        client.metadata.assertion_audience_endpoint = opted_in;
        let outcome = client.clone().authenticate(&presented, &evidence(&[], 0), verify);
        assert_eq!(outcome.is_ok(), ok);
    }
}

#[test]
fn half_an_assertion_or_another_kind_of_it_is_a_failed_authentication() {
    let good = assertion_body("k", GOOD);
    let saml = good.replace("jwt-bearer", "saml2-bearer");
    let (text, kind) = good.split_once('&').unwrap();
    for body in [&*saml, text, kind, &format!("{kind}&client_id=app")] {
        assert_eq!(presented(None, body).err().unwrap(), Error::client(), "{body}");
    }
    assert_eq!(presented(Some("Bearer x"), &good).err().unwrap(), Error::client());
    let twice = format!("{good}&{kind}");
    assert_eq!(presented(None, &twice).err().unwrap().code, crate::ErrorCode::InvalidRequest);
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
    let secrets = stored(None);
    let outcome =
        client("client_secret_basic").authenticate(&wrong, &evidence(&secrets, 0), verify);
    assert_eq!(outcome.err(), Some(Unproven::Refused));
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
        let outcome = client("client_secret_basic").authenticate(
            &presented,
            &evidence(&secrets, now),
            verify,
        );
        assert_eq!(outcome.is_ok(), ok);
    }
}
