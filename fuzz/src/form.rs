//! Query strings and bodies.

use oauth::form::{Form, FormError, decode_value, encode};

use crate::text;

/// What is accepted is read exactly as the `url` crate reads it; what is refused is refused for a reason
/// that the bytes show; a value survives being encoded again.
pub fn form(bytes: &[u8]) -> bool {
    let parameters = text::parameters(bytes);
    let form = match Form::parse(bytes) {
        Ok(form) => form,
        Err(FormError::TooMany) => {
            assert!(parameters.len() > 100, "refused as too many: {}", parameters.len());
            return false;
        }
        Err(FormError::Encoding) => {
            let control = bytes.iter().any(u8::is_ascii_control);
            assert!(control || broken_escape(bytes), "refused as badly encoded: {bytes:?}");
            return false;
        }
        Err(FormError::Text) => {
            // The lenient reader puts U+FFFD where a text is not UTF-8, and keeps a NUL.
            let foreign = |text: &String| text.contains(['\u{fffd}', '\0']);
            let shown = parameters.iter().any(|(name, value)| foreign(name) || foreign(value));
            assert!(shown, "refused as no text: {bytes:?}");
            return false;
        }
    };
    assert!(parameters.len() <= 100 && !broken_escape(bytes));
    for (name, value) in &parameters {
        assert!(!name.contains('\0') && !value.contains('\0'));
        assert_eq!(form.all(name).collect::<Vec<_>>(), text::values(&parameters, name));
        match text::occurrences(&parameters, name) {
            1 => assert_eq!(form.one(name), Ok(Some(value.as_str()).filter(|v| !v.is_empty()))),
            _ => assert!(form.one(name).is_err(), "{name} is repeated"),
        }
        let encoded = encode(value);
        assert!(encoded.bytes().all(|b| b.is_ascii_graphic() && !b"&=+;#'\"<>".contains(&b)));
        assert_eq!(decode_value(&encoded).as_ref(), Ok(value));
    }
    assert_eq!(form.one("no such name \0"), Ok(None));
    assert_eq!(form.repeats(), text::repeats(&parameters));
    assert_eq!(Form::parse(form.to_query().as_bytes()).as_ref(), Ok(&form));
    true
}

fn broken_escape(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').any(|(at, _)| {
        !bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    })
}
