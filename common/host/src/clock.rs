//! The wall clock.

use std::time::UNIX_EPOCH;

/// Seconds since 1970-01-01T00:00:00Z; 0 if the machine believes it is earlier than that, so
/// that everything with a start date is refused rather than accepted.
///
/// What authd and admind decide is decided by PostgreSQL's clock; this one serves keyd, timeouts
/// and logs.
pub fn now_s() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the one reader of the clock")]
    let now = std::time::SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_clock_is_past_the_year_this_was_written() {
        assert!(super::now_s() > 1_735_689_600);
    }
}
