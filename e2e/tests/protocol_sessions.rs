//! Sessions, signing out, and setting a password (security.md, group C).

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use e2e::{Browser, Stand, tokens};
use support::*;

const SESSION: &str = "__Host-opentrusty_session";
const BROWSER: &str = "__Host-opentrusty_browser";

fn session_of(browser: &mut Browser) -> String {
    browser.client().cookies().get(SESSION).cloned().unwrap_or_default()
}

/// Is somebody signed in by this cookie alone?
fn is_session(stand: &Stand, secret: &str) -> bool {
    let mut client = stand.client();
    client.put_cookie(SESSION, secret);
    !client
        .get(&format!("{}/login", stand.issuer()))
        .expect(200)
        .text()
        .contains("name=\"password\"")
}

#[test]
fn w42_the_session_id_is_new_at_every_sign_in_and_the_old_one_is_nothing() {
    let stand = together();
    let mut browser = signed_in(&stand, BEN);
    let first = session_of(&mut browser);
    assert!(is_session(&stand, &first));
    // Step-up: the same person again.
    browser.open(&Ask::new(TWIN).with("prompt", "login").url(&stand));
    assert!(asks_password(browser.page()));
    assert!(go_on(&mut browser, BEN).away_parameter("code").is_some());
    let second = session_of(&mut browser);
    assert!(first != second && is_session(&stand, &second));
    assert!(!is_session(&stand, &first), "the cookie of before is worth nothing");
    // Somebody else at the same browser: the first one's session is over, and what hung on it.
    let bens = issue_in(&stand, &mut browser, &Ask::new(TWIN), BEN);
    browser.open(&Ask::new(TWIN).with("prompt", "login").url(&stand));
    assert!(go_on(&mut browser, ANA).away_parameter("code").is_some());
    let third = session_of(&mut browser);
    assert!(third != second && is_session(&stand, &third) && !is_session(&stand, &second));
    assert!(!is_alive(&stand, TWIN, &bens.access));
    let anas = issue_in(&stand, &mut browser, &Ask::new(TWIN), ANA);
    assert_ne!(tokens::claims(&anas.id)["sub"], tokens::claims(&bens.id)["sub"]);
    assert_ne!(tokens::claims(&anas.id)["sid"], tokens::claims(&bens.id)["sid"]);
}

#[test]
fn w42_a_planted_cookie_is_not_adopted() {
    let stand = together();
    let planted = format!("ots_{}", random());
    let mut browser = stand.browser();
    browser.client().put_cookie(SESSION, &planted);
    assert!(walk(&mut browser, &Ask::new(TWIN).url(&stand), BEN).away_parameter("code").is_some());
    assert_ne!(session_of(&mut browser), planted);
    assert!(!is_session(&stand, &planted));
}

#[test]
fn w42_a_sign_in_belongs_to_the_browser_that_began_it() {
    let stand = alone();
    let mut attacker = stand.browser();
    attacker.open(&Ask::new(TWIN).url(&stand));
    let here = attacker.page().url.clone();
    let interaction = attacker.page().field("interaction").unwrap();
    let mut victim = signed_in(&stand, BEN);
    let mut nobody = stand.browser();
    let before = digest(&stand);
    for browser in [&mut victim, &mut nobody] {
        assert_page(&browser.open(&here).response);
        assert_page(
            &browser.open(&format!("{}/oauth/authorize/{interaction}", stand.issuer())).response,
        );
        assert_page(
            &browser
                .open(&format!("{}/consent?interaction={interaction}", stand.issuer()))
                .response,
        );
        for path in ["login", "consent"] {
            let form = [
                ("interaction", interaction.as_str()),
                ("username", BEN),
                ("password", PASSWORD),
                ("decision", "approve"),
                ("csrf", "AAAA"),
            ];
            let answer = browser.client().post(&format!("{}/{path}", stand.issuer()), &form);
            assert!([400, 403].contains(&answer.status), "{}", answer.status);
            assert_own_page(&answer);
        }
    }
    assert_eq!(digest(&stand), before);
    assert!(go_on(&mut attacker, BEN).away_parameter("code").is_some(), "its own browser goes on");
}

#[test]
fn w42_an_interaction_ends_once() {
    let stand = together();
    let mut browser = stand.browser();
    browser.open(&Ask::new(TWIN).url(&stand));
    let interaction = browser.page().field("interaction").unwrap();
    assert!(go_on(&mut browser, BEN).away_parameter("code").is_some());
    for path in ["oauth/authorize/", "login?interaction=", "consent?interaction="] {
        assert_page(&browser.open(&format!("{}/{path}{interaction}", stand.issuer())).response);
    }
}

#[test]
fn w43_signing_out_ends_the_row_and_the_cookie() {
    let stand = together();
    let mut browser = signed_in(&stand, BEN);
    let old = session_of(&mut browser);
    let bound = issue_in(&stand, &mut browser, &Ask::new(TWIN), BEN);
    browser.open(&format!("{}/logout", stand.issuer()));
    assert!(browser.page().response.text().contains(BEN), "it says who is signed out");
    let page = browser.submit(&[]).clone();
    assert_always("logout", &page.response);
    assert_eq!(session_of(&mut browser), "", "the cookie is expired");
    assert!(!is_session(&stand, &old));
    assert!(!is_alive(&stand, TWIN, &bound.access));
    // The next person at this browser gets a session of their own, whatever cookie is left.
    browser.client().put_cookie(SESSION, &old);
    assert!(walk(&mut browser, &Ask::new(TWIN).url(&stand), CLEO).away_parameter("code").is_some());
    assert_ne!(session_of(&mut browser), old);
    assert!(!is_session(&stand, &old));
    let ended = sql(
        &stand,
        &format!(
            "SELECT count(*) FROM sessions WHERE secret_hash = sha256('{old}') AND ended_at IS NOT NULL"
        ),
    );
    assert_eq!(ended, "1", "ids are never reused");
}

#[test]
fn w45_a_session_is_a_hashed_secret_in_a_host_cookie() {
    let stand = together();
    let login = format!("{}/login", stand.issuer());
    let mut browser = stand.browser();
    let page = browser.open(&login).clone();
    let csrf = page.field("csrf").unwrap();
    let form = [("csrf", csrf.as_str()), ("username", BEN), ("password", PASSWORD)];
    let answer = browser.client().post(&login, &form);
    let lines = page.response.values("set-cookie").chain(answer.expect(303).values("set-cookie"));
    let set: Vec<String> = lines.map(str::to_owned).collect();
    assert_eq!(set.len(), 3, "the browser's, renewed by the sign-in, and the session's: {set:?}");
    for line in &set {
        let lower = line.to_ascii_lowercase();
        let session = line.starts_with("__Host-opentrusty_session=");
        assert_eq!(lower.contains("max-age="), !session, "{line}");
        for attribute in ["; path=/", "; secure", "; httponly", "; samesite=lax"] {
            assert!(lower.contains(attribute), "{line}");
        }
        assert!(line.starts_with("__Host-") && !lower.contains("domain="), "{line}");
        let secret = line.split_once('=').unwrap().1.split(';').next().unwrap();
        assert!(secret.len() >= 43, "256 bits: {secret}");
    }
    let secret = session_of(&mut browser);
    let stored = sql(
        &stand,
        &format!("SELECT count(*) FROM sessions WHERE secret_hash = sha256('{secret}')"),
    );
    assert_eq!(stored, "1");
    let clear =
        sql(&stand, &format!("SELECT count(*) FROM sessions s WHERE s::text LIKE '%{secret}%'"));
    assert_eq!(clear, "0");
}

#[test]
fn w45_a_session_ends_when_idle_and_at_its_absolute_end_by_the_databases_clock() {
    let stand = together();
    for (column, value) in [
        ("last_seen_at", "now() - interval '31 minutes'"),
        ("expires_at", "now() - interval '1 ms'"),
        ("ended_at", "now()"),
    ] {
        let mut browser = signed_in(&stand, BEN);
        let secret = session_of(&mut browser);
        assert!(is_session(&stand, &secret));
        sql(
            &stand,
            &format!(
                "UPDATE sessions SET {column} = {value} WHERE secret_hash = sha256('{secret}')"
            ),
        );
        assert!(!is_session(&stand, &secret), "{column}");
        let page = browser.open(&Ask::new(TWIN).with("prompt", "none").url(&stand)).clone();
        assert_eq!(page.away_parameter("error").as_deref(), Some("login_required"), "{column}");
    }
    let day = sql(
        &stand,
        "SELECT bool_and(expires_at <= created_at + interval '24 hours') FROM sessions WHERE expires_at > now()",
    );
    assert_eq!(day, "t");
}

#[test]
fn w114_two_cookies_of_one_name_are_none() {
    let stand = together();
    let mut wire = Line::open(&stand);
    let mut ben = signed_in(&stand, BEN);
    let mut ana = signed_in(&stand, ANA);
    let (one, two) = (session_of(&mut ben), session_of(&mut ana));
    for cookies in [
        format!("{SESSION}={one}; {SESSION}={two}"),
        format!("{SESSION}={two}; {SESSION}={one}"),
        format!("{SESSION}={one}; {SESSION}={one}"),
        format!("{SESSION}={one}; {SESSION}=x"),
        format!("{SESSION}=; {SESSION}={one}"),
    ] {
        let page = wire.ask("GET", "/login", &[("cookie", &cookies)], b"");
        assert!(page.text().contains("name=\"password\""), "{cookies}");
        let (left, right) = cookies.split_once("; ").unwrap();
        let page = wire.ask("GET", "/login", &[("cookie", left), ("cookie", right)], b"");
        assert!(page.status == 400 || page.text().contains("name=\"password\""), "{cookies}");
    }
    for near in [
        "__host-opentrusty_session",
        "opentrusty_session",
        "__Secure-opentrusty_session",
        "__Host-OpenTrusty_session",
    ] {
        let page = wire.ask("GET", "/login", &[("cookie", &format!("{near}={one}"))], b"");
        assert!(page.text().contains("name=\"password\""), "{near} is not the cookie");
    }
    assert!(is_session(&stand, &one));
    let browser = ben.client().cookies()[BROWSER].clone();
    ben.open(&Ask::new(WEB).with("prompt", "consent").url(&stand));
    let here = ben.page().url.replace(stand.issuer(), "");
    let both = format!("{SESSION}={one}; {BROWSER}={browser}; {BROWSER}=otb_{}", random());
    assert_page(&wire.ask("GET", &here, &[("cookie", &both)], b""));
}

/// An enrolment link as admind would make it.
fn link(stand: &Stand, user: &str, lives: &str) -> String {
    let token = format!("ote_{}", random());
    sql(
        stand,
        &format!(
        "INSERT INTO enrolments (token_hash, user_id, expires_at)
         SELECT sha256('{token}'), id, now() + interval '{lives}' FROM users WHERE email = '{user}'"
    ),
    );
    format!("{}/enroll?token={token}", stand.issuer())
}

const NEW: &str = "a brand new set of unrelated words";

#[test]
fn w44_a_new_password_ends_every_session_and_family_of_its_owner() {
    let stand = alone();
    let mut elsewhere = signed_in(&stand, CLEO);
    let online = issue_in(&stand, &mut elsewhere, &Ask::new(TWIN), CLEO);
    let offline = issue(&stand, &Ask::new(TWIN).scope("openid offline_access"), CLEO);
    let waiting = Ask::new(TWIN).scope("openid offline_access");
    let code = code(&stand, &waiting, CLEO);
    let other = issue(&stand, &Ask::new(TWIN), BEN);
    let old = session_of(&mut elsewhere);

    let mut browser = stand.browser();
    browser.open(&link(&stand, CLEO, "1 hour"));
    assert!(browser.page().response.text().contains(CLEO));
    assert!(is_session(&stand, &old), "looking changes nothing");
    browser.submit(&[("password", NEW)]);
    browser.page().response.expect(200);

    assert!(!is_session(&stand, &old));
    for dead in [&online, &offline] {
        assert_tok(&TWIN.refresh(&stand, &dead.refresh), "invalid_grant");
        assert!(!is_alive(&stand, TWIN, &dead.access));
    }
    assert_tok(&TWIN.redeem(&stand, &code, &waiting.pkce.verifier), "invalid_grant");
    assert!(is_alive(&stand, TWIN, &other.access), "nobody else is touched");

    let try_with = |password: &str| {
        let mut browser = stand.browser();
        browser.open(&format!("{}/login", stand.issuer()));
        browser.submit(&[("username", CLEO), ("password", password)]);
        !asks_password(browser.page())
    };
    assert!(!try_with(PASSWORD) && try_with(NEW));
    stand.seed(&world());
}

#[test]
fn an_enrolment_link_works_once_and_in_its_time_and_for_good_passwords() {
    let stand = alone();
    let url = link(&stand, DORA, "1 hour");
    let before = digest(&stand);
    let mut browser = stand.browser();
    for weak in [
        "",
        "short",
        "fourteen chars",
        "passwordpassword",
        "aaaaaaaaaaaaaaaaaaaa",
        DORA,
        &"x".repeat(1025),
    ] {
        browser.open(&url);
        browser.submit(&[("password", weak)]);
        assert_always("enroll", &browser.page().response);
        let refused =
            browser.page().response.status >= 400 || browser.page().field("password").is_some();
        assert!(refused, "{weak:?} is taken");
    }
    assert_page(
        &browser.open(&format!("{}/enroll?token=ote_{}", stand.issuer(), random())).response,
    );
    assert_page(&browser.open(&link(&stand, DORA, "-1 second")).response);
    sql(&stand, "DELETE FROM enrolments WHERE expires_at < now()");
    assert_eq!(digest(&stand), before, "nothing of this spends the link");

    browser.open(&url);
    browser.submit(&[("password", NEW)]);
    browser.page().response.expect(200);
    assert_page(&browser.open(&url).response);
    stand.seed(&world());
}

#[test]
fn a_forged_enrolment_form_changes_nothing() {
    let stand = alone();
    let url = link(&stand, DORA, "1 hour");
    let token = url.split_once("token=").unwrap().1.to_owned();
    let mut browser = stand.browser();
    browser.open(&url);
    let csrf = browser.page().field("csrf").unwrap();
    let post = format!("{}/enroll", stand.issuer());
    let before = digest(&stand);
    let form = |csrf: &str| {
        vec![("token", token.clone()), ("password", NEW.to_owned()), ("csrf", csrf.to_owned())]
    };
    let send = |client: &mut e2e::Client, csrf: &str, headers: &[(&str, String)]| {
        let form = form(csrf);
        let pairs: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
        client.post_with(&post, headers, &pairs).expect(403);
    };
    let cross = ("sec-fetch-site", "cross-site".to_owned());
    let origin = ("origin", "https://evil.example".to_owned());
    send(browser.client(), "", &[]);
    send(browser.client(), "AAAA", &[]);
    send(browser.client(), &csrf, &[cross]);
    send(browser.client(), &csrf, &[origin]);
    send(&mut stand.client(), &csrf, &[]);
    let mut stranger = stand.browser();
    stranger.open(&format!("{}/login", stand.issuer()));
    send(stranger.client(), &csrf, &[]);
    assert_eq!(digest(&stand), before);
}
