//! Two nodes on one database and one token: what one begins the other ends.

use e2e::people::{self, MEMBER, app, careful};
use e2e::{Browser, Options, Pkce, Stand, tokens};
use serde_json::Value;

use crate::{beside_others, jwks, populated, text};

fn two() -> Stand {
    populated(&Options { nodes: 2, ..Options::default() })
}

/// The person's other tab: the same cookies, at the other node.
fn moved(stand: &Stand, browser: &mut Browser, node: usize) -> Browser {
    let mut client = stand.client_of(node);
    for (name, value) in browser.client().cookies().clone() {
        client.put_cookie(&name, &value);
    }
    Browser::new(client)
}

#[test]
fn a_code_of_one_node_is_redeemed_at_the_other_and_verifies_everywhere() {
    let _cluster = beside_others();
    let stand = two();
    let party = app(&stand);
    for (issues, redeems) in [(0, 1), (1, 0)] {
        let (code, pkce) = party.code(&mut Browser::new(stand.client_of(issues)), MEMBER);
        let got = party.redeem(&mut stand.client_of(redeems), &code, &pkce).expect(200).json();
        for node in 0..2 {
            let keys = jwks(&stand, node);
            let access = text(&got, "access_token");
            tokens::verify(access, &keys, stand.issuer(), stand.issuer()).unwrap();
            tokens::verify(text(&got, "id_token"), &keys, stand.issuer(), "app").unwrap();
            let active = party.introspect(&mut stand.client_of(node), access).expect(200).json();
            assert_eq!(active["active"], true, "node {node}");
        }
        // Spent here is spent there, and costs the tokens.
        assert_eq!(party.redeem(&mut stand.client_of(issues), &code, &pkce).status, 400);
        for node in 0..2 {
            let dead = party.introspect(&mut stand.client_of(node), text(&got, "access_token"));
            assert_eq!(dead.expect(200).json()["active"], false, "node {node}");
        }
    }
}

#[test]
fn a_refresh_token_goes_from_node_to_node() {
    let _cluster = beside_others();
    let stand = two();
    let party = app(&stand);
    let mut got: Value = party.tokens(&mut Browser::new(stand.client_of(0)), MEMBER);
    let first = text(&got, "refresh_token").to_owned();
    for round in 0..6 {
        let mut client = stand.client_of((round + 1) % 2);
        got = party.refresh(&mut client, text(&got, "refresh_token")).expect(200).json();
        let keys = jwks(&stand, round % 2);
        tokens::verify(text(&got, "access_token"), &keys, stand.issuer(), stand.issuer()).unwrap();
    }
    // The first one again, at the node that did not take it.
    assert_eq!(party.refresh(&mut stand.client_of(0), &first).status, 400);
    for node in 0..2 {
        assert_eq!(
            party.refresh(&mut stand.client_of(node), text(&got, "refresh_token")).status,
            400
        );
    }
}

#[test]
fn a_sign_in_begun_at_one_node_is_finished_at_the_other_page_by_page() {
    let _cluster = beside_others();
    let stand = two();
    let party = careful(&stand);
    let pkce = Pkce::new();
    let mut here = Browser::new(stand.client_of(0));
    let url = here.open(&party.url(&pkce, &[])).url.clone();
    // The login page of node 0, shown and posted by node 1; its consent page posted by node 0 again.
    let mut there = moved(&stand, &mut here, 1);
    there.open(&url);
    let consent = there.submit(&[("username", MEMBER.0), ("password", MEMBER.1)]).url.clone();
    assert!(consent.contains("/consent"), "{consent}");
    let mut back = moved(&stand, &mut there, 0);
    back.open(&consent);
    back.submit(&[("decision", "approve")]);
    let code = back.page().away_parameter("code").unwrap();
    party.redeem(&mut stand.client_of(1), &code, &pkce).expect(200);
}

/// What node 1 says to the login form of node 0.
fn posted_elsewhere(stand: &Stand) -> u16 {
    let mut here = Browser::new(stand.client_of(0));
    let page = here.open(&app(stand).url(&Pkce::new(), &[])).clone();
    let fields: Vec<(&str, String)> = ["csrf", "interaction"]
        .into_iter()
        .map(|name| (name, page.field(name).unwrap_or_else(|| panic!("no {name}"))))
        .collect();
    let mut form = vec![("username", MEMBER.0), ("password", MEMBER.1)];
    form.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
    let mut there = moved(stand, &mut here, 1);
    there.client().post(&format!("{}/login", stand.issuer()), &form).status
}

#[test]
fn nodes_that_meet_a_new_token_at_the_same_moment_take_each_others_forms() {
    let _cluster = beside_others();
    for round in 0..4 {
        let mut stand = Stand::prepare(&Options { nodes: 2, ..Options::default() });
        stand.node(0).keyd.start();
        stand.node(1).keyd.start();
        stand.begin_rest();
        people::populate(&stand);
        assert_eq!(
            posted_elsewhere(&stand),
            303,
            "round {round}: their keys are derived from different roots"
        );
    }
}

#[test]
fn a_session_and_its_end_count_at_both_nodes() {
    let _cluster = beside_others();
    let stand = two();
    let party = app(&stand);
    let mut here = Browser::new(stand.client_of(0));
    let got = party.tokens(&mut here, MEMBER);
    // Signed in here is signed in there: no page comes in between.
    let mut there = moved(&stand, &mut here, 1);
    there.open(&party.url(&Pkce::new(), &[("prompt", "none")]));
    assert!(there.page().away_parameter("code").is_some(), "{}", there.page().away());
    there.open(&format!("{}/logout", stand.issuer()));
    there.submit(&[]);
    here.open(&party.url(&Pkce::new(), &[("prompt", "none")]));
    assert_eq!(here.page().away_parameter("error").as_deref(), Some("login_required"));
    assert_eq!(party.refresh(&mut stand.client_of(0), text(&got, "refresh_token")).status, 400);
}

#[test]
fn what_one_node_revokes_is_dead_at_the_other() {
    let _cluster = beside_others();
    let stand = two();
    let party = app(&stand);
    let got = party.tokens(&mut stand.browser(), MEMBER);
    party.revoke(&mut stand.client_of(0), text(&got, "access_token")).expect(200);
    let there = party.introspect(&mut stand.client_of(1), text(&got, "access_token"));
    assert_eq!(there.expect(200).json()["active"], false);
}

#[test]
fn one_node_goes_and_the_other_serves() {
    let _cluster = beside_others();
    let mut stand = two();
    let party = app(&stand);
    let got = party.tokens(&mut stand.browser(), MEMBER);
    stand.node(0).kill9();
    let mut client = stand.client_of(1);
    party.refresh(&mut client, text(&got, "refresh_token")).expect(200);
    party.tokens(&mut Browser::new(client), MEMBER);
    stand.node(0).restart();
    party.tokens(&mut stand.browser(), MEMBER);
}
