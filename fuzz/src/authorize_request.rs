//! The authorization request, from the query to the next step.

use std::sync::LazyLock;

use oauth::authorize::{Facts, PageError, Request, ResponseMode, Return, SignedIn, Step, Unbound};
use oauth::client::{Client, Draft, Metadata};
use oauth::form::Form;
use oauth::ids::ClientKey;
use oauth::{ScopeSet, Timestamp};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use crate::text;

const ISSUER: &str = "https://as.example";
/// Where an answer may go, by client; the loopback address with any port.
const WEB: [&str; 3] =
    ["https://app.example/cb", "https://app.example:8443/cb?tenant=a", "https://app.example"];
const NATIVE: [&str; 3] =
    ["http://127.0.0.1/cb", "http://localhost:3000/cb", "com.example.app:/cb"];

/// A client that may come without PKCE, and a public one.
static CLIENTS: LazyLock<[Client; 2]> = LazyLock::new(|| {
    [
        client("web", json!({"redirect_uris": WEB, "require_pkce": false})),
        client("native", json!({"redirect_uris": NATIVE, "token_endpoint_auth_method": "none"})),
    ]
});
static DEFAULTS: LazyLock<ScopeSet> = LazyLock::new(|| "openid other".parse().expect("two scopes"));

fn client(id: &str, mut metadata: Value) -> Client {
    metadata["scope"] = json!("openid profile email read offline_access");
    metadata["audiences"] = json!(["https://api.example", "urn:api"]);
    let draft: Draft = serde_json::from_value(metadata).expect("names of a draft");
    let metadata = Metadata::try_from(draft).expect("metadata that holds together");
    Client { key: ClientKey(Uuid::nil()), id: id.parse().expect("an id"), tenant: None, metadata }
}

/// Nothing is sent anywhere but to a URI that the named client registered, as another reader of the query
/// and a check of its own see it; what is accepted asks for no more than the client may have.
pub fn authorize_request(bytes: &[u8]) -> bool {
    let asked = text::parameters(bytes);
    let Ok(unbound) = Unbound::parse(bytes) else { return false };
    assert_eq!(text::values(&asked, "client_id"), [unbound.client_id().as_str()]);
    assert_eq!(text::occurrences(&asked, "client_id"), 1);
    let Some(client) = CLIENTS.iter().find(|client| client.id == *unbound.client_id()) else {
        assert_eq!(unbound.bind(&CLIENTS[0]).err(), Some(PageError::Client));
        return false;
    };
    let uris = text::values(&asked, "redirect_uri");
    let known = text::occurrences(&asked, "redirect_uri") == 1
        && uris.first().is_some_and(|uri| is_registered(client, uri));
    let bound = match unbound.bind(client) {
        Ok(bound) => bound,
        Err(error) => {
            assert_eq!((error, known), (PageError::RedirectUri, false));
            return false;
        }
    };
    assert!(known, "{uris:?} was bound");
    if text::occurrences(&asked, "id_token_hint") <= 1 {
        assert_eq!(bound.id_token_hint(), text::values(&asked, "id_token_hint").first().copied());
    }
    match bound.check(client, &DEFAULTS) {
        Err(refusal) => {
            returns(&refusal.back, uris[0], &refusal.back.error(ISSUER, &refusal));
            false
        }
        Ok(request) => {
            returns(&request.back, uris[0], &request.back.code(ISSUER, "otc_code"));
            granted(&request, client, &asked);
            steps(&request, client);
            let stored = serde_json::to_vec(&request).expect("an interaction can be stored");
            let loaded: Request = serde_json::from_slice(&stored).expect("and loaded");
            assert_eq!(loaded, request);
            true
        }
    }
}

/// The lists above, and for the loopback address what the `url` crate says of the port.
fn is_registered(client: &Client, uri: &str) -> bool {
    if client.id.as_str() == "web" {
        return WEB.contains(&uri);
    }
    let Ok(url) = Url::parse(uri) else { return false };
    let port = url.port_or_known_default().unwrap_or_default();
    NATIVE.contains(&uri) || port > 0 && uri == format!("http://127.0.0.1:{port}/cb")
}

/// The answer goes to the presented URI, as its whole query or after the query that it had.
fn returns(back: &Return, uri: &str, parameters: &[(&'static str, String)]) {
    assert_eq!(back.uri.as_str(), uri);
    let location = back.location(parameters);
    let tail = location.strip_prefix(uri).expect("to nowhere else");
    let (first, added) = tail.split_at(1);
    assert_eq!(first, if uri.contains('?') { "&" } else { "?" });
    let form = Form::parse(added.as_bytes()).expect("a query");
    for (name, value) in parameters {
        assert_eq!(form.one(name), Ok(Some(value.as_str()).filter(|v| !v.is_empty())), "{name}");
    }
    assert_eq!(form.one("iss"), Ok(Some(ISSUER)));
    let (went, meant) = (Url::parse(&location).expect("a URL"), Url::parse(uri).expect("a URL"));
    assert_eq!((went.origin().is_tuple(), went.host()), (meant.origin().is_tuple(), meant.host()));
    assert_eq!(
        (went.scheme(), went.port(), went.path()),
        (meant.scheme(), meant.port(), meant.path())
    );
    assert_eq!(went.fragment(), None);
}

fn granted(request: &Request, client: &Client, asked: &[(String, String)]) {
    let one = |name: &str| text::values(asked, name).first().copied();
    assert_eq!(request.hinted_sub, None, "a hint was believed before its signature was checked");
    assert!(!text::repeats(asked), "a repeated parameter was accepted");
    assert_eq!(one("response_type"), Some("code"));
    for name in ["request", "request_uri", "registration"] {
        assert_eq!(one(name), None, "{name} was ignored");
    }
    let form_post = one("response_mode") == Some("form_post");
    assert_eq!(request.back.mode == ResponseMode::FormPost, form_post);
    assert!(form_post || matches!(one("response_mode"), None | Some("query")));
    assert_eq!(request.back.state.as_deref(), one("state"));
    assert_eq!(request.nonce.as_deref(), one("nonce"));
    assert!(!request.scopes.is_empty() && request.scopes.is_subset(&client.metadata.scope));
    match one("scope") {
        Some(text) => assert!(text.split(' ').all(|w| w.is_empty() || request.scopes.contains(w))),
        None => assert_eq!(request.scopes.to_string(), "openid"),
    }
    let wanted = |aud: &String| {
        [text::values(asked, "resource"), text::values(asked, "audience")]
            .concat()
            .contains(&aud.as_str())
    };
    assert!(request.audiences.iter().all(wanted));
    assert!(request.audiences.iter().all(|aud| client.metadata.audiences.contains(aud)));
    if let Some(challenge) = &request.challenge {
        assert_eq!(one("code_challenge_method"), Some("S256"));
        assert_eq!(one("code_challenge"), Some(String::from(challenge.clone()).as_str()));
    } else {
        // OIDC and a nonce instead, for a client registered so.
        assert_eq!((one("code_challenge"), one("code_challenge_method")), (None, None));
        assert!(!client.metadata.require_pkce && request.nonce.is_some());
        assert!(request.scopes.contains("openid"));
    }
    let age = request.max_age.map(u64::from);
    assert_eq!(age, one("max_age").map(|text| text.parse::<u64>().expect("digits")));
    let prompt = request.prompt;
    assert!(!prompt.none || !(prompt.login || prompt.consent || prompt.select_account));
}

/// In every situation: no code without a person signed in, no page under `prompt=none`, and no code for
/// new scopes of a third party without consent.
fn steps(request: &Request, client: &Client) {
    let now = Timestamp(1_000_000);
    for situation in 0_u8..64 {
        let fact = |bit: u8| situation & (1 << bit) != 0;
        let auth_time = Timestamp(if fact(1) { 1_000_000 } else { 0 });
        let facts = Facts {
            signed_in: fact(0).then_some(SignedIn {
                auth_time,
                member: fact(2),
                as_hinted: fact(5),
            }),
            authenticated_here: fact(0) && fact(3),
            consented_here: fact(0) && fact(4),
            remembered: ScopeSet::default(),
        };
        let page = match oauth::authorize::next(request, client, &facts, now) {
            Step::Issue => {
                assert!(fact(0) && fact(2) && fact(4) && fact(5), "issued: {facts:?}");
                let again = request.prompt.login || request.prompt.select_account;
                assert!(!again || fact(3), "issued without a new sign-in: {facts:?}");
                let old =
                    request.max_age.is_some_and(|age| age == 0 || !fact(1) && age < 1_000_000);
                assert!(!old || fact(3), "issued on an old sign-in: {facts:?}");
                false
            }
            Step::Authenticate => true,
            Step::Consent(new) => {
                assert!(fact(0) && !new.is_empty() && new.is_subset(&request.scopes));
                true
            }
            Step::Refuse(..) => false,
        };
        assert!(!(page && request.prompt.none), "a page under prompt=none: {facts:?}");
    }
}
