//! How many requests that leave a row behind a network may send without having proved anything (W136). Per node and in
//! memory: it spares the database, and no secret depends on it. Guesses are counted in `store/throttles.rs`.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use web::network;

/// Networks remembered at once; for one more, the one that was silent longest is forgotten.
const NETWORKS_MAX: usize = 10_000;

/// A bucket of requests for each network.
pub(crate) struct Limits {
    burst: u32,
    /// The time in which one request grows back.
    each: Duration,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    buckets: HashMap<IpAddr, Bucket>,
    /// Networks by their last request, the longest silent first.
    turns: BTreeMap<u64, IpAddr>,
    turn: u64,
}

struct Bucket {
    /// When it is full again: the further away, the emptier it is.
    full_at: Instant,
    turn: u64,
}

impl Limits {
    /// `burst` requests at once, `per_s` in the long run; neither is 0.
    pub(crate) fn new(burst: u32, per_s: u32) -> Self {
        let each = Duration::from_secs(1) / per_s.max(1);
        Self { burst: burst.max(1), each, seen: Mutex::new(Seen::default()) }
    }

    /// Takes a request from the bucket of the address's network. `false`: it is empty.
    #[must_use]
    pub(crate) fn admit(&self, address: IpAddr, now: Instant) -> bool {
        let network = network(address);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = seen.touch(network, now);
        // What was taken is the time until it has grown back.
        let after = full_at + self.each;
        if after.saturating_duration_since(now) > self.each * self.burst {
            return false;
        }
        seen.fill(network, after);
        true
    }
}

impl Seen {
    /// When the network's bucket is full again, now at the earliest. Its turn to be forgotten is the last now.
    fn touch(&mut self, network: IpAddr, now: Instant) -> Instant {
        self.turn += 1;
        let turn = self.turn;
        self.turns.insert(turn, network);
        if let Some(bucket) = self.buckets.get_mut(&network) {
            self.turns.remove(&bucket.turn);
            bucket.turn = turn;
            bucket.full_at = bucket.full_at.max(now);
            return bucket.full_at;
        }
        if self.buckets.len() >= NETWORKS_MAX
            && let Some((_, silent)) = self.turns.pop_first()
        {
            self.buckets.remove(&silent);
        }
        self.buckets.insert(network, Bucket { full_at: now, turn });
        now
    }

    fn fill(&mut self, network: IpAddr, full_at: Instant) {
        if let Some(bucket) = self.buckets.get_mut(&network) {
            bucket.full_at = full_at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admitted(limits: &Limits, address: &str, now: Instant, tries: u32) -> usize {
        (0..tries).filter(|_| limits.admit(ip(address), now)).count()
    }

    #[test]
    fn w136_a_network_has_its_burst_and_then_what_grows_back() {
        let (limits, start) = (Limits::new(30, 5), Instant::now());
        assert_eq!(admitted(&limits, "192.0.2.1", start, 100), 30);
        let later = start + Duration::from_secs(2);
        assert_eq!(admitted(&limits, "192.0.2.1", later, 100), 10);
        // No more grows back than the bucket holds, and a clock that stands still gives nothing.
        let tomorrow = later + Duration::from_secs(86_400);
        assert_eq!(admitted(&limits, "192.0.2.1", tomorrow, 100), 30);
        assert_eq!(admitted(&limits, "192.0.2.1", start, 100), 0);
    }

    #[test]
    fn w136_networks_do_not_pay_for_each_other_and_addresses_of_one_do() {
        let (limits, now) = (Limits::new(3, 1), Instant::now());
        assert_eq!(admitted(&limits, "2001:db8::1", now, 2), 2);
        assert_eq!(admitted(&limits, "2001:db8::ffff:2", now, 2), 1);
        assert_eq!(admitted(&limits, "2001:db8:0:1::1", now, 9), 3);
        assert_eq!(admitted(&limits, "192.0.2.1", now, 1), 1);
        assert_eq!(admitted(&limits, "::ffff:192.0.2.1", now, 9), 2);
    }

    #[test]
    fn w136_only_so_many_are_remembered_and_the_longest_silent_goes_first() {
        let (limits, now) = (Limits::new(1, 1), Instant::now());
        let address = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
        for n in 0..NETWORKS_MAX {
            assert!(limits.admit(address(n), now));
        }
        // Refused, and yet heard of: the second is the longest silent now.
        assert!(!limits.admit(address(0), now));
        assert!(limits.admit(address(NETWORKS_MAX), now));
        assert!(!limits.admit(address(0), now));
        assert!(limits.admit(address(1), now), "forgotten");
        let seen = limits.seen.lock().unwrap();
        assert_eq!((seen.buckets.len(), seen.turns.len()), (NETWORKS_MAX, NETWORKS_MAX));
    }
}
