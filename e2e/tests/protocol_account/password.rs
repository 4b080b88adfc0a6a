//! Another password, by whoever knows the one of now (W44, W113, W125, W134).

use super::*;

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
    let page = change(&mut own, PASSWORD, ANOTHER);
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
    assert!(!asks_password(try_sign_in(&stand, BEN, ANOTHER).page()));
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
        ("wrong", ANOTHER, "not your current password"),
        ("", ANOTHER, "not your current password"),
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
    let form = [("csrf", csrf.as_str()), ("current_password", &long), ("new_password", ANOTHER)];
    send(&stand, &mut own, "/account/password", &form).expect(400);
    // W125: nothing is taken from an address, alone or beside a form.
    let form = [("csrf", csrf.as_str()), ("current_password", PASSWORD), ("new_password", ANOTHER)];
    let query = e2e::query(&form);
    for path in ["/account", "/account/password"] {
        let answer = own.client().get(&format!("{}{path}?{query}", stand.issuer()));
        assert!([200, 405].contains(&answer.status) && !answer.text().contains(ANOTHER), "{path}");
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
    let form = [("csrf", csrf.as_str()), ("current_password", PASSWORD), ("new_password", ANOTHER)];
    let answer = send(&stand, &mut own, "/account/password", &form);
    assert_eq!((answer.status, answer.location()), (303, "/login?to=account"));
    let page = own.open(&format!("{}/account", stand.issuer())).clone();
    assert_eq!(page.field("new_password"), None, "{}", page.response.text());
    assert_eq!(digest(&stand), before);
    own.open(&format!("{}/login?to=account", stand.issuer()));
    own.submit(&[("username", BEN), ("password", PASSWORD)]);
    assert_eq!(change(&mut own, PASSWORD, ANOTHER).texts("h1"), ["Your password is changed"]);
    stand.seed(&world());
}
