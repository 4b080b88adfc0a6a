//! How many guesses a door takes, and how long it is then shut.
//!
//! The one rule. An attempt counts when it begins, before anything is verified. While a counter is blocked an
//! attempt is refused and leaves no trace. Otherwise it is admitted and counted, and the one that uses up the
//! last free place, like every one after it, shuts the door behind itself: first for `first_delay_s`, then twice
//! as long each time, `longest_delay_s` at most. So however many begin at once, exactly `free` are admitted,
//! and later ones pass one by one. A counter without an attempt for `forget_s` starts anew, and one that leaks forgets
//! an attempt each `leak_s`. Success gives back what [`Door::given_back`] says; nothing else ever does.
//!
//! [`verdict`] is that rule as a function. Nodes share counters, so authd applies it in SQL under a row lock; a
//! test of the gate holds the two against each other.

use std::fmt;
use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

use crate::time::Timestamp;

/// What can be tried, and of whom a counter is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Door {
    /// A password, by account and source network, from a browser that is a stranger to the account.
    Password,
    /// A password, by account and browser, from a browser that has signed in to the account before: strangers
    /// cannot use up its places (W132), so take it alone or with [`Door::Address`], never with
    /// [`Door::Account`].
    PasswordKnown,
    /// A password, by account, from all strangers together.
    Account,
    /// A password of whatever account, by source network.
    Address,
    /// A client's authentication, by client and source network. Its secret is not guessable and its success is
    /// the rule, so it is counted when it has failed.
    Client,
    /// A network's failures to authenticate as any client, or as none that there is (W136).
    ClientNetwork,
    /// A device's user code, by session.
    UserCode,
    /// A device's user code, by source network.
    UserCodeNetwork,
    /// A link to reset a password, by account.
    Reset,
    /// A link to reset a password, by source network.
    ResetNetwork,
    /// The answer to a deferred request by an application, by source network.
    Completion,
}

/// What a door gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Attempts without delay.
    pub free: u32,
    /// The delay after the last free one, in seconds.
    pub first_delay_s: u32,
    /// The delay that doubling stops at, in seconds.
    pub longest_delay_s: u32,
    /// Seconds without an attempt after which there was none.
    pub forget_s: u32,
    /// Seconds after which one attempt is forgotten although others go on; 0: none is.
    pub leak_s: u32,
}

/// What success gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenBack {
    /// Everything: whoever succeeded has proved that the earlier attempts were theirs to make.
    All,
    /// The attempt itself: success says nothing about the others in this counter, and whoever can succeed
    /// somewhere must not wash away failures elsewhere.
    One,
    /// Nothing: the act is what is limited, not its failure.
    Nothing,
}

const HOUR_S: u32 = 3600;

/// `free` attempts, then a delay from half a minute to a quarter of an hour.
const fn slower(free: u32, forget_s: u32) -> Budget {
    Budget { free, first_delay_s: 30, longest_delay_s: 900, forget_s, leak_s: 0 }
}

/// `most` attempts in any hour.
const fn hourly(most: u32) -> Budget {
    Budget {
        free: most,
        first_delay_s: HOUR_S,
        longest_delay_s: HOUR_S,
        forget_s: HOUR_S,
        leak_s: 0,
    }
}

impl Door {
    /// Every door.
    pub const ALL: [Self; 11] = [
        Self::Password,
        Self::PasswordKnown,
        Self::Account,
        Self::Address,
        Self::Client,
        Self::ClientNetwork,
        Self::UserCode,
        Self::UserCodeNetwork,
        Self::Reset,
        Self::ResetNetwork,
        Self::Completion,
    ];

    /// How much it gives.
    pub const fn budget(self) -> Budget {
        match self {
            Self::Password | Self::PasswordKnown => slower(5, 900),
            Self::Account => slower(50, HOUR_S),
            // Behind one address people come and go at all hours, right passwords among the wrong ones: waiting for
            // a quiet hour would keep the failures of weeks.
            Self::Address => Budget { leak_s: 300, ..slower(100, HOUR_S) },
            Self::ClientNetwork => slower(100, HOUR_S),
            Self::Client => slower(20, 900),
            Self::UserCode => slower(5, HOUR_S),
            Self::UserCodeNetwork => hourly(50),
            Self::Reset => hourly(3),
            Self::ResetNetwork => hourly(10),
            Self::Completion => slower(20, HOUR_S),
        }
    }

    /// What success gives back.
    pub const fn given_back(self) -> GivenBack {
        match self {
            Self::Password | Self::PasswordKnown => GivenBack::All,
            Self::Account
            | Self::Address
            | Self::Client
            | Self::ClientNetwork
            | Self::UserCode
            | Self::UserCodeNetwork
            | Self::Completion => GivenBack::One,
            Self::Reset | Self::ResetNetwork => GivenBack::Nothing,
        }
    }

    /// Goes into every key: a changed word forgets every counter of the door.
    const fn word(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::PasswordKnown => "password-known",
            Self::Account => "account",
            Self::Address => "address",
            Self::Client => "client",
            Self::ClientNetwork => "client-network",
            Self::UserCode => "user-code",
            Self::UserCodeNetwork => "user-code-network",
            Self::Reset => "reset",
            Self::ResetNetwork => "reset-network",
            Self::Completion => "completion",
        }
    }
}

/// Whose counter, without saying whose: a keyed hash of door and subject, so that a stolen table names neither
/// an address nor an account, not even to somebody who tries them all.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    door: Door,
    hash: [u8; 32],
    free: u32,
}

impl Key {
    /// The counter of `subject` at `door`: an account in its canonical spelling (W131), a network, or one of
    /// them [`at`] the other. `secret` is the same on every node.
    pub fn of(door: Door, secret: &[u8; 32], subject: &str) -> Self {
        // Word and secret end where only they can end, so no subject can pass for another door's.
        let hash = Sha256::new()
            .chain_update(b"opentrusty throttle\0")
            .chain_update(door.word())
            .chain_update(b"\0")
            .chain_update(secret)
            .chain_update(subject)
            .finalize();
        Self { door, hash: hash.into(), free: door.budget().free }
    }

    /// The same counter with so many free attempts, at least one: what an operator has set instead.
    #[must_use]
    pub fn with_free(self, free: u32) -> Self {
        Self { free: free.max(1), ..self }
    }

    /// How much its door gives.
    pub const fn budget(&self) -> Budget {
        Budget { free: self.free, ..self.door.budget() }
    }

    /// The door.
    pub const fn door(&self) -> Door {
        self.door
    }

    /// For a table.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.hash
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("door", &self.door).finish_non_exhaustive()
    }
}

/// A subject of two: who, at which network. The network is first because it holds no space: no two pairs
/// share a spelling.
pub fn at(who: &str, network: IpAddr) -> String {
    format!("{network} {who}")
}

/// What is remembered under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// Attempts since it was last forgotten.
    pub attempts: u32,
    /// When the last one began; at a door that leaks, when the last one was forgotten.
    pub last_at: Timestamp,
    /// When the next may begin.
    pub blocked_until: Option<Timestamp>,
}

/// What comes of an attempt at one door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It may begin, and this is to be remembered.
    Admitted(Counter),
    /// Not before so many seconds, at least one; the counter stays as it is.
    Wait(u32),
}

/// The rule of this module.
pub fn verdict(budget: &Budget, counter: Option<Counter>, now: Timestamp) -> Verdict {
    if let Some(until) = counter.and_then(|counter| counter.blocked_until)
        && until > now
    {
        return Verdict::Wait(u32::try_from(until.since(now)).unwrap_or(u32::MAX));
    }
    let (before, last_at) = counter.map_or((0, now), |counter| remembered(budget, counter, now));
    let attempts = before.saturating_add(1);
    let blocked_until =
        attempts.checked_sub(budget.free).map(|beyond| now.plus(delay_s(budget, beyond)));
    Verdict::Admitted(Counter { attempts, last_at, blocked_until })
}

/// The attempts that still count, and from when the next one is forgotten.
fn remembered(budget: &Budget, counter: Counter, now: Timestamp) -> (u32, Timestamp) {
    if counter.last_at.plus(budget.forget_s) <= now {
        return (0, now);
    }
    let passed = u32::try_from(now.since(counter.last_at)).unwrap_or(0);
    let Some(leaked) = passed.checked_div(budget.leak_s) else { return (counter.attempts, now) };
    match counter.attempts.saturating_sub(leaked) {
        0 => (0, now),
        left => (left, counter.last_at.plus(leaked.saturating_mul(budget.leak_s)).min(now)),
    }
}

/// How long the door stays shut after `beyond` attempts past the last free one.
fn delay_s(budget: &Budget, beyond: u32) -> u32 {
    let doubled = 1_u32.checked_shl(beyond).and_then(|by| budget.first_delay_s.checked_mul(by));
    doubled.unwrap_or(u32::MAX).min(budget.longest_delay_s)
}

/// What success leaves of a counter.
#[must_use]
pub fn released(door: Door, counter: Counter) -> Counter {
    match door.given_back() {
        GivenBack::All => Counter { attempts: 0, blocked_until: None, ..counter },
        GivenBack::One => {
            let attempts = counter.attempts.saturating_sub(1);
            let shut = attempts >= door.budget().free;
            Counter { attempts, blocked_until: counter.blocked_until.filter(|_| shut), ..counter }
        }
        GivenBack::Nothing => counter,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const NOON: Timestamp = Timestamp(1_800_000_000);

    /// Tries at each of these seconds; when an attempt was admitted.
    fn admitted(budget: &Budget, tries: &[u32]) -> Vec<u32> {
        let mut counter = None;
        let mut times = Vec::new();
        for &at in tries {
            if let Verdict::Admitted(next) = verdict(budget, counter, NOON.plus(at)) {
                counter = Some(next);
                times.push(at);
            }
        }
        times
    }

    #[test]
    fn a_burst_gets_the_free_places_and_then_one_place_at_a_time() {
        let budget = Door::Password.budget();
        assert_eq!(admitted(&budget, &[0; 64]), [0; 5]);
        let every_second: Vec<u32> = (0..1800).collect();
        let expected = [0, 1, 2, 3, 4, 34, 94, 214, 454, 934];
        // 934 s: shut for 900 s, which is also how long an attempt is remembered; then anew.
        assert_eq!(admitted(&budget, &every_second), expected);
        let longer: Vec<u32> = (0..1840).collect();
        assert_eq!(admitted(&budget, &longer)[10..], [1834, 1835, 1836, 1837, 1838]);
    }

    #[test]
    fn the_wait_is_what_remains_and_a_refused_attempt_changes_nothing() {
        let budget = Door::Password.budget();
        let mut counter = None;
        for _ in 0..5 {
            let Verdict::Admitted(next) = verdict(&budget, counter, NOON) else { panic!() };
            counter = Some(next);
        }
        for (after, wait) in [(0, 30), (1, 29), (29, 1)] {
            assert_eq!(verdict(&budget, counter, NOON.plus(after)), Verdict::Wait(wait));
        }
        let Verdict::Admitted(next) = verdict(&budget, counter, NOON.plus(30)) else { panic!() };
        assert_eq!((next.attempts, next.blocked_until), (6, Some(NOON.plus(90))));
    }

    /// An office behind one address after a hundred mistakes: whoever signs in rightly, every half minute, waits no
    /// more once five minutes have passed; and guesses get no faster than the door leaks.
    #[test]
    fn w132_a_network_that_is_used_all_the_time_is_not_shut_for_ever() {
        let budget = Door::Address.budget();
        let mut counter = None;
        for _ in 0..100 {
            let Verdict::Admitted(next) = verdict(&budget, counter, NOON) else { panic!() };
            counter = Some(next);
        }
        let mut waits = Vec::new();
        for at in (0..7200).step_by(30) {
            match verdict(&budget, counter, NOON.plus(at)) {
                Verdict::Admitted(next) => counter = Some(released(Door::Address, next)),
                Verdict::Wait(_) => waits.push(at),
            }
        }
        assert!(waits.iter().all(|at| *at < 600), "{waits:?}");
        let every_second: Vec<u32> = (0..86_400).collect();
        let guesses = admitted(&budget, &every_second).len();
        assert!(guesses < 100 + 24 * 20, "{guesses} in a day");
    }

    #[test]
    fn success_gives_back_what_the_door_says() {
        let spent = |door: Door| Counter {
            attempts: door.budget().free,
            last_at: NOON,
            blocked_until: Some(NOON.plus(30)),
        };
        let after = |door| released(door, spent(door));
        let password = after(Door::Password);
        assert_eq!((password.attempts, password.blocked_until), (0, None));
        let address = after(Door::Address);
        assert_eq!((address.attempts, address.blocked_until), (99, None));
        assert_eq!(after(Door::Reset), spent(Door::Reset));
        // Beyond the free places one success opens nothing.
        let beyond = Counter { attempts: 103, ..spent(Door::Address) };
        assert_eq!(released(Door::Address, beyond).blocked_until, beyond.blocked_until);
    }

    #[test]
    fn every_budget_can_be_kept_for_a_day_and_outlives_its_own_delay() {
        for door in Door::ALL {
            let budget = door.budget();
            assert!(budget.free >= 1 && budget.first_delay_s >= 1, "{door:?}");
            assert!(budget.first_delay_s <= budget.longest_delay_s, "{door:?}");
            // Otherwise waiting out a delay would forget what caused it, short of the longest.
            assert!(budget.longest_delay_s <= budget.forget_s, "{door:?}");
            // Housekeeping removes counters after a day.
            assert!(budget.forget_s <= 86_400, "{door:?}");
        }
    }

    #[test]
    fn keys_differ_by_door_by_secret_and_by_subject() {
        let v4 = IpAddr::from([192, 0, 2, 1]);
        let mut seen = HashSet::new();
        for door in Door::ALL {
            for secret in [[1; 32], [2; 32]] {
                for subject in ["", "ana@example.org", &at("ana@example.org", v4), &at("", v4)] {
                    assert!(seen.insert(*Key::of(door, &secret, subject).as_bytes()), "{door:?}");
                }
            }
        }
        assert_eq!(format!("{:?}", Key::of(Door::Reset, &[0; 32], "x")), "Key { door: Reset, .. }");
    }

    proptest! {
        #[test]
        fn no_hour_holds_more_than_an_hourly_budget(mut tries in prop::collection::vec(0..20_000_u32, 0..200)) {
            tries.sort_unstable();
            let times = admitted(&hourly(3), &tries);
            for window in times.windows(4) {
                prop_assert!(window[3] - window[0] >= HOUR_S, "{times:?}");
            }
        }

        #[test]
        fn every_attempt_is_admitted_or_told_when(
            attempts in 0..u32::MAX, last in 0..100_000_u32, until in prop::option::of(0..100_000_u32), at in 0..100_000_u32,
        ) {
            for door in Door::ALL {
                let counter = Counter {
                    attempts, last_at: NOON.plus(last), blocked_until: until.map(|until| NOON.plus(until)),
                };
                let now = NOON.plus(at);
                match verdict(&door.budget(), Some(counter), now) {
                    Verdict::Wait(wait_s) => {
                        prop_assert!(wait_s >= 1);
                        let Verdict::Admitted(_) = verdict(&door.budget(), Some(counter), now.plus(wait_s)) else {
                            return Err(TestCaseError::fail("refused at the time it was told"));
                        };
                    }
                    Verdict::Admitted(next) => {
                        prop_assert!(next.attempts >= 1 && next.last_at <= now);
                        prop_assert!(now.since(next.last_at) <= u64::from(door.budget().leak_s));
                        prop_assert_eq!(next.blocked_until.is_some(), next.attempts >= door.budget().free);
                    }
                }
            }
        }
    }
}
