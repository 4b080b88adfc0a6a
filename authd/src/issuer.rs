//! Issuers: the platform's at the root, a tenant's own beneath `/t/{slug}`. Which one a request is for is read
//! once, from its path; every endpoint gets a [`Site`] and can reach no other issuer's clients or keys.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use oauth::ids::TenantId;
use signer::KeySet;
use wire::{Algorithm, Class};

use crate::app::App;

/// One issuer with its keys, as this node knows it.
#[derive(Debug)]
pub(crate) struct Issuer {
    /// `iss`, without a slash at its end.
    pub(crate) url: String,
    /// What its paths begin with: nothing, or `/t/{slug}`.
    pub(crate) base: String,
    /// `None`: the platform.
    pub(crate) tenant: Option<TenantId>,
    pub(crate) keys: KeySet,
    /// Types of `authorization_details` that its clients can ask for, by name.
    pub(crate) detail_types: Vec<String>,
}

impl Issuer {
    /// Whether there is a key for everything that is signed here by default. Tokens for the admin API are the
    /// platform's alone.
    pub(crate) fn is_ready(&self) -> bool {
        match self.tenant {
            None => self.keys.is_complete(),
            Some(_) => [Algorithm::Es256, Algorithm::Rs256]
                .into_iter()
                .all(|algorithm| self.keys.signing(Class::Token, algorithm).is_some()),
        }
    }
}

/// Every issuer that this node serves, by slug.
#[derive(Debug)]
pub(crate) struct Issuers {
    pub(crate) platform: Arc<Issuer>,
    pub(crate) tenants: HashMap<String, Arc<Issuer>>,
}

impl Issuers {
    /// What is known before anything was read: where the platform is.
    pub(crate) fn unread(url: &str) -> Self {
        let platform = Issuer {
            url: url.to_owned(),
            base: String::new(),
            tenant: None,
            keys: KeySet::default(),
            detail_types: Vec::new(),
        };
        Self { platform: Arc::new(platform), tenants: HashMap::new() }
    }
}

/// What an endpoint works with: the process, at one issuer.
pub(crate) struct Site<'a> {
    app: &'a App,
    issuer: Arc<Issuer>,
}

impl<'a> Site<'a> {
    /// The platform's, or that of the tenant with this slug if it has one of its own.
    pub(crate) fn of(app: &'a App, slug: Option<&str>) -> Option<Self> {
        let issuers = app.keys.current();
        let issuer = match slug {
            None => &issuers.platform,
            Some(slug) => issuers.tenants.get(slug)?,
        };
        Some(Self { app, issuer: Arc::clone(issuer) })
    }

    /// `iss`.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer.url
    }

    /// What the paths of this issuer's pages begin with.
    pub(crate) fn base(&self) -> &str {
        &self.issuer.base
    }

    /// A path of this issuer's.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.issuer.base)
    }

    /// Whether everything that is signed here by default can be.
    pub(crate) fn has_keys(&self) -> bool {
        self.issuer.is_ready()
    }

    /// What ID tokens can be signed with here and now, the default first.
    pub(crate) fn id_token_algorithms(&self) -> Vec<Algorithm> {
        let mut all = self.issuer.keys.algorithms(Class::Token);
        all.sort_by_key(|algorithm| *algorithm != Algorithm::Rs256);
        all
    }

    /// Types of `authorization_details` that clients here can ask for, by name.
    pub(crate) fn detail_types(&self) -> &[String] {
        &self.issuer.detail_types
    }

    /// The keys that sign here.
    pub(crate) fn key_set(&self) -> &KeySet {
        &self.issuer.keys
    }

    /// The same issuer with what has become known of it since.
    pub(crate) fn renewed(&self) -> Option<Self> {
        let slug = self.issuer.base.strip_prefix("/t/");
        Self::of(self.app, slug)
    }
}

impl Deref for Site<'_> {
    type Target = App;

    fn deref(&self) -> &App {
        self.app
    }
}
