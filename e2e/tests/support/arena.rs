//! What a race of a thousand rounds keeps from one round to the next: a browser that is signed in, connections
//! and a `psql`. So a round costs what it is about.

use e2e::{Browser, Client, Psql, Racer, Response, Stand, Track, bearer, patiently};

use super::{App, Ask, PASSWORD, Tokens, asks_password, assert_bearer_refused, assert_tok, random};

/// The cookie of a session.
pub(crate) const SESSION: &str = "__Host-opentrusty_session";

pub(crate) struct Arena<'a> {
    pub(crate) stand: &'a Stand,
    pub(crate) track: Track,
    pub(crate) psql: Psql,
    /// Without cookies, for clients.
    pub(crate) client: Client,
    /// Signed in.
    pub(crate) browser: Browser,
}

impl<'a> Arena<'a> {
    /// With a browser in which somebody is signed in.
    #[track_caller]
    pub(crate) fn open(stand: &'a Stand, user: &str) -> Self {
        let mut browser = Browser::new(stand.client().keeping());
        browser.open(&format!("{}/login", stand.issuer()));
        browser.submit(&[("username", user), ("password", PASSWORD)]);
        assert!(!asks_password(browser.page()), "{}", browser.page().response.text());
        let client = stand.client().keeping();
        let psql = Psql::connect(stand.database(), "opentrusty_owner");
        Self { stand, track: Track::new(stand.trust()), psql, client, browser }
    }

    /// The same request from everywhere.
    pub(crate) fn race_same(
        &mut self,
        (round, size): (usize, usize),
        one: impl Fn(usize) -> Racer,
    ) -> Vec<Response> {
        let racers: Vec<Racer> = (0..size).map(|number| one((round + number) % 2)).collect();
        self.track.race(&racers)
    }

    /// A race beside statements, of which the transaction is begun before one racer or another.
    pub(crate) fn race_sql(&mut self, round: usize, racers: &[Racer], sql: &str) -> Vec<Response> {
        let psql = &mut self.psql;
        let at = round % (racers.len() + 1);
        let answers = self.track.race_beside(racers, at, || psql.begin(sql));
        self.psql.finish();
        answers
    }

    /// Where the issuer sends the browser for a request that needs nobody's answer.
    #[track_caller]
    pub(crate) fn away(&mut self, url: &str) -> String {
        let client = self.browser.client();
        let start = patiently(|| client.get(url)).location().to_owned();
        let url = format!("{}{start}", self.stand.issuer());
        patiently(|| client.get(&url)).location().to_owned()
    }

    /// A code of a first-party application.
    #[track_caller]
    pub(crate) fn code(&mut self, ask: &Ask) -> String {
        let url = ask.url(self.stand);
        code_of(&self.away(&url))
    }

    /// Tokens of a first-party application.
    #[track_caller]
    pub(crate) fn issue(&mut self, ask: &Ask) -> Tokens {
        let code = self.code(ask);
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", ask.app.redirect),
            ("code_verifier", &ask.pkce.verifier),
        ];
        Tokens::of(&self.token(ask.app, &form))
    }

    /// The token endpoint.
    #[track_caller]
    pub(crate) fn token(&mut self, app: App, form: e2e::Form<'_>) -> Response {
        let url = format!("{}/oauth/token", self.stand.issuer());
        patiently(|| app.post(&mut self.client, &url, form))
    }

    #[track_caller]
    pub(crate) fn refresh(&mut self, app: App, token: &str) -> Response {
        self.token(app, &[("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    pub(crate) fn userinfo(&mut self, token: &str) -> Response {
        let url = format!("{}/oauth/userinfo", self.stand.issuer());
        patiently(|| self.client.get_with(&url, bearer(token)))
    }

    /// Neither token of an answer is worth anything, if it gave some; true when it did.
    #[track_caller]
    pub(crate) fn assert_dead(&mut self, app: App, answer: &Response) -> bool {
        assert!(answer.status < 500, "{}", answer.text());
        if answer.status != 200 || !answer.text().contains("access_token") {
            return false;
        }
        let tokens = Tokens::of(answer);
        assert_bearer_refused(&self.userinfo(&tokens.access));
        if !tokens.refresh.is_empty() {
            assert_tok(&self.refresh(app, &tokens.refresh), "invalid_grant");
        }
        true
    }

    /// Now and then: so many refusals in a row would be taken for guessing, and are not what is tested.
    pub(crate) fn forgive(&mut self, round: usize) {
        if round.is_multiple_of(50) {
            self.psql.run("DELETE FROM throttles;");
        }
    }

    /// Sign the browser in anew as `user`, without a password: a session as the sign-in makes it.
    pub(crate) fn renew_session(&mut self, user: &str) {
        let secret = format!("ots_{}", random());
        self.psql.run(&format!(
            "INSERT INTO sessions (id, secret_hash, user_id, amr, expires_at)
             SELECT gen_random_uuid(), sha256('{secret}'), id, '{{pwd}}', now() + interval '8 hours'
             FROM users WHERE email = '{user}';"
        ));
        self.browser.client().put_cookie(SESSION, &secret);
    }
}

/// The code in an address.
#[track_caller]
pub(crate) fn code_of(location: &str) -> String {
    let url = url::Url::parse(location).unwrap();
    let code =
        url.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned());
    code.unwrap_or_else(|| panic!("no code: {location}"))
}

/// The one answer that succeeded; all others say `invalid_grant`.
#[track_caller]
pub(crate) fn only_winner(answers: &[Response]) -> &Response {
    let (won, lost): (Vec<&Response>, Vec<&Response>) =
        answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1, "{:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
    for answer in lost {
        assert_tok(answer, "invalid_grant");
    }
    won[0]
}
