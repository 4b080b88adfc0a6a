//! Examples of plans, and what holds for every history.

use std::collections::HashMap;

use proptest::prelude::*;
use wire::Jwk;

use super::*;

const POLICY: Policy = Policy { jwks_age_s: 3600, rotate_after_s: 86_400 };

fn key(id: u8, state: KeyState, times: (u64, Option<u64>, Option<u64>)) -> KeyView {
    KeyView {
        kid: Kid([id; 16]),
        issuer: "https://as.example".into(),
        algorithm: Algorithm::Es256,
        class: Class::Token,
        public: Jwk::P256 { x: [0; 32], y: [0; 32] },
        state,
        staged_at: times.0,
        not_sign_before: times.1,
        not_sign_after: times.2,
        signatures: 0,
    }
}

/// With rows that say what keyd says.
fn planned(keys: &[KeyView], now: u64) -> Vec<Step> {
    let rows: Vec<_> = keys
        .iter()
        .map(|key| Row { kid: key.kid, class: key.class, state: key.state, retired_at: None })
        .collect();
    plan(keys, &rows, &OF_PLATFORM, now, POLICY)
}

#[test]
fn a_succession_that_was_cut_off_is_finished() {
    let former = key(1, KeyState::Active, (0, Some(0), None));
    let successor = key(2, KeyState::Active, (10, Some(5000), None));
    let rows = [
        Row { kid: Kid([1; 16]), class: Class::Token, state: KeyState::Active, retired_at: None },
        Row { kid: Kid([2; 16]), class: Class::Token, state: KeyState::Staged, retired_at: None },
    ];
    let steps = of_token_class(plan(&[former, successor], &rows, &OF_PLATFORM, 5001, POLICY));
    assert_eq!(steps, [Step::Retire(Kid([1; 16])), Step::Restate(Kid([2; 16]), KeyState::Active)]);
}

/// A seal is verified for as long as the log exists, and a token can mislay a key for a while.
#[test]
fn an_audit_key_that_the_token_does_not_show_is_never_forgotten() {
    let row =
        |class| Row { kid: Kid([9; 16]), class, state: KeyState::Retired, retired_at: Some(0) };
    for (class, forgotten) in [(Class::Token, true), (Class::Audit, false)] {
        let steps = plan(&[], &[row(class)], &OF_PLATFORM, 1_000_000_000, POLICY);
        assert_eq!(steps.contains(&Step::Forget(Kid([9; 16]))), forgotten, "{class:?}");
    }
}

#[test]
fn a_key_without_a_row_and_a_row_without_a_key_are_put_right() {
    let orphan = key(1, KeyState::Active, (0, Some(0), None));
    let gone = Row {
        kid: Kid([9; 16]),
        class: Class::Token,
        state: KeyState::Retired,
        retired_at: Some(0),
    };
    let planned = |now, policy| {
        let keys = std::slice::from_ref(&orphan);
        of_token_class(plan(keys, &[gone], &OF_PLATFORM, now, policy))
    };
    let early = planned(86_000, POLICY);
    assert_eq!(early, [Step::Restate(Kid([1; 16]), KeyState::Active)]);
    let policy = Policy { rotate_after_s: u64::MAX, ..POLICY };
    let steps = planned(86_520, policy);
    assert_eq!(steps, [Step::Restate(Kid([1; 16]), KeyState::Active), Step::Forget(Kid([9; 16]))]);
}

fn of_token_class(steps: Vec<Step>) -> Vec<Step> {
    let other = |step: &Step| matches!(step, Step::Stage(class, algorithm) if (*class, *algorithm) != (Class::Token, Algorithm::Es256));
    steps.into_iter().filter(|step| !other(step)).collect()
}

#[test]
fn an_issuer_without_keys_gets_one_of_each_kind_and_of_no_other() {
    for kinds in [OF_PLATFORM.as_slice(), &OF_TENANT, &OF_TENANT[..2]] {
        let steps = plan(&[], &[], kinds, 0, POLICY);
        let staged: Vec<_> =
            kinds.iter().map(|(class, algorithm)| Step::Stage(*class, *algorithm)).collect();
        assert_eq!(steps, staged);
    }
    assert!(OF_TENANT.iter().all(|(class, _)| *class == Class::Token));
}

#[test]
fn what_readiness_waits_for_comes_before_what_it_does_not() {
    let waits = |kind: &Kind| {
        let (class, algorithm) = *kind;
        class == Class::Admin || matches!(algorithm, Algorithm::Es256 | Algorithm::Rs256)
    };
    for kinds in [OF_PLATFORM.as_slice(), &OF_TENANT] {
        assert!(kinds.iter().map(|kind| !waits(kind)).is_sorted(), "{kinds:?}");
    }
}

/// A staged key of each kind but those at `missing`.
fn staged_but(missing: &[usize], at: u64) -> Vec<KeyView> {
    let of = |(number, (class, algorithm)): (u8, &Kind)| KeyView {
        class: *class,
        algorithm: *algorithm,
        ..key(number, KeyState::Staged, (at, None, None))
    };
    let there =
        (0..).zip(&OF_PLATFORM).filter(|(number, _)| !missing.contains(&usize::from(*number)));
    there.map(of).collect()
}

#[test]
fn every_kind_is_published_before_the_first_signs() {
    let activations = |missing: &[usize], now: u64| {
        let steps = planned(&staged_but(missing, 10), now);
        let stages = steps.iter().filter(|step| matches!(step, Step::Stage(..))).count();
        assert_eq!(stages, missing.len());
        steps.iter().filter(|step| matches!(step, Step::ActivateFirst(_))).count()
    };
    assert_eq!(activations(&[], 11), 7, "a crash after staging resumes with activation");
    // What a token is slow to make is waited for, and not for ever.
    assert_eq!(activations(&[6], 11), 0);
    assert_eq!(activations(&[6], 69), 0);
    assert_eq!(activations(&[6], 70), 6);
    // Without these nothing is served anyway.
    for needed in 0..3 {
        assert_eq!(activations(&[needed], 100_000), 0);
    }
}

/// (security.md, F20) A crash between keyd and PostgreSQL leaves a key that no other node can have published.
#[test]
fn f20_a_staged_key_without_a_row_succeeds_nobody() {
    let active = key(1, KeyState::Active, (0, Some(0), None));
    let orphan = key(2, KeyState::Staged, (86_400, None, None));
    let row =
        Row { kid: active.kid, class: Class::Token, state: KeyState::Active, retired_at: None };
    for now in [86_401, 86_400 + 3720, 86_400 + 90 * 86_400] {
        let keys = [active.clone(), orphan.clone()];
        let steps = of_token_class(plan(&keys, &[row], &OF_PLATFORM, now, POLICY));
        let stage = Step::Stage(Class::Token, Algorithm::Es256);
        assert_eq!(steps, [Step::Retire(Kid([2; 16])), stage], "at {now}");
    }
}

/// (security.md, F21) What was staged under a clock that ran ahead is out of the way once the clock is right again.
#[test]
fn f21_a_key_from_the_future_is_not_waited_for() {
    let active = key(1, KeyState::Active, (0, Some(0), None));
    let ahead = key(2, KeyState::Staged, (1_000_000_000, None, None));
    let steps = planned(&[active.clone(), ahead], 86_400);
    assert!(steps.contains(&Step::Retire(Kid([2; 16]))), "{steps:?}");
    assert!(steps.contains(&Step::Stage(Class::Token, Algorithm::Es256)), "{steps:?}");
    let skewed = key(3, KeyState::Staged, (86_500, None, None));
    assert_eq!(of_token_class(planned(&[active, skewed], 86_400)), []);
}

#[test]
fn a_successor_is_staged_in_time_and_waits_for_the_caches() {
    let active = key(1, KeyState::Active, (0, Some(0), None));
    assert_eq!(of_token_class(planned(std::slice::from_ref(&active), 86_399)), []);
    assert_eq!(
        of_token_class(planned(std::slice::from_ref(&active), 86_400)),
        [Step::Stage(Class::Token, Algorithm::Es256)]
    );
    let staged = key(2, KeyState::Staged, (86_400, None, None));
    let both = [active, staged];
    assert_eq!(of_token_class(planned(&both, 86_400 + 3719)), []);
    assert_eq!(
        of_token_class(planned(&both, 86_400 + 3720)),
        [Step::Succeed { successor: Kid([2; 16]), former: Kid([1; 16]) }]
    );
}

#[test]
fn a_retired_key_stays_until_its_last_token_has_expired() {
    // Its successor is due for one of its own by then, which is another matter.
    let active = key(2, KeyState::Active, (90_000, Some(90_000), None));
    let retired = key(1, KeyState::Retired, (0, Some(0), Some(90_000)));
    let both = [active, retired];
    assert_eq!(
        of_token_class(planned(&both, 90_000 + 86_400 + 119)),
        [Step::Stage(Class::Token, Algorithm::Es256)]
    );
    let due = of_token_class(planned(&both, 90_000 + 86_400 + 120));
    assert!(due.contains(&Step::Destroy(Kid([1; 16]))));
}

/// keyd and PostgreSQL as the keeper sees them, for one issuer.
struct World {
    now: u64,
    kinds: Vec<Kind>,
    /// What keyd believes.
    keys: Vec<KeyView>,
    /// What is committed: the statement that each row holds.
    rows: Vec<KeyView>,
    /// By kind: the key that keyd knows to have been published first.
    firsts: HashMap<Kind, Kid>,
    made: u8,
}

const fn kind_of(key: &KeyView) -> Kind {
    (key.class, key.algorithm)
}

impl World {
    fn new(kinds: Vec<Kind>) -> Self {
        let (keys, rows, firsts) = (Vec::new(), Vec::new(), HashMap::new());
        Self { now: 1_000_000, kinds, keys, rows, firsts, made: 0 }
    }

    fn plan(&self) -> Vec<Step> {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| Row {
                kid: row.kid,
                class: row.class,
                state: row.state,
                retired_at: row.not_sign_after,
            })
            .collect();
        plan(&self.keys, &rows, &self.kinds, self.now, POLICY)
    }

    /// One visit of the keeper. With `cut`, keyd does the n-th step and nobody writes it down.
    fn tend(&mut self, cut: Option<usize>) {
        let mut failed = Vec::new();
        for number in 0..64 {
            let Some(step) = self.plan().into_iter().find(|step| !failed.contains(step)) else {
                return;
            };
            let before = self.rows.clone();
            match self.perform(step) {
                None => failed.push(step),
                Some(changed) if cut != Some(number) => self.commit(changed),
                Some(_) => {
                    self.rows = before;
                    return;
                }
            }
        }
        panic!("it does not come to an end: {:?}", self.plan());
    }

    /// The keys whose rows are to be written, in order; `None` if keyd refuses.
    fn perform(&mut self, step: Step) -> Option<Vec<Kid>> {
        match step {
            Step::Stage(class, algorithm) => {
                assert!(self.kinds.contains(&(class, algorithm)));
                self.made += 1;
                let new = key(self.made, KeyState::Staged, (self.now, None, None));
                self.firsts.entry((class, algorithm)).or_insert(new.kid);
                self.keys.push(KeyView { class, algorithm, ..new });
                Some(vec![Kid([self.made; 16])])
            }
            Step::ActivateFirst(kid) => self.activate(kid, true).then(|| vec![kid]),
            Step::Restate(kid, KeyState::Active) => self.activate(kid, false).then(|| vec![kid]),
            Step::Succeed { successor, former } => {
                if !self.activate(successor, false) {
                    return None;
                }
                self.retire(former);
                Some(vec![former, successor])
            }
            Step::Retire(kid) | Step::Restate(kid, KeyState::Retired) => {
                self.retire(kid);
                Some(vec![kid])
            }
            Step::Restate(_, KeyState::Staged) => panic!("nothing to restate"),
            Step::Forget(kid) => {
                self.rows.retain(|row| row.kid != kid);
                Some(Vec::new())
            }
            Step::Destroy(kid) => {
                let key = self.keys.iter().find(|key| key.kid == kid).unwrap();
                let end = key.not_sign_after.unwrap();
                assert!(self.now - end > lifetime_max_s(key.class), "something may be alive");
                self.keys.retain(|key| key.kid != kid);
                self.rows.retain(|row| row.kid != kid);
                Some(Vec::new())
            }
        }
    }

    /// As keyd judges it.
    fn activate(&mut self, kid: Kid, first: bool) -> bool {
        let (now, firsts) = (self.now, &self.firsts);
        let key = self.keys.iter_mut().find(|key| key.kid == kid).unwrap();
        if key.not_sign_before.is_some() {
            return true;
        }
        let is_first = first && firsts.get(&kind_of(key)) == Some(&kid);
        if !is_first && now < key.staged_at + POLICY.jwks_age_s {
            return false;
        }
        (key.state, key.not_sign_before) = (KeyState::Active, Some(now));
        true
    }

    fn retire(&mut self, kid: Kid) {
        let now = self.now;
        let key = self.keys.iter_mut().find(|key| key.kid == kid).unwrap();
        key.state = KeyState::Retired;
        key.not_sign_after.get_or_insert(now);
    }

    fn commit(&mut self, changed: Vec<Kid>) {
        for kid in changed {
            let key = self.keys.iter().find(|key| key.kid == kid).unwrap().clone();
            self.rows.retain(|row| row.kid != kid);
            self.rows.push(key);
            // signing_keys_one_active.
            for kind in &self.kinds {
                assert!(active(&self.rows, *kind) <= 1, "two rows of {kind:?} are active");
            }
        }
    }

    /// keyd knows what the rows say, and nothing else.
    fn restart_keyd(&mut self) {
        self.keys.clone_from(&self.rows);
        self.firsts.clear();
        for key in &self.keys {
            let first = self.firsts.entry(kind_of(key)).or_insert(key.kid);
            let at = |kid: Kid| self.keys.iter().find(|one| one.kid == kid).unwrap().staged_at;
            if at(key.kid) < at(*first) {
                *first = key.kid;
            }
        }
    }
}

fn active(keys: &[KeyView], kind: Kind) -> usize {
    keys.iter().filter(|key| kind_of(key) == kind && key.state == KeyState::Active).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn one_key_of_each_kind_signs_after_every_visit_whatever_was_cut_off(
        is_platform in any::<bool>(),
        unsupported in prop::sample::subsequence(&Algorithm::ALL[2..], 0..=3),
        visits in prop::collection::vec(
            (
                prop::sample::select(vec![0, 10, 3599, 3600, 3720, 40_000, 86_400, 86_521, 200_000]),
                prop::option::weighted(0.3, 0..16_usize),
                prop::bool::weighted(0.2),
            ),
            1..40,
        ),
    ) {
        let kinds: &[Kind] = if is_platform { &OF_PLATFORM } else { &OF_TENANT };
        let offered = |kind: &&Kind| !unsupported.contains(&kind.1);
        let mut world = World::new(kinds.iter().filter(offered).copied().collect());
        let mut signed: Vec<Kind> = Vec::new();
        let mut restarted = false;
        for (wait, cut, restart) in visits {
            world.now += wait;
            if restart {
                world.restart_keyd();
                restarted = true;
            }
            world.tend(cut);
            for kind in world.kinds.clone() {
                let counts = (active(&world.keys, kind), active(&world.rows, kind));
                // Once there is a key that signs, there always is: at least in a keyd that has not forgotten
                // what was not written down, and anyway after a visit that came to its end.
                if signed.contains(&kind) {
                    prop_assert!(counts.0 > 0 || restarted, "{kind:?} signs no more");
                    prop_assert!(counts == (1, 1) || cut.is_some(), "{counts:?} of {kind:?}");
                } else if counts.0 > 0 {
                    signed.push(kind);
                }
            }
        }
        world.now += POLICY.jwks_age_s;
        world.tend(None);
        for kind in world.kinds.clone() {
            prop_assert_eq!((active(&world.keys, kind), active(&world.rows, kind)), (1, 1));
        }
        prop_assert!(world.keys.iter().all(|key| world.kinds.contains(&kind_of(key))));
        prop_assert!(is_platform || world.keys.iter().all(|key| key.class == Class::Token));
    }
}
