//! How keyd starts, and how it refuses to.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Command;

use wire::{Algorithm, Class, Reply, Request, TokenState};

use crate::bed::{Bed, Client, Twin, until, verified};

#[test]
fn a_wrong_setting_ends_the_start_with_78_and_its_name() {
    for (key, value) in [
        ("admin_lifetime_max_s", "301"),
        ("authd_user", "no-such-user-here"),
        ("pin_file", "/nonexistent/pin"),
        ("sign_socket", "/nonexistent/sign"),
        ("sandbox", "perhaps"),
        ("misspelt", "1"),
    ] {
        let mut bed = Bed::new();
        bed.set(key, value);
        assert_eq!(bed.command("").status().unwrap().code(), Some(78), "{key}");
        assert!(bed.log().contains(key), "{key}: {}", bed.log());
    }
}

#[test]
fn w177_a_pin_that_others_can_read_is_not_used() {
    let bed = Bed::new();
    fs::set_permissions(bed.path("pin"), fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(bed.command("").status().unwrap().code(), Some(78));
    assert!(bed.log().contains("pin_file"));
}

#[test]
fn check_judges_the_settings_and_touches_nothing() {
    let mut bed = Bed::new();
    bed.set("authd_user", "no-such-user-here");
    assert_eq!(bed.command("").arg("--check").status().unwrap().code(), Some(0));
    assert!(!bed.path("sign").exists());
    bed.set("clock_skew_s", "3000");
    assert_eq!(bed.command("").arg("--check").status().unwrap().code(), Some(78));
}

/// Does what systemd does: makes the sockets as root, then becomes the daemon's user and executes it.
const ACTIVATE: &str = r"
use Socket;
$^F = 9;
my ($uid, $sign, $manage, @command) = @ARGV;
for my $path ($sign, $manage) {
    socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die;
    bind($s, sockaddr_un($path)) and listen($s, 8) or die;
    push @main::kept, $s;
}
$( = $uid; $) = qq($uid $uid); ($<, $>) = ($uid, $uid);
$ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 2; $ENV{LISTEN_FDNAMES} = 'sign:manage';
exec @command or die;
";

#[test]
fn w170_on_inherited_sockets_a_client_sees_the_uid_of_keyd() {
    const KEYD: u32 = 61002;
    assert!(rustix::process::getuid().is_root(), "only root can play systemd");
    let bed = Bed::new();
    let command = bed.command("");
    let log = bed.path("log");
    let stderr = fs::File::options().append(true).open(log).unwrap();
    // The build folder may be closed to other users.
    let program = bed.path("keyd");
    fs::copy(command.get_program(), &program).unwrap();
    give(&bed.dir, KEYD);
    let mut systemd = Command::new("/usr/bin/perl");
    systemd.args(["-e", ACTIVATE, &KEYD.to_string()]);
    systemd.args([bed.path("sign"), bed.path("manage")]).arg(program);
    systemd.args(command.get_args()).env_clear().stderr(stderr);
    systemd.env("SOFTHSM2_CONF", bed.path("softhsm2.conf"));
    let _keyd = Twin(systemd.spawn().unwrap());
    until("the sockets are there", || bed.path("manage").exists());
    bed.await_socket("");
    let mut sign = bed.sign_socket();
    assert_eq!(host::peer::uid(&sign.stream).unwrap(), KEYD);
    assert_eq!(host::peer::uid(&bed.manage_socket().stream).unwrap(), KEYD);
    assert_eq!(sign.call(&Request::Health), Reply::Health(TokenState::Ready));
    let (key, _) = bed.active_key(Algorithm::Es256, Class::Token);
    verified(&Client::connect(&bed.path("sign")).signed(key.kid), &key);
}

fn give(path: &std::path::Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), uid);
        }
    }
}
