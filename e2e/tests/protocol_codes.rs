//! Authorization codes at the token endpoint (security.md, group B): used once, by whom they were made for.

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use e2e::{basic, tokens};
use support::*;

const CLIENTS: [App; 9] = [WEB, TWIN, POST, SPA, SPA2, BRIEF, OLD, RETRY, QUERY];

#[test]
fn w21_a_replayed_code_is_refused_and_kills_what_came_of_it() {
    let stand = together();
    for app in [TWIN, POST, RETRY] {
        let ask = Ask::new(app).scope("openid offline_access");
        let code = code(&stand, &ask, BEN);
        let tokens = Tokens::of(&app.redeem(&stand, &code, &ask.pkce.verifier));
        let next = Tokens::of(&app.refresh(&stand, &tokens.refresh));
        assert!(is_alive(&stand, app, &tokens.access) && is_alive(&stand, app, &next.access));

        assert_tok(&app.redeem(&stand, &code, &ask.pkce.verifier), "invalid_grant");
        assert!(!is_alive(&stand, app, &tokens.access) && !is_alive(&stand, app, &next.access));
        assert_inactive(&app.introspect(&stand, &next.refresh));
        assert_bearer_refused(&userinfo(&stand, &next.access));
        assert_tok(&app.refresh(&stand, &next.refresh), "invalid_grant");
        let grant = grant_of(&stand, &code);
        assert_eq!(audits(&stand, "code.reused", &grant), 1, "AUD(code_reuse)");
        assert_tok(&app.redeem(&stand, &code, &ask.pkce.verifier), "invalid_grant");
    }
}

#[test]
fn w21_a_replay_with_a_wrong_verifier_or_uri_kills_just_as_well() {
    let stand = together();
    let stolen = |form: &[(&str, &str)]| TWIN.call(&stand, "/oauth/token", form);
    for (uri, verifier) in
        [(TWIN.redirect, random()), ("https://evil.example/cb", random()), ("", String::new())]
    {
        let ask = Ask::new(TWIN);
        let code = code(&stand, &ask, BEN);
        let tokens = Tokens::of(&TWIN.redeem(&stand, &code, &ask.pkce.verifier));
        let answer = stolen(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", uri),
            ("code_verifier", &verifier),
        ]);
        assert_tok(&answer, "invalid_grant");
        assert!(!is_alive(&stand, TWIN, &tokens.access));
        assert_tok(&TWIN.refresh(&stand, &tokens.refresh), "invalid_grant");
    }
}

/// All ordered pairs: the same redirect URI, public and confidential, other ways to authenticate.
#[test]
fn w23_no_other_client_can_redeem_a_code() {
    let stand = together();
    let mut browser = signed_in(&stand, BEN);
    for owner in CLIENTS {
        for thief in CLIENTS {
            if owner == thief {
                continue;
            }
            let ask = Ask::new(owner);
            let code = code_in(&stand, &mut browser, &ask, BEN);
            let form = [
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("redirect_uri", owner.redirect),
                ("code_verifier", &ask.pkce.verifier),
            ];
            println!("{} redeems a code of {}", thief.id, owner.id);
            assert_tok(&thief.call(&stand, "/oauth/token", &form), "invalid_grant");
            let issued = format!(
                "SELECT (SELECT count(*) FROM access_tokens WHERE grant_id = '{0}')
                      + (SELECT count(*) FROM refresh_tokens WHERE grant_id = '{0}')",
                grant_of(&stand, &code)
            );
            assert_eq!(sql(&stand, &issued), "0");
            // Whoever proved who they are burned it. A public client proves nothing about another's code.
            if thief.secret.is_some() {
                let late = owner.redeem(&stand, &code, &ask.pkce.verifier);
                assert_tok(&late, "invalid_grant");
            }
        }
    }
}

#[test]
fn w23_whoever_does_not_authenticate_burns_nothing() {
    let stand = together();
    let mut browser = signed_in(&stand, BEN);
    let url = format!("{}/oauth/token", stand.issuer());
    for owner in [TWIN, POST, SPA] {
        let ask = Ask::new(owner);
        let code = code_in(&stand, &mut browser, &ask, BEN);
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", owner.redirect),
            ("code_verifier", &ask.pkce.verifier),
        ];
        let mut client = stand.client();
        let before = digest_of_code(&stand, &code);
        for id in [TWIN.id, POST.id, "nobody"] {
            assert_client_refused(&client.post_with(&url, &[basic(id, &random())], &form), true);
            let with = [&form[..], &[("client_id", id), ("client_secret", "wrong")]].concat();
            assert_client_refused(&client.post(&url, &with), false);
            let named = [&form[..], &[("client_id", id)]].concat();
            assert_client_refused(&client.post(&url, &named), false);
        }
        assert_client_refused(&client.post(&url, &form), false);
        assert_eq!(digest_of_code(&stand, &code), before);
        Tokens::of(&owner.redeem(&stand, &code, &ask.pkce.verifier));
    }
}

/// protocol.md: "a public client counts as authenticated for its own `client_id` only". Anybody can call
/// themselves by a public client's name, so that name must not be enough to spend another's code.
#[test]
fn w23_a_public_client_cannot_burn_a_code_that_is_not_its_own() {
    let stand = together();
    for owner in [TWIN, SPA] {
        let ask = Ask::new(owner);
        let code = code(&stand, &ask, BEN);
        assert_tok(&SPA2.redeem(&stand, &code, &ask.pkce.verifier), "invalid_grant");
        Tokens::of(&owner.redeem(&stand, &code, &ask.pkce.verifier));
    }
}

fn grant_of(stand: &e2e::Stand, code: &str) -> String {
    sql(stand, &format!("SELECT grant_id FROM codes WHERE code_hash = sha256('{code}')"))
}

fn digest_of_code(stand: &e2e::Stand, code: &str) -> String {
    let found = sql(stand, &format!("SELECT * FROM codes WHERE code_hash = sha256('{code}')"));
    assert!(!found.is_empty(), "the code is stored by its hash");
    found
}

/// What is sent as `code_verifier`.
type Verifier = fn(&Ask) -> String;

#[test]
fn w12_w24_what_does_not_fit_the_request_is_refused_and_burns_the_code() {
    let stand = together();
    let mut browser = signed_in(&stand, BEN);
    let right: Verifier = |ask| ask.pkce.verifier.clone();
    let own = TWIN.redirect;
    // What is empty here is not sent at all.
    let cases: [(&str, &str, Verifier); 10] = [
        ("no verifier", own, |_| String::new()),
        ("another verifier", own, |_| random()),
        ("the challenge itself", own, |ask| ask.pkce.challenge.clone()),
        ("a padded verifier", own, |ask| format!("{}=", ask.pkce.verifier)),
        ("a short verifier", own, |ask| ask.pkce.verifier.chars().take(42).collect()),
        ("a long verifier", own, |_| "v".repeat(129)),
        ("a verifier with a space", own, |ask| format!("{} ", ask.pkce.verifier)),
        ("no redirect_uri", "", right),
        ("another redirect_uri", "https://web.example.org/cb/", right),
        ("redirect_uri in capitals", "https://WEB.example.org/cb", right),
    ];
    for (what, uri, verifier) in cases {
        let ask = Ask::new(TWIN);
        let code = code_in(&stand, &mut browser, &ask, BEN);
        let verifier = verifier(&ask);
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", uri),
            ("code_verifier", &verifier),
        ];
        form.retain(|(_, value)| !value.is_empty());
        println!("{what}");
        assert_tok(&TWIN.call(&stand, "/oauth/token", &form), "invalid_grant");
        assert_tok(&TWIN.redeem(&stand, &code, &ask.pkce.verifier), "invalid_grant");
    }
}

#[test]
fn w12_a_client_without_pkce_needs_openid_and_a_nonce_and_a_challenge_that_is_sent_counts() {
    let stand = together();
    let bare = || Ask::new(OLD).without("code_challenge").without("code_challenge_method");
    for wrong in [
        bare().without("nonce"),
        bare().with("nonce", ""),
        bare().scope("profile"),
        bare().scope("email orders:read"),
    ] {
        assert_red(&wrong.send(&stand), &OLD, "invalid_request", Some(&wrong.state));
    }
    // Without: no verifier is asked for. One that was never announced is a sign of a swapped request.
    let ask = bare();
    let code_1 = code(&stand, &ask, BEN);
    let form =
        [("grant_type", "authorization_code"), ("code", &code_1), ("redirect_uri", OLD.redirect)];
    Tokens::of(&OLD.call(&stand, "/oauth/token", &form));
    let code_2 = code(&stand, &bare(), BEN);
    assert_tok(&OLD.redeem(&stand, &code_2, &random()), "invalid_grant");
    // With: enforced.
    let with = Ask::new(OLD);
    let code_3 = code(&stand, &with, BEN);
    let form =
        [("grant_type", "authorization_code"), ("code", &code_3), ("redirect_uri", OLD.redirect)];
    assert_tok(&OLD.call(&stand, "/oauth/token", &form), "invalid_grant");
    assert_tok(&OLD.redeem(&stand, &code_3, &with.pkce.verifier), "invalid_grant");
}

#[test]
fn w25_a_code_lives_sixty_seconds_by_the_databases_clock() {
    let stand = together();
    let ask = Ask::new(TWIN);
    let old = code(&stand, &ask, BEN);
    let window = sql(
        &stand,
        &format!(
            "SELECT extract(epoch FROM expires_at - created_at) <= 60 FROM codes WHERE code_hash = sha256('{old}')"
        ),
    );
    assert_eq!(window, "t");
    sql(
        &stand,
        &format!(
            "UPDATE codes SET expires_at = now() - interval '1 ms' WHERE code_hash = sha256('{old}')"
        ),
    );
    assert_tok(&TWIN.redeem(&stand, &old, &ask.pkce.verifier), "invalid_grant");
}

#[test]
fn w30_a_grant_is_for_those_who_have_it() {
    let stand = alone();
    let tokens = issue(&stand, &Ask::new(TWIN), BEN);
    let before = digest(&stand);
    for kind in [
        "password",
        "implicit",
        "Authorization_Code",
        "authorization_code ",
        "code",
        "x",
        "refresh",
    ] {
        let form =
            [("grant_type", kind), ("username", BEN), ("password", PASSWORD), ("scope", "openid")];
        for app in [TWIN, SPA, POST] {
            assert_tok(&app.call(&stand, "/oauth/token", &form), "unsupported_grant_type");
        }
    }
    for form in [&[("scope", "openid")][..], &[("grant_type", "")]] {
        assert_tok(&TWIN.call(&stand, "/oauth/token", form), "invalid_request");
    }
    // Registered for codes alone.
    assert_tok(&BRIEF.refresh(&stand, &random()), "unauthorized_client");
    assert_eq!(digest(&stand), before);
    let brief = issue(&stand, &Ask::new(BRIEF), BEN);
    assert_eq!(brief.refresh, "", "no refresh token without the grant");
    assert!(is_alive(&stand, TWIN, &tokens.access));
}

#[test]
fn w26_no_artefact_passes_where_another_is_expected() {
    let stand = alone();
    let mut browser = signed_in(&stand, BEN);
    let ask = Ask::new(TWIN).scope("openid offline_access");
    let live = issue_in(&stand, &mut browser, &ask, BEN);
    let waiting = Ask::new(TWIN);
    let code = code_in(&stand, &mut browser, &waiting, BEN);
    browser.open(&Ask::new(WEB).with("prompt", "consent").url(&stand));
    let page = browser.page().clone();
    let cookies = browser.client().cookies().clone();
    let cookie = |part: &str| {
        cookies.iter().find(|(n, _)| n.contains(part)).map(|(_, v)| v.clone()).unwrap()
    };
    let secret = TWIN.secret.unwrap().to_owned();
    let all = [
        ("code", code.clone()),
        ("access", live.access.clone()),
        ("refresh", live.refresh.clone()),
        ("id", live.id.clone()),
        ("session", cookie("session")),
        ("browser", cookie("browser")),
        ("csrf", page.field("csrf").unwrap()),
        ("interaction", page.field("interaction").unwrap()),
        ("secret", secret),
        ("verifier", waiting.pkce.verifier.clone()),
        ("client_id", TWIN.id.into()),
    ];
    let before = digest(&stand);
    for (kind, artefact) in &all {
        println!("{kind}");
        let at = |sink: &str| *kind != sink;
        if at("code") {
            assert_tok(&TWIN.redeem(&stand, artefact, &waiting.pkce.verifier), "invalid_grant");
        }
        if at("refresh") {
            assert_tok(&TWIN.refresh(&stand, artefact), "invalid_grant");
        }
        if at("access") && at("refresh") {
            assert_inactive(&TWIN.introspect(&stand, artefact));
            TWIN.revoke(&stand, artefact).expect(200);
        }
        if at("access") {
            assert_bearer_refused(&userinfo(&stand, artefact));
        }
        sinks_of_pages(&stand, kind, artefact);
    }
    assert_eq!(digest(&stand), before);
    assert!(is_alive(&stand, TWIN, &live.access));
    Tokens::of(&TWIN.refresh(&stand, &live.refresh));
    Tokens::of(&TWIN.redeem(&stand, &code, &waiting.pkce.verifier));
}

fn sinks_of_pages(stand: &e2e::Stand, kind: &str, artefact: &str) {
    let issuer = stand.issuer();
    if kind != "secret" {
        let url = format!("{issuer}/oauth/token");
        let form = [("grant_type", "refresh_token"), ("refresh_token", "x")];
        assert_client_refused(
            &stand.client().post_with(&url, &[basic(TWIN.id, artefact)], &form),
            true,
        );
    }
    if kind != "session" {
        let mut client = stand.client();
        client.put_cookie("__Host-opentrusty_session", artefact);
        let page = client.get(&format!("{issuer}/login"));
        assert!(page.expect(200).text().contains("name=\"password\""), "{kind} is a session");
    }
    if kind != "interaction" {
        let mut client = stand.client();
        for name in ["__Host-opentrusty_session", "__Host-opentrusty_browser"] {
            client.put_cookie(name, artefact);
        }
        assert_own_page(&client.get(&format!("{issuer}/oauth/authorize/{artefact}")));
        assert_page(&client.get(&format!("{issuer}/consent?interaction={artefact}")));
    }
    assert_page(&stand.client().get(&format!("{issuer}/enroll?token={artefact}")));
    if kind != "id" {
        assert_page(
            &stand.client().get(&format!("{issuer}/oauth/logout?id_token_hint={artefact}")),
        );
    }
    let form = [("username", BEN), ("password", PASSWORD), ("csrf", artefact)];
    let mut client = stand.client();
    client.get(&format!("{issuer}/login"));
    client.post(&format!("{issuer}/login"), &form).expect(403);
}

/// What an access token of a person has, in order.
const ACCESS_MEMBERS: [&str; 12] = [
    "acr",
    "amr",
    "aud",
    "auth_time",
    "client_id",
    "exp",
    "iat",
    "iss",
    "jti",
    "scope",
    "sid",
    "sub",
];

/// What an ID token has, in order.
const ID_MEMBERS: [&str; 11] =
    ["acr", "amr", "at_hash", "aud", "auth_time", "exp", "iat", "iss", "nonce", "sid", "sub"];

#[test]
fn w91_tokens_have_exactly_these_members() {
    let stand = together();
    let jwks = stand.client().get(&format!("{}/.well-known/jwks.json", stand.issuer())).json();
    for (app, alg) in [(TWIN, "RS256"), (RETRY, "ES256")] {
        let ask = Ask::new(app).scope("openid email");
        let issued = issue(&stand, &ask, ANA);
        let keys = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        let mut reply = keys(&issued.reply);
        reply.sort();
        assert_eq!(
            reply,
            ["access_token", "expires_in", "id_token", "refresh_token", "scope", "token_type"]
        );
        assert_eq!(
            (&issued.reply["expires_in"], &issued.reply["scope"]),
            (&3600.into(), &"email openid".into())
        );

        for token in [&issued.access, &issued.id] {
            let mut header = keys(&tokens::header(token));
            header.sort();
            assert_eq!(header, ["alg", "kid", "typ"]);
        }
        let (head, id_head) = (tokens::header(&issued.access), tokens::header(&issued.id));
        assert_eq!((&head["alg"], &head["typ"]), (&"ES256".into(), &"at+jwt".into()));
        assert_eq!((&id_head["alg"], &id_head["typ"]), (&alg.into(), &"JWT".into()));

        let audience = if app == TWIN { "orders-api" } else { stand.issuer() };
        let access = tokens::verify(&issued.access, &jwks, stand.issuer(), audience).unwrap();
        let mut own = keys(&access);
        own.sort();
        assert_eq!(own, ACCESS_MEMBERS);
        assert_eq!(
            (&access["client_id"], &access["scope"]),
            (&app.id.into(), &"email openid".into())
        );
        let times = |c: &serde_json::Value| c["exp"].as_i64().unwrap() - c["iat"].as_i64().unwrap();
        assert_eq!(times(&access), 3600);
        let jti = access["jti"].as_str().unwrap();
        assert!(
            jti.len() >= 22 && jti != tokens::claims(&issue(&stand, &ask, ANA).access)["jti"],
            "{jti}"
        );

        let id = tokens::verify(&issued.id, &jwks, stand.issuer(), app.id).unwrap();
        let mut own = keys(&id);
        own.sort();
        assert_eq!(own, ID_MEMBERS);
        assert_eq!((&id["aud"], &id["nonce"]), (&app.id.into(), &ask.nonce.into()));
        assert!(times(&id) <= 300);
        assert_eq!(id["sub"], access["sub"]);
    }
}
