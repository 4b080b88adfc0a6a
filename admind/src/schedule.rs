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

/// Longest wait of an issuer's first keys for those that the token is slow to make, in seconds.
const TOGETHER_S: u64 = 60;

/// The longest life of anything but a seal, in seconds: keyd's ceiling.
const LIFETIME_MAX_S: u64 = 86_400;

/// Keys that verifiers cannot tell apart before they look at the kid, within one issuer.
pub(crate) type Kind = (Class, Algorithm);

/// The platform's keys, one of each kind: first those without which nothing is served.
pub(crate) const OF_PLATFORM: [Kind; 7] = [
    (Class::Token, Algorithm::Es256),
    (Class::Token, Algorithm::Rs256),
    (Class::Admin, Algorithm::Es256),
    (Class::Audit, Algorithm::Es256),
    (Class::Token, Algorithm::Ps256),
    (Class::Token, Algorithm::Es384),
    (Class::Token, Algorithm::EdDsa),
];

/// A tenant's keys. The management API and the audit log are the platform's.
pub(crate) const OF_TENANT: [Kind; 5] = [
    (Class::Token, Algorithm::Es256),
    (Class::Token, Algorithm::Rs256),
    (Class::Token, Algorithm::Ps256),
    (Class::Token, Algorithm::Es384),
    (Class::Token, Algorithm::EdDsa),
];

/// One step of a key's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make a key.
    Stage(Class, Algorithm),
    /// An issuer's first key of its kind signs at once.
    ActivateFirst(Kid),
    /// The staged key takes over, and the former one ends.
    Succeed { successor: Kid, former: Kid },
    /// Of two that sign, the older ends: a succession was cut off between its two halves. Or a staged one that cannot
    /// succeed.
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
    pub(crate) class: Class,
    pub(crate) state: KeyState,
    /// Seconds since the epoch.
    pub(crate) retired_at: Option<u64>,
}

/// The steps that are due now for one issuer, which is to have a key of each of `kinds`, in the order in which
/// they must be taken. First whatever a crash left half done: the end of a former key before its successor's
/// row, since the database allows one that signs.
pub(crate) fn plan(
    keys: &[KeyView],
    rows: &[Row],
    kinds: &[Kind],
    now: u64,
    policy: Policy,
) -> Vec<Step> {
    let mut steps: Vec<_> = kinds.iter().filter_map(|kind| superfluous(keys, *kind)).collect();
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
        let life = lifetime_max_s(row.class).saturating_add(SKEW_S);
        row.retired_at.is_some_and(|at| now >= at.saturating_add(life))
    };
    let gone = |row: &&Row| {
        row.state == KeyState::Retired && over(row) && !keys.iter().any(|key| key.kid == row.kid)
    };
    steps.extend(rows.iter().filter(gone).map(|row| Step::Forget(row.kid)));
    let (hopeful, hopeless): (Vec<KeyView>, Vec<KeyView>) =
        keys.iter().cloned().partition(|key| !is_hopeless(key, keys, rows, now));
    steps.extend(hopeless.iter().map(|key| Step::Retire(key.kid)));
    let due: Vec<_> = kinds.iter().filter_map(|kind| step(&hopeful, *kind, now, policy)).collect();
    let (stages, others): (Vec<_>, Vec<_>) =
        due.into_iter().partition(|step| matches!(step, Step::Stage(..)));
    let wait = is_incomplete(&hopeful, &stages, now);
    steps.extend(stages);
    steps
        .extend(others.into_iter().filter(|step| !wait || !matches!(step, Step::ActivateFirst(_))));
    steps.extend(spent(keys, now));
    steps
}

/// Whether a new issuer's first signature waits for keys that are still to be made: nobody then holds a JWKS of an
/// issuer that signs and lacks one of them. For the kinds without which nothing is served it waits until they are there,
/// for others a minute.
fn is_incomplete(keys: &[KeyView], stages: &[Step], now: u64) -> bool {
    let needed = |step: &Step| match step {
        Step::Stage(class, algorithm) => {
            *class == Class::Admin || matches!(algorithm, Algorithm::Es256 | Algorithm::Rs256)
        }
        Step::ActivateFirst(_)
        | Step::Succeed { .. }
        | Step::Retire(_)
        | Step::Restate(..)
        | Step::Forget(_)
        | Step::Destroy(_) => false,
    };
    let began = keys.iter().map(|key| key.staged_at).min().unwrap_or(now);
    let signs = |key: &KeyView| key.class != Class::Audit && key.not_sign_before.is_some();
    !keys.iter().any(signs)
        && (stages.iter().any(needed)
            || !stages.is_empty() && now < began.saturating_add(TOGETHER_S))
}

/// A staged key that cannot be anybody's successor: other nodes have never heard of it and cannot have published it,
/// since a crash fell between its making and its row; or it was made under a clock that ran ahead.
fn is_hopeless(key: &KeyView, keys: &[KeyView], rows: &[Row], now: u64) -> bool {
    let alike = |other: &&KeyView| (other.class, other.algorithm) == (key.class, key.algorithm);
    let succeeds = || keys.iter().filter(alike).any(|other| other.state == KeyState::Active);
    let unknown = || !rows.iter().any(|row| row.kid == key.kid);
    key.state == KeyState::Staged
        && (key.staged_at > now.saturating_add(SKEW_S) || unknown() && succeeds())
}

/// The ends of keys by which nothing that is alive was signed.
pub(crate) fn spent(keys: &[KeyView], now: u64) -> impl Iterator<Item = Step> {
    keys.iter().filter(move |key| is_spent(key, now)).map(|key| Step::Destroy(key.kid))
}

fn superfluous(keys: &[KeyView], (class, algorithm): Kind) -> Option<Step> {
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

fn step(keys: &[KeyView], (class, algorithm): Kind, now: u64, policy: Policy) -> Option<Step> {
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
#[path = "schedule_tests.rs"]
mod tests;
