//! `application/x-www-form-urlencoded`, strictly: query strings and bodies alike.
//!
//! One decoding, UTF-8 only, no NUL, bounded. "Parameters sent without a value MUST be treated as if
//! they were omitted from the request" and "MUST NOT be included more than once" (RFC 6749 §3.1, §3.2).

use std::fmt;

/// Most parameters in one form (W98).
const PARAMETERS_MAX: usize = 100;

/// Bytes that are no form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormError {
    /// `%` without two hexadecimal digits, or a byte that must be encoded.
    Encoding,
    /// Not UTF-8, or a NUL.
    Text,
    /// More than 100 parameters.
    TooMany,
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoding => "malformed percent-encoding",
            Self::Text => "parameters must be UTF-8 without NUL",
            Self::TooMany => "too many parameters",
        })
    }
}

impl std::error::Error for FormError {}

/// A parameter occurred more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated;

/// Decoded parameters in order. `Debug` names them and shows no value: passwords come in forms.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Form {
    /// Decodes once.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        let mut parameters = Vec::new();
        for pair in bytes.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            if parameters.len() == PARAMETERS_MAX {
                return Err(FormError::TooMany);
            }
            let mut halves = pair.splitn(2, |b| *b == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The value of `name`; `None` when absent or empty.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Repeated> {
        let mut found = self.0.iter().filter(|(own, _)| own == name);
        let first = found.next();
        if found.next().is_some() {
            return Err(Repeated);
        }
        Ok(first.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty()))
    }

    /// Every non-empty value of `name`, for the two parameters that may repeat (RFC 8707 §2, RFC 8693 §2.1).
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(own, value)| own == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The same parameters as a query.
    pub fn to_query(&self) -> String {
        let pairs: Vec<_> =
            self.0.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
        pairs.join("&")
    }

    /// Whether any parameter but `resource` and `audience` occurs twice, known or not (W94).
    pub fn repeats(&self) -> bool {
        self.0.iter().enumerate().any(|(index, (name, _))| {
            !matches!(name.as_str(), "resource" | "audience")
                && self.0.iter().skip(index + 1).any(|(other, _)| other == name)
        })
    }
}

fn decode(bytes: &[u8]) -> Result<String, FormError> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => decoded.push(b' '),
            b'%' => {
                let Some(([high, low], tail)) = rest.split_first_chunk::<2>() else {
                    return Err(FormError::Encoding);
                };
                decoded.push(hex(*high)? << 4 | hex(*low)?);
                rest = tail;
            }
            // Raw bytes above ASCII are not legal in a form, but some clients send UTF-8 as it is.
            byte if byte.is_ascii_control() => return Err(FormError::Encoding),
            byte => decoded.push(*byte),
        }
    }
    if decoded.contains(&0) {
        return Err(FormError::Text);
    }
    String::from_utf8(decoded).map_err(|_| FormError::Text)
}

fn hex(digit: u8) -> Result<u8, FormError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(FormError::Encoding),
    }
}

/// Encodes one value for a query: everything but unreserved characters (RFC 3986 §2.3) is escaped.
pub fn encode(text: &str) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', digit(byte >> 4), digit(byte & 0xf)]);
        }
    }
    encoded
}

/// Decodes one form-encoded value, as RFC 6749 §2.3.1 wants inside HTTP Basic.
pub fn decode_value(text: &str) -> Result<String, FormError> {
    decode(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn w97_percent_decoding_happens_once_and_strictly() {
        for bad in ["a=%", "a=%z", "a=%zz", "a=%u0041", "a=%4", "%=1"] {
            assert_eq!(Form::parse(bad.as_bytes()), Err(FormError::Encoding), "{bad}");
        }
        let form = Form::parse(b"a=%2541&b=x+y").unwrap();
        assert_eq!(form.one("a"), Ok(Some("%41")));
        assert_eq!(form.one("b"), Ok(Some("x y")));
    }

    #[test]
    fn w96_only_utf8_without_nul() {
        for bad in [&b"a=%00"[..], b"a=%c0%af", b"a=%ed%a0%80", b"a=\xff", b"a=\0", b"%00=1"] {
            assert!(Form::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn w94_w95_repeats_are_seen_and_empty_is_absent() {
        let form = Form::parse(b"scope=&x=1&x=1&resource=a&resource=b").unwrap();
        assert_eq!(form.one("scope"), Ok(None));
        assert_eq!(form.one("x"), Err(Repeated));
        assert!(form.repeats());
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["a", "b"]);
        assert!(!Form::parse(b"resource=a&resource=b&y=1").unwrap().repeats());
    }

    #[test]
    fn w98_the_number_of_parameters_is_bounded() {
        let many = |n: usize| (0..n).map(|i| format!("p{i}=1")).collect::<Vec<_>>().join("&");
        assert!(Form::parse(many(100).as_bytes()).is_ok());
        assert_eq!(Form::parse(many(101).as_bytes()), Err(FormError::TooMany));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(text in "[^\u{0}]{0,40}") {
            prop_assert_eq!(decode_value(&encode(&text)).unwrap(), text);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Form::parse(&bytes);
        }
    }
}
