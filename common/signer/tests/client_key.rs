//! Client assertions through the whole judgement, with real signatures (security.md, W78–W84): every line of
//! `jws_vectors.json` says which key an assertion names, who makes its signature and how, what is then done
//! to it, and whether the client may come in. Keys are made anew for every run.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test support")]

mod vectors;

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth::Timestamp;
use oauth::client::{Client, Draft, Evidence, Metadata, Presented};
use oauth::form::{Form, encode};
use oauth::jwk::{InvalidKey, Key};
use serde_json::{Value, json};

use vectors::{Case, Keys};

const ISSUER: &str = "https://as.example";

fn client(jwks: &Value) -> Client {
    let draft: Draft = serde_json::from_value(json!({
        "redirect_uris": ["https://a.example/cb"],
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": jwks
    }))
    .unwrap();
    Client {
        key: "00000000-0000-0000-0000-000000000000".parse().unwrap(),
        id: "app".parse().unwrap(),
        tenant: None,
        metadata: Metadata::try_from(draft).unwrap(),
    }
}

fn comes_in(client: Client, assertion: &str) -> bool {
    let body = format!(
        "client_assertion={}&client_assertion_type={}",
        encode(assertion),
        oauth::assertion::TYPE
    );
    let Ok(presented) = Presented::parse(None, &Form::parse(body.as_bytes()).unwrap()) else {
        return false;
    };
    let evidence = Evidence {
        secrets: &[],
        fetched: None,
        issuer: ISSUER,
        endpoint: "https://as.example/oauth/token",
        now: Timestamp(0),
    };
    let outcome = client.authenticate(&presented, &evidence, signer::client_key::verify);
    outcome.is_ok_and(|(_, proven)| proven.is_some())
}

#[test]
fn w78_w79_w82_w84_only_the_registered_key_and_algorithm_let_a_client_in() {
    let keys = Keys::generate();
    let client = client(&keys.jwks());
    let cases: Vec<Case> = serde_json::from_str(include_str!("jws_vectors.json")).unwrap();
    let mut wrong = BTreeMap::new();
    for case in &cases {
        let assertion = case.assertion(&keys);
        let outcome = comes_in(client.clone(), &assertion);
        if outcome != case.accepted {
            wrong.insert(&case.name, assertion);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let good: BTreeSet<_> =
        cases.iter().filter(|case| case.accepted).map(|case| &*case.alg).collect();
    assert_eq!(good, BTreeSet::from(["ES256", "ES384", "EdDSA", "PS256", "RS256"]));
    let names: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), cases.len());
}

#[test]
fn w82_a_point_beside_its_curve_is_no_key() {
    let registered = Keys::generate().jwks();
    for key in registered["keys"].as_array().unwrap() {
        assert_eq!(signer::client_key::check(&Key::parse(key).unwrap()), Ok(()), "{key}");
        if key["kty"] == "EC" {
            // Both within the field; x in the place of y is a point with probability 2^-255.
            let mut off = key.clone();
            off["y"] = off["x"].clone();
            let off = Key::parse(&off).unwrap();
            assert_eq!(signer::client_key::check(&off), Err(InvalidKey::Point));
        }
    }
}

#[test]
fn a_key_of_small_order_would_verify_anything_and_has_no_representation() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let signature = [identity, [0; 32]].concat();
    for text in ["one text", "another"] {
        let key = UnparsedPublicKey::new(&ED25519, identity);
        assert!(key.verify(text.as_bytes(), &signature).is_ok(), "else the rule is idle");
    }
    let x = URL_SAFE_NO_PAD.encode(identity);
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    assert_eq!(Key::parse(&key), Err(InvalidKey::Point));
}
