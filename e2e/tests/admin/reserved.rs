//! The scope and the audience of the management API are for first-party clients of the platform: seed refuses
//! them to others, and planted rows do not get them either.

use e2e::people::{MEMBER, PLATFORM_ADMIN, app, console, plain};
use e2e::{Party, Pkce, Stand};
use serde_json::{Value, json};

use crate::{me, own_stand, owner, stand, text};

fn seed(stand: &Stand, client: &Value) -> (bool, String) {
    let file = stand
        .token()
        .parent()
        .unwrap()
        .join(format!("reserved-{}.json", text(client, "client_id")));
    std::fs::write(&file, json!({ "clients": [client] }).to_string()).unwrap();
    let output = stand.cli().arg("seed").arg(&file).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn w151_seed_refuses_a_tenants_client_the_scope_and_the_audience_of_the_management_api() {
    let client = |id: &str, scope: &str, audiences: &[&str]| {
        json!({ "tenant": "alpha", "client_id": id, "client_secret": "a client secret of enough characters",
                "redirect_uris": ["https://app.example.com/callback"], "scope": scope, "audiences": audiences })
    };
    let seeded =
        || owner(stand(), "SELECT count(*) FROM audit_events WHERE type = 'platform.seeded'");
    let before = seeded();
    for (client, path) in [
        (client("reserved-scope", "openid opentrusty:admin", &[]), "clients[0].scope"),
        (client("reserved-audience", "openid", &[stand().api()]), "clients[0].audiences"),
        (
            client("reserved-slash", "openid", &["https://a.example", stand().api()]),
            "clients[0].audiences",
        ),
    ] {
        let (done, said) = seed(stand(), &client);
        assert!(!done, "{client} was taken");
        assert!(said.contains(path), "{said}");
        let there = format!(
            "SELECT count(*) FROM clients WHERE client_id = '{}'",
            text(&client, "client_id")
        );
        assert_eq!(owner(stand(), &there), "0");
    }
    assert_eq!(seeded(), before, "a seed that was refused leaves no trace");
}

/// Everything that a client could ask for to get such a token; what comes of it, if anything.
fn attempts(stand: &Stand, party: &Party, person: (&str, &str)) -> Vec<String> {
    let mut got = Vec::new();
    let api = stand.api();
    for scope in ["openid", "openid opentrusty:admin", "opentrusty:admin"] {
        for extra in [
            &[][..],
            &[("resource", api)],
            &[("audience", api)],
            &[("resource", api), ("resource", stand.issuer())],
        ] {
            let asks = Party { scope: scope.to_owned(), ..party.clone() };
            let mut browser = stand.browser();
            let pkce = Pkce::new();
            browser.open(&asks.url(&pkce, extra));
            if browser.page().field("password").is_some() {
                browser.submit(&[("username", person.0), ("password", person.1)]);
            }
            if browser.page().away.is_none() {
                continue;
            }
            let Some(code) = browser.page().away_parameter("code") else { continue };
            let response = asks.redeem(browser.client(), &code, &pkce);
            assert!(
                matches!(response.status, 200 | 400),
                "{} {}",
                response.status,
                response.text()
            );
            if response.status == 200 {
                let tokens = response.json();
                got.push(text(&tokens, "access_token").to_owned());
                if let Some(refresh) = tokens["refresh_token"].as_str() {
                    let again = [
                        ("grant_type", "refresh_token"),
                        ("refresh_token", refresh),
                        ("scope", scope),
                        ("resource", api),
                    ];
                    let again = asks.post(browser.client(), "/oauth/token", &again);
                    if again.status == 200 {
                        got.push(text(&again.json(), "access_token").to_owned());
                    }
                }
            }
        }
    }
    got
}

#[test]
fn w151_a_planted_tenants_client_gets_no_token_that_the_management_api_takes() {
    let stand = own_stand();
    let plant = |metadata: &Value| {
        owner(
            &stand,
            &format!(
                "UPDATE clients SET metadata = metadata || '{metadata}' WHERE client_id = 'app'"
            ),
        );
    };
    let api = stand.api().to_owned();
    // Somebody with a role signs in at the planted client: the role must not reach it.
    owner(
        &stand,
        &format!(
            "INSERT INTO memberships (tenant_id, user_id) SELECT t.id, u.id FROM tenants t, users u
         WHERE t.slug = 'alpha' AND u.email = '{}'",
            PLATFORM_ADMIN.0
        ),
    );
    for metadata in [
        json!({ "scope": "openid email opentrusty:admin" }),
        json!({ "scope": "openid email", "audiences": [api] }),
        json!({ "scope": "openid email opentrusty:admin", "audiences": [api] }),
        json!({ "scope": "openid email opentrusty:admin", "audiences": [api, stand.issuer()] }),
    ] {
        plant(&metadata);
        for person in [MEMBER, PLATFORM_ADMIN] {
            for token in attempts(&stand, &app(&stand), person) {
                let status = me(&stand, &token).status;
                assert!(matches!(status, 401 | 403), "{metadata}: {status}");
                let claims = e2e::tokens::claims(&token);
                assert!(!claims["aud"].to_string().contains(&api), "{metadata}: {claims}");
            }
        }
    }
    assert_eq!(stand.nodes()[0].authd.log().matches("panicked").count(), 0);
}

#[test]
fn a_client_of_the_platform_gets_no_more_than_it_is_registered_for() {
    let stand = own_stand();
    for token in attempts(&stand, &plain(&stand), PLATFORM_ADMIN) {
        assert_eq!(me(&stand, &token).status, 401, "{}", e2e::tokens::claims(&token));
    }
    // The audience without the scope lets nobody in; nor does the scope of the console asked for in part.
    owner(
        &stand,
        &format!(
            "UPDATE clients SET metadata = metadata || '{{\"audiences\": [\"{}\"]}}' WHERE client_id = 'plain'",
            stand.api()
        ),
    );
    let tokens = attempts(&stand, &plain(&stand), PLATFORM_ADMIN);
    assert!(!tokens.is_empty(), "its audience is the API's");
    for token in tokens {
        let refused = me(&stand, &token);
        assert_eq!(refused.status, 403, "{}", refused.text());
        assert_eq!(text(&refused.json(), "code"), "insufficient_scope");
        assert!(
            refused.header("www-authenticate").unwrap_or_default().contains("opentrusty:admin")
        );
    }
    let less = Party { scope: "openid".into(), ..console(&stand) };
    let got = less.tokens(&mut stand.browser(), PLATFORM_ADMIN);
    assert_eq!(me(&stand, text(&got, "access_token")).status, 403);
}

#[test]
fn a_token_for_the_management_api_is_for_nothing_else_besides() {
    let stand = own_stand();
    owner(&stand, &format!(
        "UPDATE clients SET metadata = metadata || '{{\"audiences\": [\"{}\", \"https://other.example.com\"]}}'
         WHERE client_id = 'console'", stand.api()));
    for token in attempts(&stand, &console(&stand), PLATFORM_ADMIN) {
        let claims = e2e::tokens::claims(&token);
        if claims["aud"].to_string().contains(stand.api()) {
            assert_eq!(claims["aud"], stand.api(), "{claims}");
        } else {
            assert_eq!(me(&stand, &token).status, 401, "{claims}");
        }
    }
}
