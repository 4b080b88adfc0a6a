//! W155: what is not an access token for this API opens nothing, and how such a token looks.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::people::{MEMBER, PLATFORM_ADMIN, app, console, plain};
use e2e::{Client, tokens};
use serde_json::json;

use crate::{admin_token, own_stand, owner, signed_in, stand, text, unauthenticated};

fn with_header(value: &str) -> e2e::Response {
    let url = format!("{}/api/v1/me", stand().api());
    stand().client().send("GET", &url, &[("authorization", value.to_owned())], b"")
}

#[test]
fn w155_no_other_token_of_the_issuer_opens_the_management_api() {
    let got = signed_in(stand(), PLATFORM_ADMIN);
    let ordinary = app(stand()).tokens(&mut stand().browser(), MEMBER);
    let no_admin = plain(stand()).tokens(&mut stand().browser(), PLATFORM_ADMIN);
    let (code, _) = console(stand()).code(&mut stand().browser(), PLATFORM_ADMIN);
    for (what, token) in [
        ("an ID token", text(&got, "id_token")),
        ("a refresh token", text(&got, "refresh_token")),
        ("a code", &code),
        ("a tenant's access token", text(&ordinary, "access_token")),
        ("a tenant's ID token", text(&ordinary, "id_token")),
        ("an access token for the issuer", text(&no_admin, "access_token")),
        ("nothing", ""),
        ("a word", "x"),
        ("dots", "..."),
        ("JSON", "{}"),
    ] {
        unauthenticated(&with_header(&format!("Bearer {token}")), what);
    }
    let token = text(&got, "access_token");
    for value in [
        String::new(),
        token.to_owned(),
        format!("Basic {token}"),
        format!("DPoP {token}"),
        "Bearer".to_owned(),
        format!("Bearer: {token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer {token},Bearer {token}"),
        format!("Bearer \"{token}\""),
        format!("Bearer token={token}"),
    ] {
        unauthenticated(&with_header(&value), &value);
    }
    let twice = [
        ("authorization", format!("Bearer {token}")),
        ("authorization", format!("Bearer {token}")),
    ];
    let url = format!("{}/api/v1/me", stand().api());
    unauthenticated(&stand().client().send("GET", &url, &twice, b""), "two headers");
    let in_query = format!("{url}?access_token={token}");
    unauthenticated(&stand().client().get(&in_query), "in the query");
    unauthenticated(
        &stand().client().post(&url.replace("/me", "/keys"), &[("access_token", token)]),
        "in the body",
    );
    with_header(&format!("Bearer {token}")).expect(200);
}

#[test]
fn w155_a_token_that_was_changed_anywhere_opens_nothing() {
    let token = admin_token(stand());
    let parts: Vec<&str> = token.split('.').collect();
    let url = format!("{}/api/v1/me", stand().api());
    let mut client: Client = stand().client();
    let mut refused = |what: &str, token: &str| {
        unauthenticated(&client.get_with(&url, e2e::bearer(token)), what);
    };
    for at in (0..token.len()).step_by(7).filter(|at| token.as_bytes()[*at] != b'.') {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        // The last character of a part may hold unused bits; then the signature stands, and must not be read
        // leniently.
        refused(&format!("changed at {at}"), std::str::from_utf8(&changed).unwrap());
    }
    for cut in [1, 2, 10, parts[2].len(), parts[2].len() + 1] {
        refused("cut", &token[..token.len() - cut]);
    }
    for more in ["=", "A", ".", ".x", "~"] {
        refused("longer", &format!("{token}{more}"));
    }
    let header = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let kid = text(&tokens::header(&token), "kid").to_owned();
    for head in [
        json!({ "alg": "none", "typ": "at+jwt" }),
        json!({ "alg": "none", "typ": "at+jwt", "kid": kid }),
        json!({ "alg": "HS256", "typ": "at+jwt", "kid": kid }),
        json!({ "alg": "RS256", "typ": "at+jwt", "kid": kid }),
        json!({ "alg": "ES256", "typ": "JWT", "kid": kid }),
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": "../../etc/passwd" }),
    ] {
        let head = header(head);
        refused("another header", &format!("{head}.{}.{}", parts[1], parts[2]));
        refused("no signature", &format!("{head}.{}.", parts[1]));
    }
    let other = admin_token(stand());
    let others: Vec<&str> = other.split('.').collect();
    refused("another's signature", &format!("{}.{}.{}", parts[0], parts[1], others[2]));
    refused("endless", &format!("{token}{}", "A".repeat(9000)));
}

#[test]
fn an_administrators_token_is_for_this_api_alone_and_lives_five_minutes_at_most() {
    let stand = own_stand();
    // Whatever the client's own lifetime says.
    owner(
        &stand,
        "UPDATE clients SET metadata = metadata || '{\"access_token_lifetime\": 86400}' WHERE client_id = 'console'",
    );
    let got = signed_in(&stand, PLATFORM_ADMIN);
    assert!(got["expires_in"].as_u64().unwrap() <= 300, "{}", got["expires_in"]);
    let token = text(&got, "access_token");
    let claims = tokens::claims(token);
    assert!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap() <= 300, "{claims}");
    assert_eq!(claims["aud"], stand.api());
    assert_eq!(claims["iss"], stand.issuer());
    assert_eq!(claims["client_id"], "console");
    assert!(
        claims["sid"].is_string() && claims["jti"].is_string() && claims["auth_time"].is_number(),
        "{claims}"
    );
    let header = tokens::header(token);
    assert_eq!((text(&header, "typ"), text(&header, "alg")), ("at+jwt", "ES256"));
    // A key of its own class: nothing else is signed by it.
    let class = owner(
        &stand,
        &format!("SELECT class FROM signing_keys WHERE kid = '{}'", text(&header, "kid")),
    );
    assert_eq!(class, "admin");
    let ordinary = app(&stand).tokens(&mut stand.browser(), MEMBER);
    for name in ["access_token", "id_token"] {
        let kid = text(&tokens::header(text(&ordinary, name)), "kid").to_owned();
        assert_ne!(kid, text(&header, "kid"));
    }
    assert_ne!(text(&tokens::header(text(&got, "id_token")), "kid"), text(&header, "kid"));
    // And it is no key to the public plane: userinfo is for the issuer's own audience.
    let stored = owner(&stand, "SELECT max(extract(epoch FROM expires_at - issued_at)) <= 300 FROM access_tokens a
        WHERE audiences @> ARRAY(SELECT jsonb_array_elements_text(metadata->'audiences') FROM clients WHERE client_id = 'console')");
    assert_eq!(stored, "t");
}
