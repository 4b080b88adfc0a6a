//! A tenant with an issuer of its own (security.md W10, W71, W142–W144): everything works beneath it, nothing of it
//! works elsewhere, and nothing from elsewhere works there.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
#[path = "../support/mod.rs"]
mod support;

mod across;
mod beneath;

use std::collections::BTreeSet;
use std::sync::{OnceLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use e2e::bench::until;
use e2e::{Browser, Form, Response, Stand, bearer, tokens};
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
        stand.wait_for_keys();
        let jwks = format!("{}{BASE}/.well-known/jwks.json", stand.issuer());
        until("the tenant's issuer has its keys", Duration::from_secs(90), || {
            let answer = stand.client().get(&jwks);
            let keys = (answer.status == 200).then(|| answer.json())?;
            let algorithms: BTreeSet<_> =
                keys["keys"].as_array()?.iter().map(|key| key["alg"].to_string()).collect();
            (algorithms.len() == 5).then_some(())
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
