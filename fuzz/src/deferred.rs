//! Requests that a person decides elsewhere: what begins them, and the code that is typed.

use std::sync::LazyLock;

use oauth::ScopeSet;
use oauth::client::{Client, Draft, Metadata};
use oauth::deferred::UserCode;
use oauth::deferred::ciba::{Hint, Request as CibaRequest};
use oauth::deferred::device::Request as DeviceRequest;
use oauth::form::Form;
use oauth::ids::ClientKey;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::text;

const ISSUER: &str = "https://as.example";
/// Reserved for what no code may be talked into.
const RESERVED: [&str; 2] = ["opentrusty:admin", "opentrusty:ciba"];

static DEVICE: LazyLock<Client> = LazyLock::new(|| {
    client(json!({
        "token_endpoint_auth_method": "none", "audiences": ["https://api.example", "urn:api"],
        "grant_types": ["urn:ietf:params:oauth:grant-type:device_code"]
    }))
});
static POLLING: LazyLock<Client> =
    LazyLock::new(|| client(json!({ "grant_types": ["urn:openid:params:grant-type:ciba"] })));
static PINGED: LazyLock<Client> = LazyLock::new(|| {
    client(json!({
        "grant_types": ["urn:openid:params:grant-type:ciba"],
        "backchannel_token_delivery_mode": "ping",
        "backchannel_client_notification_endpoint": "https://app.example/ping"
    }))
});
static DEFAULTS: LazyLock<ScopeSet> = LazyLock::new(|| "openid other".parse().expect("two scopes"));

fn client(mut metadata: Value) -> Client {
    metadata["scope"] = json!("openid email read opentrusty:admin opentrusty:ciba");
    metadata["skip_authorization"] = json!(true);
    let draft: Draft = serde_json::from_value(metadata).expect("names of a draft");
    let metadata = Metadata::try_from(draft).expect("metadata that holds together");
    Client {
        key: ClientKey(Uuid::nil()),
        id: "app".parse().expect("an id"),
        tenant: None,
        metadata,
    }
}

/// Eight letters of the alphabet, spaces and hyphens apart, in whatever case; shown in one spelling, which is
/// read as the same code.
pub fn user_code(bytes: &[u8]) -> bool {
    let Ok(typed) = std::str::from_utf8(bytes) else { return false };
    let letters: String = typed.chars().filter(|c| ![' ', '-'].contains(c)).collect();
    let expected = letters.len() == 8
        && letters.bytes().all(|b| b"BCDFGHJKLMNPQRSTVWXZbcdfghjklmnpqrstvwxz".contains(&b));
    let Some(code) = UserCode::parse(typed) else {
        assert!(!expected || typed.len() > 64, "{typed:?} was refused");
        return false;
    };
    assert!(expected && typed.len() <= 64, "{typed:?} was accepted");
    let shown = code.to_string();
    assert_eq!(shown.replace('-', ""), letters.to_ascii_uppercase());
    assert_eq!(UserCode::parse(&shown), Some(code));
    assert_eq!(format!("{code:?}"), "UserCode(..)");
    true
}

/// What is accepted asks for no more than the client may have, and for nothing that is reserved.
pub fn device_request(bytes: &[u8]) -> bool {
    let Ok(form) = Form::parse(bytes) else { return false };
    let sent = text::parameters(bytes);
    let Ok(request) = DeviceRequest::parse(&form, &DEVICE, &DEFAULTS, ISSUER) else { return false };
    extent(&DEVICE, &sent, &request.scopes, &request.audiences);
    if text::values(&sent, "scope").is_empty() {
        assert_eq!(request.scopes.to_string(), "openid");
    }
    true
}

/// The first byte says how the client hears of decisions, the rest is the body. One hint, a message that shows
/// what it says, a lifetime within bounds, and a token for pings that is kept for them alone.
pub fn ciba_request(bytes: &[u8]) -> bool {
    let Some((first, body)) = bytes.split_first() else { return false };
    let client: &Client = if *first == b'!' { &PINGED } else { &POLLING };
    let Ok(form) = Form::parse(body) else { return false };
    let sent = text::parameters(body);
    let one = |name: &str| text::values(&sent, name).first().copied();
    let Ok(request) = CibaRequest::parse(&form, client, ISSUER) else { return false };
    extent(client, &sent, &request.scopes, &request.audiences);
    assert!(request.scopes.contains("openid"));
    assert_eq!((one("request"), one("user_code"), one("login_hint_token")), (None, None, None));
    match (&request.hint, one("login_hint"), one("id_token_hint")) {
        (Hint::Email(key), Some(hint), None) => assert_eq!(*key, hint.trim().to_lowercase()),
        (Hint::Sub(sub), Some(hint), None) => assert_eq!(sub, hint),
        (Hint::IdToken(token), None, Some(hint)) => assert_eq!(token, hint),
        (hint, ..) => panic!("{hint:?} was not sent alone"),
    }
    assert_eq!(request.binding_message.as_deref(), one("binding_message"));
    if let Some(message) = &request.binding_message {
        assert!(message.chars().count() <= 128 && !message.contains(char::is_control));
        assert!(!message.contains(['\u{200b}', '\u{200f}', '\u{202e}', '\u{2066}', '\u{feff}']));
    }
    let expiry = one("requested_expiry").map(|text| text.parse::<u64>().expect("digits"));
    assert_eq!(request.requested_expiry_s.map(u64::from), expiry);
    assert!(request.requested_expiry_s.is_none_or(|seconds| (1..=600).contains(&seconds)));
    let token = request.notification_token.as_ref().map(secrecy::SecretString::expose_secret);
    if *first == b'!' {
        let token = token.expect("a token for pings");
        assert_eq!(Some(token), one("client_notification_token"));
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
        assert!((22..=1024).contains(&token.len()) && token.bytes().all(legal));
    } else {
        assert_eq!(token, None, "kept without a use");
    }
    true
}

fn extent(client: &Client, sent: &[(String, String)], scopes: &ScopeSet, audiences: &[String]) {
    assert!(!text::repeats(sent), "a repeated parameter was accepted");
    assert!(!scopes.is_empty() && scopes.is_subset(&client.metadata.scope));
    assert!(RESERVED.iter().all(|name| !scopes.contains(name)), "{scopes}");
    let asked = [text::values(sent, "resource"), text::values(sent, "audience")].concat();
    assert!(!audiences.is_empty());
    for audience in audiences {
        let own = client.metadata.audiences.contains(audience);
        let by_default = asked.is_empty() && (own || audience == ISSUER);
        assert!(by_default || own && asked.contains(&audience.as_str()), "{audience}");
    }
}
