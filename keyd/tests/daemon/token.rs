//! The token goes, comes back, refuses the PIN; and what is in it.

use std::fs;
use std::path::Path;

use wire::{Algorithm, Class, Refused, Reply, Request, TokenState};

use crate::bed::{Bed, PIN, access, must, until, verified};

fn move_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn f17_a_token_that_goes_and_comes_back_heals_without_a_restart() {
    let mut bed = Bed::started();
    let (key, sealed) = bed.active_key(Algorithm::Es256, Class::Token);
    let mut sign = bed.sign_socket();
    verified(&sign.signed(key.kid), &key);
    for _ in 0..3 {
        fs::rename(bed.path("tokens"), bed.path("away")).unwrap();
        until("signing stops", || {
            let reply = sign.call(&access(key.kid));
            let stopped = reply == Reply::Refused(Refused::Unavailable);
            assert!(stopped || matches!(reply, Reply::Signed(_)), "{reply:?}");
            stopped
        });
        assert_eq!(sign.call(&Request::Health), Reply::Health(TokenState::Lost));
        assert_eq!(sign.refusal(&Request::Load(vec![sealed.clone()])), Refused::Unavailable);
        assert_eq!(sign.keys().len(), 1, "the JWKS does not depend on the token");
        fs::rename(bed.path("away"), bed.path("tokens")).unwrap();
        until("the token is back", || {
            sign.call(&Request::Health) == Reply::Health(TokenState::Ready)
        });
        verified(&sign.signed(key.kid), &key);
    }
    bed.manage_socket().generate(Algorithm::Rs256, Class::Token);
    assert!(bed.is_alive());
}

#[test]
fn f17_a_loss_is_noticed_without_a_request() {
    let bed = Bed::started();
    fs::rename(bed.path("tokens"), bed.path("away")).unwrap();
    let mut sign = bed.sign_socket();
    until("the loss is noticed", || sign.call(&Request::Health) == Reply::Health(TokenState::Lost));
}

#[test]
fn f17_the_token_may_come_after_keyd() {
    let mut bed = Bed::new();
    move_all(&bed.path("tokens"), &bed.path("away"));
    let child = bed.spawn_twin("");
    until("keyd listens", || bed.path("manage").exists());
    let mut manage = bed.manage_socket();
    assert_eq!(manage.call(&Request::Health), Reply::Health(TokenState::Lost));
    move_all(&bed.path("away"), &bed.path("tokens"));
    until("keyd finds it", || manage.call(&Request::Health) == Reply::Health(TokenState::Ready));
    manage.generate(Algorithm::Es256, Class::Token);
    drop(child);
    bed.kill();
}

#[test]
fn another_token_under_the_same_label_is_not_taken_for_ours() {
    let bed = Bed::started();
    let (key, _) = bed.active_key(Algorithm::Es256, Class::Token);
    move_all(&bed.path("tokens"), &bed.path("away"));
    let mut sign = bed.sign_socket();
    until("the loss is noticed", || sign.call(&Request::Health) == Reply::Health(TokenState::Lost));
    bed.init_token();
    until("keyd has looked again", || bed.log().matches("no token with this label").count() > 1);
    assert_eq!(sign.refusal(&access(key.kid)), Refused::Unavailable);
}

/// The lines of `C_Login` calls that `OpenSC`'s spy wrote down.
fn logins(spy: &Path) -> usize {
    fs::read_to_string(spy).unwrap_or_default().matches(": C_Login\n").count()
}

#[test]
fn w177_a_wrong_pin_is_tried_once_and_keyd_stays_up_locked() {
    let mut bed = Bed::new();
    let spy = ["/usr/lib/x86_64-linux-gnu/pkcs11/pkcs11-spy.so", "/usr/lib64/pkcs11/pkcs11-spy.so"]
        .into_iter()
        .find(|place| Path::new(place).exists())
        .expect("this test needs OpenSC's pkcs11-spy (Debian: opensc)");
    bed.set_env("PKCS11SPY", &bed.module.display().to_string());
    bed.set_env("PKCS11SPY_OUTPUT", &bed.path("tokens/spy").display().to_string());
    bed.module = spy.into();
    bed.write_pin("4321");
    bed.start();
    let mut sign = bed.sign_socket();
    assert_eq!(sign.call(&Request::Health), Reply::Health(TokenState::Locked));
    assert_eq!(logins(&bed.path("tokens/spy")), 1);
    // Neither requests nor time make it try again.
    for _ in 0..30 {
        let request = Request::Derive(wire::DeriveLabel::Csrf);
        assert_eq!(sign.refusal(&request), Refused::Locked);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let generate = Request::Generate {
        issuer: crate::bed::ISSUER.to_owned(),
        algorithm: Algorithm::Es256,
        class: Class::Token,
    };
    assert_eq!(bed.manage_socket().refusal(&generate), Refused::Locked);
    assert_eq!(logins(&bed.path("tokens/spy")), 1);
    assert!(bed.is_alive());
    let log = bed.log();
    assert!(log.contains("ALARM: the token refused the PIN") && !log.contains("4321"), "{log}");
    bed.kill();
    bed.write_pin(PIN);
    bed.start();
    assert_eq!(bed.sign_socket().call(&Request::Health), Reply::Health(TokenState::Ready));
}

#[test]
fn w175_keys_cannot_leave_the_token_and_can_only_sign() {
    let bed = Bed::started();
    for algorithm in Algorithm::ALL {
        bed.active_key(algorithm, Class::Token);
    }
    let mut tool = bed.tool("pkcs11-tool");
    tool.arg("--module").arg(&bed.module).args(["--login", "--pin", PIN, "--list-objects"]);
    let text = must(&mut tool);
    let objects: Vec<&str> =
        text.split("\nUsing slot").next().unwrap().split("Key Object").collect();
    let mut kinds = Vec::new();
    for pair in objects.windows(2) {
        let kind = pair[0].lines().last().unwrap().trim();
        let field = |name: &str| {
            let line = pair[1].lines().find(|line| line.trim_start().starts_with(name)).unwrap();
            line.split_once(':').unwrap().1.trim()
        };
        match kind {
            "Public" => assert_eq!(field("Usage"), "verify"),
            "Private" => assert_eq!(field("Usage"), "sign"),
            "Secret" => assert_eq!(field("Usage"), "none"),
            other => panic!("{other}: {text}"),
        }
        if kind != "Public" {
            assert_eq!(field("Access"), "sensitive, always sensitive, never extractable, local");
        }
        kinds.push(kind);
    }
    kinds.sort_unstable();
    // A pair each and the two MAC keys: the self-test leaves nothing behind.
    assert_eq!(kinds, [["Private"; 5].as_slice(), &["Public"; 5], &["Secret"; 2]].concat());
}

#[test]
fn what_the_token_does_not_list_is_unsupported_and_nothing_is_made() {
    let mut bed = Bed::new();
    let conf = bed.path("softhsm2.conf");
    let mut text = fs::read_to_string(&conf).unwrap();
    // Of what it is to leave out, SoftHSM overlooks the first.
    text.push_str("slots.mechanisms = -CKM_DSA,CKM_EDDSA,CKM_RSA_PKCS_PSS\n");
    fs::write(conf, text).unwrap();
    bed.start();
    let mut manage = bed.manage_socket();
    for algorithm in Algorithm::ALL {
        let issuer = crate::bed::ISSUER.to_owned();
        let generate = Request::Generate { issuer, algorithm, class: Class::Token };
        let reply = manage.call(&generate);
        if matches!(algorithm, Algorithm::EdDsa | Algorithm::Ps256) {
            assert_eq!(reply, Reply::Refused(Refused::Unsupported), "{algorithm:?}");
        } else {
            assert!(matches!(reply, Reply::Changed { .. }), "{algorithm:?}: {reply:?}");
        }
    }
    assert_eq!(manage.call(&Request::Health), Reply::Health(TokenState::Ready));
    assert_eq!(manage.keys().len(), 3);
    assert!(!bed.log().contains("ALARM"), "{}", bed.log());
}

#[test]
fn w179_another_key_under_the_same_id_signs_nothing_that_is_released() {
    let bed = Bed::started();
    let (key, _) = bed.active_key(Algorithm::Es256, Class::Token);
    let mut sign = bed.sign_socket();
    verified(&sign.signed(key.kid), &key);
    let id: Vec<String> = key.kid.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let tool = |arguments: &[&str]| {
        let mut tool = bed.tool("pkcs11-tool");
        tool.arg("--module").arg(&bed.module).args(["--login", "--pin", PIN, "--id", &id.concat()]);
        must(tool.args(arguments));
    };
    tool(&["--delete-object", "--type", "privkey"]);
    assert_eq!(sign.refusal(&access(key.kid)), Refused::Internal, "the key is gone");
    tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--usage-sign"]);
    assert_eq!(sign.refusal(&access(key.kid)), Refused::Internal, "it is another key");
    assert!(bed.log().contains("ALARM: the token made a signature that does not verify"));
    assert_eq!(sign.call(&Request::Health), Reply::Health(TokenState::Ready));
    assert_eq!(sign.keys()[0].signatures, 1, "only what was released is counted");
}

#[test]
fn a_mac_key_from_outside_is_not_believed() {
    let mut bed = Bed::started();
    let (_, good) = bed.active_key(Algorithm::Es256, Class::Token);
    bed.kill();
    // Made so that it can be read out, and with an id that sorts before any other.
    let tool = |arguments: &[&str]| {
        let mut tool = bed.tool("pkcs11-tool");
        tool.arg("--module").arg(&bed.module).args(["--login", "--pin", PIN, "--id", "00"]);
        must(tool.args(arguments));
    };
    let known = bed.path("known");
    let label = ["--label", "opentrusty-statements"];
    tool(
        &[&["--keygen", "--key-type", "GENERIC:32", "--extractable", "--usage-sign"], &label[..]]
            .concat(),
    );
    tool(&["--read-object", "--type", "secrkey", "--output-file", known.to_str().unwrap()]);
    let known = fs::read(known).unwrap();
    assert_eq!(known.len(), 32);
    bed.start();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &known);
    let input = keyd::statements::mac_input(&good.body).unwrap();
    let mac = aws_lc_rs::hmac::sign(&key, &input).as_ref().try_into().unwrap();
    let forged = wire::Sealed { body: good.body.clone(), mac };
    assert_eq!(bed.sign_socket().load(&[forged, good]), (1, vec![0]));
    assert!(bed.log().contains("ALARM: a MAC key that was not made in the token is ignored"));
}
