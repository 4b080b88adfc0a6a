//! F14, F16: authd and keyd are killed at arbitrary moments under load. The clients keep a ledger: what was acknowledged must
//! be there afterwards, what was not must be all or nothing, and nothing may have happened twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::aftermath::Aftermath;
use e2e::bench::{bench, until};
use e2e::crowd::Crowd;
use e2e::ledger::{self, Ask, Fate, Ledger};
use e2e::people::{MEMBER, app, outsider_of};
use e2e::whole::WHOLE;
use e2e::{Daemon, Options, Stand};

use crate::{beside_others, jwks, owner, populated};

const WORKERS: usize = 6;
/// Acknowledged answers between two kills.
const BETWEEN_KILLS: usize = 25;
const KILLS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn f14_kill_nine_of_authd_and_keyd_under_load_loses_nothing_acknowledged_and_does_nothing_twice() {
    let _cluster = beside_others();
    // A sign-in that dies between its attempt and its success stays counted; here many do.
    let roomy = vec![("authd.sign_in_attempts", "100")];
    let mut stand = populated(&Options { set: roomy, ..Options::default() });
    // Two daemons that this test may kill while the load borrows the stand.
    stand.node(0).kill9();
    let mut victims = [stand.stranger("authd", 0), stand.stranger("keyd", 0)];
    for victim in &mut victims {
        victim.start();
    }
    let path = bench().dir().join(format!("{}.ledger", stand.database()));
    let crowd = Crowd {
        client: stand.client(),
        party: app(&stand),
        outsider: outsider_of(stand.issuer()),
        ledger: Ledger::create(&path),
        pause: Duration::ZERO,
        over: AtomicBool::new(false),
    };
    kill_under(&crowd, &mut victims);
    let ready = format!("{}/readyz", stand.issuer());
    until("authd is ready", PATIENCE, || {
        let response = stand.client().try_send("GET", &ready, &[], b"").ok()?;
        (response.status == 200).then_some(())
    });
    for victim in &victims {
        assert!(!victim.log().contains("panicked"), "{}", victim.log());
    }
    nothing_is_lost(&stand, &crowd, &ledger::read(&path));
}

fn kill_under(crowd: &Crowd, victims: &mut [Daemon; 2]) {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(|| crowd.person(MEMBER))).collect();
        // Whatever fails below, the workers must end.
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for kill in 0..KILLS {
                let victim = &mut victims[kill % 2];
                let goal = crowd.ledger.acknowledged() + BETWEEN_KILLS;
                until("the load goes on", PATIENCE, || {
                    let at_work = workers.iter().any(|worker| !worker.is_finished());
                    assert!(at_work, "the load has ended");
                    (crowd.ledger.acknowledged() >= goal).then_some(())
                });
                victim.kill9();
                victim.start();
            }
        }));
        crowd.over.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().unwrap();
        }
        killed.unwrap();
    });
}

fn nothing_is_lost(stand: &Stand, crowd: &Crowd, ledger: &[ledger::Entry]) {
    // Nobody answers 500, or with half an answer that is taken for a whole one. 503 is "nothing was done"; but the
    // ledger need not believe it.
    for entry in ledger {
        if let Fate::Answered { status, .. } = entry.fate {
            assert!(matches!(status, 200 | 303 | 503), "{status}: {:?}", entry.what);
        }
    }
    for (what, sql) in WHOLE {
        assert_eq!(owner(stand, sql), "0", "{what}");
    }
    let codes: usize = owner(stand, "SELECT count(*) FROM codes").parse().unwrap();
    let told = ledger.iter().filter(|entry| matches!(entry.what, Ask::Redeem { .. })).count();
    assert!(codes >= told, "{codes} codes stored, {told} acknowledged");
    let (party, keys) = (&crowd.party, jwks(stand, 0));
    let settled = Aftermath { client: stand.client(), party, keys }.settle(ledger);
    assert!(settled.sure >= KILLS * 3, "{settled:?}: too little load to show anything");
}
