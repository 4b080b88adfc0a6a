use secrecy::ExposeSecret as _;

use super::super::plan::Certificates;
use super::*;

fn plan(token: Token, database: Database) -> Plan {
    Plan {
        issuer: "https://auth.example.com".parse().unwrap(),
        api: "https://auth.example.com:8081".parse().unwrap(),
        console_origin: None,
        listen_port: 443,
        api_port: 8081,
        certificates: Certificates::LocalCa,
        token,
        database,
    }
}

fn softhsm_plan() -> Plan {
    let token = Token::SoftHsm {
        module: "/usr/lib/softhsm/libsofthsm2.so".into(),
        label: "opentrusty".into(),
    };
    plan(token, Database::Local)
}

fn find<'a>(all: &'a [Text], name: &str) -> &'a Text {
    all.iter().find(|text| text.path.ends_with(name)).unwrap_or_else(|| panic!("no {name}"))
}

fn table(text: &Text) -> toml::Table {
    toml::from_str(text.body.expose_secret()).unwrap()
}

#[test]
fn a_string_of_toml_is_read_back_as_it_was() {
    for text in ["plain", "with \"quotes\" and \\ back\\slashes", "line\nbreak\u{7f}", "ä"] {
        let read: toml::Table = toml::from_str(&format!("key = {}", quoted(text))).unwrap();
        assert_eq!(read.get("key").and_then(toml::Value::as_str), Some(text));
    }
}

#[test]
fn every_file_is_whose_it_should_be() {
    let all = settings(&softhsm_plan(), None, true);
    for (name, group, mode) in [
        ("opentrusty.toml", "root", 0o644),
        ("keyd.toml", "opentrusty-keyd", 0o640),
        ("authd.toml", "opentrusty-authd", 0o640),
        ("admind.toml", "opentrusty-admind", 0o640),
        ("courier.toml", "opentrusty-courier", 0o640),
        ("softhsm2.conf", "root", 0o644),
        ("keyd.env", "root", 0o644),
    ] {
        let text = find(&all, name);
        assert_eq!((text.owner, text.group, text.mode), ("root", group, mode), "{name}");
    }
    assert_eq!(
        table(find(&all, "keyd.toml")).get("memory_lock").unwrap().as_str(),
        Some("required")
    );
    assert_eq!(table(find(&all, "opentrusty.toml")).get("ca").unwrap().as_str(), Some(CA));
}

#[test]
fn w181_a_remote_database_is_named_in_no_settings_file_and_given_to_each_by_its_own_credential() {
    let server = "postgres://db.example/opentrusty?sslmode=verify-full".parse().unwrap();
    let token = Token::Module {
        module: "/m.so".into(),
        label: "hsm".into(),
        slot: Some(3),
        pin_file: None,
    };
    let plan = plan(token, Database::Remote(server));
    let all = settings(&plan, Some("its authority".to_owned()), false);
    for name in ["authd.toml", "admind.toml", "courier.toml", "opentrusty.toml"] {
        assert!(!table(find(&all, name)).contains_key("database_url"), "{name}");
    }
    let own = table(find(&all, "opentrusty.toml"));
    assert_eq!(own.get("database_url_credential").unwrap().as_str(), Some(OWNER_URL.path));
    assert_eq!(table(find(&all, "keyd.toml")).get("token_slot").unwrap().as_integer(), Some(3));
    assert!(!all.iter().any(|text| text.path.ends_with("softhsm2.conf")));
    assert_eq!(find(&all, "database-ca.pem").body.expose_secret(), "its authority");
    let units = units(&plan);
    for (unit, file) in [
        ("opentrusty-authd", "authd.cred"),
        ("opentrusty-admind", "admind.cred"),
        ("opentrusty-courier", "courier.cred"),
        ("opentrusty-migrate", "owner.cred"),
    ] {
        let text = find(&units, &format!("{unit}.service.d/10-database.conf"));
        let line = format!("LoadCredentialEncrypted=database_url:/etc/opentrusty/database/{file}");
        assert_eq!(text.body.expose_secret(), format!("[Service]\n{line}\n"));
    }
    assert!(obsolete_drop_ins(&plan).is_empty());
}

#[test]
fn a_database_that_came_home_leaves_nothing_of_the_other_behind() {
    let remote = "postgres://db.example/opentrusty?sslmode=verify-full".parse().unwrap();
    let local = softhsm_plan();
    let mut of_remote: Vec<PathBuf> = Vec::new();
    let plan = plan(softhsm_plan().token, Database::Remote(remote));
    of_remote.extend(units(&plan).into_iter().map(|text| text.path));
    of_remote.extend(settings(&plan, Some(String::new()), true).into_iter().map(|text| text.path));
    let of_local = units(&local).into_iter().chain(settings(&local, None, true));
    let of_local: Vec<PathBuf> = of_local.map(|text| text.path).collect();
    let mut gone: Vec<PathBuf> =
        obsolete_drop_ins(&local).into_iter().map(|(path, _)| path).collect();
    gone.extend(obsolete_relay().into_iter().chain(obsolete_secrets()));
    for path in of_remote {
        assert_ne!(of_local.contains(&path), gone.contains(&path), "{}", path.display());
    }
    assert!(gone.contains(&OWNER_URL.path.into()));
    let url = table(find(&settings(&local, None, true), "authd.toml"));
    let url = url.get("database_url").unwrap().as_str().unwrap();
    assert_eq!(url, "postgres:///opentrusty?host=%2Frun%2Fpostgresql&user=opentrusty_authd");
}

#[test]
fn a_port_replaces_the_units_own() {
    let all = units(&softhsm_plan());
    let text = find(&all, "opentrusty-authd.socket.d/00-port.conf");
    assert_eq!(text.body.expose_secret(), "[Socket]\nListenStream=\nListenStream=443\n");
    assert_eq!(text.of, [Daemon::Authd]);
}
