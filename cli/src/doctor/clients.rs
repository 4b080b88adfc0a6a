//! Clients as they are registered: where they send people, and what they may ask for.

use serde_json::Value;

use super::finding::{Finding, fail, ok, warn};

/// Only clients of the platform may ask for it.
const ADMIN: &str = "opentrusty:admin";
/// This many clients are named in one line.
const NAMED_MAX: usize = 5;

/// One row of `clients`.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) is_platform: bool,
    pub(super) metadata: Value,
    /// The scopes of its grants, if these are of a whole month and enough to tell.
    pub(super) used: Option<Vec<String>>,
}

impl Client {
    fn text(&self, member: &str) -> Option<&str> {
        self.metadata.get(member).and_then(Value::as_str)
    }

    fn list(&self, member: &str) -> impl Iterator<Item = &str> {
        self.metadata
            .get(member)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
    }

    fn flag(&self, member: &str) -> Option<bool> {
        self.metadata.get(member).and_then(Value::as_bool)
    }

    /// Scopes that it may ask for and has not for a month, as far as anybody can tell.
    fn not_used(&self) -> Vec<&str> {
        let Some(used) = &self.used else { return Vec::new() };
        let may = self.text("scope").unwrap_or_default().split_whitespace();
        may.filter(|scope| !used.iter().any(|one| one == scope)).collect()
    }

    /// An application on a person's device, which cannot keep a secret.
    fn is_public(&self) -> bool {
        self.text("token_endpoint_auth_method") == Some("none")
    }
}

pub(super) fn check(clients: &[Client]) -> Vec<Finding> {
    vec![redirects(clients), scopes(clients), downgrades(clients)]
}

/// Where a redirect URI leads.
#[derive(Debug, PartialEq, Eq)]
enum Leads {
    /// Encrypted to a host.
    Https,
    /// To this very machine, as native applications do (RFC 8252 §7.3).
    Loopback,
    /// To an application of the device, by a scheme of its own (RFC 8252 §7.1).
    Application,
    /// In clear over a network, or nobody knows where.
    Astray,
}

fn leads(uri: &str) -> Leads {
    let Some((scheme, rest)) = uri.split_once(':') else { return Leads::Astray };
    let authority =
        rest.strip_prefix("//").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let host = authority.map(|authority| match authority.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    });
    match (scheme, host) {
        ("https", Some(host)) if !host.is_empty() && !host.contains('@') => Leads::Https,
        ("http", Some("127.0.0.1" | "::1" | "localhost")) => Leads::Loopback,
        ("http" | "https", _) => Leads::Astray,
        (scheme, _) if scheme.contains('.') => Leads::Application,
        _ => Leads::Astray,
    }
}

fn redirects(clients: &[Client]) -> Finding {
    let name = "redirect URIs";
    let with = |astray: fn(&Client, Leads) -> bool| {
        let has = |client: &&Client| {
            let uris = client.list("redirect_uris").chain(client.list("post_logout_redirect_uris"));
            uris.into_iter().any(|uri| astray(client, leads(uri)))
        };
        clients.iter().filter(has).map(|client| client.id.as_str()).collect::<Vec<_>>()
    };
    let astray = with(|_, leads| leads == Leads::Astray);
    if !astray.is_empty() {
        let fix = "register https URIs, and tell whoever runs the application";
        return fail(name, format!("neither https nor loopback: {}", named(&astray)), fix);
    }
    let local = with(|client, leads| leads == Leads::Loopback && !client.is_public());
    if !local.is_empty() {
        let fix =
            "a server's application has an https URI in production; loopback is for development";
        return warn(
            name,
            format!("loopback for an application on a server: {}", named(&local)),
            fix,
        );
    }
    ok(name, format!("https, loopback or an application's own, of {} clients", clients.len()))
}

fn scopes(clients: &[Client]) -> Finding {
    let name = "scopes";
    let wide: Vec<&str> = clients
        .iter()
        .filter(|client| {
            let mut words = client.text("scope").unwrap_or_default().split_whitespace();
            !client.is_platform && words.any(|word| word == ADMIN)
        })
        .map(|client| client.id.as_str())
        .collect();
    if !wide.is_empty() {
        let fix = "take the scope away from them: it administers everything";
        return fail(name, format!("{ADMIN} for {}", named(&wide)), fix);
    }
    let idle: Vec<String> = clients
        .iter()
        .filter_map(|client| {
            let idle = client.not_used();
            (!idle.is_empty()).then(|| format!("{} ({})", client.id, idle.join(" ")))
        })
        .collect();
    if !idle.is_empty() {
        let idle: Vec<&str> = idle.iter().map(String::as_str).collect();
        let fix = "take from a client's registration what its application does not need";
        return warn(name, format!("in no grant of this month: {}", named(&idle)), fix);
    }
    ok(name, format!("{ADMIN} only for the platform's own clients; none is known to go unused"))
}

fn downgrades(clients: &[Client]) -> Finding {
    let name = "clients";
    let lenient: Vec<&str> = clients
        .iter()
        .filter(|client| {
            client.flag("require_pkce") == Some(false)
                || client.flag("assertion_audience_endpoint") == Some(true)
        })
        .map(|client| client.id.as_str())
        .collect();
    if lenient.is_empty() {
        return ok(name, "none is excused from PKCE or from naming the issuer in its assertions");
    }
    let fix =
        "update their libraries, then require_pkce = true and assertion_audience_endpoint = false";
    warn(name, format!("excused from something: {}", named(&lenient)), fix)
}

fn named(ids: &[&str]) -> String {
    let shown = ids.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    match ids.len().checked_sub(NAMED_MAX) {
        Some(rest) if rest > 0 => format!("{shown} and {rest} more"),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Verdict;
    use super::*;

    fn client(metadata: Value) -> Client {
        Client { id: "app".into(), is_platform: false, metadata, used: None }
    }

    #[test]
    fn a_redirect_uri_leads_somewhere_or_astray() {
        for (uri, expected) in [
            ("https://app.example/callback", Leads::Https),
            ("http://127.0.0.1/callback", Leads::Loopback),
            ("http://[::1]:8000/callback", Leads::Loopback),
            ("http://localhost:3000/", Leads::Loopback),
            ("com.example.app:/callback", Leads::Application),
            ("http://app.example/callback", Leads::Astray),
            ("http://127.0.0.1.evil.example/", Leads::Astray),
            ("http://localhost@evil.example/", Leads::Astray),
            ("javascript:alert(1)", Leads::Astray),
            ("https:///nowhere", Leads::Astray),
            ("callback", Leads::Astray),
        ] {
            assert_eq!(leads(uri), expected, "{uri}");
        }
    }

    #[test]
    fn clients_are_judged_by_where_they_lead_and_what_they_may() {
        let of = |name: &str, metadata: Value| {
            let all = check(&[client(metadata)]);
            all.into_iter().find(|finding| finding.name == name).unwrap().verdict
        };
        let uris = |uri: &str, method: &str| json!({ "redirect_uris": [uri], "token_endpoint_auth_method": method });
        let name = "redirect URIs";
        assert_eq!(of(name, uris("https://a.example/", "client_secret_basic")), Verdict::Ok);
        assert_eq!(of(name, uris("http://a.example/", "none")), Verdict::Fail);
        assert_eq!(of(name, uris("http://localhost/", "none")), Verdict::Ok);
        assert_eq!(of(name, uris("http://localhost/", "client_secret_basic")), Verdict::Warn);
        assert_eq!(of("scopes", json!({ "scope": "openid opentrusty:admin" })), Verdict::Fail);
        assert_eq!(
            of("scopes", json!({ "scope": "openid opentrusty:administrator" })),
            Verdict::Ok
        );
        assert_eq!(of("clients", json!({ "require_pkce": false })), Verdict::Warn);
        assert_eq!(of("clients", json!({ "assertion_audience_endpoint": true })), Verdict::Warn);
        let mut idle = client(json!({ "scope": "openid email orders:write" }));
        assert_eq!(scopes(std::slice::from_ref(&idle)).verdict, Verdict::Ok, "nobody can tell");
        idle.used = Some(vec!["openid".to_owned(), "orders:write".to_owned()]);
        let seen = scopes(std::slice::from_ref(&idle));
        assert_eq!(seen.verdict, Verdict::Warn);
        assert!(seen.to_string().contains("app (email)"), "{seen}");
        idle.used = Some(["email", "openid", "orders:write"].map(str::to_owned).into());
        assert_eq!(scopes(&[idle]).verdict, Verdict::Ok);
        assert!(check(&[]).iter().all(|finding| finding.verdict == Verdict::Ok));
    }

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(named(&["a", "b"]), "a, b");
        assert_eq!(named(&["a", "b", "c", "d", "e"]), "a, b, c, d, e");
        assert_eq!(named(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }
}
