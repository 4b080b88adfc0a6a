//! Less of what was granted: at refresh and at token exchange (W64).

use serde_json::{Number, Value};

use super::{Details, Element, refused};
use crate::Error;

/// Members whose arrays list what is allowed, so that fewer entries allow less (RFC 9396 §2.2).
const LISTS: [&str; 5] = ["actions", "datatypes", "identifier", "locations", "privileges"];

impl Details {
    /// What a token may carry: `requested`, if what was granted covers it; everything when nothing is
    /// requested (RFC 9396 §6).
    pub fn narrow(&self, requested: Option<&Self>) -> Result<Self, Error> {
        match requested {
            None => Ok(self.clone()),
            Some(requested) if self.covers(requested) => Ok(requested.clone()),
            Some(_) => Err(refused("beyond what was granted")),
        }
    }

    /// The same where nothing may have been granted: then nothing can be requested.
    pub fn narrow_granted(
        granted: Option<&Self>,
        requested: Option<&Self>,
    ) -> Result<Option<Self>, Error> {
        match (granted, requested) {
            (Some(granted), requested) => granted.narrow(requested).map(Some),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(refused("beyond what was granted")),
        }
    }

    /// Whether each element of `requested` is covered by an element of its own here: what was granted once is
    /// not to be had twice.
    pub fn covers(&self, requested: &Self) -> bool {
        let mut taken = vec![None; self.0.len()];
        (0..requested.0.len()).all(|index| {
            let mut seen = vec![false; self.0.len()];
            self.assign(&requested.0, index, &mut taken, &mut seen)
        })
    }

    /// Finds a granted element for the requested one, moving earlier ones to others that cover them as well
    /// (an augmenting path; there are at most 16 of either).
    fn assign(
        &self,
        requested: &[Element],
        index: usize,
        taken: &mut [Option<usize>],
        seen: &mut [bool],
    ) -> bool {
        let Some(wanted) = requested.get(index) else { return false };
        for (at, granted) in self.0.iter().enumerate() {
            if seen.get(at).copied().unwrap_or(true) || !covers(granted, wanted) {
                continue;
            }
            if let Some(seen) = seen.get_mut(at) {
                *seen = true;
            }
            let holder = taken.get(at).copied().flatten();
            if holder.is_none_or(|holder| self.assign(requested, holder, taken, seen)) {
                if let Some(place) = taken.get_mut(at) {
                    *place = Some(index);
                }
                return true;
            }
        }
        false
    }
}

/// The same members, each the same or a shorter list: a member that is left out may have been a limit.
fn covers(granted: &Element, requested: &Element) -> bool {
    granted.members.len() == requested.members.len()
        && requested.members.iter().all(|(name, wanted)| {
            granted.members.get(name).is_some_and(|own| {
                same(own, wanted) || LISTS.contains(&name.as_str()) && is_subset(wanted, own)
            })
        })
}

/// A list of nothing may mean everything to somebody, so something must be left.
fn is_subset(wanted: &Value, own: &Value) -> bool {
    let (Value::Array(wanted), Value::Array(own)) = (wanted, own) else { return false };
    !wanted.is_empty() && wanted.iter().all(|item| own.iter().any(|own| same(own, item)))
}

/// Equality that does not depend on how a number was spelt: PostgreSQL gives `1e2` back as `100`.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => same_number(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        (
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_),
            _,
        ) => a == b,
    }
}

/// An integer and a float are one number where every integer has a float of its own: below 2^53.
#[expect(clippy::float_cmp, reason = "the same number, not nearly the same")]
fn same_number(a: &Number, b: &Number) -> bool {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if a.is_f64() == b.is_f64() {
        return a == b;
    }
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b && a.abs() < EXACT,
        _ => false,
    }
}

#[cfg(test)]
#[path = "narrow_tests.rs"]
mod tests;
