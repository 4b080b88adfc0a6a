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
use serde_json::json;
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
        assert!(secret.len() >= 20, "{what} is too short to be looked for: {secret}");
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
    let person =
        json!({ "email": CARLA, "password": CARLAS, "memberships": [{ "tenant": "acme" }] });
    let app =
        client(CANARY, &json!({ "skip_authorization": false, "scope": "openid offline_access" }));
    stand.seed(&json!({ "users": [person], "clients": [app] }));
    let mut trail = Trail::default();
    trail.plant("client secret", CANARY.secret.unwrap());
    trail.plant("password", CARLAS);
    let tokens = live(&stand, &mut trail);
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
    assert!(trail.canaries.len() > 15 && trail.answers.len() > 200);
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
