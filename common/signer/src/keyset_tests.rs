//! Key sets of keys that are made here, with signatures of another library.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair,
};

use super::*;

const ISSUER: &str = "https://as.example/t/a";

/// A key outside of any token.
enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
}

impl Pair {
    fn new(algorithm: Algorithm) -> Self {
        let ecdsa = |kind: &'static EcdsaSigningAlgorithm| {
            Self::Ecdsa(EcdsaKeyPair::generate(kind).unwrap())
        };
        let rsa = |padding| Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap(), padding);
        match algorithm {
            Algorithm::Es256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::EdDsa => Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            Algorithm::Rs256 => rsa(&RSA_PKCS1_SHA256),
            Algorithm::Ps256 => rsa(&RSA_PSS_SHA256),
        }
    }

    fn public(&self) -> Jwk {
        match self {
            Self::Ecdsa(pair) => {
                let point = pair.public_key().as_ref();
                Jwk::from_p256_point(point).or_else(|_| Jwk::from_p384_point(point)).unwrap()
            }
            Self::Ed25519(pair) => Jwk::from_ed25519_point(pair.public_key().as_ref()).unwrap(),
            // An RSAPublicKey of RFC 8017 appendix A.1.1: a header, the modulus with a zero before it, 65537.
            Self::Rsa(pair, _) => {
                Jwk::from_rsa(&pair.public_key().as_ref()[8..265], &[1, 0, 1]).unwrap()
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(pair, padding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*padding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    fn token(&self, algorithm: Algorithm, kid: Kid) -> String {
        let header = json!({ "alg": algorithm.name(), "kid": kid.to_string(), "typ": "JWT" });
        let input = format!("{}.{}", b64(header.to_string().as_bytes()), b64(br#"{"sub":"u1"}"#));
        let signature = b64(&self.sign(input.as_bytes()));
        format!("{input}.{signature}")
    }
}

fn view(n: u8, algorithm: Algorithm, public: Jwk) -> KeyView {
    KeyView {
        kid: Kid([n; 16]),
        issuer: ISSUER.to_owned(),
        algorithm,
        class: Class::Token,
        public,
        state: KeyState::Active,
        staged_at: u64::from(n),
        not_sign_before: Some(u64::from(n)),
        not_sign_after: None,
        signatures: 0,
    }
}

#[test]
fn tokens_of_every_algorithm_verify_and_under_no_other_name() {
    for algorithm in Algorithm::ALL {
        let pair = Pair::new(algorithm);
        let key = view(1, algorithm, pair.public());
        let set = KeySet::new(ISSUER, vec![key.clone()]);
        let token = pair.token(algorithm, key.kid);
        let claims = set.verify(&token, Class::Token, "JWT").unwrap();
        assert_eq!(claims["sub"], "u1", "{algorithm:?}");
        let (input, signature) = token.rsplit_once('.').unwrap();
        let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        signature[5] ^= 1;
        let bad = format!("{input}.{}", b64(&signature));
        assert_eq!(set.verify(&bad, Class::Token, "JWT"), Err(NotOurs), "{algorithm:?}");
        assert_eq!(set.verify(&token, Class::Admin, "JWT"), Err(NotOurs));
        for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
            // Neither does the header choose, nor is a key of one algorithm taken for one of another.
            let named = pair.token(other, key.kid);
            assert_eq!(set.verify(&named, Class::Token, "JWT"), Err(NotOurs), "{other:?}");
            let bound = KeySet::new(ISSUER, vec![view(1, other, pair.public())]);
            assert_eq!(bound.verify(&named, Class::Token, "JWT"), Err(NotOurs), "{other:?}");
        }
    }
}

#[test]
fn w144_a_token_of_one_issuer_is_not_ours_at_another() {
    let pair = Pair::new(Algorithm::EdDsa);
    let key = view(1, Algorithm::EdDsa, pair.public());
    let token = pair.token(Algorithm::EdDsa, key.kid);
    let mine = KeySet::new(ISSUER, vec![key.clone()]);
    assert!(mine.verify(&token, Class::Token, "JWT").is_ok());
    for other in ["https://as.example", "https://as.example/t/b", "https://as.example/t/a/"] {
        let set = KeySet::new(other, vec![key.clone()]);
        assert_eq!(set.verify(&token, Class::Token, "JWT"), Err(NotOurs), "{other}");
        assert_eq!(set.jwks(), br#"{"keys":[]}"#);
    }
}

#[test]
fn the_members_are_those_of_the_rfcs() {
    // RFC 8037 appendix A.2, and the P-256 key of RFC 7515 appendix A.3.
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let ed25519 = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let (x, y) = (
        "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    );
    let keys = vec![
        view(1, Algorithm::EdDsa, Jwk::from_ed25519_point(&bytes(ed25519)).unwrap()),
        view(
            2,
            Algorithm::Es256,
            Jwk::P256 { x: bytes(x).try_into().unwrap(), y: bytes(y).try_into().unwrap() },
        ),
        // Coordinates keep their leading zeros.
        view(3, Algorithm::Es384, Jwk::P384 { x: [0; 48], y: [0xff; 48] }),
        view(4, Algorithm::Ps256, Jwk::Rsa { n: vec![0xff; 256], e: vec![1, 0, 1] }),
    ];
    let set = KeySet::new(ISSUER, keys);
    let jwks: Value = serde_json::from_slice(set.jwks()).unwrap();
    let kid = |n: u8| Kid([n; 16]).to_string();
    assert_eq!(
        jwks,
        json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "x": ed25519, "kid": kid(1), "alg": "EdDSA", "use": "sig" },
            { "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid(2), "alg": "ES256", "use": "sig" },
            { "kty": "EC", "crv": "P-384", "x": "A".repeat(64), "y": "_".repeat(64), "kid": kid(3),
              "alg": "ES384", "use": "sig" },
            { "kty": "RSA", "n": b64(&[0xff; 256]), "e": "AQAB", "kid": kid(4), "alg": "PS256", "use": "sig" },
        ] })
    );
}

#[test]
fn what_is_advertised_is_what_signs_now_and_readiness_waits_for_the_default_alone() {
    let p256 = || Jwk::P256 { x: [1; 32], y: [2; 32] };
    let rsa = || Jwk::Rsa { n: vec![0xff; 256], e: vec![1, 0, 1] };
    let mut keys = vec![
        view(3, Algorithm::Rs256, rsa()),
        view(1, Algorithm::Es256, p256()),
        KeyView { class: Class::Admin, ..view(2, Algorithm::Es256, p256()) },
    ];
    let set = KeySet::new(ISSUER, keys.clone());
    assert!(set.is_complete());
    assert_eq!(set.algorithms(Class::Token), [Algorithm::Es256, Algorithm::Rs256]);
    assert_eq!(set.algorithms(Class::Admin), [Algorithm::Es256]);
    keys.push(view(4, Algorithm::EdDsa, Jwk::Ed25519 { x: [1; 32] }));
    keys.push(KeyView { state: KeyState::Staged, ..view(5, Algorithm::Ps256, rsa()) });
    keys.push(KeyView { state: KeyState::Retired, ..view(6, Algorithm::Es384, p256()) });
    keys.push(KeyView {
        issuer: "https://as.example".to_owned(),
        ..view(7, Algorithm::Es384, p256())
    });
    let set = KeySet::new(ISSUER, keys);
    assert_eq!(
        set.algorithms(Class::Token),
        [Algorithm::Es256, Algorithm::Rs256, Algorithm::EdDsa]
    );
}
