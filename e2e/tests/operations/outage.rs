//! What goes on without keyd, without PostgreSQL, without admind; and that it comes back by itself.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use e2e::bench::{bench, until};
use e2e::people::{MEMBER, PLATFORM_ADMIN, app, console};
use e2e::{Client, Options, Party, Pkce, Response, Stand, bearer};
use rustix::process::Signal;

use crate::{alone, beside_others, jwks, populated, text};

/// F1: an answer, whatever it is, comes within this.
const QUICKLY: Duration = Duration::from_secs(3);
/// Nobody restarts anything; the installation is given this long to find back.
pub(crate) const BACK: Duration = Duration::from_secs(20);

/// Every answer is 503 with a time to come back; and it is quick, unless this machine is too busy three times.
#[track_caller]
fn unavailable(what: &str, mut ask: impl FnMut() -> Response) {
    let mut times = Vec::new();
    while times.len() < 3 {
        let begin = Instant::now();
        let response = ask();
        let took = begin.elapsed();
        assert_eq!(response.status, 503, "{what}: {}", response.text());
        let retry = response.header("retry-after").map(str::parse::<u32>);
        assert!(matches!(retry, Some(Ok(1..=60))), "{what}: {:?}", response.headers);
        for word in ["sql", "postgres", "socket", "os error", "/tmp/", "keyd"] {
            assert!(!response.text().to_lowercase().contains(word), "{what}: {}", response.text());
        }
        if took <= QUICKLY {
            return;
        }
        times.push(took);
    }
    panic!("{what} took {times:?}");
}

/// What an outage may cost nothing of: a code and a refresh token, unused.
pub(crate) struct Purse {
    pub(crate) party: Party,
    client: Client,
    code: (String, Pkce),
    pub(crate) access: String,
    refresh: String,
}

impl Purse {
    pub(crate) fn of(stand: &Stand) -> Self {
        let party = app(stand);
        let mut browser = stand.browser();
        let tokens = party.tokens(&mut browser, MEMBER);
        let code = party.code(&mut browser, MEMBER);
        Self {
            party,
            client: browser.client().clone(),
            code,
            access: text(&tokens, "access_token").to_owned(),
            refresh: text(&tokens, "refresh_token").to_owned(),
        }
    }

    pub(crate) fn redeem(&mut self) -> Response {
        self.party.redeem(&mut self.client, &self.code.0, &self.code.1)
    }

    pub(crate) fn refresh(&mut self) -> Response {
        self.party.refresh(&mut self.client, &self.refresh)
    }

    /// Ask until keyd or PostgreSQL is back; nothing but 503 may come before 200.
    pub(crate) fn recovers(mut self) {
        until("the code is taken", BACK, || answered(&self.redeem()));
        until("the refresh token is taken", BACK, || answered(&self.refresh()));
        assert_eq!(self.redeem().status, 400, "the code was good once");
    }
}

pub(crate) fn answered(response: &Response) -> Option<()> {
    assert!(matches!(response.status, 200 | 503), "{} {}", response.status, response.text());
    (response.status == 200).then_some(())
}

#[test]
fn f16_without_keyd_signing_waits_then_says_503_and_everything_else_goes_on() {
    let _cluster = beside_others();
    let mut stand = populated(&Options::default());
    let mut purse = Purse::of(&stand);
    let keys = jwks(&stand, 0);
    stand.node(0).keyd.kill9();

    unavailable("a code", || purse.redeem());
    unavailable("a refresh token", || purse.refresh());
    assert_eq!(jwks(&stand, 0), keys, "the key set is served from memory");
    let discovery = format!("{}/.well-known/openid-configuration", stand.issuer());
    stand.client().get(&discovery).expect(200);
    let active = purse.party.introspect(&mut stand.client(), &purse.access);
    assert_eq!(active.expect(200).json()["active"], true);
    let userinfo = format!("{}/oauth/userinfo", stand.issuer());
    stand.client().get_with(&userinfo, bearer(&purse.access)).expect(200);
    // A session needs no signature, and neither does a code.
    let pkce = Pkce::new();
    let asked = purse.client.get(&purse.party.url(&pkce, &[])).expect(303).location().to_owned();
    let next = format!("{}{asked}", stand.issuer());
    let next = if asked.starts_with("https:") { asked } else { next };
    let sent = purse.client.get(&next).expect(303).location().to_owned();
    assert!(sent.starts_with(&purse.party.redirect_uri) && sent.contains("code="), "{sent}");

    stand.node(0).keyd.start();
    purse.recovers();
}

#[test]
fn f16_w36_without_keyd_a_replay_ends_its_family_all_the_same() {
    let _cluster = beside_others();
    let mut stand = populated(&Options::default());
    let mut purse = Purse::of(&stand);
    let renewed = purse.refresh().expect(200).json();
    stand.node(0).keyd.stop();
    let replayed = purse.refresh();
    assert_eq!(replayed.status, 400, "{}", replayed.text());
    let mut client = stand.client();
    let asked = purse.party.introspect(&mut client, text(&renewed, "access_token"));
    assert_eq!(asked.expect(200).json()["active"], false);
    let told = "SELECT count(*) FROM audit_events WHERE type = 'refresh.reused'";
    assert_eq!(crate::owner(&stand, told), "1");
    stand.node(0).keyd.start();
}

#[test]
fn f16_a_request_that_waits_for_keyd_is_answered_when_it_returns() {
    let _cluster = beside_others();
    let mut stand = populated(&Options::default());
    // keyd must be back within authd's two seconds; on a machine that is too busy for that once, try again.
    let served = (0..5).any(|_| {
        let mut purse = Purse::of(&stand);
        stand.node(0).keyd.kill9();
        let waiting = thread::spawn(move || purse.redeem().status);
        stand.node(0).keyd.start();
        let status = waiting.join().unwrap();
        assert!(matches!(status, 200 | 503), "{status}");
        until("keyd serves", BACK, || answered(&Purse::of_when_back(&stand)?.refresh()));
        status == 200
    });
    assert!(served, "no request waited for keyd's return");
}

impl Purse {
    /// The same, while keyd may still be away.
    fn of_when_back(stand: &Stand) -> Option<Self> {
        let party = app(stand);
        let mut browser = stand.browser();
        let code = party.code(&mut browser, MEMBER);
        let response = party.redeem(browser.client(), &code.0, &code.1);
        answered(&response)?;
        let tokens = response.json();
        Some(Self {
            party,
            client: browser.client().clone(),
            code,
            access: text(&tokens, "access_token").to_owned(),
            refresh: text(&tokens, "refresh_token").to_owned(),
        })
    }
}

#[test]
fn f18_a_keyd_that_hangs_costs_signing_alone_and_spends_nothing() {
    let _cluster = beside_others();
    let mut stand = populated(&Options::default());
    let mut purse = Purse::of(&stand);
    stand.node(0).keyd.signal(Signal::STOP);
    unavailable("a code", || purse.redeem());
    unavailable("a refresh token", || purse.refresh());
    let active = purse.party.introspect(&mut stand.client(), &purse.access);
    assert_eq!(active.expect(200).json()["active"], true);
    stand.node(0).keyd.signal(Signal::CONT);
    purse.recovers();
}

#[test]
fn w170_a_socket_that_somebody_else_put_there_is_not_trusted() {
    e2e::bench::require_root();
    let _cluster = beside_others();
    let mut stand = populated(&Options::default());
    let mut purse = Purse::of(&stand);
    stand.node(0).keyd.kill9();
    let path = stand.keyd_sign_socket(0);
    // Root listens: not the user that authd was told of.
    std::fs::remove_file(&path).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    unavailable("a code", || purse.redeem());
    let log = stand.node(0).authd.log();
    assert!(log.contains("belongs to somebody else"), "{log}");
    // It connected, to look, and sent nothing.
    let (mut connection, _) = listener.accept().unwrap();
    let mut heard = Vec::new();
    std::io::Read::read_to_end(&mut connection, &mut heard).unwrap();
    assert_eq!(heard, b"", "not a byte for a stranger");
    drop(listener);
    std::fs::remove_file(&path).unwrap();
    stand.node(0).keyd.start();
    purse.recovers();
}

#[test]
fn f1_without_postgresql_every_plane_says_503_quickly_and_recovers() {
    let _cluster = alone();
    let mut stand = populated(&Options::default());
    let mut purse = Purse::of(&stand);
    let admin = console(&stand).tokens(&mut stand.browser(), PLATFORM_ADMIN);
    let me = format!("{}/api/v1/me", stand.api());
    let (issuer, api) = (stand.issuer().to_owned(), stand.api().to_owned());
    let keys = jwks(&stand, 0);
    bench().stop_postgresql();

    let mut client = stand.client();
    for plane in [&issuer, &api] {
        client.get(&format!("{plane}/healthz")).expect(200);
        let begin = Instant::now();
        client.get(&format!("{plane}/readyz")).expect(503);
        assert!(begin.elapsed() <= QUICKLY, "readyz took {:?}", begin.elapsed());
    }
    unavailable("a code", || purse.redeem());
    unavailable("a refresh token", || purse.refresh());
    unavailable("introspection", || purse.party.introspect(&mut client, &purse.access));
    unavailable("revocation", || purse.party.revoke(&mut client, &purse.access));
    let userinfo = format!("{issuer}/oauth/userinfo");
    unavailable("userinfo", || client.get_with(&userinfo, bearer(&purse.access)));
    unavailable("authorization", || client.get(&purse.party.url(&Pkce::new(), &[])));
    unavailable("the management API", || {
        client.get_with(&me, bearer(text(&admin, "access_token")))
    });
    assert_eq!(jwks(&stand, 0), keys);

    bench().start_postgresql();
    until("both planes are ready", BACK, || {
        let ready = [&issuer, &api]
            .iter()
            .all(|plane| client.get(&format!("{plane}/readyz")).status == 200);
        ready.then_some(())
    });
    purse.recovers();
    client.get_with(&me, bearer(text(&admin, "access_token"))).expect(200);
    for daemon in [&stand.nodes()[0].authd, stand.admind_here()] {
        assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    }
    stand.wait_ready();
}

#[test]
fn f12_connections_that_postgresql_ends_cost_no_more_than_a_503() {
    let _cluster = beside_others();
    let stand = populated(&Options::default());
    let mut purse = Purse::of(&stand);
    let mut client = stand.client();
    for _ in 0..10 {
        stand
            .psql(
                "postgres",
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .unwrap();
        let response = purse.party.introspect(&mut client, &purse.access);
        assert!(matches!(response.status, 200 | 503), "{} {}", response.status, response.text());
    }
    until("introspection is back", BACK, || {
        answered(&purse.party.introspect(&mut client, &purse.access))
    });
    until("the refresh token is taken", BACK, || answered(&purse.refresh()));
    purse.redeem().expect(200);
}

/// The server processes of PostgreSQL that serve `role` in the stand's database, with no test's own among them.
pub(crate) fn connections(stand: &Stand, role: &str) -> Vec<String> {
    let sql = format!(
        "SELECT pid FROM pg_stat_activity
         WHERE datname = current_database() AND usename = '{role}' ORDER BY pid"
    );
    stand.psql("postgres", &sql).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn f9_a_daemon_has_its_connections_before_anybody_asks_and_opens_none_under_load() {
    let _cluster = beside_others();
    let stand = populated(&Options::default());
    let before = connections(&stand, "opentrusty_authd");
    assert_eq!(before.len(), 16, "authd's database_connections");
    assert_eq!(connections(&stand, "opentrusty_admind").len(), 8, "admind's");
    let purse = Purse::of(&stand);
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                purse.party.introspect(&mut stand.client(), &purse.access).expect(200);
            });
        }
    });
    assert_eq!(connections(&stand, "opentrusty_authd"), before);
}

#[test]
fn f12_connections_that_ended_while_nobody_asked_cost_nothing() {
    let _cluster = beside_others();
    let stand = populated(&Options::default());
    let purse = Purse::of(&stand);
    let mut client = stand.client();
    stand
        .psql(
            "postgres",
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .unwrap();
    thread::sleep(Duration::from_millis(300));
    for _ in 0..20 {
        purse.party.introspect(&mut client, &purse.access).expect(200);
    }
}

/// A session of the owner's that holds a lock until it is dropped.
pub(crate) struct Lock(Child);

impl Lock {
    pub(crate) fn on(stand: &Stand, table: &str) -> Self {
        let mut psql = Command::new("psql")
            .args(["-X", "-q", "-A", "-t", "-d", stand.database(), "-U", "opentrusty_owner", "-h"])
            .arg(bench().sockets())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;\n");
        psql.stdin.as_mut().unwrap().write_all(lock.as_bytes()).unwrap();
        until("the lock is held", BACK, || {
            let held = format!(
                "SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass
                 AND mode = 'AccessExclusiveLock' AND granted"
            );
            (crate::owner(stand, &held) == "1").then_some(())
        });
        Self(psql)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn f11_a_table_that_somebody_locks_costs_503s_and_no_pile_up() {
    let _cluster = beside_others();
    let stand = populated(&Options::default());
    let mut purse = Purse::of(&stand);
    let lock = Lock::on(&stand, "grants");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = stand.client();
                unavailable("introspection", || purse.party.introspect(&mut client, &purse.access));
            });
        }
    });
    jwks(&stand, 0);
    drop(lock);
    until("the lock is gone", BACK, || answered(&purse.redeem()));
    until("the refresh token is taken", BACK, || answered(&purse.refresh()));
}

#[test]
fn f15_without_admind_the_public_plane_is_as_before() {
    let _cluster = beside_others();
    let mut stand = populated(&Options::default());
    stand.admind().kill9();
    let mut purse = Purse::of(&stand);
    purse.redeem().expect(200);
    purse.refresh().expect(200);
    // A restarted authd does not need it either.
    stand.node(0).authd.kill9();
    stand.node(0).authd.start();
    stand.node(0).wait_ready();
    Purse::of(&stand).redeem().expect(200);
    stand.admind().start();
    stand.wait_ready();
}
