//! Everything works beneath the issuer, and stays there.

use e2e::{Response, bearer, tokens};
use serde_json::json;

use crate::support::*;
use crate::{At, beside};

/// Every address in a page, and where it redirects to.
fn addresses(response: &Response) -> Vec<String> {
    let text = response.text();
    let mut all: Vec<String> = ["href=\"", "action=\"", "src=\""]
        .iter()
        .flat_map(|attribute| text.split(attribute).skip(1))
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    all.extend(response.header("location").map(str::to_owned));
    all
}

#[track_caller]
fn assert_beneath(response: &Response) {
    for address in addresses(response) {
        let ours = ["/t/acme/", "/static/", "data:,"].iter().any(|own| address.starts_with(own));
        assert!(
            ours || address.starts_with(WEB.redirect) || address.starts_with('#'),
            "{address} in {}",
            response.text()
        );
    }
}

#[test]
fn pages_and_redirects_stay_beneath_the_issuer() {
    let stand = beside();
    let acme = At::acme(&stand);
    let mut browser = stand.browser();
    let ask = Ask::new(WEB).scope("openid orders:read").with("prompt", "consent");
    let mut url = acme.ask(&ask);
    let mut seen = 0;
    for _ in 0..6 {
        let response = browser.client().get(&url);
        assert_beneath(&response);
        let Some(next) = response.header("location") else { break };
        url = format!("{}{next}", stand.issuer());
        seen += 1;
    }
    assert!(seen >= 2);
    browser.open(&url);
    assert!(addresses(&browser.page().response).contains(&"/t/acme/login".to_owned()));
    browser.submit(&[("username", BEN), ("password", "wrong password, to see it again")]);
    assert_beneath(&browser.page().response);
    assert!(browser.page().url.starts_with(&acme.url("/")));
    browser.submit(&[("username", BEN), ("password", PASSWORD)]);
    assert!(asks_consent(browser.page()));
    assert!(browser.page().url.starts_with(&acme.url("/")), "{}", browser.page().url);
    assert_beneath(&browser.page().response);
    let done = browser.submit(&[("decision", "approve")]).clone();
    assert_eq!(done.away_parameter("iss"), Some(acme.issuer()));
    // What a person opens by hand, signed in and not.
    for mut browser in [browser, stand.browser()] {
        for path in [
            "",
            "/login",
            "/logout",
            "/enroll?token=x",
            "/consent",
            "/nothing",
            "/oauth/authorize?client_id=x",
        ] {
            let response = browser.client().get(&acme.url(path));
            assert_beneath(&response);
            assert!(response.status < 500);
        }
    }
    let front = stand.client().get(&acme.url(""));
    assert_eq!(front.location(), "/t/acme/login");
    let posted = stand.client().post(&acme.url("/oauth/authorize"), &ask.pairs());
    assert!(posted.location().starts_with("/t/acme/oauth/authorize?"), "{}", posted.location());
    let posted = stand.client().post(&acme.url("/oauth/logout"), &[("client_id", "web")]);
    assert!(posted.location().starts_with("/t/acme/oauth/logout?"), "{}", posted.location());
}

#[test]
fn the_whole_protocol_works_beneath_the_issuer() {
    let stand = beside();
    let acme = At::acme(&stand);
    for app in [TWIN, POST, SPA, WEB, OPAQUE] {
        println!("{}", app.id);
        let ask = Ask::new(app).scope("openid email offline_access");
        let mut browser = stand.browser();
        let code = acme.code(&mut browser, &ask, BEN);
        let one = Tokens::of(&acme.redeem(app, &code, &ask.pkce.verifier));
        let id = tokens::verify(&one.id, &acme.jwks(), &acme.issuer(), app.id).unwrap();
        let info = acme.userinfo(&one.access).expect(200).json();
        assert_eq!((&info["sub"], &info["email"]), (&id["sub"], &json!(BEN)));
        if app.secret.is_some() {
            let seen = acme.introspect(app, &one.access).expect(200).json();
            assert_eq!((&seen["active"], &seen["iss"]), (&json!(true), &json!(acme.issuer())));
            if app == POST {
                assert_eq!(seen["aud"], json!([acme.issuer()]), "without audiences of its own");
            }
        }
        let two = Tokens::of(&acme.refresh(app, &one.refresh));
        assert_eq!(tokens::claims(&two.id)["iss"], acme.issuer());
        let hint = two.id.as_str();
        let silent = ask.with("prompt", "none").with("id_token_hint", hint);
        let page = browser.open(&acme.ask(&silent)).clone();
        if app == WEB || app.secret.is_some() {
            assert!(page.away_parameter("code").is_some(), "{:?}", page.away);
        }
        acme.call(app, "/oauth/revoke", &[("token", &two.refresh)]).expect(200);
        assert_bearer_refused(&acme.userinfo(&two.access));
        let end = acme.url(&format!("/oauth/logout?{}", e2e::query(&[("id_token_hint", hint)])));
        let gone = browser.open(&end).clone();
        assert_eq!(gone.response.status, 200, "{}", gone.response.text());
        let late = browser.open(&acme.ask(&Ask::new(app).with("prompt", "none"))).clone();
        assert_eq!(late.away_parameter("error").as_deref(), Some("login_required"));
        assert_eq!(late.away_parameter("iss"), Some(acme.issuer()));
    }
}

#[test]
fn the_other_grants_work_beneath_the_issuer() {
    let stand = beside();
    let acme = At::acme(&stand);
    let own =
        Tokens::of(&acme.call(ROBOT, "/oauth/token", &[("grant_type", "client_credentials")]));
    let claims = tokens::verify(&own.access, &acme.jwks(), &acme.issuer(), OTHER).unwrap();
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!(acme.issuer()), &json!(ROBOT.id)));
    assert_eq!(acme.introspect(ORDERS, &own.access).json()["active"], true);

    let ask = Ask::new(PUSHER);
    let uri = acme.pushed(&ask);
    let page = walk(&mut stand.browser(), &acme.front(PUSHER.id, &uri), BEN);
    assert_eq!(page.away_parameter("iss"), Some(acme.issuer()));
    let code = page.away_parameter("code").unwrap();
    Tokens::of(&acme.redeem(PUSHER, &code, &ask.pkce.verifier));

    let subject = acme.issue(&Ask::new(TWIN), BEN);
    let acted = Tokens::of(&acme.exchange(BROKER, &subject.access));
    let claims = tokens::verify(&acted.access, &acme.jwks(), &acme.issuer(), OTHER).unwrap();
    assert_eq!((&claims["iss"], &claims["act"]["sub"]), (&json!(acme.issuer()), &json!(BROKER.id)));
    Tokens::of(&acme.exchange(MASK, &subject.access));
    let api = stand.client().get_with(&format!("{}/api/v1/me", stand.api()), bearer(&acted.access));
    assert_eq!(api.status, 401, "the management API believes the platform alone");
}

#[test]
fn w10_every_answer_names_the_issuer_that_it_comes_from() {
    let stand = beside();
    let (acme, root) = (At::acme(&stand), At::root(&stand));
    for (at, app) in [(acme, TWIN), (root, PLATFORM), (root, RIVAL)] {
        let mut browser = stand.browser();
        for ask in [
            Ask::new(app).scope("openid nothing"),
            Ask::new(app).with("prompt", "none"),
            Ask::new(app).with("response_type", "token"),
            Ask::new(app).without("code_challenge"),
            Ask::new(app).with("request", "e30"),
            Ask::new(app).with("id_token_hint", "e30"),
        ] {
            let page = browser.open(&at.ask(&ask)).clone();
            assert!(page.away_parameter("error").is_some(), "{:?}", ask.pairs());
            assert_eq!(page.away_parameter("iss"), Some(at.issuer()), "{:?}", ask.pairs());
        }
        let form = Ask::new(app).with("prompt", "none").with("response_mode", "form_post");
        let page = browser.open(&at.ask(&form)).clone();
        assert_eq!(page.field("iss"), Some(at.issuer()));
    }
    let mut browser = signed_in(&stand, BEN);
    browser.open(&acme.ask(&Ask::new(WEB).with("prompt", "consent")));
    let page = browser.submit(&[("decision", "deny")]).clone();
    assert_eq!(page.away_parameter("error").as_deref(), Some("access_denied"));
    assert_eq!(page.away_parameter("iss"), Some(acme.issuer()));
}
