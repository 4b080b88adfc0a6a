//! Secrets stay where they belong (security.md, W153, W168): planted through every flow, looked for in every
//! log, row, and answer that is an error.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::bench::bench;
use e2e::{Browser, Response, Stand, basic, bearer};
use serde_json::{Value, json};
use support::assertion::{Prover, TYPE};
use support::deferred::*;
use support::*;

/// A secret and what it is.
type Canary = (&'static str, String);

/// The secrets that were planted, and the answers that must not repeat them.
#[derive(Default)]
struct Trail {
    canaries: Vec<Canary>,
    answers: Vec<Response>,
}

impl Trail {
    fn plant(&mut self, what: &'static str, secret: &str) {
        // A user code has nine characters, and nothing else looks like one.
        let enough = if what == "user code" { 9 } else { 20 };
        assert!(secret.len() >= enough, "{what} is too short to be looked for: {secret}");
        self.canaries.push((what, secret.to_owned()));
    }

    fn hear(&mut self, answer: Response) {
        assert!(answer.status >= 400, "{}", answer.status);
        self.answers.push(answer);
    }
}

const CANARY: App = App {
    id: "canary",
    secret: Some("canary-client-secret-8c1f0f6a2b7d4e95"),
    posts: false,
    redirect: "https://canary.example.org/cb",
};
const CARLA: &str = "carla@example.org";
const CARLAS: &str = "canary-password-41b9e0c2-ordinary-words";

/// A whole life of one person and one client.
fn live(stand: &Stand, trail: &mut Trail) -> Tokens {
    let mut browser = stand.browser();
    let ask = Ask::new(CANARY).scope("openid offline_access");
    browser.open(&ask.url(stand));
    note_page(&mut browser, trail);
    let wrong = "canary-wrong-password-77d0aa31";
    trail.plant("wrong password", wrong);
    browser.submit(&[("username", CARLA), ("password", wrong)]);
    // People type the password into the wrong field, too.
    browser.submit(&[("username", CARLAS), ("password", CARLA)]);
    browser.submit(&[("username", CARLA), ("password", CARLAS)]);
    note_page(&mut browser, trail);
    let page = browser.submit(&[("decision", "approve")]).clone();
    let code = page.away_parameter("code").unwrap();
    trail.plant("code", &code);
    trail.plant("verifier", &ask.pkce.verifier);
    let one = Tokens::of(&CANARY.redeem(stand, &code, &ask.pkce.verifier));
    let two = Tokens::of(&CANARY.refresh(stand, &one.refresh));
    for tokens in [&one, &two] {
        for (what, token) in [
            ("access token", &tokens.access),
            ("ID token", &tokens.id),
            ("refresh token", &tokens.refresh),
        ] {
            trail.plant(what, token);
        }
    }
    CANARY.introspect(stand, &two.access).expect(200);
    userinfo(stand, &two.access).expect(200);
    two
}

fn note_page(browser: &mut Browser, trail: &mut Trail) {
    for name in ["csrf", "interaction"] {
        let value = browser.page().field(name).unwrap();
        trail.plant(name, &value);
    }
    let cookies = browser.client().cookies().clone();
    for value in cookies.values() {
        trail.plant("cookie", value);
    }
}

/// What a person decides elsewhere, and what is pushed: each kind of secret that comes with it.
fn live_elsewhere(stand: &Stand, trail: &mut Trail) {
    let tv = device(stand, CANARY, "openid");
    trail.plant("device code", &tv.secret);
    trail.plant("user code", &tv.user_code);
    tv.decide(stand, BEN, "approve");
    let got = Tokens::of(&tv.poll(stand));
    trail.plant("device's access token", &got.access);
    trail.hear(tv.poll(stand));

    let told = "canary-notification-token-6b0e2f91c7d8a4";
    trail.plant("notification token", told);
    let id = auth_req_id(&CANARY.ask_for(stand, BEN, &[("client_notification_token", told)]));
    trail.plant("auth_req_id", &id);
    trail.hear(CANARY.poll_ciba(stand, &id));
    let key = issue(stand, &Ask::new(KEY).scope("openid opentrusty:ciba"), BEN).access;
    trail.plant("authenticator's token", &key);
    let url = format!("{}/oauth/bc-authorize/complete", stand.issuer());
    let list = stand.client().get_with(&url, bearer(&key)).expect(200).json();
    let handle = list["requests"][0]["handle"].as_str().unwrap();
    trail.plant("approval handle", handle);
    let form = [("handle", handle), ("decision", "approve")];
    stand.client().post_with(&url, &[bearer(&key)], &form).expect(204);
    trail.hear(stand.client().post_with(&url, &[bearer(&key)], &form));
    assert_eq!(sql(stand, "SELECT bearer FROM outbox WHERE kind = 'ciba_ping'"), told);
    Tokens::of(&CANARY.poll_ciba(stand, &id));
    trail.hear(CANARY.poll_ciba(stand, &id));

    let ask = Ask::new(CANARY);
    let mut pairs = ask.pairs();
    pairs.retain(|(name, _)| *name != "client_id");
    let reply = CANARY.call(stand, "/oauth/par", &pairs).expect(201).json();
    let uri = reply["request_uri"].as_str().unwrap();
    trail.plant("request_uri", uri.rsplit_once(':').unwrap().1);
    let pairs = [("client_id", CANARY.id), ("request_uri", uri)];
    let url = format!("{}/oauth/authorize?{}", stand.issuer(), e2e::query(&pairs));
    walk(&mut stand.browser(), &url, BEN).away_parameter("code").unwrap();
    trail.hear(stand.client().get(&url));
}

/// Clients that prove a key and that get random text, and a link that somebody asked for.
fn live_otherwise(stand: &Stand, trail: &mut Trail) {
    let over = json!({ "grant_types": ["client_credentials"], "scope": "orders:read",
        "redirect_uris": [], "opaque_access_tokens": true });
    let modern = Prover::new(stand, App { id: "canary-key", ..CANARY }, "ES256", &over);
    let assertion = modern.assertion(stand);
    trail.plant("assertion", &assertion);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", TYPE),
        ("client_assertion", assertion.as_str()),
    ];
    let url = format!("{}/oauth/token", stand.issuer());
    let got = Tokens::of(&stand.client().post(&url, &form));
    trail.plant("opaque access token", &got.access);
    trail.hear(stand.client().post(&url, &form));
    modern.call(stand, "/oauth/introspect", &[("token", &got.access)]).expect(200);
    trail.hear(userinfo(stand, &got.access));

    let mut browser = stand.browser();
    browser.open(&format!("{}/reset", stand.issuer()));
    browser.submit(&[("username", BEN)]).response.expect(200);
    let mail = sql(stand, "SELECT body FROM outbox WHERE kind = 'reset_mail'");
    let mail: Value = serde_json::from_str(&mail).unwrap();
    let link = mail["link"].as_str().unwrap();
    trail.plant("reset link", link.rsplit_once('=').unwrap().1);
    browser.open(link);
    let new = "canary-reset-password-0d9a-more-words";
    trail.plant("reset password", new);
    browser.submit(&[("password", new)]).response.expect(200);
    trail.hear(stand.client().get(link));
    // What waits to be delivered is written out: the courier has delivered it.
    sql(stand, "DELETE FROM outbox");
}

/// Everything goes wrong that can, with real secrets in the wrong places.
fn go_wrong(stand: &Stand, trail: &mut Trail, tokens: &Tokens) {
    let issuer = stand.issuer();
    let secret = CANARY.secret.unwrap();
    let mut client = stand.client();
    let all = trail.canaries.clone();
    for (_, value) in &all {
        trail.hear(CANARY.redeem(stand, value, value));
        trail.hear(
            client.get_with(&format!("{issuer}/oauth/userinfo"), bearer(&format!("{value}x"))),
        );
        trail.hear(client.get(&format!(
            "{issuer}/oauth/authorize?client_id={value}&redirect_uri={value}&state={value}"
        )));
        trail.hear(client.get(&format!("{issuer}/enroll?token={value}")));
        trail.hear(client.get(&format!("{issuer}/oauth/logout?id_token_hint={value}x")));
        trail.hear(
            client.post(&format!("{issuer}/oauth/token?client_secret={value}"), &[("code", value)]),
        );
        trail.hear(client.post_with(
            &format!("{issuer}/oauth/token"),
            &[basic(value, value)],
            &[("grant_type", value)],
        ));
        trail.hear(client.post(
            &format!("{issuer}/login"),
            &[("username", value), ("password", value), ("csrf", value)],
        ));
        trail.hear(client.json(
            "POST",
            &format!("{issuer}/oauth/token"),
            &[bearer(value)],
            &json!({ "secret": value }),
        ));
        trail.hear(client.get_with(&format!("{}/api/v1/me", stand.api()), bearer(value)));
        for answer in go_wrong_elsewhere(stand, value) {
            trail.hear(answer);
        }
        trail.hear(client.get(&format!("{}/api/v1/nothing?token={value}", stand.api())));
    }
    trail.hear(client.post_with(
        &format!("{issuer}/oauth/token"),
        &[basic(CANARY.id, &format!("{secret}x"))],
        &[],
    ));
    trail.hear(TWIN.refresh(stand, &tokens.refresh));
    trail.hear(CANARY.refresh(stand, &tokens.refresh));
}

/// The same secret at the endpoints of what is decided elsewhere, pushed or proven.
fn go_wrong_elsewhere(stand: &Stand, value: &str) -> Vec<Response> {
    let issuer = stand.issuer();
    let wrong = format!("{value}x");
    let hint = [
        ("scope", "openid"),
        ("id_token_hint", wrong.as_str()),
        ("binding_message", value),
        ("client_notification_token", value),
    ];
    let assertion = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", TYPE),
        ("client_assertion", wrong.as_str()),
    ];
    let pairs = [("client_id", CANARY.id), ("request_uri", value)];
    let mut client = stand.client();
    vec![
        CANARY.poll_device(stand, value),
        CANARY.poll_ciba(stand, value),
        CANARY.call(stand, "/oauth/bc-authorize", &hint),
        CANARY.call(stand, "/oauth/device_authorization", &[("scope", value)]),
        CANARY.call(stand, "/oauth/par", &[("redirect_uri", value), ("state", value)]),
        client.post(&format!("{issuer}/oauth/token"), &assertion),
        client.get(&format!("{issuer}/oauth/authorize?{}", e2e::query(&pairs))),
        client.get_with(&format!("{issuer}/oauth/bc-authorize/complete"), bearer(&wrong)),
        client.post(&format!("{issuer}/device"), &[("csrf", value), ("user_code", value)]),
        client.post(&format!("{issuer}/ciba"), &[("csrf", value), ("handle", value)]),
        client.post(&format!("{issuer}/reset"), &[("csrf", value), ("username", value)]),
    ]
}

/// Sets a password by a link, with a weak one first.
fn enrol(stand: &Stand, trail: &mut Trail) {
    let token = format!("ote_{}", random());
    sql(
        stand,
        &format!(
        "INSERT INTO enrolments (token_hash, user_id, expires_at)
         SELECT sha256('{token}'), id, now() + interval '1 hour' FROM users WHERE email = '{CARLA}'"
    ),
    );
    let new = "canary-new-password-5f3e-more-words";
    trail.plant("enrolment", &token);
    trail.plant("new password", new);
    let mut browser = stand.browser();
    browser.open(&format!("{}/enroll?token={token}", stand.issuer()));
    browser.submit(&[("password", "short")]);
    browser.submit(&[("password", new)]);
    browser.page().response.expect(200);
    trail.hear(stand.client().get(&format!("{}/enroll?token={token}", stand.issuer())));
}

/// The spellings in which a secret could turn up.
fn spellings(secret: &str) -> Vec<String> {
    let encoded = e2e::query(&[("", secret)])[1..].to_owned();
    // Of a Base64 text that holds it, the middle is the same in one of three alignments.
    let inner = |skip: usize| {
        let bytes = secret.as_bytes();
        STANDARD.encode(&bytes[skip..skip + (bytes.len() - skip) / 3 * 3])
    };
    vec![secret.to_owned(), encoded, inner(0), inner(1), inner(2)]
}

/// From now on every daemon logs all that our own code has to say.
fn say_everything(stand: &mut Stand, filter: &str) {
    let node = stand.node(0);
    node.kill9();
    for daemon in [&mut node.keyd, &mut node.authd] {
        daemon.set_env("OPENTRUSTY_LOG", filter);
    }
    node.restart();
    stand.admind().kill9();
    stand.admind().set_env("OPENTRUSTY_LOG", filter);
    stand.admind().start();
    stand.wait_ready();
}

/// The person and the client with secrets of their own.
fn register(stand: &Stand) {
    let person =
        json!({ "email": CARLA, "password": CARLAS, "memberships": [{ "tenant": "acme" }] });
    let app = client(
        CANARY,
        &json!({ "skip_authorization": false, "scope": "openid offline_access",
            "grant_types": ["authorization_code", "refresh_token", DEVICE, CIBA],
            "backchannel_token_delivery_mode": "ping",
            "backchannel_client_notification_endpoint": "https://canary.example.org/ping" }),
    );
    stand.seed(&json!({ "users": [person], "clients": [app] }));
}

#[test]
fn w153_w168_no_secret_is_in_a_log_a_row_or_an_error() {
    let mut stand = populated(1);
    let loud = [
        "keyd=trace",
        "authd=trace",
        "admind=trace",
        "web=trace",
        "signer=trace",
        "store=trace",
        "wire=trace",
        "oauth=trace",
    ];
    say_everything(&mut stand, &format!("info,{}", loud.join(",")));
    register(&stand);
    let mut trail = Trail::default();
    trail.plant("client secret", CANARY.secret.unwrap());
    trail.plant("password", CARLAS);
    let tokens = live(&stand, &mut trail);
    live_elsewhere(&stand, &mut trail);
    live_otherwise(&stand, &mut trail);
    go_wrong(&stand, &mut trail, &tokens);
    enrol(&stand, &mut trail);

    let tables =
        sql(&stand, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1");
    let rows: Vec<(String, String)> = tables
        .lines()
        .map(|table| {
            (format!("table {table}"), sql(&stand, &format!("SELECT t::text FROM {table} t")))
        })
        .collect();
    assert!(
        rows.iter().any(|(table, rows)| table.contains("audit") && rows.contains("code.issued"))
    );
    let server = fs::read(bench().dir().join("pg/server.log")).unwrap();
    let mut sinks = rows;
    sinks.push(("PostgreSQL's log".into(), String::from_utf8_lossy(&server).into_owned()));
    sinks.push(("admind's log".into(), stand.admind().log()));
    sinks.push(("keyd's log".into(), stand.node(0).keyd.log()));
    sinks.push(("authd's log".into(), stand.node(0).authd.log()));
    for answer in &trail.answers {
        sinks.push((
            format!("an answer {}", answer.status),
            format!("{:?} {}", answer.headers, answer.text()),
        ));
    }
    assert!(trail.canaries.len() > 27 && trail.answers.len() > 600);
    let mut found = Vec::new();
    for (what, secret) in &trail.canaries {
        for spelling in spellings(secret) {
            for (sink, text) in sinks.iter().filter(|(_, text)| text.contains(&spelling)) {
                let at = text.find(&spelling).unwrap();
                let around: String = text[..at]
                    .chars()
                    .rev()
                    .take(200)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .rev()
                    .collect();
                found.push(format!("{what} in {sink}: …{around}[HERE]"));
            }
        }
    }
    assert!(found.is_empty(), "{} hits:\n{}", found.len(), found.join("\n"));
    assert_unharmed(&mut stand);
}
