//! What is no assertion of a client: one answer to all of it, everywhere, and nothing changes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::key::{ALGORITHMS, Key, b64, hs256};
use crate::support::*;
use crate::{DOORS, Rp, TYPE, form_of, told};

/// Each of these gets the very same answer as a client that does not exist, at each door; nothing is stored of it.
#[track_caller]
fn all_refused(stand: &e2e::Stand, cases: &[(String, String)]) {
    let before = digest(stand);
    let mut line = Line::open(stand);
    for door in DOORS {
        let mut ask = |assertion: &str| {
            let form = [&[TYPE, ("client_assertion", assertion)], &form_of(door)[..]].concat();
            line.post(door, &[], &form)
        };
        let stranger = Key::new("EdDSA", "k");
        let claims = json!({ "iss": "nobody", "sub": "nobody", "aud": stand.issuer(),
            "exp": crate::now(stand) + 60, "jti": "1" });
        let unknown = ask(&stranger.assertion(&claims));
        assert_client_refused(&unknown, false);
        for (what, assertion) in cases {
            let answer = ask(assertion);
            assert_eq!(told(&answer), told(&unknown), "{what} at {door}");
        }
    }
    assert_eq!(digest(stand), before);
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// Audiences that are not the issuer as a string.
fn audiences(stand: &e2e::Stand, own: &str) -> Vec<Value> {
    let issuer = stand.issuer();
    let port = issuer.rsplit(':').next().unwrap();
    let mut all = vec![
        json!([issuer]),
        json!([issuer, "https://other.example"]),
        json!([]),
        json!({}),
        json!(null),
        json!(1),
        json!(""),
        json!(issuer.to_uppercase()),
        json!(issuer.replace("https", "http")),
        json!(format!("https://LOCALHOST:{port}")),
        json!("https://other.example"),
        json!(own),
        json!(stand.api()),
    ];
    for path in ["/", "/oauth/token", "/oauth/par", "/oauth/introspect", "/t/acme", "/t/rival"] {
        all.push(json!(format!("{issuer}{path}")));
    }
    all
}

/// Times that are none, are over, or are too far away; a few seconds may pass until one is looked at.
fn times(now: i64) -> Vec<(&'static str, Value)> {
    let float = f64::from(u32::try_from(now + 100).unwrap());
    let mut all: Vec<(&str, Value)> = [
        json!(now),
        json!(now - 1),
        json!(now - 3600),
        json!(now + 600),
        json!(now + 86_400),
        json!(4_102_444_800_u64),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(-1),
        json!(0),
        json!(1e308),
        json!(float),
        json!((now + 100).to_string()),
        json!(null),
        json!([now + 100]),
        json!(true),
    ]
    .map(|exp| ("exp", exp))
    .to_vec();
    for name in ["iat", "nbf"] {
        let text = json!(now.to_string());
        for time in [json!(now + 400), json!(now + 86_400), json!(-1), json!(0.5), text] {
            all.push((name, time));
        }
        all.extend([json!(null), json!(1e308), json!([])].map(|time| (name, time)));
    }
    all
}

#[test]
fn w73_w74_w75_w76_w77_claims_that_are_not_for_us_now_and_once() {
    let stand = alone();
    let rp = Rp::seeded(&stand, "bad-claims", "ES256");
    let (issuer, now, id) = (stand.issuer(), crate::now(&stand), rp.app.id);
    let good = json!({ "iss": id, "sub": id, "aud": issuer, "exp": now + 200, "jti": random() });
    let mut all = times(now);
    all.extend(audiences(&stand, id).into_iter().map(|aud| ("aud", aud)));
    let long = json!("x".repeat(256));
    all.extend(
        [json!(""), json!(1), json!(null), json!(["a"]), long, json!({})].map(|jti| ("jti", jti)),
    );
    for name in ["iss", "sub"] {
        let others = [
            json!(TWIN.id),
            json!("BAD-CLAIMS"),
            json!("bad-claims "),
            json!(null),
            json!([id]),
            json!(1),
        ];
        all.extend(others.map(|other| (name, other)));
    }
    let mut cases: Vec<(String, String)> = all
        .into_iter()
        .map(|(name, value)| {
            (format!("{name} {value}"), rp.key.assertion(&with(&good, name, value)))
        })
        .collect();
    for name in ["iss", "sub", "aud", "exp", "jti"] {
        cases.push((format!("no {name}"), rp.key.assertion(&without(&good, name))));
    }
    // W74: another client's name in all of them, and this one's key.
    for other in [TWIN.id.to_owned(), format!("{issuer}/{id}")] {
        let claims = with(&with(&good, "iss", json!(other)), "sub", json!(other));
        cases.push((other, rp.key.assertion(&claims)));
    }
    all_refused(&stand, &cases);
    // Not for nothing: the same without a fault.
    assert!(crate::comes_in(&stand, &rp.key.assertion(&with(&good, "exp", json!(now + 250)))));
}

/// A good assertion, taken apart.
struct Good<'a> {
    key: &'a Key,
    claims: Value,
    text: String,
}

type Cases = Vec<(String, String)>;

impl Good<'_> {
    /// Its claims under another header, signed.
    fn under(&self, header: &Value) -> String {
        self.key.jws(&header.to_string(), self.claims.to_string().as_bytes())
    }

    /// W78, W79: the algorithm is the key's, whatever the header says, and what everybody knows is no secret.
    fn other_algorithms(&self, ours: &Value) -> Cases {
        let mut cases = Cases::new();
        let payload = b64(self.claims.to_string());
        for alg in [
            "none", "None", "nOnE", "NONE", "", "HS256", "RS512", "ES512", "RS1", "es256", "ES256K",
        ] {
            let header = json!({ "alg": alg, "kid": self.key.kid });
            cases.push((format!("alg {alg}"), self.under(&header)));
            let unsigned = format!("{}.{payload}.", b64(header.to_string()));
            cases.push((format!("unsigned {alg}"), unsigned));
        }
        let others = ALGORITHMS.into_iter().filter(|other| *other != self.key.algorithm);
        for alg in
            others.map(Value::from).chain([json!(null), json!(1), json!([self.key.algorithm])])
        {
            let header = json!({ "alg": alg, "kid": self.key.kid });
            cases.push((format!("alg {alg}"), self.under(&header)));
        }
        let mut secrets = self.key.pasted();
        secrets
            .extend([ours.to_string(), ours["keys"][0].to_string(), String::new()].map(Into::into));
        for secret in secrets {
            for alg in ["HS256", self.key.algorithm] {
                let header = json!({ "alg": alg, "kid": self.key.kid });
                cases.push((format!("hmac as {alg}"), hs256(&secret, &header, &self.claims)));
            }
        }
        cases
    }

    /// W80, W81: nobody brings a key of their own, a `kid` is a name and nothing else, and nothing changes how the
    /// rest is read.
    fn other_headers(&self) -> Cases {
        let thief = Key::new(self.key.algorithm, self.key.kid);
        let mut cases = vec![("another's key".to_owned(), thief.assertion(&self.claims))];
        for (name, value) in [
            ("jwk", thief.jwk()),
            ("jwk", self.key.jwk()),
            ("jku", json!("https://evil.example/jwks")),
            ("x5u", json!("https://evil.example/cert")),
            ("x5c", json!(["MIIB"])),
            ("x5t", json!("AAAA")),
            ("crit", json!(["exp"])),
            ("crit", json!([])),
            ("b64", json!(false)),
            ("zip", json!("DEF")),
            ("typ", json!("at+jwt")),
            ("typ", json!("dpop+jwt")),
            ("typ", json!(1)),
            ("kid", json!(1)),
            ("kid", json!("")),
            ("kid", json!("THE-KEY")),
            ("kid", json!("the-key\u{0}")),
            ("kid", json!("../../dev/null")),
            ("kid", json!("' OR 1=1 --")),
            ("kid", json!("x".repeat(300))),
        ] {
            for key in [self.key, &thief] {
                let header = with(&self.key.header(), name, value.clone());
                let text = key.jws(&header.to_string(), self.claims.to_string().as_bytes());
                cases.push((format!("{name} {value}"), text));
            }
        }
        cases
    }

    /// W81: JOSE in other forms.
    fn other_forms(&self) -> Cases {
        let parts: Vec<&str> = self.text.split('.').collect();
        let json = json!({ "payload": parts[1], "protected": parts[0], "signature": parts[2] });
        let general = json!({ "payload": parts[1], "signatures": [json] });
        let nested = with(&self.key.header(), "cty", json!("JWT")).to_string();
        [
            ("a JWE", format!("{}.AAAA.AAAA", self.text)),
            ("JSON", json.to_string()),
            ("general JSON", general.to_string()),
            ("a JWT in a JWT", self.key.jws(&nested, self.text.as_bytes())),
        ]
        .map(|(what, text)| (what.to_owned(), text))
        .to_vec()
    }

    /// W82, W84: other signatures, and the same one in other letters.
    fn other_signatures(&self, now: i64) -> Cases {
        let parts: Vec<&str> = self.text.split('.').collect();
        let (head, body, signature) = (parts[0], parts[1], parts[2]);
        let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let mut flipped = raw.clone();
        flipped[0] ^= 1;
        let later = with(&self.claims, "exp", json!(now + 100)).to_string();
        let bare = json!({ "alg": self.key.algorithm, "kid": self.key.kid }).to_string();
        [
            ("zeros", format!("{head}.{body}.{}", b64(vec![0; raw.len()]))),
            ("ones", format!("{head}.{body}.{}", b64(vec![0xff; raw.len()]))),
            ("a bit", format!("{head}.{body}.{}", b64(&flipped))),
            ("short", format!("{head}.{body}.{}", b64(&raw[1..]))),
            ("long", format!("{head}.{body}.{}", b64([&raw[..], &[0]].concat()))),
            ("padded", format!("{}=", self.text)),
            ("standard", format!("{head}.{body}.{}=", STANDARD.encode(&raw))),
            ("space after", format!("{} ", self.text)),
            ("space before", format!(" {}", self.text)),
            ("line", format!("{}\n", self.text)),
            ("part", format!("{}.", self.text)),
            ("padded header", format!("{head}=.{body}.{signature}")),
            ("other claims", format!("{head}.{}.{signature}", b64(later))),
            ("other header", format!("{}.{body}.{signature}", b64(bare))),
        ]
        .map(|(what, text)| (what.to_owned(), text))
        .to_vec()
    }
}

#[test]
fn w78_w79_w80_w81_w82_w84_headers_and_signatures_that_prove_nothing() {
    let stand = alone();
    let ids = ["bad-rs256", "bad-ps256", "bad-es256", "bad-es384", "bad-eddsa"];
    let ours = stand.client().get(&format!("{}/.well-known/jwks.json", stand.issuer())).json();
    for (algorithm, id) in ALGORITHMS.into_iter().zip(ids) {
        println!("{algorithm}");
        let rp = Rp::seeded(&stand, id, algorithm);
        let claims = rp.claims(&stand);
        let text = rp.key.assertion(&claims);
        let good = Good { key: &rp.key, claims, text };
        let mut cases = good.other_algorithms(&ours);
        cases.extend(good.other_headers());
        cases.extend(good.other_forms());
        cases.extend(good.other_signatures(crate::now(&stand)));
        all_refused(&stand, &cases);
        assert!(crate::comes_in(&stand, &good.text), "it was good all the while");
    }
}

#[test]
fn w85_w86_text_that_can_be_read_in_two_ways_or_is_too_long() {
    let stand = alone();
    let rp = Rp::seeded(&stand, "bad-text", "EdDSA");
    let (claims, header) = (rp.claims(&stand).to_string(), rp.key.header().to_string());
    let twice = |text: &str, member: &str| text.replacen('{', &format!("{{{member},"), 1);
    let mut cases: Vec<(&str, String)> = Vec::new();
    for member in [
        r#""sub":"twin""#,
        r#""s\u0075b":"twin""#,
        r#""aud":"https://other.example""#,
        r#""exp":1"#,
        r#""x":{"a":1,"a":1}"#,
    ] {
        cases.push((member, rp.key.jws(&header, twice(&claims, member).as_bytes())));
    }
    for member in [r#""alg":"none""#, r#""kid":"other""#, r#""\u0061lg":"EdDSA""#] {
        cases.push((member, rp.key.jws(&twice(&header, member), claims.as_bytes())));
    }
    let bytes = claims.as_bytes();
    let bad_utf8 = claims.replace("\"iat\"", "\"\u{7f}\"").replace('\u{7f}', "?").into_bytes();
    let bad_utf8: Vec<u8> =
        bad_utf8.into_iter().map(|b| if b == b'?' { 0xff } else { b }).collect();
    for (what, payload) in [
        ("BOM", [b"\xef\xbb\xbf", bytes].concat()),
        ("NUL after", [bytes, b"\0"].concat()),
        ("more after", [bytes, b"{}"].concat()),
        ("comma", claims.replace('}', ",}").into_bytes()),
        ("comment", claims.replace('{', "{/**/").into_bytes()),
        ("array", format!("[{claims}]").into_bytes()),
        ("null", b"null".to_vec()),
        ("nothing", Vec::new()),
        ("UTF-16", claims.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ("bad UTF-8", bad_utf8),
        (
            "deep",
            twice(&claims, &format!("\"x\":{}{}", "[".repeat(500), "]".repeat(500))).into_bytes(),
        ),
        ("a lone surrogate", twice(&claims, r#""x":"\ud800""#).into_bytes()),
    ] {
        cases.push((what, rp.key.jws(&header, &payload)));
    }
    let long = twice(&claims, &format!("\"x\":\"{}\"", "x".repeat(8 * 1024)));
    cases.push(("8 KiB", rp.key.jws(&header, long.as_bytes())));
    let wide = twice(&header, &format!("\"x\":\"{}\"", "x".repeat(12 * 1024)));
    cases.push(("a long header", rp.key.jws(&wide, claims.as_bytes())));
    cases.push(("dots", ".".repeat(20_000)));
    cases.push(("two dots", "..".to_owned()));
    cases.push(("no dot", "x".to_owned()));
    cases.push(("letters", "A".repeat(30_000)));
    let cases: Vec<_> = cases.into_iter().map(|(what, text)| (what.to_owned(), text)).collect();
    all_refused(&stand, &cases);
    // A million dots are not even read to their end.
    let form = e2e::query(&[TYPE, ("client_assertion", &".".repeat(1_000_000))]);
    let url = format!("{}/oauth/token", stand.issuer());
    let kind = ("content-type", "application/x-www-form-urlencoded".to_owned());
    // Whether we answer or close while it is being sent, it gets nobody in.
    if let Ok(answer) = stand.client().try_send("POST", &url, &[kind], form.as_bytes()) {
        assert!([400, 401, 413].contains(&answer.status), "{}", answer.status);
    }
    assert!(crate::comes_in(&stand, &rp.assertion(&stand)));
}
