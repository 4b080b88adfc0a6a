//! The link: looking spends nothing, a weak password spends nothing, the first good one spends it.

use e2e::{Options, Racer, Stand, race};
use url::Url;

use crate::{ADMIN, PASSWORD, bootstrap, link, owner, succeeds};

fn fresh() -> (Stand, String) {
    let stand = Stand::start(&Options::default());
    let printed = succeeds(&bootstrap(&stand).output().unwrap());
    let link = link(&stand, &printed);
    (stand, link)
}

fn passwords(stand: &Stand) -> String {
    owner(stand, "SELECT count(*) FROM credentials")
}

/// Whether the administrator can sign in with a password.
fn signs_in(stand: &Stand, password: &str) -> bool {
    let mut browser = stand.browser();
    browser.open(&format!("{}/login", stand.issuer()));
    browser.submit(&[("username", ADMIN), ("password", password)]);
    browser.page().field("password").is_none()
}

#[test]
fn the_link_sets_the_first_password_once() {
    let (stand, link) = fresh();
    for _ in 0..3 {
        stand.client().get(&link).expect(200);
    }
    assert_eq!(passwords(&stand), "0", "looking spends nothing");
    let mut browser = stand.browser();
    browser.open(&link);
    for weak in ["", "short", "passwordpassword", ADMIN] {
        browser.submit(&[("password", weak)]);
        assert!(browser.page().field("password").is_some(), "{weak:?} was taken");
    }
    assert_eq!(passwords(&stand), "0", "a weak password spends nothing");
    browser.submit(&[("password", PASSWORD)]);
    assert_eq!(browser.page().response.status, 200);
    assert!(browser.page().field("password").is_none());
    assert_eq!(passwords(&stand), "1");
    assert!(signs_in(&stand, PASSWORD));
    assert_eq!(
        owner(&stand, "SELECT count(*) FROM audit_events WHERE type = 'user.enrolled'"),
        "1"
    );

    // Once more, in a new browser and in the one that still shows the form.
    let mut again = stand.browser();
    let page = again.open(&link).clone();
    assert_eq!(page.response.status, 400, "{}", page.response.text());
    assert!(page.field("password").is_none());
    let stored = owner(&stand, "SELECT password_hash FROM credentials");
    let mut late = stand.browser();
    late.open(&link);
    assert!(late.page().field("csrf").is_none(), "no form for a spent link");
    assert_eq!(owner(&stand, "SELECT password_hash FROM credentials"), stored);
    assert!(!signs_in(&stand, "another password of good length"));
}

#[test]
fn a_form_that_was_open_when_the_link_was_spent_sets_nothing() {
    let (stand, link) = fresh();
    let (mut first, mut second) = (stand.browser(), stand.browser());
    first.open(&link);
    second.open(&link);
    first.submit(&[("password", PASSWORD)]);
    second.submit(&[("password", "the second password to come")]);
    assert_eq!(second.page().response.status, 400, "{}", second.page().response.text());
    assert!(signs_in(&stand, PASSWORD));
    assert!(!signs_in(&stand, "the second password to come"));
}

#[test]
fn w159_of_many_uses_of_a_link_at_one_instant_one_counts() {
    let (stand, link) = fresh();
    let racers: Vec<(Racer, String)> = (0..6)
        .map(|number| {
            let mut browser = stand.browser();
            let page = browser.open(&link).clone();
            let (csrf, token) = (page.field("csrf").unwrap(), page.field("token").unwrap());
            let password = format!("password number {number} of these");
            let form = e2e::query(&[("csrf", &csrf), ("token", &token), ("password", &password)]);
            let url = Url::parse(&format!("{}/enroll", stand.issuer())).unwrap();
            let headers = [("content-type", "application/x-www-form-urlencoded".to_owned())];
            let bytes = browser.client().bytes("POST", &url, &headers, form.as_bytes());
            (Racer { address: browser.client().address(&url), bytes }, password)
        })
        .collect();
    let requests: Vec<Racer> = racers.iter().map(|(racer, _)| racer.clone()).collect();
    let answers = race(stand.trust(), &requests);
    let won: Vec<usize> = (0..answers.len()).filter(|n| answers[*n].status == 200).collect();
    assert_eq!(won.len(), 1, "{:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 400 | 503)));
    for (number, (_, password)) in racers.iter().enumerate() {
        assert_eq!(signs_in(&stand, password), number == won[0], "{password}");
    }
    assert_eq!(
        owner(&stand, "SELECT count(*) FROM audit_events WHERE type = 'user.enrolled'"),
        "1"
    );
}

#[test]
fn w159_an_expired_unknown_or_broken_link_sets_nothing() {
    let (stand, link) = fresh();
    let mut open = stand.browser();
    open.open(&link);
    owner(&stand, "UPDATE enrolments SET expires_at = now() - interval '1 second'");
    open.submit(&[("password", PASSWORD)]);
    assert_eq!(open.page().response.status, 400, "the form was open when it expired");
    let token = link.split_once("token=").unwrap().1;
    let other: String = token.chars().rev().collect();
    for bad in [
        link.clone(),
        format!("{}/enroll", stand.issuer()),
        format!("{}/enroll?token=", stand.issuer()),
        format!("{}/enroll?token={other}", stand.issuer()),
        format!("{}/enroll?token={token}&token={token}", stand.issuer()),
        format!("{}/enroll?token=%00", stand.issuer()),
        format!("{link}x"),
    ] {
        let mut browser = stand.browser();
        let page = browser.open(&bad);
        assert_eq!(page.response.status, 400, "{bad}: {}", page.response.text());
        assert!(page.field("password").is_none(), "{bad}");
    }
    assert_eq!(passwords(&stand), "0");
    assert!(!signs_in(&stand, PASSWORD));
    // Even with its life given back it is the same link.
    owner(&stand, "UPDATE enrolments SET expires_at = now() + interval '1 minute'");
    let mut browser = stand.browser();
    browser.open(&link);
    browser.submit(&[("password", PASSWORD)]);
    assert!(signs_in(&stand, PASSWORD));
}

#[test]
fn w112_a_forged_enrolment_form_sets_nothing() {
    let (stand, link) = fresh();
    let token = link.split_once("token=").unwrap().1;
    let mut browser = stand.browser();
    let csrf = browser.open(&link).field("csrf").unwrap();
    let url = format!("{}/enroll", stand.issuer());
    let form = [("csrf", csrf.as_str()), ("token", token), ("password", PASSWORD)];
    for (what, headers) in [
        ("another origin", vec![("origin", "https://evil.example".to_owned())]),
        ("another site", vec![("sec-fetch-site", "cross-site".to_owned())]),
    ] {
        let answer = browser.client().post_with(&url, &headers, &form);
        assert_eq!(answer.status, 403, "{what}");
    }
    let mut stranger = stand.client();
    assert_eq!(stranger.post(&url, &form).status, 403, "another browser's form");
    assert_eq!(browser.client().post(&url, &form[1..]).status, 403, "no token of the form");
    assert_eq!(passwords(&stand), "0");
}

#[test]
fn w159_a_lost_link_is_renewed_until_somebody_has_a_password_and_the_lost_one_is_dead() {
    let (stand, lost) = fresh();
    let renew = || stand.cli().args(["bootstrap", "--renew-link"]).output().unwrap();
    let mut open = stand.browser();
    open.open(&lost);
    let new = link(&stand, &succeeds(&renew()));
    assert_ne!(new, lost);
    stand.client().get(&lost).expect(400);
    open.submit(&[("password", PASSWORD)]);
    assert_eq!(open.page().response.status, 400, "{}", open.page().response.text());
    assert_eq!(passwords(&stand), "0");
    let mut browser = stand.browser();
    browser.open(&new);
    browser.submit(&[("password", PASSWORD)]);
    assert!(signs_in(&stand, PASSWORD));
    // From now on there is somebody to ask.
    let links = owner(&stand, "SELECT count(*) FROM enrolments");
    let late = renew();
    assert_eq!(late.status.code(), Some(1), "{late:?}");
    assert!(!String::from_utf8_lossy(&late.stdout).contains("token="), "{late:?}");
    assert_eq!(owner(&stand, "SELECT count(*) FROM enrolments"), links);
    assert!(signs_in(&stand, PASSWORD));
}
