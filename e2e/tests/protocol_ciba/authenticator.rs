//! Authenticator apps: what they list and answer with a token of their own (security.md, W58, W61, W133).

use e2e::{Response, Stand, bearer};
use serde_json::Value;

use crate::quiet;
use crate::support::deferred::*;
use crate::support::*;

/// GET and POST with the token of an app.
struct Authenticator<'a> {
    stand: &'a Stand,
    token: String,
}

impl Authenticator<'_> {
    fn url(&self) -> String {
        format!("{}/oauth/bc-authorize/complete", self.stand.issuer())
    }

    #[track_caller]
    fn list(&self) -> Response {
        let answer = self.stand.client().get_with(&self.url(), bearer(&self.token));
        assert_always(&self.url(), &answer);
        answer
    }

    #[track_caller]
    fn answer(&self, handle: &str, decision: &str) -> Response {
        let form = [("handle", handle), ("decision", decision)];
        let answer = self.stand.client().post_with(&self.url(), &[bearer(&self.token)], &form);
        assert_always(&self.url(), &answer);
        answer
    }

    #[track_caller]
    fn handles(&self) -> Vec<String> {
        let list = self.list().expect(200).json();
        let items = list.get("requests").and_then(Value::as_array).unwrap();
        let handle = |item: &Value| item.get("handle").and_then(Value::as_str).unwrap().to_owned();
        items.iter().map(handle).collect()
    }
}

fn app_of<'a>(stand: &'a Stand, user: &str) -> Authenticator<'a> {
    let token = issue(stand, &Ask::new(KEY).scope("openid opentrusty:ciba"), user).access;
    Authenticator { stand, token }
}

#[test]
fn an_authenticator_app_lists_and_answers() {
    let stand = quiet();
    let app = app_of(&stand, BEN);
    assert_eq!(app.list().expect(200).json(), serde_json::json!({ "requests": [] }));
    let id = auth_req_id(&BANK.ask_for(&stand, BEN, &[("binding_message", "W4SCT")]));
    let item = app.list().json()["requests"][0].clone();
    assert_eq!(
        (&item["client_id"], &item["client_name"]),
        (&"bank".into(), &"The bank app".into())
    );
    assert_eq!(
        (&item["scopes"], &item["binding_message"]),
        (&serde_json::json!(["openid"]), &"W4SCT".into())
    );
    assert!((100..=120).contains(&item["expires_in"].as_u64().unwrap()));
    let handle = &app.handles()[0];
    app.answer(handle, "approve").expect(204);
    Tokens::of(&BANK.poll_ciba(&stand, &id));
    assert!(app.handles().is_empty());
    app.answer(handle, "deny").expect(409);
    let id = auth_req_id(&BANK.ask_for(&stand, BEN, &[]));
    app.answer(&app.handles()[0], "deny").expect(204);
    assert_tok(&BANK.poll_ciba(&stand, &id), "access_denied");
}

#[test]
fn w61_no_other_token_answers_and_nobody_elses_request() {
    let stand = quiet();
    let id = auth_req_id(&BANK.ask_for(&stand, BEN, &[]));
    let (ben, ana) = (app_of(&stand, BEN), app_of(&stand, ANA));
    let handle = ben.handles().remove(0);
    let plain = issue(&stand, &Ask::new(WEB), BEN);
    let of_key = issue(&stand, &Ask::new(KEY).scope("openid"), BEN).access;
    let before = digest(&stand);
    // A relying party's token of the same person, and one that was not issued for it.
    for token in [plain.access.clone(), of_key] {
        let other = Authenticator { stand: &stand, token };
        for answer in [other.list(), other.answer(&handle, "approve")] {
            answer.expect(403);
            assert!(answer.header("www-authenticate").unwrap().contains("insufficient_scope"));
        }
    }
    for token in [plain.id, plain.refresh, random(), id.clone(), handle.clone()] {
        let other = Authenticator { stand: &stand, token };
        for answer in [other.list(), other.answer(&handle, "approve")] {
            assert_bearer_refused(&answer);
        }
    }
    stand.client().get(&ben.url()).expect(401);
    ana.answer(&handle, "approve").expect(404);
    for wrong in [random(), id.clone(), format!("{handle}A")] {
        ben.answer(&wrong, "approve").expect(404);
    }
    for wrong in ["maybe", ""] {
        assert_tok(&ben.answer(&handle, wrong), "invalid_request");
    }
    assert!(ana.handles().is_empty());
    assert_eq!(digest(&stand), before);
    // What the app may do ends with its registration, its grant and its person's password.
    for (change, undo, status) in [
        (
            "UPDATE clients SET metadata = metadata || '{\"skip_authorization\": false, \"scope\": \"openid\"}' WHERE client_id = 'key'",
            "UPDATE clients SET metadata = metadata || '{\"skip_authorization\": true, \"scope\": \"openid opentrusty:ciba\"}' WHERE client_id = 'key'",
            403,
        ),
        (
            "UPDATE clients SET status = 'disabled' WHERE client_id = 'key'",
            "UPDATE clients SET status = 'active'",
            401,
        ),
        (
            "UPDATE credentials SET changed_at = now() + interval '1 s'",
            "UPDATE credentials SET changed_at = now() - interval '1 hour'",
            400,
        ),
    ] {
        sql(&stand, change);
        assert_eq!(ben.answer(&handle, "approve").status, status, "{change}");
        assert_tok(
            &BANK.poll_ciba(&stand, &id),
            match status {
                403 => "authorization_pending",
                _ => "slow_down",
            },
        );
        sql(&stand, undo);
    }
    ben.answer(&handle, "approve").expect(204);
    Tokens::of(&BANK.poll_ciba(&stand, &id));
}

#[test]
fn w133_handles_cannot_be_guessed() {
    let stand = quiet();
    sql(&stand, "DELETE FROM throttles");
    let id = auth_req_id(&BANK.ask_for(&stand, BEN, &[]));
    let app = app_of(&stand, BEN);
    for _ in 0..20 {
        app.answer(&format!("oth_{}", random()), "approve").expect(404);
    }
    app.answer(&format!("oth_{}", random()), "approve").expect(429);
    // Whoever lists first guesses nothing.
    app.answer(&app.handles()[0], "approve").expect(204);
    Tokens::of(&BANK.poll_ciba(&stand, &id));
    sql(&stand, "DELETE FROM throttles");
}

#[test]
fn w58_the_scope_of_authenticators_is_for_first_party_clients() {
    let stand = quiet();
    for app in [WEB, TWIN] {
        let ask = Ask::new(app).scope("openid opentrusty:ciba");
        assert_red(&ask.send(&stand), &app, "invalid_scope", Some(&ask.state));
    }
    assert_tok(
        &BANK.call(
            &stand,
            "/oauth/bc-authorize",
            &[("scope", "openid opentrusty:ciba"), ("login_hint", BEN)],
        ),
        "invalid_scope",
    );
}
