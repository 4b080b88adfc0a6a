//! What is no assertion of a client: one answer to all of it, everywhere, and nothing changes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
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

#[test]
fn w73_w74_w75_w76_w77_claims_that_are_not_for_us_now_and_once() {
    let stand = alone();
    let rp = Rp::seeded(&stand, "bad-claims", "ES256");
    let (issuer, now) = (stand.issuer().to_owned(), crate::now(&stand));
    let port = issuer.rsplit(':').next().unwrap();
    let good = json!({ "iss": rp.app.id, "sub": rp.app.id, "aud": issuer, "exp": now + 200, "jti": random() });
    let mut all: Vec<(&str, Value)> = Vec::new();
    for aud in [
        json!(format!("{issuer}/")),
        json!([issuer]),
        json!([issuer, "https://other.example"]),
        json!([]),
        json!({}),
        json!(null),
        json!(1),
        json!(""),
        json!(format!("{issuer}/oauth/token")),
        json!(format!("{issuer}/oauth/par")),
        json!(format!("{issuer}/oauth/introspect")),
        json!(format!("{issuer}/t/acme")),
        json!(format!("{issuer}/t/rival")),
        json!(issuer.to_uppercase()),
        json!(issuer.replace("https", "http")),
        json!(format!("https://LOCALHOST:{port}")),
        json!("https://other.example"),
        json!(rp.app.id),
        json!(stand.api()),
    ] {
        all.push(("aud", aud));
    }
    for exp in [
        json!(now),
        json!(now - 1),
        json!(now - 3600),
        // A few seconds may pass until it is looked at.
        json!(now + 600),
        json!(now + 86_400),
        json!(4_102_444_800_u64),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(-1),
        json!(0),
        json!(1e308),
        json!(f64::from(u32::try_from(now + 100).unwrap())),
        json!((now + 100).to_string()),
        json!(null),
        json!([now + 100]),
        json!(true),
    ] {
        all.push(("exp", exp));
    }
    for name in ["iat", "nbf"] {
        for time in [
            json!(now + 400),
            json!(now + 86_400),
            json!(-1),
            json!(0.5),
            json!(now.to_string()),
            json!(null),
            json!(1e308),
            json!([]),
        ] {
            all.push((name, time));
        }
    }
    for jti in [json!(""), json!(1), json!(null), json!(["a"]), json!("x".repeat(256)), json!({})] {
        all.push(("jti", jti));
    }
    for name in ["iss", "sub"] {
        for id in [
            json!(TWIN.id),
            json!("BAD-CLAIMS"),
            json!("bad-claims "),
            json!(null),
            json!([rp.app.id]),
            json!(1),
        ] {
            all.push((name, id));
        }
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
    let twin = with(&with(&good, "iss", json!(TWIN.id)), "sub", json!(TWIN.id));
    cases.push(("another client".to_owned(), rp.key.assertion(&twin)));
    let url = format!("{issuer}/{}", rp.app.id);
    let urls = with(&with(&good, "iss", json!(url)), "sub", json!(url));
    cases.push(("a name that is a URL".to_owned(), rp.key.assertion(&urls)));
    all_refused(&stand, &cases);
    // Not for nothing: the same without a fault.
    assert!(crate::comes_in(&stand, &rp.key.assertion(&with(&good, "exp", json!(now + 250)))));
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
        let good = rp.key.assertion(&claims);
        let parts: Vec<&str> = good.split('.').collect();
        let (input, signature) = good.rsplit_once('.').unwrap();
        let mut cases: Vec<(String, String)> = Vec::new();
        let mut add = |what: &str, text: String| cases.push((what.to_owned(), text));
        // The algorithm is the key's, whatever the header says; the signature is made with the key.
        for alg in [
            "none", "None", "nOnE", "NONE", "", "HS256", "RS512", "ES512", "RS1", "es256", "ES256K",
        ] {
            let header = json!({ "alg": alg, "kid": rp.key.kid });
            add(alg, rp.key.jws(&header.to_string(), claims.to_string().as_bytes()));
            add("unsigned", format!("{}.{}.", b64(header.to_string()), parts[1]));
        }
        for alg in ALGORITHMS.into_iter().filter(|other| *other != algorithm) {
            let header = json!({ "alg": alg, "kid": rp.key.kid });
            add(alg, rp.key.jws(&header.to_string(), claims.to_string().as_bytes()));
        }
        for alg in [json!(null), json!(1), json!([algorithm])] {
            let header = json!({ "alg": alg, "kid": rp.key.kid });
            add("alg", rp.key.jws(&header.to_string(), claims.to_string().as_bytes()));
        }
        // W79: what everybody knows is no secret.
        let mut secrets = rp.key.pasted();
        secrets.push(ours.to_string().into_bytes());
        secrets.push(ours["keys"][0].to_string().into_bytes());
        secrets.push(Vec::new());
        for secret in secrets {
            for alg in ["HS256", algorithm] {
                let header = json!({ "alg": alg, "kid": rp.key.kid });
                add("hmac", hs256(&secret, &header, &claims));
            }
        }
        // W80: nobody brings a key of his own, and a kid is a name and nothing else.
        let thief = Key::new(algorithm, rp.key.kid);
        add("another's key", thief.assertion(&claims));
        for (name, value) in [
            ("jwk", thief.jwk()),
            ("jwk", rp.key.jwk()),
            ("jku", json!("https://evil.example/jwks")),
            ("x5u", json!("https://evil.example/cert")),
            ("x5c", json!(["MIIB"])),
            ("x5t", json!("AAAA")),
            // W81.
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
            for key in [&rp.key, &thief] {
                let mut header = rp.key.header();
                header[name] = value.clone();
                add(name, key.jws(&header.to_string(), claims.to_string().as_bytes()));
            }
        }
        // W81: other forms.
        add("a JWE", format!("{good}.AAAA.AAAA"));
        let json = json!({ "payload": parts[1], "protected": parts[0], "signature": signature });
        add("JSON", json.to_string());
        add("general JSON", json!({ "payload": parts[1], "signatures": [json] }).to_string());
        let nested = json!({ "alg": algorithm, "kid": rp.key.kid, "cty": "JWT" });
        add("a JWT in a JWT", rp.key.jws(&nested.to_string(), good.as_bytes()));
        // W82, W84.
        let raw = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature).unwrap();
        let mut flipped = raw.clone();
        flipped[0] ^= 1;
        for (what, text) in [
            ("zeros", b64(vec![0; raw.len()])),
            ("ones", b64(vec![0xff; raw.len()])),
            ("a bit", b64(&flipped)),
            ("short", b64(&raw[1..])),
            ("long", b64([&raw[..], &[0]].concat())),
            ("padded", URL_SAFE.encode(&raw) + if raw.len().is_multiple_of(3) { "=" } else { "" }),
            ("standard", STANDARD.encode(&raw) + "="),
            ("space", format!("{signature} ")),
            ("line", format!("{signature}\n")),
            ("part", format!("{signature}.")),
        ] {
            add(what, format!("{input}.{text}"));
        }
        add("leading space", format!(" {good}"));
        add("padded header", format!("{}=.{}.{signature}", parts[0], parts[1]));
        add(
            "other claims",
            format!(
                "{}.{}.{signature}",
                parts[0],
                b64(with(&claims, "exp", json!(crate::now(&stand) + 100)).to_string())
            ),
        );
        add(
            "other header",
            format!(
                "{}.{}.{signature}",
                b64(json!({ "alg": algorithm, "kid": rp.key.kid }).to_string()),
                parts[1]
            ),
        );
        all_refused(&stand, &cases);
        assert!(crate::comes_in(&stand, &good), "it was good all the while");
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
