//! What people manage of their own: sessions, applications, the password, invitations; and a password that was
//! forgotten (security.md, W33, W43–W45, W112, W113, W117, W125, W128, W134).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::time::Duration;

use e2e::bench::until;
use e2e::{Browser, Options, Page, Response, Stand};
use serde_json::Value;
use support::account::*;
use support::statements::statements;
use support::*;

const OTHER: &str = "five other words walk back again";
const SESSION: &str = "__Host-opentrusty_session";

fn user_id(stand: &Stand, email: &str) -> String {
    sql(stand, &format!("SELECT id FROM users WHERE email = '{email}'"))
}

/// Signs somebody in with a password, whatever comes of it.
fn try_sign_in(stand: &Stand, user: &str, password: &str) -> Browser {
    let mut browser = stand.browser();
    browser.open(&format!("{}/login", stand.issuer()));
    browser.submit(&[("username", user), ("password", password)]);
    browser
}

/// A browser that says what it is.
fn signed_in_as(stand: &Stand, user: &str, agent: &str) -> Browser {
    let mut browser = stand.browser();
    let url = format!("{}/login", stand.issuer());
    let csrf = browser.open(&url).field("csrf").unwrap();
    let form = [("csrf", csrf.as_str()), ("username", user), ("password", PASSWORD)];
    let headers = [("user-agent", agent.to_owned())];
    browser.client().post_with(&url, &headers, &form).expect(303);
    browser
}

fn is_signed_in(stand: &Stand, browser: &mut Browser) -> bool {
    browser.open(&format!("{}/account", stand.issuer()));
    assert_always("account", &browser.page().response);
    !asks_password(browser.page())
}

/// A POST to one of the page's addresses from a browser.
fn send(stand: &Stand, browser: &mut Browser, path: &str, form: e2e::Form<'_>) -> Response {
    let answer = browser.client().post(&format!("{}{path}", stand.issuer()), form);
    assert_always(path, &answer);
    answer
}

/// The values of an attribute on the page, in order.
fn attributes(page: &Page, name: &str) -> Vec<String> {
    let html = page.response.text();
    let opening = format!("{name}=\"");
    html.split(&opening).skip(1).map(|part| part.split('"').next().unwrap().to_owned()).collect()
}

/// The session of a browser, by its cookie.
fn session_of(stand: &Stand, browser: &mut Browser) -> String {
    let cookie = browser.client().cookies()[SESSION].clone();
    sql(stand, &format!("SELECT id FROM sessions WHERE secret_hash = sha256('{cookie}')"))
}

#[test]
fn w117_where_a_sign_in_leads_is_a_word_of_a_closed_list() {
    let stand = together();
    let mut browser = stand.browser();
    let page = browser.open(&format!("{}/account", stand.issuer())).clone();
    assert!(page.url.ends_with("/login?to=account"), "{}", page.url);
    assert_eq!(page.field("to").as_deref(), Some("account"));
    let page = browser.submit(&[("username", BEN), ("password", PASSWORD)]).clone();
    assert!(page.url.ends_with("/account") && page.away.is_none(), "{}", page.url);
    for foreign in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "account/..",
        "%2Faccount",
        "ACCOUNT",
    ] {
        let mut browser = stand.browser();
        let query = e2e::query(&[("to", foreign)]);
        let page = browser.open(&format!("{}/login?{query}", stand.issuer())).clone();
        assert_eq!(page.field("to"), None, "{foreign}");
        let csrf = page.field("csrf").unwrap();
        let form =
            [("csrf", csrf.as_str()), ("to", foreign), ("username", BEN), ("password", PASSWORD)];
        let answer = send(&stand, &mut browser, "/login", &form);
        assert_eq!((answer.status, answer.location()), (303, "/login"), "{foreign}");
    }
}

#[test]
fn w45_a_person_sees_every_live_session_and_what_a_browser_says_of_itself_is_only_shown() {
    let stand = alone();
    sql(&stand, "UPDATE sessions SET ended_at = now() WHERE ended_at IS NULL");
    let script = format!("<script>alert(1)</script>\"'{}", "x".repeat(300));
    let mut hostile = signed_in_as(&stand, BEN, &script);
    let mut own = signed_in_as(&stand, BEN, "A browser of Ben's");
    let mut anas = signed_in_as(&stand, ANA, "A browser of Ana's");
    let page = open_account(&stand, &mut own, BEN);
    assert_always("account", &page.response);
    let html = page.response.text();
    assert!(html.contains("&#60;script&#62;") && !html.contains("<script"), "{html}");
    assert!(!html.contains(&"x".repeat(256)) && html.contains(&"x".repeat(200)), "cut: {html}");
    assert!(html.contains("A browser of Ben") && !html.contains("A browser of Ana"), "{html}");
    assert!(html.contains("127.0.0.1") && html.contains(BEN), "{html}");
    let (here, there) = (session_of(&stand, &mut own), session_of(&stand, &mut hostile));
    let mut listed = attributes(&page, "data-session");
    listed.sort();
    let mut both = vec![here.clone(), there];
    both.sort();
    assert_eq!(listed, both);
    assert_eq!(html.matches("this one").count(), 1);
    // An idle session and one at its absolute end are over, and not shown.
    sql(
        &stand,
        "UPDATE sessions SET last_seen_at = now() - interval '31 minutes' WHERE user_agent LIKE '<script%'",
    );
    let page = open_account(&stand, &mut own, BEN);
    assert_eq!(attributes(&page, "data-session"), [here.clone()]);
    assert!(!is_signed_in(&stand, &mut hostile));
    assert!(is_signed_in(&stand, &mut anas));
    // The account knows both browsers, once each; a further sign-in in one adds nothing.
    let known =
        format!("SELECT count(*) FROM known_browsers WHERE user_id = '{}'", user_id(&stand, BEN));
    let before = sql(&stand, &known);
    own.open(&format!("{}/login?to=account", stand.issuer()));
    own.submit(&[("username", BEN), ("password", PASSWORD)]);
    assert_eq!(session_of(&stand, &mut own), here, "the same person keeps the session");
    assert_eq!(sql(&stand, &known), before);
}

#[test]
fn w43_a_person_ends_one_session_or_all_others_and_never_somebody_elses() {
    let stand = alone();
    let [mut own, mut first, mut second, mut third] = [(); 4].map(|()| signed_in(&stand, BEN));
    let mut anas = signed_in(&stand, ANA);
    let of_third = issue_in(&stand, &mut third, &Ask::new(TWIN), BEN);
    let kept = issue_in(&stand, &mut third, &Ask::new(TWIN).scope("openid offline_access"), BEN);
    let page = open_account(&stand, &mut own, BEN);
    let ended = session_of(&stand, &mut first);
    let page = {
        assert!(attributes(&page, "data-session").contains(&ended));
        own.submit(&[("session", &ended)]).clone()
    };
    assert!(page.url.ends_with("/account"), "{}", page.url);
    assert!(!attributes(&page, "data-session").contains(&ended));
    assert!(!is_signed_in(&stand, &mut first) && is_signed_in(&stand, &mut second));
    assert_eq!(audits(&stand, "session.ended", &ended), 1);
    // A token for one object ends no other; there is none for somebody else's.
    let csrf = csrf_of(&page, "/account/sessions/end", &session_of(&stand, &mut second));
    let before = digest(&stand);
    for object in
        [session_of(&stand, &mut anas), session_of(&stand, &mut third), "others".into(), "x".into()]
    {
        let form = [("csrf", csrf.as_str()), ("session", &object)];
        send(&stand, &mut own, "/account/sessions/end", &form).expect(403);
    }
    assert_eq!(digest(&stand), before);
    own.submit(&[("session", "others")]);
    assert!(is_signed_in(&stand, &mut own) && is_signed_in(&stand, &mut anas));
    assert!(!is_signed_in(&stand, &mut second) && !is_signed_in(&stand, &mut third));
    assert!(!is_alive(&stand, TWIN, &of_third.access), "it hung on the session");
    assert!(is_alive(&stand, TWIN, &kept.access), "it outlives the session");
    // Signing in again is another session under another id.
    third.open(&format!("{}/login", stand.issuer()));
    third.submit(&[("username", BEN), ("password", PASSWORD)]);
    let ids = sql(
        &stand,
        "SELECT count(*) = count(DISTINCT id) AND count(*) = count(DISTINCT secret_hash) FROM sessions",
    );
    assert_eq!(ids, "t");
}

#[test]
fn w33_access_that_is_withdrawn_is_gone_on_every_path_at_once() {
    let stand = alone();
    let mut browser = signed_in(&stand, BEN);
    for (app, words) in
        [(WEB, "Read your orders"), (TWIN, "Confirm who you are"), (NATIVE, "Confirm who you are")]
    {
        let ask = Ask::new(app).scope("openid offline_access orders:read");
        let one = issue_in(&stand, &mut browser, &ask, BEN);
        let waiting = ask.clone();
        let code = code_in(&stand, &mut browser, &waiting, BEN);
        let other = issue_in(&stand, &mut browser, &Ask::new(POST), BEN);
        // A browser in the middle of another sign-in to the same application.
        let mut under_way = signed_in(&stand, BEN);
        let begun = under_way.client().get(&ask.url(&stand)).location().to_owned();

        let page = open_account(&stand, &mut browser, BEN);
        assert!(attributes(&page, "data-client").contains(&app.id.to_owned()));
        let html = page.response.text();
        assert!(html.contains(&format!("The {} app", app.id)) && html.contains(words), "{html}");
        assert!(html.contains("also while you are away"), "{html}");
        let page = browser.submit(&[("client_id", app.id)]).clone();
        assert!(page.url.ends_with("/account"));
        assert!(
            !attributes(&page, "data-client").contains(&app.id.to_owned()),
            "{}",
            page.response.text()
        );

        assert!(!is_alive_for(&stand, app, &one));
        assert_tok(&app.refresh(&stand, &one.refresh), "invalid_grant");
        assert_tok(&app.redeem(&stand, &code, &waiting.pkce.verifier), "invalid_grant");
        let told = format!(
            "SELECT count(*) FROM audit_events WHERE type = 'consent.withdrawn' AND target = '{}'",
            app.id
        );
        assert_eq!(sql(&stand, &told), "1");
        // Nothing else is touched, and withdrawing twice is nothing.
        assert!(is_alive(&stand, POST, &other.access));
        let silent =
            Ask::new(app).scope("openid").with("prompt", "none").send_in(&stand, &mut browser);
        if app == TWIN {
            assert!(
                silent.location().contains("code="),
                "first-party: nobody was asked before either"
            );
            continue;
        }
        assert!(silent.location().contains("error=consent_required"), "{}", silent.location());
        let page = under_way.open(&format!("{}{begun}", stand.issuer())).clone();
        assert!(asks_consent(&page), "{}", page.response.text());
        // Agreeing again begins anew; what was dead stays dead.
        let again = issue_in(&stand, &mut browser, &ask, BEN);
        assert!(is_alive_for(&stand, app, &again));
        assert_tok(&app.refresh(&stand, &one.refresh), "invalid_grant");
    }
}

/// Public clients cannot introspect.
fn is_alive_for(stand: &Stand, app: App, tokens: &Tokens) -> bool {
    match app.secret {
        Some(_) => is_alive(stand, app, &tokens.access),
        None => userinfo(stand, &tokens.access).status == 200,
    }
}

trait SendIn {
    fn send_in(&self, stand: &Stand, browser: &mut Browser) -> Response;
}

impl SendIn for Ask {
    /// The request and what follows it in a browser, to where it is sent away.
    fn send_in(&self, stand: &Stand, browser: &mut Browser) -> Response {
        let page = browser.open(&self.url(stand)).clone();
        assert!(page.away.is_some(), "{}", page.response.text());
        page.response
    }
}

fn change(browser: &mut Browser, old: &str, new: &str) -> Page {
    browser.submit(&[("current_password", old), ("new_password", new)]).clone()
}

#[test]
fn w44_a_new_password_ends_every_other_session_and_every_grant() {
    let stand = alone();
    let mut other = signed_in(&stand, BEN);
    let mut own = signed_in(&stand, BEN);
    let offline = issue_in(&stand, &mut other, &Ask::new(TWIN).scope("openid offline_access"), BEN);
    let here = issue_in(&stand, &mut own, &Ask::new(TWIN), BEN);
    let waiting = Ask::new(TWIN);
    let code = code_in(&stand, &mut own, &waiting, BEN);
    let anas = issue(&stand, &Ask::new(TWIN), ANA);
    let link = format!("ote_{}", random());
    sql(
        &stand,
        &format!(
            "INSERT INTO enrolments (token_hash, user_id, expires_at)
             VALUES (sha256('{link}'), '{}', now() + interval '1 hour')",
            user_id(&stand, BEN)
        ),
    );
    open_account(&stand, &mut own, BEN);
    let session = session_of(&stand, &mut own);
    let old_cookie = own.client().cookies()[SESSION].clone();
    let told = || audits(&stand, "user.password_changed", &user_id(&stand, BEN));
    let before = told();
    let page = change(&mut own, PASSWORD, OTHER);
    assert_eq!(page.texts("h1"), ["Your password is changed"], "{}", page.response.text());
    assert_eq!(told(), before + 1);

    assert!(!is_signed_in(&stand, &mut other));
    for tokens in [&offline, &here] {
        assert!(!is_alive(&stand, TWIN, &tokens.access));
        assert_tok(&TWIN.refresh(&stand, &tokens.refresh), "invalid_grant");
    }
    assert_tok(&TWIN.redeem(&stand, &code, &waiting.pkce.verifier), "invalid_grant");
    assert_page(&stand.client().get(&format!("{}/enroll?token={link}", stand.issuer())));
    assert!(is_alive(&stand, TWIN, &anas.access));
    // This session goes on, under another secret, and can sign in to applications.
    assert_eq!(session_of(&stand, &mut own), session);
    assert!(is_signed_in(&stand, &mut own));
    let mut thief = stand.browser();
    thief.client().put_cookie(SESSION, &old_cookie);
    assert!(!is_signed_in(&stand, &mut thief));
    let again = issue_in(&stand, &mut own, &Ask::new(TWIN), BEN);
    assert!(is_alive(&stand, TWIN, &again.access));
    assert!(asks_password(try_sign_in(&stand, BEN, PASSWORD).page()));
    assert!(!asks_password(try_sign_in(&stand, BEN, OTHER).page()));
    stand.seed(&world());
}

#[test]
fn w134_a_password_is_changed_only_by_who_knows_it_to_one_that_may_be() {
    let stand = alone();
    let mut own = signed_in(&stand, BEN);
    let live = issue_in(&stand, &mut own, &Ask::new(TWIN), BEN);
    open_account(&stand, &mut own, BEN);
    let before = digest(&stand);
    for (old, new, said) in [
        ("wrong", OTHER, "not your current password"),
        ("", OTHER, "not your current password"),
        (PASSWORD, "short", "at least 15 characters"),
        (PASSWORD, PASSWORD, "differs"),
        (PASSWORD, "aaaaaaaaaaaaaaaaaaaa", "repeats itself"),
        (PASSWORD, &"long words ".repeat(94), "at most 1024"),
    ] {
        let page = change(&mut own, old, new);
        assert_always("password", &page.response);
        assert_eq!(page.response.status, 200);
        let html = page.response.text();
        assert!(html.contains("role=\"alert\"") && html.contains(said), "{new}: {html}");
        assert!(new.len() < 10 || !html.contains(new), "a password is on the page");
    }
    let page = own.page().clone();
    let csrf = csrf_of(&page, "/account/password", "new_password");
    let long = "x".repeat(1025);
    let form = [("csrf", csrf.as_str()), ("current_password", &long), ("new_password", OTHER)];
    send(&stand, &mut own, "/account/password", &form).expect(400);
    // W125: nothing is taken from an address, alone or beside a form.
    let form = [("csrf", csrf.as_str()), ("current_password", PASSWORD), ("new_password", OTHER)];
    let query = e2e::query(&form);
    for path in ["/account", "/account/password"] {
        let answer = own.client().get(&format!("{}{path}?{query}", stand.issuer()));
        assert!([200, 405].contains(&answer.status) && !answer.text().contains(OTHER), "{path}");
    }
    send(&stand, &mut own, &format!("/account/password?{query}"), &[]).expect(400);
    send(&stand, &mut own, &format!("/account/password?{query}"), &form).expect(400);
    assert_eq!(digest(&stand), before);
    assert!(is_alive(&stand, TWIN, &live.access));
}

#[test]
fn w113_a_password_is_changed_only_right_after_a_sign_in() {
    let stand = alone();
    let mut own = signed_in(&stand, BEN);
    let page = open_account(&stand, &mut own, BEN);
    let csrf = csrf_of(&page, "/account/password", "new_password");
    sql(&stand, "UPDATE sessions SET auth_time = auth_time - interval '301 seconds'");
    let before = digest(&stand);
    let form = [("csrf", csrf.as_str()), ("current_password", PASSWORD), ("new_password", OTHER)];
    let answer = send(&stand, &mut own, "/account/password", &form);
    assert_eq!((answer.status, answer.location()), (303, "/login?to=account"));
    let page = own.open(&format!("{}/account", stand.issuer())).clone();
    assert_eq!(page.field("new_password"), None, "{}", page.response.text());
    assert_eq!(digest(&stand), before);
    own.open(&format!("{}/login?to=account", stand.issuer()));
    own.submit(&[("username", BEN), ("password", PASSWORD)]);
    assert_eq!(change(&mut own, PASSWORD, OTHER).texts("h1"), ["Your password is changed"]);
    stand.seed(&world());
}

#[test]
fn w112_a_forged_form_changes_nothing_and_one_persons_form_is_not_the_nexts() {
    let stand = alone();
    let mut ben = signed_in(&stand, BEN);
    let mut second = signed_in(&stand, BEN);
    issue_in(&stand, &mut ben, &Ask::new(WEB), BEN);
    invite(&stand, "rival", BEN, "{}");
    let victim = session_of(&stand, &mut second);
    let page = open_account(&stand, &mut ben, BEN);
    let mut other = signed_in(&stand, ANA);
    let foreign = open_account(&stand, &mut other, ANA);
    let of_other = csrf_of(&foreign, "/account/password", "new_password");
    let forms: [(&str, &str, Vec<(&str, &str)>); 5] = [
        ("/account/sessions/end", &victim, vec![("session", &victim)]),
        ("/account/sessions/end", "others", vec![("session", "others")]),
        ("/account/applications/withdraw", "\"web\"", vec![("client_id", "web")]),
        ("/account/invitations", "rival", vec![("tenant", "rival"), ("decision", "accept")]),
        (
            "/account/password",
            "new_password",
            vec![("current_password", PASSWORD), ("new_password", OTHER)],
        ),
    ];
    let tokens: Vec<String> =
        forms.iter().map(|(action, text, _)| csrf_of(&page, action, text)).collect();
    let before = digest(&stand);
    let (none, url) = (random(), |path: &str| format!("{}{path}", stand.issuer()));
    for (number, (path, _, fields)) in forms.iter().enumerate() {
        let own = tokens[number].as_str();
        let with = |csrf: &str| {
            let mut form = vec![("csrf", csrf.to_owned())];
            form.extend(fields.iter().map(|(n, v)| (*n, (*v).to_owned())));
            form
        };
        let mut refused = |csrf: &str, headers: &[(&str, String)]| {
            let form = with(csrf);
            let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let answer = ben.client().post_with(&url(path), headers, &form);
            assert_eq!(answer.status, 403, "{path} {csrf} {headers:?}");
            assert_own_page(&answer);
        };
        let others = tokens.iter().enumerate().filter(|(n, _)| *n != number);
        for wrong in others.map(|(_, token)| token.as_str()).chain(["", "AAAA", &none, &of_other]) {
            refused(wrong, &[]);
        }
        for header in [
            ("origin", "https://evil.example"),
            ("origin", "https://localhost"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            refused(own, &[(header.0, header.1.to_owned())]);
        }
        // Somebody else's browser, and nobody's.
        let form = with(own);
        let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
        send(&stand, &mut other, path, &form).expect(403);
        let answer = send(&stand, &mut stand.browser(), path, &form);
        assert_eq!((answer.status, answer.location()), (303, "/login?to=account"), "{path}");
    }
    assert_eq!(digest(&stand), before);
    // Ana signs in where Ben's page is still shown: its forms are not hers.
    ben.open(&format!("{}/login?to=account", stand.issuer()));
    ben.submit(&[("username", ANA), ("password", PASSWORD)]);
    let before = digest(&stand);
    for (number, (path, _, fields)) in forms.iter().enumerate() {
        let form = [&[("csrf", tokens[number].as_str())][..], fields].concat();
        send(&stand, &mut ben, path, &form).expect(403);
    }
    assert_eq!(digest(&stand), before);
    sql(&stand, "DELETE FROM invitations");
}

/// An invitation by the management plane: its role, inside its tenant.
fn invite(stand: &Stand, tenant: &str, email: &str, roles: &str) {
    let user = user_id(stand, email);
    let id = sql(stand, &format!("SELECT id FROM tenants WHERE slug = '{tenant}'"));
    let text = format!(
        "BEGIN; SELECT set_config('opentrusty.tenant', '{id}', true);
         INSERT INTO invitations (tenant_id, user_id, roles) VALUES ('{id}', '{user}', '{roles}'); COMMIT"
    );
    stand.psql("opentrusty_admind", &text).unwrap();
}

#[test]
fn w33_an_invitation_that_is_accepted_opens_a_tenant_and_nothing_less_does() {
    let stand = alone();
    let rival = sql(&stand, "SELECT id FROM tenants WHERE slug = 'rival'");
    let acme = sql(&stand, "SELECT id FROM tenants WHERE slug = 'acme'");
    let dora = user_id(&stand, DORA);
    invite(&stand, "acme", DORA, "{tenant_admin,tenant_owner}");
    // Inside one tenant, admind invites to no other, and answers for nobody.
    for denied in [
        format!(
            "INSERT INTO invitations (tenant_id, user_id) VALUES ('{acme}', '{}')",
            user_id(&stand, BEN)
        ),
        format!(
            "INSERT INTO invitations (tenant_id, user_id, accepted_at) VALUES ('{rival}', '{dora}', now())"
        ),
        "UPDATE invitations SET accepted_at = now()".to_owned(),
        "DELETE FROM invitations".to_owned(),
    ] {
        let text =
            format!("BEGIN; SELECT set_config('opentrusty.tenant', '{rival}', true); {denied}");
        stand.psql("opentrusty_admind", &text).unwrap_err();
    }
    let mut browser = signed_in(&stand, DORA);
    let before = Ask::new(TWIN).with("prompt", "none").send_in(&stand, &mut browser);
    assert!(!before.location().contains("code="), "{}", before.location());
    assert_eq!(stand.psql("opentrusty_admind", "SELECT join_invited(100)").unwrap(), "0");

    let page = open_account(&stand, &mut browser, DORA);
    let html = page.response.text();
    assert!(html.contains("Acme") && html.contains("administrator"), "{html}");
    assert_eq!(attributes(&page, "data-tenant"), ["acme"]);
    let csrf = csrf_of(&page, "/account/invitations", "acme");
    for wrong in ["", "yes", "ACCEPT"] {
        let form = [("csrf", csrf.as_str()), ("tenant", "acme"), ("decision", wrong)];
        send(&stand, &mut browser, "/account/invitations", &form).expect(403);
    }
    let page = browser.submit(&[("decision", "accept")]).clone();
    assert_eq!(attributes(&page, "data-tenant"), Vec::<String>::new());
    let member = format!(
        "SELECT count(*) FROM memberships WHERE tenant_id = '{acme}' AND user_id = '{dora}'"
    );
    until("the membership is made", Duration::from_secs(30), || {
        (sql(&stand, &member) == "1").then_some(())
    });
    let roles = sql(
        &stand,
        &format!(
            "SELECT role FROM role_assignments WHERE tenant_id = '{acme}' AND user_id = '{dora}'"
        ),
    );
    assert_eq!(roles, "tenant_admin", "not the owner");
    assert!(is_alive(&stand, TWIN, &issue_in(&stand, &mut browser, &Ask::new(TWIN), DORA).access));
    for event in ["membership.accepted", "membership.joined"] {
        assert_eq!(audits(&stand, event, &dora), 1, "{event}");
    }
    // Answering again changes nothing: to decline is not to leave.
    let before = digest(&stand);
    let form = [("csrf", csrf.as_str()), ("tenant", "acme"), ("decision", "decline")];
    send(&stand, &mut browser, "/account/invitations", &form).expect(303);
    assert_eq!(digest(&stand), before);
    sql(
        &stand,
        &format!(
            "DELETE FROM invitations; DELETE FROM memberships WHERE tenant_id = '{acme}' AND user_id = '{dora}'"
        ),
    );
}

#[test]
fn w33_an_invitation_that_is_declined_expired_or_of_a_suspended_tenant_opens_nothing() {
    let stand = alone();
    let mut browser = signed_in(&stand, BEN);
    invite(&stand, "rival", BEN, "{}");
    let page = open_account(&stand, &mut browser, BEN);
    let csrf = csrf_of(&page, "/account/invitations", "rival");
    let accept = [("csrf", csrf.as_str()), ("tenant", "rival"), ("decision", "accept")];
    for (closed, open) in [
        (
            "UPDATE invitations SET created_at = created_at - interval '31 days', expires_at = now()",
            "UPDATE invitations SET expires_at = now() + interval '1 day'",
        ),
        (
            "UPDATE tenants SET status = 'suspended' WHERE slug = 'rival'",
            "UPDATE tenants SET status = 'active'",
        ),
    ] {
        sql(&stand, closed);
        let page = open_account(&stand, &mut browser, BEN);
        assert_eq!(attributes(&page, "data-tenant"), Vec::<String>::new());
        send(&stand, &mut browser, "/account/invitations", &accept).expect(303);
        sql(&stand, open);
    }
    open_account(&stand, &mut browser, BEN);
    browser.submit(&[("decision", "decline")]);
    send(&stand, &mut browser, "/account/invitations", &accept).expect(303);
    assert_eq!(
        sql(&stand, "SELECT declined_at IS NOT NULL AND accepted_at IS NULL FROM invitations"),
        "t"
    );
    assert_eq!(stand.psql("opentrusty_admind", "SELECT join_invited(100)").unwrap(), "0");
    assert_eq!(audits(&stand, "membership.declined", &user_id(&stand, BEN)), 1);
    sql(&stand, "DELETE FROM invitations");
}

/// What asking for a link is answered, without the numbers that differ from one request to the next.
fn asked(stand: &Stand, user: &str) -> (u16, Vec<(String, String)>, String) {
    let mut browser = stand.browser();
    let url = format!("{}/reset", stand.issuer());
    let csrf = browser.open(&url).field("csrf").unwrap();
    let answer = browser.client().post(&url, &[("csrf", &csrf), ("username", user)]);
    assert_always("/reset", &answer);
    let headers =
        answer.headers.iter().filter(|(n, _)| !["date", "x-request-id"].contains(&n.as_str()));
    (answer.status, headers.cloned().collect(), answer.text())
}

/// Ways to have no password that could be reset.
const HOPELESS: [&str; 5] = ["bex@example.org", "nobody at all", "", CLEO, "eve@example.org"];

/// Cleo is disabled, and Eve never had a password.
fn with_hopeless(stand: &Stand) {
    sql(stand, &format!("UPDATE users SET status = 'disabled' WHERE email = '{CLEO}'"));
    sql(
        stand,
        "INSERT INTO users (id, email, email_key) VALUES (gen_random_uuid(), 'eve@example.org', 'eve@example.org');
         DELETE FROM outbox; DELETE FROM enrolments",
    );
}

fn without_hopeless(stand: &Stand) {
    sql(
        stand,
        "DELETE FROM users WHERE email = 'eve@example.org'; UPDATE users SET status = 'active';
         DELETE FROM outbox; DELETE FROM enrolments",
    );
}

#[test]
fn w128_asking_for_a_link_tells_nobody_whether_there_is_an_account() {
    let stand = alone();
    with_hopeless(&stand);
    let known = asked(&stand, BEN);
    assert_eq!(known.0, 200, "{}", known.2);
    let work = statements(&stand, || drop(asked(&stand, BEN)));
    assert!(work.len() == 2 && work[1].contains("WITH account"), "{work:?}");
    assert_eq!(sql(&stand, "SELECT count(*) FROM outbox"), "2");
    for user in HOPELESS {
        sql(&stand, "DELETE FROM throttles");
        assert_eq!(asked(&stand, user), known, "{user}");
        assert_eq!(statements(&stand, || drop(asked(&stand, user))), work, "{user}");
    }
    assert_eq!(sql(&stand, "SELECT count(*) FROM outbox"), "2");
    assert_eq!(sql(&stand, "SELECT count(*) FROM enrolments"), "2");
    // Three links an hour, whether there is such an account or not, however it is spelt; ten from one network.
    for user in [BEN, "bex@example.org"] {
        sql(&stand, "DELETE FROM throttles");
        for spelling in [user, &user.to_uppercase(), user] {
            assert_eq!(asked(&stand, spelling), known);
        }
        assert_eq!(asked(&stand, user).0, 429, "{user}");
    }
    let told: Vec<u16> = (0..9).map(|n| asked(&stand, &format!("n{n}@example.org")).0).collect();
    assert_eq!(told, [200, 200, 200, 200, 200, 200, 200, 429, 429]);
    sql(&stand, "DELETE FROM throttles");
    without_hopeless(&stand);
}

#[test]
fn w44_a_link_that_was_asked_for_replaces_the_password_once_and_ends_what_the_old_one_began() {
    let stand = alone();
    sql(&stand, "DELETE FROM outbox; DELETE FROM enrolments; DELETE FROM throttles");
    let mut other = signed_in(&stand, BEN);
    let live = issue_in(&stand, &mut other, &Ask::new(TWIN).scope("openid offline_access"), BEN);
    let mut browser = stand.browser();
    let page = browser.open(&format!("{}/login", stand.issuer())).clone();
    assert!(page.response.text().contains("href=\"/reset\""), "{}", page.response.text());
    browser.open(&format!("{}/reset", stand.issuer()));
    browser.submit(&[("username", BEN)]);
    assert!(
        is_alive(&stand, TWIN, &live.access) && is_signed_in(&stand, &mut other),
        "asking changes nothing"
    );
    let mail: Value = serde_json::from_str(&sql(&stand, "SELECT body FROM outbox")).unwrap();
    assert_eq!(mail["to"], BEN, "{mail}");
    assert_eq!(
        sql(&stand, "SELECT kind, url, bearer IS NULL, client IS NULL FROM outbox"),
        "reset_mail||t|t"
    );
    let members: Vec<&String> = mail.as_object().unwrap().keys().collect();
    assert_eq!(members, ["expires_at", "link", "to"]);
    let within = format!(
        "SELECT '{}'::timestamptz BETWEEN now() + interval '50 minutes' AND now() + interval '1 hour'",
        mail["expires_at"].as_str().unwrap()
    );
    assert_eq!(sql(&stand, &within), "t");
    let link = mail["link"].as_str().unwrap();
    assert!(link.starts_with(&format!("{}/enroll?token=ote_", stand.issuer())), "{link}");
    browser.open(link);
    assert_eq!(browser.submit(&[("password", OTHER)]).texts("h1"), ["Your password is set"]);
    assert!(!is_signed_in(&stand, &mut other) && !is_alive(&stand, TWIN, &live.access));
    assert_tok(&TWIN.refresh(&stand, &live.refresh), "invalid_grant");
    assert_page(&stand.client().get(link));
    assert!(asks_password(try_sign_in(&stand, BEN, PASSWORD).page()));
    assert!(!asks_password(try_sign_in(&stand, BEN, OTHER).page()));
    // The link is in no log and no audit row.
    let token = link.rsplit_once('=').unwrap().1;
    assert_eq!(
        sql(&stand, &format!("SELECT count(*) FROM audit_events a WHERE a::text LIKE '%{token}%'")),
        "0"
    );
    assert!(!stand.nodes()[0].authd.log().contains(token));
    sql(&stand, "DELETE FROM outbox; DELETE FROM enrolments");
    stand.seed(&world());
}

#[test]
fn w112_nobody_asks_for_a_link_from_another_site() {
    let stand = alone();
    let mut browser = stand.browser();
    let url = format!("{}/reset", stand.issuer());
    let csrf = browser.open(&url).field("csrf").unwrap();
    let before = digest(&stand);
    for (csrf, header) in [
        ("", None),
        ("AAAA", None),
        (csrf.as_str(), Some(("origin", "https://evil.example"))),
        (csrf.as_str(), Some(("sec-fetch-site", "cross-site"))),
    ] {
        let headers: Vec<(&str, String)> =
            header.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
        let form = [("csrf", csrf), ("username", BEN)];
        browser.client().post_with(&url, &headers, &form).expect(403);
    }
    assert_eq!(digest(&stand), before);
}

#[test]
fn without_mail_there_is_no_link_to_ask_for() {
    let stand = Stand::start(&Options::default());
    let mut client = stand.client();
    for method in ["GET", "POST", "PUT"] {
        let answer = client.send(method, &format!("{}/reset", stand.issuer()), &[], b"");
        assert_eq!(answer.status, 404, "{method}");
    }
    let login = client.get(&format!("{}/login", stand.issuer()));
    assert!(!login.text().contains("/reset"), "{}", login.text());
}
