//! The two listeners, asked as a client would ask, on this machine.

use std::net::SocketAddr;
use std::path::Path;

use http::{Method, Request, StatusCode};
use serde_json::Value;

use super::finding::{Finding, fail, ok};
use super::settings::Files;
use crate::appliance::{self, Daemon};
use crate::database::block_on;
use crate::failure::Failure;
use crate::http::{Client, body};
use crate::listener;

/// What one path answered: its status and body, or why there is none.
type Answer = Result<(StatusCode, Vec<u8>), String>;

pub(super) fn check(files: &Files) -> Vec<Finding> {
    let doors = [(Daemon::Authd, files.issuer()), (Daemon::Admind, files.api())];
    let mut all = Vec::new();
    for (daemon, origin) in doors {
        let Some(origin) = origin else { continue };
        let at = listener::of(daemon, appliance::authority(origin).1);
        let ask = |path: &str| {
            answer(files.ca(), (origin, at), path).map_err(|failure| failure.to_string())
        };
        all.push(ready(daemon, &ask("/readyz")));
        all.push(metrics(daemon, &ask("/metrics")));
        if daemon == Daemon::Authd {
            let metadata = ask("/.well-known/openid-configuration");
            all.push(discovery(origin, &metadata));
            let uri = member(&metadata, "jwks_uri").unwrap_or_default();
            all.push(published(&ask(uri.strip_prefix(origin).unwrap_or("/"))));
        }
    }
    all
}

fn answer(
    ca: Option<&Path>,
    (origin, at): (&str, SocketAddr),
    path: &str,
) -> Result<(StatusCode, Vec<u8>), Failure> {
    let client = Client::new(ca)?;
    let request = Request::builder()
        .method(Method::GET)
        .uri(format!("{origin}{path}"))
        .body(body(""))
        .map_err(|error| Failure::refused(error.to_string()))?;
    block_on(async {
        let response = client.send_at(request, Some(at)).await?;
        Ok((response.status(), response.body().to_vec()))
    })
}

fn ready(daemon: Daemon, answer: &Answer) -> Finding {
    let name = format!("ready.{}", daemon.name());
    let fix = format!("journalctl -u {} says what it waits for", daemon.service());
    match answer {
        Ok((status, _)) if status.is_success() => ok(name, "serves"),
        Ok((status, _)) => fail(name, format!("/readyz answers {status}"), fix),
        Err(problem) => fail(name, problem, fix),
    }
}

/// Numbers about everybody are nobody's business from outside.
fn metrics(daemon: Daemon, answer: &Answer) -> Finding {
    let name = format!("metrics.{}", daemon.name());
    match answer {
        Ok((status, _)) if *status == StatusCode::NOT_FOUND => {
            ok(name, "not to be had from outside")
        }
        // Whoever does not answer gives nothing away; `ready` says that it should.
        Err(_) => ok(name, "not to be had from outside"),
        Ok((status, _)) => {
            let fix = "something before the daemon serves /metrics: take it off this port";
            fail(name, format!("/metrics answers {status} on the listener"), fix)
        }
    }
}

fn json(answer: &Answer) -> Option<Value> {
    match answer {
        Ok((status, bytes)) if status.is_success() => serde_json::from_slice(bytes).ok(),
        Ok(_) | Err(_) => None,
    }
}

fn member(answer: &Answer, name: &str) -> Option<String> {
    json(answer)?.get(name)?.as_str().map(str::to_owned)
}

/// What the token really holds: the key set is made of keyd's own answer, whatever the database believes.
fn published(answer: &Answer) -> Finding {
    let name = "keys.published";
    let count = json(answer).and_then(|set| Some(set.get("keys")?.as_array()?.len()));
    if let Some(count @ 1..) = count {
        return ok(name, format!("{count} in the key set"));
    }
    let fix = "nobody can verify a token: see journalctl -u opentrusty-keyd, then restore the token or let admind \
               make new keys";
    fail(name, "none", fix)
}

fn discovery(origin: &str, answer: &Answer) -> Finding {
    let name = "discovery";
    let fix = "set issuer to the URL that clients use, and see that nothing rewrites it on the way";
    match member(answer, "issuer") {
        Some(issuer) if issuer == origin => ok(name, format!("names {origin}")),
        Some(other) => fail(name, format!("names {other} and not {origin}"), fix),
        None => fail(name, "is not to be had", fix),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    fn said(status: u16, body: &str) -> Answer {
        StatusCode::from_u16(status)
            .map(|status| (status, body.as_bytes().to_vec()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn answers_are_judged() {
        let gone = || Err("no".to_owned());
        assert_eq!(ready(Daemon::Authd, &said(200, "")).verdict, Verdict::Ok);
        assert_eq!(ready(Daemon::Authd, &said(503, "")).verdict, Verdict::Fail);
        assert_eq!(ready(Daemon::Authd, &gone()).verdict, Verdict::Fail);
        assert_eq!(metrics(Daemon::Authd, &said(404, "")).verdict, Verdict::Ok);
        for status in [200, 401, 403, 302] {
            assert_eq!(metrics(Daemon::Authd, &said(status, "")).verdict, Verdict::Fail);
        }
        assert_eq!(published(&said(200, r#"{"keys":[{}]}"#)).verdict, Verdict::Ok);
        for none in [said(200, r#"{"keys":[]}"#), said(200, "{}"), said(503, ""), gone()] {
            assert_eq!(published(&none).verdict, Verdict::Fail, "{none:?}");
        }
        let ours = "https://a.example";
        for (answer, expected) in [
            (said(200, r#"{"issuer":"https://a.example"}"#), Verdict::Ok),
            (said(200, r#"{"issuer":"https://a.example/"}"#), Verdict::Fail),
            (said(500, r#"{"issuer":"https://a.example"}"#), Verdict::Fail),
            (said(200, "no json"), Verdict::Fail),
            (gone(), Verdict::Fail),
        ] {
            assert_eq!(discovery(ours, &answer).verdict, expected, "{answer:?}");
        }
    }
}
