//! Each way in which a client proves who it is, at each endpoint that names it.

use super::*;

/// A method or an algorithm, at the endpoint that says that it takes it.
#[track_caller]
pub(super) fn authentication(party: &Party<'_>, member: &str, all: &[&str]) {
    let (endpoint, what) = member.split_once("_auth_").unwrap();
    match what {
        "methods_supported" => {
            let proofs: Vec<Proof<'_>> = all
                .iter()
                .map(|method| match *method {
                    "client_secret_basic" => Proof::App(TWIN),
                    "client_secret_post" => Proof::App(POST),
                    "private_key_jwt" => Proof::Key(party.prover("ES256")),
                    "none" => Proof::App(SPA),
                    other => panic!("advertised, and not known here: {other}"),
                })
                .collect();
            for proof in proofs {
                proven(party, endpoint, proof);
            }
        }
        "signing_alg_values_supported" => {
            for algorithm in all {
                proven(party, endpoint, Proof::Key(party.prover(algorithm)));
            }
            assert_eq!(all.len(), ALGORITHMS.len(), "{all:?}");
        }
        other => panic!("advertised, and not known here: {other}"),
    }
}

#[track_caller]
fn proven(party: &Party<'_>, endpoint: &str, proof: Proof<'_>) {
    let app = match proof {
        Proof::App(app) => app,
        Proof::Key(prover) => prover.app,
    };
    let one = party.issue_as(proof, &Ask::new(app), BEN);
    let form = [("token", one.access.as_str())];
    match endpoint {
        "token_endpoint" => {}
        "introspection_endpoint" => {
            assert_eq!(party.post(proof, endpoint, &form).expect(200).json()["active"], true);
        }
        "revocation_endpoint" => {
            party.post(proof, endpoint, &form).expect(200);
            assert_bearer_refused(&userinfo(party.stand, &one.access));
        }
        other => panic!("advertised, and not known here: {other}"),
    }
}

#[track_caller]
pub(super) fn one_algorithm(party: &Party<'_>, algorithm: &str) {
    let id: &'static str = format!("signed-{}", algorithm.to_lowercase()).leak();
    let app = App { id, ..TWIN };
    let over = json!({ "id_token_signed_response_alg": algorithm });
    party.stand.seed(&json!({ "clients": [client(app, &over)] }));
    let ask = Ask::new(app);
    let one = party.issue(&ask, BEN);
    assert_eq!(tokens::header(&one.id)["alg"], algorithm);
    assert_eq!(party.verified(&ask, &one.id)["nonce"], ask.nonce);
}
