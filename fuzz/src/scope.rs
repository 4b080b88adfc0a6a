//! The `scope` parameter.

use std::collections::BTreeSet;

use oauth::ScopeSet;

/// Accepted exactly when every word is in the grammar of RFC 6749 §3.3 and within the limits; the set has
/// one text, which reads back as the set.
pub fn scope(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    // "scope-token = 1*( %x21 / %x23-5B / %x5D-7E )"
    let token = |word: &&str| {
        word.len() <= 100 && word.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    };
    let valid = text.len() <= 2048 && words.len() <= 64 && words.iter().all(token);
    let Ok(set) = text.parse::<ScopeSet>() else {
        assert!(!valid, "refused: {text:?}");
        return false;
    };
    assert!(valid, "accepted: {text:?}");

    let distinct: BTreeSet<&str> = words.into_iter().collect();
    assert_eq!(set.iter().collect::<Vec<_>>(), distinct.iter().copied().collect::<Vec<_>>());
    assert_eq!(set.is_empty(), distinct.is_empty());
    let written = set.to_string();
    assert!(written.len() <= text.len());
    assert_eq!(written.parse().as_ref(), Ok(&set));
    assert_eq!(ScopeSet::from_list(&set.to_vec()).as_ref(), Ok(&set));
    let json = serde_json::to_string(&set).expect("a set can be written");
    assert_eq!(serde_json::from_str::<ScopeSet>(&json).expect("and read again"), set);

    // Whole words only, and each operation is what its name says.
    for word in &distinct {
        assert!(set.contains(word));
        let longer = format!("{word}x");
        assert_eq!(set.contains(&longer), distinct.contains(&*longer));
        let without = set.without(word);
        assert!(!without.contains(word) && without.is_subset(&set) && !set.is_subset(&without));
        assert_eq!(set.difference(&without).to_string(), *word);
        assert_eq!(without.union(&set.difference(&without)), set);
        assert_eq!(set.intersection(&without), without);
    }
    true
}
