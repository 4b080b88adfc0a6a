//! The daemons that run, not a copy of their policy: a certificate that is replaced by a link to elsewhere is
//! read by no daemon in its sandbox, and by every daemon without one.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use e2e::authority::Certificates;
use e2e::bench::{require_root, until};
use e2e::{Options, Stand};

/// A daemon looks at its certificate every five seconds.
const RELOAD: Duration = Duration::from_secs(30);

fn stand(tls: &Certificates, sandbox: &'static str) -> Stand {
    let mut set = tls.settings();
    set.extend([("authd.sandbox", sandbox), ("admind.sandbox", sandbox)]);
    Stand::start(&Options { set, ..Options::default() })
}

/// Put links to elsewhere in the place of certificate and key.
fn link(tls: &Certificates, daemon: &str) {
    let leaf = tls.new_leaf(daemon);
    for name in ["certificate.pem", "key.pem"] {
        let new = tls.of(daemon).join(format!("{name}.new"));
        symlink(leaf.folder.join(name), &new).unwrap();
        fs::rename(new, tls.of(daemon).join(name)).unwrap();
    }
}

fn shown(port: u16) -> Vec<u8> {
    e2e::authority::shown(port).unwrap()
}

#[test]
fn a_running_daemon_cannot_follow_a_link_out_of_its_sandbox() {
    require_root();
    let tls = Certificates::copied();
    let mut stand = stand(&tls, "\"required\"");
    let ports = [stand.node(0).port(), stand.admin_port()];
    let before = ports.map(shown);
    link(&tls, "authd");
    link(&tls, "admind");
    let kept = |log: &str| log.contains("keeping the old certificate").then_some(());
    until("authd complains", RELOAD, || kept(&stand.node(0).authd.log()));
    until("admind complains", RELOAD, || kept(&stand.admind().log()));
    assert_eq!(ports.map(shown), before, "the old certificates are still served");
    assert!(
        stand.node(0).authd.log().contains("Permission denied"),
        "{}",
        stand.node(0).authd.log()
    );
}

#[test]
fn the_same_link_is_followed_without_a_sandbox() {
    require_root();
    let tls = Certificates::copied();
    let mut stand = stand(&tls, "\"off\"");
    let ports = [stand.node(0).port(), stand.admin_port()];
    let before = ports.map(shown);
    link(&tls, "authd");
    link(&tls, "admind");
    for (port, old) in ports.iter().zip(&before) {
        until("the new certificate is served", RELOAD, || (shown(*port) != *old).then_some(()));
    }
}
