//! What a daemon says to PostgreSQL, read from the server's log.

use std::fs;

use e2e::Stand;
use e2e::bench::bench;

use super::sql;

/// Issuers and keys are looked after each second, whether or not somebody signs in.
const OF_THE_KEYS: [&str; 3] = ["signing_keys", "SELECT i.url, i", "AS \"count!\" FROM issuers"];

/// What authd says to PostgreSQL while `act` runs, statement by statement.
pub(crate) fn statements(stand: &Stand, act: impl FnOnce()) -> Vec<String> {
    let admin = |text: &str| bench().psql("postgres", "postgres", text).unwrap();
    admin("ALTER SYSTEM SET log_statement = 'all'");
    admin("ALTER SYSTEM SET log_line_prefix = '%d|%u|'");
    let reloaded = admin("SELECT pg_reload_conf()");
    assert_eq!(reloaded, "t");
    let log = bench().dir().join("pg/server.log");
    let told = || String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
    e2e::bench::until("statements are logged", std::time::Duration::from_secs(20), || {
        sql(stand, "SELECT 'marker'");
        told().contains("SELECT 'marker'").then_some(())
    });
    let before = told().len();
    act();
    let text = told().split_off(before);
    admin("ALTER SYSTEM RESET log_statement");
    admin("SELECT pg_reload_conf()");
    let own = format!("{}|opentrusty_authd|", stand.database());
    text.lines()
        .filter_map(|line| line.strip_prefix(&own)?.split_once("execute ")?.1.split_once(": "))
        .filter(|(_, text)| !OF_THE_KEYS.iter().any(|part| text.contains(part)))
        .map(|(_, text)| text.to_owned())
        .collect()
}
