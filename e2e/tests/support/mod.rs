//! What the protocol tests share: one installation per binary with people and clients in it, the flow as
//! a relying party drives it, and the answers that `security.md` §2.0 gives short names to.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test support: a failure here is the failure of the test that asked"
)]

pub(crate) mod account;
mod answers;
pub(crate) mod arena;
pub(crate) mod assertion;
pub(crate) mod deferred;
pub(crate) mod endpoints;
mod flow;
pub(crate) mod racing;
pub(crate) mod statements;
mod world;

use std::fmt::Write as _;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use e2e::{Connection, Options, Response, Stand};
use url::Url;

pub(crate) use answers::*;
pub(crate) use flow::*;
pub(crate) use world::*;

fn shared() -> &'static RwLock<Stand> {
    static STAND: OnceLock<RwLock<Stand>> = OnceLock::new();
    STAND.get_or_init(|| RwLock::new(populated(1)))
}

/// The binary's installation, used beside other tests.
pub(crate) fn together() -> RwLockReadGuard<'static, Stand> {
    shared().read().unwrap_or_else(PoisonError::into_inner)
}

/// The binary's installation, alone: for tests that compare the whole database before and after.
pub(crate) fn alone() -> RwLockWriteGuard<'static, Stand> {
    shared().write().unwrap_or_else(PoisonError::into_inner)
}

/// [`together`], with the clients of [`machines`] in it.
pub(crate) fn together_with_machines() -> RwLockReadGuard<'static, Stand> {
    let stand = together();
    seed_machines(&stand);
    stand
}

/// [`alone`], with the clients of [`machines`] in it.
pub(crate) fn alone_with_machines() -> RwLockWriteGuard<'static, Stand> {
    let stand = alone();
    seed_machines(&stand);
    stand
}

fn seed_machines(stand: &Stand) {
    static SEEDED: OnceLock<()> = OnceLock::new();
    SEEDED.get_or_init(|| stand.seed(&machines()));
}

/// An installation of one's own with the same people and clients.
pub(crate) fn populated(nodes: usize) -> Stand {
    // Thousands of authorization requests by one network, and the faster the machine the sooner: what is tested
    // here is not that limit, which has an installation of its own (W136 in protocol_lockout.rs).
    let set = vec![("authd.password_reset", "true"), ("authd.anonymous_burst", "1000000")];
    let stand = Stand::start(&Options { nodes, set, ..Options::default() });
    stand.seed(&world());
    // A key that is made late would look like a change that a test has caused.
    stand.wait_for_keys();
    stand
}

/// SQL as the owner of the schema.
#[track_caller]
pub(crate) fn sql(stand: &Stand, text: &str) -> String {
    stand.psql("opentrusty_owner", text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// No daemon has ended or panicked: as far as their own words go (W110).
#[track_caller]
pub(crate) fn assert_unharmed(stand: &mut Stand) {
    let mut logs = stand.admind().log();
    assert!(stand.admind().ended().is_none(), "admind has ended");
    let node = stand.node(0);
    for daemon in [&mut node.keyd, &mut node.authd] {
        assert!(daemon.ended().is_none(), "{} has ended: {}", daemon.name(), daemon.log());
        logs.push_str(&daemon.log());
    }
    for word in ["panicked", "overflow", "request failed", "internal error"] {
        assert!(!logs.contains(word), "{word}: {logs}");
    }
}

/// Everything that is stored but audit, throttles and `last_seen_at`, table by table: the oracle of `∅`.
pub(crate) fn digest(stand: &Stand) -> String {
    static QUERY: OnceLock<String> = OnceLock::new();
    let query = QUERY.get_or_init(|| {
        let tables = sql(
            stand,
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'
             AND tablename !~ '^audit_|^_|^throttles$' ORDER BY 1",
        );
        let parts: Vec<String> = tables
            .lines()
            .map(|table| {
                format!(
                    "SELECT '{table}', count(*), md5(coalesce(string_agg(row, ',' ORDER BY row), '')) FROM
                     (SELECT (to_jsonb(t) - 'last_seen_at')::text AS row FROM {table} t) r"
                )
            })
            .collect();
        assert!(parts.len() > 15, "the tables are found: {tables}");
        parts.join(" UNION ALL ")
    });
    sql(stand, query)
}

/// How many audit rows of a type there are, whose target or actor or data names `about`.
pub(crate) fn audits(stand: &Stand, kind: &str, about: &str) -> usize {
    let query = format!(
        "SELECT count(*) FROM audit_events a WHERE type = '{kind}' AND a::text LIKE '%{about}%'"
    );
    sql(stand, &query).parse().unwrap()
}

/// A TLS connection that is kept for many requests, and opened anew when the server has closed it.
pub(crate) struct Line {
    stand_url: Url,
    address: std::net::SocketAddr,
    trust: e2e::Trust,
    connection: Option<Connection>,
}

impl Line {
    pub(crate) fn open(stand: &Stand) -> Self {
        let stand_url = Url::parse(stand.issuer()).unwrap();
        let address = stand.client().address(&stand_url);
        Self { stand_url, address, trust: stand.trust().clone(), connection: None }
    }

    /// GET a target, exactly as it is written.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.ask("GET", target, &[], b"")
    }

    /// POST a form with more headers.
    #[track_caller]
    pub(crate) fn post(
        &mut self,
        target: &str,
        headers: &[(&str, &str)],
        form: e2e::Form<'_>,
    ) -> Response {
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        self.ask("POST", target, &all, e2e::query(form).as_bytes())
    }

    /// Any request; every answer is held to what all answers must keep.
    #[track_caller]
    pub(crate) fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let host = format!("localhost:{}", self.stand_url.port().unwrap());
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n");
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if !body.is_empty() || method == "POST" {
            write!(head, "content-length: {}\r\n", body.len()).unwrap();
        }
        head.push_str("\r\n");
        let bytes = [head.as_bytes(), body].concat();
        let response = match self.connection.take() {
            // The server may have closed a line that was idle or had served enough.
            Some(mut old) => match Self::over(&mut old, &bytes, method) {
                Ok(response) => {
                    self.connection = Some(old);
                    response
                }
                Err(_) => self.fresh(&bytes, method),
            },
            None => self.fresh(&bytes, method),
        };
        if response.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close")) {
            self.connection = None;
        }
        assert_always(target, &response);
        response
    }

    #[track_caller]
    fn fresh(&mut self, bytes: &[u8], method: &str) -> Response {
        let mut connection = Connection::open(self.address, &self.trust).unwrap();
        let response = Self::over(&mut connection, bytes, method)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)));
        self.connection = Some(connection);
        response
    }

    fn over(connection: &mut Connection, bytes: &[u8], method: &str) -> std::io::Result<Response> {
        connection.send(bytes)?;
        connection.receive(method == "HEAD")
    }
}
