//! Who asks, and with what (security.md, groups B and E): client authentication, and tokens that are almost
//! the right one.

#![expect(
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::{Stand, basic};
use serde_json::json;
use support::*;

const ENDPOINTS: [&str; 3] = ["/oauth/token", "/oauth/introspect", "/oauth/revoke"];

/// A form that is good at every endpoint but for who sends it.
const FORM: [(&str, &str); 3] =
    [("grant_type", "refresh_token"), ("refresh_token", "nothing"), ("token", "nothing")];

/// What the endpoint says to whoever it believes.
fn is_believed(response: &e2e::Response) -> bool {
    response.status == 200
        || (response.status == 400 && response.json()["error"] == "invalid_grant")
}

#[test]
fn w87_a_client_authenticates_as_it_is_registered_and_in_no_other_way() {
    let stand = alone();
    let before = digest(&stand);
    let jwt = ("client_assertion", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ0d2luIn0.");
    let kind = ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    for endpoint in ENDPOINTS {
        let url = format!("{}{endpoint}", stand.issuer());
        for app in [TWIN, POST, SPA] {
            let secret = app.secret.unwrap_or("0123456789abcdef0123456789abcdef-secret");
            let head = basic(app.id, secret);
            let (id, post) = (("client_id", app.id), ("client_secret", secret));
            let mut client = stand.client();
            let mut ask = |headers: &[(&str, String)], more: &[(&str, &str)]| {
                let answer = client.post_with(&url, headers, &[&FORM[..], more].concat());
                assert_always(&url, &answer);
                answer
            };
            println!("{} at {endpoint}", app.id);
            let by_basic = ask(std::slice::from_ref(&head), &[]);
            let by_post = ask(&[], &[id, post]);
            let by_name = ask(&[], &[id]);
            assert_eq!(is_believed(&by_basic), app == TWIN, "{}", by_basic.text());
            assert_eq!(is_believed(&by_post), app == POST, "{}", by_post.text());
            // A public client has nothing to ask introspection with; elsewhere its name is enough.
            if app == SPA && endpoint != "/oauth/introspect" {
                assert!(is_believed(&by_name), "{}", by_name.text());
            } else if app != SPA {
                assert_client_refused(&by_name, false);
            }
            if app != TWIN {
                assert_client_refused(&by_basic, true);
            }
            if app != POST {
                assert_client_refused(&by_post, false);
            }
            assert_client_refused(&ask(&[], &[]), false);
            assert_client_refused(&ask(&[], &[("client_id", "")]), false);
            // Two at once are a mistake, even if each is right.
            assert_tok(&ask(std::slice::from_ref(&head), &[id, post]), "invalid_request");
            assert_tok(&ask(std::slice::from_ref(&head), &[post]), "invalid_request");
            assert_tok(&ask(std::slice::from_ref(&head), &[jwt, kind]), "invalid_request");
            assert_tok(&ask(&[], &[id, post, jwt, kind]), "invalid_request");
            // An assertion is nobody's registered method here.
            let asserted = ask(&[], &[id, jwt, kind]);
            assert!(!is_believed(&asserted) && asserted.status < 500, "{}", asserted.text());
            // Basic for one client, `client_id` of another.
            let mixed = ask(std::slice::from_ref(&head), &[("client_id", BRIEF.id)]);
            assert!(!is_believed(&mixed), "{}", mixed.text());
        }
    }
    assert_eq!(digest(&stand), before);
}

#[test]
fn w129_an_unknown_client_and_a_wrong_secret_get_the_same_bytes() {
    let stand = together();
    for endpoint in ENDPOINTS {
        let url = format!("{}{endpoint}", stand.issuer());
        let mut client = stand.client();
        let mut plain = |headers: &[(&str, String)], more: &[(&str, &str)]| {
            let answer = client.post_with(&url, headers, &[&FORM[..], more].concat());
            let headers: Vec<_> = answer
                .headers
                .iter()
                .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
                .cloned()
                .collect();
            (answer.status, headers, answer.text())
        };
        let wrong = plain(&[basic(TWIN.id, "wrong")], &[]);
        for id in ["twix", POST.id, SPA.id, "no such client", ""] {
            assert_eq!(plain(&[basic(id, "wrong")], &[]), wrong, "{id}");
        }
        let wrong = plain(&[], &[("client_id", POST.id), ("client_secret", "wrong")]);
        for id in ["posy", TWIN.id, SPA.id] {
            assert_eq!(plain(&[], &[("client_id", id), ("client_secret", "wrong")]), wrong, "{id}");
        }
    }
}

#[test]
fn w88_basic_is_decoded_strictly() {
    let stand = together();
    let special = App {
        id: "special",
        secret: Some("p:%41+ &=\"ü漢;~ and enough of other characters"),
        redirect: "https://special.example.org/cb",
        posts: false,
    };
    stand.seed(&json!({ "clients": [client(special, &json!({}))] }));
    let url = format!("{}/oauth/token", stand.issuer());
    let mut http = stand.client();
    let mut ask = |headers: &[(&str, String)]| {
        let answer = http.post_with(&url, headers, &FORM);
        assert_always(&url, &answer);
        answer
    };
    let of = |text: &[u8]| ("authorization", format!("Basic {}", STANDARD.encode(text)));
    let secret = special.secret.unwrap();
    let good = basic(special.id, secret);
    assert!(is_believed(&ask(std::slice::from_ref(&good))));
    assert!(
        is_believed(&ask(&[("authorization", good.1.replace("Basic", "bAsIc"))])),
        "RFC 9110 §11.1"
    );

    let raw = |id: &str, secret: &str| of(format!("{id}:{secret}").as_bytes());
    let twin = TWIN.secret.unwrap();
    let encoded = good.1.strip_prefix("Basic ").unwrap();
    for bad in [
        raw(special.id, secret),
        raw(TWIN.id, &format!("{twin}%")),
        raw(TWIN.id, &format!("{twin}%zz")),
        raw(TWIN.id, &format!("{twin}%4")),
        raw(TWIN.id, &format!("{twin}%00")),
        raw(TWIN.id, &format!(" {twin}")),
        raw(TWIN.id, &format!("{twin} ")),
        raw(TWIN.id, ""),
        raw("", twin),
        raw("", ""),
        of(b""),
        of(b":"),
        of(TWIN.id.as_bytes()),
        of(b"twin\xff:\xff"),
        of(b"twin\0:x"),
        of(b"%c0%af:%c0%af"),
        ("authorization", "Basic".into()),
        ("authorization", "Basic ".into()),
        ("authorization", "Basic !!!".into()),
        ("authorization", format!("Basic {encoded}=")),
        ("authorization", format!("Basic {encoded} x")),
        ("authorization", format!("Basic  {}", encoded.replace('=', "%3D"))),
        ("authorization", format!("Basic {}", &encoded[..encoded.len() - 3])),
        ("authorization", format!("Basic, {encoded}")),
        ("authorization", format!("Digest {encoded}")),
        ("authorization", format!("Bearer {encoded}")),
        ("authorization", encoded.to_owned()),
        ("authorization", String::new()),
    ] {
        println!("{bad:?}");
        let answer = ask(std::slice::from_ref(&bad));
        answer.expect(401);
        assert_error_body(&answer, "invalid_client");
    }
    ask(&[good.clone(), good.clone()]).expect(400);
    ask(&[good, basic(TWIN.id, twin)]).expect(400);
}

/// Everything that is almost a token: cut, longer, another case, another alphabet, padded, encoded.
fn variants(token: &str, most: usize) -> Vec<String> {
    let mut all = BTreeSet::new();
    let step = (token.len() / 300).max(1);
    for at in (0..token.len()).step_by(step) {
        let (before, after) = token.split_at(at);
        let c = after.as_bytes()[0];
        all.insert(before.to_owned());
        all.insert(after.to_owned());
        for other in [
            c ^ 0x20,
            c ^ 1,
            c.wrapping_add(1),
            b'A',
            b'_',
            b'-',
            b'+',
            b'/',
            b'=',
            b'%',
            b'.',
            b'0',
            b'z',
            b'~',
        ] {
            if other.is_ascii_graphic() {
                all.insert(format!("{before}{}{}", char::from(other), &after[1..]));
            }
        }
        for inserted in ["=", "A", " ", "%00", "\u{200b}", "\t"] {
            all.insert(format!("{before}{inserted}{after}"));
        }
        all.insert(format!("{before}%{c:02x}{}", &after[1..]));
    }
    for tail in [
        "=", "==", "A", "AA", ".", "\0", "\n", "\r\n", " ", "%20", "\u{feff}", token, "~", "&x=1",
        "#",
    ] {
        all.insert(format!("{token}{tail}"));
        all.insert(format!("{tail}{token}"));
    }
    all.extend([
        token.to_uppercase(),
        token.to_lowercase(),
        token.replace('_', "/"),
        token.replace('-', "+"),
    ]);
    all.extend([format!("\"{token}\""), token.chars().rev().collect(), token.replacen('_', "", 1)]);
    all.remove(token);
    all.remove("");
    all.into_iter().take(most).collect()
}

/// For what a header can carry.
fn in_header(text: &str) -> bool {
    text.bytes().all(|b| (b' '..=b'~').contains(&b)) && text.trim() == text
}

#[test]
fn w27_no_variant_of_a_token_is_the_token() {
    let stand = alone();
    let live = issue(&stand, &Ask::new(TWIN).scope("openid offline_access"), BEN);
    let before = digest(&stand);
    let mut wire = Line::open(&stand);
    let header = basic(TWIN.id, TWIN.secret.unwrap());
    let by_twin = [(header.0, header.1.as_str())];
    let refreshes = variants(&live.refresh, 1300);
    for bad in &refreshes {
        let form = [("grant_type", "refresh_token"), ("refresh_token", bad.as_str())];
        let answer = wire.post("/oauth/token", &by_twin, &form);
        assert_eq!(answer.status, 400, "{bad:?}: {}", answer.text());
        assert_no_token(&answer);
        if !bad.contains('\0') {
            assert_tok(&answer, "invalid_grant");
        }
    }
    let accesses = variants(&live.access, 3000);
    for (number, bad) in accesses.iter().enumerate() {
        if number % 2 == 0 && !bad.contains('\0') {
            assert_inactive(&wire.post("/oauth/introspect", &by_twin, &[("token", bad)]));
        } else if in_header(bad) && !bad.contains(' ') {
            let bearer = format!("Bearer {bad}");
            assert_bearer_refused(&wire.ask(
                "GET",
                "/oauth/userinfo",
                &[("authorization", &bearer)],
                b"",
            ));
        }
    }
    assert!(
        refreshes.len() > 1000 && accesses.len() > 2000,
        "{} {}",
        refreshes.len(),
        accesses.len()
    );
    assert_eq!(digest(&stand), before);
    assert!(is_alive(&stand, TWIN, &live.access));
    Tokens::of(&TWIN.refresh(&stand, &live.refresh));
}

#[test]
fn w27_no_variant_of_a_code_a_session_or_a_secret_is_the_right_one() {
    let stand = alone();
    let mut browser = signed_in(&stand, BEN);
    let ask = Ask::new(TWIN);
    let code = code_in(&stand, &mut browser, &ask, BEN);
    let session = browser.client().cookies()["__Host-opentrusty_session"].clone();
    let before = digest(&stand);
    let mut wire = Line::open(&stand);
    let header = basic(TWIN.id, TWIN.secret.unwrap());
    for bad in variants(&code, 600).iter().filter(|bad| !bad.contains('\0')) {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", bad.as_str()),
            ("redirect_uri", TWIN.redirect),
            ("code_verifier", &ask.pkce.verifier),
        ];
        assert_tok(&wire.post("/oauth/token", &[(header.0, &header.1)], &form), "invalid_grant");
    }
    for bad in variants(&session, 800)
        .iter()
        .filter(|bad| in_header(bad) && !bad.contains([';', ',', '"']))
    {
        let cookie = format!("__Host-opentrusty_session={bad}");
        let page = wire.ask("GET", "/login", &[("cookie", &cookie)], b"");
        assert!(page.text().contains("name=\"password\""), "{bad:?} is a session");
    }
    for bad in variants(TWIN.secret.unwrap(), 600).iter().filter(|bad| !bad.contains('\0')) {
        let head = basic(TWIN.id, bad);
        assert_client_refused(&wire.post("/oauth/token", &[(head.0, &head.1)], &FORM), true);
    }
    assert_eq!(digest(&stand), before);
    Tokens::of(&TWIN.redeem(&stand, &code, &ask.pkce.verifier));
    assert!(session_is_alive(&stand, &session));
}

fn session_is_alive(stand: &Stand, session: &str) -> bool {
    let mut client = stand.client();
    client.put_cookie("__Host-opentrusty_session", session);
    !client.get(&format!("{}/login", stand.issuer())).text().contains("name=\"password\"")
}
