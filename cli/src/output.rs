//! What a command says on standard output. A closed pipe is an error, not a panic.

use std::io::Write as _;

use crate::failure::Failure;

/// One line.
pub(crate) fn say(line: impl AsRef<str>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{}", line.as_ref()).and_then(|()| out.flush());
    written.map_err(Failure::io("standard output"))
}

/// One line on standard error, for what is no result.
pub(crate) fn warn(line: &str) {
    // Nobody is left to hear it if standard error is closed.
    let _ = writeln!(std::io::stderr(), "opentrusty: {line}");
}

/// Text of somebody else's, which a terminal must not obey.
pub(crate) fn plain(text: &str) -> String {
    let reorders = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || reorders(c) { '\u{fffd}' } else { c }).collect()
}

/// Lines of columns that are as wide as their widest cell.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> Vec<String> {
    let mut all = vec![head.map(str::to_owned)];
    all.extend(rows);
    let mut widths = [0; N];
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_do_not_trail() {
        let rows = vec![["a".to_owned(), "b".to_owned()], ["long".to_owned(), String::new()]];
        assert_eq!(table(["X", "YY"], rows), ["X     YY", "a     b", "long"]);
    }

    #[test]
    fn w168_nothing_that_a_terminal_obeys_is_repeated() {
        assert_eq!(plain("a\u{1b}[31m\r\n\u{202e}b"), "a\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}b");
    }
}
