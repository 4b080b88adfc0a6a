use super::*;

fn outbound(allow: &[&str]) -> Outbound {
    let allow = allow.iter().map(|block| block.parse().unwrap()).collect();
    Outbound::new(None, vec![], allow).unwrap()
}

fn judged(allow: &[&str], addresses: &[&str]) -> Result<(), Failed> {
    let addresses: Vec<SocketAddr> =
        addresses.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 443)).collect();
    outbound(allow).judge(&addresses)
}

#[test]
fn w137_one_special_address_refuses_the_name() {
    assert_eq!(judged(&[], &["8.8.8.8", "2606:4700::1"]), Ok(()));
    assert_eq!(judged(&[], &["8.8.8.8", "10.0.0.1"]), Err(Failed::Special));
    assert_eq!(judged(&[], &["fd00::1", "8.8.8.8"]), Err(Failed::Special));
    assert_eq!(judged(&[], &[]), Err(Failed::Unresolved));
}

#[test]
fn a_block_that_the_settings_allow_is_reached_and_its_neighbours_are_not() {
    assert_eq!(judged(&["10.1.0.0/16"], &["10.1.2.3", "8.8.8.8"]), Ok(()));
    assert_eq!(judged(&["10.1.0.0/16"], &["::ffff:10.1.2.3"]), Ok(()));
    for other in ["10.2.0.1", "127.0.0.1", "::1", "64:ff9b::10.1.2.3"] {
        assert_eq!(judged(&["10.1.0.0/16"], &[other]), Err(Failed::Special), "{other}");
    }
}

#[test]
fn w63_what_somebody_set_up_so_is_not_tried_again() {
    for status in [300, 301, 302, 303, 307, 308, 400, 401, 404, 410, 429] {
        assert!(!Failed::Status(StatusCode::from_u16(status).unwrap()).is_passing(), "{status}");
    }
    for status in [500, 502, 503, 504] {
        assert!(Failed::Status(StatusCode::from_u16(status).unwrap()).is_passing(), "{status}");
    }
    assert!(!Failed::Forbidden.is_passing() && !Failed::Special.is_passing());
    assert!(Failed::Slow.is_passing() && Failed::Unresolved.is_passing());
}

#[test]
fn a_file_without_certificates_is_no_trust() {
    let path = std::env::temp_dir().join(format!("courier-ca-{}", std::process::id()));
    std::fs::write(&path, "nothing here\n").unwrap();
    let refused = Outbound::new(Some(&path), vec![], vec![]).err().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(refused.key(), "courier_ca");
    let gone = Outbound::new(Some(&path), vec![], vec![]).err().unwrap();
    assert_eq!(gone.key(), "courier_ca");
}
