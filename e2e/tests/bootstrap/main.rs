//! The first administrator: once, by a link that works once; and the command that signs them in.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test support: a failure here is the failure of the test that asked"
)]

mod enrol;
mod login;
mod once;

use std::process::{Command, Output, Stdio};

use e2e::Stand;

const ADMIN: &str = "first@example.com";
const PASSWORD: &str = "seven quiet otters at dawn";

fn owner(stand: &Stand, sql: &str) -> String {
    stand.psql("opentrusty_owner", sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn bootstrap(stand: &Stand) -> Command {
    let mut command = stand.cli();
    command.args(["bootstrap", "--email", ADMIN]).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The enrolment link in what bootstrap printed.
#[track_caller]
fn link(stand: &Stand, printed: &str) -> String {
    let begin = format!("{}/enroll?token=", stand.issuer());
    let links: Vec<&str> =
        printed.split_whitespace().filter(|word| word.starts_with(&begin)).collect();
    assert_eq!(links.len(), 1, "{printed}");
    links[0].to_owned()
}

/// Bootstrap and set the password.
fn enrolled(stand: &Stand) {
    stand.wait_for_keys();
    let printed = succeeds(&bootstrap(stand).output().unwrap());
    let mut browser = stand.browser();
    browser.open(&link(stand, &printed));
    browser.submit(&[("password", PASSWORD)]);
    let page = browser.page();
    assert!(
        page.response.status == 200 && page.field("password").is_none(),
        "{}",
        page.response.text()
    );
}
