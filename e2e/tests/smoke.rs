//! The bench itself: an installation comes up whole, its parts keep to themselves, and it goes away.

use std::path::Path;
use std::time::Duration;

use e2e::bench::until;
use e2e::{Connection, Options, Racer, Stand, race};
use serde_json::Value;
use url::Url;

#[test]
fn an_installation_comes_up_and_publishes_its_issuer_and_keys() {
    let stand = Stand::start(&Options::default());
    let mut client = stand.client();
    let discovery = client.get(&format!("{}/.well-known/openid-configuration", stand.issuer()));
    let discovery = discovery.expect(200).json();
    assert_eq!(discovery["issuer"], stand.issuer());

    let jwks = client.get(discovery["jwks_uri"].as_str().unwrap()).expect(200).json();
    assert!(!jwks["keys"].as_array().unwrap().is_empty(), "{jwks}");
    client.get(&format!("{}/healthz", stand.api())).expect(200);
}

#[test]
fn both_nodes_publish_the_same_keys_under_one_issuer() {
    let stand = Stand::start(&Options { nodes: 2, ..Options::default() });
    let published = |node: usize| {
        let mut client = stand.client_of(node);
        let url = format!("{}/.well-known/openid-configuration", stand.issuer());
        let discovery = client.get(&url).expect(200).json();
        assert_eq!(discovery["issuer"], stand.issuer());
        client.get(discovery["jwks_uri"].as_str().unwrap()).expect(200).json()
    };
    stand.wait_for_keys();
    // Each node looks for itself, every few seconds; what is made after the first keys comes to one sooner.
    let whole = |keys: &Value| keys["keys"].as_array().is_some_and(|keys| keys.len() == 6);
    until("both nodes publish every key", Duration::from_secs(30), || {
        (whole(&published(0)) && whole(&published(1))).then_some(())
    });
    assert_eq!(published(0), published(1));
}

#[test]
fn a_node_that_was_killed_serves_again() {
    let mut stand = Stand::start(&Options::default());
    let url = format!("{}/.well-known/openid-configuration", stand.issuer());
    stand.node(0).kill9();
    assert!(
        stand.client().try_send("GET", &url, &[], b"").is_err(),
        "nothing listens after SIGKILL"
    );
    stand.node(0).restart();
    stand.client().get(&url).expect(200);
}

#[test]
fn two_installations_at_once_share_nothing() {
    let (one, two) = (Stand::start(&Options::default()), Stand::start(&Options::default()));
    assert_ne!(one.issuer(), two.issuer());
    let keys = |stand: &Stand| stand.psql("opentrusty_owner", "SELECT current_database()").unwrap();
    assert_ne!(keys(&one), keys(&two));
    assert_ne!(one.token(), two.token());
}

#[test]
fn racers_are_answered_each_in_its_place() {
    let stand = Stand::start(&Options::default());
    let client = stand.client();
    let racers: Vec<Racer> = (0..16)
        .map(|number| {
            let path = if number % 2 == 0 { "readyz" } else { "nothing-here" };
            let url = Url::parse(&format!("{}/{path}", stand.issuer())).unwrap();
            Racer { address: client.address(&url), bytes: client.bytes("GET", &url, &[], b"") }
        })
        .collect();
    let statuses: Vec<u16> =
        race(stand.trust(), &racers).iter().map(|response| response.status).collect();
    let expected: Vec<u16> = (0..16).map(|n| if n % 2 == 0 { 200 } else { 404 }).collect();
    assert_eq!(statuses, expected);
}

#[test]
fn nothing_of_a_dropped_installation_runs_on() {
    let mut stand = Stand::start(&Options::default());
    let pids: Vec<u32> = [
        stand.node(0).keyd.pid().unwrap(),
        stand.node(0).authd.pid().unwrap(),
        stand.admind().pid().unwrap(),
    ]
    .to_vec();
    let address = ([127, 0, 0, 1], stand.node(0).port()).into();
    let trust = stand.trust();
    drop(stand);
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{pid} still runs");
    }
    assert!(Connection::open(address, trust).is_err());
}
