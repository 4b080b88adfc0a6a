//! A key's life, seen from outside, across restarts and nodes.

use std::time::Duration;

use wire::{Algorithm, Class, KeyState, Refused, Reply, Request, Sealed};

use crate::bed::{Bed, Client, ISSUER, PIN, access, must, until, verified};

#[test]
fn w176_a_key_is_staged_activated_retired_and_only_then_destroyed() {
    let mut bed = Bed::new();
    for (key, value) in [
        ("jwks_max_age_s", "4"),
        ("access_lifetime_max_s", "3"),
        ("id_lifetime_max_s", "3"),
        ("clock_skew_s", "1"),
    ] {
        bed.set(key, value);
    }
    bed.start();
    let (old, _) = bed.active_key(Algorithm::Es256, Class::Token);
    let (mut manage, mut sign) = (bed.manage_socket(), bed.sign_socket());
    let (new, _) = manage.generate(Algorithm::Es256, Class::Token);
    let published = sign.keys();
    assert!(published.iter().any(|key| key.kid == new.kid && key.state == KeyState::Staged));
    assert_eq!(sign.refusal(&access(new.kid)), Refused::WrongKey);
    let activate = Request::Activate { kid: new.kid, first: true };
    assert_eq!(manage.refusal(&activate), Refused::TooEarly, "it is not the first");
    assert_eq!(manage.refusal(&Request::Destroy(old.kid)), Refused::StillNeeded);
    until("every cache knows the new key", || {
        matches!(manage.call(&activate), Reply::Changed { .. })
    });
    verified(&sign.signed(new.kid), &new);
    verified(&sign.signed(old.kid), &old);
    let (retired, sealed) = manage.changed(&Request::Retire(old.kid));
    assert_eq!(retired.state, KeyState::Retired);
    assert_eq!(sign.refusal(&access(old.kid)), Refused::WrongKey);
    assert!(sign.keys().iter().any(|key| key.kid == old.kid), "still published");
    assert_eq!(manage.refusal(&Request::Destroy(old.kid)), Refused::StillNeeded);
    until("its last token has expired", || {
        manage.call(&Request::Destroy(old.kid)) == Reply::Destroyed
    });
    assert_eq!(manage.load(&[sealed]), (0, vec![0]), "its statement is nothing without the key");
    assert_eq!(sign.keys().len(), 1);
    assert_eq!(bed.log().matches("key act=").count(), 6, "every act is logged");
}

#[test]
fn f16_sigterm_ends_keyd_once_what_was_asked_is_answered() {
    let mut bed = Bed::new();
    bed.set("workers", "1");
    bed.start();
    let (key, _) = bed.active_key(Algorithm::Rs256, Class::Token);
    let mut sign = bed.sign_socket();
    let asked: Vec<u64> = (0..60).map(|_| sign.send(&access(key.kid))).collect();
    let first = sign.receive().map(|(id, _)| id);
    assert_eq!(first, asked.first().copied());
    assert!(bed.terminate().success());
    // What keyd had read it has signed; what it had not is unanswered, never refused.
    let mut next = asked.iter().skip(1);
    while let Some((id, reply)) = sign.receive() {
        assert_eq!(Some(&id), next.next());
        let Reply::Signed(jws) = reply else { panic!("{reply:?}") };
        verified(&jws, &key);
    }
}

#[test]
fn f16_after_kill_9_keys_serve_again_once_their_statements_are_loaded() {
    let mut bed = Bed::started();
    let (key, sealed) = bed.active_key(Algorithm::Es256, Class::Token);
    bed.kill();
    bed.start();
    let mut sign = bed.sign_socket();
    assert_eq!(sign.refusal(&access(key.kid)), Refused::UnknownKey);
    assert_eq!(sign.load(&[sealed.clone(), sealed]), (2, vec![]));
    verified(&sign.signed(key.kid), &key);
}

#[test]
fn an_older_statement_does_not_revive_a_retired_key() {
    let bed = Bed::started();
    let (key, active) = bed.active_key(Algorithm::Es256, Class::Token);
    bed.manage_socket().changed(&Request::Retire(key.kid));
    let mut sign = bed.sign_socket();
    assert_eq!(sign.load(&[active]), (1, vec![]));
    assert_eq!(sign.refusal(&access(key.kid)), Refused::WrongKey);
}

#[test]
fn w174_planted_statements_are_nothing_and_raise_an_alarm() {
    let bed = Bed::started();
    let other = Bed::started();
    let (key, good) = bed.active_key(Algorithm::Es256, Class::Token);
    let (_, foreign) = other.active_key(Algorithm::Es256, Class::Token);
    let flipped = |position: usize| {
        let mut body = good.body.clone();
        body[position] ^= 1;
        Sealed { body, mac: good.mac }
    };
    let mut rows: Vec<Sealed> = (0..good.body.len()).map(flipped).collect();
    rows.push(Sealed { body: good.body.clone(), mac: [0; 32] });
    rows.push(foreign);
    rows.push(Sealed { body: vec![], mac: good.mac });
    rows.push(Sealed { body: vec![1; 4000], mac: good.mac });
    let planted: Vec<u32> = (0..u32::try_from(rows.len()).unwrap()).collect();
    rows.push(good);
    let mut sign = bed.sign_socket();
    let mut found = Vec::new();
    for (n, chunk) in rows.chunks(40).enumerate() {
        let (_, positions) = sign.load(chunk);
        found.extend(positions.iter().map(|at| at + 40 * u32::try_from(n).unwrap()));
    }
    assert_eq!(found, planted);
    assert_eq!(sign.keys().len(), 1);
    verified(&sign.signed(key.kid), &key);
    assert!(bed.log().contains("ALARM: statements that keyd did not make"));
}

#[test]
fn two_nodes_that_start_at_once_on_a_fresh_token_believe_each_other() {
    for _ in 0..5 {
        let bed = Bed::new();
        let _twins = [bed.spawn_twin(".a"), bed.spawn_twin(".b")];
        bed.await_socket(".a");
        bed.await_socket(".b");
        let client = |name: &str| Client::connect(&bed.path(name));
        for (here, there) in [(".a", ".b"), (".b", ".a")] {
            let mut manage = client(&format!("manage{here}"));
            let (key, _) = manage.generate(Algorithm::Es256, Class::Token);
            let (_, sealed) = if here == ".a" {
                manage.activate(key.kid)
            } else {
                manage.changed(&Request::Retire(key.kid))
            };
            assert_eq!(client(&format!("sign{there}")).load(&[sealed]), (1, vec![]));
        }
    }
}

#[test]
fn a_second_mac_key_made_at_the_same_moment_by_another_node_is_believed_by_all() {
    let mut bed = Bed::new();
    bed.set("workers", "1");
    bed.start();
    let (key, by_first) = bed.active_key(Algorithm::Es256, Class::Token);
    let mut sign = bed.sign_socket();
    // From here on the worker knows the MAC keys that there were.
    assert_eq!(sign.load(std::slice::from_ref(&by_first)), (1, vec![]));
    // What the other node would have made, with an id that sorts first.
    let mut tool = bed.tool("pkcs11-tool");
    tool.arg("--module").arg(&bed.module).args(["--login", "--pin", PIN, "--id", "00"]);
    tool.args(["--keygen", "--key-type", "GENERIC:32", "--sensitive", "--usage-sign"]);
    must(tool.args(["--label", "opentrusty-statements"]));
    let _twin = bed.spawn_twin(".b");
    bed.await_socket(".b");
    let mut other = Client::connect(&bed.path("manage.b"));
    assert_eq!(other.load(&[by_first]), (1, vec![]));
    let (_, by_other) = other.changed(&Request::Retire(key.kid));
    let rows = [by_other];
    until("the worker looks for another MAC key", || sign.load(&rows) == (1, vec![]));
    assert_eq!(sign.refusal(&access(key.kid)), Refused::WrongKey, "retired on every node");
}

/// The private and the public halves in the token.
fn halves(bed: &Bed) -> [usize; 2] {
    let mut tool = bed.tool("pkcs11-tool");
    tool.arg("--module").arg(&bed.module).args(["--login", "--pin", PIN, "--list-objects"]);
    let text = must(&mut tool);
    ["Private", "Public"].map(|half| text.matches(&format!("{half} Key Object")).count())
}

/// How many of so many keys this node could make.
fn make_keys(bed: &Bed, node: &str, tries: usize) -> usize {
    let mut manage = Client::connect(&bed.path(&format!("manage{node}")));
    let generate = Request::Generate {
        issuer: ISSUER.to_owned(),
        algorithm: Algorithm::Es256,
        class: Class::Token,
    };
    let made = (0..tries).filter(|_| {
        let reply = manage.call(&generate);
        let made = matches!(reply, Reply::Changed { .. });
        assert!(made || reply == Reply::Refused(Refused::Internal), "{reply:?}");
        made
    });
    made.count()
}

/// `SoftHSM` fails at it now and then: one thread makes an object, and another finds that a second process has
/// changed the token and reads the folder anew.
#[test]
fn nodes_that_make_keys_while_they_use_others_leave_no_half_of_one() {
    let bed = Bed::new();
    let _twins = [bed.spawn_twin(".a"), bed.spawn_twin(".b")];
    bed.await_socket(".a");
    bed.await_socket(".b");
    let mut manage = Client::connect(&bed.path("manage.a"));
    let (known, _) = manage.generate(Algorithm::Es256, Class::Token);
    let (_, sealed) = manage.activate(known.kid);
    let made: usize = std::thread::scope(|scope| {
        for name in ["sign.a", "sign.b", "sign.a", "sign.b"] {
            let mut sign = Client::connect(&bed.path(name));
            let sealed = &sealed;
            scope.spawn(move || {
                for _ in 0..400 {
                    sign.load(std::slice::from_ref(sealed));
                    // The module's locks are not fair: without a pause it could be long until somebody writes.
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        let nodes = [".a", ".b"].map(|node| scope.spawn(|| make_keys(&bed, node, 60)));
        nodes.map(|node| node.join().unwrap()).iter().sum()
    });
    // A half that was lost from sight is seen again once the other node has changed something.
    let after: usize = [".a", ".b", ".a"].map(|node| make_keys(&bed, node, 1)).iter().sum();
    assert_eq!(after, 3, "at rest nothing fails");
    assert_eq!(halves(&bed), [1 + made + after; 2]);
}
