//! What a policy allows (W66, W67): nothing by itself, and never more than the subject has.

use e2e::{basic, tokens};
use serde_json::json;

use crate::support::*;
use crate::{ACCESS, BROKERS, bens, exchange, exchanged, is_active, listed};

#[test]
fn w30_w66_without_a_policy_nothing_is_exchanged() {
    let stand = alone_with_machines();
    let subject = bens(&stand);
    let elsewhere = issue(&stand, &Ask::new(POST), BEN);
    let narrow = issue(&stand, &Ask::new(TWIN).with("audience", OTHER), BEN);
    sql(&stand, "DELETE FROM throttles");
    let before = digest(&stand);
    for app in [IDLE, TWIN, POST, SPA, ROBOT, ORDERS] {
        println!("{}", app.id);
        let answer = exchange(&stand, app, &subject.access, &[]);
        assert_no_token(&answer);
        assert_tok(&answer, "unauthorized_client");
    }
    for broker in BROKERS {
        let answer = exchange(&stand, broker, &elsewhere.access, &[]);
        assert_tok(&answer, "unauthorized_client");
        for target in [
            stand.issuer(),
            stand.api(),
            "twin",
            "broker",
            "rival-web",
            "https://evil.example",
            "https://other.example.org/",
            "ORDERS-API",
            "*",
        ] {
            println!("{target}");
            for name in ["audience", "resource"] {
                let alone = exchange(&stand, broker, &subject.access, &[(name, target)]);
                assert_tok(&alone, "invalid_target");
                let beside = [(name, target), ("audience", OTHER)];
                let beside = exchange(&stand, broker, &subject.access, &beside);
                assert_tok(&beside, "invalid_target");
            }
        }
    }
    // From `OTHER` the broker reaches `OTHER` alone; the mask never reaches `orders-api`.
    let target = [("audience", "orders-api")];
    assert_tok(&exchange(&stand, BROKER, &narrow.access, &target), "invalid_target");
    assert_tok(&exchange(&stand, MASK, &subject.access, &target), "invalid_target");
    // A tenant's policy is about its own tokens, whatever they are called.
    assert_tok(&exchange(&stand, RIVAL_BROKER, &subject.access, &[]), "invalid_request");
    // And nobody is believed without proof.
    let url = format!("{}/oauth/token", stand.issuer());
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", subject.access.as_str()),
        ("subject_token_type", ACCESS),
        ("client_id", BROKER.id),
    ];
    assert_client_refused(&stand.client().post(&url, &form), false);
    assert_client_refused(&stand.client().post(&url, &form[..3]), false);
    let head = basic(BROKER.id, "wrong");
    assert_client_refused(&stand.client().post_with(&url, &[head], &form[..3]), true);
    sql(&stand, "DELETE FROM throttles");
    assert_eq!(digest(&stand), before);
}

#[test]
fn w66_the_audience_is_what_the_policy_lists() {
    let stand = together_with_machines();
    let subject = bens(&stand);
    let aud = |broker: App, more: &[(&str, &str)]| {
        let one = exchanged(&exchange(&stand, broker, &subject.access, more));
        listed(&broker.introspect(&stand, &one.access).json()["aud"])
    };
    let (both, orders) = ([OTHER, "orders-api"], ["orders-api"]);
    assert_eq!(aud(BROKER, &[("audience", OTHER)]), [OTHER]);
    assert_eq!(aud(BROKER, &[("audience", "orders-api")]), orders);
    assert_eq!(aud(BROKER, &[("resource", OTHER), ("audience", "orders-api")]), both);
    assert_eq!(aud(BROKER, &[("audience", "orders-api"), ("audience", OTHER)]), both);
    assert_eq!(aud(BROKER, &[("audience", OTHER), ("resource", OTHER)]), [OTHER]);
    assert_eq!(aud(BROKER, &[]), both, "without one: all that the policy lists");
    assert_eq!(aud(MASK, &[]), [OTHER]);
    let one = exchanged(&exchange(&stand, BROKER, &subject.access, &[("audience", "orders-api")]));
    let seen = ORDERS.introspect(&stand, &one.access).json();
    assert_eq!((&seen["active"], &seen["act"]["sub"]), (&json!(true), &json!(BROKER.id)));
}

#[test]
fn w13_w66_the_scope_never_widens() {
    let stand = together_with_machines();
    let whole =
        issue(&stand, &Ask::new(TWIN).scope("openid profile offline_access orders:read"), BEN);
    let bare = issue(&stand, &Ask::new(TWIN), BEN);
    for broker in BROKERS {
        let scope = |subject: &Tokens, scope: &str| {
            exchange(&stand, broker, &subject.access, &[("scope", scope)])
        };
        // What the subject has, of what the client may have.
        let one = exchanged(&exchange(&stand, broker, &whole.access, &[("audience", OTHER)]));
        assert_eq!(one.reply["scope"], "openid orders:read");
        let one = exchanged(&exchange(&stand, broker, &bare.access, &[]));
        assert_eq!(one.reply["scope"], "openid");
        assert_eq!(exchanged(&scope(&whole, "")).reply["scope"], "openid orders:read");
        let less = exchanged(&scope(&whole, "orders:read"));
        assert_eq!(less.reply["scope"], "orders:read");
        assert_eq!(broker.introspect(&stand, &less.access).json()["scope"], "orders:read");
        assert_eq!(userinfo(&stand, &less.access).status, 403);
        for (subject, wanted) in [
            (&whole, "email"),
            (&whole, "profile"),
            (&whole, "offline_access"),
            (&whole, "orders:write"),
            (&whole, "openid orders:read email"),
            (&whole, "opentrusty:admin"),
            (&whole, "rival:read"),
            (&whole, "nothing"),
            (&bare, "orders:read"),
            (&bare, "openid email"),
            (&less, "openid"),
            (&less, "orders:read openid"),
        ] {
            println!("{wanted} at {}", broker.id);
            let answer = scope(subject, wanted);
            assert_no_token(&answer);
            assert_tok(&answer, "invalid_scope");
        }
        assert_tok(&scope(&whole, "open\"id"), "invalid_scope");
    }
}

#[test]
fn w66_the_new_token_does_not_outlive_what_it_came_of() {
    let stand = together_with_machines();
    let subject = bens(&stand);
    let actor = Tokens::of(&BROKER.grant_itself(&stand, &[]));
    let shorten = |token: &str, left_s: i64| {
        sql(
            &stand,
            &format!(
                "UPDATE access_tokens SET expires_at = date_trunc('second', now()) + interval '{left_s} s' WHERE token_hash = sha256('{token}')"
            ),
        );
    };
    shorten(&subject.access, 300);
    let by_actor = [("actor_token", actor.access.as_str()), ("actor_token_type", ACCESS)];
    for (broker, more, most) in [
        (BROKER, &[][..], 300),
        (MASK, &[], 300),
        (BROKER, &by_actor, 300),
        (BROKER, &by_actor, 120),
    ] {
        if most == 120 {
            shorten(&actor.access, 120);
        }
        let one = exchanged(&exchange(&stand, broker, &subject.access, more));
        let left = one.reply["expires_in"].as_i64().unwrap();
        assert!(left > 0 && left <= most, "{left}");
        let beyond = format!(
            "SELECT n.expires_at <= s.expires_at, g.expires_at <= s.expires_at
             FROM access_tokens n JOIN grants g ON g.id = n.grant_id, access_tokens s
             WHERE n.token_hash = sha256('{}') AND s.token_hash = sha256('{}')",
            one.access, subject.access
        );
        assert_eq!(sql(&stand, &beyond), "t|t");
        // And what comes of that one in turn.
        let two = exchanged(&exchange(&stand, BROKER, &one.access, &[("audience", OTHER)]));
        assert!(two.reply["expires_in"].as_i64().unwrap() <= left);
    }
}

#[test]
fn w67_five_may_act_one_for_another_and_no_sixth() {
    let stand = together_with_machines();
    let subject = bens(&stand);
    let mut token = subject.access.clone();
    for depth in 1..=5 {
        let one = exchanged(&exchange(&stand, BROKER, &token, &[("audience", OTHER)]));
        let claims = tokens::claims(&one.access);
        assert_eq!(claims["sub"], tokens::claims(&subject.access)["sub"]);
        let mut act = claims.get("act");
        let mut seen = 0;
        while let Some(actor) = act {
            assert_eq!(actor["sub"], BROKER.id);
            seen += 1;
            act = actor.get("act");
        }
        assert_eq!(seen, depth);
        token = one.access;
    }
    let answer = exchange(&stand, BROKER, &token, &[("audience", OTHER)]);
    assert_no_token(&answer);
    assert_tok(&answer, "invalid_request");
    // Impersonation does not wash the chain off.
    let masked = exchanged(&exchange(&stand, MASK, &token, &[("audience", OTHER)]));
    let seen = MASK.introspect(&stand, &masked.access).json();
    assert_eq!(seen["act"]["act"]["act"]["act"]["act"]["sub"], BROKER.id);
    let further = exchange(&stand, BROKER, &masked.access, &[("audience", OTHER)]);
    assert_tok(&further, "invalid_request");
    assert!(is_active(&stand, BROKER, &token));
}
