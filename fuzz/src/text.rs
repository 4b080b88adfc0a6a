//! Readings of the same bytes that owe nothing to the code under test.

/// The text before the first line feed and the text after it, if the input is text.
pub(crate) fn lines(bytes: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.split_once('\n').unwrap_or((text, "")))
}

/// The parameters of a form as the `url` crate reads them, percent-decoding leniently.
pub(crate) fn parameters(bytes: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(bytes).into_owned().collect()
}

/// Every non-empty value of `name`.
pub(crate) fn values<'a>(parameters: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let own = parameters.iter().filter(|(own, value)| own == name && !value.is_empty());
    own.map(|(_, value)| value.as_str()).collect()
}

/// How often `name` occurs, empty or not.
pub(crate) fn occurrences(parameters: &[(String, String)], name: &str) -> usize {
    parameters.iter().filter(|(own, _)| own == name).count()
}

/// Whether a parameter that must not be repeated is.
pub(crate) fn repeats(parameters: &[(String, String)]) -> bool {
    let mut names: Vec<&str> = parameters
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !["resource", "audience"].contains(name))
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    names.len() < all
}
