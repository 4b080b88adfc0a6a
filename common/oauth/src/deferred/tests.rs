use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ciba::Hint;
use super::*;
use crate::client::{Client, Draft, Evidence, Metadata, Presented};
use crate::form::Form;

const ISSUER: &str = "https://as.example";

fn client(over: &Value) -> Client {
    let mut draft = json!({
        "token_endpoint_auth_method": "none", "scope": "openid email read opentrusty:admin",
        "grant_types": ["urn:ietf:params:oauth:grant-type:device_code"],
        "audiences": ["https://api.example", "urn:other"]
    });
    for (name, value) in over.as_object().unwrap() {
        draft[name] = value.clone();
    }
    let draft: Draft = serde_json::from_value(draft).unwrap();
    let metadata = Metadata::try_from(draft).unwrap();
    Client { key: ClientKey(Uuid::nil()), id: "tv".parse().unwrap(), tenant: None, metadata }
}

fn authenticated() -> Authenticated {
    let presented = Presented::Nothing("tv".parse().unwrap());
    let evidence = Evidence {
        secrets: &[],
        fetched: None,
        issuer: "https://as.example",
        endpoint: "https://as.example/oauth/token",
        now: Timestamp(0),
    };
    client(&json!({})).authenticate(&presented, &evidence, |_, _| false).unwrap().0
}

fn form(text: &str) -> Form {
    Form::parse(text.as_bytes()).unwrap()
}

fn stored(state: State) -> Stored {
    let client = ClientKey(Uuid::nil());
    Stored { client, state, expires_at: Timestamp(1000), polled_at: None, interval_s: 5 }
}

#[test]
fn w54_w61_another_clients_request_is_no_request() {
    for state in [State::Undecided, State::Declined, State::Approved, State::Redeemed] {
        let stored = Stored { client: ClientKey(Uuid::max()), ..stored(state) };
        for now in [0, 2000] {
            let heard = poll(&stored, &authenticated(), Timestamp(now));
            assert_eq!(heard, Err(Refused::Foreign), "{state:?}");
        }
    }
    assert_eq!(Error::from(Refused::Foreign), Error::grant());
}

#[test]
fn w56_a_hasty_poll_is_slowed_down_while_nobody_has_decided() {
    let hear = |stored: &Stored, now| poll(stored, &authenticated(), Timestamp(now));
    let fresh = stored(State::Undecided);
    assert_eq!(hear(&fresh, 0), Err(Refused::Undecided));
    let polled = Stored { polled_at: Some(Timestamp(100)), ..fresh };
    assert_eq!(hear(&polled, 104), Err(Refused::TooSoon));
    assert_eq!(hear(&polled, 105), Err(Refused::Undecided));
    let slowed = Stored { interval_s: 10, ..polled };
    assert_eq!(hear(&slowed, 109), Err(Refused::TooSoon));
    // A clock that went back slows nobody down for long, and frees nobody.
    assert_eq!(hear(&slowed, 50), Err(Refused::TooSoon));
    let declined = Stored { state: State::Declined, ..slowed };
    assert_eq!(hear(&declined, 101), Err(Refused::Declined));
    let approved = Stored { state: State::Approved, ..declined };
    assert_eq!(hear(&approved, 101), Ok(()));
}

#[test]
fn w56_the_end_comes_before_any_decision() {
    for state in [State::Undecided, State::Declined, State::Approved] {
        let heard = poll(&stored(state), &authenticated(), Timestamp(1000));
        assert_eq!(heard, Err(Refused::Expired), "{state:?}");
    }
    let heard = poll(&stored(State::Redeemed), &authenticated(), Timestamp(1000));
    assert_eq!(heard, Err(Refused::Redeemed));
}

#[test]
fn refusals_have_the_codes_of_the_rfc() {
    for (refused, code, noted) in [
        (Refused::Redeemed, "invalid_grant", false),
        (Refused::Expired, "expired_token", false),
        (Refused::Declined, "access_denied", false),
        (Refused::Undecided, "authorization_pending", true),
        (Refused::TooSoon, "slow_down", true),
    ] {
        assert_eq!(Error::from(refused).code.as_str(), code);
        assert_eq!(refused.is_noted(), noted);
    }
}

proptest! {
    #[test]
    fn only_an_approved_unexpired_request_of_the_client_redeems(
        state in prop::sample::select(vec![
            State::Undecided, State::Declined, State::Approved, State::Redeemed
        ]),
        own: bool, now in 0_i64..2000, polled in prop::option::of(0_i64..2000), interval_s in 1_u32..600,
    ) {
        let client = ClientKey(if own { Uuid::nil() } else { Uuid::max() });
        let polled_at = polled.map(Timestamp);
        let stored = Stored { client, state, expires_at: Timestamp(1000), polled_at, interval_s };
        let may = own && state == State::Approved && now < 1000;
        prop_assert_eq!(poll(&stored, &authenticated(), Timestamp(now)).is_ok(), may);
    }
}

#[test]
fn w13_a_device_asks_for_no_more_than_its_client_may_have() {
    let client = client(&json!({}));
    let defaults = "email other".parse().unwrap();
    let parse = |text| device::Request::parse(&form(text), &client, &defaults, ISSUER);
    let refused = |text| parse(text).unwrap_err().code.as_str();
    assert_eq!(parse("").unwrap().scopes.to_string(), "email");
    let asked = parse("scope=openid+read&resource=urn:other").unwrap();
    assert_eq!((asked.scopes.to_string().as_str(), asked.audiences.len()), ("openid read", 1));
    assert_eq!(parse("scope=read").unwrap().audiences, client.metadata.audiences);
    assert_eq!(refused("scope=read+write"), "invalid_scope");
    assert_eq!(refused("scope=%22"), "invalid_scope");
    assert_eq!(refused("scope=read&scope=read"), "invalid_request");
    assert_eq!(refused("x=1&x=1"), "invalid_request");
    assert_eq!(refused("scope=read&audience=urn:foreign"), "invalid_target");
    // Registered, and yet not for another device (W58).
    assert_eq!(refused("scope=opentrusty:admin"), "invalid_scope");
}

fn ciba(over: &Value, text: &str) -> Result<ciba::Request, &'static str> {
    let mut draft = json!({
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["urn:openid:params:grant-type:ciba"]
    });
    for (name, value) in over.as_object().unwrap() {
        draft[name] = value.clone();
    }
    ciba::Request::parse(&form(text), &client(&draft), ISSUER).map_err(|error| error.code.as_str())
}

#[test]
fn w62_exactly_one_hint() {
    let hint = |text: &str| ciba(&json!({}), &format!("scope=openid&{text}")).map(|r| r.hint);
    assert_eq!(hint("login_hint=Ana@Example.org"), Ok(Hint::Email("ana@example.org".into())));
    assert_eq!(hint("login_hint=x-1_"), Ok(Hint::Sub("x-1_".into())));
    assert_eq!(hint("id_token_hint=e30"), Ok(Hint::IdToken("e30".into())));
    let long = format!("login_hint={}", "x".repeat(255));
    let longer = format!("id_token_hint={}", "x".repeat(9000));
    for text in [
        "",
        "login_hint=",
        "login_hint=a&id_token_hint=b",
        "login_hint=a&login_hint_token=b",
        "login_hint_token=a",
        "login_hint=a&login_hint=a",
        "login_hint=a&request=e30",
        "login_hint=a&user_code=1234",
        &long,
        &longer,
    ] {
        assert_eq!(hint(text), Err("invalid_request"), "{text}");
    }
}

#[test]
fn w62_a_binding_message_is_short_and_says_what_it_shows() {
    let told = |message: &str| {
        let message = crate::form::encode(message);
        ciba(&json!({}), &format!("scope=openid&login_hint=a&binding_message={message}"))
            .map(|request| request.binding_message.unwrap())
    };
    assert_eq!(told("W4SCT – é").as_deref(), Ok("W4SCT – é"));
    assert!(told(&"é".repeat(128)).is_ok());
    for message in
        [&"x".repeat(129), "a\nb", "a\tb", "a\u{202e}b", "a\u{200b}b", "a\u{85}b", "\u{feff}"]
    {
        assert_eq!(told(message), Err("invalid_binding_message"), "{message:?}");
    }
}

#[test]
fn w62_ciba_scopes_expiry_and_parameters_are_bounded() {
    let refused = |text: &str| ciba(&json!({}), text).unwrap_err();
    assert_eq!(refused("login_hint=a"), "invalid_request");
    assert_eq!(refused("scope=email&login_hint=a"), "invalid_scope");
    assert_eq!(refused("scope=openid+write&login_hint=a"), "invalid_scope");
    assert_eq!(refused("scope=openid+opentrusty:admin&login_hint=a"), "invalid_scope");
    assert_eq!(refused("scope=openid&login_hint=a&audience=x"), "invalid_target");
    let expiry = |text: &str| {
        ciba(&json!({}), &format!("scope=openid&login_hint=a&requested_expiry={text}"))
            .map(|request| request.requested_expiry_s)
    };
    assert_eq!(expiry("1"), Ok(Some(1)));
    assert_eq!(expiry("600"), Ok(Some(600)));
    for text in ["0", "601", "-1", "%2B1", "1.0", "1e2", "0x10", "99999999999", "+1"] {
        assert_eq!(expiry(text), Err("invalid_request"), "{text}");
    }
}

#[test]
fn w63_a_ping_needs_a_bearer_token_that_nobody_guesses() {
    let ping = json!({
        "backchannel_token_delivery_mode": "ping",
        "backchannel_client_notification_endpoint": "https://app.example/ping"
    });
    let token = |text: &str| {
        let text = crate::form::encode(text);
        ciba(&ping, &format!("scope=openid&login_hint=a&client_notification_token={text}"))
            .map(|request| request.notification_token.unwrap().expose_secret().to_owned())
    };
    let good = "8d67dc78-7faa-4d41-aabd-67707b374255";
    assert_eq!(token(good).as_deref(), Ok(good));
    assert!(token("abcdefghijklmnopqrstuv==").is_ok());
    for bad in [
        "",
        "abcdefghijklmnopqrstu",
        "=====================================",
        &"x".repeat(1025),
        "abcdefghijklmnopqrstu vwxyz",
        "abcdefghijklmnopqrstu\r\nvwxyz",
        "abcdefghij=klmnopqrstuvw",
        "abcdefghijklmnopqrstuv\u{e9}",
    ] {
        assert_eq!(token(bad), Err("invalid_request"), "{bad:?}");
    }
    // A client that polls need not send one, and nothing of it is kept.
    let kept = ciba(&json!({}), "scope=openid&login_hint=a&client_notification_token=x").unwrap();
    assert!(kept.notification_token.is_none());
}
