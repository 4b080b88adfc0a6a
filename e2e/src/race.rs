//! Many requests at one instant: each is sent but for its last byte, and the last bytes go together. How many
//! rounds a race has, and how many run in each.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::http::{Connection, Response, Trust};

/// Rounds of a race when `OPENTRUSTY_RACE_ROUNDS` says nothing.
const ROUNDS: usize = 1_000;
/// How many run in each round: mostly pairs, because two already show a race, and because they are quick.
const FIELDS: [usize; 12] = [2, 2, 2, 4, 2, 3, 2, 8, 2, 2, 4, 2];
/// Now and then a crowd, larger than the pool of database connections of a node.
const CROWD: usize = 64;
const CROWD_EVERY: usize = 50;
/// A connection that has idled for longer may be about to be closed (`idle` of the servers is 75 s).
const LANE_IDLE: Duration = Duration::from_secs(30);
/// How often a racer that is told to come back does, and after how long.
const RETRIES: usize = 5;
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// How many rounds a race has: `OPENTRUSTY_RACE_ROUNDS`, or a thousand.
pub fn rounds() -> usize {
    #[expect(clippy::disallowed_methods, reason = "how long a test runs is no setting of a daemon")]
    match std::env::var("OPENTRUSTY_RACE_ROUNDS") {
        Ok(text) => text.parse().expect("OPENTRUSTY_RACE_ROUNDS is a number"),
        Err(_) => ROUNDS,
    }
}

/// How many run in a round of a race.
pub fn field(round: usize) -> usize {
    if round % CROWD_EVERY == CROWD_EVERY - 1 {
        return CROWD;
    }
    FIELDS.get(round % FIELDS.len()).copied().unwrap_or(2)
}

/// Where many races are run: the connections stay open from one to the next.
#[derive(Debug)]
pub struct Track {
    trust: Trust,
    lanes: HashMap<SocketAddr, Vec<(Connection, Instant)>>,
}

impl Track {
    /// A track without a lane yet.
    pub fn new(trust: &Trust) -> Self {
        Self { trust: trust.clone(), lanes: HashMap::new() }
    }

    /// As [`race`], over connections that stay.
    pub fn race(&mut self, racers: &[Racer]) -> Vec<Response> {
        self.race_beside(racers, racers.len(), || {})
    }

    /// The same, with something else that happens before the last byte of racer `at` goes: it should only
    /// begin what it does.
    pub fn race_beside(
        &mut self,
        racers: &[Racer],
        at: usize,
        shot: impl FnOnce(),
    ) -> Vec<Response> {
        // Every handshake before any request: a head or a body that is begun has to end in seconds.
        let mut lanes: Vec<Connection> = racers.iter().map(|racer| self.lane(racer)).collect();
        for (lane, racer) in lanes.iter_mut().zip(racers) {
            lane.send(most(racer)).expect("a lane is open");
        }
        let mut shot = Some(shot);
        // One thread: a last byte takes some ten microseconds to send, a thread on two busy cores takes longer
        // to wake.
        for (number, (lane, racer)) in lanes.iter_mut().zip(racers).enumerate() {
            if number == at
                && let Some(shot) = shot.take()
            {
                shot();
            }
            let last = racer.bytes.last().expect("a request has bytes");
            lane.send(&[*last]).expect("a prepared lane is open");
        }
        if let Some(shot) = shot.take() {
            shot();
        }
        let mut answers = Vec::with_capacity(racers.len());
        for lane in &mut lanes {
            answers.push(lane.receive(false).expect("a racer gets a response"));
        }
        for ((lane, racer), answer) in lanes.into_iter().zip(racers).zip(&mut answers) {
            if !answer.ends_connection() {
                self.lanes.entry(racer.address).or_default().push((lane, Instant::now()));
            }
            settle(&self.trust, racer, answer);
        }
        answers
    }

    /// A connection to where a racer goes.
    fn lane(&mut self, racer: &Racer) -> Connection {
        let lanes = self.lanes.entry(racer.address).or_default();
        lanes.retain(|(_, since)| since.elapsed() < LANE_IDLE);
        match lanes.pop() {
            Some((lane, _)) => lane,
            None => Connection::open(racer.address, &self.trust).expect("a node listens"),
        }
    }
}

/// All of a request but its last byte.
fn most(racer: &Racer) -> &[u8] {
    racer.bytes.split_last().expect("a request has bytes").1
}

/// Asks, and asks again where the answer is to come back soon (503), as a client does.
pub fn patiently(mut ask: impl FnMut() -> Response) -> Response {
    let mut answer = ask();
    for _ in 0..RETRIES {
        if answer.status != 503 || answer.header("retry-after").is_none() {
            break;
        }
        thread::sleep(RETRY_PAUSE);
        answer = ask();
    }
    answer
}

/// In a crowd somebody may wait for a row, or for a connection to the database, longer than is allowed. Whoever was
/// told to come back has changed nothing, so what is asserted of the answers holds of the later one too; had it
/// changed something half, nobody would win the race. Not so with an assertion of a client's, which is spent before
/// anything else: there 503 stays the answer.
fn settle(trust: &Trust, racer: &Racer, answer: &mut Response) {
    const ASSERTION: &[u8] = b"client_assertion=";
    if racer.bytes.windows(ASSERTION.len()).any(|some| some == ASSERTION) {
        return;
    }
    let mut first = Some(answer.clone());
    *answer = patiently(|| {
        first.take().unwrap_or_else(|| {
            let mut lane = Connection::open(racer.address, trust).expect("a node listens");
            lane.send(&racer.bytes).expect("a lane is open");
            lane.receive(false).expect("a racer gets a response")
        })
    });
}

/// One request of a race.
#[derive(Clone, Debug)]
pub struct Racer {
    /// Where it connects to.
    pub address: SocketAddr,
    /// The whole request, as [`crate::Client::bytes`] makes it.
    pub bytes: Vec<u8>,
}

/// Send all requests so that no server can finish reading one before every other has arrived but for one
/// byte. The answers come in the order of the racers.
pub fn race(trust: &Trust, racers: &[Racer]) -> Vec<Response> {
    let barrier = Barrier::new(racers.len());
    let mut answers: Vec<Response> = thread::scope(|scope| {
        let threads: Vec<_> =
            racers.iter().map(|racer| scope.spawn(|| run(trust, racer, &barrier))).collect();
        threads
            .into_iter()
            .map(|thread| match thread.join().expect("a racer does not panic") {
                Ok(response) => response,
                Err(error) => panic!("a racer got no response: {error}"),
            })
            .collect()
    });
    for (racer, answer) in racers.iter().zip(&mut answers) {
        settle(trust, racer, answer);
    }
    answers
}

fn run(trust: &Trust, racer: &Racer, barrier: &Barrier) -> std::io::Result<Response> {
    let last = racer.bytes.last().expect("a request has bytes");
    // Whoever cannot even connect must still come to the barriers, or the others wait for ever.
    let connected = Connection::open(racer.address, trust);
    barrier.wait();
    let prepared = connected.and_then(|mut connection| {
        connection.send(most(racer))?;
        Ok(connection)
    });
    barrier.wait();
    let mut connection = prepared?;
    connection.send(&[*last])?;
    connection.receive(false)
}
