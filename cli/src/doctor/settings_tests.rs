use super::super::finding::Verdict;
use super::*;

/// What `opentrusty setup` writes, as far as it is looked at.
fn good() -> Files {
    let url = |role: &str| format!("postgres:///opentrusty?host=%2Frun%2Fpostgresql&user={role}");
    let table = |lines: &str| toml::from_str(lines).unwrap();
    let plane =
        |role: &str| format!("issuer = \"https://a.example\"\ndatabase_url = \"{}\"\n", url(role));
    Files {
        own: table("issuer = \"https://a.example\"\napi = \"https://api.example\""),
        keyd: table("admin_audience = \"https://api.example\"\nmemory_lock = \"required\""),
        authd: table(&format!(
            "{}admin_audience = \"https://api.example\"",
            plane("opentrusty_authd")
        )),
        admind: table(&format!("{}api = \"https://api.example\"", plane("opentrusty_admind"))),
        courier: table(&format!("database_url = \"{}\"", url("opentrusty_courier"))),
        environments: BTreeMap::new(),
        given: BTreeMap::new(),
    }
}

fn set(table: &mut Table, key: &str, value: impl Into<Value>) {
    table.insert(key.to_owned(), value.into());
}

/// The verdict of the check of this name.
fn verdict(files: &Files, name: &str) -> Verdict {
    let all = check(files);
    all.iter().find(|finding| finding.name == name).unwrap_or_else(|| panic!("no {name}")).verdict
}

#[test]
fn what_setup_writes_is_in_order() {
    for finding in check(&good()) {
        assert_eq!(finding.verdict, Verdict::Ok, "{finding}");
    }
}

#[test]
fn nothing_at_all_is_not() {
    let all = check(&Files::default());
    for name in ["issuer", "api", "database.authd", "database.admind", "database.courier"] {
        assert_eq!(verdict(&Files::default(), name), Verdict::Fail, "{name}");
    }
    assert!(!all.iter().any(|finding| finding.name == "database.keyd"), "keyd has no database");
}

#[test]
fn each_slip_is_seen() {
    type Slip = fn(&mut Files);
    let slips: [(&str, Verdict, Slip); 14] = [
        ("issuer", Verdict::Fail, |f| set(&mut f.authd, "issuer", "https://b.example")),
        ("issuer", Verdict::Fail, |f| set(&mut f.admind, "issuer", "https://b.example")),
        ("issuer", Verdict::Fail, |f| {
            for table in [&mut f.own, &mut f.authd, &mut f.admind] {
                set(table, "issuer", "http://a.example");
            }
        }),
        ("issuer", Verdict::Warn, |f| {
            for table in [&mut f.own, &mut f.authd, &mut f.admind] {
                set(table, "issuer", "https://localhost:8080");
            }
        }),
        ("api", Verdict::Fail, |f| set(&mut f.keyd, "admin_audience", "https://other.example")),
        ("api", Verdict::Fail, |f| set(&mut f.authd, "admin_audience", "https://other.example")),
        ("jwks age", Verdict::Fail, |f| set(&mut f.admind, "jwks_max_age_s", 60)),
        ("secrets", Verdict::Fail, |f| set(&mut f.keyd, "secret_key", "k")),
        ("secrets", Verdict::Warn, |f| set(&mut f.keyd, "pin_file", "/etc/pin")),
        ("cors", Verdict::Fail, |f| set(&mut f.authd, "console_origin", "*")),
        ("database.authd", Verdict::Fail, |f| {
            set(&mut f.authd, "database_url", "postgres://u@db.example/d?sslmode=require");
        }),
        ("sandbox.setting.authd", Verdict::Fail, |f| set(&mut f.authd, "sandbox", "off")),
        ("sandbox.setting.courier", Verdict::Warn, |f| set(&mut f.courier, "sandbox", "try")),
        ("sandbox.setting.keyd", Verdict::Warn, |f| set(&mut f.keyd, "memory_lock", "try")),
    ];
    for (number, (name, expected, slip)) in slips.into_iter().enumerate() {
        let mut files = good();
        slip(&mut files);
        assert_eq!(verdict(&files, name), expected, "slip {number}: {name}");
        let others = check(&files).into_iter().filter(|one| one.name != name);
        assert!(others.clone().all(|one| one.verdict == Verdict::Ok), "slip {number} alone");
        for finding in check(&files) {
            assert_eq!(finding.fix.is_none(), finding.verdict == Verdict::Ok, "{finding}");
        }
    }
}

#[test]
fn what_a_process_was_started_with_wins_over_its_file() {
    let mut files = good();
    let environment = [
        ("OPENTRUSTY_SANDBOX", "off"),
        ("OPENTRUSTY_JWKS_MAX_AGE_S", "60"),
        ("OPENTRUSTY_MEMORY_LOCK", ""),
        ("BASE_URL", "https://b.example"),
        ("HOME", "/nowhere"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    overlay(&mut files.keyd, Daemon::Keyd, &environment);
    assert_eq!(verdict(&files, "sandbox.setting.keyd"), Verdict::Fail);
    assert_eq!(verdict(&files, "jwks age"), Verdict::Fail);
    assert_eq!(text(&files.keyd, "memory_lock"), Some("required"), "an empty one is none");
    assert_eq!(text(&files.keyd, "issuer"), Some("https://b.example"));
    assert!(!files.keyd.contains_key("home"));
    let audience = [("OPENTRUSTY_API".to_owned(), "https://other.example".to_owned())];
    overlay(&mut files.authd, Daemon::Authd, &audience);
    assert_eq!(verdict(&files, "api"), Verdict::Fail);
}

#[test]
fn a_password_in_a_file_and_a_pin_in_clear_are_seen() {
    let mut files = good();
    let url = "postgres://opentrusty_admind:hunter2@db.example.com/o?sslmode=verify-full";
    set(&mut files.admind, "database_url", url);
    let seen = secrets(&files);
    assert_eq!(seen.verdict, Verdict::Warn);
    assert!(
        seen.to_string().contains("admind.toml") && !seen.to_string().contains("hunter2"),
        "{seen}"
    );
    files.admind.remove("database_url");
    assert_eq!(verdict(&files, "database.admind"), Verdict::Fail, "nothing says where it is");
    for (url, expected) in [(url, Verdict::Ok), ("postgres://u:p@db.example.com/o", Verdict::Fail)]
    {
        files.given.insert(Daemon::Admind, Given::Sealed(SecretString::from(url)));
        assert_eq!(secrets(&files).verdict, Verdict::Ok, "a sealed one is in no file");
        assert_eq!(verdict(&files, "database.admind"), expected);
    }
    for (given, expected) in [(Given::Unreadable, Verdict::Fail), (Given::InClear, Verdict::Warn)] {
        files.given.insert(Daemon::Admind, given);
        assert_eq!(verdict(&files, "database.admind"), expected);
    }
    for (unit, expected) in [
        ("[Service]\nLoadCredentialEncrypted=pin:/etc/opentrusty/token/pin.cred", Verdict::Ok),
        ("LoadCredentialEncrypted=secret_key:/x\nLoadCredentialEncrypted=pin", Verdict::Ok),
        (
            "LoadCredentialEncrypted=pin:/x\nLoadCredentialEncrypted=\nLoadCredential=pin:/y",
            Verdict::Warn,
        ),
        ("LoadCredentialEncrypted=pin:/x\nLoadCredential=pin:/y", Verdict::Warn),
        ("LoadCredentialEncrypted=pin:/x\nLoadCredentialEncrypted=\n", Verdict::Warn),
        ("", Verdict::Warn),
    ] {
        assert_eq!(judge_pin(unit).verdict, expected, "{unit}");
    }
}
