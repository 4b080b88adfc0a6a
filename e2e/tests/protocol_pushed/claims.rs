//! The `claims` parameter (OIDC Core §5.5), pushed and not: it moves what a scope releases into the ID token, and
//! widens nothing.

use e2e::tokens;
use serde_json::json;

use crate::support::*;
use crate::{front, pushed};

/// OIDC Core §5.5: the parameter moves what a scope releases into the ID token, and widens nothing.
#[test]
fn w14_w85_claims_that_are_asked_for_are_in_the_id_token_if_a_scope_releases_them() {
    let stand = together_with_machines();
    let wanted = json!({ "id_token": { "email": { "essential": true }, "given_name": null, "roles": null,
        "sub": null, "iss": { "value": "https://evil.example" } }, "userinfo": { "name": null } });
    for push_it in [false, true] {
        let of = |scope: &str| {
            let ask = Ask::new(TWIN).scope(scope).with("claims", &wanted.to_string());
            let url = if push_it {
                front(&stand, TWIN.id, &pushed(&stand, &ask), &[])
            } else {
                ask.url(&stand)
            };
            let page = walk(&mut stand.browser(), &url, ANA);
            let code = page.away_parameter("code").unwrap();
            let one = Tokens::of(&TWIN.redeem(&stand, &code, &ask.pkce.verifier));
            let access = tokens::claims(&one.access);
            assert!(access.get("email").is_none() && access.get("given_name").is_none());
            let id = tokens::claims(&one.id);
            assert_eq!(id["iss"], stand.issuer());
            assert!(id.get("roles").is_none() && id.get("name").is_none());
            (id.get("email").cloned(), id.get("given_name").cloned())
        };
        assert_eq!(of("openid"), (None, None));
        assert_eq!(of("openid email"), (Some(json!(ANA)), None));
        assert_eq!(of("openid email profile"), (Some(json!(ANA)), Some(json!("Ana"))));
    }
}

#[test]
fn w16_w17_claims_that_name_another_person_or_a_stronger_sign_in_are_not_met() {
    let stand = together_with_machines();
    let mut browser = signed_in(&stand, BEN);
    let one = issue_in(&stand, &mut browser, &Ask::new(TWIN), BEN);
    let own = tokens::claims(&one.id)["sub"].clone();
    let other = tokens::claims(&issue(&stand, &Ask::new(TWIN), ANA).id)["sub"].clone();
    let silent = |claims: &serde_json::Value| {
        Ask::new(TWIN).with("prompt", "none").with("claims", &claims.to_string())
    };
    let sub = |sub: &serde_json::Value| json!({ "id_token": { "sub": { "value": sub } } });
    let page = browser.open(&silent(&sub(&own)).url(&stand)).clone();
    assert!(page.away_parameter("code").is_some(), "{:?}", page.away);
    let page = browser.open(&silent(&sub(&other)).url(&stand)).clone();
    assert_eq!(page.away_parameter("error").as_deref(), Some("login_required"));
    let gold = json!({ "id_token": { "acr": { "essential": true, "values": ["gold"] } } });
    let page = browser.open(&silent(&gold).url(&stand)).clone();
    assert_eq!(
        page.away_parameter("error").as_deref(),
        Some("unmet_authentication_requirements"),
        "{:?}",
        page.away
    );
    for text in ["", "[]", "null", "{", "{\"id_token\":1}", "{\"id_token\":{},\"id_token\":{}}"] {
        let ask = Ask::new(TWIN).with("claims", text);
        let answer = ask.send(&stand);
        // W95: an empty value is no value.
        if text.is_empty() {
            assert_accepted(&answer);
        } else {
            assert_red(&answer, &TWIN, "invalid_request", Some(&ask.state));
        }
    }
}
