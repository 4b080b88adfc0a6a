//! The `Cookie` headers of a request.

use oauth::cookie::{Ambiguous, find};

use crate::text;

/// The first line names a cookie, every further line is one header. A second reader finds the same one
/// value; a second cookie of the name is ambiguous wherever it stands, and so is one header for many.
pub fn cookie(bytes: &[u8]) -> bool {
    let Some((name, rest)) = text::lines(bytes) else { return false };
    // The names that we look for are our own, tokens of RFC 6265.
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
        return false;
    }
    let headers: Vec<&str> = rest.split('\n').collect();
    let length: usize = headers.iter().map(|header| header.len()).sum();
    let found = find(headers.iter().copied(), name);
    if length > 16 * 1024 {
        assert_eq!(found, Err(Ambiguous), "{length} bytes were looked at");
        return false;
    }
    let values: Vec<&str> = headers
        .iter()
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim_matches([' ', '\t']).strip_prefix(name)?.strip_prefix('='))
        .collect();
    match values[..] {
        [] => assert_eq!(found, Ok(None)),
        [value] => assert_eq!(found, Ok(Some(value))),
        _ => assert_eq!(found, Err(Ambiguous)),
    }

    let joined = headers.join("; ");
    if joined.len() <= 16 * 1024 {
        assert_eq!(find([joined.as_str()], name), found, "one header or many");
    }
    let tossed = format!("{name}=tossed");
    let with_tossed = |first: bool| {
        let (before, after) = if first { (Some(&*tossed), None) } else { (None, Some(&*tossed)) };
        find(before.into_iter().chain(headers.iter().copied()).chain(after), name)
    };
    for first in [true, false] {
        // An added cookie either is the only one or makes the name ambiguous; it never wins over another.
        match with_tossed(first) {
            Ok(value) => assert_eq!((found, value), (Ok(None), Some("tossed"))),
            Err(Ambiguous) => assert!(!values.is_empty() || length + tossed.len() > 16 * 1024),
        }
    }
    matches!(found, Ok(Some(_)))
}
