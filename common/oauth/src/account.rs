//! The one canonical spelling of an account's name, used by every look-up and every counter (W131).

/// Longest e-mail address, in bytes (RFC 5321 §4.5.3.1.3).
const EMAIL_MAX: usize = 254;

/// The canonical key of an e-mail address as somebody typed it: trimmed, lower case. `None`: no address.
///
/// Case folding of the local part deviates from RFC 5321, as every mail provider does: two accounts that
/// differ in case alone could only be a trap.
pub fn email_key(typed: &str) -> Option<String> {
    let key = typed.trim().to_lowercase();
    let (local, domain) = key.rsplit_once('@')?;
    let plain = |c: char| !c.is_control() && !c.is_whitespace();
    let valid =
        !local.is_empty() && !domain.is_empty() && key.len() <= EMAIL_MAX && key.chars().all(plain);
    valid.then_some(key)
}

#[cfg(test)]
mod tests {
    use super::email_key;

    #[test]
    fn w131_spellings_of_one_account_share_a_key() {
        for typed in ["ana@example.org", " Ana@Example.ORG ", "ANA@EXAMPLE.ORG\t"] {
            assert_eq!(email_key(typed).as_deref(), Some("ana@example.org"));
        }
        for bad in ["", "ana", "@example.org", "ana@", "a na@example.org", "ana\u{0}@example.org"] {
            assert_eq!(email_key(bad), None, "{bad:?}");
        }
        assert_eq!(email_key(&format!("{}@example.org", "x".repeat(250))), None);
    }
}
