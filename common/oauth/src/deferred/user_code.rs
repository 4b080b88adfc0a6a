//! The code that a person types (RFC 8628 §6.1).

use std::fmt;

/// "removing vowels … to avoid the possibility of accidentally forming words" (RFC 8628 §6.1): 20 letters,
/// none of which looks like another or like a digit.
const ALPHABET: [u8; 20] = *b"BCDFGHJKLMNPQRSTVWXZ";
/// 20^8 codes: 34.5 bits.
const LENGTH: usize = 8;
/// Most bytes of what somebody typed.
const TYPED_MAX: usize = 64;
/// Bytes below it map evenly to the alphabet.
const FAIR: u8 = 240;

/// Eight letters that name a device's request while it waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UserCode([u8; LENGTH]);

impl UserCode {
    /// From random bytes. Bytes of 240 and more are skipped: every letter is as likely as every other.
    /// `None`: too many were skipped, which 32 bytes do less than once in 10^20.
    pub fn from_random(bytes: &[u8; 32]) -> Option<Self> {
        let mut code = [0; LENGTH];
        let mut fair = bytes.iter().filter(|byte| **byte < FAIR);
        for letter in &mut code {
            let byte = usize::from(*fair.next()?);
            *letter = *ALPHABET.get(byte % ALPHABET.len())?;
        }
        Some(Self(code))
    }

    /// What somebody typed: in any case, with spaces and hyphens anywhere; nothing else is forgiven.
    pub fn parse(typed: &str) -> Option<Self> {
        if typed.len() > TYPED_MAX {
            return None;
        }
        let mut code = [0; LENGTH];
        let mut letters = typed.bytes().filter(|byte| !matches!(byte, b' ' | b'-'));
        for letter in &mut code {
            *letter = letters.next()?.to_ascii_uppercase();
        }
        let known = code.iter().all(|letter| ALPHABET.contains(letter));
        (known && letters.next().is_none()).then_some(Self(code))
    }
}

/// `XXXX-XXXX`, the one spelling that is shown and hashed.
impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (front, back) = self.0.split_at(LENGTH / 2);
        let text = |half: &[u8]| half.iter().map(|byte| char::from(*byte)).collect::<String>();
        write!(f, "{}-{}", text(front), text(back))
    }
}

/// A code lets a device in: it is not for logs.
impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserCode(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn w57_every_letter_is_as_likely_as_every_other() {
        let mut seen = [0_u32; 20];
        for byte in 0..=u8::MAX {
            let mut bytes = [byte; 32];
            // Whatever is skipped, the rest follows.
            bytes[8..].fill(0);
            let code = UserCode::from_random(&bytes).unwrap().to_string();
            let first = code.bytes().next().unwrap();
            if byte < FAIR {
                seen[ALPHABET.iter().position(|letter| *letter == first).unwrap()] += 1;
            } else {
                assert_eq!(code, "BBBB-BBBB", "{byte} is skipped");
            }
        }
        assert_eq!(seen, [12; 20]);
        assert_eq!(UserCode::from_random(&[255; 32]), None);
    }

    #[test]
    fn case_spaces_and_hyphens_are_forgiven_and_nothing_else() {
        let code = UserCode::parse("WDJB-MJHT").unwrap();
        for typed in ["wdjbmjht", " wdjb mjht ", "W-D-J-B-M-J-H-T", "WdJb--MjHt", "WDJB - MJHT"] {
            assert_eq!(UserCode::parse(typed), Some(code), "{typed:?}");
        }
        for typed in [
            "",
            "WDJB-MJH",
            "WDJB-MJHTT",
            "ADJB-MJHT",
            "WDJB_MJHT",
            "WDJB\tMJHT",
            "WDJB-MJH7",
            "WDJB\u{2010}MJHT",
            "\u{ff37}DJB-MJHT",
            "WDJB\u{a0}MJHT",
            "WDJB-MJHT\u{0}",
        ] {
            assert_eq!(UserCode::parse(typed), None, "{typed:?}");
        }
        assert_eq!(UserCode::parse(&format!("WDJBMJHT{}", " ".repeat(57))), None);
        assert_eq!(format!("{code:?}"), "UserCode(..)");
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_typed(bytes: [u8; 32]) {
            if let Some(code) = UserCode::from_random(&bytes) {
                prop_assert_eq!(UserCode::parse(&code.to_string()), Some(code));
                prop_assert_eq!(UserCode::parse(&code.to_string().to_lowercase()), Some(code));
            }
        }

        #[test]
        fn any_text_is_a_code_or_none(text: String) {
            let _ = UserCode::parse(&text);
        }
    }
}
