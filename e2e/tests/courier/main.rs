//! The courier, against a stranger's server on loopback: what it fetches, what it delivers, and where it
//! never goes. Only the courier and the database run.
#![expect(
    clippy::panic,
    reason = "test support: a failure here is the failure of the test that asked"
)]

mod keys;
mod outbox;

use std::net::Ipv4Addr;
use std::sync::OnceLock;
use std::time::Duration;

use e2e::authority::{Certificates, Leaf};
use e2e::bench::until;
use e2e::{Options, Stand, Trap};

/// Longer than any back-off that a test waits for.
const SOON: Duration = Duration::from_secs(40);
/// What may be reached here although it is special.
const LOOPBACK: &str = "[\"127.0.0.0/8\"]";

/// A pair for `localhost` and 127.0.0.1 of the bench's authority.
fn leaf() -> &'static Leaf {
    static LEAF: OnceLock<Leaf> = OnceLock::new();
    LEAF.get_or_init(|| Certificates::copied().new_leaf("authd"))
}

fn trap() -> Trap {
    Trap::listen(Ipv4Addr::LOCALHOST.into(), &leaf().folder)
}

/// An installation of which the courier runs, and may go to the traps' ports.
fn stand(traps: &[&Trap], more: &[(&'static str, &'static str)]) -> Stand {
    let mut stand = prepared(traps, more);
    stand.courier().start();
    stand
}

fn prepared(traps: &[&Trap], more: &[(&'static str, &'static str)]) -> Stand {
    let ports: Vec<String> = traps.iter().map(|trap| format!("\"{}\"", trap.port())).collect();
    let ca = e2e::bench::bench().dir().join("tls/ca.pem");
    let mut set = vec![
        ("courier.courier_ports", &*format!("[{}]", ports.join(",")).leak()),
        ("courier.courier_ca", &*format!("{:?}", ca.display().to_string()).leak()),
    ];
    set.extend(more);
    Stand::prepare(&Options { set, courier: true, ..Options::default() })
}

#[track_caller]
fn sql(stand: &Stand, text: &str) -> String {
    stand.psql("opentrusty_owner", text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Wait until a query answers `t`.
fn until_true(stand: &Stand, query: &str) {
    until(query, SOON, || (sql(stand, query) == "t").then_some(()));
}

/// A client of the platform, with this metadata; its id.
fn client(stand: &Stand, name: &str, metadata: &serde_json::Value) -> String {
    sql(
        stand,
        &format!(
            "INSERT INTO clients (id, client_id, metadata)
             VALUES (gen_random_uuid(), '{name}', '{metadata}') RETURNING id"
        ),
    )
}

#[test]
fn the_couriers_role_reads_no_person_no_grant_and_no_audit() {
    let stand = prepared(&[], &[]);
    for table in [
        "users",
        "credentials",
        "grants",
        "live_grants",
        "access_tokens",
        "refresh_tokens",
        "sessions",
        "deferred_requests",
        "enrolments",
        "client_secrets",
        "audit_events",
        "signing_keys",
        "throttles",
    ] {
        let refused = stand.psql("opentrusty_courier", &format!("SELECT 1 FROM {table}"));
        assert!(refused.unwrap_err().contains("permission denied"), "{table}");
    }
    for act in [
        "INSERT INTO audit_events (plane, type, actor_type) VALUES ('admin', 'x', 'system')",
        "INSERT INTO outbox (id, kind, url, body) VALUES (gen_random_uuid(), 'ciba_ping', 'x', '{}')",
        "UPDATE outbox SET url = 'https://elsewhere.example/'",
        "UPDATE outbox SET body = '{}'",
        "UPDATE clients SET status = 'active'",
        "UPDATE client_keys SET wanted_at = now()",
        "DELETE FROM outbox",
        "DELETE FROM client_keys",
    ] {
        let refused = stand.psql("opentrusty_courier", act);
        assert!(refused.unwrap_err().contains("permission denied"), "{act}");
    }
    stand.psql("opentrusty_courier", "SELECT 1 FROM outbox, client_keys").unwrap();
}

#[test]
fn w181_its_settings_are_checked_and_refused_like_the_others() {
    let mut stand = prepared(&[], &[("courier.courier_allow", LOOPBACK)]);
    let check = |stand: &mut Stand| stand.courier().command().arg("--check").output().unwrap();
    assert_eq!(check(&mut stand).status.code(), Some(0));
    stand.courier().set_env("OPENTRUSTY_MAIL_WEBHOOK", "http://mail.example/hunter2");
    let refused = check(&mut stand);
    assert_eq!(refused.status.code(), Some(78));
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(words.contains("mail_webhook") && !words.contains("hunter2"), "{words}");
    assert_eq!(words.lines().count(), 1, "{words}");
}

#[test]
fn it_ends_when_it_is_told_to_and_refuses_a_database_of_another_release() {
    let mut ended = stand(&[], &[]);
    until("it works", SOON, || ended.courier().log().contains("under way").then_some(()));
    assert!(ended.courier().stop().success());

    let mut old = Stand::prepare(&Options { migrated: false, courier: true, ..Options::default() });
    old.courier().start();
    let status = until("it refuses", SOON, || old.courier().ended());
    assert_eq!(status.code(), Some(1), "{}", old.courier().log());
    assert!(old.courier().log().contains("opentrusty migrate"));
}

/// A supervisor that is asked to end, however its test ends.
struct Supervisor(std::process::Child);

impl Drop for Supervisor {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn serve_all_keeps_it_running_too() {
    let stand = Stand::prepare(&Options::default());
    let state = stand.token().parent().unwrap().join("n0");
    let log = std::fs::File::create(state.join("log/supervisor.log")).unwrap();
    let mut command = stand.cli();
    command
        .args(["serve", "all", "--state"])
        .arg(&state)
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let _supervisor = Supervisor(command.spawn().unwrap());
    let text = |path: &str| std::fs::read_to_string(state.join(path)).unwrap_or_default();
    let pid = |but: &str| {
        until("another courier works", SOON, || {
            let pid = text("pids/courier.pid").trim().to_owned();
            let works = text("log/courier.log").matches("under way").count();
            (!pid.is_empty() && pid != but && works > usize::from(!but.is_empty())).then_some(pid)
        })
    };
    let first = pid("");
    let words = std::fs::read_to_string(format!("/proc/{first}/cmdline")).unwrap();
    assert!(words.contains("--courier") && words.contains("courier.toml"), "{words}");
    let number = rustix::process::Pid::from_raw(first.parse().unwrap()).unwrap();
    rustix::process::kill_process(number, rustix::process::Signal::KILL).unwrap();
    pid(&first);
}
