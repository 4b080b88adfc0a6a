use proptest::prelude::*;

use super::*;
use crate::Timestamp;
use crate::client::{Draft, Metadata};
use crate::form::encode;
use crate::ids::ClientKey;

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn client(extra: &serde_json::Value) -> Client {
    let mut json = serde_json::json!({
        "redirect_uris": ["https://app.example/cb", "http://127.0.0.1/cb"],
        "grant_types": ["authorization_code", "refresh_token"],
        "scope": "openid profile email read", "audiences": ["https://api.example"],
    });
    for (name, value) in extra.as_object().unwrap() {
        json[name] = value.clone();
    }
    Client {
        key: ClientKey(uuid::Uuid::nil()),
        id: "app".parse().unwrap(),
        tenant: None,
        metadata: Metadata::try_from(serde_json::from_value::<Draft>(json).unwrap()).unwrap(),
    }
}

fn plain_client() -> Client {
    client(&serde_json::json!({}))
}

fn query(changes: &[(&str, Option<&str>)]) -> String {
    let mut parameters = vec![
        ("client_id", "app"),
        ("redirect_uri", "https://app.example/cb"),
        ("response_type", "code"),
        ("scope", "openid profile"),
        ("state", "st"),
        ("nonce", "n"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        parameters.retain(|(own, _)| own != name);
        if let Some(value) = value {
            parameters.push((name, value));
        }
    }
    parameters.iter().map(|(n, v)| format!("{n}={}", encode(v))).collect::<Vec<_>>().join("&")
}

fn bind(query: &str, client: &Client) -> Result<Bound, PageError> {
    Unbound::parse(query.as_bytes())?.bind(client)
}

fn checked(changes: &[(&str, Option<&str>)]) -> Result<Request, ErrorCode> {
    checked_for(&plain_client(), changes)
}

fn checked_for(client: &Client, changes: &[(&str, Option<&str>)]) -> Result<Request, ErrorCode> {
    bind(&query(changes), client)
        .unwrap()
        .check(client, &ScopeSet::default())
        .map_err(|refusal| refusal.code)
}

#[test]
fn a_plain_request_is_accepted() {
    let request = checked(&[]).unwrap();
    assert_eq!(request.scopes.to_string(), "openid profile");
    assert_eq!(request.back.state.as_deref(), Some("st"));
    let stored = serde_json::to_value(&request).unwrap();
    assert_eq!(serde_json::from_value::<Request>(stored).unwrap(), request);
}

#[test]
fn w7_w8_until_client_and_redirect_are_known_every_error_is_a_page() {
    let client = plain_client();
    let hostile = "https://evil.example/cb";
    for cause in [
        ("scope", Some("nope")),
        ("prompt", Some("none")),
        ("prompt", Some("none login")),
        ("response_type", Some("token")),
        ("response_type", None),
        ("code_challenge", None),
        ("code_challenge_method", Some("plain")),
        ("request", Some("eyJ")),
        ("max_age", Some("-1")),
    ] {
        let text = query(&[("redirect_uri", Some(hostile)), cause]);
        assert_eq!(bind(&text, &client).err(), Some(PageError::RedirectUri), "{cause:?}");
    }
    for bad in ["", "redirect_uri=https%3A%2F%2Fapp.example%2Fcb", "client_id=", "client_id=a%20b"]
    {
        assert_eq!(bind(bad, &client).err(), Some(PageError::Client), "{bad}");
    }
    let twice = format!("{}&redirect_uri={}", query(&[]), encode(hostile));
    assert_eq!(bind(&twice, &client).err(), Some(PageError::RedirectUri));
    let twice = format!("{}&client_id=app", query(&[]));
    assert_eq!(bind(&twice, &client).err(), Some(PageError::Client));
    assert_eq!(
        bind(&query(&[("redirect_uri", None)]), &client).err(),
        Some(PageError::RedirectUri)
    );
    assert_eq!(
        bind("client_id=app&x=%zz", &client).err(),
        Some(PageError::Malformed(FormError::Encoding))
    );
}

#[test]
fn w8_a_repeated_parameter_is_an_error_that_the_client_hears() {
    let client = plain_client();
    for name in ["state", "scope", "nonce", "response_type", "unknown"] {
        let twice = format!("{}&{name}=a&{name}=b", query(&[(name, None)]));
        let refusal =
            bind(&twice, &client).unwrap().check(&client, &ScopeSet::default()).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::InvalidRequest, "{name}");
    }
}

#[test]
fn w9_only_code_by_query_or_form() {
    for bad in ["token", "id_token", "code token", "code id_token", "none", "CODE", "Code"] {
        let outcome = checked(&[("response_type", Some(bad))]);
        assert_eq!(outcome.unwrap_err(), ErrorCode::UnsupportedResponseType, "{bad}");
    }
    for bad in ["fragment", "web_message", "jwt", "QUERY"] {
        assert_eq!(
            checked(&[("response_mode", Some(bad))]).unwrap_err(),
            ErrorCode::InvalidRequest,
            "{bad}"
        );
    }
    assert_eq!(
        checked(&[("response_mode", Some("form_post"))]).unwrap().back.mode,
        ResponseMode::FormPost
    );
}

#[test]
fn w12_pkce_is_s256_or_nothing_goes_on() {
    for (challenge, method) in [
        (None, None),
        (None, Some("S256")),
        (Some(CHALLENGE), None),
        (Some(CHALLENGE), Some("plain")),
        (Some(CHALLENGE), Some("s256")),
        (Some(&CHALLENGE[1..]), Some("S256")),
        (Some("a+b"), Some("S256")),
    ] {
        let outcome = checked(&[("code_challenge", challenge), ("code_challenge_method", method)]);
        assert_eq!(outcome.unwrap_err(), ErrorCode::InvalidRequest, "{challenge:?} {method:?}");
    }
}

#[test]
fn w12_the_downgrade_needs_registration_openid_and_a_nonce() {
    let old = client(&serde_json::json!({"require_pkce": false}));
    let none = [("code_challenge", None), ("code_challenge_method", None)];
    assert!(checked_for(&old, &none).unwrap().challenge.is_none());
    assert!(checked_for(&old, &[none[0], none[1], ("nonce", None)]).is_err());
    assert!(checked_for(&old, &[none[0], none[1], ("scope", Some("read"))]).is_err());
    // A challenge that is sent is always enforced.
    assert!(checked_for(&old, &[]).unwrap().challenge.is_some());
}

#[test]
fn w13_scopes_beyond_the_registration_are_refused() {
    for bad in ["openid write", "opentrusty:admin", "a\"b", "OPENID"] {
        assert_eq!(checked(&[("scope", Some(bad))]).unwrap_err(), ErrorCode::InvalidScope, "{bad}");
    }
    let client = plain_client();
    let defaults = "read write".parse().unwrap();
    let request =
        bind(&query(&[("scope", None)]), &client).unwrap().check(&client, &defaults).unwrap();
    assert_eq!(
        request.scopes.to_string(),
        "read",
        "defaults never exceed what the client may have"
    );
    assert_eq!(checked(&[("scope", None)]).unwrap_err(), ErrorCode::InvalidScope);
}

#[test]
fn w16_prompt_and_max_age_are_read_strictly() {
    for bad in ["none login", "consent none", "maybe", "LOGIN"] {
        assert_eq!(
            checked(&[("prompt", Some(bad))]).unwrap_err(),
            ErrorCode::InvalidRequest,
            "{bad}"
        );
    }
    for bad in ["-1", "+1", "1e3", "0x10", "1.0", "99999999999999999999", "NaN", " 5"] {
        assert_eq!(
            checked(&[("max_age", Some(bad))]).unwrap_err(),
            ErrorCode::InvalidRequest,
            "{bad}"
        );
    }
}

#[test]
fn w18_an_oversized_state_is_not_echoed() {
    let client = plain_client();
    let text = query(&[("state", Some(&"s".repeat(4097)))]);
    let refusal = bind(&text, &client).unwrap().check(&client, &ScopeSet::default()).unwrap_err();
    assert_eq!((refusal.code, refusal.back.state), (ErrorCode::InvalidRequest, None));
    assert_eq!(
        checked(&[("nonce", Some(&"n".repeat(256)))]).unwrap_err(),
        ErrorCode::InvalidRequest
    );
    assert!(checked(&[("nonce", Some(&"n".repeat(255)))]).is_ok());
}

#[test]
fn w20_what_is_not_served_is_refused_by_name() {
    assert_eq!(checked(&[("request", Some("e"))]).unwrap_err(), ErrorCode::RequestNotSupported);
    let uri = checked(&[("request_uri", Some("https://evil.example/r"))]);
    assert_eq!(uri.unwrap_err(), ErrorCode::RequestUriNotSupported);
    let registration = checked(&[("registration", Some("{}"))]);
    assert_eq!(registration.unwrap_err(), ErrorCode::RegistrationNotSupported);
}

#[test]
fn audiences_are_the_clients_own() {
    let own = checked(&[("resource", Some("https://api.example"))]).unwrap();
    assert_eq!(own.audiences, ["https://api.example"]);
    let foreign = checked(&[("audience", Some("https://other.example"))]);
    assert_eq!(foreign.unwrap_err(), ErrorCode::InvalidTarget);
}

#[test]
fn w10_w18_answers_carry_iss_and_escape_what_they_echo() {
    let client = plain_client();
    let text = query(&[("state", Some("\"><script>\r\nx&y"))]);
    let back = bind(&text, &client).unwrap().check(&client, &ScopeSet::default()).unwrap().back;
    let location = back.location(&back.code("https://as.example", "otc_1"));
    assert_eq!(
        location,
        "https://app.example/cb?code=otc_1&state=%22%3E%3Cscript%3E%0D%0Ax%26y&iss=https%3A%2F%2Fas.example"
    );
    let refusal = Refusal { code: ErrorCode::AccessDenied, description: "no", back: back.clone() };
    assert!(
        back.location(&back.error("https://as.example", &refusal))
            .contains("&iss=https%3A%2F%2Fas.example")
    );
}

#[test]
fn a_query_that_is_registered_is_retained() {
    let client = client(&serde_json::json!({"redirect_uris": ["https://app.example/cb?t=1"]}));
    let text = query(&[("redirect_uri", Some("https://app.example/cb?t=1")), ("state", None)]);
    let back = bind(&text, &client).unwrap().check(&client, &ScopeSet::default()).unwrap().back;
    assert!(
        back.location(&back.code("i", "c")).starts_with("https://app.example/cb?t=1&code=c&iss=")
    );
}

// ---------------------------------------------------------------------------------------------------

const NOW: Timestamp = Timestamp(1_000_000);

fn facts(age: i64) -> Facts {
    Facts {
        signed_in: Some(SignedIn {
            auth_time: Timestamp(NOW.0 - age),
            member: true,
            as_hinted: true,
        }),
        authenticated_here: false,
        consented_here: false,
        remembered: "openid profile".parse().unwrap(),
    }
}

#[test]
fn nobody_signed_in_means_sign_in_or_login_required() {
    let nobody = Facts { signed_in: None, ..facts(0) };
    let client = plain_client();
    let asking = checked(&[]).unwrap();
    assert_eq!(next(&asking, &client, &nobody, NOW), Step::Authenticate);
    assert_eq!(super::nobody(&asking), Step::Authenticate);
    let silent = checked(&[("prompt", Some("none"))]).unwrap();
    assert_eq!(next(&silent, &client, &nobody, NOW), super::nobody(&silent));
    assert!(matches!(
        next(&silent, &client, &nobody, NOW),
        Step::Refuse(ErrorCode::LoginRequired, _)
    ));
}

#[test]
fn w16_max_age_and_prompt_login_mean_within_this_interaction() {
    let client = plain_client();
    for (changes, age, expected) in [
        ([("max_age", Some("60"))], 60, Step::Issue),
        ([("max_age", Some("60"))], 61, Step::Authenticate),
        ([("max_age", Some("0"))], 0, Step::Authenticate),
        ([("prompt", Some("login"))], 0, Step::Authenticate),
        ([("prompt", Some("select_account"))], 0, Step::Authenticate),
    ] {
        let request = checked(&changes).unwrap();
        assert_eq!(next(&request, &client, &facts(age), NOW), expected, "{changes:?} at {age}");
        let here = Facts { authenticated_here: true, ..facts(0) };
        assert_eq!(
            next(&request, &client, &here, NOW),
            Step::Issue,
            "{changes:?} after signing in"
        );
    }
}

#[test]
fn w15_prompt_none_never_stretches_a_consent() {
    let client = plain_client();
    let more = [("prompt", Some("none")), ("scope", Some("openid profile email"))];
    let outcome = next(&checked(&more).unwrap(), &client, &facts(0), NOW);
    assert!(matches!(outcome, Step::Refuse(ErrorCode::ConsentRequired, _)));
    let asked = next(&checked(&more[1..]).unwrap(), &client, &facts(0), NOW);
    assert_eq!(asked, Step::Consent("email".parse().unwrap()));
    let again = next(&checked(&[("prompt", Some("consent"))]).unwrap(), &client, &facts(0), NOW);
    assert_eq!(again, Step::Consent("openid profile".parse().unwrap()));
}

#[test]
fn w15_a_native_public_client_always_gets_a_page() {
    let native = client(&serde_json::json!({
        "token_endpoint_auth_method": "none", "skip_authorization": true
    }));
    let loopback = [("redirect_uri", Some("http://127.0.0.1:5000/cb"))];
    let request = checked_for(&native, &loopback).unwrap();
    assert!(matches!(next(&request, &native, &facts(0), NOW), Step::Consent(_)));
    let here = Facts { authenticated_here: true, ..facts(0) };
    assert_eq!(next(&request, &native, &here, NOW), Step::Issue);
    assert_eq!(next(&checked_for(&native, &[]).unwrap(), &native, &facts(0), NOW), Step::Issue);
}

#[test]
fn a_stranger_to_the_tenant_is_refused() {
    let stranger = Facts {
        signed_in: Some(SignedIn { auth_time: NOW, member: false, as_hinted: true }),
        ..facts(0)
    };
    let outcome = next(&checked(&[]).unwrap(), &plain_client(), &stranger, NOW);
    assert!(matches!(outcome, Step::Refuse(ErrorCode::AccessDenied, _)));
}

#[test]
fn w17_a_hint_about_somebody_else_never_gets_this_users_code() {
    let client = plain_client();
    let other = SignedIn { auth_time: NOW, member: true, as_hinted: false };
    let here =
        |authenticated_here| Facts { signed_in: Some(other), authenticated_here, ..facts(0) };
    let silent = checked(&[("prompt", Some("none"))]).unwrap();
    assert!(matches!(
        next(&silent, &client, &here(false), NOW),
        Step::Refuse(ErrorCode::LoginRequired, _)
    ));
    let request = checked(&[]).unwrap();
    assert_eq!(next(&request, &client, &here(false), NOW), Step::Authenticate);
    assert!(matches!(
        next(&request, &client, &here(true), NOW),
        Step::Refuse(ErrorCode::LoginRequired, _)
    ));
}

/// A request that was pushed, or begun, before the client lost what it is about.
#[test]
fn w33_what_a_client_lost_since_it_asked_is_neither_asked_for_nor_issued() {
    let request = checked(&[]).unwrap();
    let signed_in = SignedIn { auth_time: NOW, member: true, as_hinted: true };
    let facts = Facts {
        signed_in: Some(signed_in),
        authenticated_here: true,
        consented_here: true,
        remembered: request.scopes.clone(),
    };
    let step = |change: serde_json::Value| next(&request, &client(&change), &facts, NOW);
    assert_eq!(step(serde_json::json!({})), Step::Issue);
    for (change, code) in [
        (serde_json::json!({ "grant_types": [] }), ErrorCode::UnauthorizedClient),
        (serde_json::json!({ "scope": "openid" }), ErrorCode::InvalidScope),
    ] {
        let step = step(change);
        assert!(matches!(step, Step::Refuse(found, _) if found == code), "{step:?}");
    }
}

proptest! {
    /// Whatever is asked and whatever is known: a code is issued only to a signed-in member, who consented
    /// to every scope or whose administrator did, and whose sign-in is as fresh as asked.
    #[test]
    fn nothing_is_issued_without_sign_in_and_consent(
        signed_in in any::<bool>(), member in any::<bool>(), age in 0_i64..1000,
        authenticated_here in any::<bool>(), consented_here in any::<bool>(), remembered in any::<bool>(),
        first_party in any::<bool>(), none in any::<bool>(), login in any::<bool>(), consent in any::<bool>(),
        max_age in proptest::option::of(0_u32..1000), as_hinted in any::<bool>(),
    ) {
        let client = client(&serde_json::json!({"skip_authorization": first_party}));
        let mut request = checked(&[]).unwrap();
        request.prompt = Prompt { none, login: login && !none, consent: consent && !none, select_account: false };
        request.max_age = max_age;
        let facts = Facts {
            signed_in: signed_in.then_some(SignedIn { auth_time: Timestamp(NOW.0 - age), member, as_hinted }),
            authenticated_here,
            consented_here,
            remembered: if remembered { request.scopes.clone() } else { ScopeSet::default() },
        };
        let step = next(&request, &client, &facts, NOW);
        if step == Step::Issue {
            prop_assert!(signed_in && member && as_hinted);
            prop_assert!(consented_here || (!request.prompt.consent && (first_party || remembered)));
            prop_assert!(authenticated_here || !request.prompt.login);
            let fresh = max_age.is_none_or(|max| max > 0 && age <= i64::from(max));
            prop_assert!(authenticated_here || fresh);
        }
        if none {
            prop_assert!(matches!(step, Step::Issue | Step::Refuse(..)), "prompt=none shows no page");
        }
    }
}
