use super::*;

/// A module that is a file on any machine.
const MODULE: &str = "/proc/self/exe";

fn flags() -> Setup {
    let mut flags = Setup {
        yes: true,
        issuer: Some("https://auth.example.com".parse().unwrap()),
        ..Setup::default()
    };
    flags.tls.local_ca = true;
    flags.token.module = Some(MODULE.into());
    flags.token.label = Some("hsm".into());
    flags.database.database = Some("local".into());
    flags
}

fn plan(flags: &Setup, earlier: &Earlier) -> Result<Plan, Failure> {
    Plan::of(flags, earlier, Ask::new(true))
}

#[test]
fn an_issuer_is_enough_for_the_names_and_ports() {
    let plan = plan(&flags(), &Earlier::default()).unwrap();
    assert_eq!(plan.api.as_str(), "https://auth.example.com:8081");
    assert_eq!((plan.listen_port, plan.api_port), (443, 8081));
    assert_eq!((plan.certificates, plan.database), (Certificates::LocalCa, Database::Local));
    let numbers = Setup { issuer: Some("https://[::1]:8443".parse().unwrap()), ..flags() };
    let plan = self::plan(&numbers, &Earlier::default()).unwrap();
    assert_eq!((plan.api.as_str(), plan.listen_port), ("https://[::1]:8081", 8443));
}

#[test]
fn a_second_run_needs_no_flags() {
    let earlier = Earlier {
        issuer: Some("https://auth.example.com".into()),
        api: Some("https://api.example.com".into()),
        listen_port: Some(8443),
        api_port: Some(9443),
        module: Some(MODULE.into()),
        token_label: Some("hsm".into()),
        slot: Some(7),
        database: Some("local".into()),
        certificates: true,
        ..Earlier::default()
    };
    let plan = plan(&Setup { yes: true, ..Setup::default() }, &earlier).unwrap();
    assert_eq!((plan.listen_port, plan.api_port), (8443, 9443));
    assert_eq!(plan.certificates, Certificates::Kept);
    assert!(matches!(plan.token, Token::Module { slot: Some(7), .. }));
    let local = Earlier { local_ca: true, ..earlier };
    let plan = self::plan(&Setup { yes: true, ..Setup::default() }, &local).unwrap();
    assert_eq!(plan.certificates, Certificates::LocalCa, "which renews");
}

/// (security.md, W177, F35) The sealed PIN may be the only copy of the one that opens the token whose keys sign.
#[test]
fn w177_a_token_whose_pin_is_here_is_not_replaced_by_one_of_another_kind() {
    let module = flags;
    let softhsm = || {
        let mut flags = flags();
        (flags.token.module, flags.token.softhsm) = (None, true);
        flags
    };
    for (flags, was_softhsm, pin, refused) in [
        (module(), true, true, Some("--module")),
        (module(), true, false, None),
        (module(), false, true, None),
        (softhsm(), false, true, Some("--softhsm")),
    ] {
        let earlier = Earlier {
            softhsm: was_softhsm,
            module: Some(MODULE.into()),
            pin,
            ..Earlier::default()
        };
        let problem = plan(&flags, &earlier).err().map(|failure| failure.to_string());
        match refused {
            Some(flag) => assert!(problem.unwrap().contains(flag)),
            None => assert_eq!(problem, None),
        }
    }
}

#[test]
fn what_is_missing_or_contradicts_is_named() {
    type Slip = fn(&mut Setup, &mut Earlier);
    let slips: [(&str, Slip); 9] = [
        ("--issuer", |f, _| f.issuer = None),
        ("--issuer", |_, e| e.issuer = Some("https://other.example.com".into())),
        ("--api-port", |f, _| f.api_port = Some(443)),
        ("--certificate", |f, _| f.tls.local_ca = false),
        ("--module", |f, _| f.token.module = Some("/no/such/file".into())),
        ("--module", |f, _| f.token.module = None),
        ("--token-label", |f, _| f.token.label = Some("two words".into())),
        ("--database", |f, _| f.database.database = None),
        ("--database", |f, _| f.database.database = Some("postgres://db.example/x".into())),
    ];
    for (name, slip) in slips {
        let (mut flags, mut earlier) = (flags(), Earlier::default());
        slip(&mut flags, &mut earlier);
        let problem = plan(&flags, &earlier).unwrap_err().to_string();
        assert!(problem.contains(name), "{name}: {problem}");
    }
}
