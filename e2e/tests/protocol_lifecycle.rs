//! Twelve states of what a token hangs on, by ten ways to use it (security.md, W33, W59): one table. Everything
//! is begun and approved before the state changes, and used after it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::fmt::Write as _;

use e2e::people::{PLATFORM_ADMIN, console};
use e2e::{Browser, Response, Stand, bearer};
use serde_json::{Value, json};
use support::deferred::*;
use support::*;

const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const PATHS: [&str; 10] = [
    "code",
    "refresh",
    "device",
    "ciba",
    "exchange",
    "machine",
    "pushed",
    "introspect",
    "userinfo",
    "authorize",
];

// What an answer may be, in one word each.
/// Goes on: tokens, a code, an active token, claims.
const GOES: &str = "goes on";
/// Goes on with less than was agreed to.
const LESS: &str = "goes on with less";
/// `invalid_grant`.
const GRANT: &str = "invalid_grant";
/// `access_denied`: what a device is told.
const DENIED: &str = "access_denied";
/// `unauthorized_client`.
const UNAUTHORIZED: &str = "unauthorized_client";
/// `invalid_request`: what a subject token that is none is called (RFC 8693 §2.2.2).
const REQUEST: &str = "invalid_request";
/// `invalid_scope`: it was agreed to, or is asked for by name.
const SCOPE: &str = "invalid_scope";
/// 401, `invalid_client`.
const CLIENT: &str = "401C";
/// `{"active":false}`.
const INACTIVE: &str = "inactive";
/// 401, `invalid_token`.
const BEARER: &str = "401B";
/// A page of ours, and no way back to the application.
const PAGE: &str = "page";
/// With `prompt=none`: the person has to sign in.
const LOGIN: &str = "login_required";
/// With `prompt=none`: the person has to agree.
const CONSENT: &str = "consent_required";

/// A row: the state, and what it leaves of each of [`PATHS`].
type Row = (&'static str, [&'static str; 10]);

const TABLE: [Row; 12] = [
    (
        "user disabled",
        [GRANT, GRANT, DENIED, DENIED, REQUEST, GOES, LOGIN, INACTIVE, BEARER, LOGIN],
    ),
    // Shut for new sign-ins; nobody locks a person out of an open session.
    ("locked", [GOES, GOES, GOES, GOES, GOES, GOES, GOES, GOES, GOES, GOES]),
    ("user deleted", [GRANT, GRANT, GRANT, GRANT, REQUEST, GOES, LOGIN, INACTIVE, BEARER, LOGIN]),
    (
        "password reset",
        [GRANT, GRANT, DENIED, DENIED, REQUEST, GOES, LOGIN, INACTIVE, BEARER, LOGIN],
    ),
    (
        "consent withdrawn",
        [GRANT, GRANT, DENIED, DENIED, REQUEST, GOES, CONSENT, INACTIVE, BEARER, CONSENT],
    ),
    (
        "client disabled",
        [CLIENT, CLIENT, CLIENT, CLIENT, REQUEST, CLIENT, PAGE, CLIENT, BEARER, PAGE],
    ),
    (
        "client deleted",
        [CLIENT, CLIENT, CLIENT, CLIENT, REQUEST, CLIENT, PAGE, CLIENT, BEARER, PAGE],
    ),
    (
        "grants removed",
        [
            UNAUTHORIZED,
            UNAUTHORIZED,
            UNAUTHORIZED,
            UNAUTHORIZED,
            UNAUTHORIZED,
            UNAUTHORIZED,
            UNAUTHORIZED,
            GOES,
            GOES,
            UNAUTHORIZED,
        ],
    ),
    ("scope removed", [SCOPE, SCOPE, SCOPE, SCOPE, REQUEST, LESS, SCOPE, INACTIVE, BEARER, SCOPE]),
    // What is meant for a resource server is its affair: it learns nothing any more.
    ("audience client disabled", [GOES, GOES, GOES, GOES, GOES, GOES, GOES, CLIENT, GOES, GOES]),
    (
        "tenant suspended",
        [CLIENT, CLIENT, CLIENT, CLIENT, CLIENT, CLIENT, PAGE, CLIENT, BEARER, PAGE],
    ),
    // Tokens are looked up, not verified; what a key that is gone has signed is told apart by its verifiers.
    ("signing key retired", [GOES, GOES, GOES, GOES, GOES, GOES, GOES, GOES, GOES, GOES]),
];

/// What was begun before the state changed.
struct Begun {
    browser: Browser,
    waiting: Ask,
    code: String,
    live: Tokens,
    spare: Tokens,
    tv: Device,
    ciba: String,
    pushed: (Ask, String),
}

fn ask() -> Ask {
    Ask::new(WHOLE).scope("openid orders:read")
}

fn begin(stand: &Stand) -> Begun {
    sql(stand, "DELETE FROM deferred_requests; DELETE FROM throttles");
    let mut browser = at_device(stand, BEN);
    let live = issue_in(stand, &mut browser, &ask(), BEN);
    let spare = issue_in(stand, &mut browser, &ask(), BEN);
    let waiting = ask();
    let code = code_in(stand, &mut browser, &waiting, BEN);
    let tv = device(stand, WHOLE, "openid orders:read");
    browser.open(&format!("{}/device", stand.issuer()));
    browser.submit(&[("user_code", &tv.user_code)]);
    browser.submit(&[("decision", "approve")]).response.expect(200);
    let form = [("scope", "openid orders:read"), ("login_hint", BEN), ("requested_expiry", "600")];
    let ciba = auth_req_id(&WHOLE.call(stand, "/oauth/bc-authorize", &form));
    browser.open(&format!("{}/ciba", stand.issuer()));
    browser.submit(&[("decision", "approve")]).response.expect(200);
    let ask = ask().with("prompt", "none");
    let mut pairs = ask.pairs();
    pairs.retain(|(name, _)| *name != "client_id");
    let reply = WHOLE.call(stand, "/oauth/par", &pairs).expect(201).json();
    let uri = reply["request_uri"].as_str().unwrap().to_owned();
    Begun { browser, waiting, code, live, spare, tv, ciba, pushed: (ask, uri) }
}

/// The word for an answer of the token endpoint.
fn token(answer: &Response) -> String {
    match answer.status {
        200 => {
            let scope = Tokens::of(answer).reply["scope"].as_str().unwrap().to_owned();
            if scope.contains("orders:read") { GOES.into() } else { LESS.into() }
        }
        401 => {
            assert_client_refused(answer, true);
            CLIENT.into()
        }
        _ => {
            assert_no_token(answer);
            let error = answer.expect(400).json()["error"].as_str().unwrap().to_owned();
            assert_tok(answer, &error);
            error
        }
    }
}

/// The word for where the authorization endpoint leads; a code is redeemed, so that it is known what it is worth.
fn visit(stand: &Stand, browser: &mut Browser, (ask, url): (&Ask, &str)) -> String {
    let page = browser.open(url).clone();
    if page.away.is_none() {
        assert_own_page(&page.response);
        return PAGE.into();
    }
    assert_eq!(page.away_parameter("state").as_ref(), Some(&ask.state));
    match page.away_parameter("code") {
        Some(code) => match token(&WHOLE.redeem(stand, &code, &ask.pkce.verifier)) {
            word if word == GOES => word,
            word => format!("a code, and then {word}"),
        },
        None => page.away_parameter("error").unwrap(),
    }
}

fn told(answer: &Response) -> String {
    match answer.status {
        200 if answer.json()["active"] == true => GOES.into(),
        200 => {
            assert_inactive(answer);
            INACTIVE.into()
        }
        _ => {
            assert_client_refused(answer, true);
            CLIENT.into()
        }
    }
}

/// What each path says now; in an order in which none of them spoils the next.
fn look(stand: &Stand, begun: &mut Begun) -> [String; 10] {
    let Begun { browser, waiting, code, live, spare, tv, ciba, pushed } = begun;
    // The audience is asked: what it may know is what the issuing client may.
    let introspect = told(&ORDERS.introspect(stand, &live.access));
    let own = told(&WHOLE.introspect(stand, &live.access));
    assert!(introspect == own || [&introspect, &own].iter().any(|one| *one == CLIENT), "{own}");
    let userinfo = userinfo(stand, &live.access);
    let userinfo = if userinfo.status == 200 { GOES } else { bearer_refused(&userinfo) };
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", &live.access),
        ("subject_token_type", ACCESS),
        ("audience", OTHER),
    ];
    let exchange = token(&BROKER.call(stand, "/oauth/token", &form));
    let url = format!(
        "{}/oauth/authorize?{}",
        stand.issuer(),
        e2e::query(&[("client_id", WHOLE.id), ("request_uri", &pushed.1)])
    );
    let pushed = visit(stand, browser, (&pushed.0, &url));
    let anew = ask().with("prompt", "none");
    let authorize = visit(stand, browser, (&anew, &anew.url(stand)));
    [
        token(&WHOLE.redeem(stand, code, &waiting.pkce.verifier)),
        token(&WHOLE.refresh(stand, &spare.refresh)),
        token(&tv.poll(stand)),
        token(&WHOLE.poll_ciba(stand, ciba)),
        exchange,
        token(&WHOLE.grant_itself(stand, &[])),
        pushed,
        if introspect == own { introspect } else { CLIENT.into() },
        userinfo.into(),
        authorize,
    ]
}

#[track_caller]
fn bearer_refused(answer: &Response) -> &'static str {
    assert_bearer_refused(answer);
    BEARER
}

/// Makes a state be. What has a page or an interface is done there.
fn enter(stand: &Stand, state: &str) {
    let of_clients = |name: &str, value: &Value, apps: &str| {
        format!(
            "UPDATE clients SET metadata = jsonb_set(metadata, '{{{name}}}', '{value}') WHERE client_id IN ({apps})"
        )
    };
    let text = match state {
        "user disabled" => format!("UPDATE users SET status = 'disabled' WHERE email = '{BEN}'"),
        "locked" => return lock(stand),
        "user deleted" => format!("DELETE FROM users WHERE email = '{BEN}'"),
        "password reset" => return reset(stand),
        "consent withdrawn" => return withdraw(stand),
        "client disabled" => {
            "UPDATE clients SET status = 'disabled' WHERE client_id = 'whole'".into()
        }
        "client deleted" => "DELETE FROM clients WHERE client_id = 'whole'".into(),
        "grants removed" => of_clients("grant_types", &json!([]), "'whole', 'broker'"),
        "scope removed" => of_clients("scope", &json!("openid email"), "'whole'"),
        "audience client disabled" => {
            "UPDATE clients SET status = 'disabled' WHERE client_id = 'orders-api'".into()
        }
        "tenant suspended" => "UPDATE tenants SET status = 'suspended' WHERE slug = 'acme'".into(),
        "signing key retired" => return retire(stand),
        other => panic!("no such state: {other}"),
    };
    sql(stand, &text);
}

/// Five wrong passwords; then the right one is not even looked at.
fn lock(stand: &Stand) {
    for (password, status) in [("wrong", 200); 5].into_iter().chain([(PASSWORD, 429)]) {
        let mut browser = stand.browser();
        browser.open(&format!("{}/login", stand.issuer()));
        browser.submit(&[("username", BEN), ("password", password)]).response.expect(status);
    }
}

/// By the link of a mail.
fn reset(stand: &Stand) {
    let mut browser = stand.browser();
    browser.open(&format!("{}/reset", stand.issuer()));
    browser.submit(&[("username", BEN)]).response.expect(200);
    let mail: Value = serde_json::from_str(&sql(
        stand,
        "DELETE FROM outbox WHERE kind = 'reset_mail' RETURNING body",
    ))
    .unwrap();
    browser.open(mail["link"].as_str().unwrap());
    browser.submit(&[("password", "another four words for the road")]).response.expect(200);
}

/// At the person's own page.
fn withdraw(stand: &Stand) {
    let mut browser = stand.browser();
    let page = account::open_account(stand, &mut browser, BEN);
    let csrf = account::csrf_of(&page, "/account/applications/withdraw", WHOLE.id);
    let url = format!("{}/account/applications/withdraw", stand.issuer());
    browser.client().post(&url, &[("csrf", &csrf), ("client_id", WHOLE.id)]).expect(303);
}

/// Every key that has signed a token of the platform's issuer is replaced, and the old ones retired.
fn retire(stand: &Stand) {
    let got = console(stand).tokens(&mut stand.browser(), PLATFORM_ADMIN);
    let token = got["access_token"].as_str().unwrap();
    let call = |path: &str, body: &Value| {
        let url = format!("{}/api/v1/{path}", stand.api());
        stand.client().json("POST", &url, &[bearer(token)], body)
    };
    let actives = "SELECT kid, algorithm FROM signing_keys WHERE class = 'token' AND state = 'active' AND algorithm IN ('ES256', 'RS256')";
    let old: Vec<String> = sql(stand, actives).lines().map(str::to_owned).collect();
    assert_eq!(old.len(), 2, "{old:?}");
    for line in &old {
        let (kid, algorithm) = line.split_once('|').unwrap();
        let staged =
            call("keys", &json!({ "class": "token", "algorithm": algorithm })).expect(201).json();
        let next = staged["kid"].as_str().unwrap();
        e2e::bench::until("the key may sign", std::time::Duration::from_secs(60), || {
            (call(&format!("keys/{next}/activate"), &json!({})).status == 200).then_some(())
        });
        assert_eq!(
            sql(stand, &format!("SELECT state FROM signing_keys WHERE kid = '{kid}'")),
            "retired"
        );
    }
}

/// Everything as it was, and again what a deletion took.
fn restore(stand: &Stand) {
    sql(
        stand,
        "UPDATE users SET status = 'active'; UPDATE clients SET status = 'active';
         UPDATE tenants SET status = 'active'; DELETE FROM throttles",
    );
    for part in [world(), machines(), whole()] {
        stand.seed(&part);
    }
}

/// A stand whose keys may be replaced at once, with somebody who administers them.
fn stand() -> Stand {
    let set = vec![
        ("authd.password_reset", "true"),
        ("authd.auth_code_lifetime", "600"),
        ("keyd.jwks_max_age_s", "2"),
        ("authd.jwks_max_age_s", "2"),
        ("admind.jwks_max_age_s", "2"),
    ];
    let stand = Stand::start(&e2e::Options { set, ..e2e::Options::default() });
    e2e::people::populate(&stand);
    restore(&stand);
    stand
}

#[test]
fn w33_w59_every_state_by_every_path() {
    let stand = stand();
    let mut wrong = String::new();
    // Nothing that is asked for here is refused for another reason than the state.
    let all = look(&stand, &mut begin(&stand));
    assert_eq!(all, [GOES; 10].map(str::to_owned));
    for (state, expected) in TABLE {
        let mut begun = begin(&stand);
        enter(&stand, state);
        let found = look(&stand, &mut begun);
        for ((path, expected), found) in PATHS.iter().zip(expected).zip(&found) {
            if found != expected {
                writeln!(wrong, "{state} × {path}: {found}, not {expected}").unwrap();
            }
        }
        restore(&stand);
    }
    assert!(wrong.is_empty(), "{wrong}");
}
