//! The code flow as a relying party and a person drive it.

use e2e::{Browser, Client, Page, Pkce, Response, Stand, basic, bearer};
use serde_json::Value;

use super::{App, PASSWORD, assert_always};

/// An authorization request: good unless a test makes it otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) app: App,
    pub(crate) pkce: Pkce,
    pub(crate) state: String,
    pub(crate) nonce: String,
    pairs: Vec<(String, String)>,
}

/// 43 characters that nobody guesses.
pub(crate) fn random() -> String {
    Pkce::new().verifier
}

impl Ask {
    pub(crate) fn new(app: App) -> Self {
        let (pkce, state, nonce) = (Pkce::new(), random(), random());
        let pairs = [
            ("client_id", app.id),
            ("response_type", "code"),
            ("redirect_uri", app.redirect),
            ("scope", "openid"),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &pkce.challenge),
            ("code_challenge_method", "S256"),
        ];
        let pairs = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Self { app, pkce, state, nonce, pairs }
    }

    /// Set a parameter in place of what it had.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        match self.pairs.iter_mut().find(|(own, _)| own == name) {
            Some((_, own)) => value.clone_into(own),
            None => self.pairs.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Add a parameter, though it may be there already.
    pub(crate) fn and(mut self, name: &str, value: &str) -> Self {
        self.pairs.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.pairs.retain(|(own, _)| own != name);
        self
    }

    pub(crate) fn scope(self, scope: &str) -> Self {
        self.with("scope", scope)
    }

    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()
    }

    /// Path and query.
    pub(crate) fn target(&self) -> String {
        format!("/oauth/authorize?{}", e2e::query(&self.pairs()))
    }

    pub(crate) fn url(&self, stand: &Stand) -> String {
        format!("{}{}", stand.issuer(), self.target())
    }

    /// The request sent by nobody in particular.
    #[track_caller]
    pub(crate) fn send(&self, stand: &Stand) -> Response {
        let response = stand.client().get(&self.url(stand));
        assert_always("authorize", &response);
        response
    }
}

impl App {
    /// POST to one of our endpoints, authenticated as the app does.
    #[track_caller]
    pub(crate) fn post(&self, client: &mut Client, url: &str, form: e2e::Form<'_>) -> Response {
        let mut form = form.to_vec();
        let mut headers = Vec::new();
        match self.secret {
            None => form.push(("client_id", self.id)),
            Some(secret) if self.posts => {
                form.extend([("client_id", self.id), ("client_secret", secret)]);
            }
            Some(secret) => headers.push(basic(self.id, secret)),
        }
        let response = client.post_with(url, &headers, &form);
        assert_always(url, &response);
        response
    }

    /// The same, from a new client of the stand.
    #[track_caller]
    pub(crate) fn call(&self, stand: &Stand, path: &str, form: e2e::Form<'_>) -> Response {
        self.post(&mut stand.client(), &format!("{}{path}", stand.issuer()), form)
    }

    /// Redeem a code.
    #[track_caller]
    pub(crate) fn redeem(&self, stand: &Stand, code: &str, verifier: &str) -> Response {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.redirect),
            ("code_verifier", verifier),
        ];
        self.call(stand, "/oauth/token", &form)
    }

    /// Refresh.
    #[track_caller]
    pub(crate) fn refresh(&self, stand: &Stand, token: &str) -> Response {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.call(stand, "/oauth/token", &form)
    }

    /// A token for the app itself (RFC 6749 §4.4), with more parameters.
    #[track_caller]
    pub(crate) fn grant_itself(&self, stand: &Stand, more: e2e::Form<'_>) -> Response {
        let form = [&[("grant_type", "client_credentials")], more].concat();
        self.call(stand, "/oauth/token", &form)
    }

    #[track_caller]
    pub(crate) fn introspect(&self, stand: &Stand, token: &str) -> Response {
        self.call(stand, "/oauth/introspect", &[("token", token)])
    }

    #[track_caller]
    pub(crate) fn revoke(&self, stand: &Stand, token: &str) -> Response {
        self.call(stand, "/oauth/revoke", &[("token", token)])
    }
}

/// GET userinfo with a bearer token.
#[track_caller]
pub(crate) fn userinfo(stand: &Stand, token: &str) -> Response {
    let url = format!("{}/oauth/userinfo", stand.issuer());
    let response = stand.client().get_with(&url, bearer(token));
    assert_always(&url, &response);
    response
}

/// What a token endpoint gave.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) id: String,
    pub(crate) refresh: String,
    pub(crate) reply: Value,
}

impl Tokens {
    /// From a 200; what is missing is empty.
    #[track_caller]
    pub(crate) fn of(response: &Response) -> Self {
        let reply = response.expect(200).json();
        let text = |name: &str| reply[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(reply["token_type"], "Bearer", "{reply}");
        Self {
            access: text("access_token"),
            id: text("id_token"),
            refresh: text("refresh_token"),
            reply,
        }
    }
}

/// Open an authorization request, sign in and agree wherever that is asked, and stop at what comes then.
#[track_caller]
pub(crate) fn walk(browser: &mut Browser, url: &str, user: &str) -> Page {
    browser.open(url);
    go_on(browser, user)
}

/// The same from the page that is shown.
#[track_caller]
pub(crate) fn go_on(browser: &mut Browser, user: &str) -> Page {
    for _ in 0..4 {
        let page = browser.page().clone();
        assert_always(&page.url, &page.response);
        if asks_password(&page) {
            browser.submit(&[("username", user), ("password", PASSWORD)]);
        } else if asks_consent(&page) {
            browser.submit(&[("decision", "approve")]);
        } else {
            return page;
        }
    }
    panic!("{user} is asked again and again: {}", browser.page().response.text());
}

pub(crate) fn asks_password(page: &Page) -> bool {
    page.away.is_none() && page.field("password").is_some()
}

pub(crate) fn asks_consent(page: &Page) -> bool {
    page.away.is_none() && page.response.text().contains("name=\"decision\"")
}

/// A code for a request, in a browser that may be signed in already.
#[track_caller]
pub(crate) fn code_in(stand: &Stand, browser: &mut Browser, ask: &Ask, user: &str) -> String {
    let page = walk(browser, &ask.url(stand), user);
    page.away_parameter("code").unwrap_or_else(|| panic!("no code: {:?}", page.away))
}

/// A code for a request, in a new browser.
#[track_caller]
pub(crate) fn code(stand: &Stand, ask: &Ask, user: &str) -> String {
    code_in(stand, &mut stand.browser(), ask, user)
}

/// Tokens for a request, in a browser that may be signed in already.
#[track_caller]
pub(crate) fn issue_in(stand: &Stand, browser: &mut Browser, ask: &Ask, user: &str) -> Tokens {
    let code = code_in(stand, browser, ask, user);
    Tokens::of(&ask.app.redeem(stand, &code, &ask.pkce.verifier))
}

/// Tokens for a request, in a new browser.
#[track_caller]
pub(crate) fn issue(stand: &Stand, ask: &Ask, user: &str) -> Tokens {
    issue_in(stand, &mut stand.browser(), ask, user)
}

/// A browser with a session of somebody.
#[track_caller]
pub(crate) fn signed_in(stand: &Stand, user: &str) -> Browser {
    let mut browser = stand.browser();
    browser.open(&format!("{}/login", stand.issuer()));
    browser.submit(&[("username", user), ("password", PASSWORD)]);
    assert!(!asks_password(browser.page()), "{}", browser.page().response.text());
    browser
}

/// Is an access token with `openid` alive? Introspection and userinfo must say the same.
#[track_caller]
pub(crate) fn is_alive(stand: &Stand, app: App, access: &str) -> bool {
    let active = app.introspect(stand, access).expect(200).json()["active"] == true;
    let served = userinfo(stand, access).status == 200;
    assert_eq!(active, served, "introspection and userinfo differ");
    active
}
