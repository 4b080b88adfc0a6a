//! Writes the hand-made part of every corpus anew: `cargo run --no-default-features --example seeds`.
//! Inputs that fuzzing found beside them have hashes for names and are left alone.

mod binary;
mod deferred;
mod details;
mod json;
mod keys;
mod lines;

use std::path::Path;
use std::{fs, io};

/// Name, and bytes.
type Seed = (String, Vec<u8>);

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let all = [
        ("authorization_details", details::authorization_details()),
        ("authorize_request", lines::authorize_requests()),
        ("basic", lines::basic()),
        ("ciba_request", deferred::ciba_requests()),
        ("claims", json::claims()),
        ("client_assertion", keys::client_assertions()),
        ("client_metadata", [json::client_metadata(), keys::clients()].concat()),
        ("cookie", lines::cookies()),
        ("detail_type", details::detail_types()),
        ("device_request", deferred::device_requests()),
        ("form", lines::forms()),
        ("jwk", binary::points_and_moduli()),
        ("jwt", json::tokens()),
        ("key_set", keys::key_sets()),
        ("keyd_frame", binary::frames()),
        ("proxy_header", binary::proxy_headers()),
        ("redirect_uri", lines::redirect_uris()),
        ("scope", lines::scopes()),
        ("statement", binary::statements()),
        ("token_request", lines::token_requests()),
        ("user_code", deferred::user_codes()),
    ];
    for (target, seeds) in all {
        fs::create_dir_all(corpus.join(target))?;
        for (name, bytes) in seeds {
            fs::write(corpus.join(target).join(name), bytes)?;
        }
    }
    Ok(())
}

/// Texts under their names.
fn named(texts: &[(&str, &str)]) -> Vec<Seed> {
    texts.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
}
