//! Rich authorization requests (RFC 9396; security.md W64): what a client asks for is what a person reads, what a
//! person reads is what is granted, and what is granted only ever becomes less.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

mod asked;
mod consent;
mod definitions;
mod narrowed;
mod shown;
#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
#[path = "../support/mod.rs"]
mod support;

use std::sync::{OnceLock, RwLockReadGuard, RwLockWriteGuard};

use e2e::{Page, Response, Stand};
use serde_json::{Value, json};
use support::deferred::{at_device, at_page};
use support::*;

/// Asks for consent, at every door, for both types of `acme`.
const PAYER: App = App {
    id: "payer",
    secret: Some("0123456789abcdef0123456789abcdef-secret"),
    posts: false,
    redirect: "https://payer.example.org/cb",
};
/// The same, first-party.
const FIRST: App = App { id: "first-payer", redirect: "https://first.example.org/cb", ..PAYER };
/// May ask for payments alone.
const LESSER: App = App { id: "lesser-payer", redirect: "https://lesser.example.org/cb", ..PAYER };
/// Of `acme`, and registered for a type that only `rival` defines, and for one that nobody does.
const THIEF: App = App { id: "thief", redirect: "https://thief.example.org/cb", ..PAYER };

const SENTENCE: &str = "Pay {amount.value} {amount.currency} to {creditor}";

fn payment_schema() -> Value {
    json!({
        "type": "object", "required": ["amount", "creditor"],
        "properties": {
            "amount": {
                "type": "object", "required": ["value", "currency"],
                "properties": {
                    "value": { "type": "string", "pattern": "^[0-9]{1,9}\\.[0-9]{2}$" },
                    "currency": { "enum": ["EUR", "CHF"] }
                }
            },
            "creditor": { "type": "string", "maxLength": 3000 },
            "count": { "type": "integer", "minimum": 1 },
            "urgent": { "type": "boolean" },
            "actions": { "type": "array", "items": { "enum": ["initiate", "status", "cancel"] } },
            "locations": { "type": "array", "items": { "type": "string" } }
        }
    })
}

fn details_world() -> Value {
    let open = json!({ "type": "object", "properties": { "note": { "type": "string" } }, "additionalProperties": true });
    let grants = ["authorization_code", "refresh_token", "client_credentials", DEVICE, CIBA];
    let of = |app: App, skip: bool, types: &[&str]| {
        let over = json!({ "skip_authorization": skip, "grant_types": grants, "audiences": ["orders-api", OTHER],
            "scope": "openid email offline_access orders:read", "authorization_details_types": types });
        client(app, &over)
    };
    json!({
        "authorization_detail_types": [
            { "tenant": "acme", "type": "payment", "schema": payment_schema(), "summary": SENTENCE },
            { "tenant": "acme", "type": "https://open.example/type", "schema": open, "summary": "Do as follows: {note}" },
            { "tenant": "rival", "type": "rival_only", "schema": { "type": "object" }, "summary": "Something" }
        ],
        "clients": [
            of(PAYER, false, &["payment", OPEN]), of(FIRST, true, &["payment", OPEN]),
            of(LESSER, false, &["payment"]), of(THIEF, false, &["payment", "rival_only", "nobodys"])
        ]
    })
}

/// A type whose elements may have any members.
const OPEN: &str = "https://open.example/type";

fn seed(stand: &Stand) {
    static SEEDED: OnceLock<()> = OnceLock::new();
    SEEDED.get_or_init(|| stand.seed(&details_world()));
}

fn together() -> RwLockReadGuard<'static, Stand> {
    let stand = together_with_machines();
    seed(&stand);
    stand
}

fn alone() -> RwLockWriteGuard<'static, Stand> {
    let stand = alone_with_machines();
    seed(&stand);
    sql(&stand, "DELETE FROM deferred_requests");
    stand
}

/// A payment, with more members or others.
fn payment(more: &Value) -> Value {
    let mut payment = json!({ "type": "payment", "creditor": "Acme",
        "amount": { "value": "12.50", "currency": "EUR" } });
    payment.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    payment
}

/// Where details may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Authorize,
    Pushed,
    Device,
    Ciba,
    Itself,
}

const DOORS: [Door; 5] = [Door::Authorize, Door::Pushed, Door::Device, Door::Ciba, Door::Itself];

impl Door {
    /// Ask for details, as this text.
    #[track_caller]
    fn ask(self, stand: &Stand, app: App, details: &str) -> Response {
        let wish = ("authorization_details", details);
        match self {
            Self::Authorize => ask(app, details).send(stand),
            Self::Pushed => push(stand, &ask(app, details)),
            Self::Device => {
                app.call(stand, "/oauth/device_authorization", &[("scope", "openid"), wish])
            }
            Self::Ciba => app.ask_for(stand, BEN, &[wish]),
            Self::Itself => app.grant_itself(stand, &[("scope", "orders:read"), wish]),
        }
    }

    /// It said `invalid_authorization_details`, in its own way.
    #[track_caller]
    fn assert_refused(self, answer: &Response, app: App) {
        if self == Self::Authorize {
            let map = redirected(answer, &app);
            assert_eq!(map["error"], "invalid_authorization_details", "{map:?}");
            assert!(!map.contains_key("code") && map.contains_key("state"), "{map:?}");
        } else {
            assert_tok(answer, "invalid_authorization_details");
        }
    }

    /// All the way to the tokens; and what the person was shown, where one was asked.
    #[track_caller]
    fn through(self, stand: &Stand, app: App, details: &Value) -> (Tokens, Option<Page>) {
        let text = details.to_string();
        match self {
            Self::Authorize | Self::Pushed => {
                let ask = ask(app, &text);
                let url = if self == Self::Authorize { ask.url(stand) } else { front(stand, &ask) };
                let mut browser = signed_in(stand, BEN);
                let page = browser.open(&url).clone();
                assert!(asks_consent(&page), "{}", page.response.text());
                let code = go_on(&mut browser, BEN).away_parameter("code").unwrap();
                (Tokens::of(&app.redeem(stand, &code, &ask.pkce.verifier)), Some(page))
            }
            Self::Device => {
                let reply = self.ask(stand, app, &text).expect(200).json();
                let mut browser = at_device(stand, BEN);
                let code = reply["user_code"].as_str().unwrap();
                let page = browser.submit(&[("user_code", code)]).clone();
                browser.submit(&[("decision", "approve")]);
                let code = reply["device_code"].as_str().unwrap();
                (Tokens::of(&app.poll_device(stand, code)), Some(page))
            }
            Self::Ciba => {
                let id = deferred::auth_req_id(&self.ask(stand, app, &text));
                let mut browser = at_page(stand, "/ciba", BEN);
                let page = browser.page().clone();
                browser.submit(&[("decision", "approve")]);
                (Tokens::of(&app.poll_ciba(stand, &id)), Some(page))
            }
            Self::Itself => (Tokens::of(&self.ask(stand, app, &text)), None),
        }
    }
}

fn ask(app: App, details: &str) -> Ask {
    Ask::new(app).with("authorization_details", details)
}

#[track_caller]
fn push(stand: &Stand, ask: &Ask) -> Response {
    let mut pairs = ask.pairs();
    pairs.retain(|(name, _)| *name != "client_id");
    ask.app.call(stand, "/oauth/par", &pairs)
}

/// Where a browser brings a request that is pushed now.
#[track_caller]
fn front(stand: &Stand, ask: &Ask) -> String {
    let pushed = push(stand, ask).expect(201).json();
    let uri = pushed["request_uri"].as_str().unwrap();
    let query = e2e::query(&[("client_id", ask.app.id), ("request_uri", uri)]);
    format!("{}/oauth/authorize?{query}", stand.issuer())
}

/// Tokens by the code flow, agreed to by Ben.
#[track_caller]
fn granted(stand: &Stand, app: App, details: &Value) -> Tokens {
    issue(stand, &ask(app, &details.to_string()), BEN)
}
