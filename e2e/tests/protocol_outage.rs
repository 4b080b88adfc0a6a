//! Restarts and outages (security.md, W37, W69, W165): nothing that decides is in memory, nothing is spent
//! or claimed while something is away.

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::time::{Duration, Instant};

use e2e::bench::{bench, until};
use e2e::{Response, Stand};
use support::*;

/// A refusal for the time being, and soon.
#[track_caller]
fn assert_away(answer: &Response, asked: Instant) {
    assert_always("away", answer);
    answer.expect(503);
    assert!(
        answer.header("retry-after").is_some_and(|s| s.parse::<u32>().is_ok()),
        "{:?}",
        answer.headers
    );
    assert!(answer.header("location").is_none() && answer.header("set-cookie").is_none());
    assert_no_token(answer);
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
}

/// PostgreSQL is away until this is dropped, however the test ends.
struct Stopped;

impl Stopped {
    fn now() -> Self {
        bench().stop_postgresql();
        Self
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        bench().start_postgresql();
    }
}

fn ready(stand: &Stand, status: u16) {
    let url = format!("{}/readyz", stand.issuer());
    until(&format!("readiness is {status}"), Duration::from_secs(60), || {
        (stand.client().get(&url).status == status).then_some(())
    });
}

#[test]
fn w21_w37_a_restart_forgets_nothing() {
    let mut stand = alone();
    for both in [false, true] {
        let spent = Ask::new(TWIN).scope("openid offline_access");
        let mut browser = signed_in(&stand, BEN);
        let code = code_in(&stand, &mut browser, &spent, BEN);
        let first = Tokens::of(&TWIN.redeem(&stand, &code, &spent.pkce.verifier));
        let one = issue_in(&stand, &mut browser, &Ask::new(TWIN), BEN);
        let two = Tokens::of(&TWIN.refresh(&stand, &one.refresh));
        let gone = issue_in(&stand, &mut browser, &Ask::new(TWIN), BEN);
        TWIN.revoke(&stand, &gone.refresh).expect(200);
        browser.open(&Ask::new(WEB).with("prompt", "consent").url(&stand));

        if both {
            stand.node(0).kill9();
            stand.node(0).restart();
        } else {
            stand.node(0).authd.kill9();
            stand.node(0).authd.start();
            stand.node(0).wait_ready();
        }
        // What lived lives on: tokens, the session, the form that was shown before.
        assert!(is_alive(&stand, TWIN, &first.access) && is_alive(&stand, TWIN, &two.access));
        assert!(browser.submit(&[("decision", "approve")]).away_parameter("code").is_some());
        // What was dead stays dead, and what was used is known to be.
        assert!(!is_alive(&stand, TWIN, &gone.access));
        assert_tok(&TWIN.refresh(&stand, &gone.refresh), "invalid_grant");
        assert_tok(&TWIN.redeem(&stand, &code, &spent.pkce.verifier), "invalid_grant");
        assert!(!is_alive(&stand, TWIN, &first.access));
        assert_tok(&TWIN.refresh(&stand, &one.refresh), "invalid_grant");
        assert!(!is_alive(&stand, TWIN, &two.access));
        assert_tok(&TWIN.refresh(&stand, &two.refresh), "invalid_grant");
    }
}

#[test]
fn w7_w69_without_postgresql_nothing_is_claimed_and_nothing_is_spent() {
    let mut stand = alone();
    let mut browser = signed_in(&stand, BEN);
    let live = issue_in(&stand, &mut browser, &Ask::new(TWIN).scope("openid offline_access"), BEN);
    let waiting = Ask::new(TWIN);
    let code = code_in(&stand, &mut browser, &waiting, BEN);
    let mut at_login = stand.browser();
    at_login.open(&Ask::new(TWIN).url(&stand));
    let field = |name: &str| at_login.page().field(name).unwrap();
    let form = [
        ("csrf", field("csrf")),
        ("interaction", field("interaction")),
        ("username", BEN.into()),
        ("password", PASSWORD.into()),
    ];
    let before = digest(&stand);
    let stopped = Stopped::now();

    let now = Instant::now;
    for token in [&live.access, &live.refresh, &random()] {
        let asked = now();
        assert_away(&TWIN.revoke(&stand, token), asked);
        let asked = now();
        assert_away(&TWIN.introspect(&stand, token), asked);
    }
    let asked = now();
    assert_away(&TWIN.redeem(&stand, &code, &waiting.pkce.verifier), asked);
    let asked = now();
    assert_away(&TWIN.refresh(&stand, &live.refresh), asked);
    let asked = now();
    assert_away(&userinfo(&stand, &live.access), asked);
    for ask in [
        Ask::new(WEB),
        Ask::new(WEB).with("redirect_uri", "https://evil.example/"),
        Ask::new(WEB).with("client_id", "nobody"),
        Ask::new(WEB).with("prompt", "none").with("redirect_uri", "https://evil.example/"),
    ] {
        let asked = now();
        assert_away(&ask.send(&stand), asked);
    }
    let asked = now();
    let pairs: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_away(&at_login.client().post(&format!("{}/login", stand.issuer()), &pairs), asked);
    ready(&stand, 503);
    let mut client = stand.client();
    client.get(&format!("{}/healthz", stand.issuer())).expect(200);
    for path in ["jwks.json", "openid-configuration"] {
        client.get(&format!("{}/.well-known/{path}", stand.issuer())).expect(200);
    }

    drop(stopped);
    ready(&stand, 200);
    assert_eq!(digest(&stand), before, "nothing was lost and nothing was changed");
    assert!(is_alive(&stand, TWIN, &live.access), "no revocation was claimed");
    Tokens::of(&TWIN.redeem(&stand, &code, &waiting.pkce.verifier));
    Tokens::of(&TWIN.refresh(&stand, &live.refresh));
    assert_unharmed(&mut stand);
}

#[test]
fn without_keyd_nothing_is_issued_nothing_is_spent_and_the_rest_goes_on() {
    let mut stand = alone();
    let mut browser = signed_in(&stand, BEN);
    let live = issue_in(&stand, &mut browser, &Ask::new(TWIN).scope("openid offline_access"), BEN);
    let waiting = Ask::new(TWIN);
    let code = code_in(&stand, &mut browser, &waiting, BEN);
    let before = digest(&stand);
    stand.node(0).keyd.kill9();

    let asked = Instant::now();
    assert_away(&TWIN.redeem(&stand, &code, &waiting.pkce.verifier), asked);
    let asked = Instant::now();
    assert_away(&TWIN.refresh(&stand, &live.refresh), asked);
    assert_eq!(digest(&stand), before);
    assert!(is_alive(&stand, TWIN, &live.access));
    stand.client().get(&format!("{}/.well-known/jwks.json", stand.issuer())).expect(200);
    // A session goes on, and a code that needs no signature is issued.
    let later = Ask::new(POST);
    let second = code_in(&stand, &mut browser, &later, BEN);

    stand.node(0).start_keyd();
    ready(&stand, 200);
    Tokens::of(&TWIN.redeem(&stand, &code, &waiting.pkce.verifier));
    Tokens::of(&TWIN.refresh(&stand, &live.refresh));
    Tokens::of(&POST.redeem(&stand, &second, &later.pkce.verifier));
    assert_unharmed(&mut stand);
}

/// I9: no audit row, no effect.
#[test]
fn w165_what_cannot_be_recorded_does_not_happen() {
    // An installation of its own: what goes wrong here is in its log.
    let stand = populated(1);
    let mut browser = signed_in(&stand, BEN);
    let live = issue_in(&stand, &mut browser, &Ask::new(TWIN), BEN);
    let waiting = Ask::new(TWIN);
    let code = code_in(&stand, &mut browser, &waiting, BEN);
    let spent = issue_in(&stand, &mut browser, &Ask::new(TWIN), BEN);
    Tokens::of(&TWIN.refresh(&stand, &spent.refresh));
    let consent = browser.open(&Ask::new(WEB).with("prompt", "consent").url(&stand)).clone();
    let form = [
        ("csrf", consent.field("csrf").unwrap()),
        ("interaction", consent.field("interaction").unwrap()),
        ("decision", "approve".to_owned()),
    ];
    let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
    sql(&stand, "REVOKE INSERT ON audit_events FROM opentrusty_authd");
    let columns = sql(&stand, "SELECT string_agg(column_name, ',') FROM information_schema.column_privileges
        WHERE grantee = 'opentrusty_authd' AND table_name = 'audit_events' AND privilege_type = 'INSERT'");
    sql(
        &stand,
        &format!("REVOKE INSERT ({}) ON audit_events FROM opentrusty_authd", default(&columns)),
    );
    let before = digest(&stand);

    let url = format!("{}/oauth/token", stand.issuer());
    let token = |form: &[(&str, &str)]| {
        let header = e2e::basic(TWIN.id, TWIN.secret.unwrap());
        stand.client().post_with(&url, &[header], form)
    };
    let redeeming = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", TWIN.redirect),
        ("code_verifier", waiting.pkce.verifier.as_str()),
    ];
    let refreshing = [("grant_type", "refresh_token"), ("refresh_token", live.refresh.as_str())];
    let replaying = [("grant_type", "refresh_token"), ("refresh_token", spent.refresh.as_str())];
    for form in [&redeeming[..], &refreshing, &replaying] {
        let answer = token(form);
        assert!(answer.status >= 500, "{} {}", answer.status, answer.text());
        assert_no_token(&answer);
    }
    let agreed = browser.client().post(&format!("{}/consent", stand.issuer()), &form);
    assert!(agreed.status >= 500, "{}", agreed.status);
    assert_eq!(digest(&stand), before);

    sql(
        &stand,
        &format!("GRANT INSERT ({}) ON audit_events TO opentrusty_authd", default(&columns)),
    );
    Tokens::of(&TWIN.redeem(&stand, &code, &waiting.pkce.verifier));
    Tokens::of(&TWIN.refresh(&stand, &live.refresh));
    browser.client().post(&format!("{}/consent", stand.issuer()), &form).expect(303);
}

/// The columns that were granted one by one, as the migration has it.
fn default(found: &str) -> &str {
    if found.is_empty() {
        "plane, type, actor_type, actor, tenant_id, target_type, target, request_id, data"
    } else {
        found
    }
}
