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
    let all = settings(&softhsm_plan(), Some(&Urls::local()), true);
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
fn w181_no_secret_is_in_a_file_that_everybody_can_read() {
    let server = "postgres://db.example/opentrusty?sslmode=verify-full".parse().unwrap();
    let passwords: Passwords = toml::from_str(
        "owner = \"hunter2\"\nauthd = \"hunter2\"\nadmind = \"hunter2\"\ncourier = \"hunter2\"",
    )
    .unwrap();
    let urls = Urls::remote(&server, &passwords, None);
    let token = Token::Module {
        module: "/m.so".into(),
        label: "hsm".into(),
        slot: Some(3),
        pin_file: None,
    };
    let plan = plan(token, Database::Remote(server));
    let mut all = settings(&plan, Some(&urls), false);
    all.extend(units(&plan));
    let with = all.iter().filter(|text| text.body.expose_secret().contains("hunter2"));
    let with: Vec<_> = with.collect();
    assert_eq!(with.len(), 4, "three daemons and the owner");
    assert!(with.iter().all(|text| matches!(text.mode, 0o640 | 0o400)));
    assert_eq!(table(find(&all, "keyd.toml")).get("token_slot").unwrap().as_integer(), Some(3));
    assert!(!all.iter().any(|text| text.path.ends_with("softhsm2.conf")));
    let kept = settings(&plan, None, false);
    assert!(!kept.iter().any(|text| text.path.ends_with("authd.toml")), "passwords stay");
}

#[test]
fn a_port_replaces_the_units_own() {
    let all = units(&softhsm_plan());
    let text = find(&all, "opentrusty-authd.socket.d/00-port.conf");
    assert_eq!(text.body.expose_secret(), "[Socket]\nListenStream=\nListenStream=443\n");
    assert_eq!(text.of, [Daemon::Authd]);
}
