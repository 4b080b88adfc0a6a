//! When a key is staged, activated, retired and destroyed. Pure: keys, the time and a policy in, steps out.
//!
//! `staged → active → retired → destroyed`. A staged key waits until every verifier's JWKS knows it; a
//! retired one stays until the last token that it signed has expired. keyd checks both again by itself.

use wire::{Algorithm, Class, KeyState, KeyView, Kid};

/// How long things take, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// The oldest JWKS that a verifier may still hold.
    pub(crate) jwks_age_s: u64,
    /// The age at which an active key gets a successor.
    pub(crate) rotate_after_s: u64,
}

/// Slack between keyd's clock and ours before a step is asked for.
const SKEW_S: u64 = 120;

/// The longest life of anything but a seal, in seconds: keyd's ceiling.
const LIFETIME_MAX_S: u64 = 86_400;

/// What an issuer needs to serve: one key each.
pub(crate) const NEEDED: [(Class, Algorithm); 4] = [
    (Class::Token, Algorithm::Es256),
    (Class::Token, Algorithm::Rs256),
    (Class::Admin, Algorithm::Es256),
    (Class::Audit, Algorithm::Es256),
];

/// One step of a key's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make a key.
    Stage(Class, Algorithm),
    /// An issuer's first key of its kind signs at once: nobody can hold a JWKS without it.
    ActivateFirst(Kid),
    /// The staged key takes over, and the former one ends.
    Succeed { successor: Kid, former: Kid },
    /// Of two that sign, the older ends: a succession was cut off between its two halves.
    Retire(Kid),
    /// keyd has moved the key on and PostgreSQL has not heard of it: a crash fell between the two.
    Restate(Kid, KeyState),
    /// PostgreSQL remembers a retired key that the token no longer holds: a crash fell after its end.
    Forget(Kid),
    /// Nothing that it signed can be alive.
    Destroy(Kid),
}

/// The longest life of a token of a class, in seconds: keyd's ceilings.
const fn lifetime_max_s(class: Class) -> u64 {
    match class {
        Class::Token => LIFETIME_MAX_S,
        Class::Admin => 300,
        // A seal over the audit log is verified for as long as the log exists: its key is never destroyed.
        Class::Audit => u64::MAX,
    }
}

/// What PostgreSQL holds about a key that is not destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) kid: Kid,
    pub(crate) state: KeyState,
    /// Seconds since the epoch.
    pub(crate) retired_at: Option<u64>,
}

/// The steps that are due now, in the order in which they must be taken. First whatever a crash left half
/// done: the end of a former key before its successor's row, since the database allows one that signs.
pub(crate) fn plan(keys: &[KeyView], rows: &[Row], now: u64, policy: Policy) -> Vec<Step> {
    let mut steps: Vec<_> = NEEDED.into_iter().filter_map(|kind| superfluous(keys, kind)).collect();
    let differs = |key: &&KeyView| match rows.iter().find(|row| row.kid == key.kid) {
        Some(row) => row.state != key.state,
        None => key.state != KeyState::Staged,
    };
    let restate = |state| move |key: &&KeyView| key.state == state && differs(key);
    for state in [KeyState::Retired, KeyState::Active] {
        let behind =
            keys.iter().filter(restate(state)).map(|key| Step::Restate(key.kid, key.state));
        steps.extend(behind);
    }
    // Only when nothing that it signed can be alive: a token that mislaid a key for a moment is no reason.
    let over = |row: &&Row| {
        row.retired_at.is_some_and(|at| now >= at.saturating_add(LIFETIME_MAX_S + SKEW_S))
    };
    let gone = |row: &&Row| {
        row.state == KeyState::Retired && over(row) && !keys.iter().any(|key| key.kid == row.kid)
    };
    steps.extend(rows.iter().filter(gone).map(|row| Step::Forget(row.kid)));
    steps.extend(NEEDED.into_iter().filter_map(|kind| step(keys, kind, now, policy)));
    steps.extend(keys.iter().filter(|key| is_spent(key, now)).map(|key| Step::Destroy(key.kid)));
    steps
}

fn superfluous(keys: &[KeyView], (class, algorithm): (Class, Algorithm)) -> Option<Step> {
    let active = |key: &&KeyView| {
        key.class == class && key.algorithm == algorithm && key.state == KeyState::Active
    };
    let mut active: Vec<_> = keys.iter().filter(active).collect();
    active.sort_by_key(|key| (key.not_sign_before, key.kid));
    match active.as_slice() {
        [older, _, ..] => Some(Step::Retire(older.kid)),
        _ => None,
    }
}

fn step(
    keys: &[KeyView],
    (class, algorithm): (Class, Algorithm),
    now: u64,
    policy: Policy,
) -> Option<Step> {
    let of = |state: KeyState| {
        keys.iter()
            .find(move |key| key.class == class && key.algorithm == algorithm && key.state == state)
    };
    match (of(KeyState::Active), of(KeyState::Staged)) {
        (None, None) => Some(Step::Stage(class, algorithm)),
        (None, Some(staged)) => Some(Step::ActivateFirst(staged.kid)),
        (Some(active), None) => {
            let age = now.saturating_sub(active.not_sign_before.unwrap_or(active.staged_at));
            (age >= policy.rotate_after_s).then_some(Step::Stage(class, algorithm))
        }
        (Some(active), Some(staged)) => {
            let waited = now.saturating_sub(staged.staged_at);
            // A key staged by hand waits for an operator until the active one is due anyway.
            let age = now.saturating_sub(active.not_sign_before.unwrap_or(active.staged_at));
            let due =
                age >= policy.rotate_after_s && waited >= policy.jwks_age_s.saturating_add(SKEW_S);
            due.then_some(Step::Succeed { successor: staged.kid, former: active.kid })
        }
    }
}

fn is_spent(key: &KeyView, now: u64) -> bool {
    let end = key.not_sign_after.filter(|_| key.state == KeyState::Retired);
    end.is_some_and(|end| {
        now >= end.saturating_add(lifetime_max_s(key.class)).saturating_add(SKEW_S)
    })
}

#[cfg(test)]
mod tests {
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
            .map(|key| Row { kid: key.kid, state: key.state, retired_at: None })
            .collect();
        plan(keys, &rows, now, POLICY)
    }

    #[test]
    fn a_succession_that_was_cut_off_is_finished() {
        let former = key(1, KeyState::Active, (0, Some(0), None));
        let successor = key(2, KeyState::Active, (10, Some(5000), None));
        let rows = [
            Row { kid: Kid([1; 16]), state: KeyState::Active, retired_at: None },
            Row { kid: Kid([2; 16]), state: KeyState::Staged, retired_at: None },
        ];
        let steps = of_token_class(plan(&[former, successor], &rows, 5001, POLICY));
        assert_eq!(
            steps,
            [Step::Retire(Kid([1; 16])), Step::Restate(Kid([2; 16]), KeyState::Active)]
        );
    }

    #[test]
    fn a_key_without_a_row_and_a_row_without_a_key_are_put_right() {
        let orphan = key(1, KeyState::Active, (0, Some(0), None));
        let gone = Row { kid: Kid([9; 16]), state: KeyState::Retired, retired_at: Some(0) };
        let early = of_token_class(plan(std::slice::from_ref(&orphan), &[gone], 86_000, POLICY));
        assert_eq!(early, [Step::Restate(Kid([1; 16]), KeyState::Active)]);
        let policy = Policy { rotate_after_s: u64::MAX, ..POLICY };
        let steps = of_token_class(plan(&[orphan], &[gone], 86_520, policy));
        assert_eq!(
            steps,
            [Step::Restate(Kid([1; 16]), KeyState::Active), Step::Forget(Kid([9; 16]))]
        );
    }

    fn of_token_class(steps: Vec<Step>) -> Vec<Step> {
        let other = |step: &Step| matches!(step, Step::Stage(class, algorithm) if (*class, *algorithm) != (Class::Token, Algorithm::Es256));
        steps.into_iter().filter(|step| !other(step)).collect()
    }

    #[test]
    fn an_issuer_without_keys_gets_one_of_each_kind() {
        let steps = plan(&[], &[], 0, POLICY);
        assert_eq!(steps, NEEDED.map(|(class, algorithm)| Step::Stage(class, algorithm)));
    }

    #[test]
    fn a_crash_after_staging_resumes_with_activation() {
        let staged = key(1, KeyState::Staged, (10, None, None));
        assert_eq!(of_token_class(planned(&[staged], 11)), [Step::ActivateFirst(Kid([1; 16]))]);
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
}
