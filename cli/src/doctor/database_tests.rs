use super::super::finding::Verdict;
use super::*;

const ISSUER: &str = "https://a.example";

fn good() -> Facts {
    Facts {
        issuer: Some(ISSUER.to_owned()),
        bootstrapped: true,
        skew_s: 0.2,
        durable: true,
        archives: false,
        archived_s: None,
        loose_roles: Vec::new(),
        unfiled: 0,
        months_ahead: 12,
    }
}

fn verdict(facts: &Facts, name: &str) -> Verdict {
    judge(facts, Some(ISSUER)).into_iter().find(|one| one.name == name).unwrap().verdict
}

#[test]
fn a_database_in_order_has_nothing_to_say() {
    for finding in judge(&good(), Some(ISSUER)) {
        assert_eq!(finding.verdict, Verdict::Ok, "{finding}");
    }
}

#[test]
fn each_lack_is_seen() {
    type Lack = fn(&mut Facts);
    let lacks: [(&str, Verdict, Lack); 11] = [
        ("issuer.fixed", Verdict::Fail, |f| f.issuer = Some("https://b.example".into())),
        ("issuer.fixed", Verdict::Warn, |f| f.bootstrapped = false),
        ("issuer.fixed", Verdict::Warn, |f| f.issuer = None),
        ("clock.database", Verdict::Warn, |f| f.skew_s = -6.0),
        ("clock.database", Verdict::Fail, |f| f.skew_s = 61.0),
        ("clock.database", Verdict::Fail, |f| f.skew_s = f64::NAN),
        ("database.durability", Verdict::Fail, |f| f.durable = false),
        ("database.roles", Verdict::Fail, |f| f.loose_roles.push("opentrusty_authd".into())),
        ("audit", Verdict::Warn, |f| f.months_ahead = 0),
        ("audit", Verdict::Warn, |f| f.unfiled = 3),
        ("database.archive", Verdict::Warn, |f| f.archives = true),
    ];
    for (number, (name, expected, lack)) in lacks.into_iter().enumerate() {
        let mut facts = good();
        lack(&mut facts);
        assert_eq!(verdict(&facts, name), expected, "{number}: {name}");
    }
    let archived = |age| Facts { archives: true, archived_s: Some(age), ..good() };
    assert_eq!(verdict(&archived(60.0), "database.archive"), Verdict::Ok);
    assert_eq!(verdict(&archived(7200.0), "database.archive"), Verdict::Warn);
}

#[test]
fn keys_are_judged_by_class_and_age() {
    let keys = |ages: [f64; 3]| -> Vec<Key> {
        let classes = ["token", "admin", "audit"].into_iter().zip(ages);
        classes
            .map(|(class, days)| Key { class: class.into(), algorithm: "ES256".into(), days })
            .collect()
    };
    assert_eq!(judge_keys(&keys([0.0, 1.0, 90.0]), 90).verdict, Verdict::Ok);
    assert_eq!(judge_keys(&keys([0.0, 1.0, 93.0]), 90).verdict, Verdict::Warn);
    let mut two = keys([0.0, 0.0, 0.0]);
    two.pop();
    assert_eq!(judge_keys(&two, 90).verdict, Verdict::Fail);
    assert_eq!(judge_keys(&[], 90).verdict, Verdict::Fail);
}
