//! A client that proves who it is with a key (RFC 7523), for each algorithm that there is.

use std::process::Command;

use e2e::{Response, Stand};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{App, client, random, sql};

pub(crate) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The algorithms of [`Prover::new`].
pub(crate) const ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];

/// A client and its key.
pub(crate) struct Prover {
    pub(crate) app: App,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Prover {
    /// A client of `acme` with a new key for an algorithm, and what else its metadata says.
    pub(crate) fn new(stand: &Stand, app: App, algorithm: &str, over: &Value) -> Self {
        let (algorithm, key) = pair(algorithm);
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&key, algorithm).unwrap()).unwrap();
        jwk["use"] = "sig".into();
        let mut metadata = client(App { secret: None, ..app }, over);
        metadata["token_endpoint_auth_method"] = "private_key_jwt".into();
        metadata["jwks"] = json!({ "keys": [jwk] });
        stand.seed(&json!({ "clients": [metadata] }));
        Self { app, algorithm, key }
    }

    /// An assertion that is good once, for a minute.
    pub(crate) fn assertion(&self, stand: &Stand) -> String {
        self.lasting(stand, 60)
    }

    /// An assertion that ends in so many seconds.
    pub(crate) fn lasting(&self, stand: &Stand, seconds: u64) -> String {
        let now: u64 = sql(stand, "SELECT floor(extract(epoch FROM now()))").parse().unwrap();
        let end = now + seconds;
        let claims = json!({ "iss": self.app.id, "sub": self.app.id, "aud": stand.issuer(),
            "jti": random(), "exp": end });
        encode(&Header::new(self.algorithm), &claims, &self.key).unwrap()
    }

    /// POST to an endpoint with a new assertion.
    #[track_caller]
    pub(crate) fn call(&self, stand: &Stand, path: &str, form: e2e::Form<'_>) -> Response {
        let assertion = self.assertion(stand);
        let proof = [("client_assertion_type", TYPE), ("client_assertion", assertion.as_str())];
        let url = format!("{}{path}", stand.issuer());
        stand.client().post(&url, &[form, &proof].concat())
    }
}

fn pair(algorithm: &str) -> (Algorithm, EncodingKey) {
    let (kind, option) = match algorithm {
        "RS256" | "PS256" => ("RSA", "rsa_keygen_bits:2048"),
        "ES256" => ("EC", "ec_paramgen_curve:P-256"),
        "ES384" => ("EC", "ec_paramgen_curve:P-384"),
        "EdDSA" => ("ED25519", ""),
        other => panic!("no key for {other}"),
    };
    let mut words = vec!["genpkey", "-algorithm", kind, "-outform", "DER"];
    if !option.is_empty() {
        words.extend(["-pkeyopt", option]);
    }
    let der = openssl(&words, &[]);
    match kind {
        // The library takes RSA keys as PKCS #1 and the others as PKCS #8.
        "RSA" => {
            let der = openssl(&["rsa", "-inform", "DER", "-traditional", "-outform", "DER"], &der);
            (algorithm.parse().unwrap(), EncodingKey::from_rsa_der(&der))
        }
        other => {
            let words = ["pkcs8", "-topk8", "-nocrypt", "-inform", "DER", "-outform", "DER"];
            let der = openssl(&words, &der);
            match other {
                "EC" => (algorithm.parse().unwrap(), EncodingKey::from_ec_der(&der)),
                _ => (Algorithm::EdDSA, EncodingKey::from_ed_der(&der)),
            }
        }
    }
}

fn openssl(words: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut child = Command::new("openssl")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A command that makes a key reads nothing, and may have ended.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && !output.stdout.is_empty(), "{words:?}");
    output.stdout
}
