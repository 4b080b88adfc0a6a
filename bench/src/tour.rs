//! Every kind of request, in an order in which each leaves what the next one needs. It is made twice: once to be
//! measured, once to hear what it says to PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use e2e::Stand;
use wire::Algorithm::{self, Es256, Rs256};

use crate::assertion::ClientKey;
use crate::grants::{Asker, Codes, Door, Redeemer, Refresher};
use crate::load::{Driven, Worker, drive};
use crate::processor::Watched;
use crate::requests::{Place, Repeaters};
use crate::world::{FRONT, MACHINE, OPAQUE, PERSON, party};

/// A kind of request, and what it is made of beside its SQL.
#[derive(Debug, Clone, Copy)]
pub struct Doing {
    /// Its name.
    pub what: &'static str,
    /// HTTP requests.
    pub requests: u32,
    /// Signatures of keyd.
    pub signs: &'static [Algorithm],
    /// Whether an ES256 signature of the client is verified.
    pub verifies: bool,
    /// Whether its SQL leaves everything as it was.
    pub reads: bool,
}

const fn doing(what: &'static str, signs: &'static [Algorithm]) -> Doing {
    Doing { what, requests: 1, signs, verifies: false, reads: false }
}

const ASK: Doing = Doing { requests: 2, ..doing("code for a person signed in, 2 requests", &[]) };
const CODE_RS: Doing = doing("code exchange, RS256 ID token", &[Es256, Rs256]);
const CODE_ES: Doing = doing("code exchange, ES256 ID token", &[Es256, Es256]);
const REFRESH: Doing = doing("refresh, ES256 ID token", &[Es256, Es256]);
const NARROW: Doing = doing("refresh, no ID token", &[Es256]);
const OWN: Doing = doing("client credentials, JWT", &[Es256]);
const OWN_OPAQUE: Doing = doing("client credentials, opaque", &[]);
const OWN_KEYED: Doing =
    Doing { verifies: true, ..doing("client credentials, private_key_jwt", &[Es256]) };
const EXCHANGED: Doing = doing("token exchange", &[Es256]);
const INTROSPECTED: Doing = Doing { reads: true, ..doing("introspection", &[]) };
const USERINFO: Doing = Doing { reads: true, ..doing("userinfo", &[]) };
const PUSHED: Doing = doing("pushed authorization request", &[]);
const DISCOVERY: Doing = Doing { reads: true, ..doing("discovery", &[]) };

/// What happens at each stop.
pub trait Way {
    /// How many there are of each.
    fn workers(&self) -> usize;
    /// Lets them work.
    fn go<W: Worker>(&mut self, doing: Doing, workers: &mut [W]);
}

/// All stops. Codes first, because they can be spent only once; then every connection goes on with its refresh token.
pub fn tour(stand: &Stand, key: &Arc<ClientKey>, way: &mut impl Way) {
    codes(stand, "rs", CODE_RS, way);
    let mut refreshers: Vec<Refresher> =
        codes(stand, "es", CODE_ES, way).into_iter().map(Redeemer::into_refresher).collect();
    way.go(REFRESH, &mut refreshers);
    refreshers.iter_mut().for_each(Refresher::leave_out_openid);
    way.go(NARROW, &mut refreshers);
    drop(refreshers);

    let tokens = party(stand, FRONT).tokens(&mut stand.browser(), PERSON);
    let token = tokens["access_token"].as_str().expect("a token");
    let place = Place::of(stand);
    let some = Repeaters::new(&place, way.workers());
    way.go(OWN, &mut some.own(MACHINE));
    way.go(OWN_OPAQUE, &mut some.own(OPAQUE));
    way.go(OWN_KEYED, &mut some.asserted(key, stand.issuer()));
    way.go(EXCHANGED, &mut some.exchanged(token));
    way.go(INTROSPECTED, &mut some.introspected(FRONT, token));
    way.go(USERINFO, &mut some.told_of(token));
    way.go(PUSHED, &mut some.pushed(FRONT));
    way.go(DISCOVERY, &mut some.discovery());
}

/// Gathers codes for a while, and exchanges them.
fn codes(stand: &Stand, client: &'static str, doing: Doing, way: &mut impl Way) -> Vec<Redeemer> {
    let door = Door::open(stand, client);
    let codes = Codes::default();
    let mut askers: Vec<_> = (0..way.workers()).map(|_| Asker::new(&door, &codes)).collect();
    way.go(ASK, &mut askers);
    drop(askers);
    let mut redeemers: Vec<_> = (0..way.workers()).map(|_| Redeemer::new(&door, &codes)).collect();
    way.go(doing, &mut redeemers);
    redeemers
}

/// How long things are watched.
#[derive(Debug, Clone, Copy)]
pub struct Lengths {
    /// Before anything is counted: plans are prepared, caches filled.
    pub warm: Duration,
    /// What needs no more.
    pub short: Duration,
    /// A load on the appliance.
    pub long: Duration,
    /// How long codes are gathered.
    pub gather: Duration,
    /// Requests of each worker in a recording, before they count and that count.
    pub requests: (usize, usize),
}

impl Lengths {
    /// For figures.
    pub const FULL: Self = Self {
        warm: Duration::from_millis(500),
        short: Duration::from_secs(2),
        long: Duration::from_secs(5),
        gather: Duration::from_secs(8),
        requests: (25, 150),
    };
    /// Whether all of it works; the figures mean nothing.
    pub const QUICK: Self = Self {
        warm: Duration::from_millis(50),
        short: Duration::from_millis(200),
        long: Duration::from_millis(300),
        gather: Duration::from_secs(1),
        requests: (2, 5),
    };
}

/// Lets a load go at each stop.
#[derive(Debug)]
pub struct Measure {
    lengths: Lengths,
    workers: usize,
    watched: Watched,
    /// What came of it.
    pub seen: Vec<(Doing, Driven)>,
}

impl Measure {
    /// With `workers` connections.
    pub fn new(lengths: Lengths, workers: usize, watched: Watched) -> Self {
        Self { lengths, workers, watched, seen: Vec::new() }
    }
}

impl Way for Measure {
    fn workers(&self) -> usize {
        self.workers
    }

    fn go<W: Worker>(&mut self, doing: Doing, workers: &mut [W]) {
        let gathers = doing.what == ASK.what;
        let length = if gathers { self.lengths.gather } else { self.lengths.long };
        drive(workers, self.lengths.warm, self.watched);
        let driven = drive(workers, length, self.watched);
        self.seen.push((doing, driven));
    }
}
