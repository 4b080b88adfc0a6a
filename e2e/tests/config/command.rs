//! The `opentrusty` command's own settings, and `config check`.

use crate::rig::{Settings, fault, file, opentrusty};

/// Arguments, environment, and what the refusal must name.
type Case<'a> = (Vec<&'a str>, Vec<(&'a str, &'a str)>, Vec<&'a str>);

const DATABASE: [(&str, &str); 3] = [
    ("OPENTRUSTY_PG_SOCKET_DIR", "/run/postgresql"),
    ("OPENTRUSTY_PG_DATABASE", "opentrusty"),
    ("OPENTRUSTY_PG_OWNER", "opentrusty_owner"),
];

#[test]
fn w181_the_command_refuses_bad_settings_by_name() {
    let seed = file(b"{}", 0o644);
    let seed = seed.to_str().unwrap();
    let mut cases: Vec<Case<'_>> = vec![
        (vec!["migrate"], vec![], vec!["pg_socket_dir"]),
        (vec!["migrate"], vec![("OPENTRUSTY_PG_SOCKET_DIR", "run")], vec!["pg_socket_dir"]),
        (
            vec!["migrate"],
            vec![("DATABASE_URL", "mysql://u:hunter2@localhost/x")],
            vec!["DATABASE_URL"],
        ),
        (
            vec!["migrate"],
            vec![("DATABASE_URL", "postgres://u:hunter2@db.example/x?sslmode=disable")],
            vec!["DATABASE_URL", "sslmode=disable", "verify-full"],
        ),
        (
            vec!["migrate"],
            vec![("REDIS_URL", "redis://:hunter2@h")],
            vec!["REDIS_URL", "PostgreSQL"],
        ),
        (vec!["migrate"], vec![("JWT_PRIVATE_KEY_PATH", "/k")], vec!["JWT_PRIVATE_KEY_PATH"]),
        (vec!["seed", seed], DATABASE.to_vec(), vec!["issuer"]),
        (vec!["serve"], vec![], vec!["mode", "OPENTRUSTY_MODE"]),
        (vec!["serve"], vec![("OPENTRUSTY_MODE", "both")], vec!["mode"]),
        (
            vec!["serve", "auth"],
            vec![("OPENTRUSTY_MODE", "admin")],
            vec!["OPENTRUSTY_MODE", "auth", "admin"],
        ),
        (vec!["config", "check"], vec![], vec!["issuer"]),
    ];
    let mut both = DATABASE.to_vec();
    both.push(("DATABASE_URL", "postgres:///db?host=/run/postgresql&user=x"));
    cases.push((vec!["migrate"], both, vec!["DATABASE_URL", "OPENTRUSTY_PG_"]));
    let mut plain = DATABASE.to_vec();
    plain.push(("OPENTRUSTY_ISSUER", "http://localhost:8080"));
    cases.push((vec!["seed", seed], plain, vec!["issuer", "https://"]));
    let faults: Vec<String> = cases
        .iter()
        .filter_map(|(args, env, names)| {
            fault("opentrusty", &opentrusty(args, env), names)
                .map(|fault| format!("{args:?} {env:?}: {fault}"))
        })
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn config_check_says_what_the_daemon_would() {
    for (daemon, plane) in
        [("authd", "auth"), ("admind", "admin"), ("keyd", "keyd"), ("courier", "courier")]
    {
        let good = Settings::of(daemon).file();
        let good = opentrusty(
            &["config", "check", "--daemon", plane, "--config", good.to_str().unwrap()],
            &[],
        );
        assert_eq!(good.code, Some(0), "{good:?}");
        assert!(good.stdout.contains(daemon), "{good:?}");

        let bad = Settings::of(daemon).set("no_such_key", "1").file();
        let bad = opentrusty(
            &["config", "check", "--daemon", plane, "--config", bad.to_str().unwrap()],
            &[],
        );
        assert_eq!(bad.code, Some(78), "{bad:?}");
        assert!(bad.stderr.contains("no_such_key"), "{bad:?}");

        let none =
            opentrusty(&["config", "check", "--daemon", plane, "--config", "/no/such/file"], &[]);
        assert_eq!(none.code, Some(78), "{none:?}");
    }
}

#[test]
fn seed_refuses_an_issuer_of_another_machine_and_touches_nothing() {
    let seed = file(b"{}", 0o644);
    let mut env = DATABASE.to_vec();
    for issuer in [
        "https://auth.example.com",
        "https://localhost.example.com",
        "https://127.0.0.1.example.com",
        "https://0.0.0.0:8080",
    ] {
        env.retain(|(name, _)| *name != "OPENTRUSTY_ISSUER");
        env.push(("OPENTRUSTY_ISSUER", issuer));
        env.push(("OPENTRUSTY_API", "https://localhost:8081"));
        let ended = opentrusty(&["seed", seed.to_str().unwrap()], &env);
        assert!(matches!(ended.code, Some(1 | 78)), "{issuer}: {ended:?}");
        assert!(ended.stderr.contains(issuer), "{ended:?}");
    }
}
