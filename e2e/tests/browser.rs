//! People at a real browser: Debian's Chromium signs in, is looked over by axe, and is attacked by another site.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail where the test fails"
)]

#[path = "../foreign/program.rs"]
mod program;

use std::sync::OnceLock;

use e2e::authority::Certificates;
use e2e::bench::free_port;
use e2e::{Options, Stand};
use program::Program;
use serde_json::{Value, json};

const USER: &str = "user@example.com";
/// As long as addresses are in practice at worst, without a place to break the line.
const LONG_USER: &str = "a.person.with.a.very.long.address.and.no.place.to.break.it@a-domain-that-is-quite-long-too.example.com";
const ADMIN: &str = "admin@example.com";
const PASSWORD: &str = "four plain words suffice";
const NEW_PASSWORD: &str = "another handful of words";

/// One installation for all scenes, each of which has profiles of its own.
fn stand() -> &'static Stand {
    static STAND: OnceLock<Stand> = OnceLock::new();
    STAND.get_or_init(|| {
        let set = vec![("authd.password_reset", "true")];
        let stand = Stand::start(&Options { set, ..Options::default() });
        let user = |email: &str| {
            json!({
                "email": email, "password": PASSWORD, "email_verified": true,
                "memberships": [{"tenant": "example", "roles": []}],
            })
        };
        let client = |id: &str, name: &str, tenant: Option<&str>| {
            json!({
                "tenant": tenant, "client_id": id, "client_name": name,
                // The port is whichever is free (RFC 8252 §7.3).
                "redirect_uris": ["http://127.0.0.1/callback"],
                "grant_types": ["authorization_code", "refresh_token"],
                "token_endpoint_auth_method": "none",
                "scope": "openid profile email offline_access",
            })
        };
        stand.seed(&json!({
            "tenants": [{"slug": "example", "name": "Example"}, {"slug": "other", "name": "Other Company"}],
            "users": [user(USER), user(LONG_USER)],
            "clients": [
                client("app", "Example App", Some("example")),
                client("long", &"Wordwithoutbreak".repeat(6), Some("example")),
                client("platform-app", "Platform App", None),
            ],
            "invitations": [{"tenant": "other", "email": LONG_USER}],
        }));
        stand
    })
}

/// Play a scene of `foreign/node/browser/scenes.mjs`.
fn scene(words: &[&str]) -> Value {
    program(words).run()
}

fn program(words: &[&str]) -> Program {
    Program::new(stand(), "node", &[&["browser.mjs"], words].concat())
        .with("USER", USER)
        .with("LONG_USER", LONG_USER)
        .with("PASSWORD", PASSWORD)
        .with("NEW_PASSWORD", NEW_PASSWORD)
        .with("CLIENT_ID", "app")
        .with("LONG_CLIENT_ID", "long")
}

/// Nothing in the console, no redirect but 303 (W19), nothing asked of anybody else.
fn assert_quiet(seen: &Value) {
    assert_eq!(seen["trouble"], json!([]), "{seen}");
    assert_eq!(seen["redirects"], json!([303]), "{seen}");
    assert_eq!(seen["elsewhere"], json!([]), "{seen}");
}

fn assert_response(seen: &Value, method: &str, expected: &Value) {
    assert_eq!(seen["method"], method, "{seen}");
    let sent = seen["parameters"].as_object().expect("parameters");
    let mut members: Vec<&str> = sent.keys().map(String::as_str).collect();
    members.sort_unstable();
    let mut names: Vec<&str> =
        expected.as_object().expect("names").keys().map(String::as_str).collect();
    names.extend(["iss", "state"]);
    names.sort_unstable();
    assert_eq!(members, names, "{seen}");
    assert_eq!(sent["iss"], stand().issuer(), "{seen}");
    assert_eq!(sent["state"], "state-of-the-application", "{seen}");
    // Referrer-Policy: the page that the person came from says nothing to the application.
    assert_eq!(seen["referer"], Value::Null, "{seen}");
}

fn assert_sign_in(seen: &Value) {
    assert_quiet(seen);
    assert_eq!(seen["heading"], "Sign in", "{seen}");
    assert_eq!(seen["wrong"]["role"], "alert", "{seen}");
    assert_eq!(seen["wrong"]["username"], USER, "the address stays: {seen}");
    assert_eq!(seen["wrong"]["password"], "", "the password does not: {seen}");
    assert_eq!(seen["wrong"]["addresses_with_password"], json!([]), "{seen}");
    assert_eq!(seen["consent"]["account"], USER, "{seen}");
    let destination = seen["consent"]["destination"].as_str().expect("a destination");
    assert!(destination.starts_with("http://127.0.0.1:"), "{seen}");
    let mut scopes: Vec<&str> = seen["consent"]["scopes"]
        .as_array()
        .expect("scopes")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    scopes.sort_unstable();
    assert_eq!(scopes, ["email", "offline_access", "openid", "profile"], "{seen}");
    assert_response(&seen["approved"], "GET", &json!({"code": ""}));
    assert_response(&seen["declined"], "GET", &json!({"error": "", "error_description": ""}));
    assert_eq!(seen["declined"]["parameters"]["error"], "access_denied", "{seen}");
    assert_cookies(&seen["cookies"]);
}

fn assert_cookies(seen: &Value) {
    let cookies = seen.as_array().expect("cookies");
    assert_eq!(cookies.len(), 2, "{seen}");
    for cookie in cookies {
        let name = cookie["name"].as_str().expect("a name");
        assert!(name.starts_with("__Host-"), "{seen}");
        for held in ["httpOnly", "secure"] {
            assert_eq!(cookie[held], true, "{held}: {cookie}");
        }
        // What signs in goes when the browser is closed; what a browser is known by stays (W132).
        assert_eq!(cookie["session"], name == "__Host-opentrusty_session", "{cookie}");
        assert_eq!(cookie["path"], "/", "{cookie}");
        // A leading dot would mean that subdomains get it too.
        assert_eq!(cookie["domain"], "localhost", "{cookie}");
        assert_eq!(cookie["sameSite"], "Lax", "{cookie}");
    }
}

/// Every view of every page: no violation of any rule of axe, no sideways scrolling, dark when asked.
fn assert_looks(pages: &Value) {
    let pages = pages.as_array().expect("pages");
    let mut wrong = Vec::new();
    for page in pages {
        let name = &page["name"];
        assert_eq!(page["lang"], "en", "{name}");
        assert!(
            page["title"].as_str().is_some_and(|title| title.ends_with(" · OpenTrusty")),
            "{page}"
        );
        let views = page["views"].as_array().expect("views");
        assert_eq!(views.len(), 4, "{name}");
        for view in views {
            let dark = view["scheme"] == "dark";
            let fine = view["violations"] == json!([])
                && view["undecided"] == json!([])
                && view["passed"].as_u64().is_some_and(|passed| passed > 10)
                && view["scrolls_sideways"] == false
                && view["beyond"] == json!([])
                && view["small"] == json!([])
                && view["paper_is_dark"] == dark;
            if !fine {
                wrong.push(format!("{name} {view}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_person_signs_in_agrees_and_declines() {
    let seen = scene(&["sign_in", "script"]);
    assert_sign_in(&seen);
    assert_eq!(seen["focus"], "username", "{seen}");
    assert_eq!(seen["cookies_of_script"], "", "{seen}");
}

#[test]
fn w125_a_person_signs_in_agrees_and_declines_without_script() {
    assert_sign_in(&scene(&["sign_in", "no-script"]));
}

#[test]
fn a_form_post_response_sends_itself_where_scripts_run() {
    let seen = scene(&["form_post", "script"]);
    assert_quiet(&seen);
    assert_response(&seen["approved"], "POST", &json!({"code": ""}));
}

#[test]
fn a_form_post_response_has_a_button_where_they_do_not() {
    let seen = scene(&["form_post", "no-script"]);
    assert_quiet(&seen);
    assert_eq!(seen["heading"], "Almost there", "{seen}");
    assert_response(&seen["approved"], "POST", &json!({"code": ""}));
}

#[test]
fn every_page_is_accessible_narrow_and_wide_by_day_and_night() {
    let seen = scene(&["pages"]);
    assert_eq!(seen["pages"].as_array().map(Vec::len), Some(16), "{seen}");
    assert_looks(&seen["pages"]);
    assert_eq!(seen["elsewhere"], json!([]), "{seen}");
    assert_eq!(seen["cookies_after_logout"], json!(["__Host-opentrusty_browser"]), "{seen}");
}

#[test]
fn an_enrolment_link_sets_a_password_once() {
    let output = stand().cli().args(["bootstrap", "--email", ADMIN]).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let link =
        said.split_whitespace().find(|word| word.contains("/enroll?token=")).expect("a link");
    let seen = program(&["enrol"]).with("ENROL_URL", link).with("CLIENT_ID", "platform-app").run();
    assert_eq!(seen["account"], ADMIN, "{seen}");
    assert_eq!(seen["pages"].as_array().map(Vec::len), Some(3), "{seen}");
    assert_looks(&seen["pages"]);
    assert!(!seen["weak"].as_str().unwrap_or_default().is_empty(), "{seen}");
    assert_eq!(seen["signed_in_as"], ADMIN, "{seen}");
    assert_eq!(seen["again"], "This link is no longer valid", "{seen}");
    assert_eq!(seen["elsewhere"], json!([]), "{seen}");
}

#[test]
fn w111_no_page_is_shown_in_a_frame() {
    let seen = scene(&["framed"]);
    let frames = seen.as_object().expect("frames");
    assert_eq!(frames.len(), 5, "{seen}");
    for (name, frame) in frames {
        assert_eq!(*frame, json!({"shown": false, "refused": true}), "{name}: {seen}");
    }
}

#[test]
fn w112_forms_and_images_of_another_site_change_nothing() {
    let seen = scene(&["forged"]);
    let expected = json!({"/login": 403, "/logout": 403, "/consent": 403, "/enroll": 403});
    assert_eq!(seen["statuses"], expected, "{seen}");
    assert_eq!(seen["still_asked"], true, "{seen}");
    assert_eq!(seen["still"], format!("as {USER}."), "{seen}");
    assert_eq!(seen["cookies_are_the_same"], true, "{seen}");
}

#[test]
fn w120_the_back_button_finds_nothing_that_works() {
    let seen = scene(&["back"]);
    assert_eq!(seen["heading"], "This sign-in is over", "{seen}");
    assert_eq!(seen["forms"], 0, "{seen}");
    assert_eq!(seen["addresses_with_password"], json!([]), "{seen}");
}

/// oidc-client-ts: nothing of it works unless CORS says exactly what it should.
#[test]
fn a_page_of_another_origin_signs_in_renews_and_signs_out_by_itself() {
    let origin = format!("https://127.0.0.1:{}", free_port());
    let at = |path: &str| format!("{origin}{path}");
    stand().seed(&json!({"clients": [{
        "tenant": "example", "client_id": "single-page", "client_name": "Single Page",
        "redirect_uris": [at("/callback"), at("/silent"), at("/popup")],
        "post_logout_redirect_uris": [at("/signed-out")],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
        "scope": "openid profile email offline_access",
    }]}));
    let leaf = Certificates::copied().new_leaf("authd");
    let seen = program(&["single_page"])
        .with("CLIENT_ID", "single-page")
        .with("SPA_ORIGIN", &origin)
        .with("TLS", leaf.folder.to_str().expect("a name in UTF-8"))
        .run();

    let first = &seen["first"];
    assert_eq!(first["profile"]["iss"], stand().issuer(), "{seen}");
    assert_eq!(first["profile"]["aud"], "single-page", "{seen}");
    assert_eq!(first["profile"]["email"], USER, "{seen}");
    let fine = json!({"status": 200, "email": USER});
    assert_eq!(seen["userinfo"], fine, "{seen}");
    let renewed = json!({
        "same_subject": true, "access_token_changed": true, "refresh_token_changed": true, "userinfo": fine,
    });
    assert_eq!(seen["renewed"], renewed, "{seen}");
    assert_eq!(seen["in_frame"]["error"], "login_required", "{seen}");
    assert_eq!(seen["in_popup"], json!({"same_subject": true, "error": null}), "{seen}");
    assert_eq!(seen["windows"], 1, "the popup is gone: {seen}");
    assert_eq!(seen["trouble"], json!([]), "{seen}");

    assert_eq!(seen["signed_out"], "leaving", "{seen}");
    assert_eq!(seen["kept"], Value::Null, "{seen}");
    assert_eq!(seen["dead"], json!({"status": 401}), "{seen}");
    assert_eq!(seen["asked_again"], true, "{seen}");
    // W121: whom nobody registered may read what is public and no more; nobody authenticates as nobody.
    assert_eq!(seen["readable"], json!({"token": 401, "discovery": 200}), "{seen}");
    assert_eq!(seen["stranger"], json!({"token": "unreadable", "discovery": 200}), "{seen}");
}
