//! Who comes to an installation that the tests did not start: in a test bed, or outside of it.
//!
//! `visitor world API PEOPLE`: what `opentrusty seed` has to write before anybody comes.
//! `visitor load PLACE LEDGER SECONDS PEOPLE`: people and an operator at work; the end of standard input ends it too.
//! `visitor flood PLACE SECONDS STRANGERS`: so many who try to sign in at once, without pause; fails unless an
//! operator's every request to the management API is answered meanwhile.
//! `visitor shut PLACE`: somebody guesses a stranger's password until the door is shut. `still`: the right one is
//! refused all the same.
//! `visitor inbox FOLDER PORT`: takes what comes by https, with the certificate in the folder, until standard input
//! ends; then prints every body that it was sent, one a line.
//! `visitor tally LEDGER [FROM-TO …]`: fails if a request failed, but for those in flight in one of these times (ms since 1970).
//! `visitor whole [PSQL …]`: the database by itself, through that command.
//! `visitor settle PLACE LEDGER`: what the clients were told, asked again.
//!
//! PLACE is `CA ISSUER API [PORT PORT]`; with ports both are reached there on loopback, whatever ports the URLs name.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test program: a failure here is the failure of the test that started it"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e2e::aftermath::Aftermath;
use e2e::crowd::Crowd;
use e2e::flood::Flood;
use e2e::ledger::{self, Entry, Ledger};
use e2e::people::{self, PLATFORM_ADMIN, STRANGER};
use e2e::whole::WHOLE;
use e2e::{Answer, Browser, Client, Trap, Trust, bearer};
use serde_json::Value;

/// Enough to keep a small machine busy, little enough to leave it an answer.
const PAUSE: Duration = Duration::from_millis(20);
/// More guesses than any door takes from one stranger.
const GUESSES: usize = 20;
/// How many faults are printed.
const SHOWN: usize = 10;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["world", api, count] => say(&people::crowded_world(api, number(count)).to_string()),
        ["load", ca, issuer, api, rest @ .., ledger, seconds, count] => {
            let place = Place::new(ca, issuer, api, rest);
            load(&place, ledger, Duration::from_secs(number(seconds)), number(count));
        }
        ["flood", ca, issuer, api, rest @ .., seconds, count] => {
            let place = Place::new(ca, issuer, api, rest);
            flood(&place, Duration::from_secs(number(seconds)), number(count));
        }
        ["shut", ca, issuer, api, rest @ ..] => shut(&Place::new(ca, issuer, api, rest)),
        ["still", ca, issuer, api, rest @ ..] => {
            let place = Place::new(ca, issuer, api, rest);
            assert_eq!(attempt(&place, STRANGER.1), 429, "the door is open again");
        }
        ["inbox", folder, port] => inbox(Path::new(folder), number(port)),
        ["tally", ledger, killed @ ..] => {
            let killed: Vec<(u64, u64)> = killed.iter().map(|at| span(at)).collect();
            tally(&ledger::read(Path::new(ledger)), &killed);
        }
        ["whole", psql @ ..] => whole(psql),
        ["settle", ca, issuer, api, rest @ .., ledger] => {
            settle(&Place::new(ca, issuer, api, rest), ledger);
        }
        _ => panic!("usage: visitor world|load|flood|shut|still|inbox|tally|whole|settle …"),
    }
}

/// Where the installation is.
struct Place {
    client: Client,
    issuer: String,
    api: String,
}

impl Place {
    fn new(ca: &str, issuer: &str, api: &str, ports: &[&str]) -> Self {
        let mut client = Client::new(&Trust::in_file(Path::new(ca)));
        for (url, port) in [issuer, api].into_iter().zip(ports) {
            let url = url::Url::parse(url).unwrap();
            client.route(url.port_or_known_default().unwrap(), number(port));
        }
        Self { client, issuer: issuer.to_owned(), api: api.to_owned() }
    }
}

fn load(place: &Place, ledger: &str, lasting: Duration, count: usize) {
    let crowd = Crowd {
        client: place.client.clone(),
        party: people::app_of(&place.issuer),
        outsider: people::outsider_of(&place.issuer),
        ledger: Ledger::create(Path::new(ledger)),
        pause: PAUSE,
        over: AtomicBool::new(false),
    };
    let end = Instant::now() + lasting;
    let console = people::console_of(&place.issuer);
    thread::scope(|scope| {
        let mut at_work = Vec::new();
        for (email, password) in people::crowd(count) {
            let crowd = &crowd;
            at_work.push(scope.spawn(move || crowd.person((&email, password))));
        }
        at_work.push(scope.spawn(|| crowd.operator(&console, &place.api, PLATFORM_ADMIN)));
        // Standard input ends when whoever started this has seen enough.
        let enough = &crowd.over;
        thread::spawn(enough_when_told);
        while Instant::now() < end && !TOLD.load(Ordering::Relaxed) {
            assert!(
                !at_work.iter().all(thread::ScopedJoinHandle::is_finished),
                "nobody is at work"
            );
            thread::park_timeout(Duration::from_millis(20));
        }
        enough.store(true, Ordering::Relaxed);
    });
    say(&format!("acknowledged {}", crowd.ledger.acknowledged()));
}

fn flood(place: &Place, lasting: Duration, strangers: usize) {
    let mut browser = Browser::new(place.client.clone());
    let tokens = people::console_of(&place.issuer).tokens(&mut browser, PLATFORM_ADMIN);
    let access = tokens.get("access_token").and_then(Value::as_str).expect("a token");
    let url = format!("{}/api/v1/me", place.api);
    let flood = Flood::new(place.client.clone(), place.issuer.clone());
    let (mut answered, mut refused, mut longest) = (0, 0, Duration::ZERO);
    thread::scope(|scope| {
        for _ in 0..strangers {
            scope.spawn(|| flood.strangers());
        }
        let end = Instant::now() + lasting;
        let _over = Over(&flood.over);
        while Instant::now() < end {
            let asked = Instant::now();
            let answer = place.client.clone().get_with(&url, bearer(access));
            longest = longest.max(asked.elapsed());
            // The flood goes on all the same: it is to last.
            *(if answer.status == 200 { &mut answered } else { &mut refused }) += 1;
            thread::sleep(PAUSE);
        }
    });
    let answers = flood.answers();
    say(&format!("strangers were told {answers:?}"));
    say(&format!(
        "the operator got {answered} answers and {refused} refusals, the slowest after {longest:?}"
    ));
    assert!(answers.contains_key(&503), "nobody had to be turned away, so this was no flood");
    assert!(answered > 0 && refused == 0, "the operator was refused");
}

/// One attempt to sign in as the stranger; the status that it ends with.
fn attempt(place: &Place, password: &str) -> u16 {
    let mut browser = Browser::new(place.client.clone());
    browser.open(&format!("{}/login", place.issuer));
    browser.submit(&[("username", STRANGER.0), ("password", password)]);
    browser.page().response.status
}

fn shut(place: &Place) {
    let guesses = (1..=GUESSES).find(|_| attempt(place, "not the password at all") == 429);
    say(&format!("shut at guess {}", guesses.expect("nobody shuts this door")));
}

fn inbox(folder: &Path, port: u16) {
    let trap = Trap::listen_at((Ipv4Addr::LOCALHOST.into(), port), folder);
    trap.answer("/mail", Answer::new(204, "", ""));
    enough_when_told();
    for heard in trap.heard("/mail") {
        say(&heard.body);
    }
}

/// Ends the flood, also when the operator's request fails: whoever waits for the strangers would wait for ever.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

static TOLD: AtomicBool = AtomicBool::new(false);

fn enough_when_told() {
    let mut line = String::new();
    while std::io::stdin().read_line(&mut line).is_ok_and(|read| read > 0) {}
    TOLD.store(true, Ordering::Relaxed);
}

fn tally(entries: &[Entry], killed: &[(u64, u64)]) {
    let (mut done, mut excused, mut open) = (0, 0, 0);
    let mut faults = Vec::new();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for entry in entries {
        if entry.done().is_some() {
            done += 1;
            continue;
        }
        let Some((at, why)) = entry.fault() else {
            open += 1;
            continue;
        };
        *kinds.entry(why.clone()).or_default() += 1;
        // In flight: asked before the end of the kill, and over only after its beginning.
        if killed.iter().any(|(from, to)| entry.asked_ms <= *to && *from <= at) {
            excused += 1;
        } else {
            faults.push(format!("{} to {at}: {why}: {:?}", entry.asked_ms, entry.what));
        }
    }
    say(&format!(
        "done {done}, in flight at a kill {excused}, open {open}, failed {}",
        faults.len()
    ));
    for (why, count) in kinds {
        say(&format!("  {count} × {why}"));
    }
    for fault in faults.iter().take(SHOWN) {
        say(&format!("  {fault}"));
    }
    assert!(done > 0, "nothing was done, so nothing is shown");
    assert!(faults.is_empty(), "{} requests failed", faults.len());
}

fn whole(psql: &[&str]) {
    let (program, arguments) = psql.split_first().expect("a command that takes SQL");
    for (what, sql) in WHOLE {
        let output = Command::new(program).args(arguments).arg(sql).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(said.trim(), "0", "{what}");
    }
    say(&format!("{} invariants hold in the database", WHOLE.len()));
}

fn settle(place: &Place, ledger: &str) {
    let party = people::app_of(&place.issuer);
    let mut client = place.client.clone();
    let keys = client.get(&format!("{}/.well-known/jwks.json", place.issuer)).expect(200).json();
    let mut aftermath = Aftermath { client, party: &party, keys };
    let settled = aftermath.settle(&ledger::read(Path::new(ledger)));
    say(&format!("{settled:?}"));
    assert!(settled.sure > 0, "no code was redeemed, so nothing is shown");
}

fn span(text: &str) -> (u64, u64) {
    let (from, to) = text.split_once('-').unwrap_or_else(|| panic!("{text} is not FROM-TO"));
    (number(from), number(to))
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is not a number"))
}

fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").expect("standard output is open");
}
