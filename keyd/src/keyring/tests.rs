//! Examples of a key's life, and the property that makes rotation trustworthy.

use proptest::prelude::*;

use super::*;

const SKEW: u64 = 60;
const AGE: u64 = 3600;
const TOKEN_LIFE: u64 = 7200;
const ADMIN_LIFE: u64 = 300;
const START: u64 = 1_000_000;

fn policy() -> Arc<Policy> {
    Arc::new(Policy {
        admin_audience: "https://api.example.com".to_owned(),
        access_lifetime_max_s: TOKEN_LIFE,
        admin_lifetime_max_s: ADMIN_LIFE,
        id_lifetime_max_s: 3600,
        jwks_max_age_s: AGE,
        clock_skew_s: SKEW,
    })
}

const PLATFORM: &str = "https://auth.example.com";
const TENANT: &str = "https://auth.example.com/t/a";

fn staged(n: u8, class: Class, now: u64) -> Statement {
    staged_in(n, &(PLATFORM.to_owned(), class, Algorithm::Es256), now)
}

fn staged_in(n: u8, (issuer, class, algorithm): &Group, now: u64) -> Statement {
    let (kid, issuer) = (Kid([n; 16]), issuer.clone());
    let public = Jwk::P256 { x: [n; 32], y: [n; 32] };
    Fresh { kid, issuer, algorithm: *algorithm, class: *class, public }.staged(now)
}

fn ring(statements: impl IntoIterator<Item = Statement>) -> Keyring {
    let mut ring = Keyring::new(policy());
    for statement in statements {
        assert_eq!(ring.accept(statement), Ok(true));
    }
    ring
}

const A: Kid = Kid([1; 16]);
const B: Kid = Kid([2; 16]);

#[test]
fn a_staged_key_waits_until_every_cache_knows_it() {
    let mut ring = ring([staged(1, Class::Token, START)]);
    assert_eq!(ring.activated(A, false, START + AGE - 1), Err(Refused::TooEarly));
    let active = ring.activated(A, false, START + AGE).unwrap();
    assert_eq!((active.not_sign_before, active.serial), (Some(START + AGE), 2));
    assert_eq!(ring.accept(active.clone()), Ok(true));
    assert_eq!(
        ring.activated(A, false, START + AGE + 5),
        Ok(active),
        "asking again changes nothing"
    );
}

#[test]
fn the_first_key_of_its_group_need_not_wait_and_no_other() {
    let mut ring = ring([staged(2, Class::Token, START + 1), staged(1, Class::Token, START)]);
    assert_eq!(ring.activated(B, true, START + 1), Err(Refused::TooEarly), "published later");
    assert_eq!(ring.activated(A, false, START + 1), Err(Refused::TooEarly), "not asked for");
    let active = ring.activated(A, true, START + 1).unwrap();
    ring.accept(active).unwrap();
    assert_eq!(ring.activated(B, true, START + 2), Err(Refused::TooEarly));
    ring.accept(staged(3, Class::Admin, START)).unwrap();
    assert!(ring.activated(Kid([3; 16]), true, START).is_ok(), "another class is another group");
    for (n, issuer, algorithm) in [(4, TENANT, Algorithm::Es256), (5, PLATFORM, Algorithm::EdDsa)] {
        ring.accept(staged_in(n, &(issuer.to_owned(), Class::Token, algorithm), START + 2))
            .unwrap();
        assert!(
            ring.activated(Kid([n; 16]), true, START + 2).is_ok(),
            "so is {issuer} {algorithm:?}"
        );
    }
    // Even when the first key is gone: verifiers may hold the JWKS of the time between.
    ring.forget(A);
    assert_eq!(ring.activated(B, true, START + 2), Err(Refused::TooEarly));
}

#[test]
fn w176_a_key_outlives_the_last_token_it_signed() {
    let mut ring = ring([staged(1, Class::Token, START)]);
    ring.accept(ring.activated(A, true, START).unwrap()).unwrap();
    assert_eq!(ring.may_destroy(A, u64::MAX), Err(Refused::StillNeeded), "not retired");
    let retired = ring.retired(A, START + 10).unwrap();
    assert_eq!((retired.not_sign_after, retired.serial), (Some(START + 10), 3));
    ring.accept(retired.clone()).unwrap();
    assert_eq!(ring.retired(A, START + 99), Ok(retired), "retiring twice does not move the end");
    assert_eq!(ring.activated(A, true, START + 99), Err(Refused::WrongKey));
    let over = START + 10 + TOKEN_LIFE + SKEW;
    assert_eq!(ring.may_destroy(A, over - 1), Err(Refused::StillNeeded));
    assert_eq!(ring.may_destroy(A, over), Ok(()));
    assert_eq!(ring.may_destroy(B, over), Err(Refused::UnknownKey));
}

#[test]
fn w176_a_key_that_seals_the_audit_is_never_destroyed() {
    let mut ring = ring([staged(1, Class::Audit, START)]);
    ring.accept(ring.activated(A, true, START).unwrap()).unwrap();
    ring.accept(ring.retired(A, START + 10).unwrap()).unwrap();
    assert_eq!(ring.may_destroy(A, START + 1_000_000_000), Err(Refused::StillNeeded));
}

#[test]
fn a_clock_set_back_does_not_shorten_the_wait_before_destruction() {
    let mut ring = ring([staged(1, Class::Token, START)]);
    ring.accept(ring.activated(A, true, START).unwrap()).unwrap();
    ring.count(A, START + 5000);
    ring.accept(ring.retired(A, START + 10).unwrap()).unwrap();
    let over = START + 5000 + TOKEN_LIFE + SKEW;
    assert_eq!(ring.may_destroy(A, over - 1), Err(Refused::StillNeeded));
    assert_eq!(ring.may_destroy(A, over), Ok(()));
}

#[test]
fn an_older_statement_changes_nothing() {
    let first = staged(1, Class::Token, START);
    let mut ring = ring([first.clone()]);
    let active = ring.activated(A, true, START).unwrap();
    ring.accept(active.clone()).unwrap();
    let retired = ring.retired(A, START + 1).unwrap();
    ring.accept(retired.clone()).unwrap();
    assert_eq!(ring.accept(active), Ok(false));
    assert_eq!(ring.accept(first), Ok(false));
    assert_eq!(**ring.find(A).unwrap(), retired);
}

#[test]
fn two_statements_of_one_serial_resolve_alike_in_either_order() {
    let base = staged(1, Class::Token, START);
    let active = Statement { serial: 2, not_sign_before: Some(START + 1), ..base.clone() };
    let later = Statement { serial: 2, not_sign_before: Some(START + 9), ..base.clone() };
    let retired = Statement { serial: 2, not_sign_after: Some(START + 1), ..base };
    for (a, b) in [(&active, &later), (&active, &retired), (&later, &retired)] {
        for (first, second) in [(a, b), (b, a)] {
            let mut ring = ring([first.clone()]);
            ring.accept(second.clone()).unwrap();
            assert_eq!(&**ring.find(A).unwrap(), b);
        }
    }
}

#[test]
fn issuers_are_urls_within_limits() {
    let ring = ring([]);
    assert_eq!(ring.has_room_for("https://auth.example.com/t/a"), Ok(()));
    for bad in ["", "auth.example.com", "https://a b", "https://a?x", "https://a#x", "https://ä"] {
        assert_eq!(ring.has_room_for(bad), Err(Refused::InvalidIssuer), "{bad}");
    }
    assert!(ring.has_room_for(&format!("https://{}", "a".repeat(ISSUER_MAX))).is_err());
}

#[test]
fn the_largest_keyring_fits_into_one_reply() {
    let public = Jwk::Rsa { n: vec![0xff; 256], e: vec![1, 0, 1] };
    let views = (0..KEYS_MAX).map(|_| KeyView {
        kid: A,
        issuer: "a".repeat(ISSUER_MAX),
        algorithm: Algorithm::Rs256,
        class: Class::Token,
        public: public.clone(),
        state: KeyState::Retired,
        staged_at: u64::from(u32::MAX),
        not_sign_before: Some(u64::from(u32::MAX)),
        not_sign_after: Some(u64::from(u32::MAX)),
        signatures: u64::MAX,
    });
    let reply = wire::Reply::PublicKeys(views.collect());
    assert!(wire::encode(1, &reply, wire::REPLY_MAX).is_ok());
    let mut full = Keyring::new(policy());
    for n in 0..KEYS_MAX {
        let mut statement = staged(1, Class::Token, START);
        statement.kid.0[..8].copy_from_slice(&n.to_le_bytes());
        assert_eq!(full.accept(statement), Ok(true));
    }
    assert_eq!(full.accept(staged(255, Class::Token, START)), Err(Refused::Full));
    assert_eq!(full.has_room_for("https://auth.example.com"), Err(Refused::Full));
}

/// One step of an arbitrary history: time passes, then somebody does something to the n-th key.
#[derive(Debug, Clone)]
struct Step {
    wait: u64,
    act: Act,
    key: usize,
}

#[derive(Debug, Clone)]
enum Act {
    Generate(Group),
    Activate {
        first: bool,
    },
    Retire,
    Destroy,
    Sign {
        ahead: u64,
    },
    Fetch,
    /// A crash: the process starts again from the statements that the database holds.
    Restart,
}

fn groups() -> Vec<Group> {
    vec![
        (PLATFORM.to_owned(), Class::Token, Algorithm::Es256),
        (PLATFORM.to_owned(), Class::Token, Algorithm::EdDsa),
        (PLATFORM.to_owned(), Class::Admin, Algorithm::Es256),
        (TENANT.to_owned(), Class::Token, Algorithm::Es256),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    // Mostly just before, at, or just after the moments at which a rule changes its mind.
    let edge = prop::sample::select(vec![AGE, ADMIN_LIFE, TOKEN_LIFE, TOKEN_LIFE + SKEW]);
    let wait = prop_oneof![
        4 => Just(0),
        1 => 1..120_u64,
        1 => 1000..4000_u64,
        3 => (edge, 0..4_u64).prop_map(|(edge, off)| edge + off - 2),
    ];
    let act = prop_oneof![
        2 => prop::sample::select(groups()).prop_map(Act::Generate),
        3 => any::<bool>().prop_map(|first| Act::Activate { first }),
        2 => Just(Act::Retire),
        2 => Just(Act::Destroy),
        5 => (0..=SKEW).prop_map(|ahead| Act::Sign { ahead }),
        4 => Just(Act::Fetch),
        1 => Just(Act::Restart),
    ];
    (wait, act, 0..6_usize).prop_map(|(wait, act, key)| Step { wait, act, key })
}

/// The world around a keyring: what it signed, and what verifiers have fetched.
struct World {
    now: u64,
    ring: Keyring,
    made: Vec<Kid>,
    tokens: Vec<(Kid, Group, u64)>,
    caches: Vec<(u64, Vec<KeyView>)>,
}

impl World {
    fn apply(&mut self, change: Result<Statement, Refused>) {
        if let Ok(statement) = change {
            self.ring.accept(statement).unwrap();
        }
    }

    fn take(&mut self, step: &Step) {
        self.now += step.wait;
        let (now, kid) = (self.now, self.made.get(step.key).copied().unwrap_or(A));
        match &step.act {
            Act::Generate(group) => {
                let n = u8::try_from(self.made.len()).unwrap();
                self.made.push(Kid([n; 16]));
                self.apply(Ok(staged_in(n, group, now)));
            }
            Act::Activate { first } => self.apply(self.ring.activated(kid, *first, now)),
            Act::Retire => self.apply(self.ring.retired(kid, now)),
            Act::Destroy => {
                if self.ring.may_destroy(kid, now).is_ok() {
                    self.ring.forget(kid);
                }
            }
            Act::Sign { ahead } => {
                let Ok(statement) = self.ring.find(kid) else { return };
                if statement.state(now) == KeyState::Active {
                    let life = policy().lifetime_max_s(statement.class);
                    self.tokens.push((kid, group(statement), now + ahead + life));
                    self.ring.count(kid, now);
                }
            }
            Act::Fetch => self.caches.push((now, self.ring.views(now))),
            Act::Restart => {
                let kept = self.made.iter().filter_map(|kid| self.ring.find(*kid).ok());
                self.ring = ring(kept.map(|statement| Statement::clone(statement)));
            }
        }
    }

    /// Every verifier, with a JWKS young enough, knows the key of every unexpired token.
    fn check(&self) -> Result<(), TestCaseError> {
        let young = self.caches.iter().filter(|(at, _)| self.now - at < AGE);
        let fresh = (self.now, self.ring.views(self.now));
        for (at, keys) in young.chain([&fresh]) {
            for (kid, group, exp) in self.tokens.iter().filter(|(_, _, exp)| self.now < *exp) {
                // A JWKS from before a group's very first key: `first` says that nobody holds one.
                let of_group = |key: &KeyView| {
                    (&key.issuer, key.class, key.algorithm) == (&group.0, group.1, group.2)
                };
                let knows_group = keys.iter().any(of_group);
                let knows = keys.iter().any(|key| key.kid == *kid);
                prop_assert!(
                    knows || !knows_group,
                    "at {} the JWKS of {at} lacks {kid}, whose token lives until {exp}",
                    self.now
                );
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_unexpired_token_verifies_with_every_young_jwks(
        steps in proptest::collection::vec(step(), 1..80)
    ) {
        let mut world = World {
            now: START,
            ring: ring([]),
            made: Vec::new(),
            tokens: Vec::new(),
            caches: Vec::new(),
        };
        for step in &steps {
            world.take(step);
            world.check()?;
        }
    }
}
