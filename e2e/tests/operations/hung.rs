//! A database that says nothing any more: not a word that it ends, and not an answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::Stand;
use e2e::bench::until;
use rustix::process::{Pid, Signal, kill_process};

use crate::outage::{BACK, Lock, Purse, connections};
use crate::{beside_others, populated};

/// Server processes of PostgreSQL that stand still until this is dropped: what a client sees of a host that went away.
struct Still(Vec<Pid>);

impl Still {
    fn of(stand: &Stand, role: &str) -> Self {
        let pids = connections(stand, role);
        let pids = pids.iter().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap());
        let still = Self(pids.collect());
        still.send(Signal::STOP);
        still
    }

    fn send(&self, signal: Signal) {
        for pid in &self.0 {
            let _ = kill_process(*pid, signal);
        }
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        self.send(Signal::CONT);
    }
}

#[test]
fn f36_connections_that_went_away_while_nobody_asked_cost_a_503_at_most() {
    e2e::bench::require_root();
    let _cluster = beside_others();
    let stand = populated(&e2e::Options::default());
    let purse = Purse::of(&stand);
    thread::sleep(Duration::from_millis(300));
    let _still = Still::of(&stand, "opentrusty_authd");
    purse.recovers();
}

#[test]
fn f36_a_daemon_whose_every_connection_hangs_starts_anew_once_the_server_is_there() {
    e2e::bench::require_root();
    let _cluster = beside_others();
    let mut stand = populated(&e2e::Options::default());
    let purse = Purse::of(&stand);
    let lock = Lock::on(&stand, "grants");
    let enough = AtomicBool::new(false);
    let still = thread::scope(|scope| {
        let (enough, stand, purse) = (&enough, &stand, &purse);
        for _ in 0..24 {
            scope.spawn(move || {
                let mut client = stand.client();
                let form = [("token", purse.access.as_str())];
                // Whoever finds authd gone has seen what this is about.
                while !enough.load(Ordering::SeqCst) {
                    let Ok(asked) = purse.party.try_post(&mut client, "/oauth/introspect", &form)
                    else {
                        return;
                    };
                    assert_eq!(asked.status, 503, "{}", asked.text());
                }
            });
        }
        until("every connection waits for the lock", BACK, || {
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                           AND usename = 'opentrusty_authd' AND wait_event_type = 'Lock'";
            (stand.psql("postgres", waiting).unwrap() == "16").then_some(())
        });
        let still = Still::of(stand, "opentrusty_authd");
        enough.store(true, Ordering::SeqCst);
        still
    });
    drop(lock);
    let ended = until("authd ends", BACK, || stand.node(0).authd.ended());
    assert_eq!(ended.code(), Some(1), "systemd starts it again");
    let log = stand.node(0).authd.log();
    assert!(log.contains("every connection to the database hangs"), "{log}");
    stand.node(0).authd.kill9();
    stand.node(0).authd.start();
    stand.node(0).wait_ready();
    drop(still);
    purse.recovers();
}
