//! Rows in `signing_keys` that keyd did not write: no key set changes, and somebody hears of it.

use std::time::Duration;

use e2e::bench::{bench, free_port, until};
use e2e::people::{MEMBER, app};
use e2e::{Options, Stand, people, tokens};
use serde_json::Value;

use crate::{beside_others, jwks, kids, owner, text};

/// authd looks every five seconds, admind every ten.
const NOTICED: Duration = Duration::from_secs(25);

/// A row as the owner writes it. `statement` is an SQL expression.
fn plant(stand: &Stand, kid: &str, state: &str, statement: &str) {
    let sql = format!(
        "INSERT INTO signing_keys (kid, issuer_id, class, algorithm, state, statement, created_at)
         SELECT '{kid}', id, 'token', 'ES256', '{state}', {statement}, '2020-01-01' FROM issuers
         WHERE tenant_id IS NULL"
    );
    owner(stand, &sql);
}

/// 16 bytes in base64url: the last character has bits to spare, and they are zero.
fn kid(number: usize) -> String {
    format!("planted-{number:013}A")
}

/// Both nodes' key sets, which are one.
fn published(stand: &Stand) -> Value {
    let both = [jwks(stand, 0), jwks(stand, 1)];
    assert_eq!(both[0], both[1]);
    both.into_iter().next().unwrap()
}

fn heard_of(stand: &Stand, kid: &str) {
    until(&format!("admind audits {kid}"), NOTICED, || {
        let sql = format!(
            "SELECT count(*) FROM audit_events WHERE type = 'key.planted' AND target = '{kid}'"
        );
        (owner(stand, &sql) == "1").then_some(())
    });
    until(&format!("every plane logs {kid}"), NOTICED, || {
        let nodes = stand.nodes();
        let logs = [nodes[0].authd.log(), nodes[1].authd.log(), stand.admind_here().log()];
        logs.iter()
            .all(|log| log.lines().any(|line| line.contains("ERROR") && line.contains(kid)))
            .then_some(())
    });
}

fn two() -> Stand {
    let stand = Stand::start(&Options { nodes: 2, ..Options::default() });
    people::populate(&stand);
    stand
}

#[test]
fn w173_a_planted_key_changes_no_key_set_and_raises_an_alarm() {
    let _cluster = beside_others();
    let stand = two();
    let before = crate::published(&stand);
    let genuine = "(SELECT statement FROM signing_keys WHERE class = 'token' AND algorithm = 'ES256' LIMIT 1)";
    for (number, (state, statement)) in [
        ("staged", "sha256('a') || sha256('b') || sha256('c') || sha256('d')".to_owned()),
        ("retired", "decode(repeat('00', 33), 'hex')".to_owned()),
        ("staged", format!("set_byte({genuine}, 5, get_byte({genuine}, 5) # 1)")),
        ("staged", format!("{genuine} || '\\x00'")),
        ("staged", format!("substring({genuine} FROM 2)")),
    ]
    .into_iter()
    .enumerate()
    {
        plant(&stand, &kid(number), state, &statement);
    }
    for number in 0..5 {
        heard_of(&stand, &kid(number));
    }
    assert_eq!(published(&stand), before);
    let got = app(&stand).tokens(&mut stand.browser(), MEMBER);
    tokens::verify(text(&got, "id_token"), &before, stand.issuer(), "app").unwrap();
}

#[test]
fn w173_another_issuers_statement_and_a_statement_under_another_id_are_planted_too() {
    let _cluster = beside_others();
    let stand = two();
    let before = crate::published(&stand);
    // Another issuer on the very same token: its statements carry keyd's own MAC.
    bench().database("other_issuer", Some("opentrusty_template"));
    let mut other = stand.stranger("admind", 0);
    let url = format!(
        "postgres:///other_issuer?host={}&user=opentrusty_admind",
        bench().sockets().display()
    );
    other.set_env("OPENTRUSTY_DATABASE_URL", &url);
    other.set_env("OPENTRUSTY_ISSUER", "https://other.example.com");
    other.set_env("OPENTRUSTY_PORT", &free_port().to_string());
    other.start();
    let theirs = "SELECT kid, encode(statement, 'hex') FROM signing_keys WHERE class = 'token' AND algorithm = 'ES256' AND state = 'active'";
    let row = until("the other issuer has keys", NOTICED, || {
        Some(bench().psql("other_issuer", "opentrusty_owner", theirs).unwrap())
            .filter(|row| !row.is_empty())
    });
    other.kill9();
    let (foreign, statement) = row.split_once('|').unwrap();
    plant(&stand, foreign, "staged", &format!("decode('{statement}', 'hex')"));
    let own = "(SELECT statement FROM signing_keys WHERE class = 'token' AND algorithm = 'ES256' AND state = 'active')";
    plant(&stand, &kid(9), "staged", own);
    // Last, one that is noticed in any case: then everybody has seen the others as well.
    plant(&stand, &kid(10), "staged", "sha256('a') || sha256('b')");
    heard_of(&stand, &kid(10));
    assert_eq!(published(&stand), before);
    assert!(!kids(&before).contains(&foreign.to_owned()));
    heard_of(&stand, foreign);
    heard_of(&stand, &kid(9));
}

#[test]
fn w173_a_planted_row_whose_id_is_no_keys_id_raises_the_alarm_as_well() {
    let _cluster = beside_others();
    let stand = two();
    let before = crate::published(&stand);
    // The column takes it, but its spare bits are not zero: no sixteen bytes are spelt like this.
    let odd = "planted-00000000000009";
    plant(&stand, odd, "staged", "sha256('a') || sha256('b')");
    heard_of(&stand, odd);
    assert_eq!(published(&stand), before);
}

#[test]
fn w173_planted_rows_do_not_crowd_the_genuine_ones_out() {
    let _cluster = beside_others();
    let mut stand = two();
    let before = crate::published(&stand);
    for number in 0..80 {
        plant(&stand, &kid(number), "retired", "sha256('a') || sha256('b')");
    }
    heard_of(&stand, &kid(0));
    // Whoever has just started knows nothing but what the table gives.
    stand.node(0).kill9();
    stand.node(0).keyd.start();
    stand.node(0).authd.start();
    let url = format!("{}/.well-known/jwks.json", stand.issuer());
    until("a restarted node publishes the same keys", Duration::from_secs(20), || {
        let response = stand.client().try_send("GET", &url, &[], b"").ok()?;
        (response.status == 200 && response.json() == before).then_some(())
    });
    app(&stand).tokens(&mut stand.browser(), MEMBER);
}
