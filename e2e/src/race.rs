//! Many requests at one instant: each is sent but for its last byte, and the last bytes go together.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;

use crate::http::{Connection, Response, Trust};

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
    thread::scope(|scope| {
        let threads: Vec<_> =
            racers.iter().map(|racer| scope.spawn(|| run(trust, racer, &barrier))).collect();
        threads
            .into_iter()
            .map(|thread| match thread.join().expect("a racer does not panic") {
                Ok(response) => response,
                Err(error) => panic!("a racer got no response: {error}"),
            })
            .collect()
    })
}

fn run(trust: &Trust, racer: &Racer, barrier: &Barrier) -> std::io::Result<Response> {
    let (last, most) = racer.bytes.split_last().expect("a request has bytes");
    // Whoever cannot even connect must still come to the barrier, or the others wait for ever.
    let prepared = Connection::open(racer.address, trust).and_then(|mut connection| {
        connection.send(most)?;
        Ok(connection)
    });
    barrier.wait();
    let mut connection = prepared?;
    connection.send(&[*last])?;
    connection.receive(false)
}
