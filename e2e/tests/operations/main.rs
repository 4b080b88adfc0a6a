//! Starting in any order, losing what one depends on, dying at any moment, serving from two nodes, living
//! with keys: the installation goes on, or says so, and loses nothing that it acknowledged.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test support: a failure here is the failure of the test that asked"
)]

mod audit;
mod certificate;
mod hung;
mod issuers;
mod keys;
mod ledger;
mod nodes;
mod outage;
mod planted;
mod start;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use e2e::{Options, Stand, people};
use serde_json::Value;

/// All stands of this binary share one PostgreSQL: whoever stops it must be alone.
static CLUSTER: RwLock<()> = RwLock::new(());

fn beside_others() -> RwLockReadGuard<'static, ()> {
    CLUSTER.read().unwrap_or_else(PoisonError::into_inner)
}

fn alone() -> RwLockWriteGuard<'static, ()> {
    CLUSTER.write().unwrap_or_else(PoisonError::into_inner)
}

/// A running installation with people and clients.
fn populated(options: &Options) -> Stand {
    let stand = Stand::start(options);
    people::populate(&stand);
    stand
}

fn owner(stand: &Stand, sql: &str) -> String {
    stand.psql("opentrusty_owner", sql).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// The key set of a node.
fn jwks(stand: &Stand, node: usize) -> Value {
    let url = format!("{}/.well-known/jwks.json", stand.issuer());
    stand.client_of(node).get(&url).expect(200).json()
}

/// The key set, once every node publishes the platform's first keys of every kind.
fn published(stand: &Stand) -> Value {
    stand.wait_for_keys();
    let public = "SELECT count(*) FROM signing_keys k JOIN issuers i ON i.id = k.issuer_id
                  WHERE i.tenant_id IS NULL AND k.class <> 'audit'";
    let count: usize = owner(stand, public).parse().unwrap();
    // A node looks every five seconds.
    e2e::bench::until("every node publishes every key", Duration::from_secs(20), || {
        let mut sets = (0..stand.nodes().len()).map(|node| jwks(stand, node));
        sets.all(|keys| kids(&keys).len() == count).then_some(())
    });
    jwks(stand, 0)
}

/// The ids of a key set, in order.
fn kids(jwks: &Value) -> Vec<String> {
    let keys = jwks["keys"].as_array().unwrap();
    let mut kids: Vec<String> = keys.iter().map(|key| text(key, "kid").to_owned()).collect();
    kids.sort();
    kids
}
