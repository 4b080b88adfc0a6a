//! Text that people will read beside a decision.

/// Whether `c` can make a line read otherwise than it is written: controls, invisible characters, and what
/// changes the direction of text (W123).
pub fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{ad}' | '\u{61c}' | '\u{2028}' | '\u{2029}' | '\u{3164}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
