//! `opentrusty keys`: the life of the signing keys, through the management API.

use http::Method;
use serde::Deserialize;
use serde_json::json;

use crate::api;
use crate::args::{KeyAct, Keys};
use crate::failure::Failure;
use crate::output::{plain, say, table};
use crate::settings::Place;

#[derive(Deserialize)]
struct List {
    keys: Vec<Key>,
}

/// Times are seconds since the epoch.
#[derive(Deserialize)]
struct Key {
    kid: String,
    class: String,
    algorithm: String,
    state: String,
    signatures: u64,
    issuer: String,
}

/// Characters of a key's id, which is a SHA-256 truncated to 128 bits in base64url.
const KID_LEN: usize = 22;

pub(crate) fn run(place: &Place, args: &Keys) -> Result<(), Failure> {
    let post = |path: &str, body: Option<&serde_json::Value>| {
        api::call(place, &args.caller, (Method::POST, path), body)
    };
    let (answer, done) = match &args.act {
        None | Some(KeyAct::List) => {
            let answer = api::call(place, &args.caller, (Method::GET, "keys"), None)?;
            let list: List = read(answer)?;
            return show(&list.keys);
        }
        Some(KeyAct::Stage { algorithm, class, issuer }) => {
            let mut wanted = json!({ "class": class, "algorithm": algorithm });
            if let (Some(issuer), Some(members)) = (issuer, wanted.as_object_mut()) {
                members.insert("issuer".to_owned(), issuer.as_str().into());
            }
            (post("keys", Some(&wanted))?, "staged")
        }
        Some(KeyAct::Activate { kid }) => {
            (post(&format!("keys/{}/activate", known(kid)?), Some(&json!({})))?, "activated")
        }
        Some(KeyAct::Retire { kid }) => {
            (post(&format!("keys/{}/retire", known(kid)?), Some(&json!({})))?, "retired")
        }
    };
    say(done)?;
    show(&[read(answer)?])
}

fn read<T: serde::de::DeserializeOwned>(answer: serde_json::Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|error| Failure::value("keys", error.to_string()))
}

/// It becomes part of a path, so it must look like what it is.
fn known(kid: &str) -> Result<&str, Failure> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if kid.len() == KID_LEN && kid.bytes().all(legal) {
        return Ok(kid);
    }
    Err(Failure::value("KID", format!("{KID_LEN} characters, as `opentrusty keys` shows them")))
}

fn show(keys: &[Key]) -> Result<(), Failure> {
    let rows = keys.iter().map(|key| {
        let signatures = key.signatures.to_string();
        [&key.kid, &key.class, &key.algorithm, &key.state, &signatures, &key.issuer]
            .map(|cell| plain(cell))
    });
    let head = ["KID", "CLASS", "ALGORITHM", "STATE", "SIGNATURES", "ISSUER"];
    for line in table(head, rows.collect()) {
        say(line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_part_of_a_path_is_a_key_id_and_nothing_else() {
        assert!(known("AAAAAAAAAAAAAAAAAAAA-_").is_ok());
        for bad in [
            "",
            "short",
            "../../../../../../../x",
            "AAAAAAAAAAAAAAAAAAAA/A",
            "AAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(known(bad).is_err(), "{bad:?}");
        }
    }
}
