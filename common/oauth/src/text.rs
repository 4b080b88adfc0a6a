//! Text that people will read beside a decision.

/// Whether `c` can make a line read otherwise than it is written: controls, what changes the direction of text,
/// and what shows nothing (W123): Unicode's `Default_Ignorable_Code_Point`, and blanks that are no white space.
/// The two selectors of how an emoji looks (U+FE0E, U+FE0F) may stand.
pub fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0d}' | '\u{feff}'
                | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Whether there is nothing in `text` for an eye to see.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || matches!(c, '\u{fe0e}' | '\u{fe0f}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w123_what_nobody_sees_deceives_and_what_people_write_does_not() {
        for c in
            ['\0', '\u{85}', '\u{ad}', '\u{202e}', '\u{206a}', '\u{2800}', '\u{fe00}', '\u{e0041}']
        {
            assert!(deceives(c), "{c:?}");
        }
        for text in [
            "Zoë Ñandú",
            "Ελλάδα",
            "ไทย",
            "한국어",
            "עברית",
            "العربية",
            "हिन्दी",
            "漢字",
            "12 € ❤\u{fe0f} 🙂",
        ] {
            assert!(!text.chars().any(deceives) && !is_blank(text), "{text}");
        }
        for blank in ["", " ", "\u{a0}\u{3000}", "\n", "\u{fe0f}"] {
            assert!(is_blank(blank), "{blank:?}");
        }
    }
}
