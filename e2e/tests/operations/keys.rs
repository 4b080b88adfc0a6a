//! The life of keys: the first ones, a successor, and what dies in the middle of making one.

use std::process::Command;
use std::time::Duration;

use e2e::bench::{free_port, is_root, until};
use e2e::people::{self, MEMBER, PLATFORM_ADMIN, app, console};
use e2e::{Options, Response, Stand, bearer, tokens};
use serde_json::{Value, json};

use crate::{beside_others, jwks, kids, owner, populated, text};

const SOON: Duration = Duration::from_secs(40);

/// What the platform has in the end: one active key of each kind, and no other row. Not all are needed to
/// serve; the others come last.
fn has_one_set(stand: &Stand) {
    let all = "SELECT class, algorithm, state, count(*) FROM signing_keys GROUP BY 1, 2, 3 ORDER BY class, algorithm COLLATE \"C\", state";
    let one = "admin|ES256|active|1\naudit|ES256|active|1\ntoken|ES256|active|1\ntoken|ES384|active|1\n\
               token|EdDSA|active|1\ntoken|PS256|active|1\ntoken|RS256|active|1";
    until("each kind has its key", SOON, || (owner(stand, all) == one).then_some(()));
}

/// The private halves that lie in the token.
fn private_keys(stand: &Stand) -> usize {
    let pin = std::fs::read_to_string(stand.token().join("pin")).unwrap();
    objects(stand, &["--login", "--pin", pin.trim(), "--type", "privkey"])
        .matches("Private Key Object")
        .count()
}

/// The public halves, for which nobody has to log in: each login makes `SoftHSM` write the token's own file,
/// and a keyd that is killed while it does the same may leave half of it.
fn public_keys(stand: &Stand) -> usize {
    objects(stand, &["--type", "pubkey"]).matches("Public Key Object").count()
}

fn objects(stand: &Stand, which: &[&str]) -> String {
    let module = std::fs::read_to_string(stand.nodes()[0].keyd.config()).unwrap();
    let module = module.lines().find_map(|line| line.strip_prefix("pkcs11_module = ")).unwrap();
    let mut command = if is_root() { Command::new("setpriv") } else { Command::new("env") };
    if is_root() {
        command.args([
            "--reuid=opentrusty-keyd",
            "--regid=opentrusty-keyd",
            "--clear-groups",
            "--",
        ]);
    }
    let output = command
        .args(["pkcs11-tool", "--module", module.trim_matches('"'), "--token-label", "opentrusty"])
        .arg("--list-objects")
        .args(which)
        .env("SOFTHSM2_CONF", stand.token().join("softhsm2.conf"))
        .current_dir("/")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn admind_is_ready(stand: &Stand, port: u16) -> bool {
    let mut client = stand.client();
    client.route(stand.admin_port(), port);
    let url = format!("{}/readyz", stand.api());
    client.try_send("GET", &url, &[], b"").is_ok_and(|response| response.status == 200)
}

#[test]
fn two_nodes_that_start_at_once_make_exactly_one_set_of_keys() {
    let _cluster = beside_others();
    let mut stand = Stand::prepare(&Options { nodes: 2, ..Options::default() });
    let port = free_port();
    let mut second = stand.stranger("admind", 1);
    second.set_env("OPENTRUSTY_PORT", &port.to_string());
    for node in 0..2 {
        stand.node(node).start_keyd();
    }
    stand.admind().start();
    second.start();
    for node in 0..2 {
        stand.node(node).authd.start();
    }
    stand.wait_ready();
    until("the second management plane is ready", SOON, || {
        admind_is_ready(&stand, port).then_some(())
    });
    has_one_set(&stand);
    // A key that SoftHSM did not finish may be out of its sight for as long as nobody changes the token again;
    // keyd's own tests show that it is deleted then.
    let logs = stand.nodes().iter().map(|node| node.keyd.log());
    let broken_off: usize = logs.map(|log| log.matches("C_GenerateKeyPair").count()).sum();
    let keys = private_keys(&stand);
    assert!((7..=7 + broken_off).contains(&keys), "{keys}: no key in the token that nobody knows");
    // Each node looks for keys in its own time.
    until("both nodes publish the same", SOON, || {
        (jwks(&stand, 0) == jwks(&stand, 1)).then_some(())
    });
    assert_eq!(owner(&stand, "SELECT count(*) FROM audit_events WHERE type = 'key.staged'"), "7");
    assert_eq!(
        owner(&stand, "SELECT count(*) FROM audit_events WHERE type = 'issuer.created'"),
        "1"
    );
}

#[test]
fn f20_admind_killed_while_it_makes_the_first_keys_ends_with_one_set() {
    let _cluster = beside_others();
    let mut stand = Stand::prepare(&Options::default());
    stand.node(0).start_keyd();
    for round in 0..4 {
        stand.admind().start();
        // At another moment each time: the issuer's row first, then one more key in the token each.
        until("admind is under way", SOON, || {
            let issuers = owner(&stand, "SELECT count(*) FROM issuers");
            (issuers == "1" && (round == 0 || public_keys(&stand) >= round)).then_some(())
        });
        stand.admind().kill9();
    }
    stand.begin_rest();
    has_one_set(&stand);
    people::populate(&stand);
    let got = app(&stand).tokens(&mut stand.browser(), MEMBER);
    tokens::verify(text(&got, "id_token"), &jwks(&stand, 0), stand.issuer(), "app").unwrap();
}

/// The management API with a fresh administrator's token.
pub(crate) struct Api<'a> {
    stand: &'a Stand,
    token: String,
}

impl<'a> Api<'a> {
    pub(crate) fn of(stand: &'a Stand) -> Self {
        let got = console(stand).tokens(&mut stand.browser(), PLATFORM_ADMIN);
        Self { stand, token: text(&got, "access_token").to_owned() }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Response {
        let url = format!("{}/api/v1/{path}", self.stand.api());
        self.stand.client().json("POST", &url, &[bearer(&self.token)], body)
    }

    pub(crate) fn keys(&self) -> Vec<Value> {
        let url = format!("{}/api/v1/keys", self.stand.api());
        let got = self.stand.client().get_with(&url, bearer(&self.token)).expect(200).json();
        got["keys"].as_array().unwrap().clone()
    }

    fn state(&self, kid: &str) -> String {
        let keys = self.keys();
        let key = keys
            .iter()
            .find(|key| key["kid"] == kid)
            .unwrap_or_else(|| panic!("no {kid} in {keys:?}"));
        text(key, "state").to_owned()
    }

    fn stage(&self, class: &str, algorithm: &str) -> String {
        let staged = self
            .post("keys", &json!({ "class": class, "algorithm": algorithm }))
            .expect(201)
            .json();
        assert_eq!(text(&staged, "state"), "staged");
        text(&staged, "kid").to_owned()
    }

    /// As soon as keyd allows it; until then the answer is that it is too early.
    fn activate(&self, kid: &str) {
        until("the key may sign", SOON, || {
            let response = self.post(&format!("keys/{kid}/activate"), &json!({}));
            if response.status == 409 {
                assert_eq!(text(&response.json(), "code"), "too_early", "{}", response.text());
                return None;
            }
            response.expect(200);
            Some(())
        });
    }
}

fn quick() -> Options {
    Options {
        nodes: 2,
        set: vec![
            ("keyd.jwks_max_age_s", "2"),
            ("authd.jwks_max_age_s", "2"),
            ("admind.jwks_max_age_s", "2"),
        ],
        ..Options::default()
    }
}

fn signer_of(stand: &Stand, node: usize) -> (String, String) {
    let got = app(stand).tokens(&mut e2e::Browser::new(stand.client_of(node)), MEMBER);
    let access = text(&got, "access_token").to_owned();
    (text(&tokens::header(&access), "kid").to_owned(), access)
}

#[test]
fn a_staged_key_is_published_before_it_signs_and_cannot_sign_early() {
    let _cluster = beside_others();
    let stand = populated(&Options { nodes: 2, ..Options::default() });
    let (old, _) = signer_of(&stand, 0);
    let api = Api::of(&stand);
    let kid = api.stage("token", "ES256");
    for node in 0..2 {
        until("the staged key is published", SOON, || {
            kids(&jwks(&stand, node)).contains(&kid).then_some(())
        });
        assert_eq!(signer_of(&stand, node).0, old);
    }
    let early = api.post(&format!("keys/{kid}/activate"), &json!({})).expect(409).json();
    assert_eq!(text(&early, "code"), "too_early", "{early}");
    assert_eq!(api.state(&kid), "staged");
    assert_eq!(signer_of(&stand, 1).0, old);
    // Nor is there a second staged one, nor an end of the only one that signs.
    api.post("keys", &json!({ "class": "token", "algorithm": "ES256" })).expect(409);
    api.post(&format!("keys/{old}/retire"), &json!({})).expect(409);
    api.post(&format!("keys/{old}/activate"), &json!({})).expect(409);
    assert_eq!(api.state(&old), "active");
    // One that was a mistake can be given up, and is in nobody's way.
    api.post(&format!("keys/{kid}/retire"), &json!({})).expect(200);
    assert_eq!(api.state(&kid), "retired");
    api.post(&format!("keys/{kid}/activate"), &json!({})).expect(409);
    assert_ne!(api.stage("token", "ES256"), kid);
}

#[test]
fn a_successor_takes_over_on_every_node_and_nothing_signed_before_is_lost() {
    let _cluster = beside_others();
    let mut stand = populated(&quick());
    let (old, earlier) = signer_of(&stand, 0);
    let kid = {
        let api = Api::of(&stand);
        let kid = api.stage("token", "ES256");
        for node in 0..2 {
            until("the staged key is published", SOON, || {
                kids(&jwks(&stand, node)).contains(&kid).then_some(())
            });
        }
        api.activate(&kid);
        assert_eq!((api.state(&kid), api.state(&old)), ("active".into(), "retired".into()));
        kid
    };
    for _ in 0..2 {
        for node in 0..2 {
            until("the new key signs", SOON, || (signer_of(&stand, node).0 == kid).then_some(()));
            let keys = jwks(&stand, node);
            assert!(kids(&keys).contains(&old), "the retired key stays published");
            tokens::verify(&earlier, &keys, stand.issuer(), stand.issuer()).unwrap();
            let active = app(&stand).introspect(&mut stand.client_of(node), &earlier);
            assert_eq!(active.expect(200).json()["active"], true);
            let (_, later) = signer_of(&stand, node);
            tokens::verify(&later, &keys, stand.issuer(), stand.issuer()).unwrap();
        }
        // Second time round: every process is new and knows only what the rows say.
        stand.admind().kill9();
        for node in 0..2 {
            stand.node(node).kill9();
        }
        stand.begin();
    }
    let audited = owner(
        &stand,
        &format!(
            "SELECT a.type, a.target, a.actor_type, u.email FROM audit_events a LEFT JOIN users u ON u.id::text = a.actor
             WHERE a.target IN ('{old}', '{kid}') AND a.actor IS NOT NULL ORDER BY a.type"
        ),
    );
    let by = format!("user|{}", PLATFORM_ADMIN.0);
    assert_eq!(
        audited,
        format!("key.activated|{kid}|{by}\nkey.retired|{old}|{by}\nkey.staged|{kid}|{by}")
    );
    let together = "SELECT count(DISTINCT tx) FROM audit_events WHERE type IN ('key.activated', 'key.retired') AND actor IS NOT NULL";
    assert_eq!(owner(&stand, together), "1", "one signs and the other ends in one transaction");
}

#[test]
fn the_key_of_the_management_api_is_succeeded_without_locking_anybody_out() {
    let _cluster = beside_others();
    let stand = populated(&quick());
    let api = Api::of(&stand);
    let old = text(&tokens::header(&api.token), "kid").to_owned();
    let kid = api.stage("admin", "ES256");
    api.activate(&kid);
    assert_eq!(api.state(&old), "retired", "the token of before is still good here");
    until("new tokens come from the new key", SOON, || {
        let later = Api::of(&stand);
        (text(&tokens::header(&later.token), "kid") == kid && later.state(&kid) == "active")
            .then_some(())
    });
}

#[test]
fn f16_keyd_killed_while_it_makes_a_key_leaves_a_set_that_works() {
    let _cluster = beside_others();
    let mut stand = populated(&Options::default());
    for _ in 0..3 {
        let statuses = {
            let api = Api::of(&stand);
            let before = public_keys(&stand);
            let keyd = rustix::process::Pid::from_raw(
                i32::try_from(stand.nodes()[0].keyd.pid().unwrap()).unwrap(),
            )
            .unwrap();
            std::thread::scope(|scope| {
                let asked = scope.spawn(|| {
                    api.post("keys", &json!({ "class": "token", "algorithm": "RS256" })).status
                });
                // As soon as the token has changed, or the answer is there.
                until("keyd is at it", SOON, || {
                    (asked.is_finished() || public_keys(&stand) > before).then_some(())
                });
                rustix::process::kill_process(keyd, rustix::process::Signal::KILL).unwrap();
                asked.join().unwrap()
            })
        };
        assert!(matches!(statuses, 201 | 409 | 503), "{statuses}");
        stand.node(0).keyd.kill9();
        stand.node(0).start_keyd();
        until("keys are listed again", SOON, || {
            let url = format!("{}/readyz", stand.api());
            (stand.client().get(&url).status == 200).then_some(())
        });
        let actives = owner(&stand, "SELECT count(*) FROM signing_keys WHERE state = 'active'");
        assert_eq!(actives, "7");
        let staged = owner(&stand, "SELECT count(*) FROM signing_keys WHERE state = 'staged'");
        assert!(staged == "0" || staged == "1", "{staged} staged");
        until("a person signs in", SOON, || {
            let party = app(&stand);
            let mut browser = stand.browser();
            let (code, pkce) = party.code(&mut browser, MEMBER);
            let response = party.redeem(browser.client(), &code, &pkce);
            assert!(
                matches!(response.status, 200 | 503),
                "{} {}",
                response.status,
                response.text()
            );
            (response.status == 200).then_some(())
        });
    }
}

/// As when admind dies between keyd's answer and its own commit: no other node can have published the key.
#[test]
fn f20_a_key_that_keyd_made_and_nobody_wrote_down_never_signs() {
    let _cluster = beside_others();
    let stand = populated(&Options::default());
    has_one_set(&stand);
    let (old, _) = signer_of(&stand, 0);
    let orphan = Api::of(&stand).stage("token", "ES256");
    owner(&stand, &format!("DELETE FROM signing_keys WHERE kid = '{orphan}'"));
    let ended = format!(
        "SELECT state, retired_at IS NOT NULL, activated_at FROM signing_keys WHERE kid = '{orphan}'"
    );
    until("its end is written down", SOON, || {
        (owner(&stand, &ended) == "retired|t|").then_some(())
    });
    assert_eq!(signer_of(&stand, 0).0, old);
    let told = format!(
        "SELECT string_agg(type || ' by ' || actor_type, ', ' ORDER BY id) FROM audit_events WHERE target = '{orphan}'"
    );
    // The first was of the API, whose row went away.
    let wanted = "key.staged by user, key.staged by system, key.retired by system";
    assert_eq!(owner(&stand, &told), wanted);
}

/// The handbook's emergency rotation, with everything running, as when a node is restarted later than another.
#[test]
fn keys_that_were_declared_destroyed_come_back_by_nobodys_hand() {
    let _cluster = beside_others();
    let mut stand = populated(&Options::default());
    has_one_set(&stand);
    let published = kids(&jwks(&stand, 0));
    let states = "SELECT DISTINCT state FROM signing_keys WHERE kid IN";
    let all = owner(&stand, "SELECT string_agg(quote_literal(kid), ',') FROM signing_keys");
    owner(
        &stand,
        "UPDATE signing_keys SET state = 'destroyed', destroyed_at = now() WHERE state <> 'destroyed'",
    );
    // keyd goes on with them, and admind tends keys every ten seconds.
    std::thread::sleep(Duration::from_secs(23));
    assert_eq!(owner(&stand, &format!("{states} ({all})")), "destroyed");
    let keyd = &mut stand.node(0).keyd;
    keyd.stop();
    keyd.start();
    let of_new =
        format!("SELECT count(*) FROM signing_keys WHERE kid NOT IN ({all}) AND state = 'active'");
    until("each kind has a new key", SOON, || (owner(&stand, &of_new) == "7").then_some(()));
    stand.wait_ready();
    until("only new keys are published", SOON, || {
        let now = kids(&jwks(&stand, 0));
        (!now.is_empty() && now.iter().all(|kid| !published.contains(kid))).then_some(())
    });
    assert_eq!(owner(&stand, &format!("{states} ({all})")), "destroyed");
    app(&stand).tokens(&mut stand.browser(), MEMBER);
}
