//! W165: nothing happens without its audit row, and with it exactly once, in one transaction.

use e2e::people::{MEMBER, PLATFORM_ADMIN, app, careful, console};
use e2e::{Browser, Options, Pkce, Stand, bearer};
use serde_json::json;

use crate::{beside_others, owner, populated, text};

/// Whose rows there are, but for what only looking leaves behind.
fn effects(stand: &Stand) -> String {
    owner(
        stand,
        "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM codes),
                (SELECT count(*) FROM codes WHERE redeemed_at IS NOT NULL OR burned_at IS NOT NULL),
                (SELECT count(*) FROM access_tokens), (SELECT count(*) FROM access_tokens WHERE revoked_at IS NOT NULL),
                (SELECT count(*) FROM refresh_tokens), (SELECT count(*) FROM grants WHERE revoked_at IS NOT NULL),
                (SELECT count(*) FROM consents), (SELECT count(*) FROM signing_keys),
                (SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL), (SELECT count(*) FROM audit_events)",
    )
}

/// The events since a number, each with how many rows of a table its transaction wrote.
fn written_with(stand: &Stand, event: &str, table: &str) -> String {
    owner(
        stand,
        &format!(
            "SELECT count(*), (SELECT count(*) FROM {table} t WHERE t.xmin::text = (e.tx::text::bigint % 4294967296)::text)
             FROM audit_events e WHERE type = '{event}' GROUP BY e.tx"
        ),
    )
}

#[test]
fn w165_each_act_has_one_audit_row_in_its_own_transaction() {
    let _cluster = beside_others();
    let stand = populated(&Options::default());
    let party = careful(&stand);
    let got = party.tokens(&mut stand.browser(), MEMBER);
    for (event, table) in [
        ("user.signed_in", "sessions"),
        ("consent.granted", "consents"),
        ("code.issued", "grants"),
        ("tokens.issued", "access_tokens"),
    ] {
        assert_eq!(written_with(&stand, event, table), "1|1", "{event}");
    }
    let mut client = stand.client();
    let renewed = party.refresh(&mut client, text(&got, "refresh_token")).expect(200).json();
    assert_eq!(written_with(&stand, "tokens.refreshed", "access_tokens"), "1|1");
    // Reuse: the refusal and what it kills are one act as well.
    party.refresh(&mut client, text(&got, "refresh_token")).expect(400);
    assert_eq!(written_with(&stand, "refresh.reused", "grants"), "1|1");
    assert_eq!(
        owner(&stand, "SELECT count(*) FROM audit_events WHERE type = 'tokens.refreshed'"),
        "1"
    );
    let dead = party.introspect(&mut client, text(&renewed, "access_token")).expect(200).json();
    assert_eq!(dead["active"], false);
    // Each event says which plane, which role, and who.
    let foreign = owner(
        &stand,
        "SELECT count(*) FROM audit_events WHERE (plane, db_role::text) NOT IN
         (('auth', 'opentrusty_authd'), ('admin', 'opentrusty_admind'), ('owner', 'opentrusty_owner'))",
    );
    assert_eq!(foreign, "0");
}

#[test]
fn w165_without_its_audit_row_nothing_happens_at_the_public_plane() {
    let _cluster = beside_others();
    let stand = populated(&Options::default());
    let party = app(&stand);
    let mut browser = stand.browser();
    let got = party.tokens(&mut browser, MEMBER);
    let (code, pkce) = party.code(&mut browser, MEMBER);
    let mut visitor = stand.browser();
    visitor.open(&party.url(&Pkce::new(), &[]));
    let mut asked = stand.browser();
    asked.open(&careful(&stand).url(&Pkce::new(), &[]));
    asked.submit(&[("username", MEMBER.0), ("password", MEMBER.1)]);

    owner(&stand, "REVOKE INSERT ON audit_events FROM opentrusty_authd;
        REVOKE INSERT (plane, type, actor_type, actor, tenant_id, target_type, target, request_id, data)
        ON audit_events FROM opentrusty_authd");
    let before = effects(&stand);
    let mut faults = Vec::new();
    let mut refused = |what: &str, status: u16, stand: &Stand| {
        if status != 503 {
            faults.push(format!("{what} is answered {status}, not 503"));
        }
        let after = effects(stand);
        if after != before {
            faults.push(format!("{what} had an effect: {before} became {after}"));
        }
    };
    let mut client = stand.client();
    refused(
        "a sign-in",
        visitor.submit(&[("username", MEMBER.0), ("password", MEMBER.1)]).response.status,
        &stand,
    );
    refused("a consent", asked.submit(&[("decision", "approve")]).response.status, &stand);
    refused("a code for a session", code_status(&stand, &mut browser), &stand);
    refused("a redemption", party.redeem(&mut client, &code, &pkce).status, &stand);
    refused("a refresh", party.refresh(&mut client, text(&got, "refresh_token")).status, &stand);
    refused("a revocation", party.revoke(&mut client, text(&got, "access_token")).status, &stand);

    owner(&stand, "GRANT INSERT (plane, type, actor_type, actor, tenant_id, target_type, target, request_id, data)
        ON audit_events TO opentrusty_authd");
    // Nothing was spent meanwhile.
    party.redeem(&mut client, &code, &pkce).expect(200);
    party.refresh(&mut client, text(&got, "refresh_token")).expect(200);
    assert!(faults.is_empty(), "{faults:#?}");
}

/// What a browser with a session is answered where a code would be issued.
fn code_status(stand: &Stand, browser: &mut Browser) -> u16 {
    let page = browser.open(&app(stand).url(&Pkce::new(), &[]));
    assert!(page.away.as_ref().is_none_or(|away| !away.contains("code=")), "{:?}", page.away);
    page.response.status
}

#[test]
fn w165_without_its_audit_row_no_key_is_staged() {
    let _cluster = beside_others();
    let stand = populated(&Options::default());
    let token = console(&stand).tokens(&mut stand.browser(), PLATFORM_ADMIN);
    let url = format!("{}/api/v1/keys", stand.api());
    let stage = || {
        let body = json!({ "class": "token", "algorithm": "ES256" });
        stand.client().json("POST", &url, &[bearer(text(&token, "access_token"))], &body)
    };
    let columns =
        "(plane, type, actor_type, actor, tenant_id, target_type, target, request_id, data)";
    owner(&stand, &format!("REVOKE INSERT {columns} ON audit_events FROM opentrusty_admind"));
    let before = owner(&stand, "SELECT count(*) FROM signing_keys");
    let status = stage().status;
    assert_eq!(
        owner(&stand, "SELECT count(*) FROM signing_keys"),
        before,
        "a key without an audit row"
    );
    owner(&stand, &format!("GRANT INSERT {columns} ON audit_events TO opentrusty_admind"));
    // Whatever keyd has made meanwhile is taken up or thrown away; in the end each row has its event.
    let after = stage();
    assert!(matches!(after.status, 201 | 409), "{} {}", after.status, after.text());
    let unequal = "SELECT (SELECT count(*) FROM signing_keys) = (SELECT count(*) FROM audit_events WHERE type = 'key.staged')";
    e2e::bench::until("each key has its event", std::time::Duration::from_secs(25), || {
        (owner(&stand, unequal) == "t").then_some(())
    });
    assert_eq!(status, 503, "the answer while nothing could be audited");
}
