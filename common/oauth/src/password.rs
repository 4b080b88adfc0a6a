//! What may be a password. Length, not composition (SP 800-63B-4): 15 characters while it is the only factor.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

/// Fewest characters while the password is the only factor.
pub const CHARACTERS_MIN: usize = 15;
/// Most bytes of a password that is ever looked at (W134).
pub const BYTES_MAX: usize = 1024;

/// Why a new password is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weak {
    /// Fewer than 15 characters.
    Short,
    /// More than 1024 bytes.
    Long,
    /// Made of too few different characters, or of one piece repeated.
    Repetitive,
    /// It contains the account's own name.
    Personal,
    /// Everybody's password, spelt out.
    Common,
}

impl fmt::Display for Weak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => {
                "Use at least 15 characters; a few unrelated words make a good password."
            }
            Self::Long => "Use at most 1024 bytes.",
            Self::Repetitive => "This password repeats itself too much.",
            Self::Personal => "Leave your e-mail address out of your password.",
            Self::Common => "This password is among the first that an attacker would try.",
        })
    }
}

/// Pieces that long guessable passwords are made of; what is left beside them must be long enough alone.
const COMMON: [&str; 24] = [
    "password",
    "passwort",
    "passw0rd",
    "letmein",
    "welcome",
    "qwertyuiop",
    "qwerty",
    "qwertz",
    "asdfghjkl",
    "zxcvbnm",
    "1q2w3e4r5t",
    "1qaz2wsx",
    "1234567890",
    "0123456789",
    "123456789",
    "987654321",
    "abcdefghij",
    "iloveyou",
    "admin",
    "administrator",
    "changeme",
    "monkey",
    "dragon",
    "correcthorsebatterystaple",
];

/// Whether `password` may be set for the account `email`.
pub fn check(password: &SecretString, email: &str) -> Result<(), Weak> {
    let text = password.expose_secret();
    if text.len() > BYTES_MAX {
        return Err(Weak::Long);
    }
    if text.chars().count() < CHARACTERS_MIN {
        return Err(Weak::Short);
    }
    let lower = zeroize::Zeroizing::new(text.to_lowercase());
    let mut distinct: Vec<char> = lower.chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < 5 || repeats_one_piece(&lower) {
        return Err(Weak::Repetitive);
    }
    let local = email.split('@').next().unwrap_or_default().to_lowercase();
    if local.len() >= 4 && lower.contains(&local) {
        return Err(Weak::Personal);
    }
    let rest =
        COMMON.iter().fold(lower, |rest, piece| zeroize::Zeroizing::new(rest.replace(piece, "")));
    if rest.chars().filter(|c| c.is_alphabetic()).count() < 6 && rest.chars().count() < 8 {
        return Err(Weak::Common);
    }
    Ok(())
}

fn repeats_one_piece(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    (1..=chars.len() / 2).any(|piece| {
        chars.len().is_multiple_of(piece)
            && chars.chunks(piece).all(|chunk| Some(chunk) == chars.get(..piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_counts_and_obvious_ones_do_not() {
        let judge = |text: &str| check(&text.to_owned().into(), "ana.lopez@example.org");
        assert_eq!(judge("fourteen chars"), Err(Weak::Short));
        assert_eq!(judge(&"x".repeat(2000)), Err(Weak::Long));
        assert_eq!(judge("aaaaaaaaaaaaaaaaaaaa"), Err(Weak::Repetitive));
        assert_eq!(judge("winter2winter2winter2"), Err(Weak::Repetitive));
        assert_eq!(judge("ana.lopez-is-my-name"), Err(Weak::Personal));
        assert_eq!(judge("passwordpassword1"), Err(Weak::Common));
        assert_eq!(judge("Qwertyuiop1234567890"), Err(Weak::Common));
        assert_eq!(judge("correcthorsebatterystaple"), Err(Weak::Common));
        assert_eq!(judge("velvet otter climbs quietly"), Ok(()));
        assert_eq!(judge("пароль из пяти слов тут"), Ok(()));
    }
}
