//! Whatever we give out is good in one place (security.md, W26, W32): every artefact at every other's sink is
//! refused with that sink's own error, changes nothing, and is still good afterwards.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::collections::BTreeSet;
use std::path::Path;

use e2e::people::{PLATFORM_ADMIN, console};
use e2e::{Browser, Options, Response, Stand, bearer, query};
use serde_json::json;
use support::assertion::{Prover, TYPE};
use support::deferred::*;
use support::*;

const PUSHED: &str = "urn:ietf:params:oauth:request_uri:";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const SESSION: &str = "__Host-opentrusty_session";
const BROWSER: &str = "__Host-opentrusty_browser";
const MODERN: App = App { id: "modern", secret: None, ..WHOLE };

/// What is given out, and the prefix of its kind where it has one.
const ARTEFACTS: [(&str, &str); 18] = [
    ("code", "otc_"),
    ("access token", ""),
    ("opaque access token", "ota_"),
    ("refresh token", "otr_"),
    ("ID token", ""),
    ("device code", "otd_"),
    ("user code", ""),
    ("auth_req_id", "otq_"),
    ("approval handle", "oth_"),
    ("request_uri", ""),
    ("request_uri's name", "otu_"),
    ("session", "ots_"),
    ("browser", "otb_"),
    ("form token", ""),
    ("admin access token", ""),
    ("assertion", ""),
    ("enrolment link", "ote_"),
    ("interaction", "oti_"),
];

/// A sink with the artefacts that it takes.
const SINKS: [(&str, &[&str]); 28] = [
    // First: it wants a sign-in of a moment ago.
    ("user code", &["user code"]),
    ("code", &["code"]),
    ("refresh_token", &["refresh token"]),
    ("device_code", &["device code"]),
    ("auth_req_id", &["auth_req_id"]),
    ("subject_token", &["access token", "opaque access token"]),
    ("subject_token as a JWT", &["access token"]),
    ("actor_token", &[]),
    ("client_assertion", &["assertion"]),
    ("introspect", &["access token", "refresh token"]),
    ("revoke", &["access token", "refresh token"]),
    ("userinfo", &["access token", "opaque access token", "admin access token"]),
    ("userinfo's body", &["access token", "opaque access token", "admin access token"]),
    ("hint at authorize", &["ID token"]),
    ("hint at logout", &["ID token"]),
    ("hint at bc-authorize", &["ID token"]),
    ("request_uri", &["request_uri"]),
    ("name of a request_uri", &["request_uri's name"]),
    ("enroll", &["enrolment link"]),
    ("interaction", &["interaction"]),
    ("interaction at sign-in", &["interaction"]),
    ("interaction at consent", &["interaction"]),
    ("session cookie", &["session"]),
    ("browser cookie", &["browser"]),
    ("form token", &["form token"]),
    ("admin API", &["admin access token"]),
    ("complete", &[]),
    ("handle at complete", &["approval handle"]),
];

/// One of each, and where it came from.
struct Given<'a> {
    stand: &'a Stand,
    /// Signed in as Ben; holds the interaction.
    browser: Browser,
    waiting: Ask,
    pushed: Ask,
    /// An authenticator's token of Ben's.
    key: String,
    texts: Vec<(&'static str, String)>,
}

impl Given<'_> {
    fn text(&self, name: &str) -> &str {
        &self.texts.iter().find(|(own, _)| *own == name).unwrap_or_else(|| panic!("no {name}")).1
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.stand.issuer())
    }
}

fn ask() -> Ask {
    Ask::new(WHOLE).scope("openid orders:read")
}

fn give(stand: &Stand) -> Given<'_> {
    sql(stand, "DELETE FROM deferred_requests; DELETE FROM throttles");
    let prover = Prover::new(
        stand,
        MODERN,
        "ES256",
        &json!({ "grant_types": ["client_credentials"],
        "redirect_uris": [], "scope": "orders:read" }),
    );
    let mut browser = at_device(stand, BEN);
    let live = issue_in(stand, &mut browser, &ask(), BEN);
    let opaque = issue_in(stand, &mut browser, &Ask::new(OPAQUE), BEN).access;
    let key =
        issue_in(stand, &mut browser, &Ask::new(KEY).scope("openid opentrusty:ciba"), BEN).access;
    let admin = console(stand).tokens(&mut stand.browser(), PLATFORM_ADMIN);
    let tv = device(stand, WHOLE, "openid");
    let form = [("scope", "openid"), ("login_hint", BEN), ("requested_expiry", "600")];
    let ciba = auth_req_id(&WHOLE.call(stand, "/oauth/bc-authorize", &form));
    let complete = format!("{}/oauth/bc-authorize/complete", stand.issuer());
    let list = stand.client().get_with(&complete, bearer(&key)).expect(200).json();
    let link = format!("ote_{}", random());
    sql(
        stand,
        &format!(
            "INSERT INTO enrolments (token_hash, user_id, expires_at)
             SELECT sha256('{link}'), id, now() + interval '1 hour' FROM users WHERE email = '{CLEO}'"
        ),
    );
    let pushed = ask();
    let mut pairs = pushed.pairs();
    pairs.retain(|(name, _)| *name != "client_id");
    let reply = WHOLE.call(stand, "/oauth/par", &pairs).expect(201).json();
    // Older than it is by nothing, good for longer: the matrix takes its time.
    sql(stand, "UPDATE pushed_requests SET expires_at = created_at + interval '10 minutes'");
    let uri = reply["request_uri"].as_str().unwrap().to_owned();
    let waiting = ask();
    let code = code_in(stand, &mut browser, &waiting, BEN);
    browser.open(&ask().with("prompt", "login").url(stand));
    let interaction = browser.page().field("interaction").unwrap();
    let cookie = |browser: &mut Browser, name: &str| browser.client().cookies()[name].clone();
    let mut texts = vec![
        ("code", code),
        ("access token", live.access),
        ("opaque access token", opaque),
        ("refresh token", live.refresh),
        ("ID token", live.id),
        ("device code", tv.secret),
        ("user code", tv.user_code),
        ("auth_req_id", ciba),
        ("approval handle", list["requests"][0]["handle"].as_str().unwrap().to_owned()),
        ("request_uri's name", uri.strip_prefix(PUSHED).unwrap().to_owned()),
        ("request_uri", uri),
        ("session", cookie(&mut browser, SESSION)),
        ("browser", cookie(&mut browser, BROWSER)),
        ("admin access token", admin["access_token"].as_str().unwrap().to_owned()),
        ("assertion", prover.lasting(stand, 290)),
        ("enrolment link", link),
        ("interaction", interaction),
    ];
    browser.open(&format!("{}/logout", stand.issuer()));
    texts.push(("form token", browser.page().field("csrf").unwrap()));
    Given { stand, browser, waiting, pushed, key, texts }
}

/// A refusal that a person sees, and nothing else.
#[track_caller]
fn page(answer: &Response, status: u16) {
    answer.expect(status);
    assert_own_page(answer);
}

/// Presents a text at a sink that is not its own, and holds the answer to what that sink says of anything wrong.
#[track_caller]
#[expect(clippy::too_many_lines, reason = "one table: every sink with its error")]
fn refuse(given: &mut Given<'_>, sink: &str, text: &str) {
    let stand = given.stand;
    let token = |form: e2e::Form<'_>| WHOLE.call(stand, "/oauth/token", form);
    let own = given.text("access token").to_owned();
    let at = |path: &str| format!("{}{path}", stand.issuer());
    match sink {
        "code" => {
            assert_tok(&WHOLE.redeem(stand, text, &given.waiting.pkce.verifier), "invalid_grant");
        }
        "refresh_token" => assert_tok(&WHOLE.refresh(stand, text), "invalid_grant"),
        "device_code" => assert_tok(&WHOLE.poll_device(stand, text), "invalid_grant"),
        "auth_req_id" => assert_tok(&WHOLE.poll_ciba(stand, text), "invalid_grant"),
        "subject_token" | "subject_token as a JWT" => {
            let kind = if sink == "subject_token" { ACCESS } else { JWT };
            let answer = token(&[
                ("grant_type", EXCHANGE),
                ("subject_token", text),
                ("subject_token_type", kind),
                ("audience", OTHER),
            ]);
            assert_tok(&answer, "invalid_request");
        }
        "actor_token" => {
            let answer = token(&[
                ("grant_type", EXCHANGE),
                ("subject_token", &own),
                ("subject_token_type", ACCESS),
                ("actor_token", text),
                ("actor_token_type", ACCESS),
                ("audience", OTHER),
            ]);
            assert_tok(&answer, "invalid_request");
        }
        "client_assertion" => {
            let form = [
                ("grant_type", "client_credentials"),
                ("client_id", MODERN.id),
                ("client_assertion_type", TYPE),
                ("client_assertion", text),
            ];
            assert_client_refused(&stand.client().post(&at("/oauth/token"), &form), false);
        }
        "introspect" => assert_inactive(&WHOLE.introspect(stand, text)),
        // RFC 7009 §2.1: what is another client's is refused, what is unknown is no error.
        "revoke" => {
            let answer = WHOLE.revoke(stand, text);
            let foreign = ["opaque access token", "admin access token"];
            if foreign.iter().any(|name| given.text(name) == text) {
                assert_tok(&answer, "unauthorized_client");
            } else {
                answer.expect(200);
            }
        }
        "userinfo" => assert_bearer_refused(&userinfo(stand, text)),
        "userinfo's body" => {
            let form = [("access_token", text)];
            assert_bearer_refused(&stand.client().post(&at("/oauth/userinfo"), &form));
        }
        "hint at authorize" => {
            let ask = ask().with("id_token_hint", text);
            let answer = given.browser.client().get(&ask.url(stand));
            assert_red(&answer, &WHOLE, "invalid_request", Some(&ask.state));
        }
        "hint at logout" => {
            let url = at(&format!("/oauth/logout?{}", query(&[("id_token_hint", text)])));
            page(&given.browser.client().get(&url), 400);
        }
        "hint at bc-authorize" => {
            let form = [("scope", "openid"), ("id_token_hint", text)];
            assert_tok(&WHOLE.call(stand, "/oauth/bc-authorize", &form), "invalid_request");
        }
        "request_uri" | "name of a request_uri" => {
            let prefix = if sink == "request_uri" { "" } else { PUSHED };
            let uri = format!("{prefix}{text}");
            let pairs = [("client_id", WHOLE.id), ("request_uri", uri.as_str())];
            let url = at(&format!("/oauth/authorize?{}", query(&pairs)));
            page(&given.browser.client().get(&url), 400);
        }
        "user code" => {
            sql(stand, "DELETE FROM throttles");
            given.browser.open(&at("/device"));
            let answer = given.browser.submit(&[("user_code", text)]).response.clone();
            let shown = answer.expect(200).text();
            assert!(shown.contains("That code does not work"), "{shown}");
            assert!(!shown.contains("name=\"decision\""), "{shown}");
        }
        "enroll" => {
            let url = at(&format!("/enroll?{}", query(&[("token", text)])));
            page(&given.browser.client().get(&url), 400);
        }
        "interaction" => {
            page(&given.browser.client().get(&at(&format!("/oauth/authorize/{text}"))), 400);
        }
        "interaction at sign-in" | "interaction at consent" => {
            let path = if sink.ends_with("consent") { "/consent" } else { "/login" };
            let url = at(&format!("{path}?{}", query(&[("interaction", text)])));
            page(&given.browser.client().get(&url), 400);
        }
        "session cookie" => {
            let mut client = stand.client();
            client.put_cookie(BROWSER, given.text("browser"));
            client.put_cookie(SESSION, text);
            let answer = client.get(&at("/account"));
            answer.expect(303);
            assert_eq!(answer.location(), "/login?to=account");
        }
        "browser cookie" => {
            let mut client = stand.client();
            client.put_cookie(BROWSER, text);
            client.put_cookie(SESSION, given.text("session"));
            page(&client.post(&at("/logout"), &[("csrf", given.text("form token"))]), 403);
        }
        "form token" => {
            let answer = given.browser.client().post(&at("/logout"), &[("csrf", text)]);
            page(&answer, 403);
        }
        "admin API" => {
            let url = format!("{}/api/v1/me", stand.api());
            let answer = stand.client().get_with(&url, bearer(text));
            answer.expect(401);
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            assert!(challenge.contains("invalid_token"), "{challenge}");
        }
        "complete" => {
            let answer = stand.client().get_with(&at("/oauth/bc-authorize/complete"), bearer(text));
            let token = ["access token", "opaque access token", "admin access token"];
            if token.iter().any(|name| given.text(name) == text) {
                answer.expect(403);
                let challenge = answer.header("www-authenticate").unwrap_or_default();
                assert!(challenge.contains("insufficient_scope"), "{challenge}");
            } else {
                assert_bearer_refused(&answer);
            }
        }
        "handle at complete" => {
            sql(stand, "DELETE FROM throttles");
            let form = [("handle", text), ("decision", "approve")];
            let url = at("/oauth/bc-authorize/complete");
            stand.client().post_with(&url, &[bearer(&given.key)], &form).expect(404);
        }
        other => panic!("no such sink: {other}"),
    }
}

/// Each of them, at its own sink, once: in an order in which none of them ends the next.
fn use_all(given: &mut Given<'_>) {
    let stand = given.stand;
    sql(stand, "UPDATE sessions SET auth_time = now()");
    let complete = given.url("/oauth/bc-authorize/complete");
    for name in ["access token", "opaque access token"] {
        userinfo(stand, given.text(name)).expect(200);
    }
    let me = format!("{}/api/v1/me", stand.api());
    stand.client().get_with(&me, bearer(given.text("admin access token"))).expect(200);
    Tokens::of(&WHOLE.redeem(stand, given.text("code"), &given.waiting.pkce.verifier));
    Tokens::of(&WHOLE.refresh(stand, given.text("refresh token")));
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", TYPE),
        ("client_assertion", given.text("assertion")),
    ];
    Tokens::of(&stand.client().post(&given.url("/oauth/token"), &form));
    let form = [("handle", given.text("approval handle")), ("decision", "approve")];
    stand.client().post_with(&complete, &[bearer(&given.key)], &form).expect(204);
    Tokens::of(&WHOLE.poll_ciba(stand, given.text("auth_req_id")));
    sql(stand, "DELETE FROM throttles");
    given.browser.open(&given.url("/device"));
    let code = given.text("user code").to_owned();
    given.browser.submit(&[("user_code", &code)]);
    given.browser.submit(&[("decision", "approve")]).response.expect(200);
    Tokens::of(&WHOLE.poll_device(stand, given.text("device code")));
    let mut other = stand.browser();
    other.open(&given.url(&format!("/enroll?token={}", given.text("enrolment link"))));
    other.submit(&[("password", "another four words for the road")]).response.expect(200);
    let pairs = [("client_id", WHOLE.id), ("request_uri", given.text("request_uri"))];
    let url = given.url(&format!("/oauth/authorize?{}", query(&pairs)));
    let page = walk(&mut given.browser, &url, BEN);
    assert_eq!(page.away_parameter("state").as_ref(), Some(&given.pushed.state));
    assert!(page.away_parameter("code").is_some());
    // The session and the browser's own secret, in a client that has nothing else; the form is theirs.
    let mut client = stand.client();
    client.put_cookie(BROWSER, given.text("browser"));
    client.put_cookie(SESSION, given.text("session"));
    client.get(&given.url("/account")).expect(200);
    let hint = [("scope", "openid"), ("id_token_hint", given.text("ID token"))];
    WHOLE.call(stand, "/oauth/bc-authorize", &hint).expect(200);
    client.post(&given.url("/logout"), &[("csrf", given.text("form token"))]).expect(200);
    assert_ne!(client.get(&given.url("/account")).status, 200, "signed out");
    let url = given.url(&format!("/oauth/authorize/{}", given.text("interaction")));
    let page = walk(&mut given.browser, &url, BEN);
    assert!(page.away_parameter("code").is_some(), "{}", page.url);
}

fn stand() -> Stand {
    let set = vec![("authd.auth_code_lifetime", "600"), ("authd.password_reset", "true")];
    let stand = Stand::start(&Options { set, ..Options::default() });
    e2e::people::populate(&stand);
    for part in [world(), machines(), whole()] {
        stand.seed(&part);
    }
    stand
}

#[test]
fn w26_w32_every_artefact_at_every_sink_but_its_own() {
    let stand = stand();
    let mut given = give(&stand);
    for (name, _) in ARTEFACTS {
        given.text(name);
    }
    let before = digest(&stand);
    let mut cells = 0;
    for (sink, takes) in SINKS {
        for (name, _) in ARTEFACTS.iter().filter(|(name, _)| !takes.contains(name)) {
            println!("{name} at {sink}");
            let text = given.text(name).to_owned();
            refuse(&mut given, sink, &text);
            cells += 1;
        }
        let after = digest(&stand);
        assert_eq!(after, before, "{sink} has changed something");
    }
    assert!(cells > 400, "{cells}");
    use_all(&mut given);
}

/// Whoever adds a kind of secret adds a row.
#[test]
fn w26_every_kind_of_secret_has_a_row() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../common/oauth/src/secret.rs");
    let source = std::fs::read_to_string(file).unwrap();
    let kinds: BTreeSet<&str> = source
        .lines()
        .filter_map(|line| line.trim().split_once(" = \"ot")?.1.split_once('"'))
        .map(|(letter, _)| letter)
        .collect();
    let mut listed: BTreeSet<&str> =
        ARTEFACTS.iter().filter_map(|(_, prefix)| prefix.strip_prefix("ot")).collect();
    // What a client authenticates with, or is registered by: given out by `opentrusty`, never by authd.
    listed.insert("k_");
    assert_eq!(kinds, listed);
}
