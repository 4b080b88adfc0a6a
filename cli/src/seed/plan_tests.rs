use super::*;
use crate::seed::file;

const API: &str = "https://localhost:8081";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn plan(text: &str) -> Result<Plan, Failure> {
    Plan::of(file::parse(text.replace("SECRET", SECRET).as_bytes()).unwrap(), API)
}

/// What is said about a file with one list of one thing.
fn problem(list: &str, thing: &str) -> String {
    let text = format!(r#"{{"{list}":[{thing}]}}"#);
    plan(&text).err().unwrap_or_else(|| panic!("{text} is refused")).to_string()
}

const FULL: &str = r#"{
    "tenants": [{"slug": "acme", "name": " Acme Ltd "}],
    "users": [{
        "email": " Ana@Example.org", "password": "x", "email_verified": true, "given_name": "Ana",
        "family_name": "", "name": "Ana L.", "picture": "https://example.org/a.png", "locale": "pt-BR",
        "memberships": [{"tenant": "acme", "roles": ["tenant_owner"]}], "platform_roles": ["platform_admin"]
    }],
    "scopes": [{"tenant": "acme", "name": "orders:read", "description": "Read orders", "default": true}],
    "audiences": [{"tenant": "acme", "identifier": "https://orders.example.org", "scopes": ["orders:read"]}],
    "clients": [
        {"tenant": "acme", "client_id": "web", "client_secret": "SECRET", "redirect_uris": ["https://a.example/cb"],
         "audiences": ["anything"], "grant_types": ["authorization_code", "refresh_token"],
         "access_token_lifetime": 60, "refresh_token_lifetime": 3600, "refresh_retry_s": 30},
        {"tenant": null, "client_id": "console", "token_endpoint_auth_method": "none", "skip_authorization": true,
         "redirect_uris": ["http://127.0.0.1/cb"], "audiences": ["https://localhost:8081"],
         "scope": "openid opentrusty:admin"}
    ]
}"#;

#[test]
fn a_whole_file_is_understood() {
    let plan = plan(FULL).unwrap();
    let [tenant] = plan.tenants.as_slice() else { panic!("one tenant") };
    assert_eq!((tenant.slug.as_str(), tenant.name.as_str()), ("acme", "Acme Ltd"));
    let [person] = plan.people.as_slice() else { panic!("one person") };
    assert_eq!(
        (person.email.as_str(), person.email_key.as_str()),
        ("Ana@Example.org", "ana@example.org")
    );
    assert_eq!(person.family_name, None, "empty is absent");
    assert_eq!(person.memberships[0].roles[0].path, "users[0].memberships[0].roles[0]");
    assert_eq!(plan.audiences[0].name, "https://orders.example.org");
    let [web, console] = plan.clients.as_slice() else { panic!("two clients") };
    assert!(
        web.secret == Some(Hashed::of(SECRET)) && web.metadata.access_token_lifetime == Some(60)
    );
    assert!(
        console.tenant.is_none() && console.secret.is_none() && console.metadata.skip_authorization
    );
}

#[test]
fn bad_values_are_named_by_their_path() {
    for (list, thing, path) in [
        ("tenants", r#"{"slug":"Acme","name":"A"}"#, "tenants[0].slug: "),
        ("tenants", r#"{"slug":"-a","name":"A"}"#, "tenants[0].slug: "),
        ("tenants", r#"{"slug":"","name":"A"}"#, "tenants[0].slug: "),
        ("tenants", r#"{"slug":"a","name":"  "}"#, "tenants[0].name: "),
        ("users", r#"{"email":"nobody"}"#, "users[0].email: "),
        ("users", r#"{"email":"a@b","password":""}"#, "users[0].password: "),
        ("users", r#"{"email":"a@b","name":"a\u0000b"}"#, "users[0].name: "),
        ("users", r#"{"email":"a@b","locale":"pt BR"}"#, "users[0].locale: "),
        ("users", r#"{"email":"a@b","picture":"javascript:alert(1)"}"#, "users[0].picture: "),
        (
            "users",
            r#"{"email":"a@b","memberships":[{"tenant":"A"}]}"#,
            "users[0].memberships[0].tenant: ",
        ),
        (
            "users",
            r#"{"email":"a@b","memberships":[{"tenant":"a"},{"tenant":"a"}]}"#,
            "users[0].memberships[1].tenant: declared twice",
        ),
        ("scopes", r#"{"tenant":"a","name":"a b"}"#, "scopes[0].name: "),
        ("scopes", r#"{"tenant":"a","name":"opentrusty:admin"}"#, "scopes[0].name: reserved"),
        ("scopes", r#"{"tenant":"a","name":"opentrusty:ciba"}"#, "scopes[0].name: reserved"),
        ("audiences", r#"{"tenant":"a","identifier":"a b"}"#, "audiences[0].identifier: "),
        (
            "audiences",
            r#"{"tenant":"a","identifier":"https://localhost:8081"}"#,
            "audiences[0].identifier: ",
        ),
        (
            "audiences",
            r#"{"tenant":"a","identifier":"x","scopes":["ok","\""]}"#,
            "audiences[0].scopes[1]: ",
        ),
        ("clients", r#"{"client_id":"a b"}"#, "clients[0].client_id: "),
        ("clients", r#"{"client_id":"a","tenant":"_"}"#, "clients[0].tenant: "),
        ("clients", r#"{"client_id":"a","client_secret":"SECRET"}"#, "clients[0].redirect_uris: "),
        (
            "clients",
            r#"{"client_id":"a","client_secret":"SECRET","redirect_uris":["https://a.example/#x"]}"#,
            "clients[0].redirect_uris: ",
        ),
        (
            "clients",
            r#"{"client_id":"a","client_secret":"SECRET","redirect_uris":["https://a.example"],"grant_types":["password"]}"#,
            "clients[0].grant_types: ",
        ),
        (
            "clients",
            r#"{"client_id":"a","tenant":"t","client_secret":"SECRET","redirect_uris":["https://a.example"],
                "audiences":["https://localhost:8081"]}"#,
            "clients[0].audiences: ",
        ),
    ] {
        let problem = problem(list, thing);
        assert!(problem.starts_with(path), "{thing}: {problem}");
    }
}

#[test]
fn a_secret_belongs_to_confidential_clients_and_has_32_characters() {
    let client =
        |rest: &str| format!(r#"{{"client_id":"a","redirect_uris":["https://a.example"]{rest}}}"#);
    for rest in [
        String::new(),
        r#","client_secret":"""#.to_owned(),
        format!(r#","client_secret":"{}""#, &SECRET[1..]),
        format!(r#","client_secret":"{}""#, "x".repeat(257)),
        format!(r#","client_secret":"{SECRET}","token_endpoint_auth_method":"none""#),
    ] {
        let problem = problem("clients", &client(&rest));
        assert!(problem.starts_with("clients[0].client_secret: "), "{rest}: {problem}");
        assert!(!problem.contains(&SECRET[1..]), "{problem}");
    }
    for length in [32, 256] {
        let rest = format!(r#","client_secret":"{}""#, "x".repeat(length));
        assert!(plan(&format!(r#"{{"clients":[{}]}}"#, client(&rest))).is_ok(), "{length}");
    }
}

#[test]
fn w82_a_client_that_signs_has_keys_on_their_curve_and_no_secret() {
    let x = "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY";
    let y = "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU";
    let client = |y: &str, rest: &str| {
        format!(
            r#"{{"client_id":"a","redirect_uris":["https://a.example"],"assertion_audience_endpoint":true,
                "token_endpoint_auth_method":"private_key_jwt",
                "jwks":{{"keys":[{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}]}}{rest}}}"#
        )
    };
    let planned = plan(&format!(r#"{{"clients":[{}]}}"#, client(y, ""))).unwrap();
    assert!(planned.clients[0].secret.is_none() && planned.clients[0].metadata.keys.is_some());
    // In the field, but not on the curve.
    assert!(problem("clients", &client(x, "")).starts_with("clients[0].jwks: "));
    let secret = format!(r#","client_secret":"{SECRET}""#);
    assert!(problem("clients", &client(y, &secret)).starts_with("clients[0].client_secret: "));
}

#[test]
fn nothing_is_declared_twice() {
    for (list, one, two, field) in [
        ("tenants", r#"{"slug":"a","name":"A"}"#, r#"{"slug":"a","name":"B"}"#, "slug"),
        ("users", r#"{"email":"a@b"}"#, r#"{"email":"A@B "}"#, "email"),
        ("scopes", r#"{"tenant":"a","name":"x"}"#, r#"{"tenant":"a","name":"x"}"#, "name"),
        (
            "audiences",
            r#"{"tenant":"a","identifier":"x"}"#,
            r#"{"tenant":"a","identifier":"x"}"#,
            "identifier",
        ),
    ] {
        let problem = problem(list, &format!("{one},{two}"));
        assert_eq!(problem, format!("{list}[1].{field}: declared twice"));
    }
    assert!(plan(r#"{"scopes":[{"tenant":"a","name":"x"},{"tenant":"b","name":"x"}]}"#).is_ok());
}
