//! What of `opentrusty setup` needs no systemd: which flags it refuses, the files it writes, whether the daemons
//! take them, and the manual. The rest is tried on a booted machine.
#![expect(
    clippy::unwrap_used,
    reason = "test support: a failure here is the failure of the test that asked"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

use e2e::bench::bench;

/// Any file will do as a module: nobody loads it here.
const MODULE: [&str; 4] = ["--module", "/proc/self/exe", "--token-label", "opentrusty"];

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ot-setup-{}-{number}", std::process::id()));
        // Of a run that was cut off, by a process of the same number.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: &str, mode: u32) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn etc(&self, name: &str) -> PathBuf {
        self.0.join("etc/opentrusty").join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn opentrusty(args: &[&str]) -> Output {
    bench().program("opentrusty").args(args).output().unwrap()
}

/// `setup --yes` that only writes files, with the flags that every case needs.
fn write(folder: &Folder, more: &[&str]) -> Output {
    let dir = folder.0.to_str().unwrap();
    let mut args =
        vec!["setup", "--yes", "--only-files", dir, "--issuer", "https://auth.example.com"];
    args.extend(MODULE);
    args.extend(more);
    opentrusty(&args)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn accepted_by_every_daemon(folder: &Folder) {
    for (program, role, name) in [
        ("keyd", None, "keyd.toml"),
        ("authd", None, "authd.toml"),
        ("admind", None, "admind.toml"),
        ("admind", Some("--courier"), "courier.toml"),
    ] {
        let mut command = bench().program(program);
        command.args(role).arg("--check").arg("--config").arg(folder.etc(name));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{name}: {}", said(&output));
    }
}

#[test]
fn the_daemons_take_what_setup_writes_and_a_second_run_writes_nothing() {
    let folder = Folder::new();
    let flags = ["--local-ca", "--database", "local", "--listen-port", "8443"];
    let first = write(&folder, &flags);
    assert!(first.status.success(), "{}", said(&first));
    accepted_by_every_daemon(&folder);
    for (name, mode) in [("authd.toml", 0o640), ("keyd.toml", 0o640), ("opentrusty.toml", 0o644)] {
        let about = fs::metadata(folder.etc(name)).unwrap();
        assert_eq!(about.permissions().mode() & 0o7777, mode, "{name}");
    }
    let port = folder.0.join("etc/systemd/system/opentrusty-authd.socket.d/00-port.conf");
    assert!(fs::read_to_string(port).unwrap().ends_with("ListenStream=\nListenStream=8443\n"));
    let second = said(&write(&folder, &flags));
    assert!(second.lines().all(|line| line.starts_with("same")), "{second}");
}

#[test]
fn a_file_that_somebody_edited_stays_as_it_is() {
    let folder = Folder::new();
    let flags = ["--local-ca", "--database", "local"];
    assert!(write(&folder, &flags).status.success());
    let courier = folder.etc("courier.toml");
    let edited = fs::read_to_string(&courier).unwrap() + "courier_ports = \"8443\"\n";
    fs::write(&courier, &edited).unwrap();
    let again = said(&write(&folder, &flags));
    assert!(
        again.lines().any(|line| line.starts_with("kept") && line.contains("courier")),
        "{again}"
    );
    assert_eq!(fs::read_to_string(&courier).unwrap(), edited);
    let other =
        ["--local-ca", "--database", "local", "--console-origin", "https://console.example.com"];
    let replaced = said(&write(&folder, &other));
    assert!(replaced.lines().any(|line| line.starts_with("done") && line.contains("authd.toml")));
    accepted_by_every_daemon(&folder);
}

#[test]
fn w181_a_remote_database_is_in_no_file_and_a_credential_of_each_service() {
    let folder = Folder::new();
    let server = "postgres://db.example.com/opentrusty?sslmode=verify-full";
    let flags = ["--local-ca", "--database", server];
    let output = write(&folder, &flags);
    assert!(output.status.success(), "{}", said(&output));
    for (daemon, file) in [("authd", "authd"), ("admind", "admind"), ("courier", "courier")] {
        let text = fs::read_to_string(folder.etc(&format!("{daemon}.toml"))).unwrap();
        assert!(!text.contains("database_url"), "{daemon}");
        let unit = format!("etc/systemd/system/opentrusty-{daemon}.service.d/10-database.conf");
        let unit = fs::read_to_string(folder.0.join(unit)).unwrap();
        let credential = format!("=database_url:/etc/opentrusty/database/{file}.cred\n");
        assert!(unit.ends_with(&credential), "{unit}");
    }
    // As systemd would hand it over: the daemon takes it, and not beside another one.
    let url = "postgres://opentrusty_authd:hunter2@db.example.com/opentrusty?sslmode=verify-full";
    let given = folder.file("database_url", url, 0o400);
    let check = |file: &Path| {
        let mut command = bench().program("authd");
        command.env("CREDENTIALS_DIRECTORY", Path::new(&given).parent().unwrap());
        command.arg("--check").arg("--config").arg(file).output().unwrap()
    };
    let output = check(&folder.etc("authd.toml"));
    assert!(output.status.success(), "{}", said(&output));
    let text = fs::read_to_string(folder.etc("authd.toml")).unwrap();
    let both = folder.file("both.toml", &format!("{text}database_url = {url:?}\n"), 0o600);
    let output = check(Path::new(&both));
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    let said = said(&output);
    assert!(said.contains("database_url") && !said.contains("hunter2"), "{said}");
}

#[test]
fn what_cannot_be_is_refused_by_name_before_anything_is_written() {
    let with_password = "postgres://u:hunter2@db.example.com/opentrusty?sslmode=verify-full";
    let cases: [(&[&str], &str); 7] = [
        (&["--database", "local"], "--certificate"),
        (&["--local-ca"], "--database"),
        (&["--local-ca", "--database", with_password], "--database"),
        (&["--local-ca", "--database", "local", "--api-port", "443"], "--api-port"),
        (&["--local-ca", "--database", "local", "--softhsm"], "--softhsm"),
        (&["--local-ca", "--certificate", "/c.pem", "--key", "/k.pem"], "--certificate"),
        (&["--database", "local", "--certificate", "/c.pem"], "--key"),
    ];
    for (flags, name) in cases {
        let folder = Folder::new();
        let output = write(&folder, flags);
        let text = said(&output);
        assert!(!output.status.success() && text.contains(name), "{flags:?}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!folder.0.join("etc").exists(), "{flags:?} wrote something");
    }
}

#[test]
fn the_manual_has_a_page_for_each_command_and_shells_their_completion() {
    let folder = Folder::new();
    let output = opentrusty(&["man", folder.0.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    for page in ["opentrusty.1", "opentrusty-setup.1", "opentrusty-doctor.1", "opentrusty-keys.1"] {
        let text = fs::read_to_string(folder.0.join(page)).unwrap();
        assert!(text.contains(".TH"), "{page}");
    }
    assert!(!folder.0.join("opentrusty-man.1").exists(), "what is hidden has no page");
    for shell in ["bash", "zsh", "fish"] {
        let output = opentrusty(&["completions", shell]);
        assert!(output.status.success() && said(&output).contains("doctor"), "{shell}");
    }
}
