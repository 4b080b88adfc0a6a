//! Requests of a race, each addressed to a node.

use e2e::{Browser, Racer, Response, Stand, Track, basic, query};
use url::Url;

use super::{App, Ask};

/// A POST by an app, addressed to a node.
pub(crate) fn post(
    stand: &Stand,
    node: usize,
    app: App,
    (path, form): (&str, e2e::Form<'_>),
) -> Racer {
    let client = stand.client_of(node);
    let url = Url::parse(&format!("{}{path}", stand.issuer())).unwrap();
    let mut headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
    let mut form = form.to_vec();
    match app.secret {
        Some(secret) => headers.push(basic(app.id, secret)),
        None => form.push(("client_id", app.id)),
    }
    let bytes = client.kept_bytes("POST", &url, &headers, query(&form).as_bytes());
    Racer { address: client.address(&url), bytes }
}

pub(crate) fn redeeming(stand: &Stand, node: usize, ask: &Ask, code: &str) -> Racer {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", ask.app.redirect),
        ("code_verifier", ask.pkce.verifier.as_str()),
    ];
    post(stand, node, ask.app, ("/oauth/token", &form))
}

pub(crate) fn refreshing(stand: &Stand, node: usize, app: App, token: &str) -> Racer {
    post(
        stand,
        node,
        app,
        ("/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]),
    )
}

/// The request that a form of the browser's page makes, addressed to a node.
pub(crate) fn pressing(
    stand: &Stand,
    browser: &mut Browser,
    node: usize,
    (path, form): (&str, e2e::Form<'_>),
) -> Racer {
    let url = Url::parse(&format!("{}{path}", stand.issuer())).unwrap();
    let headers = [("content-type", "application/x-www-form-urlencoded".to_owned())];
    let bytes = browser.client().kept_bytes("POST", &url, &headers, query(form).as_bytes());
    Racer { address: stand.client_of(node).address(&url), bytes }
}

/// A race in which each is first now and then; the answers come in the order of the racers all the same.
pub(crate) fn race_turned(track: &mut Track, racers: &[Racer], round: usize) -> Vec<Response> {
    let by = round % racers.len();
    let mut turned = racers.to_vec();
    turned.rotate_left(by);
    let mut answers = track.race(&turned);
    answers.rotate_right(by);
    answers
}
