//! A tenant with an issuer of its own (security.md W10, W71, W142–W144): everything works beneath it, nothing of it
//! works elsewhere, and nothing from elsewhere works there.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::collections::BTreeSet;
use std::sync::{OnceLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use e2e::bench::until;
use e2e::{Browser, Form, Page, Response, Stand, bearer, tokens};
use serde_json::{Value, json};
use support::*;

const BASE: &str = "/t/acme";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The binary's installation, in which `acme` has an issuer of its own with keys.
fn beside() -> RwLockReadGuard<'static, Stand> {
    let stand = together();
    prepare(&stand);
    stand
}

/// The same, with nobody else.
fn undisturbed() -> RwLockWriteGuard<'static, Stand> {
    let stand = alone();
    prepare(&stand);
    stand
}

fn prepare(stand: &Stand) {
    static READY: OnceLock<()> = OnceLock::new();
    READY.get_or_init(|| {
        let mut all = machines();
        all["issuers"] = json!([{ "tenant": "acme" }]);
        stand.seed(&all);
        let jwks = format!("{}{BASE}/.well-known/jwks.json", stand.issuer());
        until("the tenant's issuer has its keys", Duration::from_secs(90), || {
            let answer = stand.client().get(&jwks);
            let keys = (answer.status == 200).then(|| answer.json())?;
            let algorithms: BTreeSet<_> =
                keys["keys"].as_array()?.iter().map(|key| key["alg"].to_string()).collect();
            (algorithms.len() >= 2).then_some(())
        });
        let token = format!("{}{BASE}/oauth/token", stand.issuer());
        until("the tenant's issuer signs", Duration::from_secs(90), || {
            let form = [("grant_type", "client_credentials")];
            let answer = ROBOT.post(&mut stand.client(), &token, &form);
            (answer.status == 200).then_some(())
        });
    });
}

/// An issuer of the stand, as its clients use it.
#[derive(Clone, Copy)]
struct At<'a> {
    stand: &'a Stand,
    base: &'static str,
}

impl<'a> At<'a> {
    fn acme(stand: &'a Stand) -> Self {
        Self { stand, base: BASE }
    }

    fn root(stand: &'a Stand) -> Self {
        Self { stand, base: "" }
    }

    fn issuer(&self) -> String {
        format!("{}{}", self.stand.issuer(), self.base)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer())
    }

    fn ask(&self, ask: &Ask) -> String {
        self.url(&ask.target())
    }

    #[track_caller]
    fn call(&self, app: App, path: &str, form: Form<'_>) -> Response {
        app.post(&mut self.stand.client(), &self.url(path), form)
    }

    #[track_caller]
    fn redeem(&self, app: App, code: &str, verifier: &str) -> Response {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", app.redirect),
            ("code_verifier", verifier),
        ];
        self.call(app, "/oauth/token", &form)
    }

    #[track_caller]
    fn refresh(&self, app: App, token: &str) -> Response {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.call(app, "/oauth/token", &form)
    }

    #[track_caller]
    fn introspect(&self, app: App, token: &str) -> Response {
        self.call(app, "/oauth/introspect", &[("token", token)])
    }

    #[track_caller]
    fn userinfo(&self, token: &str) -> Response {
        self.stand.client().get_with(&self.url("/oauth/userinfo"), bearer(token))
    }

    #[track_caller]
    fn exchange(&self, app: App, subject: &str) -> Response {
        let form =
            [("grant_type", EXCHANGE), ("subject_token", subject), ("subject_token_type", ACCESS)];
        self.call(app, "/oauth/token", &form)
    }

    #[track_caller]
    fn pushed(&self, ask: &Ask) -> String {
        let answer = self.call(ask.app, "/oauth/par", &ask.pairs());
        answer.expect(201).json()["request_uri"].as_str().unwrap().to_owned()
    }

    fn front(&self, id: &str, uri: &str) -> String {
        let pairs = [("client_id", id), ("request_uri", uri)];
        self.url(&format!("/oauth/authorize?{}", e2e::query(&pairs)))
    }

    fn jwks(&self) -> Value {
        self.stand.client().get(&self.url("/.well-known/jwks.json")).expect(200).json()
    }

    #[track_caller]
    fn code(&self, browser: &mut Browser, ask: &Ask, user: &str) -> String {
        let page = walk(browser, &self.ask(ask), user);
        assert_eq!(page.away_parameter("iss"), Some(self.issuer()), "W10");
        page.away_parameter("code").unwrap()
    }

    #[track_caller]
    fn issue(&self, ask: &Ask, user: &str) -> Tokens {
        let code = self.code(&mut self.stand.browser(), ask, user);
        Tokens::of(&self.redeem(ask.app, &code, &ask.pkce.verifier))
    }

    #[track_caller]
    fn is_alive(&self, app: App, token: &str) -> bool {
        let active = self.introspect(app, token).expect(200).json()["active"] == true;
        assert_eq!(active, self.userinfo(token).status == 200);
        active
    }
}

#[test]
fn w71_discovery_is_at_both_places_and_all_that_it_names_works_beneath_the_issuer() {
    let stand = beside();
    let (acme, root) = (At::acme(&stand), At::root(&stand));
    let mut http = stand.client();
    let openid = http.get(&acme.url("/.well-known/openid-configuration"));
    let oauth = format!("{}/.well-known/oauth-authorization-server{BASE}", stand.issuer());
    let document = openid.expect(200).json();
    assert_eq!(http.get(&oauth).expect(200).json(), document, "RFC 8414 §3.1");
    assert_eq!(document["issuer"], acme.issuer());
    let mut urls = 0;
    for (name, value) in document.as_object().unwrap() {
        let Some(url) = value.as_str().filter(|text| text.starts_with("https://")) else {
            continue;
        };
        urls += 1;
        if name == "issuer" {
            continue;
        }
        assert!(url.starts_with(&acme.url("/")), "{name}: {url}");
        let (get, post) = (http.get(url).status, http.post(url, &[]).status);
        println!("{name}: GET {get}, POST {post}");
        assert!(get != 404 && post != 404 && get < 500 && post < 500);
        let works = |status: u16| [200, 303, 400, 401].contains(&status);
        assert!(works(get) || works(post), "{name}");
    }
    assert!(urls >= 9, "{document}");
    let platform = http.get(&root.url("/.well-known/openid-configuration")).json();
    assert_eq!(platform["issuer"], stand.issuer());
    for name in ["token_endpoint", "authorization_endpoint", "jwks_uri"] {
        assert!(!platform[name].as_str().unwrap().contains("/t/"), "{name}");
    }
    for header in ["x-tenant-id", "x-tenant", "x-forwarded-host", "x-forwarded-prefix"] {
        let url = acme.url("/.well-known/openid-configuration");
        let other = http.get_with(&url, (header, "rival".to_owned()));
        assert_eq!(other.expect(200).body, openid.body, "W143: {header}");
    }
}

#[test]
fn w71_w144_an_issuer_has_keys_of_its_own() {
    let stand = beside();
    let (acme, root) = (At::acme(&stand), At::root(&stand));
    let kids = |jwks: &Value| -> BTreeSet<String> {
        let keys = jwks["keys"].as_array().unwrap();
        for key in keys {
            for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                assert_eq!(key.get(private), None);
            }
            assert_eq!(key["use"], "sig");
        }
        let kids: BTreeSet<String> = keys.iter().map(|key| key["kid"].to_string()).collect();
        assert_eq!(kids.len(), keys.len());
        kids
    };
    let (ours, theirs) = (acme.jwks(), root.jwks());
    assert!(kids(&ours).is_disjoint(&kids(&theirs)) && kids(&ours).len() >= 2);
    let material = |jwks: &Value| -> BTreeSet<String> {
        let keys = jwks["keys"].as_array().unwrap();
        keys.iter().map(|key| format!("{}{}", key["x"], key["n"])).collect()
    };
    assert!(material(&ours).is_disjoint(&material(&theirs)), "nor the same key under two names");
    let one = acme.issue(&Ask::new(TWIN), BEN);
    let id = tokens::verify(&one.id, &ours, &acme.issuer(), TWIN.id).unwrap();
    assert_eq!(id["iss"], acme.issuer());
    let access = tokens::verify(&one.access, &ours, &acme.issuer(), "orders-api").unwrap();
    assert_eq!((&access["iss"], &access["client_id"]), (&json!(acme.issuer()), &json!(TWIN.id)));
    for token in [&one.id, &one.access] {
        tokens::verify(token, &theirs, stand.issuer(), TWIN.id).unwrap_err();
    }
    let platform = root.issue(&Ask::new(PLATFORM), BEN);
    tokens::verify(&platform.id, &theirs, stand.issuer(), PLATFORM.id).unwrap();
    tokens::verify(&platform.id, &ours, &acme.issuer(), PLATFORM.id).unwrap_err();
}

#[test]
fn w105_what_is_no_issuer_is_not_found() {
    let stand = undisturbed();
    let before = digest(&stand);
    let mut http = stand.client();
    for slug in
        ["/t/nobody", "/t/rival", "/t/ACME", "/t/Acme", "/t/acme.", "/t/acm", "/t", "/t/platform"]
    {
        for path in [
            "/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server",
            "/.well-known/jwks.json",
            "/oauth/authorize?client_id=twin",
            "/oauth/userinfo",
            "/login",
            "/consent",
            "/logout",
            "/enroll",
            "",
        ] {
            let answer = http.get(&format!("{}{slug}{path}", stand.issuer()));
            answer.expect(404);
        }
        for path in ["token", "introspect", "revoke", "par"] {
            let url = format!("{}{slug}/oauth/{path}", stand.issuer());
            let answer = TWIN.post(&mut http, &url, &[("grant_type", "client_credentials")]);
            answer.expect(404);
        }
    }
    for path in [
        "/.well-known/oauth-authorization-server/t/rival",
        "/.well-known/oauth-authorization-server/t/nobody",
        "/.well-known/oauth-authorization-server/t/acme/x",
        "/.well-known/oauth-authorization-server/acme",
        "/.well-known/jwks.json/t/acme",
        "/t/acme/healthz",
        "/t/acme/readyz",
        "/t/acme/static/style.css",
        "/t/acme/t/acme/login",
        "/t/acme/t/rival/login",
        "/t/acme/nothing",
        "/t/acme/api/v1/me",
        "/t/acme/.well-known/oauth-authorization-server/t/acme",
    ] {
        let answer = http.get(&format!("{}{path}", stand.issuer()));
        assert_eq!(answer.status, 404, "{path}");
    }
    let mut wire = Line::open(&stand);
    for path in [
        "//t/acme/login",
        "/t//acme/login",
        "/t/acme//login",
        "/t/./acme/login",
        "/t/acme/../login",
        "/t/rival/../acme/login",
        "/t/%61cme/login",
        "/t/acme%2flogin",
        "/t/acme/login/",
        "/t/acme;x/login",
        "/%74/acme/login",
        "/t/acme%00/login",
        "/t/acme\\login",
    ] {
        let status = wire.get(path).status;
        assert!([400, 404].contains(&status), "{path}: {status}");
    }
    assert_eq!(digest(&stand), before);
}

/// Every address in a page, and where it redirects to.
fn addresses(response: &Response) -> Vec<String> {
    let text = response.text();
    let mut all: Vec<String> = ["href=\"", "action=\"", "src=\""]
        .iter()
        .flat_map(|attribute| text.split(attribute).skip(1))
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    all.extend(response.header("location").map(str::to_owned));
    all
}

#[track_caller]
fn assert_beneath(response: &Response) {
    for address in addresses(response) {
        let ours = ["/t/acme/", "/static/", "data:,"].iter().any(|own| address.starts_with(own));
        assert!(
            ours || address.starts_with(WEB.redirect) || address.starts_with("#"),
            "{address} in {}",
            response.text()
        );
    }
}

#[test]
fn pages_and_redirects_stay_beneath_the_issuer() {
    let stand = beside();
    let acme = At::acme(&stand);
    let mut browser = stand.browser();
    let ask = Ask::new(WEB).scope("openid orders:read").with("prompt", "consent");
    let mut url = acme.ask(&ask);
    let mut seen = 0;
    for _ in 0..6 {
        let response = browser.client().get(&url);
        assert_beneath(&response);
        let Some(next) = response.header("location") else { break };
        url = format!("{}{next}", stand.issuer());
        seen += 1;
    }
    assert!(seen >= 2);
    browser.open(&url);
    assert!(addresses(&browser.page().response).contains(&"/t/acme/login".to_owned()));
    browser.submit(&[("username", BEN), ("password", "wrong password, to see it again")]);
    assert_beneath(&browser.page().response);
    assert!(browser.page().url.starts_with(&acme.url("/")));
    browser.submit(&[("username", BEN), ("password", PASSWORD)]);
    assert!(asks_consent(browser.page()));
    assert!(browser.page().url.starts_with(&acme.url("/")), "{}", browser.page().url);
    assert_beneath(&browser.page().response);
    let done = browser.submit(&[("decision", "approve")]).clone();
    assert_eq!(done.away_parameter("iss"), Some(acme.issuer()));
    // What a person opens by hand, signed in and not.
    for mut browser in [browser, stand.browser()] {
        for path in [
            "",
            "/login",
            "/logout",
            "/enroll?token=x",
            "/consent",
            "/nothing",
            "/oauth/authorize?client_id=x",
        ] {
            let response = browser.client().get(&acme.url(path));
            assert_beneath(&response);
            assert!(response.status < 500);
        }
    }
    let front = stand.client().get(&acme.url(""));
    assert_eq!(front.location(), "/t/acme/login");
    let posted = stand.client().post(&acme.url("/oauth/authorize"), &ask.pairs());
    assert!(posted.location().starts_with("/t/acme/oauth/authorize?"), "{}", posted.location());
    let posted = stand.client().post(&acme.url("/oauth/logout"), &[("client_id", "web")]);
    assert!(posted.location().starts_with("/t/acme/oauth/logout?"), "{}", posted.location());
}

#[test]
fn the_whole_protocol_works_beneath_the_issuer() {
    let stand = beside();
    let acme = At::acme(&stand);
    for app in [TWIN, POST, SPA, WEB, OPAQUE] {
        println!("{}", app.id);
        let ask = Ask::new(app).scope("openid email offline_access");
        let mut browser = stand.browser();
        let code = acme.code(&mut browser, &ask, BEN);
        let one = Tokens::of(&acme.redeem(app, &code, &ask.pkce.verifier));
        let id = tokens::verify(&one.id, &acme.jwks(), &acme.issuer(), app.id).unwrap();
        let info = acme.userinfo(&one.access).expect(200).json();
        assert_eq!((&info["sub"], &info["email"]), (&id["sub"], &json!(BEN)));
        if app.secret.is_some() {
            let seen = acme.introspect(app, &one.access).expect(200).json();
            assert_eq!((&seen["active"], &seen["iss"]), (&json!(true), &json!(acme.issuer())));
            if app == POST {
                assert_eq!(seen["aud"], json!([acme.issuer()]), "without audiences of its own");
            }
        }
        let two = Tokens::of(&acme.refresh(app, &one.refresh));
        assert_eq!(tokens::claims(&two.id)["iss"], acme.issuer());
        let hint = two.id.as_str();
        let silent = ask.with("prompt", "none").with("id_token_hint", hint);
        let page = browser.open(&acme.ask(&silent)).clone();
        if app == WEB || app.secret.is_some() {
            assert!(page.away_parameter("code").is_some(), "{:?}", page.away);
        }
        acme.call(app, "/oauth/revoke", &[("token", &two.refresh)]).expect(200);
        assert_bearer_refused(&acme.userinfo(&two.access));
        let end = acme.url(&format!("/oauth/logout?{}", e2e::query(&[("id_token_hint", hint)])));
        let gone = browser.open(&end).clone();
        assert_eq!(gone.response.status, 200, "{}", gone.response.text());
        let late = browser.open(&acme.ask(&Ask::new(app).with("prompt", "none"))).clone();
        assert_eq!(late.away_parameter("error").as_deref(), Some("login_required"));
        assert_eq!(late.away_parameter("iss"), Some(acme.issuer()));
    }
}

#[test]
fn the_other_grants_work_beneath_the_issuer() {
    let stand = beside();
    let acme = At::acme(&stand);
    let own =
        Tokens::of(&acme.call(ROBOT, "/oauth/token", &[("grant_type", "client_credentials")]));
    let claims = tokens::verify(&own.access, &acme.jwks(), &acme.issuer(), OTHER).unwrap();
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!(acme.issuer()), &json!(ROBOT.id)));
    assert_eq!(acme.introspect(ORDERS, &own.access).json()["active"], true);

    let ask = Ask::new(PUSHER);
    let uri = acme.pushed(&ask);
    let page = walk(&mut stand.browser(), &acme.front(PUSHER.id, &uri), BEN);
    assert_eq!(page.away_parameter("iss"), Some(acme.issuer()));
    let code = page.away_parameter("code").unwrap();
    Tokens::of(&acme.redeem(PUSHER, &code, &ask.pkce.verifier));

    let subject = acme.issue(&Ask::new(TWIN), BEN);
    let acted = Tokens::of(&acme.exchange(BROKER, &subject.access));
    let claims = tokens::verify(&acted.access, &acme.jwks(), &acme.issuer(), OTHER).unwrap();
    assert_eq!((&claims["iss"], &claims["act"]["sub"]), (&json!(acme.issuer()), &json!(BROKER.id)));
    Tokens::of(&acme.exchange(MASK, &subject.access));
    let api = stand.client().get_with(&format!("{}/api/v1/me", stand.api()), bearer(&acted.access));
    assert_eq!(api.status, 401, "the management API believes the platform alone");
}

#[test]
fn w10_every_answer_names_the_issuer_that_it_comes_from() {
    let stand = beside();
    let (acme, root) = (At::acme(&stand), At::root(&stand));
    for (at, app) in [(acme, TWIN), (root, PLATFORM), (root, RIVAL)] {
        let mut browser = stand.browser();
        for ask in [
            Ask::new(app).scope("openid nothing"),
            Ask::new(app).with("prompt", "none"),
            Ask::new(app).with("response_type", "token"),
            Ask::new(app).without("code_challenge"),
            Ask::new(app).with("request", "e30"),
            Ask::new(app).with("id_token_hint", "e30"),
        ] {
            let page = browser.open(&at.ask(&ask)).clone();
            assert!(page.away_parameter("error").is_some(), "{:?}", ask.pairs());
            assert_eq!(page.away_parameter("iss"), Some(at.issuer()), "{:?}", ask.pairs());
        }
        let form = Ask::new(app).with("prompt", "none").with("response_mode", "form_post");
        let page = browser.open(&at.ask(&form)).clone();
        assert_eq!(page.field("iss"), Some(at.issuer()));
    }
    let mut browser = signed_in(&stand, BEN);
    browser.open(&acme.ask(&Ask::new(WEB).with("prompt", "consent")));
    let page = browser.submit(&[("decision", "deny")]).clone();
    assert_eq!(page.away_parameter("error").as_deref(), Some("access_denied"));
    assert_eq!(page.away_parameter("iss"), Some(acme.issuer()));
}

/// A client exists at its own issuer alone; elsewhere it is like one that nobody has heard of.
#[test]
fn w142_w143_a_client_is_unknown_at_another_issuer() {
    let stand = undisturbed();
    sql(&stand, "DELETE FROM throttles");
    let (acme, root) = (At::acme(&stand), At::root(&stand));
    let nobody = App { id: "nobody", ..TWIN };
    let ids = |answer: &Response| -> (u16, Vec<(String, String)>, String) {
        let own = answer.header("x-request-id").unwrap_or("none").to_owned();
        let headers = answer.headers.iter().filter(|(name, _)| {
            !["date", "x-request-id", "set-cookie", "content-length"].contains(&name.as_str())
        });
        (answer.status, headers.cloned().collect(), answer.text().replace(&own, "ID"))
    };
    let before = digest(&stand);
    for (at, apps) in
        [(root, [TWIN, POST, ROBOT, BROKER]), (acme, [RIVAL, PLATFORM, RIVAL_BROKER, PLATFORM])]
    {
        for app in apps {
            println!("{} at {}", app.id, at.issuer());
            for (path, form) in [
                ("/oauth/token", &[("grant_type", "client_credentials")][..]),
                ("/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", "x")]),
                ("/oauth/introspect", &[("token", "x")]),
                ("/oauth/revoke", &[("token", "x")]),
                ("/oauth/par", &Ask::new(app).pairs()[1..]),
            ] {
                let answer = at.call(app, path, form);
                assert_client_refused(&answer, !app.posts);
                let unknown = App { posts: app.posts, ..nobody };
                assert_eq!(ids(&answer), ids(&at.call(unknown, path, form)), "{path}");
                sql(&stand, "DELETE FROM throttles");
            }
            let page = stand.client().get(&at.ask(&Ask::new(app)));
            assert_page(&page);
            let unknown = stand.client().get(&at.ask(&Ask::new(app).with("client_id", "nobody")));
            assert_eq!(ids(&page), ids(&unknown));
            let end = at.url(&format!("/oauth/logout?client_id={}", app.id));
            assert_own_page(&stand.client().get(&end));
        }
    }
    for at in [root, acme] {
        let spa = if at.base.is_empty() { SPA } else { App { id: "nobody", ..SPA } };
        let answer = at.call(spa, "/oauth/token", &[("grant_type", "client_credentials")]);
        assert_client_refused(&answer, false);
    }
    sql(&stand, "DELETE FROM throttles");
    assert_eq!(digest(&stand), before);
}

/// Two issuers, each with a client, its tokens and a client that could want those of the other.
#[test]
fn w70_w142_w144_no_token_of_one_issuer_is_worth_anything_at_another() {
    let stand = beside();
    let (acme, root) = (At::acme(&stand), At::root(&stand));
    let scope = "openid email";
    for ((at, app, user), (other, stranger)) in [
        ((acme, TWIN, CLEO), (root, RIVAL)),
        ((acme, TWIN, CLEO), (root, PLATFORM)),
        ((root, RIVAL, CLEO), (acme, TWIN)),
        ((root, PLATFORM, CLEO), (acme, TWIN)),
    ] {
        println!("{} of {} by {}", app.id, at.issuer(), stranger.id);
        let one = at.issue(&Ask::new(app).scope(scope), user);
        assert_bearer_refused(&other.userinfo(&one.access));
        for token in [&one.access, &one.refresh, &one.id] {
            assert_inactive(&other.introspect(stranger, token));
            let answer = other.call(stranger, "/oauth/revoke", &[("token", token)]);
            assert!(answer.status == 200 || answer.json()["error"] == "unauthorized_client");
        }
        assert!(at.is_alive(app, &one.access), "nothing of it was revoked");
        for broker in if other.base.is_empty() { [RIVAL_BROKER; 2] } else { [BROKER, MASK] } {
            let answer = other.exchange(broker, &one.access);
            assert_no_token(&answer);
            assert_tok(&answer, "invalid_request");
        }
        // As a hint, at both doors that take one.
        let hinted = Ask::new(stranger).with("id_token_hint", &one.id).with("prompt", "none");
        let answer = stand.client().get(&other.ask(&hinted));
        assert_red(&answer, &stranger, "invalid_request", Some(&hinted.state));
        let pushed = other.call(stranger, "/oauth/par", &hinted.pairs());
        assert_tok(&pushed, "invalid_request");
        let end = other.url(&format!("/oauth/logout?id_token_hint={}", one.id));
        assert_own_page(&stand.client().get(&end));
        assert!(at.is_alive(app, &one.access));
        assert_tok(&other.refresh(stranger, &one.refresh), "invalid_grant");

        let waiting = Ask::new(app);
        let code = at.code(&mut stand.browser(), &waiting, user);
        let answer = other.redeem(stranger, &code, &waiting.pkce.verifier);
        assert_tok(&answer, "invalid_grant");
    }
}

/// The client's own name and secret do not open the other issuer either, and spend nothing there.
#[test]
fn w142_what_a_client_takes_to_the_wrong_issuer_is_still_good_at_the_right_one() {
    let stand = undisturbed();
    sql(&stand, "DELETE FROM throttles");
    let (acme, root) = (At::acme(&stand), At::root(&stand));
    for (at, app, other) in [(acme, TWIN, root), (root, PLATFORM, acme)] {
        let waiting = Ask::new(app);
        let code = at.code(&mut stand.browser(), &waiting, BEN);
        assert_client_refused(&other.redeem(app, &code, &waiting.pkce.verifier), true);
        let one = Tokens::of(&at.redeem(app, &code, &waiting.pkce.verifier));
        assert_client_refused(&other.refresh(app, &one.refresh), true);
        assert_client_refused(&other.introspect(app, &one.access), true);
        let revoked = other.call(app, "/oauth/revoke", &[("token", &one.refresh)]);
        assert_client_refused(&revoked, true);
        let two = Tokens::of(&at.refresh(app, &one.refresh));
        assert!(at.is_alive(app, &two.access));
    }
    sql(&stand, "DELETE FROM throttles");
}

fn is_refused(page: &Page) -> bool {
    page.away.is_none() && page.response.status >= 400
}

#[test]
fn w142_requests_that_were_begun_at_one_issuer_go_on_there_alone() {
    let stand = beside();
    let (acme, root) = (At::acme(&stand), At::root(&stand));
    for (at, app, other) in [(acme, TWIN, root), (root, PLATFORM, acme)] {
        // A pushed request.
        let ask = Ask::new(app);
        let uri = at.pushed(&ask);
        let mut browser = signed_in(&stand, CLEO);
        for id in [app.id, TWIN.id, RIVAL.id, PLATFORM.id] {
            let page = browser.open(&other.front(id, &uri)).clone();
            assert!(is_refused(&page), "{id} at {}: {:?}", other.issuer(), page.away);
            assert_page(&page.response);
        }
        let page = walk(&mut browser, &at.front(app.id, &uri), CLEO);
        assert_eq!(page.away_parameter("iss"), Some(at.issuer()));
        let code = page.away_parameter("code").unwrap();
        Tokens::of(&at.redeem(app, &code, &ask.pkce.verifier));

        // A handle, in the very browser that it is bound to; not signed in, so that it waits.
        let mut browser = stand.browser();
        let start = browser.client().get(&at.ask(&Ask::new(app)));
        let handle = start.location().rsplit_once('/').unwrap().1.to_owned();
        for path in ["/oauth/authorize/", "/login?interaction=", "/consent?interaction="] {
            let answer = browser.client().get(&other.url(&format!("{path}{handle}")));
            assert!(answer.status >= 400, "{path}: {}", answer.status);
            assert!(answer.header("location").is_none());
        }
        // A sign-in form that is sent to the other issuer does not carry it over.
        let page = browser.open(&at.url(&format!("/login?interaction={handle}"))).clone();
        assert!(asks_password(&page));
        let csrf = page.field("csrf").unwrap();
        let form = [
            ("csrf", csrf.as_str()),
            ("interaction", &handle),
            ("username", CLEO),
            ("password", PASSWORD),
        ];
        let headers =
            [("origin", stand.issuer().to_owned()), ("sec-fetch-site", "same-origin".to_owned())];
        let answer = browser.client().post_with(&other.url("/login"), &headers, &form);
        if answer.status == 303 {
            let next = browser.client().get(&format!("{}{}", stand.issuer(), answer.location()));
            assert!(next.status >= 400 || !next.location().contains("code="), "{:?}", next.headers);
        }
        let end = walk(&mut browser, &at.url(&format!("/oauth/authorize/{handle}")), CLEO);
        assert!(end.away_parameter("code").is_some(), "and it is good where it belongs");
    }
}

#[test]
fn w33_a_suspended_tenants_issuer_serves_nobody() {
    let stand = undisturbed();
    sql(&stand, "DELETE FROM throttles");
    let (acme, root) = (At::acme(&stand), At::root(&stand));
    let one = acme.issue(&Ask::new(TWIN), BEN);
    let platform = root.issue(&Ask::new(PLATFORM), BEN);
    sql(&stand, "UPDATE tenants SET status = 'suspended' WHERE slug = 'acme'");
    assert_client_refused(&acme.refresh(TWIN, &one.refresh), true);
    assert_client_refused(&acme.introspect(TWIN, &one.access), true);
    assert_eq!(acme.userinfo(&one.access).status, 401);
    assert_page(&stand.client().get(&acme.ask(&Ask::new(TWIN))));
    assert_client_refused(&root.introspect(TWIN, &one.access), true);
    assert!(root.is_alive(PLATFORM, &platform.access), "and nobody else notices");
    sql(&stand, "UPDATE tenants SET status = 'active' WHERE slug = 'acme'");
    sql(&stand, "DELETE FROM throttles");
    assert!(acme.is_alive(TWIN, &one.access));
}
