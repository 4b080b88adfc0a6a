//! Dovecot: mail for whoever brings a live access token that is meant for it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::tokens::claims;
use serde_json::{Value, json};

use crate::server::{Prepared, Server};
use crate::{SECRET, USER, access_token, party, register, register_resource, stand};

const PATIENCE: Duration = Duration::from_secs(30);
const MECHANISMS: [&str; 2] = ["OAUTHBEARER", "XOAUTH2"];

/// The mail server as a resource server of a name of its own.
fn start(client_id: &str) -> Server {
    register_resource(client_id);
    Prepared::new(stand(), "dovecot", 1)
        .with("CLIENT_ID", client_id)
        .with("CLIENT_SECRET", SECRET)
        .start()
}

/// What came of an attempt to sign in.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// In, with an inbox.
    In,
    /// Out, with what the mechanism says about it.
    Refused(Value),
    /// Out, as if it were a fault.
    Unavailable,
}

/// A conversation in IMAP.
struct Mail {
    reader: BufReader<TcpStream>,
}

impl Mail {
    fn open(server: &Server) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port(0))).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let mut mail = Self { reader: BufReader::new(stream) };
        let greeting = mail.line();
        assert!(greeting.starts_with("* OK"), "{greeting}");
        mail
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a line");
        assert!(line.ends_with("\r\n"), "the server has left after {line:?}");
        line.trim_end().to_owned()
    }

    fn say(&mut self, line: &str) {
        self.reader.get_mut().write_all(format!("{line}\r\n").as_bytes()).expect("it listens");
    }

    /// Send a command and wait for what completes it.
    fn command(&mut self, words: &str) -> String {
        self.say(&format!("a {words}"));
        self.completed()
    }

    fn completed(&mut self) -> String {
        loop {
            let line = self.line();
            if let Some(said) = line.strip_prefix("a ") {
                return said.to_owned();
            }
        }
    }

    /// RFC 7628, or what came before it.
    fn sign_in(mut self, mechanism: &str, user: &str, token: &str) -> Outcome {
        let (first, to_failure) = match mechanism {
            "OAUTHBEARER" => (
                format!(
                    "n,a={user},\u{1}host=localhost\u{1}port=143\u{1}auth=Bearer {token}\u{1}\u{1}"
                ),
                "AQ==",
            ),
            _ => (format!("user={user}\u{1}auth=Bearer {token}\u{1}\u{1}"), ""),
        };
        self.say(&format!("a AUTHENTICATE {mechanism} {}", STANDARD.encode(first)));
        let mut about = Value::Null;
        let end = loop {
            let line = self.line();
            if let Some(challenge) = line.strip_prefix("+ ") {
                let said = STANDARD.decode(challenge).expect("Base64");
                about = serde_json::from_slice(&said).expect("JSON");
                self.say(to_failure);
            } else if let Some(said) = line.strip_prefix("a ") {
                break said.to_owned();
            }
        };
        if !end.starts_with("OK") {
            if end.contains("[UNAVAILABLE]") {
                return Outcome::Unavailable;
            }
            assert!(end.contains("[AUTHENTICATIONFAILED]"), "{end}");
            return Outcome::Refused(about);
        }
        let selected = self.command("SELECT INBOX");
        assert!(selected.starts_with("OK"), "{selected}");
        assert!(self.command("LOGOUT").starts_with("OK"));
        Outcome::In
    }
}

fn assert_refused(server: &Server, user: &str, token: &str) {
    for mechanism in MECHANISMS {
        let Outcome::Refused(about) = Mail::open(server).sign_in(mechanism, user, token) else {
            panic!("{mechanism} let {user} in");
        };
        // RFC 7628 §3.2.2: the client is told where to get a better one.
        let place = format!("{}/.well-known/openid-configuration", stand().issuer());
        assert_eq!(about["openid-configuration"], json!(place), "{about}");
    }
}

fn assert_in(server: &Server, user: &str, token: &str) {
    for mechanism in MECHANISMS {
        assert_eq!(Mail::open(server).sign_in(mechanism, user, token), Outcome::In, "{mechanism}");
    }
}

fn subject(token: &str) -> String {
    claims(token)["sub"].as_str().expect("sub").to_owned()
}

#[test]
fn dovecot_takes_live_tokens_that_are_meant_for_it_by_introspection() {
    let server = start("dovecot");
    register("mail-app", &json!({"audiences": ["dovecot"]}));
    register("other-app", &json!({}));
    let mut browser = stand().browser();
    let token = access_token(&mut browser, "mail-app");
    let user = subject(&token);
    assert_in(&server, &user, &token);
    // The token of one person is no key to another's mail.
    assert_refused(&server, "somebody-else", &token);
    // Live, but meant for nobody in particular: introspection says no more than that it is not active.
    let other = access_token(&mut browser, "other-app");
    assert_refused(&server, &subject(&other), &other);

    party("mail-app").revoke(browser.client(), &token).expect(200);
    assert_refused(&server, &user, &token);
}

#[test]
fn dovecot_takes_live_tokens_by_userinfo() {
    let server = start("dovecot-by-userinfo");
    register("mail-by-address", &json!({}));
    let mut browser = stand().browser();
    let token = access_token(&mut browser, "mail-by-address");
    assert_in(&server, USER, &token);
    assert_refused(&server, "other@example.com", &token);
    party("mail-by-address").revoke(browser.client(), &token).expect(200);
    for token in ["nothing-that-was-issued", &token] {
        for mechanism in MECHANISMS {
            // It takes the 401 of userinfo for a fault. Nobody is let in either way.
            let outcome = Mail::open(&server).sign_in(mechanism, USER, token);
            assert_eq!(outcome, Outcome::Unavailable, "{mechanism}");
        }
    }
}
