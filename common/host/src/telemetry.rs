//! The log: structured lines on standard error, where journald or a person picks them up.
//!
//! Field values come from peers. Control characters and bidirectional overrides in them are
//! written as escapes, so that one event stays one line and a terminal obeys nobody but us.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};

use tracing::Subscriber;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::environment;

/// Starts the log of this process. `OPENTRUSTY_LOG` filters it as `tracing` directives (default
/// `info`); `OPENTRUSTY_LOG_FORMAT` is `text` (default) or `json`. A value that cannot be used
/// is reported in the log that starts without it. A second call has no effect.
pub fn init(program: &str) {
    let wanted = environment::lenient("OPENTRUSTY_LOG").unwrap_or_else(|| "info".into());
    let format = environment::lenient("OPENTRUSTY_LOG_FORMAT").unwrap_or_else(|| "text".into());
    let parsed = EnvFilter::try_new(&wanted).ok();
    let filter_is_good = parsed.is_some();
    let filter = parsed.unwrap_or_else(|| EnvFilter::new("info"));
    let started = if format == "json" {
        tracing::subscriber::set_global_default(json(filter, io::stderr))
    } else {
        let text = text(filter, io::stderr, io::stderr().is_terminal());
        tracing::subscriber::set_global_default(text)
    };
    if started.is_err() {
        return;
    }
    if !filter_is_good {
        tracing::warn!(program, "OPENTRUSTY_LOG is not a list of tracing directives; using info");
    }
    if !matches!(format.as_str(), "text" | "json") {
        tracing::warn!(program, "OPENTRUSTY_LOG_FORMAT is neither text nor json; using text");
    }
}

fn text<W>(filter: EnvFilter, writer: W, colours: bool) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(writer)
        .fmt_fields(debug_fn(field).delimited(" "))
        .finish()
}

fn json<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_env_filter(filter)
        .with_writer(EscapeJson(writer))
        .finish()
}

fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let mut escaped = EscapeText(writer);
    match field.name() {
        "message" => write!(escaped, "{value:?}"),
        name => write!(escaped, "{name}={value:?}"),
    }
}

/// Characters that move the cursor, start a line, or reorder what is shown.
fn is_trouble(c: char) -> bool {
    let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2066}'..='\u{2069}');
    let separates = matches!(c, '\u{2028}'..='\u{202e}');
    c.is_control() || reorders || separates
}

struct EscapeText<'a, 'w>(&'a mut Writer<'w>);

impl fmt::Write for EscapeText<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if is_trouble(c) {
                write!(self.0, "{}", c.escape_default())?;
            } else {
                self.0.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// JSON must escape only what is below U+0020, and its writer escapes no more.
struct EscapeJson<W>(W);

struct EscapeJsonWriter<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for EscapeJson<W> {
    type Writer = EscapeJsonWriter<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        EscapeJsonWriter(self.0.make_writer())
    }
}

impl<W: io::Write> io::Write for EscapeJsonWriter<W> {
    /// The formatter hands over one whole event, line end included.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let mut escaped = String::with_capacity(text.len());
        for c in text.chars() {
            if c != '\n' && is_trouble(c) {
                // All of them are in the basic plane: one escape each.
                let _ = write!(escaped, "\\u{:04x}", u32::from(c));
            } else {
                escaped.push(c);
            }
        }
        self.0.write_all(escaped.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const HOSTILE: &str = "a\r\nlevel=ERROR \x1b[31m\u{9b}2J\u{7f}\u{202e}\u{2028}\0\"end";

    fn written<S: Subscriber + Send + Sync + 'static>(make: impl Fn(Sink) -> S) -> String {
        let sink = Sink::default();
        tracing::subscriber::with_default(make(sink.clone()), || {
            let span = tracing::info_span!("request", path = HOSTILE);
            span.in_scope(|| {
                tracing::info!(quoted = HOSTILE, plain = %HOSTILE, "said {HOSTILE}");
            });
        });
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    fn assert_one_harmless_line(line: &str) {
        let inner = line.strip_suffix('\n').unwrap();
        assert!(!inner.chars().any(is_trouble), "{inner:?}");
        assert_eq!(inner.matches("end").count(), 4, "every field is there: {inner}");
    }

    #[test]
    fn w168_a_text_line_cannot_be_broken_or_coloured_from_outside() {
        let line = written(|sink| text(EnvFilter::new("info"), move || sink.clone(), false));
        assert_one_harmless_line(&line);
        assert!(line.contains(r"plain=a\r\nlevel=ERROR \u{1b}[31m"), "{line}");
    }

    #[test]
    fn w168_a_json_line_stays_one_line_and_loses_nothing() {
        let line = written(|sink| json(EnvFilter::new("info"), move || sink.clone()));
        assert_one_harmless_line(&line);
        assert!(line.contains(r#"\u001b[31m\u009b2J\u007f\u202e\u2028\u0000\"end"#), "{line}");
    }

    #[test]
    fn colours_are_ours_alone() {
        let line = written(|sink| text(EnvFilter::new("info"), move || sink.clone(), true));
        assert!(line.contains("\x1b["), "{line:?}");
        assert!(!line.contains("\x1b[31m") && !line.contains('\u{9b}'), "{line:?}");
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    }
}
