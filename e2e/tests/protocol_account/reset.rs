//! A password that was forgotten (W44, W112, W128).

use e2e::{Options, Stand};
use serde_json::Value;

use super::support::statements::statements;
use super::*;

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
    for (asks, user) in (1..).zip(HOPELESS) {
        sql(&stand, "DELETE FROM throttles");
        assert_eq!(asked(&stand, user), known, "{user}");
        assert_eq!(statements(&stand, || drop(asked(&stand, user))), work, "{user}");
        for table in ["outbox", "enrolments"] {
            let rows = sql(&stand, &format!("SELECT count(*) FROM {table}"));
            assert_eq!(rows, (2 + 2 * asks).to_string(), "{table}, {user}");
        }
    }
    // Of all these rows those for nobody are worth nothing: no mail goes out, and no token is anybody's.
    let live = "SELECT count(*), count(body ->> 'to') FROM outbox WHERE done_at IS NULL";
    assert_eq!(sql(&stand, live), "2|2");
    assert_eq!(sql(&stand, "SELECT count(*) FROM outbox WHERE body <> '{}'"), "2");
    assert_eq!(sql(&stand, "SELECT count(user_id) FROM enrolments"), "2");
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
    assert_eq!(browser.submit(&[("password", ANOTHER)]).texts("h1"), ["Your password is set"]);
    assert!(!is_signed_in(&stand, &mut other) && !is_alive(&stand, TWIN, &live.access));
    assert_tok(&TWIN.refresh(&stand, &live.refresh), "invalid_grant");
    assert_page(&stand.client().get(link));
    assert!(asks_password(try_sign_in(&stand, BEN, PASSWORD).page()));
    assert!(!asks_password(try_sign_in(&stand, BEN, ANOTHER).page()));
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
