//! Every algorithm at every endpoint, and only for whom it is the registered method.

use e2e::{basic, tokens};
use serde_json::json;

use crate::key::{ALGORITHMS, Key, hs256};
use crate::support::deferred::{at_device, at_page};
use crate::support::*;
use crate::{DOORS, ITSELF, Rp, TYPE, form_of, post};

const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

#[test]
fn w87_every_algorithm_lets_its_client_in_at_every_endpoint_and_grant() {
    let stand = together();
    let ids = ["jwt-rs256", "jwt-ps256", "jwt-es256", "jwt-es384", "jwt-eddsa"];
    for (algorithm, id) in ALGORITHMS.into_iter().zip(ids) {
        println!("{algorithm}");
        let rp = Rp::seeded(&stand, id, algorithm);
        stand.seed(&json!({ "exchange_policies": [{ "client_id": id, "subject_audience": OTHER,
            "target_audience": OTHER, "mode": "delegation" }] }));
        let token = |form: e2e::Form<'_>| Tokens::of(&rp.call(&stand, "/oauth/token", form));

        let ask = Ask::new(rp.app);
        let mut pairs = ask.pairs();
        pairs.retain(|(name, _)| *name != "client_id");
        let pushed = rp.call(&stand, "/oauth/par", &pairs).expect(201).json();
        let uri = pushed["request_uri"].as_str().unwrap();
        let query = e2e::query(&[("client_id", id), ("request_uri", uri)]);
        let url = format!("{}/oauth/authorize?{query}", stand.issuer());
        let code = walk(&mut stand.browser(), &url, BEN).away_parameter("code").unwrap();
        let first = token(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", rp.app.redirect),
            ("code_verifier", &ask.pkce.verifier),
        ]);
        let jwks = stand.client().get(&format!("{}/.well-known/jwks.json", stand.issuer())).json();
        tokens::verify(&first.id, &jwks, stand.issuer(), id).unwrap();
        let second = token(&[("grant_type", "refresh_token"), ("refresh_token", &first.refresh)]);
        let own = token(&ITSELF);
        assert_eq!(tokens::claims(&own.access)["sub"], id);
        let exchanged = token(&[
            ("grant_type", EXCHANGE),
            ("subject_token", &second.access),
            ("subject_token_type", ACCESS),
        ]);
        assert_eq!(tokens::claims(&exchanged.access)["act"]["sub"], id);

        let device = rp.call(&stand, "/oauth/device_authorization", &[("scope", "openid")]).json();
        let mut browser = at_device(&stand, BEN);
        browser.submit(&[("user_code", device["user_code"].as_str().unwrap())]);
        browser.submit(&[("decision", "approve")]);
        token(&[("grant_type", DEVICE), ("device_code", device["device_code"].as_str().unwrap())]);

        let asked = [("scope", "openid"), ("login_hint", CLEO)];
        let ciba = rp.call(&stand, "/oauth/bc-authorize", &asked).expect(200).json();
        at_page(&stand, "/ciba", CLEO).submit(&[("decision", "approve")]);
        token(&[("grant_type", CIBA), ("auth_req_id", ciba["auth_req_id"].as_str().unwrap())]);

        let seen = |access: &str| rp.call(&stand, "/oauth/introspect", &[("token", access)]).json();
        assert_eq!(seen(&second.access)["active"], true);
        rp.call(&stand, "/oauth/revoke", &[("token", &second.access)]).expect(200);
        assert_eq!(seen(&second.access)["active"], false);
    }
    let discovery =
        stand.client().get(&format!("{}/.well-known/openid-configuration", stand.issuer())).json();
    for name in ["token", "introspection", "revocation"] {
        let methods = &discovery[format!("{name}_endpoint_auth_methods_supported")];
        assert!(methods.as_array().unwrap().contains(&json!("private_key_jwt")), "{methods}");
        let offered = &discovery[format!("{name}_endpoint_auth_signing_alg_values_supported")];
        let mut offered: Vec<&str> =
            offered.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        offered.sort_unstable();
        assert_eq!(offered, ["ES256", "ES384", "EdDSA", "PS256", "RS256"]);
    }
}

#[test]
fn w87_only_the_registered_method_counts_and_two_at_once_are_a_mistake() {
    let stand = alone();
    let rp = Rp::seeded(&stand, "jwt-only", "ES256");
    let secret = "0123456789abcdef0123456789abcdef-secret";
    let before = digest(&stand);
    for door in DOORS {
        println!("{door}");
        let url = format!("{}{door}", stand.issuer());
        let ask = |headers: &[(&str, String)], more: &[(&str, &str)]| {
            let form = [&form_of(door)[..], more].concat();
            let answer = stand.client().post_with(&url, headers, &form);
            assert_always(&url, &answer);
            answer
        };
        let (id, post) = (("client_id", rp.app.id), ("client_secret", secret));
        let assertion = rp.assertion(&stand);
        let signed = ("client_assertion", &*assertion);
        let head = basic(rp.app.id, secret);
        assert_client_refused(&ask(std::slice::from_ref(&head), &[]), true);
        assert_client_refused(&ask(&[], &[id, post]), false);
        assert_client_refused(&ask(&[], &[id]), false);
        assert_tok(&ask(std::slice::from_ref(&head), &[TYPE, signed]), "invalid_request");
        assert_tok(&ask(&[], &[TYPE, signed, id, post]), "invalid_request");
        assert_tok(&ask(&[], &[TYPE, signed, signed]), "invalid_request");
        assert_tok(&ask(&[], &[TYPE, TYPE, signed]), "invalid_request");
        // Half of it, or of another kind, is no method at all.
        let saml = (TYPE.0, "urn:ietf:params:oauth:client-assertion-type:saml2-bearer");
        let upper = (TYPE.0, "URN:IETF:PARAMS:OAUTH:CLIENT-ASSERTION-TYPE:JWT-BEARER");
        for half in [&[signed][..], &[TYPE], &[TYPE, id], &[saml, signed], &[upper, signed]] {
            assert_client_refused(&ask(&[], half), false);
        }
        // W74: somebody else's name beside it, or one in another spelling.
        for other in [TWIN.id, SPA.id, "JWT-ONLY", "nobody"] {
            assert_client_refused(&ask(&[], &[TYPE, signed, ("client_id", other)]), false);
        }
        // Whoever is registered for another method gains nothing by a signature, nor by an HMAC with its secret.
        for app in [TWIN, POST, SPA] {
            let claims = json!({ "iss": app.id, "sub": app.id, "aud": stand.issuer(),
                "exp": crate::now(&stand) + 60, "jti": random() });
            let hmac = app.secret.unwrap_or_default().as_bytes();
            for text in [
                rp.key.assertion(&claims),
                hs256(hmac, &json!({ "alg": "HS256" }), &claims),
                hs256(hmac, &json!({ "alg": "ES256" }), &claims),
            ] {
                let answer = ask(&[], &[TYPE, ("client_assertion", &text)]);
                assert_client_refused(&answer, false);
            }
        }
    }
    assert_eq!(digest(&stand), before);
    // What was refused beside something else is not used up: nobody was let in by it.
    let assertion = rp.assertion(&stand);
    let mixed = [("client_id", TWIN.id), ITSELF[0]];
    assert_client_refused(&post(&stand, "/oauth/token", &assertion, &mixed), false);
    let named = [("client_id", rp.app.id), ITSELF[0]];
    post(&stand, "/oauth/token", &assertion, &named).expect(200);
}

#[test]
fn w73_a_client_that_is_registered_so_may_name_the_endpoint() {
    let stand = together();
    let key = || Key::new("ES256", "k");
    let (strict, lax) = (
        Rp { app: crate::app("aud-strict"), key: key() },
        Rp { app: crate::app("aud-lax"), key: key() },
    );
    let mut metadata = crate::metadata(lax.app, &json!([lax.key.jwk()]));
    metadata["assertion_audience_endpoint"] = true.into();
    let other = crate::metadata(strict.app, &json!([strict.key.jwk()]));
    stand.seed(&json!({ "clients": [metadata, other] }));
    let issuer = stand.issuer();
    for door in DOORS {
        let (here, token) = (format!("{issuer}{door}"), format!("{issuer}/oauth/token"));
        let elsewhere = format!("{issuer}/oauth/elsewhere");
        for (aud, ok) in [
            (json!(issuer), true),
            (json!(here), true),
            (json!(token), true),
            (json!([here]), true),
            (json!([issuer]), true),
            (json!([issuer, here]), false),
            (json!(elsewhere), false),
            (json!(format!("{here}/")), false),
            (json!(format!("{here}?a=b")), false),
            (json!(here.to_uppercase()), false),
            (json!([]), false),
        ] {
            println!("{aud} at {door}");
            let of = |rp: &Rp| {
                let mut claims = rp.claims(&stand);
                claims["aud"] = aud.clone();
                let answer = post(&stand, door, &rp.key.assertion(&claims), &form_of(door));
                if answer.status == 401 {
                    assert_client_refused(&answer, false);
                }
                // The third request for a person who is nobody waits like any other; more are too many.
                [200, 201, 429].contains(&answer.status)
            };
            assert_eq!(of(&lax), ok);
            assert_eq!(of(&strict), aud == issuer);
        }
    }
}
