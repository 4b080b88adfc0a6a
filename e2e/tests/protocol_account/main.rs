//! What people manage of their own: sessions, applications, the password, invitations; and a password that was
//! forgotten (security.md, W33, W43–W45, W112, W113, W117, W125, W128, W134).

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
#[path = "../support/mod.rs"]
mod support;

mod invitations;
mod password;
mod reset;

use e2e::{Browser, Page, Response, Stand};
use support::account::*;
use support::*;

const ANOTHER: &str = "five other words walk back again";
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
    assert_eq!(attributes(&page, "data-session"), std::slice::from_ref(&here));
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

/// Where a form leads, what tells it from the others, and its fields.
type Form<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>);

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
    let forms: [Form<'_>; 5] = [
        ("/account/sessions/end", &victim, vec![("session", &victim)]),
        ("/account/sessions/end", "others", vec![("session", "others")]),
        ("/account/applications/withdraw", "\"web\"", vec![("client_id", "web")]),
        ("/account/invitations", "rival", vec![("tenant", "rival"), ("decision", "accept")]),
        (
            "/account/password",
            "new_password",
            vec![("current_password", PASSWORD), ("new_password", ANOTHER)],
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
