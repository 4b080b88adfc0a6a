//! `/account` as a person uses it.

use e2e::{Browser, Page, Stand};

use super::{PASSWORD, asks_password};

/// The page `/account` in a browser that is signed in a moment ago.
#[track_caller]
pub(crate) fn open_account(stand: &Stand, browser: &mut Browser, user: &str) -> Page {
    browser.open(&format!("{}/account", stand.issuer()));
    if asks_password(browser.page()) {
        browser.submit(&[("username", user), ("password", PASSWORD)]);
    }
    let page = browser.page().clone();
    assert!(page.url.ends_with("/account"), "{}: {}", page.url, page.response.text());
    page
}

/// The token of the one form that leads to `action` and holds `text`, such as a button's value.
pub(crate) fn csrf_of(page: &Page, action: &str, text: &str) -> String {
    let html = page.response.text();
    let form = html
        .split("<form")
        .map(|part| part.split("</form>").next().unwrap_or_default())
        .find(|form| form.contains(&format!("action=\"{action}\"")) && form.contains(text))
        .unwrap_or_else(|| panic!("no form {action} with {text}: {html}"));
    let (_, rest) = form.split_once("name=\"csrf\" value=\"").expect("a token");
    rest.split('"').next().expect("a value").to_owned()
}
