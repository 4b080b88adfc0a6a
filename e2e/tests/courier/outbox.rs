//! What the outbox holds, delivered.

use e2e::bench::until;
use e2e::{Answer, Stand};
use serde_json::json;

use crate::{LOOPBACK, SOON, client, prepared, sql, stand, trap, until_true};

const ALLOWED: (&str, &str) = ("courier.courier_allow", LOOPBACK);

fn ping(stand: &Stand, client: &str, url: &str) -> String {
    let body = json!({ "auth_req_id": format!("request of {client}") });
    sql(
        stand,
        &format!(
            "WITH registered AS (
                 UPDATE clients SET metadata = jsonb_set(metadata, '{{backchannel_client_notification_endpoint}}',
                     to_jsonb('{url}'::text)) WHERE id = '{client}')
             INSERT INTO outbox (id, kind, client, url, bearer, body)
             VALUES (gen_random_uuid(), 'ciba_ping', '{client}', '{url}', 'told-by-the-client', '{body}')
             RETURNING id"
        ),
    )
}

fn row(stand: &Stand, id: &str) -> String {
    let columns = "attempts, done_at IS NOT NULL, failed_at IS NOT NULL, bearer IS NOT NULL";
    sql(stand, &format!("SELECT {columns} FROM outbox WHERE id = '{id}'"))
}

fn until_row(stand: &Stand, id: &str, wanted: &str) {
    until(&format!("{id} is {wanted}"), SOON, || (row(stand, id) == wanted).then_some(()));
}

fn now_due(stand: &Stand, id: &str) {
    sql(stand, &format!("UPDATE outbox SET next_at = now() WHERE id = '{id}'"));
}

#[test]
fn a_ping_is_posted_as_stored_with_its_bearer_which_is_then_forgotten() {
    let trap = trap();
    let stand = stand(&[&trap], &[ALLOWED]);
    trap.answer("/ping?of=rp", Answer::new(204, "", ""));
    let rp = client(&stand, "rp", &json!({}));
    let id = ping(&stand, &rp, &trap.url("/ping?of=rp"));
    until_row(&stand, &id, "1|t|f|f");
    let heard = trap.heard("/ping?of=rp");
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].line, "POST /ping?of=rp", "w140: nothing is added to the URL");
    assert!(heard[0].head.contains("authorization: Bearer told-by-the-client\n"), "{heard:?}");
    assert!(heard[0].head.contains("content-type: application/json\n"), "{heard:?}");
    let body: serde_json::Value = serde_json::from_str(&heard[0].body).unwrap();
    assert_eq!(body, json!({ "auth_req_id": format!("request of {rp}") }));
}

#[test]
fn w48_a_server_error_is_tried_again_later_each_time_and_in_the_end_given_up() {
    let trap = trap();
    let mut stand = stand(&[&trap], &[ALLOWED]);
    trap.answer("/ping", Answer::new(500, "", ""));
    let rp = client(&stand, "rp", &json!({}));
    let id = ping(&stand, &rp, &trap.url("/ping"));
    until_row(&stand, &id, "1|f|f|t");
    let wait = |from: u32, to: u32| {
        format!(
            "SELECT next_at - now() BETWEEN interval '{from} s' AND interval '{to} s' FROM outbox WHERE id = '{id}'"
        )
    };
    assert_eq!(sql(&stand, &wait(0, 5)), "t");
    sql(&stand, &format!("UPDATE outbox SET attempts = 5, next_at = now() WHERE id = '{id}'"));
    until_row(&stand, &id, "6|f|f|t");
    assert_eq!(sql(&stand, &wait(120, 160)), "t", "5 s doubled five times");
    until("it was answered", SOON, || (trap.heard("/ping").len() >= 2).then_some(()));

    sql(&stand, &format!("UPDATE outbox SET attempts = 7, next_at = now() WHERE id = '{id}'"));
    until_row(&stand, &id, "8|f|t|f");
    let heard = trap.heard("/ping").len();
    assert!(heard >= 3, "{heard}");
    assert!(stand.courier().log().contains("a message was given up"));

    trap.answer("/ping", Answer::new(200, "", "thank you"));
    let later = ping(&stand, &rp, &trap.url("/ping"));
    until_row(&stand, &later, "1|t|f|f");
    assert_eq!(trap.heard("/ping").len(), heard + 1, "what was given up stays so");
}

#[test]
fn w63_a_refusal_or_a_redirect_is_final() {
    let trap = trap();
    let mut stand = stand(&[&trap], &[ALLOWED]);
    trap.answer("/400", Answer::new(400, "", ""));
    trap.answer("/401", Answer::new(401, "", ""));
    trap.answer("/302", Answer::new(302, &format!("location: {}\r\n", trap.url("/inside")), ""));
    for path in ["/400", "/401", "/302", "/404"] {
        let rp = client(&stand, path, &json!({}));
        let id = ping(&stand, &rp, &trap.url(path));
        until_row(&stand, &id, "1|f|t|f");
        assert_eq!(trap.heard(path).len(), 1, "{path}");
    }
    assert!(trap.heard("/inside").is_empty());
    let log = stand.courier().log();
    for word in ["told-by-the-client", "request of", "/inside"] {
        assert!(!log.contains(word), "{word}: {log}");
    }
}

#[test]
fn w63_a_ping_into_our_own_network_gets_no_connection() {
    let trap = trap();
    let stand = stand(&[&trap], &[]);
    for (name, url) in [
        ("address", trap.url("/ping")),
        ("name", format!("https://localhost:{}/ping", trap.port())),
        ("metadata", "https://169.254.169.254/latest".to_owned()),
        ("http", format!("http://localhost:{}/ping", trap.port())),
    ] {
        let rp = client(&stand, name, &json!({}));
        until_row(&stand, &ping(&stand, &rp, &url), "1|f|t|f");
    }
    assert_eq!(trap.connections(), 0);
}

/// Whoever has taken authd over writes into the outbox what it likes.
#[test]
fn w140_a_ping_goes_where_the_client_is_registered_whatever_its_row_says() {
    let (trap, other) = (trap(), trap());
    let stand = stand(&[&trap, &other], &[ALLOWED]);
    trap.answer("/ping", Answer::new(204, "", ""));
    let rp = client(&stand, "rp", &json!({}));
    let nowhere = client(&stand, "nowhere", &json!({}));
    until_row(&stand, &ping(&stand, &rp, &trap.url("/ping")), "1|t|f|f");
    for (client, ends) in [(&rp, "1|t|f|f"), (&nowhere, "1|f|t|f")] {
        let id = sql(
            &stand,
            &format!(
                "INSERT INTO outbox (id, kind, client, url, bearer, body)
                 VALUES (gen_random_uuid(), 'ciba_ping', '{client}', '{}', 'b', '{{}}') RETURNING id",
                other.url("/ping")
            ),
        );
        until_row(&stand, &id, ends);
    }
    assert_eq!((trap.heard("/ping").len(), other.connections()), (2, 0));
}

#[test]
fn f31_a_courier_that_dies_in_between_loses_nothing() {
    let trap = trap();
    let mut stand = stand(&[&trap], &[ALLOWED]);
    trap.answer("/ping", Answer::Silence);
    let rp = client(&stand, "rp", &json!({}));
    let id = ping(&stand, &rp, &trap.url("/ping"));
    until("it is being delivered", SOON, || (trap.heard("/ping").len() == 1).then_some(()));
    stand.courier().kill9();
    assert_eq!(row(&stand, &id), "1|f|f|t");
    let meanwhile = ping(&stand, &rp, &trap.url("/ping"));
    trap.answer("/ping", Answer::new(204, "", ""));
    stand.courier().start();
    until_row(&stand, &meanwhile, "1|t|f|f");
    until_row(&stand, &id, "2|t|f|f");
    assert_eq!(trap.heard("/ping").len(), 3);
}

#[test]
fn f31_one_that_hangs_delays_itself_alone() {
    let trap = trap();
    let mut stand = prepared(&[&trap], &[ALLOWED]);
    trap.answer("/hangs", Answer::Silence);
    trap.answer("/ping", Answer::new(204, "", ""));
    let hangs = client(&stand, "hangs", &json!({}));
    for _ in 0..5 {
        ping(&stand, &hangs, &trap.url("/hangs"));
    }
    let others: Vec<String> = (0..5)
        .map(|number| {
            let rp = client(&stand, &format!("rp-{number}"), &json!({}));
            ping(&stand, &rp, &trap.url("/ping"))
        })
        .collect();
    stand.courier().start();
    for id in &others {
        until_row(&stand, id, "1|t|f|f");
    }
    // One at a time, 3 s each: while the others were served it cannot have begun many.
    assert!(trap.heard("/hangs").len() <= 2, "{}", trap.heard("/hangs").len());
    until("its next one is tried", SOON, || (trap.heard("/hangs").len() >= 2).then_some(()));
}

#[test]
fn two_couriers_share_the_work() {
    let trap = trap();
    let mut stand = prepared(&[&trap], &[ALLOWED]);
    trap.answer("/ping", Answer::new(204, "", ""));
    for number in 0..30 {
        let rp = client(&stand, &format!("rp-{number}"), &json!({}));
        ping(&stand, &rp, &trap.url("/ping"));
    }
    let mut second = stand.stranger("courier", 0);
    stand.courier().start();
    second.start();
    until_true(&stand, "SELECT count(*) = 30 FROM outbox WHERE done_at IS NOT NULL");
    assert_eq!(trap.heard("/ping").len(), 30, "each once");
    assert_eq!(sql(&stand, "SELECT DISTINCT attempts FROM outbox"), "1");
    second.kill9();
}

#[test]
fn a_mail_goes_to_the_operators_webhook_whatever_its_row_says() {
    let (webhook, other) = (trap(), trap());
    let url = &*format!("\"{}\"", webhook.url("/hook/of-the-operator")).leak();
    let mut stand = stand(&[&webhook, &other], &[ALLOWED, ("courier.mail_webhook", url)]);
    webhook.answer("/hook/of-the-operator", Answer::new(202, "", ""));
    let mail = |stand: &Stand| {
        sql(
            stand,
            &format!(
                "INSERT INTO outbox (id, kind, url, body) VALUES (gen_random_uuid(), 'reset_mail',
                 '{}', '{{\"to\": \"ada@example.org\", \"link\": \"https://x/y\"}}') RETURNING id",
                other.url("/ping")
            ),
        )
    };
    let id = mail(&stand);
    until_row(&stand, &id, "1|t|f|f");
    // A link in clear is kept no longer than it takes to send it.
    assert_eq!(sql(&stand, &format!("SELECT body FROM outbox WHERE id = '{id}'")), "{}");
    let heard = webhook.heard("/hook/of-the-operator");
    assert_eq!(heard.len(), 1);
    let body: serde_json::Value = serde_json::from_str(&heard[0].body).unwrap();
    assert_eq!(body, json!({ "to": "ada@example.org", "link": "https://x/y" }));
    assert!(!heard[0].head.contains("authorization"));
    assert_eq!(other.connections(), 0);

    // Without a webhook it is given up at once: a link is not left lying.
    let mut silent = prepared(&[&other], &[ALLOWED]);
    let id = mail(&silent);
    silent.courier().start();
    until_row(&silent, &id, "1|f|t|f");
    assert_eq!(other.connections(), 0);
    for log in [stand.courier().log(), silent.courier().log()] {
        assert!(!log.contains("of-the-operator") && !log.contains("ada@"), "{log}");
    }
}

#[test]
fn what_is_an_hour_old_is_not_sent_any_more() {
    let trap = trap();
    let mut stand = prepared(&[&trap], &[ALLOWED]);
    let rp = client(&stand, "rp", &json!({}));
    let id = ping(&stand, &rp, &trap.url("/ping"));
    sql(
        &stand,
        &format!("UPDATE outbox SET created_at = now() - interval '61 min' WHERE id = '{id}'"),
    );
    now_due(&stand, &id);
    stand.courier().start();
    until_row(&stand, &id, "0|f|t|f");
    assert_eq!(trap.connections(), 0);
}
