//! Keys of more issuers than one, and tokens that do not offer every algorithm.

use std::io::Write as _;
use std::time::Duration;

use e2e::bench::until;
use e2e::people::{MEMBER, plain};
use e2e::{Options, Stand, tokens};
use serde_json::json;

use crate::keys::Api;
use crate::{beside_others, jwks, kids, owner, populated, published, text};

/// admind looks every ten seconds.
const SOON: Duration = Duration::from_secs(40);

/// An issuer of a tenant, as whoever makes tenants' issuers would write it.
fn issuer_of(stand: &Stand, slug: &str, rest: &str) -> String {
    let url = format!("{}/t/{slug}{rest}", stand.issuer());
    let insert = format!(
        "INSERT INTO issuers (id, tenant_id, url) SELECT gen_random_uuid(), id, '{url}' FROM tenants WHERE slug = '{slug}'"
    );
    owner(stand, &insert);
    url
}

fn actives(stand: &Stand, issuer: &str) -> String {
    let sql = format!(
        "SELECT string_agg(k.class || ' ' || k.algorithm, ',' ORDER BY k.class || k.algorithm COLLATE \"C\")
         FROM signing_keys k JOIN issuers i ON i.id = k.issuer_id WHERE i.url = '{issuer}' AND k.state = 'active'"
    );
    owner(stand, &sql)
}

#[test]
fn w144_w173_a_tenants_issuer_has_keys_of_its_own_and_none_of_the_platforms_classes() {
    let _cluster = beside_others();
    let stand = populated(&Options::default());
    let before = published(&stand);
    // Made first, and one that keyd will have nothing to do with: the other is served all the same.
    let odd = issuer_of(&stand, "beta", "?x=1");
    let alpha = issuer_of(&stand, "alpha", "");
    let all = "token ES256,token ES384,token EdDSA,token PS256,token RS256";
    until("the tenant's issuer has its keys", SOON, || {
        (actives(&stand, &alpha) == all).then_some(())
    });
    assert_eq!(actives(&stand, &odd), "");
    // An issuer is refused for itself: no algorithm is held against anybody else.
    let log = stand.admind_here().log();
    assert!(log.contains("InvalidIssuer") && !log.contains("does not offer"), "{log}");
    owner(&stand, &format!("DELETE FROM issuers WHERE url = '{odd}'"));
    stand.wait_for_keys();

    let api = Api::of(&stand);
    let listed = api.keys();
    let of = |issuer: &str| -> Vec<_> {
        listed.iter().filter(|key| text(key, "issuer") == issuer).collect()
    };
    assert_eq!((listed.len(), of(stand.issuer()).len(), of(&alpha).len()), (12, 7, 5));
    assert!(of(&alpha).iter().all(|key| text(key, "class") == "token"), "{listed:?}");
    // The platform's key set is what it was, and what it signs is its own.
    assert_eq!(jwks(&stand, 0), before);
    let foreign: Vec<&str> = of(&alpha).iter().map(|key| text(key, "kid")).collect();
    assert!(!kids(&before).iter().any(|kid| foreign.contains(&kid.as_str())));
    let got = plain(&stand).tokens(&mut stand.browser(), MEMBER);
    tokens::verify(text(&got, "id_token"), &before, stand.issuer(), "plain").unwrap();

    // A platform's statement that somebody writes down as the tenant's is no key of the tenant.
    let planted = "planted-0000000000000A";
    owner(
        &stand,
        &format!(
            "INSERT INTO signing_keys (kid, issuer_id, class, algorithm, state, statement)
             SELECT '{planted}', i.id, k.class, k.algorithm, 'staged', k.statement FROM issuers i, signing_keys k
             WHERE i.url = '{alpha}' AND k.kid = '{}'",
            text(of(stand.issuer())[0], "kid")
        ),
    );
    until("it is noticed", SOON, || {
        let sql = format!(
            "SELECT count(*) FROM audit_events WHERE type = 'key.planted' AND target = '{planted}'"
        );
        (owner(&stand, &sql) == "1").then_some(())
    });
    assert_eq!(api.keys().len(), 12);
}

#[test]
fn an_operator_stages_a_key_for_the_issuer_that_is_named() {
    let _cluster = beside_others();
    let stand = populated(&Options::default());
    let alpha = issuer_of(&stand, "alpha", "");
    stand.wait_for_keys();
    let api = Api::of(&stand);
    let wanted = |class: &str, issuer: &str| json!({ "class": class, "algorithm": "ES256", "issuer": issuer });
    for (class, issuer) in [
        ("token", format!("{alpha}/")),
        ("token", format!("{}/t/beta", stand.issuer())),
        ("token", "alpha".to_owned()),
        ("token", String::new()),
        ("admin", alpha.clone()),
        ("audit", alpha.clone()),
    ] {
        let refused = api.post("keys", &wanted(class, &issuer)).expect(422).json();
        assert_eq!(text(&refused, "code"), "invalid", "{class} {issuer}");
    }
    let staged = api.post("keys", &wanted("token", &alpha)).expect(201).json();
    assert_eq!((text(&staged, "issuer"), text(&staged, "state")), (alpha.as_str(), "staged"));
    api.post("keys", &wanted("token", &alpha)).expect(409);
    // Kinds are counted by issuer: the platform still may, named or not.
    let platforms = api.post("keys", &wanted("token", stand.issuer())).expect(201).json();
    assert_eq!(text(&platforms, "issuer"), stand.issuer());
    api.post("keys", &json!({ "class": "token", "algorithm": "ES256" })).expect(409);
    let named =
        api.post("keys", &json!({ "class": "token", "algorithm": "EdDSA" })).expect(201).json();
    assert_eq!(text(&named, "issuer"), stand.issuer());
    // Nor is one issuer's key a reason to let another's only one go.
    let only = api
        .keys()
        .into_iter()
        .find(|key| {
            (text(key, "issuer"), text(key, "algorithm"), text(key, "state"))
                == (alpha.as_str(), "ES256", "active")
        })
        .unwrap();
    api.post(&format!("keys/{}/retire", text(&only, "kid")), &json!({})).expect(409);
    let early = api.post(&format!("keys/{}/activate", text(&staged, "kid")), &json!({}));
    assert_eq!(text(&early.expect(409).json(), "code"), "too_early");
}

#[test]
fn what_the_token_does_not_offer_is_asked_for_once_and_nobody_waits_for_it() {
    let _cluster = beside_others();
    let mut stand = Stand::prepare(&Options::default());
    let conf = stand.token().join("softhsm2.conf");
    let mut conf = std::fs::File::options().append(true).open(conf).unwrap();
    // Of what it is to leave out, SoftHSM overlooks the first.
    writeln!(conf, "slots.mechanisms = -CKM_DSA,CKM_EDDSA,CKM_RSA_PKCS_PSS").unwrap();
    stand.begin();
    let platforms = "admin ES256,audit ES256,token ES256,token ES384,token RS256";
    let issuer = stand.issuer().to_owned();
    until("the others are there", SOON, || (actives(&stand, &issuer) == platforms).then_some(()));
    let logs = |stand: &Stand| (stand.admind_here().log(), stand.nodes()[0].keyd.log());
    let asked = |stand: &Stand| {
        let (admind, keyd) = logs(stand);
        (admind.matches("does not offer").count(), keyd.matches("why=Unsupported").count())
    };
    until("both were asked for", SOON, || (asked(&stand) == (2, 2)).then_some(()));
    // A later round makes everything for another issuer, and asks for neither again.
    owner(
        &stand,
        "INSERT INTO tenants (id, slug, name) VALUES (gen_random_uuid(), 'alpha', 'Alpha')",
    );
    let alpha = issuer_of(&stand, "alpha", "");
    until("the tenant's issuer has its keys", SOON, || {
        (actives(&stand, &alpha) == "token ES256,token ES384,token RS256").then_some(())
    });
    let (admind, keyd) = logs(&stand);
    assert_eq!(asked(&stand), (2, 2), "{admind}\n{keyd}");
}
