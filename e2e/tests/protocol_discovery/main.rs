//! Discovery advertises exactly what works (security.md, W71): each member of both documents is used, value by
//! value, at the address that it names. A member or a value that is not known here fails.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

mod proofs;
#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
#[path = "../support/mod.rs"]
mod support;

use e2e::{Browser, Page, Response, Stand, bearer, query, tokens};
use proofs::{authentication, one_algorithm};
use serde_json::{Value, json};
use support::assertion::{ALGORITHMS, Prover};
use support::deferred::*;
use support::*;

const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const PAYMENT: &str = "payment";
const PAYER: App = App { id: "payer", redirect: "https://payer.example.org/cb", ..WHOLE };
const MODERN: App = App { id: "modern", redirect: "https://modern.example.org/cb", ..WHOLE };

/// A relying party that knows nothing but a document.
struct Party<'a> {
    stand: &'a Stand,
    document: Value,
    /// One client for each algorithm that assertions are signed with.
    provers: Vec<(&'static str, Prover)>,
}

/// How a client proves who it is.
#[derive(Clone, Copy)]
enum Proof<'a> {
    /// As it is registered.
    App(App),
    Key(&'a Prover),
}

impl Party<'_> {
    #[track_caller]
    fn at(&self, member: &str) -> &str {
        self.document[member].as_str().unwrap_or_else(|| panic!("no {member}"))
    }

    #[track_caller]
    fn post(&self, proof: Proof<'_>, endpoint: &str, form: e2e::Form<'_>) -> Response {
        match proof {
            Proof::App(app) => app.post(&mut self.stand.client(), self.at(endpoint), form),
            Proof::Key(prover) => {
                let path = self.at(endpoint).strip_prefix(self.stand.issuer()).unwrap();
                prover.call(self.stand, path, form)
            }
        }
    }

    fn url(&self, ask: &Ask) -> String {
        format!("{}?{}", self.at("authorization_endpoint"), query(&ask.pairs()))
    }

    #[track_caller]
    fn walk(&self, browser: &mut Browser, ask: &Ask, user: &str) -> Page {
        let page = walk(browser, &self.url(ask), user);
        if let Some(iss) = page.away.as_ref().and_then(|_| page.away_parameter("iss")) {
            assert_eq!(iss, self.at("issuer"));
        }
        page
    }

    #[track_caller]
    fn redeem(&self, proof: Proof<'_>, ask: &Ask, code: &str) -> Response {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", ask.app.redirect),
            ("code_verifier", &ask.pkce.verifier),
        ];
        self.post(proof, "token_endpoint", &form)
    }

    #[track_caller]
    fn issue_as(&self, proof: Proof<'_>, ask: &Ask, user: &str) -> Tokens {
        let page = self.walk(&mut self.stand.browser(), ask, user);
        let code = page.away_parameter("code").unwrap();
        Tokens::of(&self.redeem(proof, ask, &code))
    }

    #[track_caller]
    fn issue(&self, ask: &Ask, user: &str) -> Tokens {
        self.issue_as(Proof::App(ask.app), ask, user)
    }

    #[track_caller]
    fn verified(&self, ask: &Ask, token: &str) -> Value {
        let jwks = self.stand.client().get(self.at("jwks_uri")).expect(200).json();
        tokens::verify(token, &jwks, self.at("issuer"), ask.app.id).unwrap()
    }

    #[track_caller]
    fn userinfo(&self, token: &str) -> Value {
        let url = self.at("userinfo_endpoint");
        self.stand.client().get_with(url, bearer(token)).expect(200).json()
    }

    fn prover(&self, algorithm: &str) -> &Prover {
        &self.provers.iter().find(|(own, _)| *own == algorithm).unwrap().1
    }
}

/// Every value of a member that is a list.
#[track_caller]
fn listed(value: &Value) -> Vec<&str> {
    let all = value.as_array().unwrap_or_else(|| panic!("no list: {value}"));
    assert!(!all.is_empty(), "an empty list advertises nothing");
    all.iter().map(|one| one.as_str().unwrap()).collect()
}

/// Tries every value of a list.
#[track_caller]
fn each(party: &Party<'_>, value: &Value, tried: fn(&Party<'_>, &str)) {
    for one in listed(value) {
        tried(party, one);
    }
}

/// Uses a member of the document for real.
#[track_caller]
fn tried(party: &Party<'_>, member: &str, value: &Value) {
    match member {
        "issuer" => assert_eq!(value, party.stand.issuer()),
        "jwks_uri" => drop(party.issue(&Ask::new(TWIN), BEN)),
        one if one.ends_with("_endpoint") => endpoint(party, one),
        "scopes_supported" => each(party, value, one_scope),
        "claims_supported" => claims(party, &listed(value)),
        "response_types_supported" => {
            for kind in listed(value) {
                let ask = Ask::new(TWIN).with("response_type", kind);
                assert!(
                    party
                        .walk(&mut party.stand.browser(), &ask, BEN)
                        .away_parameter("code")
                        .is_some()
                );
            }
        }
        "response_modes_supported" => each(party, value, one_mode),
        "grant_types_supported" => each(party, value, one_grant),
        "prompt_values_supported" => each(party, value, one_prompt),
        "subject_types_supported" => {
            assert_eq!(listed(value), ["pairwise"]);
            let of =
                |app: App| tokens::claims(&party.issue(&Ask::new(app), CLEO).id)["sub"].clone();
            assert_ne!(of(TWIN), of(RIVAL), "one person, two sectors");
        }
        "acr_values_supported" => {
            for acr in listed(value) {
                let ask = Ask::new(TWIN).with("acr_values", acr);
                assert_eq!(party.verified(&ask, &party.issue(&ask, BEN).id)["acr"], acr);
            }
        }
        "ui_locales_supported" => {
            for locale in listed(value) {
                let ask = Ask::new(TWIN).with("ui_locales", locale);
                let page = party.stand.browser().open(&party.url(&ask)).response.text();
                assert!(page.contains(&format!("<html lang=\"{locale}\"")), "{page}");
            }
        }
        "code_challenge_methods_supported" => {
            for method in listed(value) {
                party.issue(&Ask::new(TWIN).with("code_challenge_method", method), BEN);
            }
        }
        "authorization_details_types_supported" => {
            each(party, value, one_detail);
        }
        "backchannel_token_delivery_modes_supported" => {
            each(party, value, one_delivery);
        }
        one if one.contains("_auth_") => authentication(party, one, &listed(value)),
        "id_token_signing_alg_values_supported" => {
            let all = listed(value);
            for needed in ["RS256", "ES256", "PS256", "ES384", "EdDSA"] {
                assert!(all.contains(&needed), "{all:?}");
            }
            each(party, value, one_algorithm);
        }
        other => flag(party, other, value),
    }
}

/// What is offered or not.
#[track_caller]
fn flag(party: &Party<'_>, member: &str, value: &Value) {
    let refused = |ask: &Ask, error: &str| {
        let answer = party.stand.client().get(&party.url(ask));
        assert_red(&answer, &TWIN, error, Some(&ask.state));
    };
    match (member, value.as_bool().unwrap_or_else(|| panic!("{member}: {value}"))) {
        ("claims_parameter_supported", true) => {
            let wanted = json!({ "id_token": { "email": null } }).to_string();
            let ask = Ask::new(TWIN).scope("openid email").with("claims", &wanted);
            assert_eq!(party.verified(&ask, &party.issue(&ask, ANA).id)["email"], ANA);
        }
        ("authorization_response_iss_parameter_supported", true) => {
            let page = party.walk(&mut party.stand.browser(), &Ask::new(TWIN), BEN);
            assert_eq!(page.away_parameter("iss").as_deref(), Some(party.at("issuer")));
        }
        ("request_parameter_supported", false) => {
            refused(&Ask::new(TWIN).with("request", "e30.e30."), "request_not_supported");
        }
        // The names of pushed requests are another thing (RFC 9126 §5), and no URL is ever fetched.
        ("request_uri_parameter_supported", false) => {
            let ask = Ask::new(TWIN).with("request_uri", "https://twin.example.org/request");
            refused(&ask, "request_uri_not_supported");
        }
        ("require_pushed_authorization_requests", false) => drop(party.issue(&Ask::new(TWIN), BEN)),
        ("backchannel_user_code_parameter_supported", false) => one_delivery(party, "poll"),
        other => panic!("advertised, and not known here: {other:?}"),
    }
}

#[track_caller]
fn endpoint(party: &Party<'_>, member: &str) {
    match member {
        "authorization_endpoint" | "token_endpoint" | "userinfo_endpoint" => {
            let one = party.issue(&Ask::new(TWIN), BEN);
            assert_eq!(party.userinfo(&one.access)["sub"], tokens::claims(&one.id)["sub"]);
        }
        "introspection_endpoint" => {
            let one = party.issue(&Ask::new(TWIN), BEN);
            let told = party.post(Proof::App(TWIN), member, &[("token", &one.access)]);
            assert_eq!(told.expect(200).json()["active"], true);
        }
        "revocation_endpoint" => {
            let one = party.issue(&Ask::new(TWIN), BEN);
            party.post(Proof::App(TWIN), member, &[("token", &one.refresh)]).expect(200);
            assert_bearer_refused(&userinfo(party.stand, &one.access));
        }
        "end_session_endpoint" => {
            let mut browser = party.stand.browser();
            let ask = Ask::new(WEB);
            let page = party.walk(&mut browser, &ask, BEN);
            let code = page.away_parameter("code").unwrap();
            let one = Tokens::of(&party.redeem(Proof::App(WEB), &ask, &code));
            let form = [
                ("id_token_hint", one.id.as_str()),
                ("post_logout_redirect_uri", "https://web.example.org/bye"),
            ];
            let page = browser.open(&format!("{}?{}", party.at(member), query(&form))).clone();
            assert_eq!(page.away.as_deref(), Some("https://web.example.org/bye"));
            assert_bearer_refused(&userinfo(party.stand, &one.access));
        }
        "pushed_authorization_request_endpoint" => {
            let ask = Ask::new(TWIN);
            let mut pairs = ask.pairs();
            pairs.retain(|(name, _)| *name != "client_id");
            let reply = party.post(Proof::App(TWIN), member, &pairs).expect(201).json();
            let pairs =
                [("client_id", TWIN.id), ("request_uri", reply["request_uri"].as_str().unwrap())];
            let url = format!("{}?{}", party.at("authorization_endpoint"), query(&pairs));
            let page = walk(&mut party.stand.browser(), &url, BEN);
            let code = page.away_parameter("code").unwrap();
            Tokens::of(&party.redeem(Proof::App(TWIN), &ask, &code));
        }
        "device_authorization_endpoint" => one_grant(party, DEVICE),
        "backchannel_authentication_endpoint" => one_grant(party, CIBA),
        other => panic!("advertised, and not known here: {other}"),
    }
}

#[track_caller]
fn one_scope(party: &Party<'_>, scope: &str) {
    let ask = Ask::new(TWIN).scope(&format!("openid {scope}").replace("openid openid", "openid"));
    let one = party.issue(&ask, ANA);
    let granted = one.reply["scope"].as_str().unwrap().to_owned();
    assert!(granted.split(' ').any(|own| own == scope), "{granted}");
    let info = party.userinfo(&one.access);
    match scope {
        "openid" => assert_eq!(info, json!({ "sub": info["sub"] })),
        "profile" => assert_eq!(info["name"], "Ana Lima"),
        "email" => assert_eq!(info["email"], ANA),
        "offline_access" => {
            sql(party.stand, "UPDATE sessions SET ended_at = now() WHERE ended_at IS NULL");
            let form = [("grant_type", "refresh_token"), ("refresh_token", one.refresh.as_str())];
            Tokens::of(&party.post(Proof::App(TWIN), "token_endpoint", &form));
        }
        other => panic!("advertised, and not known here: {other}"),
    }
}

#[track_caller]
fn claims(party: &Party<'_>, all: &[&str]) {
    let ask = Ask::new(TWIN).scope("openid profile email").with("max_age", "3600");
    let one = party.issue(&ask, ANA);
    let (id, info) = (party.verified(&ask, &one.id), party.userinfo(&one.access));
    for claim in all {
        assert!(id.get(claim).or(info.get(claim)).is_some(), "{claim}: {id} {info}");
    }
    // And nothing is told of which discovery says nothing.
    let known =
        |value: &Value| value.as_object().unwrap().keys().all(|name| all.contains(&name.as_str()));
    assert!(known(&id) && known(&info), "{id} {info}");
}

#[track_caller]
fn one_mode(party: &Party<'_>, mode: &str) {
    let ask = Ask::new(TWIN).with("response_mode", mode);
    let page = party.walk(&mut party.stand.browser(), &ask, BEN);
    let code = match mode {
        "query" => page.away_parameter("code"),
        "form_post" => {
            assert!(page.away.is_none() && page.response.text().contains(TWIN.redirect));
            page.field("code")
        }
        other => panic!("advertised, and not known here: {other}"),
    };
    Tokens::of(&party.redeem(Proof::App(TWIN), &ask, &code.unwrap()));
}

#[track_caller]
fn one_grant(party: &Party<'_>, grant: &str) {
    let ask = Ask::new(WHOLE).scope("openid orders:read");
    let token = |form: e2e::Form<'_>| {
        let form = [&[("grant_type", grant)], form].concat();
        Tokens::of(&party.post(Proof::App(WHOLE), "token_endpoint", &form))
    };
    match grant {
        "authorization_code" => drop(party.issue(&ask, BEN)),
        "refresh_token" => {
            let one = party.issue(&ask, BEN);
            assert!(!token(&[("refresh_token", &one.refresh)]).refresh.is_empty());
        }
        "client_credentials" => assert!(token(&[]).id.is_empty()),
        EXCHANGE => {
            let one = party.issue(&ask, BEN);
            let form = [
                ("subject_token", one.access.as_str()),
                ("subject_token_type", ACCESS),
                ("audience", OTHER),
            ];
            assert_eq!(token(&form).reply["issued_token_type"], ACCESS);
        }
        DEVICE => {
            let at = "device_authorization_endpoint";
            let reply =
                party.post(Proof::App(WHOLE), at, &[("scope", "openid")]).expect(200).json();
            let mut browser = party.stand.browser();
            browser.open(reply["verification_uri"].as_str().unwrap());
            browser.submit(&[("username", BEN), ("password", PASSWORD)]);
            browser.submit(&[("user_code", reply["user_code"].as_str().unwrap())]);
            browser.submit(&[("decision", "approve")]).response.expect(200);
            token(&[("device_code", reply["device_code"].as_str().unwrap())]);
        }
        CIBA => {
            let id = asked_for(party, WHOLE, &[]);
            token(&[("auth_req_id", &id)]);
        }
        other => panic!("advertised, and not known here: {other}"),
    }
}

/// Ben is asked, and agrees.
#[track_caller]
fn asked_for(party: &Party<'_>, app: App, more: e2e::Form<'_>) -> String {
    sql(party.stand, "DELETE FROM deferred_requests");
    let at = "backchannel_authentication_endpoint";
    let form = [&[("scope", "openid"), ("login_hint", BEN)], more].concat();
    let id = auth_req_id(&party.post(Proof::App(app), at, &form));
    at_page(party.stand, "/ciba", BEN).submit(&[("decision", "approve")]).response.expect(200);
    id
}

#[track_caller]
fn one_delivery(party: &Party<'_>, mode: &str) {
    sql(party.stand, "DELETE FROM outbox");
    let token = ("client_notification_token", "a-token-of-36-characters-that-is-ours");
    let (app, form) = match mode {
        "poll" => (BANK, &[][..]),
        "ping" => (SHOP, &[token][..]),
        other => panic!("advertised, and not known here: {other}"),
    };
    let id = asked_for(party, app, form);
    let told = sql(party.stand, "SELECT bearer FROM outbox WHERE kind = 'ciba_ping'");
    assert_eq!(told, if mode == "ping" { token.1 } else { "" });
    let form = [("grant_type", CIBA), ("auth_req_id", id.as_str())];
    Tokens::of(&party.post(Proof::App(app), "token_endpoint", &form));
}

#[track_caller]
fn one_prompt(party: &Party<'_>, prompt: &str) {
    let ask = |app: App| Ask::new(app).with("prompt", prompt);
    let mut browser = signed_in(party.stand, BEN);
    let page = browser.open(&party.url(&ask(TWIN))).clone();
    match prompt {
        "none" => assert!(page.away_parameter("code").is_some()),
        // There is one account at a time here: to choose is to sign in.
        "login" | "select_account" => assert!(asks_password(&page)),
        "consent" => {
            assert!(asks_consent(&page), "{}", page.response.text());
        }
        other => panic!("advertised, and not known here: {other}"),
    }
    if prompt == "none" {
        let nobody = ask(TWIN);
        let answer = party.stand.client().get(&party.url(&nobody));
        assert_red(&answer, &TWIN, "login_required", Some(&nobody.state));
    } else {
        assert!(go_on(&mut browser, BEN).away_parameter("code").is_some());
    }
}

#[track_caller]
fn one_detail(party: &Party<'_>, kind: &str) {
    assert_eq!(kind, PAYMENT);
    let details = json!([{ "type": kind, "amount": "12.00" }]);
    let ask = Ask::new(PAYER).with("authorization_details", &details.to_string());
    let one = party.issue(&ask, BEN);
    assert_eq!(one.reply["authorization_details"], details);
    assert_eq!(tokens::claims(&one.access)["authorization_details"], details);
}

/// The clients that are needed beside those of everybody.
fn prepare(stand: &Stand) -> Vec<(&'static str, Prover)> {
    stand.seed(&whole());
    let schema = json!({ "type": "object", "properties": { "type": { "const": PAYMENT },
        "amount": { "type": "string" } }, "required": ["type", "amount"], "additionalProperties": false });
    let over = json!({ "authorization_details_types": [PAYMENT], "skip_authorization": false });
    stand.seed(&json!({
        "authorization_detail_types": [{ "tenant": "acme", "type": PAYMENT, "schema": schema,
            "summary": "Pay {amount}" }],
        "clients": [client(PAYER, &over)]
    }));
    ALGORITHMS
        .into_iter()
        .map(|algorithm| {
            let id: &'static str = format!("modern-{}", algorithm.to_lowercase()).leak();
            (algorithm, Prover::new(stand, App { id, ..MODERN }, algorithm, &json!({})))
        })
        .collect()
}

#[test]
fn w71_whatever_discovery_names_works_where_it_says() {
    let stand = alone_with_machines();
    let provers = prepare(&stand);
    let at = |name: &str| {
        let url = format!("{}/.well-known/{name}", stand.issuer());
        stand.client().get(&url).expect(200).json()
    };
    // What a tenant has just defined is known to a node within a moment.
    e2e::bench::until("the type is advertised", std::time::Duration::from_secs(60), || {
        let document = at("openid-configuration");
        document["authorization_details_types_supported"].as_array()?.first().map(|_| ())
    });
    let document = at("openid-configuration");
    assert_eq!(at("oauth-authorization-server"), document, "both say the same");
    let party = Party { stand: &stand, document: document.clone(), provers };
    for (member, value) in document.as_object().unwrap() {
        println!("{member}: {value}");
        tried(&party, member, value);
    }
}
