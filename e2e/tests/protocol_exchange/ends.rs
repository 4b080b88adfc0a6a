//! What dies with what it came of (W33).

use crate::support::*;
use crate::{ACCESS, BROKERS, bens, exchange, exchanged, grant_of};

/// What ends a grant that others hang on.
const ENDS: [(&str, &str); 9] = [
    (
        "subject's grant revoked",
        "UPDATE grants SET revoked_at = now(), revoke_reason = 'test' WHERE id = GRANT",
    ),
    (
        "session ended",
        "UPDATE sessions SET ended_at = now() WHERE id = (SELECT session_id FROM grants WHERE id = GRANT)",
    ),
    (
        "session expired",
        "UPDATE sessions SET expires_at = now() - interval '1 ms' WHERE id = (SELECT session_id FROM grants WHERE id = GRANT)",
    ),
    ("consent withdrawn", "UPDATE consents SET withdrawn_at = now() WHERE user_id = BEN_ID"),
    ("user disabled", "UPDATE users SET status = 'disabled' WHERE id = BEN_ID"),
    ("membership disabled", "UPDATE memberships SET status = 'disabled' WHERE user_id = BEN_ID"),
    ("subject's client disabled", "UPDATE clients SET status = 'disabled' WHERE client_id = 'web'"),
    ("subject's client deleted", "DELETE FROM clients WHERE client_id = 'web'"),
    ("user deleted", "DELETE FROM users WHERE id = BEN_ID"),
];

#[test]
fn w33_w65_what_the_subject_loses_is_lost_to_whoever_acts_for_it() {
    let stand = alone_with_machines();
    for (name, end) in ENDS {
        let subject = issue(&stand, &Ask::new(WEB).scope("openid orders:read"), BEN);
        let one = exchanged(&exchange(&stand, BROKER, &subject.access, &[("audience", OTHER)]));
        let two = exchanged(&exchange(&stand, BROKER, &one.access, &[("audience", OTHER)]));
        let three = exchanged(&exchange(&stand, MASK, &two.access, &[]));
        let chain = [(BROKER, &one), (BROKER, &two), (MASK, &three)];
        for (app, token) in chain {
            assert!(is_alive(&stand, app, &token.access));
        }
        println!("{name}");
        let grant = format!("'{}'", grant_of(&stand, &subject.access));
        let ben = format!("(SELECT id FROM users WHERE email = '{BEN}')");
        sql(&stand, &end.replace("GRANT", &grant).replace("BEN_ID", &ben));
        for (app, token) in chain {
            assert_inactive(&app.introspect(&stand, &token.access));
            assert_bearer_refused(&userinfo(&stand, &token.access));
            for broker in BROKERS {
                let again = exchange(&stand, broker, &token.access, &[]);
                assert_tok(&again, "invalid_request");
            }
        }
        assert_tok(&exchange(&stand, BROKER, &subject.access, &[]), "invalid_request");
        sql(
            &stand,
            "UPDATE users SET status = 'active'; UPDATE clients SET status = 'active';
             UPDATE memberships SET status = 'active'",
        );
        if name.ends_with("deleted") {
            stand.seed(&world());
        }
    }
}

#[test]
fn w33_a_person_who_signs_out_or_a_client_that_gives_its_token_back_ends_it_too() {
    let stand = together_with_machines();
    let mut browser = signed_in(&stand, BEN);
    let subject = issue_in(&stand, &mut browser, &Ask::new(TWIN), BEN);
    let one = exchanged(&exchange(&stand, BROKER, &subject.access, &[("audience", OTHER)]));
    browser.open(&format!("{}/logout", stand.issuer()));
    browser.submit(&[]);
    assert!(!is_alive(&stand, BROKER, &one.access), "signed out");

    let subject = issue(&stand, &Ask::new(TWIN).scope("openid offline_access"), BEN);
    let one = exchanged(&exchange(&stand, BROKER, &subject.access, &[("audience", OTHER)]));
    let two = exchanged(&exchange(&stand, MASK, &one.access, &[]));
    TWIN.revoke(&stand, &subject.refresh).expect(200);
    assert!(!is_alive(&stand, BROKER, &one.access) && !is_alive(&stand, MASK, &two.access));

    // A replayed code, and a refresh token used twice.
    let ask = Ask::new(TWIN);
    let code = code(&stand, &ask, BEN);
    let subject = Tokens::of(&TWIN.redeem(&stand, &code, &ask.pkce.verifier));
    let one = exchanged(&exchange(&stand, BROKER, &subject.access, &[("audience", OTHER)]));
    assert_tok(&TWIN.redeem(&stand, &code, &ask.pkce.verifier), "invalid_grant");
    assert!(!is_alive(&stand, BROKER, &one.access));
}

#[test]
fn w33_what_the_actor_loses_ends_the_delegation() {
    let stand = alone_with_machines();
    let subject = bens(&stand);
    let actor = Tokens::of(&BROKER.grant_itself(&stand, &[]));
    let more = [("actor_token", actor.access.as_str()), ("actor_token_type", ACCESS)];
    let one = exchanged(&exchange(&stand, BROKER, &subject.access, &more));
    let two = exchanged(&exchange(&stand, MASK, &one.access, &[]));
    sql(
        &stand,
        &format!(
            "UPDATE grants SET revoked_at = now(), revoke_reason = 'test' WHERE id = '{}'",
            grant_of(&stand, &actor.access)
        ),
    );
    assert!(!is_alive(&stand, BROKER, &one.access) && !is_alive(&stand, MASK, &two.access));
    assert!(is_alive(&stand, TWIN, &subject.access));

    // The broker in the middle of a chain is switched off.
    let one = exchanged(&exchange(&stand, BROKER, &subject.access, &[("audience", OTHER)]));
    let two = exchanged(&exchange(&stand, MASK, &one.access, &[]));
    sql(&stand, "UPDATE clients SET status = 'disabled' WHERE client_id = 'broker'");
    assert_bearer_refused(&userinfo(&stand, &one.access));
    assert!(!is_alive(&stand, MASK, &two.access));
    assert_client_refused(&exchange(&stand, BROKER, &subject.access, &[]), true);
    sql(&stand, "UPDATE clients SET status = 'active' WHERE client_id = 'broker'");
    sql(&stand, "DELETE FROM clients WHERE client_id = 'broker'");
    assert!(!is_alive(&stand, MASK, &two.access));
    stand.seed(&machines());
    assert!(is_alive(&stand, TWIN, &subject.access));
}

#[test]
fn w33_a_policy_or_grant_that_is_taken_away_is_gone_at_once() {
    let stand = alone_with_machines();
    let subject = bens(&stand);
    let taken = "DELETE FROM exchange_policies WHERE client = (SELECT id FROM clients WHERE client_id = 'broker')";
    sql(
        &stand,
        &format!("{taken} AND target_audience = '{OTHER}' AND subject_audience = 'orders-api'"),
    );
    let narrow = [("audience", "orders-api")];
    let orders = issue(&stand, &Ask::new(TWIN).with("audience", "orders-api"), BEN);
    assert_tok(&exchange(&stand, BROKER, &orders.access, &[("audience", OTHER)]), "invalid_target");
    exchanged(&exchange(&stand, BROKER, &orders.access, &narrow));
    sql(&stand, taken);
    assert_tok(&exchange(&stand, BROKER, &subject.access, &[]), "unauthorized_client");
    stand.seed(&machines());
    exchanged(&exchange(&stand, BROKER, &subject.access, &[]));
    sql(
        &stand,
        "UPDATE clients SET metadata = jsonb_set(metadata, '{grant_types}', '[\"client_credentials\"]')
         WHERE client_id = 'broker'",
    );
    assert_tok(&exchange(&stand, BROKER, &subject.access, &[]), "unauthorized_client");
    stand.seed(&machines());
    exchanged(&exchange(&stand, BROKER, &subject.access, &[]));
}
