//! What every endpoint makes of a form that is not one, or says something twice (security.md, W8, W92–W94). The
//! endpoints are those of the router: one without a row here fails.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

mod sent;
#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::RwLockWriteGuard;

use e2e::{Browser, Response, Stand, basic, bearer, query};
use support::deferred::*;
use support::endpoints::{assert_complete, posted};
use support::*;

const FORM: &str = "application/x-www-form-urlencoded";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What is no form in UTF-8, whatever the body says. `None`: no type at all.
const TYPES: [Option<&str>; 30] = [
    None,
    Some(""),
    Some("text/plain"),
    Some("text/html"),
    Some("text/xml"),
    Some("application/json"),
    Some("application/json; charset=utf-8"),
    Some("application/x-json"),
    Some("application/jwt"),
    Some("application/xml"),
    Some("application/octet-stream"),
    Some("multipart/form-data"),
    Some("multipart/form-data; boundary=x"),
    Some("multipart/mixed; boundary=x"),
    Some("*/*"),
    Some("application/*"),
    Some("application"),
    Some("application/"),
    Some("application/x-www-form-urlencode"),
    Some("application/x-www-form-urlencodedx"),
    Some("x-www-form-urlencoded"),
    Some("application/x-www-form-urlencoded, application/json"),
    Some("application/json, application/x-www-form-urlencoded"),
    Some("text/plain; application/x-www-form-urlencoded"),
    Some("application/x-www-form-urlencoded; charset=utf-16"),
    Some("application/x-www-form-urlencoded; charset=utf-7"),
    Some("application/x-www-form-urlencoded; charset=iso-8859-1"),
    Some("application/x-www-form-urlencoded; charset=utf-8; charset=utf-16"),
    Some("application/x-www-form-urlencoded; boundary=x"),
    Some("application/x-www-form-urlencoded; charset"),
];

/// Parameters that are no part of a plain good request: clients' proofs, actors, and what is refused however often it
/// comes. They are sent twice beside every one.
const ELSEWHERE: [&str; 11] = [
    "actor_token",
    "actor_token_type",
    "authorization_details",
    "client_assertion",
    "client_assertion_type",
    "client_secret",
    "id_token_hint",
    "login_hint_token",
    "request",
    "request_uri",
    "to",
];

/// Who reads what an endpoint says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Machine,
    Person,
}

/// A request that is good as it is.
struct Good {
    path: &'static str,
    reader: Reader,
    headers: Vec<(&'static str, String)>,
    form: Vec<(&'static str, String)>,
    /// What it is answered, sent as it is.
    status: u16,
}

/// What [`Good`] requests are made of. Everything is spent at the end, by the requests as they are.
struct Made<'a> {
    stand: &'a Stand,
    browser: Browser,
    /// Form token and handle of a request at `/ciba`.
    waiting: (String, String),
    all: Vec<Good>,
}

impl Made<'_> {
    fn machine(&mut self, path: &'static str, status: u16, form: &[(&'static str, &str)]) {
        let headers = vec![basic(WHOLE.id, WHOLE.secret.unwrap())];
        self.push((path, Reader::Machine, status), headers, form);
    }

    fn grant(&mut self, grant: &str, form: &[(&'static str, &str)]) {
        self.machine("/oauth/token", 200, &[&[("grant_type", grant)], form].concat());
    }

    /// A form of ours, with the token that the page which is shown has in it.
    fn person(&mut self, path: &'static str, status: u16, form: &[(&'static str, &str)]) {
        let cookies: Vec<String> =
            self.browser.client().cookies().iter().map(|(n, v)| format!("{n}={v}")).collect();
        self.push((path, Reader::Person, status), vec![("cookie", cookies.join("; "))], form);
    }

    fn push(
        &mut self,
        (path, reader, status): (&'static str, Reader, u16),
        headers: Vec<(&'static str, String)>,
        form: &[(&'static str, &str)],
    ) {
        let form = form.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
        self.all.push(Good { path, reader, headers, form, status });
    }

    fn csrf(&mut self, path: &str) -> String {
        let url = format!("{}{path}", self.stand.issuer());
        self.browser.open(&url).field("csrf").unwrap_or_else(|| panic!("no form at {path}"))
    }
}

/// Alone, with [`WHOLE`] and nothing that waits.
fn quiet() -> RwLockWriteGuard<'static, Stand> {
    let stand = alone_with_machines();
    stand.seed(&whole());
    sql(&stand, "DELETE FROM deferred_requests; DELETE FROM throttles; DELETE FROM outbox");
    stand
}

fn ask() -> Ask {
    Ask::new(WHOLE).scope("openid orders:read")
}

fn make(stand: &Stand) -> Made<'_> {
    let browser = at_device(stand, BEN);
    let waiting = (String::new(), String::new());
    let mut made = Made { stand, browser, waiting, all: Vec::new() };
    machines_of(&mut made);
    people_of(&mut made);
    // The matrix takes its time.
    sql(
        stand,
        "UPDATE codes SET expires_at = now() + interval '10 minutes';
         UPDATE deferred_requests SET expires_at = created_at + interval '30 minutes'",
    );
    made
}

fn machines_of(made: &mut Made<'_>) {
    let stand = made.stand;
    let live = issue_in(stand, &mut made.browser, &ask(), BEN);
    let spare = issue_in(stand, &mut made.browser, &ask(), BEN);
    let waiting = ask();
    let code = code_in(stand, &mut made.browser, &waiting, BEN);
    made.grant(
        "authorization_code",
        &[
            ("code", &code),
            ("redirect_uri", WHOLE.redirect),
            ("code_verifier", &waiting.pkce.verifier),
        ],
    );
    made.grant("refresh_token", &[("refresh_token", &spare.refresh), ("scope", "openid")]);
    made.grant("client_credentials", &[("scope", "orders:read"), ("audience", "orders-api")]);
    made.grant(
        EXCHANGE,
        &[
            ("subject_token", &live.access),
            ("subject_token_type", ACCESS),
            ("requested_token_type", ACCESS),
            ("scope", "openid"),
            ("audience", OTHER),
        ],
    );
    let tv = device(stand, WHOLE, "openid");
    made.browser.open(&format!("{}/device", stand.issuer()));
    made.browser.submit(&[("user_code", &tv.user_code)]);
    made.browser.submit(&[("decision", "approve")]).response.expect(200);
    made.grant(DEVICE, &[("device_code", &tv.secret)]);
    let id = auth_req_id(&WHOLE.ask_for(stand, BEN, &[]));
    made.browser.open(&format!("{}/ciba", stand.issuer()));
    made.browser.submit(&[("decision", "approve")]).response.expect(200);
    made.grant(CIBA, &[("auth_req_id", &id)]);
    others_of(made, &live);
}

/// Everything beside the token endpoint that a program calls.
fn others_of(made: &mut Made<'_>, live: &Tokens) {
    let stand = made.stand;
    made.machine(
        "/oauth/introspect",
        200,
        &[("token", &live.access), ("token_type_hint", "access_token")],
    );
    made.machine(
        "/oauth/revoke",
        200,
        &[("token", "otr_unknown"), ("token_type_hint", "refresh_token")],
    );
    made.machine(
        "/oauth/device_authorization",
        200,
        &[("scope", "openid"), ("audience", "orders-api")],
    );
    made.machine(
        "/oauth/bc-authorize",
        200,
        &[
            ("scope", "openid"),
            ("login_hint", "nobody@example.org"),
            ("binding_message", "W4SCT"),
            ("requested_expiry", "60"),
            ("client_notification_token", "a-token-of-36-characters-that-is-ours"),
            ("acr_values", "urn:opentrusty:acr:password"),
        ],
    );
    let pushed = asked();
    let pairs: Vec<(&'static str, &str)> =
        pushed.iter().filter(|(n, _)| *n != "client_id").map(|(n, v)| (*n, v.as_str())).collect();
    made.machine("/oauth/par", 201, &pairs);
    let token = [("access_token", live.access.as_str())];
    made.push(("/oauth/userinfo", Reader::Machine, 200), Vec::new(), &token);
    // One request for the page, and one for the app.
    WHOLE.ask_for(stand, BEN, &[]).expect(200);
    made.browser.open(&format!("{}/ciba", stand.issuer()));
    let page = made.browser.page().clone();
    made.waiting = (page.field("csrf").unwrap(), page.field("handle").unwrap());
    WHOLE.ask_for(stand, BEN, &[]).expect(200);
    let key =
        issue_in(stand, &mut made.browser, &Ask::new(KEY).scope("openid opentrusty:ciba"), BEN);
    let url = format!("{}/oauth/bc-authorize/complete", stand.issuer());
    let list = stand.client().get_with(&url, bearer(&key.access)).expect(200).json();
    let handles = list["requests"].as_array().unwrap().iter().map(|one| one["handle"].as_str());
    let handle = handles.flatten().find(|handle| *handle != made.waiting.1).unwrap();
    let form = [("handle", handle), ("decision", "deny")];
    let complete = ("/oauth/bc-authorize/complete", Reader::Machine, 204);
    made.push(complete, vec![bearer(&key.access)], &form);
}

/// An authorization request with all that it may say.
fn asked() -> Vec<(&'static str, String)> {
    let ask = ask();
    [
        ("client_id", WHOLE.id),
        ("response_type", "code"),
        ("response_mode", "query"),
        ("redirect_uri", WHOLE.redirect),
        ("scope", "openid"),
        ("state", &ask.state),
        ("nonce", &ask.nonce),
        ("code_challenge", &ask.pkce.challenge),
        ("code_challenge_method", "S256"),
        ("prompt", "consent"),
        ("max_age", "3600"),
        ("login_hint", BEN),
        ("ui_locales", "en"),
        ("display", "page"),
        ("acr_values", "urn:opentrusty:acr:password"),
        ("claims", "{}"),
        ("audience", "orders-api"),
    ]
    .map(|(n, v)| (n, v.to_owned()))
    .to_vec()
}

fn people_of(made: &mut Made<'_>) {
    let stand = made.stand;
    sql(
        stand,
        &format!(
            "DELETE FROM invitations i USING tenants t, users u
             WHERE t.id = i.tenant_id AND u.id = i.user_id AND t.slug = 'rival' AND u.email = '{BEN}';
             INSERT INTO invitations (tenant_id, user_id)
             SELECT t.id, u.id FROM tenants t, users u WHERE t.slug = 'rival' AND u.email = '{BEN}'"
        ),
    );
    // Another session, to be ended.
    signed_in(stand, BEN);
    made.browser.open(&format!("{}/account", stand.issuer()));
    let page = made.browser.page().clone();
    let own = |action: &str, text: &str| account::csrf_of(&page, action, text);
    let invited = own("/account/invitations", "accept");
    let others = own("/account/sessions/end", "others");
    let withdraw = own("/account/applications/withdraw", WHOLE.id);
    let password = own("/account/password", "new_password");
    made.person(
        "/account/invitations",
        303,
        &[("csrf", &invited), ("tenant", "rival"), ("decision", "decline")],
    );
    let wrong = [
        ("csrf", password.as_str()),
        ("current_password", "not the one that it is"),
        ("new_password", "another four words here"),
    ];
    made.person("/account/password", 200, &wrong);
    made.person("/account/sessions/end", 303, &[("csrf", &others), ("session", "others")]);
    made.person(
        "/account/applications/withdraw",
        303,
        &[("csrf", &withdraw), ("client_id", WHOLE.id)],
    );
    let device = made.csrf("/device");
    made.person("/device", 200, &[("csrf", &device), ("user_code", "BCDF-GHJK")]);
    let (csrf, handle) = made.waiting.clone();
    made.person("/ciba", 200, &[("csrf", &csrf), ("handle", &handle), ("decision", "deny")]);
    visitors_of(made);
}

/// The pages on the way to an application and back.
fn visitors_of(made: &mut Made<'_>) {
    let stand = made.stand;
    let url = ask().with("prompt", "consent").url(stand);
    made.browser.open(&url);
    let (csrf, interaction) = (
        made.browser.page().field("csrf").unwrap(),
        made.browser.page().field("interaction").unwrap(),
    );
    made.person(
        "/consent",
        303,
        &[("csrf", &csrf), ("interaction", &interaction), ("decision", "deny")],
    );
    let url = ask().with("prompt", "login").url(stand);
    made.browser.open(&url);
    let (csrf, interaction) = (
        made.browser.page().field("csrf").unwrap(),
        made.browser.page().field("interaction").unwrap(),
    );
    made.person(
        "/login",
        303,
        &[
            ("csrf", &csrf),
            ("interaction", &interaction),
            ("username", BEN),
            ("password", PASSWORD),
        ],
    );
    let reset = made.csrf("/reset");
    made.person("/reset", 200, &[("csrf", &reset), ("username", CLEO)]);
    let link = format!("ote_{}", random());
    sql(
        stand,
        &format!(
            "INSERT INTO enrolments (token_hash, user_id, expires_at)
             SELECT sha256('{link}'), id, now() + interval '1 hour' FROM users WHERE email = '{CLEO}'"
        ),
    );
    let enroll = made.csrf(&format!("/enroll?token={link}"));
    made.person("/enroll", 200, &[("csrf", &enroll), ("token", &link), ("password", PASSWORD)]);
    // What an application begins, in a browser that is signed out: nobody is asked.
    let asked = asked();
    let pairs: Vec<(&'static str, &str)> = asked.iter().map(|(n, v)| (*n, v.as_str())).collect();
    made.push(("/oauth/authorize", Reader::Person, 303), Vec::new(), &pairs);
    let bye = [
        ("client_id", WHOLE.id),
        ("post_logout_redirect_uri", "https://whole.example.org/bye"),
        ("state", "s"),
        ("ui_locales", "en"),
    ];
    made.push(("/oauth/logout", Reader::Person, 303), Vec::new(), &bye);
    let logout = made.csrf("/logout");
    made.person("/logout", 200, &[("csrf", &logout), ("state", "s")]);
}

impl Good {
    fn send(&self, wire: &mut Line, kind: Option<&str>, (target, body): (&str, &str)) -> Response {
        let mut headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        headers.extend(kind.map(|kind| ("content-type", kind)));
        wire.ask("POST", target, &headers, body.as_bytes())
    }

    fn body(&self, more: &[(&str, &str)]) -> String {
        let pairs: Vec<(&str, &str)> = self.form.iter().map(|(n, v)| (*n, v.as_str())).collect();
        query(&[&pairs[..], more].concat())
    }

    /// A POST that an application's page makes is sent round once as a GET: what that says is the answer.
    fn send_round(&self, wire: &mut Line, body: &str) -> Response {
        let answer = self.send(wire, Some(FORM), (self.path, body));
        let again = format!("{}?", self.path);
        match answer.header("location").filter(|to| to.starts_with(&again)) {
            Some(to) => wire.get(to),
            None => answer,
        }
    }
}

/// Every endpoint that takes a form is among the good requests.
#[track_caller]
fn assert_all_there(all: &[Good]) {
    assert_complete();
    let paths: BTreeSet<&str> = all.iter().map(|good| good.path).collect();
    assert_eq!(paths, posted());
}

/// The names in every `one("…")` beneath a folder of source.
fn read_in(folder: &std::path::Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            read_in(&path, found);
        } else if !name.ends_with("tests.rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            let source = source.split("#[cfg(test)]").next().unwrap();
            let names = source.split("one(\"").skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(names.map(str::to_owned));
        }
    }
}

/// Whoever reads a new parameter adds it to a good request.
#[track_caller]
fn assert_every_parameter(all: &[Good]) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut read = BTreeSet::new();
    for folder in ["common/oauth/src", "authd/src"] {
        read_in(&root.join(folder), &mut read);
    }
    assert!(read.len() > 40, "the names are found: {read:?}");
    let sent: BTreeSet<&str> = all.iter().flat_map(|good| &good.form).map(|(n, _)| *n).collect();
    let missing: Vec<&String> = read
        .iter()
        .filter(|name| !sent.contains(name.as_str()) && !ELSEWHERE.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "parameters without a row: {missing:?}");
}
