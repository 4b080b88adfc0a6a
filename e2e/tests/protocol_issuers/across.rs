//! Nothing of one issuer is worth anything at another.

use e2e::{Page, Response};

use crate::support::*;
use crate::{At, beside, undisturbed};

/// A client exists at its own issuer alone; elsewhere it is like one that nobody has heard of.
#[test]
fn w142_w143_a_client_is_unknown_at_another_issuer() {
    let stand = undisturbed();
    sql(&stand, "DELETE FROM throttles");
    let (acme, root) = (At::acme(&stand), At::root(&stand));
    let nobody = App { id: "nobody", ..TWIN };
    let ids = |answer: &Response| -> (u16, Vec<(String, String)>, String) {
        let own = answer.header("x-request-id").unwrap_or("none").to_owned();
        let headers = answer.headers.iter().filter(|(name, _)| {
            !["date", "x-request-id", "set-cookie", "content-length"].contains(&name.as_str())
        });
        (answer.status, headers.cloned().collect(), answer.text().replace(&own, "ID"))
    };
    let before = digest(&stand);
    for (at, apps) in
        [(root, [TWIN, POST, ROBOT, BROKER]), (acme, [RIVAL, PLATFORM, RIVAL_BROKER, PLATFORM])]
    {
        for app in apps {
            println!("{} at {}", app.id, at.issuer());
            for (path, form) in [
                ("/oauth/token", &[("grant_type", "client_credentials")][..]),
                ("/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", "x")]),
                ("/oauth/introspect", &[("token", "x")]),
                ("/oauth/revoke", &[("token", "x")]),
                ("/oauth/par", &Ask::new(app).pairs()[1..]),
            ] {
                let answer = at.call(app, path, form);
                assert_client_refused(&answer, !app.posts);
                let unknown = App { posts: app.posts, ..nobody };
                assert_eq!(ids(&answer), ids(&at.call(unknown, path, form)), "{path}");
                sql(&stand, "DELETE FROM throttles");
            }
            let page = stand.client().get(&at.ask(&Ask::new(app)));
            assert_page(&page);
            let unknown = stand.client().get(&at.ask(&Ask::new(app).with("client_id", "nobody")));
            assert_eq!(ids(&page), ids(&unknown));
            let end = at.url(&format!("/oauth/logout?client_id={}", app.id));
            assert_own_page(&stand.client().get(&end));
        }
    }
    for at in [root, acme] {
        let spa = if at.base.is_empty() { SPA } else { App { id: "nobody", ..SPA } };
        let answer = at.call(spa, "/oauth/token", &[("grant_type", "client_credentials")]);
        assert_client_refused(&answer, false);
    }
    sql(&stand, "DELETE FROM throttles");
    assert_eq!(digest(&stand), before);
}

/// Two issuers, each with a client, its tokens and a client that could want those of the other.
#[test]
fn w70_w142_w144_no_token_of_one_issuer_is_worth_anything_at_another() {
    let stand = beside();
    let (acme, root) = (At::acme(&stand), At::root(&stand));
    let scope = "openid email";
    for ((at, app, user), (other, stranger)) in [
        ((acme, TWIN, CLEO), (root, RIVAL)),
        ((acme, TWIN, CLEO), (root, PLATFORM)),
        ((root, RIVAL, CLEO), (acme, TWIN)),
        ((root, PLATFORM, CLEO), (acme, TWIN)),
    ] {
        println!("{} of {} by {}", app.id, at.issuer(), stranger.id);
        let one = at.issue(&Ask::new(app).scope(scope), user);
        assert_bearer_refused(&other.userinfo(&one.access));
        for token in [&one.access, &one.refresh, &one.id] {
            assert_inactive(&other.introspect(stranger, token));
            let answer = other.call(stranger, "/oauth/revoke", &[("token", token)]);
            assert!(answer.status == 200 || answer.json()["error"] == "unauthorized_client");
        }
        assert!(at.is_alive(app, &one.access), "nothing of it was revoked");
        for broker in if other.base.is_empty() { [RIVAL_BROKER; 2] } else { [BROKER, MASK] } {
            let answer = other.exchange(broker, &one.access);
            assert_no_token(&answer);
            assert_tok(&answer, "invalid_request");
        }
        // As a hint, at both doors that take one.
        let hinted = Ask::new(stranger).with("id_token_hint", &one.id).with("prompt", "none");
        let answer = stand.client().get(&other.ask(&hinted));
        assert_red(&answer, &stranger, "invalid_request", Some(&hinted.state));
        let pushed = other.call(stranger, "/oauth/par", &hinted.pairs());
        assert_tok(&pushed, "invalid_request");
        let end = other.url(&format!("/oauth/logout?id_token_hint={}", one.id));
        assert_own_page(&stand.client().get(&end));
        assert!(at.is_alive(app, &one.access));
        assert_tok(&other.refresh(stranger, &one.refresh), "invalid_grant");

        let waiting = Ask::new(app);
        let code = at.code(&mut stand.browser(), &waiting, user);
        let answer = other.redeem(stranger, &code, &waiting.pkce.verifier);
        assert_tok(&answer, "invalid_grant");
    }
}

/// The client's own name and secret do not open the other issuer either, and spend nothing there.
#[test]
fn w142_what_a_client_takes_to_the_wrong_issuer_is_still_good_at_the_right_one() {
    let stand = undisturbed();
    sql(&stand, "DELETE FROM throttles");
    let (acme, root) = (At::acme(&stand), At::root(&stand));
    for (at, app, other) in [(acme, TWIN, root), (root, PLATFORM, acme)] {
        let waiting = Ask::new(app);
        let code = at.code(&mut stand.browser(), &waiting, BEN);
        assert_client_refused(&other.redeem(app, &code, &waiting.pkce.verifier), true);
        let one = Tokens::of(&at.redeem(app, &code, &waiting.pkce.verifier));
        assert_client_refused(&other.refresh(app, &one.refresh), true);
        assert_client_refused(&other.introspect(app, &one.access), true);
        let revoked = other.call(app, "/oauth/revoke", &[("token", &one.refresh)]);
        assert_client_refused(&revoked, true);
        let two = Tokens::of(&at.refresh(app, &one.refresh));
        assert!(at.is_alive(app, &two.access));
    }
    sql(&stand, "DELETE FROM throttles");
}

fn is_refused(page: &Page) -> bool {
    page.away.is_none() && page.response.status >= 400
}

#[test]
fn w142_requests_that_were_begun_at_one_issuer_go_on_there_alone() {
    let stand = beside();
    let (acme, root) = (At::acme(&stand), At::root(&stand));
    for (at, app, other) in [(acme, TWIN, root), (root, PLATFORM, acme)] {
        // A pushed request.
        let ask = Ask::new(app);
        let uri = at.pushed(&ask);
        let mut browser = signed_in(&stand, CLEO);
        for id in [app.id, TWIN.id, RIVAL.id, PLATFORM.id] {
            let page = browser.open(&other.front(id, &uri)).clone();
            assert!(is_refused(&page), "{id} at {}: {:?}", other.issuer(), page.away);
            assert_page(&page.response);
        }
        let page = walk(&mut browser, &at.front(app.id, &uri), CLEO);
        assert_eq!(page.away_parameter("iss"), Some(at.issuer()));
        let code = page.away_parameter("code").unwrap();
        Tokens::of(&at.redeem(app, &code, &ask.pkce.verifier));

        // A handle, in the very browser that it is bound to; not signed in, so that it waits.
        let mut browser = stand.browser();
        let start = browser.client().get(&at.ask(&Ask::new(app)));
        let handle = start.location().rsplit_once('/').unwrap().1.to_owned();
        for path in ["/oauth/authorize/", "/login?interaction=", "/consent?interaction="] {
            let answer = browser.client().get(&other.url(&format!("{path}{handle}")));
            assert!(answer.status >= 400, "{path}: {}", answer.status);
            assert!(answer.header("location").is_none());
        }
        // A sign-in form that is sent to the other issuer does not carry it over.
        let page = browser.open(&at.url(&format!("/login?interaction={handle}"))).clone();
        assert!(asks_password(&page));
        let csrf = page.field("csrf").unwrap();
        let form = [
            ("csrf", csrf.as_str()),
            ("interaction", &handle),
            ("username", CLEO),
            ("password", PASSWORD),
        ];
        let headers =
            [("origin", stand.issuer().to_owned()), ("sec-fetch-site", "same-origin".to_owned())];
        let answer = browser.client().post_with(&other.url("/login"), &headers, &form);
        if answer.status == 303 {
            let next = browser.client().get(&format!("{}{}", stand.issuer(), answer.location()));
            assert!(next.status >= 400 || !next.location().contains("code="), "{:?}", next.headers);
        }
        let end = walk(&mut browser, &at.url(&format!("/oauth/authorize/{handle}")), CLEO);
        assert!(end.away_parameter("code").is_some(), "and it is good where it belongs");
    }
}

#[test]
fn w33_a_suspended_tenants_issuer_serves_nobody() {
    let stand = undisturbed();
    sql(&stand, "DELETE FROM throttles");
    let (acme, root) = (At::acme(&stand), At::root(&stand));
    let one = acme.issue(&Ask::new(TWIN), BEN);
    let platform = root.issue(&Ask::new(PLATFORM), BEN);
    sql(&stand, "UPDATE tenants SET status = 'suspended' WHERE slug = 'acme'");
    assert_client_refused(&acme.refresh(TWIN, &one.refresh), true);
    assert_client_refused(&acme.introspect(TWIN, &one.access), true);
    assert_eq!(acme.userinfo(&one.access).status, 401);
    assert_page(&stand.client().get(&acme.ask(&Ask::new(TWIN))));
    assert_client_refused(&root.introspect(TWIN, &one.access), true);
    assert!(root.is_alive(PLATFORM, &platform.access), "and nobody else notices");
    sql(&stand, "UPDATE tenants SET status = 'active' WHERE slug = 'acme'");
    sql(&stand, "DELETE FROM throttles");
    assert!(acme.is_alive(TWIN, &one.access));
}
