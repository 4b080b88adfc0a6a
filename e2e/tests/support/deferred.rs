//! Requests that a person decides elsewhere, as a device and that person drive them.

use e2e::{Browser, Page, Response, Stand};

use super::{App, CIBA, DEVICE, PASSWORD, assert_always};

/// What a device was told.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) app: App,
    pub(crate) secret: String,
    pub(crate) user_code: String,
    pub(crate) complete: String,
}

/// A device asks for a code.
#[track_caller]
pub(crate) fn device(stand: &Stand, app: App, scope: &str) -> Device {
    let reply =
        app.call(stand, "/oauth/device_authorization", &[("scope", scope)]).expect(200).json();
    let text = |name: &str| reply[name].as_str().unwrap().to_owned();
    assert_eq!(reply["verification_uri"], format!("{}/device", stand.issuer()));
    Device {
        app,
        secret: text("device_code"),
        user_code: text("user_code"),
        complete: text("verification_uri_complete"),
    }
}

impl Device {
    /// Ask for the tokens.
    #[track_caller]
    pub(crate) fn poll(&self, stand: &Stand) -> Response {
        self.app.poll_device(stand, &self.secret)
    }

    /// Let it in, or not, as somebody who signs in for it.
    #[track_caller]
    pub(crate) fn decide(&self, stand: &Stand, user: &str, decision: &str) -> Page {
        let mut browser = at_device(stand, user);
        browser.submit(&[("user_code", &self.user_code)]);
        browser.submit(&[("decision", decision)]).clone()
    }
}

impl App {
    #[track_caller]
    pub(crate) fn poll_device(&self, stand: &Stand, code: &str) -> Response {
        self.call(stand, "/oauth/token", &[("grant_type", DEVICE), ("device_code", code)])
    }

    #[track_caller]
    pub(crate) fn poll_ciba(&self, stand: &Stand, id: &str) -> Response {
        self.call(stand, "/oauth/token", &[("grant_type", CIBA), ("auth_req_id", id)])
    }

    /// Ask for a person who is elsewhere.
    #[track_caller]
    pub(crate) fn ask_for(&self, stand: &Stand, user: &str, more: e2e::Form<'_>) -> Response {
        let form = [&[("scope", "openid"), ("login_hint", user)], more].concat();
        self.call(stand, "/oauth/bc-authorize", &form)
    }
}

/// The `auth_req_id` of a request that was taken.
#[track_caller]
pub(crate) fn auth_req_id(answer: &Response) -> String {
    answer.expect(200).json()["auth_req_id"].as_str().unwrap().to_owned()
}

/// A browser that has opened a page which asks for a sign-in first, and signed in.
#[track_caller]
pub(crate) fn at_page(stand: &Stand, path: &str, user: &str) -> Browser {
    let mut browser = stand.browser();
    let page = browser.open(&format!("{}{path}", stand.issuer())).clone();
    assert!(page.field("password").is_some(), "{} {}", page.url, page.response.text());
    let page = browser.submit(&[("username", user), ("password", PASSWORD)]).clone();
    assert_always(&page.url, &page.response);
    browser
}

/// A browser at the page that asks for a device's code.
#[track_caller]
pub(crate) fn at_device(stand: &Stand, user: &str) -> Browser {
    let browser = at_page(stand, "/device", user);
    assert!(browser.page().field("user_code").is_some(), "{}", browser.page().response.text());
    browser
}

/// Make everybody's sign-in older than deciding allows.
pub(crate) fn age_sign_ins(stand: &Stand) {
    super::sql(stand, "UPDATE sessions SET auth_time = now() - interval '301 s'");
}
