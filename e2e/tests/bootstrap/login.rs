//! `opentrusty login`: the real pages, a loopback redirect, and a token that only its user can read.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use e2e::bench::bench;
use e2e::{Options, Stand};
use url::Url;

use crate::{ADMIN, PASSWORD, enrolled, owner, succeeds, text};

/// A person's own folders.
fn home(name: &str) -> PathBuf {
    let home = bench().dir().join(name);
    fs::create_dir_all(&home).unwrap();
    home
}

/// The command as a person with a folder for state runs it.
fn cli(stand: &Stand, home: &PathBuf) -> Command {
    let mut command = stand.cli();
    command.env("HOME", home).env("XDG_STATE_HOME", home.join("state"));
    command
}

struct Login {
    child: Child,
    /// What it asked to be opened.
    url: String,
    rest: BufReader<std::process::ChildStderr>,
}

impl Login {
    fn begin(stand: &Stand, home: &PathBuf, arguments: &[&str]) -> Self {
        let mut command = cli(stand, home);
        command.arg("login").args(arguments);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut rest = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let url = loop {
            let mut line = String::new();
            assert_ne!(rest.read_line(&mut line).unwrap(), 0, "it ended: {said}");
            if let Some(url) = line.split_whitespace().find(|word| word.starts_with("https://")) {
                break url.to_owned();
            }
            said.push_str(&line);
        };
        Self { child, url, rest }
    }

    fn end(mut self) -> Output {
        let mut stderr = Vec::new();
        self.rest.read_to_end(&mut stderr).unwrap();
        let mut output = self.child.wait_with_output().unwrap();
        output.stderr = stderr;
        output
    }
}

/// What a browser does with a redirect to this machine.
fn visit(url: &Url) -> String {
    assert_eq!((url.scheme(), url.host_str()), ("http", Some("127.0.0.1")), "{url}");
    let mut stream = TcpStream::connect(("127.0.0.1", url.port().unwrap())).unwrap();
    let target = format!("{}?{}", url.path(), url.query().unwrap_or_default());
    write!(stream, "GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[track_caller]
fn sign_in(stand: &Stand, home: &PathBuf, arguments: &[&str]) -> Output {
    let login = Login::begin(stand, home, arguments);
    let mut browser = stand.browser();
    browser.open(&login.url);
    browser.submit(&[("username", ADMIN), ("password", PASSWORD)]);
    let answer = visit(&browser.page().away());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    login.end()
}

#[test]
fn login_drives_the_real_pages_and_me_and_keys_answer_the_administrator() {
    let stand = Stand::start(&Options::default());
    enrolled(&stand);
    let home = home("person");
    let output = sign_in(&stand, &home, &[]);
    let printed = succeeds(&output);
    assert!(!printed.contains("eyJ"), "the token is kept, not shown: {printed}");
    let token = home.join("state/opentrusty/token");
    let mode = fs::metadata(&token).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    let folder = fs::metadata(token.parent().unwrap()).unwrap().permissions().mode();
    assert_eq!(folder & 0o077, 0, "{folder:o}");

    let me = succeeds(&cli(&stand, &home).arg("me").output().unwrap());
    assert!(me.contains(ADMIN) && me.contains("platform_admin"), "{me}");
    let keys = succeeds(&cli(&stand, &home).args(["keys", "list"]).output().unwrap());
    assert_eq!(keys.matches("active").count(), 7, "{keys}");

    let staged = cli(&stand, &home)
        .args(["keys", "stage", "--class", "token", "--algorithm", "ES256"])
        .output()
        .unwrap();
    succeeds(&staged);
    let kid = owner(&stand, "SELECT kid FROM signing_keys WHERE state = 'staged'");
    assert_eq!(kid.len(), 22, "{kid}");
    let keys = succeeds(&cli(&stand, &home).arg("keys").output().unwrap());
    assert!(keys.contains(&kid) && keys.contains("staged"), "{keys}");
    let early = cli(&stand, &home).args(["keys", "activate", &kid]).output().unwrap();
    assert_eq!(early.status.code(), Some(1), "{}", text(&early.stderr));
    assert_eq!(text(&early.stderr).lines().count(), 1, "{}", text(&early.stderr));
    let unknown = cli(&stand, &home).args(["keys", "stage", "--class", "root"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(1), "{}", text(&unknown.stderr));

    // An old sign-in still looks, and is told to sign in again for more.
    owner(&stand, "UPDATE grants SET auth_time = now() - interval '10 minutes'");
    succeeds(&cli(&stand, &home).arg("keys").output().unwrap());
    let stale =
        cli(&stand, &home).args(["keys", "stage", "--algorithm", "RS256"]).output().unwrap();
    assert_eq!(stale.status.code(), Some(1));
    assert!(
        text(&stale.stderr).contains("sign in again") || text(&stale.stderr).contains("login"),
        "{}",
        text(&stale.stderr)
    );
    // A session that is over ends the token.
    owner(&stand, "UPDATE sessions SET ended_at = now()");
    let over = cli(&stand, &home).arg("me").output().unwrap();
    assert_eq!(over.status.code(), Some(1), "{over:?}");
}

#[test]
fn login_print_prints_the_token_alone_and_keeps_nothing() {
    let stand = Stand::start(&Options::default());
    enrolled(&stand);
    let home = home("printer");
    let printed = succeeds(&sign_in(&stand, &home, &["--print"]));
    let token = printed.trim();
    assert_eq!(token.split('.').count(), 3, "{printed}");
    assert!(!token.contains(char::is_whitespace));
    let me = format!("{}/api/v1/me", stand.api());
    let who = stand.client().get_with(&me, e2e::bearer(token)).expect(200).json();
    assert_eq!(who["email"], ADMIN);
    assert_eq!(who["client_id"], "opentrusty-cli");
    assert!(!home.join("state").exists(), "nothing is kept");
}

#[test]
fn only_the_answer_to_its_own_request_ends_a_login() {
    let stand = Stand::start(&Options::default());
    enrolled(&stand);
    let home = home("waiting");
    let mut login = Login::begin(&stand, &home, &["--print"]);
    let asked = Url::parse(&login.url).unwrap();
    let parameter = |name: &str| {
        let found = asked.query_pairs().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("no {name} in {asked}")).1.into_owned()
    };
    assert_eq!(parameter("code_challenge_method"), "S256");
    assert!(parameter("state").len() >= 22 && parameter("nonce").len() >= 22);
    let mut callback = Url::parse(&parameter("redirect_uri")).unwrap();
    for query in ["code=evil&state=guess", "code=evil", "error=access_denied&state=guess", ""] {
        callback.set_query(Some(query));
        let answer = visit(&callback);
        assert!(answer.starts_with("HTTP/1.1 4"), "{query}: {answer}");
    }
    assert!(login.child.try_wait().unwrap().is_none(), "it still waits for its own answer");
    // A code of somebody else's making, with the right state and no issuer: refused, and nothing printed.
    callback.set_query(Some(&format!("code=evil&state={}", parameter("state"))));
    visit(&callback);
    let output = login.end();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn a_code_that_login_did_not_ask_for_is_not_exchanged() {
    let stand = Stand::start(&Options::default());
    enrolled(&stand);
    let home = home("mixed");
    // Two logins under way; the code of one is brought to the other, dressed in the other's state.
    let (one, other) =
        (Login::begin(&stand, &home, &["--print"]), Login::begin(&stand, &home, &["--print"]));
    let mut browser = stand.browser();
    browser.open(&one.url);
    browser.submit(&[("username", ADMIN), ("password", PASSWORD)]);
    let code = browser.page().away_parameter("code").unwrap();
    let other_url = Url::parse(&other.url).unwrap();
    let find = |name: &str| {
        other_url.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned()
    };
    let mut callback = Url::parse(&find("redirect_uri")).unwrap();
    let query = e2e::query(&[("code", &code), ("state", &find("state")), ("iss", stand.issuer())]);
    callback.set_query(Some(&query));
    visit(&callback);
    let output = other.end();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    assert_eq!(text(&output.stdout), "", "no token for a code of another attempt");
    // PKCE burned it: the first attempt ends without a token too.
    visit(&browser.page().away());
    let output = one.end();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
}

#[test]
fn a_person_without_a_token_is_told_to_sign_in() {
    let stand = Stand::start(&Options::default());
    let home = home("nobody");
    for arguments in [vec!["me"], vec!["keys"], vec!["keys", "stage"]] {
        let output = cli(&stand, &home).args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("opentrusty login"), "{}", text(&output.stderr));
    }
    // A token file that others can read is not believed to be one's own.
    let path = home.join("state/opentrusty/token");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "nonsense").unwrap();
    let output = cli(&stand, &home).arg("me").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("nonsense"), "{}", text(&output.stderr));
}
