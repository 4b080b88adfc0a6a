//! The keys of a client, registered or published.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth::jwk::{Algorithm, KeySet};
use serde_json::Value;

/// The bytes of a member, in their one spelling.
fn number(key: &Value, name: &str) -> Vec<u8> {
    let text = key[name].as_str().unwrap_or_else(|| panic!("{name} of {key}"));
    let bytes = URL_SAFE_NO_PAD.decode(text).expect("accepted, so it is base64url");
    assert_eq!(URL_SAFE_NO_PAD.encode(&bytes), text, "two spellings of one key");
    bytes
}

/// What is accepted is public, of a size that can be used, told apart by name, and the same when it is
/// stored; what a client may register it may publish as well.
pub fn key_set(bytes: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return false };
    let published = KeySet::published(&value);
    let registered = KeySet::parse(&value);
    if let Ok(set) = &registered {
        assert_eq!(published.as_ref(), Ok(set), "publishing is not stricter than registering");
        let all = value["keys"].as_array().expect("an array");
        assert_eq!(set.iter().count(), all.len(), "a registered key was left out");
        for (key, written) in set.iter().zip(all) {
            // Every member that is stored stands in the text as it is.
            let stored = key.to_json();
            for (name, member) in stored.as_object().expect("an object") {
                assert_eq!(written.get(name), Some(member), "{name}");
            }
        }
    }
    let Ok(set) = published else { return false };
    let stored = set.to_json();
    assert_eq!(KeySet::published(&stored).as_ref(), Ok(&set));
    assert_eq!(KeySet::parse(&stored).is_ok(), set.iter().count() > 0);
    let keys = stored["keys"].as_array().expect("an array");
    assert!(keys.len() <= 20);
    let mut names: Vec<_> = keys.iter().filter_map(|key| key["kid"].as_str()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "one name, two keys");
    for (key, json) in set.iter().zip(keys) {
        shape(json);
        let algorithms = ["RS256", "PS256", "ES256", "ES384", "EdDSA"]
            .map(|word| Algorithm::parse(word).expect("served"));
        let fitting = algorithms.into_iter().filter(|algorithm| key.fits(*algorithm)).count();
        let choice = json["kty"] == "RSA" && json.get("alg").is_none();
        assert_eq!(fitting, if choice { 2 } else { 1 }, "{json}");
    }
    registered.is_ok()
}

fn shape(json: &Value) {
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        assert!(json.get(name).is_none(), "{json}");
    }
    match (json["kty"].as_str(), json["crv"].as_str()) {
        (Some("EC"), Some(crv)) => {
            let size = if crv == "P-256" { 32 } else { 48 };
            assert_eq!([number(json, "x").len(), number(json, "y").len()], [size, size]);
        }
        (Some("OKP"), Some("Ed25519")) => assert_eq!(number(json, "x").len(), 32),
        (Some("RSA"), None) => {
            let n = number(json, "n");
            assert!((256..=512).contains(&n.len()) && n[0] != 0 && n[n.len() - 1] & 1 == 1);
            assert!(n.len() > 256 || n[0] >= 0x80, "fewer than 2048 bits");
            assert_eq!(number(json, "e"), [1, 0, 1]);
        }
        other => panic!("{other:?}"),
    }
}
