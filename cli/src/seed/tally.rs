//! What a run did, by kind of thing.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::outcome::Outcome;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Tenants,
    Users,
    Memberships,
    Roles,
    Scopes,
    Audiences,
    Clients,
    Issuers,
    #[serde(rename = "authorization_detail_types")]
    DetailTypes,
    #[serde(rename = "exchange_policies")]
    Policies,
    Invitations,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Tenants => "tenants",
            Self::Users => "users",
            Self::Memberships => "memberships",
            Self::Roles => "roles",
            Self::Scopes => "scopes",
            Self::Audiences => "audiences",
            Self::Clients => "clients",
            Self::Issuers => "issuers",
            Self::DetailTypes => "detail types",
            Self::Policies => "policies",
            Self::Invitations => "invitations",
        }
    }
}

#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Counts {
    created: u32,
    updated: u32,
    unchanged: u32,
}

#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Tally(BTreeMap<Kind, Counts>);

impl Tally {
    pub(super) fn count(&mut self, kind: Kind, outcome: Outcome) {
        let counts = self.0.entry(kind).or_default();
        match outcome {
            Outcome::Created => counts.created += 1,
            Outcome::Updated => counts.updated += 1,
            Outcome::Unchanged => counts.unchanged += 1,
        }
    }

    /// Whether anything was written.
    pub(super) fn changed(&self) -> bool {
        self.0.values().any(|counts| counts.created + counts.updated > 0)
    }

    /// For a person.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(kind, counts)| {
            let Counts { created, updated, unchanged } = counts;
            format!(
                "{:<13}{created} created, {updated} updated, {unchanged} unchanged",
                kind.as_str()
            )
        })
    }
}
