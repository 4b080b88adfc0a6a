//! Apache httpd with `mod_auth_openidc`: people at a page of its own, programs at its interface.

use e2e::{Browser, Response, bearer, query};
use serde_json::{Value, json};

use crate::key::Key;
use crate::server::{Prepared, Server};
use crate::{PASSWORD, SECRET, USER, access_token, party, register, register_resource, stand};

const PASSPHRASE: &str = "what the module keeps its state under";

/// The web server as one client.
struct Httpd {
    server: Server,
    client_id: &'static str,
}

/// How a web server is a client.
struct Way {
    client_id: &'static str,
    response_mode: &'static str,
    id_token_alg: &'static str,
    key: Option<Key>,
}

impl Way {
    fn start(self) -> Httpd {
        let api = format!("{}-api", self.client_id);
        register_resource(&api);
        let prepared = Prepared::new(stand(), "httpd", 2)
            .with("CLIENT_ID", self.client_id)
            .with("CLIENT_SECRET", SECRET)
            .with("RESPONSE_MODE", self.response_mode)
            .with("ID_TOKEN_ALG", self.id_token_alg)
            .with("PASSPHRASE", PASSPHRASE)
            .with("API_ID", &api)
            .with("API_SECRET", SECRET);
        let origin = prepared.origin();
        let mut metadata = json!({
            "redirect_uris": [format!("{origin}/callback")],
            "post_logout_redirect_uris": [format!("{origin}/signed-out.html")],
            "id_token_signed_response_alg": self.id_token_alg,
        });
        let prepared = match &self.key {
            None => prepared,
            Some(key) => {
                metadata["client_secret"] = Value::Null;
                metadata["token_endpoint_auth_method"] = "private_key_jwt".into();
                metadata["jwks"] = key.jwks();
                // The module names the token endpoint as the audience of what it signs.
                metadata["assertion_audience_endpoint"] = true.into();
                prepared.with("KEY", key.file()).with("KEY_ID", key.id())
            }
        };
        register(self.client_id, &metadata);
        Httpd { server: prepared.start(), client_id: self.client_id }
    }
}

impl Httpd {
    fn at(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.server.port(0))
    }

    /// What the module keeps of the person's session.
    fn info(&self, browser: &mut Browser) -> Value {
        browser.open(&self.at("/callback?info=json")).response.expect(200).json()
    }

    /// A bearer token at an interface of the server.
    fn call(&self, port: usize, token: &str) -> Response {
        let url = format!("https://localhost:{}/api/", self.server.port(port));
        stand().client().get_with(&url, bearer(token))
    }

    /// From a private page to the issuer, and back by whichever way it answers.
    fn sign_in(&self, browser: &mut Browser) {
        let asked = browser.open(&self.at("/private/")).away();
        assert_eq!(asked.origin().ascii_serialization(), stand().issuer());
        for (name, value) in [("code_challenge_method", "S256"), ("client_id", self.client_id)] {
            let sent = asked.query_pairs().find(|(known, _)| known == name);
            assert_eq!(sent.expect(name).1, value, "{asked}");
        }
        browser.open(asked.as_str());
        browser.submit(&[("username", USER), ("password", PASSWORD)]);
        browser.submit(&[("decision", "approve")]);
        match browser.page().away.clone() {
            Some(callback) => browser.open(&callback),
            // The page that posts itself where scripts run.
            None => browser.submit(&[]),
        };
        let page = browser.page();
        assert_eq!(page.url, self.at("/private/"), "{}", page.response.text());
        assert_eq!(page.response.expect(200).header("x-user"), Some(USER));
        assert_eq!(page.response.header("x-email"), Some(USER));
        assert!(page.response.text().contains("private"));
    }

    /// The module's own page for it: it revokes what it has and leads through our logout.
    fn sign_out(&self, browser: &mut Browser) {
        let signed_out = self.at("/signed-out.html");
        let leave = self.at(&format!("/callback?{}", query(&[("logout", &signed_out)])));
        let at_issuer = browser.open(&leave).away();
        let names: Vec<String> =
            at_issuer.query_pairs().map(|(name, _)| name.into_owned()).collect();
        assert_eq!(names, ["id_token_hint", "post_logout_redirect_uri"], "{at_issuer}");
        let back = browser.open(at_issuer.as_str()).away();
        assert_eq!(back.as_str(), signed_out);
        assert!(browser.open(back.as_str()).response.expect(200).text().contains("signed out"));
    }
}

/// A person signs in, what the module holds is renewed, and sign-out ends all of it.
fn goes_all_the_way(httpd: &Httpd) {
    let mut browser = stand().browser();
    httpd.sign_in(&mut browser);

    let first = httpd.info(&mut browser);
    assert_eq!(first["id_token"]["iss"], stand().issuer(), "{first}");
    assert_eq!(first["id_token"]["aud"], httpd.client_id, "{first}");
    assert_eq!(first["userinfo"]["sub"], first["id_token"]["sub"], "{first}");
    assert_eq!(first["userinfo"]["email"], USER, "{first}");
    assert_eq!(first["userinfo"]["name"], "Given Family", "{first}");

    let old = first["access_token"].as_str().expect("an access token");
    let private = httpd.at("/private/");
    let renew = query(&[("refresh", &private), ("access_token", old)]);
    let page = browser.open(&httpd.at(&format!("/callback?{renew}")));
    assert_eq!(page.url, private, "no error is told: {}", page.response.text());
    let second = httpd.info(&mut browser);
    for renewed in ["access_token", "refresh_token"] {
        assert!(second[renewed].is_string(), "{renewed}: {second}");
        assert_ne!(second[renewed], first[renewed], "{renewed}");
    }
    let live = second["access_token"].as_str().expect("an access token").to_owned();
    let userinfo = format!("{}/oauth/userinfo", stand().issuer());
    stand().client().get_with(&userinfo, bearer(&live)).expect(200);

    httpd.sign_out(&mut browser);
    stand().client().get_with(&userinfo, bearer(&live)).expect(401);
    let asked = browser.open(&httpd.at("/private/")).away();
    assert!(browser.open(asked.as_str()).field("password").is_some(), "signed out with us too");
}

#[test]
fn httpd_signs_people_in_and_out_with_a_secret() {
    let way = Way { client_id: "httpd", response_mode: "query", id_token_alg: "RS256", key: None };
    goes_all_the_way(&way.start());
}

#[test]
fn httpd_signs_people_in_and_out_with_a_key_by_form_post() {
    let way = Way {
        client_id: "httpd-key",
        response_mode: "form_post",
        id_token_alg: "ES256",
        key: Some(Key::new("httpd-key-1")),
    };
    goes_all_the_way(&way.start());
}

#[test]
fn httpd_does_not_take_another_sites_response() {
    let way =
        Way { client_id: "httpd-forged", response_mode: "query", id_token_alg: "RS256", key: None };
    let httpd = way.start();
    let mut attacker = stand().browser();
    let asked = attacker.open(&httpd.at("/private/")).away();
    attacker.open(asked.as_str());
    attacker.submit(&[("username", USER), ("password", PASSWORD)]);
    let callback = attacker.submit(&[("decision", "approve")]).away();
    // The code of one browser in another: the module has set no state there.
    let mut victim = stand().browser();
    let page = victim.open(callback.as_str());
    assert_ne!(page.response.status, 200, "{}", page.response.text());
    assert_eq!(page.response.header("x-user").filter(|user| !user.is_empty()), None);
    let asked = victim.open(&httpd.at("/private/")).away();
    assert_eq!(asked.origin().ascii_serialization(), stand().issuer(), "still nobody there");
}

#[test]
fn httpd_takes_bearer_tokens_that_are_meant_for_it_while_they_live() {
    let way =
        Way { client_id: "httpd-bearer", response_mode: "query", id_token_alg: "RS256", key: None };
    let httpd = way.start();
    register("meant", &json!({"audiences": ["httpd-bearer-api"]}));
    register("not-meant", &json!({}));
    let mut browser = stand().browser();
    let meant = access_token(&mut browser, "meant");
    let not_meant = access_token(&mut browser, "not-meant");
    let (asked, alone) = (0, 1);
    for port in [asked, alone] {
        let answer = httpd.call(port, &meant);
        assert!(answer.expect(200).header("x-user").is_some_and(|user| !user.is_empty()));
        httpd.call(port, "nothing-that-was-issued").expect(401);
        httpd.call(port, &not_meant).expect(401);
    }
    party("meant").revoke(browser.client(), &meant).expect(200);
    // Who asks hears of it at once; who looks at the signature alone does not before it expires.
    httpd.call(asked, &meant).expect(401);
    httpd.call(alone, &meant).expect(200);
}
