//! F14, F16: authd and keyd are killed at arbitrary moments under load. The clients keep a ledger: what was acknowledged must
//! be there afterwards, what was not must be all or nothing, and nothing may have happened twice.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use e2e::bench::until;
use e2e::people::{MEMBER, app};
use e2e::{Client, Options, Party, Pkce, Response, Stand, tokens};

use crate::{beside_others, jwks, owner, populated, text};

const WORKERS: usize = 6;
/// Acknowledged answers between two kills.
const BETWEEN_KILLS: usize = 25;
const KILLS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of one request.
enum Fate {
    /// The whole answer arrived.
    Answered(Response),
    /// It may have been carried out or not.
    Unknown,
}

/// One code and what was made of it, written down before and after each step.
struct Entry {
    code: (String, Pkce),
    redeemed: Redeemed,
}

enum Redeemed {
    Yes { access: String, refresh: String, rotated: Rotated },
    Unknown,
}

enum Rotated {
    Yes { access: String, refresh: String },
    Unknown,
}

struct Load<'a> {
    party: Party,
    ledger: Mutex<Vec<Entry>>,
    acknowledged: AtomicUsize,
    over: AtomicBool,
    stand: &'a Stand,
}

/// Nobody answers 500, or with half an answer that is taken for a whole one.
fn fate(response: io::Result<Response>) -> Fate {
    match response {
        Ok(response) if matches!(response.status, 200 | 303) => Fate::Answered(response),
        // 503 is "nothing was done"; but the ledger need not believe it.
        Ok(response) => {
            assert_eq!(response.status, 503, "{:?} {}", response.headers, response.text());
            Fate::Unknown
        }
        Err(_) => Fate::Unknown,
    }
}

impl Load<'_> {
    fn work(&self) {
        let mut browser = loop {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            if let Some(signed_in) = self.sign_in() {
                break signed_in;
            }
        };
        while !self.over.load(Ordering::Relaxed) {
            let Some(code) = self.code(&mut browser) else { continue };
            let redeemed = self.redeem(&code);
            self.ledger.lock().unwrap().push(Entry { code, redeemed });
        }
    }

    fn count(&self, response: Response) -> Response {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        response
    }

    /// A client with a session, or nothing if something was in the way.
    fn sign_in(&self) -> Option<Client> {
        let mut client = self.stand.client();
        let url = self.party.url(&Pkce::new(), &[]);
        let login = self.follow(&mut client, &url)?;
        let page = client.try_send("GET", &login, &[], b"").ok()?;
        let value = |name: &str| {
            let text = page.text();
            let (_, rest) = text.split_once(&format!("name=\"{name}\" value=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let (csrf, interaction) = (value("csrf")?, value("interaction")?);
        let form = [
            ("username", MEMBER.0),
            ("password", MEMBER.1),
            ("csrf", &csrf),
            ("interaction", &interaction),
        ];
        let body = e2e::query(&form);
        let headers = [("content-type", "application/x-www-form-urlencoded".to_owned())];
        let url = format!("{}/login", self.party.issuer);
        match fate(client.try_send("POST", &url, &headers, body.as_bytes())) {
            Fate::Answered(_) => Some(client),
            Fate::Unknown => None,
        }
    }

    /// Two redirects: to the interaction, and to where it leads.
    fn follow(&self, client: &mut Client, url: &str) -> Option<String> {
        let mut url = url.to_owned();
        for _ in 0..2 {
            let Fate::Answered(response) = fate(client.try_send("GET", &url, &[], b"")) else {
                return None;
            };
            let response = self.count(response);
            let location = response.location().to_owned();
            url = match location.strip_prefix('/') {
                Some(path) => format!("{}/{path}", self.party.issuer),
                None => location,
            };
        }
        Some(url)
    }

    fn code(&self, client: &mut Client) -> Option<(String, Pkce)> {
        let pkce = Pkce::new();
        let sent = self.follow(client, &self.party.url(&pkce, &[]))?;
        let sent = url::Url::parse(&sent).unwrap();
        let (_, code) = sent.query_pairs().find(|(name, _)| name == "code")?;
        Some((code.into_owned(), pkce))
    }

    fn redeem(&self, (code, pkce): &(String, Pkce)) -> Redeemed {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", &self.party.redirect_uri),
            ("code_verifier", &pkce.verifier),
        ];
        let mut client = self.stand.client();
        let Fate::Answered(response) =
            fate(self.party.try_post(&mut client, "/oauth/token", &form))
        else {
            return Redeemed::Unknown;
        };
        let got = self.count(response).json();
        let refresh = text(&got, "refresh_token").to_owned();
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
        let rotated = match fate(self.party.try_post(&mut client, "/oauth/token", &form)) {
            Fate::Unknown => Rotated::Unknown,
            Fate::Answered(response) => {
                let got = self.count(response).json();
                Rotated::Yes {
                    access: text(&got, "access_token").to_owned(),
                    refresh: text(&got, "refresh_token").to_owned(),
                }
            }
        };
        let access = text(&got, "access_token").to_owned();
        Redeemed::Yes { access, refresh, rotated }
    }
}

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
    let load = Load {
        party: app(&stand),
        ledger: Mutex::default(),
        acknowledged: AtomicUsize::new(0),
        over: AtomicBool::new(false),
        stand: &stand,
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(|| load.work())).collect();
        // Whatever fails below, the workers must end.
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for kill in 0..KILLS {
                let victim = &mut victims[kill % 2];
                let goal = load.acknowledged.load(Ordering::Relaxed) + BETWEEN_KILLS;
                until("the load goes on", PATIENCE, || {
                    assert!(
                        workers.iter().any(|worker| !worker.is_finished()),
                        "the load has ended"
                    );
                    (load.acknowledged.load(Ordering::Relaxed) >= goal).then_some(())
                });
                victim.kill9();
                victim.start();
            }
        }));
        load.over.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().unwrap();
        }
        killed.unwrap();
    });
    let (party, ledger) = (load.party, load.ledger.into_inner().unwrap());
    let ready = format!("{}/readyz", stand.issuer());
    until("authd is ready", PATIENCE, || {
        let response = stand.client().try_send("GET", &ready, &[], b"").ok()?;
        (response.status == 200).then_some(())
    });
    for victim in &victims {
        assert!(!victim.log().contains("panicked"), "{}", victim.log());
    }
    database_is_whole(&stand, &ledger);
    settle(&stand, &party, &ledger);
}

/// I3, I4, I7, I9: by SQL, before anything is asked again.
fn database_is_whole(stand: &Stand, ledger: &[Entry]) {
    for (what, sql) in [
        ("a code was redeemed and nothing was issued",
         "SELECT count(*) FROM codes c WHERE redeemed_at IS NOT NULL
          AND NOT EXISTS (SELECT FROM access_tokens a WHERE a.grant_id = c.grant_id)"),
        ("something was issued and no code was redeemed",
         "SELECT count(*) FROM access_tokens a WHERE NOT EXISTS
          (SELECT FROM codes c WHERE c.grant_id = a.grant_id AND c.redeemed_at IS NOT NULL)"),
        ("a grant without a code",
         "SELECT count(*) FROM grants g WHERE NOT EXISTS (SELECT FROM codes c WHERE c.grant_id = g.id)"),
        ("an interaction gave a code and is not over",
         "SELECT count(*) FROM codes c WHERE (SELECT count(*) FROM interactions WHERE completed_at IS NOT NULL)
          < (SELECT count(*) FROM codes)"),
        ("a grant has two families",
         "SELECT count(*) FROM (SELECT grant_id FROM refresh_tokens WHERE rotated_at IS NULL
          GROUP BY grant_id HAVING count(*) > 1) twice"),
        ("a refresh token was rotated without a successor",
         "SELECT count(*) FROM refresh_tokens r WHERE rotated_at IS NOT NULL AND NOT EXISTS
          (SELECT FROM refresh_tokens s WHERE s.token_hash = r.successor_hash)"),
        ("a grant has more access tokens than refresh tokens",
         "SELECT count(*) FROM (SELECT g.id, (SELECT count(*) FROM access_tokens a WHERE a.grant_id = g.id) AS a,
          (SELECT count(*) FROM refresh_tokens r WHERE r.grant_id = g.id) AS r FROM grants g) n WHERE a <> r"),
        ("codes and their audit rows are not as many",
         "SELECT abs((SELECT count(*) FROM codes) - (SELECT count(*) FROM audit_events WHERE type = 'code.issued'))"),
        ("redemptions and their audit rows are not as many",
         "SELECT abs((SELECT count(*) FROM codes WHERE redeemed_at IS NOT NULL)
          - (SELECT count(*) FROM audit_events WHERE type = 'tokens.issued'))"),
        ("refreshes and their audit rows are not as many",
         "SELECT abs((SELECT count(*) FROM refresh_tokens WHERE rotated_at IS NOT NULL)
          - (SELECT count(*) FROM audit_events WHERE type = 'tokens.refreshed'))"),
        ("sessions and their audit rows are not as many",
         "SELECT abs((SELECT count(*) FROM sessions)
          - (SELECT count(*) FROM audit_events WHERE type = 'user.signed_in'))"),
    ] {
        assert_eq!(owner(stand, sql), "0", "{what}");
    }
    let codes: usize = owner(stand, "SELECT count(*) FROM codes").parse().unwrap();
    assert!(codes >= ledger.len(), "{codes} codes stored, {} acknowledged", ledger.len());
}

/// I1, I5, I6, I8: everything that a client holds is worth what it was told.
fn settle(stand: &Stand, party: &Party, ledger: &[Entry]) {
    let keys = jwks(stand, 0);
    let mut client = stand.client();
    let (mut sure, mut open) = (0, 0);
    for entry in ledger {
        let Redeemed::Yes { access, refresh, rotated } = &entry.redeemed else {
            open += 1;
            // All or nothing: it is redeemed now, for the first time, or it was then.
            let again = party.redeem(&mut client, &entry.code.0, &entry.code.1);
            assert!(matches!(again.status, 200 | 400), "{} {}", again.status, again.text());
            continue;
        };
        sure += 1;
        let active = |token: &str, client: &mut Client| {
            tokens::verify(token, &keys, stand.issuer(), stand.issuer()).unwrap();
            party.introspect(client, token).expect(200).json()["active"] == true
        };
        assert!(active(access, &mut client), "an acknowledged token is not active");
        match rotated {
            Rotated::Yes { access, refresh } => {
                assert!(active(access, &mut client), "an acknowledged token is not active");
                party.refresh(&mut client, refresh).expect(200);
            }
            Rotated::Unknown => {
                let again = party.refresh(&mut client, refresh);
                assert!(matches!(again.status, 200 | 400), "{} {}", again.status, again.text());
            }
        }
        // And a code that was redeemed is never redeemed again.
        party.redeem(&mut client, &entry.code.0, &entry.code.1).expect(400);
    }
    assert!(
        sure >= KILLS * 3,
        "{sure} acknowledged, {open} open: too little load to show anything"
    );
}
