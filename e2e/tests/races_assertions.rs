//! One assertion many times at one instant (security.md, W75): two nodes on one database, at one endpoint and at
//! several.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::{Racer, Response, Stand, field, rounds};
use host::clock::now_s;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use support::arena::*;
use support::racing::*;
use support::*;

/// Proves itself with a key.
const SIGNER: App =
    App { id: "signer", secret: None, posts: false, redirect: "https://signer.example.org/cb" };
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The key of `SIGNER`, in PKCS #8.
fn key() -> &'static EncodingKey {
    static KEY: OnceLock<EncodingKey> = OnceLock::new();
    KEY.get_or_init(|| {
        let made = Command::new("openssl")
            .args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let pem = String::from_utf8(made.stdout).unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        EncodingKey::from_ec_der(&STANDARD.decode(body).unwrap())
    })
}

/// Two nodes, one test at a time: a race wants the machine to itself.
fn two_nodes() -> MutexGuard<'static, Stand> {
    static STAND: OnceLock<Mutex<Stand>> = OnceLock::new();
    let stand = STAND.get_or_init(|| {
        let stand = populated(2);
        let jwk = Jwk::from_encoding_key(key(), Algorithm::ES256).unwrap();
        let signer = client(
            SIGNER,
            &json!({
                "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [jwk] },
                "grant_types": ["authorization_code", "client_credentials"],
                "scope": "openid orders:read", "audiences": ["orders-api"]
            }),
        );
        stand.seed(&json!({ "clients": [signer] }));
        Mutex::new(stand)
    });
    stand.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `SIGNER` says of itself, once.
fn assertion(stand: &Stand, jti: &str) -> String {
    let now = now_s();
    let claims = json!({ "iss": SIGNER.id, "sub": SIGNER.id, "aud": stand.issuer(), "iat": now,
        "exp": now + 120, "jti": jti });
    encode(&Header::new(Algorithm::ES256), &claims, key()).unwrap()
}

/// A request by `SIGNER`, addressed to a node.
fn asserted(
    stand: &Stand,
    node: usize,
    assertion: &str,
    (path, form): (&str, e2e::Form<'_>),
) -> Racer {
    let proof = [("client_assertion_type", TYPE), ("client_assertion", assertion)];
    post(stand, node, SIGNER, (path, &[form, &proof].concat()))
}

/// One is believed, all others are told that they are not `SIGNER`. Behind a crowd somebody may have to come back, and
/// if that is who was believed, nobody has won: the assertion is spent.
#[track_caller]
fn assert_once(answers: &[Response]) -> Option<usize> {
    let that = |told: fn(u16) -> bool| -> Vec<usize> {
        (0..answers.len()).filter(|number| told(answers[*number].status)).collect()
    };
    let (won, put_off) = (that(|status| status < 300), that(|status| status == 503));
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert!(won.len() == 1 || (won.is_empty() && !put_off.is_empty()), "{statuses:?}");
    for (number, answer) in answers.iter().enumerate() {
        if !won.contains(&number) && !put_off.contains(&number) {
            assert_client_refused(answer, false);
        }
    }
    won.first().copied()
}

const ITSELF: (&str, e2e::Form<'static>) =
    ("/oauth/token", &[("grant_type", "client_credentials"), ("scope", "orders:read")]);

#[test]
fn w75_one_assertion_at_both_nodes_is_believed_once() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    for round in 0..rounds() {
        arena.forgive(round);
        let proof = assertion(&stand, &random());
        let answers =
            arena.race_same((round, field(round)), |node| asserted(&stand, node, &proof, ITSELF));
        if let Some(won) = assert_once(&answers) {
            assert!(!Tokens::of(&answers[won]).access.is_empty());
        }
        // Neither node believes it later.
        let late: Vec<Racer> = (0..2).map(|node| asserted(&stand, node, &proof, ITSELF)).collect();
        for answer in arena.track.race(&late) {
            assert_client_refused(&answer, false);
        }
    }
}

#[test]
fn w75_one_assertion_at_several_endpoints_is_believed_at_one() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    let mut won = [0; 4];
    let ask = Ask::new(SIGNER);
    let pairs = ask.pairs();
    let requests: [(&str, e2e::Form<'_>); 4] = [
        ITSELF,
        ("/oauth/par", &pairs[1..]),
        ("/oauth/introspect", &[("token", "whatever it is")]),
        ("/oauth/revoke", &[("token", "whatever it is")]),
    ];
    for round in 0..rounds() {
        arena.forgive(round);
        let proof = assertion(&stand, &random());
        let which = |number: usize| (round + number) % requests.len();
        let racers: Vec<Racer> = (0..field(round))
            .map(|number| {
                let node = (round / 4 + number) % 2;
                asserted(&stand, node, &proof, requests[which(number)])
            })
            .collect();
        if let Some(first) = assert_once(&arena.track.race(&racers)) {
            won[which(first)] += 1;
        }
    }
    println!("believed: {won:?}");
    assert!(won.iter().all(|times| *times > 0), "each endpoint was first now and then: {won:?}");
}
