use std::path::PathBuf;

use super::*;

const KEYS: &[Key] = &[
    Key { name: "workers", aliases: &[] },
    Key { name: "listen", aliases: &[] },
    Key { name: "origins", aliases: &[] },
    Key { name: "module", aliases: &["PKCS11_MODULE", "MODULE_PATH"] },
    Key { name: "secret_key", aliases: &[] },
    Key { name: "tls_key", aliases: &[] },
    Key { name: "database_url", aliases: &["DATABASE_URL"] },
];

const FILE_KEYS: &[Key] = &[
    Key { name: "workers", aliases: &[] },
    Key { name: "secret_key", aliases: &[] },
    Key { name: "tls_key", aliases: &[] },
    Key { name: "database_url", aliases: &[] },
];

fn settings(text: &str, env: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let lookup = |name: &str| {
        env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    Settings::from_parts(text, lookup, KEYS)
}

fn refusal(text: &str, env: &[(&str, &str)]) -> String {
    settings(text, env).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let text = "workers = 3";
    let both = settings(text, &[("OPENTRUSTY_WORKERS", "5")]).unwrap();
    assert_eq!(both.or("workers", 1u8).unwrap(), 5);
    assert_eq!(both.source("workers"), Source::Environment("OPENTRUSTY_WORKERS".into()));

    let file = settings(text, &[("OPENTRUSTY_WORKERS", "")]).unwrap();
    assert_eq!((file.or("workers", 1u8).unwrap(), file.source("workers")), (3, Source::File));

    let none = settings("", &[]).unwrap();
    assert_eq!((none.or("workers", 1u8).unwrap(), none.source("workers")), (1, Source::Default));
}

#[test]
fn values_of_all_four_kinds_are_read() {
    let text = "workers = 2\nlisten = \"[::1]:8080\"\norigins = [\"a\", \"b\"]\nmodule = true";
    let read = settings(text, &[]).unwrap();
    assert_eq!(read.required::<u16>("workers").unwrap(), 2);
    assert!(read.required::<std::net::SocketAddr>("listen").unwrap().is_ipv6());
    assert_eq!(read.list("origins").unwrap(), ["a", "b"]);
    assert!(read.required::<bool>("module").unwrap());
}

#[test]
fn a_list_in_the_environment_is_split_at_commas() {
    let read = settings("", &[("OPENTRUSTY_ORIGINS", "a, b,,c ")]).unwrap();
    assert_eq!(read.list("origins").unwrap(), ["a", "b", "c"]);
    assert!(read.list("listen").unwrap().is_empty());
}

#[test]
fn two_names_with_different_values_are_refused_by_both_names() {
    let text = refusal("", &[("PKCS11_MODULE", "/a.so"), ("MODULE_PATH", "/b.so")]);
    assert!(text.contains("PKCS11_MODULE") && text.contains("MODULE_PATH"), "{text}");
    let same = settings("", &[("PKCS11_MODULE", "/a.so"), ("OPENTRUSTY_MODULE", "/a.so")]).unwrap();
    assert_eq!(same.required::<PathBuf>("module").unwrap(), PathBuf::from("/a.so"));
    assert_eq!(same.source("module"), Source::Environment("OPENTRUSTY_MODULE".into()));
}

#[test]
fn w181_whatever_has_no_effect_is_refused_by_name() {
    for (text, named) in [
        ("worker = 3", "`worker`"),
        ("[keyd]\nworkers = 3", "`keyd`"),
        ("workers.count = 3", "`workers`"),
        ("workers = 1.5", "`workers`"),
        ("origins = [1]", "`origins`"),
        ("listen = 2020-01-01", "`listen`"),
        ("secret_key = \"\"", "`secret_key`"),
        ("workers = 1\nworkers = 2", "line 2"),
        ("\n\nworkers", "line 3"),
    ] {
        let refused = refusal(text, &[]);
        assert!(refused.contains(named), "{text:?}: {refused}");
    }
}

#[test]
fn a_value_that_does_not_parse_is_shown_with_its_key_and_place() {
    let read = settings("", &[("OPENTRUSTY_WORKERS", "many")]).unwrap();
    let text = read.required::<u8>("workers").unwrap_err().to_string();
    assert!(text.starts_with("`workers`: \"many\" is not valid"), "{text}");
    assert!(text.contains("OPENTRUSTY_WORKERS"), "{text}");

    let text = read.required::<u8>("listen").unwrap_err().to_string();
    assert!(text.contains("is missing") && text.contains("OPENTRUSTY_LISTEN"), "{text}");
}

#[test]
fn a_secret_is_never_shown() {
    let read = settings("secret_key = \"hunter2\"", &[]).unwrap();
    let text = read.required::<u8>("secret_key").unwrap_err().to_string();
    assert!(text.contains("secret_key") && !text.contains("hunter2"), "{text}");
    assert!(!format!("{read:?}").contains("hunter2"));
    let text = refusal("secret_key = hunter2", &[]);
    assert!(!text.contains("hunter2"), "{text}");
    let text = refusal("", &[("DATABASE_URL", "postgres://u:hunter2@far.example/d")]);
    assert!(text.contains("DATABASE_URL") && !text.contains("hunter2"), "{text}");
}

#[test]
fn variables_of_other_versions_are_refused_with_what_replaces_them() {
    for (name, replacement) in [
        ("REDIS_URL", "PostgreSQL"),
        ("JWT_PRIVATE_KEY_PATH", "PKCS#11"),
        ("JWT_PUBLIC_KEY_PATH", "PKCS#11"),
        ("OPENTRUSTY_OPENID_KEY_ENCRYPTION_KEY", "PKCS#11"),
    ] {
        let text = refusal("", &[(name, "x")]);
        assert!(text.contains(name) && text.contains(replacement), "{text}");
        assert!(settings("", &[(name, "")]).is_ok());
    }
    let remote = "postgres://u@far.example/d?sslmode=require";
    let text = refusal(&format!("database_url = \"{remote}\""), &[]);
    assert!(text.contains("sslmode=require") && text.contains("verify-full"), "{text}");
}

#[test]
fn a_database_url_that_comes_as_a_credential_is_the_setting_and_never_a_second_one() {
    let url = SecretString::from("postgres://u:hunter2@db.example/d?sslmode=verify-full");
    let mut alone = settings("", &[]).unwrap();
    alone.take_database_url(&url).unwrap();
    assert_eq!(alone.source("database_url"), Source::Credential);
    assert_eq!(alone.required::<String>("database_url").unwrap(), url.expose_secret());
    let local = "postgres:///d?host=/run/x&user=u";
    let file = format!("database_url = \"{local}\"");
    for (mut both, place) in [
        (settings(&file, &[]).unwrap(), "the settings file"),
        (settings("", &[("DATABASE_URL", local)]).unwrap(), "DATABASE_URL"),
    ] {
        let text = both.take_database_url(&url).unwrap_err().to_string();
        assert!(text.contains(place) && !text.contains("hunter2"), "{text}");
        assert_eq!(both.required::<String>("database_url").unwrap(), local);
    }
    let clear = SecretString::from("postgres://u:hunter2@db.example/d?sslmode=require");
    let text = settings("", &[]).unwrap().take_database_url(&clear).unwrap_err().to_string();
    assert!(text.contains("sslmode=require") && !text.contains("hunter2"), "{text}");
    let mut none = Settings::from_parts("", |_| None, &[]).unwrap();
    assert_eq!(none.take_database_url(&url), Ok(()), "a program without a database");
}

#[test]
fn w181_a_secret_in_a_file_that_everybody_can_read_is_refused() {
    let path = std::env::temp_dir().join(format!("host-config-{}.toml", std::process::id()));
    let load = |text: &str, mode: u32| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        // Without aliases: whoever runs the tests may have a DATABASE_URL of their own.
        Settings::load(Some(&path), FILE_KEYS).map(|_| ())
    };
    assert!(load("secret_key = \"abcdef\"", 0o644).is_err());
    assert!(load("database_url = \"postgres://u:p@localhost/d\"", 0o644).is_err());
    assert_eq!(load("secret_key = \"abcdef\"", 0o640), Ok(()));
    assert_eq!(load("tls_key = \"/etc/tls/key.pem\"\nworkers = 1", 0o644), Ok(()));
    let long = format!("# {}\n", "x".repeat(256 * 1024));
    assert!(load(&long, 0o644).unwrap_err().to_string().contains("longer"));
    std::fs::remove_file(&path).unwrap();
    assert!(Settings::load(Some(&path), KEYS).is_err());
    assert!(Settings::load(Some(std::path::Path::new("/")), KEYS).is_err());
}

#[test]
fn a_key_that_was_not_declared_is_a_defect_not_a_default() {
    assert!(settings("", &[]).unwrap().or("undeclared", 1u8).is_err());
}
