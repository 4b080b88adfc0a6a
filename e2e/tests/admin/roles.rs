//! W154: every route of the management API by every kind of caller, against `matrix/admin_access.txt`.

use std::fmt::Write as _;
use std::path::Path;

use e2e::people::{MEMBER, OWNER, PLATFORM_ADMIN, STRANGER, TENANT_ADMIN, app, plain};

use crate::routes::{admin_routes, concrete};
use crate::{call, discreet, signed_in, stand, text};

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

#[test]
fn w154_every_route_by_every_caller_is_as_the_matrix_says() {
    let token = |person| Some(text(&signed_in(stand(), person), "access_token").to_owned());
    let of = |party: e2e::Party, person| {
        Some(text(&party.tokens(&mut stand().browser(), person), "access_token").to_owned())
    };
    let callers = [
        ("anonymous", None),
        ("tenant-client", of(app(stand()), OWNER)),
        ("plain-client", of(plain(stand()), PLATFORM_ADMIN)),
        ("no-role", token(STRANGER)),
        ("tenant_member", token(MEMBER)),
        ("tenant_admin", token(TENANT_ADMIN)),
        ("tenant_owner", token(OWNER)),
        ("platform_admin", token(PLATFORM_ADMIN)),
    ];
    let mut actual = String::from(
        "# What each caller is answered on each route: tests/admin/roles.rs. Bodies are `{}` and ids are nobody's,\n\
         # so whoever is let in gets 422 or 404 where something would be changed.\n# route",
    );
    for (name, _) in &callers {
        write!(actual, " {name}").unwrap();
    }
    actual.push('\n');
    for route in admin_routes() {
        for method in METHODS {
            let path = concrete(&route);
            let body = (!matches!(method, "GET" | "HEAD")).then_some("{}");
            write!(actual, "{method} {route}").unwrap();
            for (_, token) in &callers {
                let mut client = stand().client();
                let mut headers: Vec<(&str, String)> =
                    token.iter().map(|token| e2e::bearer(token)).collect();
                headers.push(("content-type", "application/json".into()));
                let url = format!("{}{path}", stand().api());
                let response =
                    client.send(method, &url, &headers, body.unwrap_or_default().as_bytes());
                discreet(&response);
                write!(actual, " {}", response.status).unwrap();
            }
            actual.push('\n');
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("matrix/admin_access.txt");
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    if expected != actual {
        let found = Path::new(env!("CARGO_TARGET_TMPDIR")).join("admin_access.txt");
        std::fs::write(&found, &actual).unwrap();
        let diff: String = actual
            .lines()
            .filter(|line| !expected.lines().any(|known| known == *line))
            .fold(String::new(), |text, line| format!("{text}+ {line}\n"));
        panic!(
            "callers are not answered as e2e/matrix/admin_access.txt says:\n{diff}\
             If that is meant, review it and run: cp {} e2e/matrix/admin_access.txt",
            found.display()
        );
    }
    // Nothing of all this may have changed a thing.
    call(stand(), None, "GET", "/healthz", None).expect(200);
    assert_eq!(crate::owner(stand(), "SELECT count(*) FROM signing_keys"), "7");
}
