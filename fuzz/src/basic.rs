//! The `Authorization` header of a client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oauth::basic;
use oauth::form::{decode_value, encode};
use secrecy::ExposeSecret as _;

/// Another scheme is nobody's business here; what is accepted has one base64 spelling, a client
/// identifier, a secret, and the pair survives being written again.
pub fn basic(bytes: &[u8]) -> bool {
    let Ok(header) = std::str::from_utf8(bytes) else { return false };
    let scheme = header.split(' ').next().unwrap_or_default();
    let Some(parsed) = basic::parse(header) else {
        assert!(!scheme.eq_ignore_ascii_case("basic"), "{header:?} was taken for another scheme");
        return false;
    };
    assert!(scheme.eq_ignore_ascii_case("basic"), "{header:?} was taken for Basic");
    let Ok((client, secret)) = parsed else { return false };
    let secret = secret.expose_secret();

    let value = &header[scheme.len() + 1..];
    let plain = STANDARD.decode(value).expect("accepted, so it is base64");
    assert_eq!(STANDARD.encode(&plain), value, "two spellings of one credential");
    let plain = String::from_utf8(plain).expect("accepted, so it is text");
    // The first colon divides: a colon of the user name must have come escaped.
    let (user, password) = plain.split_once(':').expect("accepted, so it has a colon");
    assert_eq!(decode_value(user).as_deref(), Ok(client.as_str()));
    assert_eq!(decode_value(password).as_deref(), Ok(secret));
    assert!((1..=128).contains(&client.as_str().len()) && !secret.is_empty());
    assert!(client.as_str().bytes().all(|b| b.is_ascii_graphic()) && !secret.contains('\0'));

    let again = format!("{}:{}", encode(client.as_str()), encode(secret));
    let again = format!("Basic {}", STANDARD.encode(again));
    match basic::parse(&again) {
        Some(Ok((id, text))) => {
            assert_eq!((id, text.expose_secret()), (client, secret));
        }
        // Escaping can triple the length of what was within the limit.
        Some(Err(_)) => assert!(again.len() > 1024, "refused its own spelling: {again}"),
        None => panic!("{again} was taken for another scheme"),
    }
    true
}
