//! What is switched off stays off (security.md, W33): every state against every path, also for what was
//! begun before.

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use e2e::{Browser, Response, Stand};
use serde_json::{Value, json};
use support::deferred::*;
use support::*;

/// What a state leaves of the authorization endpoint for somebody who is signed in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Authorize {
    /// `RED` with one of these.
    Errors(&'static [&'static str]),
    Page,
    Code,
}

struct State {
    name: &'static str,
    sql: &'static str,
    authorize: Authorize,
}

const NO_MEMBER: Authorize =
    Authorize::Errors(&["access_denied", "interaction_required", "login_required"]);
const BEN_ID: &str = "(SELECT id FROM users WHERE email = 'ben@example.org')";

const STATES: [State; 11] = [
    State {
        name: "user disabled",
        sql: "UPDATE users SET status = 'disabled' WHERE email = 'ben@example.org'",
        authorize: Authorize::Errors(&["login_required"]),
    },
    State {
        name: "user deleted",
        sql: "DELETE FROM users WHERE email = 'ben@example.org'",
        authorize: Authorize::Errors(&["login_required"]),
    },
    State {
        name: "client disabled",
        sql: "UPDATE clients SET status = 'disabled' WHERE client_id = 'web'",
        authorize: Authorize::Page,
    },
    State {
        name: "client deleted",
        sql: "DELETE FROM clients WHERE client_id = 'web'",
        authorize: Authorize::Page,
    },
    State {
        name: "tenant suspended",
        sql: "UPDATE tenants SET status = 'suspended' WHERE slug = 'acme'",
        authorize: Authorize::Page,
    },
    State {
        name: "membership disabled",
        sql: "UPDATE memberships SET status = 'disabled' WHERE user_id = BEN_ID",
        authorize: NO_MEMBER,
    },
    State {
        name: "membership deleted",
        sql: "DELETE FROM memberships WHERE user_id = BEN_ID",
        authorize: NO_MEMBER,
    },
    State {
        name: "session ended",
        sql: "UPDATE sessions SET ended_at = now() WHERE user_id = BEN_ID",
        authorize: Authorize::Errors(&["login_required"]),
    },
    State {
        name: "session expired",
        sql: "UPDATE sessions SET expires_at = now() - interval '1 ms' WHERE user_id = BEN_ID",
        authorize: Authorize::Errors(&["login_required"]),
    },
    State {
        name: "consent withdrawn",
        sql: "UPDATE consents SET withdrawn_at = now() WHERE user_id = BEN_ID",
        authorize: Authorize::Errors(&["consent_required"]),
    },
    State {
        name: "grant revoked",
        sql: "UPDATE grants SET revoked_at = now(), revoke_reason = 'test' WHERE user_id = BEN_ID",
        authorize: Authorize::Code,
    },
];

/// Undoes every state; what a deletion took is declared again.
fn restore(stand: &Stand) {
    let there = sql(
        stand,
        "UPDATE users SET status = 'active'; UPDATE clients SET status = 'active';
         UPDATE tenants SET status = 'active'; UPDATE memberships SET status = 'active';
         SELECT (SELECT count(*) FROM memberships) + (SELECT count(*) FROM clients)",
    );
    if there != "23" {
        stand.seed(&world());
    }
}

fn switch(stand: &Stand, state: &State) {
    sql(stand, &state.sql.replace("BEN_ID", BEN_ID));
}

/// A refusal that gives nothing: the grant is invalid, or the client itself is.
#[track_caller]
fn assert_refused(answer: &Response) {
    assert_no_token(answer);
    match answer.status {
        400 => assert_tok(answer, "invalid_grant"),
        _ => assert_client_refused(answer, true),
    }
}

#[track_caller]
fn assert_not_active(answer: &Response) {
    match answer.status {
        200 => assert_inactive(answer),
        _ => assert_client_refused(answer, true),
    }
}

#[track_caller]
fn assert_authorize(stand: &Stand, browser: &mut Browser, state: &State) {
    let ask = Ask::new(WEB).with("prompt", "none");
    let page = browser.open(&ask.url(stand)).clone();
    match state.authorize {
        Authorize::Page => assert_page(&page.response),
        Authorize::Code => assert!(page.away_parameter("code").is_some(), "{:?}", page.away),
        Authorize::Errors(allowed) => {
            let error = page.away_parameter("error").unwrap_or_default();
            assert!(allowed.contains(&error.as_str()), "{:?}", page.away);
            assert_eq!(page.away_parameter("code"), None);
            assert_eq!(page.away_parameter("state"), Some(ask.state));
        }
    }
}

#[test]
fn w33_no_state_leaves_a_path_open() {
    let stand = alone();
    for state in &STATES {
        let mut browser = signed_in(&stand, BEN);
        let waiting = Ask::new(WEB).scope("openid orders:read");
        let code = code_in(&stand, &mut browser, &waiting, BEN);
        let live = issue_in(&stand, &mut browser, &Ask::new(WEB), BEN);
        assert!(is_alive(&stand, WEB, &live.access));
        println!("{}", state.name);
        switch(&stand, state);

        assert_refused(&WEB.redeem(&stand, &code, &waiting.pkce.verifier));
        assert_refused(&WEB.refresh(&stand, &live.refresh));
        for app in [WEB, ORDERS] {
            assert_not_active(&app.introspect(&stand, &live.access));
        }
        assert_not_active(&WEB.introspect(&stand, &live.refresh));
        assert_bearer_refused(&userinfo(&stand, &live.access));
        assert_authorize(&stand, &mut browser, state);
        restore(&stand);
    }
}

/// With `offline_access` a grant outlives the session, and nothing else.
#[test]
fn w33_no_state_but_the_sessions_end_leaves_an_offline_grant_alive() {
    let stand = alone();
    for state in &STATES {
        let live = issue(&stand, &Ask::new(WEB).scope("openid offline_access"), BEN);
        println!("{}", state.name);
        switch(&stand, state);
        if state.name.starts_with("session") {
            assert!(is_alive(&stand, WEB, &live.access));
            Tokens::of(&WEB.refresh(&stand, &live.refresh));
        } else {
            assert_refused(&WEB.refresh(&stand, &live.refresh));
            assert_bearer_refused(&userinfo(&stand, &live.access));
            assert_not_active(&ORDERS.introspect(&stand, &live.access));
        }
        restore(&stand);
    }
}

/// What was approved on another device and not fetched yet, and a page that is open.
#[test]
fn w33_w59_no_state_lets_in_what_was_decided_elsewhere() {
    let stand = alone();
    for state in STATES.iter().filter(|state| !state.name.starts_with("session")) {
        issue(&stand, &Ask::new(WEB), BEN);
        let tv = device(&stand, WEB, "openid");
        tv.decide(&stand, BEN, "approve");
        let id = auth_req_id(&WEB.ask_for(&stand, BEN, &[]));
        at_page(&stand, "/ciba", BEN).submit(&[("decision", "approve")]);
        let next = device(&stand, WEB, "openid");
        let mut at_device = at_device(&stand, BEN);
        at_device.submit(&[("user_code", &next.user_code)]);
        let next_id = auth_req_id(&WEB.ask_for(&stand, BEN, &[]));
        let mut at_ciba = at_page(&stand, "/ciba", BEN);
        println!("{}", state.name);
        switch(&stand, state);

        for answer in [tv.poll(&stand), WEB.poll_ciba(&stand, &id)] {
            match answer.status {
                400 if state.name == "user deleted" => assert_tok(&answer, "invalid_grant"),
                400 => assert_tok(&answer, "access_denied"),
                _ => assert_client_refused(&answer, true),
            }
        }
        // To agree anew is what makes good what a person or an administrator took back.
        if !["consent withdrawn", "grant revoked"].contains(&state.name) {
            for browser in [&mut at_device, &mut at_ciba] {
                assert_own_page(&browser.submit(&[("decision", "approve")]).response);
            }
            for answer in [next.poll(&stand), WEB.poll_ciba(&stand, &next_id)] {
                assert_no_token(&answer);
                assert!([400, 401].contains(&answer.status), "{}", answer.status);
            }
        }
        sql(&stand, "DELETE FROM deferred_requests");
        restore(&stand);
    }
}

/// The state changes while the person looks at the consent page.
#[test]
fn w33_what_was_begun_before_does_not_end_with_a_code() {
    let stand = alone();
    for state in STATES.iter().filter(|state| state.authorize != Authorize::Code) {
        let mut browser = signed_in(&stand, BEN);
        browser.open(&Ask::new(WEB).with("prompt", "consent").url(&stand));
        assert!(asks_consent(browser.page()));
        println!("{}", state.name);
        switch(&stand, state);
        let page = browser.submit(&[("decision", "approve")]).clone();
        // To agree anew is what makes a withdrawn consent good again.
        let agreed = state.name == "consent withdrawn";
        let code = page.away.is_some() && page.away_parameter("code").is_some();
        assert_eq!(code, agreed, "{:?} {}", page.away, page.response.text());
        restore(&stand);
    }
}

#[test]
fn w33_a_disabled_person_signs_in_nowhere() {
    let stand = alone();
    switch(&stand, &STATES[0]);
    let mut browser = stand.browser();
    browser.open(&format!("{}/login", stand.issuer()));
    browser.submit(&[("username", BEN), ("password", PASSWORD)]);
    assert!(asks_password(browser.page()));
    assert!(!browser.client().cookies().keys().any(|name| name.contains("session")));
    restore(&stand);
}

#[test]
fn w33_to_agree_again_does_not_bring_back_what_a_withdrawal_killed() {
    let stand = alone();
    let mut browser = signed_in(&stand, BEN);
    let ask = || Ask::new(WEB).scope("openid email offline_access");
    let old = issue_in(&stand, &mut browser, &ask(), BEN);
    sql(&stand, &format!("UPDATE consents SET withdrawn_at = now() WHERE user_id = {BEN_ID}"));
    assert!(!is_alive(&stand, WEB, &old.access));
    let new = issue_in(&stand, &mut browser, &ask(), BEN);
    assert!(is_alive(&stand, WEB, &new.access));
    assert!(
        !is_alive(&stand, WEB, &old.access),
        "an access token from before the withdrawal is alive again"
    );
    assert_tok(&WEB.refresh(&stand, &old.refresh), "invalid_grant");
}

#[test]
fn w33_a_grant_that_is_taken_from_a_client_is_gone_for_what_it_has() {
    let stand = alone();
    let live = issue(&stand, &Ask::new(TWIN).scope("openid email"), BEN);
    let waiting = Ask::new(TWIN);
    let code = code(&stand, &waiting, BEN);
    let without = |grants: Value| {
        sql(
            &stand,
            &format!(
                "UPDATE clients SET metadata = jsonb_set(metadata, '{{grant_types}}', '{grants}') WHERE client_id = 'twin'"
            ),
        );
    };
    without(json!(["authorization_code"]));
    assert_tok(&TWIN.refresh(&stand, &live.refresh), "unauthorized_client");
    without(json!(["refresh_token"]));
    assert_tok(&TWIN.redeem(&stand, &code, &waiting.pkce.verifier), "unauthorized_client");
    let asked = Ask::new(TWIN);
    assert_red(&asked.send(&stand), &TWIN, "unauthorized_client", Some(&asked.state));
    without(json!(["authorization_code", "refresh_token"]));
}

/// A scope that the client may no longer have is in no new token; asking for it by name is an error.
#[test]
fn w33_a_scope_that_is_taken_from_a_client_is_in_no_new_token() {
    let stand = alone();
    let live = issue(&stand, &Ask::new(TWIN).scope("openid email"), ANA);
    let scope = |scope: &str| {
        sql(
            &stand,
            &format!(
                "UPDATE clients SET metadata = jsonb_set(metadata, '{{scope}}', '\"{scope}\"') WHERE client_id = 'twin'"
            ),
        );
    };
    scope("openid profile");
    let answer = TWIN.refresh(&stand, &live.refresh);
    scope("openid profile email offline_access orders:read");
    if answer.status == 200 {
        let next = Tokens::of(&answer);
        assert_eq!(next.reply["scope"], "openid");
        assert_eq!(userinfo(&stand, &next.access).json().get("email"), None);
    } else {
        assert_no_token(&answer);
    }
}

#[test]
fn w33_a_disabled_resource_server_is_told_nothing() {
    let stand = alone();
    let live = issue(&stand, &Ask::new(WEB), BEN);
    assert_eq!(ORDERS.introspect(&stand, &live.access).json()["active"], true);
    sql(&stand, "UPDATE clients SET status = 'disabled' WHERE client_id = 'orders-api'");
    assert_client_refused(&ORDERS.introspect(&stand, &live.access), true);
    restore(&stand);
}
