//! The `Cookie` header, read for one name at a time.

/// Most bytes over all `Cookie` headers of a request that are looked at.
const HEADERS_MAX: usize = 16 * 1024;

/// The name occurred more than once: somebody else wrote one of them (cookie tossing, W114).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambiguous;

/// The value of cookie `name` over all `Cookie` headers of a request (RFC 6265 §5.4 sends one, HTTP/2 may
/// split it). Two cookies of the name are ambiguous, even with equal values.
pub fn find<'a>(
    headers: impl IntoIterator<Item = &'a str>,
    name: &str,
) -> Result<Option<&'a str>, Ambiguous> {
    let mut found = None;
    let mut budget = HEADERS_MAX;
    for header in headers {
        budget = budget.checked_sub(header.len()).ok_or(Ambiguous)?;
        for pair in header.split(';') {
            let Some((own, value)) = pair.trim_matches([' ', '\t']).split_once('=') else {
                continue;
            };
            if own != name {
                continue;
            }
            if found.replace(value).is_some() {
                return Err(Ambiguous);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_exactly_its_name() {
        assert_eq!(find(["a=1; b=2", "c=3"], "b"), Ok(Some("2")));
        assert_eq!(find(["a=1; b=2", "c=3"], "c"), Ok(Some("3")));
        assert_eq!(find(["ab=1; b =2; B=3; b"], "b"), Ok(None));
        assert_eq!(find(["b=x=y"], "b"), Ok(Some("x=y")));
        assert_eq!(find([], "b"), Ok(None));
    }

    #[test]
    fn w114_two_of_a_name_are_ambiguous() {
        assert_eq!(find(["b=1; b=1"], "b"), Err(Ambiguous));
        assert_eq!(find(["b=1", "b=2"], "b"), Err(Ambiguous));
        assert_eq!(find([&*"x".repeat(20_000)], "b"), Err(Ambiguous));
    }
}
