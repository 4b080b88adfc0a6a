//! Corpora of text: queries, headers, URIs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Seed, named};

const CODE: &str = "response_type=code";
const PKCE: &str =
    "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";
const WEB: &str = "client_id=web&redirect_uri=https%3A%2F%2Fapp.example%2Fcb";
const PRIVATE: &str = "client_id=native&redirect_uri=com.example.app%3A%2Fcb";

pub(crate) fn authorize_requests() -> Vec<Seed> {
    let uri =
        |client: &str, uri: &str| format!("client_id={client}&redirect_uri={uri}&scope=openid");
    let port = uri("web", "https%3A%2F%2Fapp.example%3A8443%2Fcb%3Ftenant%3Da");
    let bare = uri("web", "https%3A%2F%2Fapp.example");
    let hostile = uri("web", "https%3A%2F%2Fevil.example%2Fcb");
    let userinfo = uri("web", "https%3A%2F%2Fapp.example%40evil.example%2Fcb");
    let loopback = uri("native", "http%3A%2F%2F127.0.0.1%3A51004%2Fcb");
    let foreign = uri("native", "http%3A%2F%2F127.0.0.1%3A80%40evil.example%2Fcb");
    let localhost = uri("native", "http%3A%2F%2Flocalhost%3A3000%2Fcb");
    let other = uri("other", "https%3A%2F%2Fapp.example%2Fcb");
    let all = [
        ("plain", vec![WEB, CODE, PKCE, "scope=openid+profile&state=st&nonce=n"]),
        ("nonce-instead-of-pkce", vec![WEB, CODE, "scope=openid&nonce=n"]),
        ("default-scopes", vec![WEB, CODE, PKCE]),
        ("registered-query", vec![&port, CODE, PKCE]),
        ("no-path", vec![&bare, CODE, PKCE, "state=%26code%3Dx"]),
        ("form-post", vec![WEB, CODE, PKCE, "response_mode=form_post"]),
        ("everything", vec![WEB, CODE, PKCE, "scope=openid+email&nonce=n", EVERYTHING]),
        ("prompt-none", vec![WEB, CODE, PKCE, "prompt=none"]),
        ("hint", vec![WEB, CODE, PKCE, "prompt=none&id_token_hint=e30.e30.AAAA"]),
        ("max-age-zero", vec![WEB, CODE, PKCE, "max_age=0"]),
        ("select-account", vec![WEB, CODE, PKCE, "prompt=select_account"]),
        ("loopback-port", vec![&loopback, CODE, PKCE]),
        ("localhost", vec![&localhost, CODE, PKCE]),
        ("private-scheme", vec![PRIVATE, CODE, PKCE]),
        ("native-without-pkce", vec![PRIVATE, CODE, "scope=openid&nonce=n"]),
        ("plain-pkce", vec![WEB, CODE, "code_challenge=E9&code_challenge_method=plain"]),
        ("unregistered", vec![&hostile, CODE, PKCE]),
        ("userinfo", vec![&userinfo, CODE, PKCE]),
        ("two-uris", vec![WEB, "redirect_uri=https%3A%2F%2Fevil.example%2Fcb", CODE, PKCE]),
        ("two-clients", vec![WEB, "client_id=native", CODE, PKCE]),
        ("unknown-client", vec![&other, CODE, PKCE]),
        ("foreign-loopback", vec![&foreign, CODE, PKCE]),
        ("implicit", vec![WEB, "response_type=token", PKCE]),
        ("request-object", vec![WEB, CODE, PKCE, "request=eyJhbGciOiJub25lIn0.e30."]),
        ("prompt-none-login", vec![WEB, CODE, PKCE, "prompt=none+login"]),
        ("scope-of-another", vec![WEB, CODE, PKCE, "scope=opentrusty%3Aadmin"]),
        ("audience-of-another", vec![WEB, CODE, PKCE, "resource=https%3A%2F%2Fother.example"]),
        ("max-age-sign", vec![WEB, CODE, PKCE, "max_age=%2B1"]),
        ("state-injection", vec![WEB, CODE, PKCE, "state=%0d%0aLocation:%20https://evil.example"]),
        ("bad-escape", vec![WEB, CODE, "scope=%u006f"]),
    ];
    let long = format!("{WEB}&{CODE}&{PKCE}&state={}", "x".repeat(4097));
    let mut seeds: Vec<Seed> =
        all.into_iter().map(|(name, parts)| (name.to_owned(), parts.join("&").into())).collect();
    seeds.push(("long-state".to_owned(), long.into_bytes()));
    seeds
}

const EVERYTHING: &str = "prompt=login+consent&max_age=300&login_hint=ana%40example.org&resource=https%3A%2F%2Fapi.example&audience=urn%3Aapi";

pub(crate) fn basic() -> Vec<Seed> {
    let header = |text: &[u8]| format!("Basic {}", STANDARD.encode(text)).into_bytes();
    let mut seeds: Vec<Seed> = [
        ("plain", &b"app:0123456789abcdef0123456789abcdef"[..]),
        ("escaped", b"my%3Aapp:p%2Bq+r%25"),
        ("colon-in-secret", b"app:a:b"),
        ("long", &[b"app:".as_slice(), &[b'x'; 600]].concat()),
        ("utf8-secret", "app:s\u{e9}cret".as_bytes()),
        ("too-long", &[b"app:".as_slice(), &[b'x'; 900]].concat()),
        ("no-colon", b"app"),
        ("no-user", b":secret"),
        ("no-secret", b"app:"),
        ("nul", b"app:%00"),
        ("bad-escape", b"app:%zz"),
        ("not-utf8", b"app:\xff"),
        ("space-in-id", b"a+b:secret"),
    ]
    .map(|(name, text)| (name.to_owned(), header(text)))
    .into();
    seeds.extend(named(&[
        ("other-case", "bAsIc YTpi"),
        ("bearer", "Bearer YTpi"),
        ("no-value", "Basic"),
        ("padding-missing", "Basic YTpiYw"),
        ("padding-bits", "Basic YTpiYx=="),
        ("url-alphabet", "Basic YTo-Pz8_"),
        ("trailing-space", "Basic YTpi "),
        ("two-spaces", "Basic  YTpi"),
        ("basically", "BasicYTpi"),
    ]));
    seeds
}

pub(crate) fn cookies() -> Vec<Seed> {
    let mut seeds = named(&[
        ("one", "__Host-opentrusty_session\n__Host-opentrusty_session=ots_abc"),
        ("among-others", "b\na=1; b=2; c=3"),
        ("split-headers", "b\na=1\nb=2\nc=3"),
        ("equals-in-value", "b\nb=x=y"),
        ("empty-value", "b\nb="),
        ("tabs", "b\n\ta=1 ;\tb=2\t"),
        ("quoted", "b\nb=\"x\"; B=3"),
        ("no-space", "b\na=1;b=2;c=3"),
        ("tossed", "b\nb=1; b=2"),
        ("tossed-equal", "b\nb=1\nb=1"),
        ("absent", "b\nab=1; b =2; B=3; b"),
        ("nothing", "b\n"),
        ("only-separators", "b\n;;;;; ;; ="),
        ("prefix-of-name", "session\n__Host-session=1; sessions=2"),
        ("space-in-name", "b\n__Host- b=1"),
        ("bad-name", "a b\na b=1"),
    ]);
    seeds.push(("too-long".to_owned(), format!("b\nb=1; a={}", "x".repeat(16_400)).into_bytes()));
    seeds
}

pub(crate) fn forms() -> Vec<Seed> {
    let mut seeds = named(&[
        (
            "token-request",
            "grant_type=authorization_code&code=otc_x&redirect_uri=https%3A%2F%2Fapp.example%2Fcb",
        ),
        ("plus-and-escape", "a=x+y%2Bz&b=%2541"),
        ("utf8-raw", "name=\u{e9}\u{20ac}"),
        ("utf8-escaped", "name=%C3%A9%e2%82%ac"),
        ("empty-values", "scope=&x=1&&=&=v&y"),
        ("repeated", "x=1&x=1"),
        ("repeated-resource", "resource=a&resource=b&audience=c&audience="),
        ("escaped-name", "%63lient_id=app&client_id=app"),
        ("equals-in-value", "a=b=c=d"),
        ("semicolon", "a=1;b=2"),
        ("empty", ""),
        ("replacement", "a=%ef%bf%bd"),
        ("nul", "a=%00"),
        ("half-escape", "a=%4"),
        ("bare-percent", "a=%"),
        ("unicode-escape", "a=%u0041"),
        ("overlong", "a=%c0%af"),
        ("surrogate", "a=%ed%a0%80"),
        ("line-feed", "a=1\n&b=2"),
        ("delete", "a=\u{7f}"),
    ]);
    let many = |n: usize| vec!["p=1"; n].join("&").into_bytes();
    seeds.push(("hundred".to_owned(), many(100)));
    seeds.push(("hundred-and-one".to_owned(), many(101)));
    seeds.push(("not-utf8".to_owned(), b"a=\xff&b=\xc3".to_vec()));
    seeds
}

pub(crate) fn redirect_uris() -> Vec<Seed> {
    named(&[
        ("web", "https://app.example.com/cb\nhttps://app.example.com/cb"),
        ("web-port", "https://app.example.com:8443/cb?tenant=a\nhttps://app.example.com:8443/cb"),
        ("web-bare", "https://app.example.com\nhttps://app.example.com/"),
        ("web-query-only", "https://app.example.com?x\nhttps://app.example.com"),
        ("web-quote", "https://app.example.com/it's?a='\nhttps://app.example.com/it%27s"),
        ("web-ipv4", "https://192.0.2.7/cb\nhttps://192.0.2.7:443/cb"),
        ("web-punycode", "https://xn--bcher-kva.example/cb\nhttps://b\u{fc}cher.example/cb"),
        ("loopback4", "http://127.0.0.1/cb\nhttp://127.0.0.1:51004/cb"),
        ("loopback6", "http://[::1]:4000/cb\nhttp://[::1]:5000/cb"),
        ("loopback-userinfo", "http://127.0.0.1/cb\nhttp://127.0.0.1:80@evil.example/cb"),
        ("loopback-suffix", "http://127.0.0.1/cb\nhttp://127.0.0.1.evil.example/cb"),
        ("localhost", "http://localhost:3000/cb\nhttp://localhost:3001/cb"),
        ("private", "com.example.app:/cb\ncom.example.app:/cb"),
        ("private-authority", "com.example.app://callback\ncom.example.app://other"),
        ("private-opaque", "com.example.app:cb"),
        ("private-no-url", "com.example.app://host:port/cb"),
        ("private-userinfo", "com.example.app://user@host/cb"),
        ("private-fragment", "com.example.app:/cb#x"),
        ("userinfo", "https://user@app.example.com/cb"),
        ("escaped-userinfo", "https://app.example.com%40evil.example/cb"),
        ("backslash", "https://app.example.com\\@evil.example/cb"),
        ("fragment", "https://app.example.com/cb#x"),
        ("dot-segments", "https://app.example.com/a/../cb"),
        ("escaped-dots", "https://app.example.com/%2e%2E/cb"),
        ("parameter-dots", "https://app.example.com/cb/..;/x"),
        ("double-escape", "https://app.example.com/%252e"),
        ("upper-case", "https://APP.example.com/cb"),
        ("octal-address", "https://0177.1/cb"),
        ("number-address", "https://2130706433/cb"),
        ("mapped-address", "http://[::ffff:127.0.0.1]/cb"),
        ("clear-text", "http://app.example.com/cb"),
        ("script", "javascript:alert(1)"),
        ("dotless-scheme", "myapp://cb"),
        ("full-width", "https://app.example.com\u{ff0f}evil.example/"),
        ("zero-port", "https://app.example.com:0443/cb"),
    ])
}

pub(crate) fn scopes() -> Vec<Seed> {
    let mut seeds = named(&[
        ("openid", "openid"),
        ("several", "openid profile email"),
        ("repeated", "email openid email openidx"),
        ("spaces", "  a   b "),
        ("empty", ""),
        ("edges-of-the-grammar", "! # [ ] ~ }"),
        ("urn", "urn:example:read opentrusty:admin"),
        ("quote", "a\"b"),
        ("backslash", "a\\b"),
        ("tab", "a\tb"),
        ("accent", "caf\u{e9}"),
        ("nul", "a\0b"),
    ]);
    let many = |n: usize| (0..n).map(|i| format!("s{i}")).collect::<Vec<_>>().join(" ");
    let more = [
        ("longest", "x".repeat(100)),
        ("too-long", "x".repeat(101)),
        ("most", many(64)),
        ("too-many", many(65)),
        ("too-wide", "a ".repeat(1025)),
    ];
    seeds.extend(more.map(|(name, text)| (name.to_owned(), text.into_bytes())));
    seeds
}

pub(crate) fn token_requests() -> Vec<Seed> {
    let assertion = |kind: &str| {
        let text = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJhcHAiLCJzdWIiOiJhcHAifQ.AAAA";
        let kind = format!("urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3A{kind}");
        format!("client_assertion={text}&client_assertion_type={kind}")
    };
    let basic = format!("Basic {}", STANDARD.encode("app:0123456789abcdef0123456789abcdef"));
    let code = format!("otc_{}", "A".repeat(43));
    let refresh = format!("otr_{}", "A".repeat(43));
    let body = "A".repeat(43);
    let device = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";
    let ciba = "grant_type=urn%3Aopenid%3Aparams%3Agrant-type%3Aciba";
    let exchange = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token";
    let redeem = format!(
        "grant_type=authorization_code&code={code}&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let renew = format!("grant_type=refresh_token&refresh_token={refresh}");
    let all = [
        ("code-basic", format!("{basic}\n{redeem}")),
        ("code-basic-named", format!("{basic}\n{redeem}&client_id=app")),
        ("code-post", format!("\n{redeem}&client_id=app&client_secret=s")),
        ("code-public", format!("\n{redeem}&client_id=app")),
        ("refresh", format!("\n{renew}&client_id=app&scope=openid+email")),
        ("refresh-narrow", format!("{basic}\n{renew}&resource=a&resource=b&audience=c")),
        ("code-narrow", format!("{basic}\n{redeem}&resource=a&audience=b")),
        ("code-misspelt", format!("{basic}\n{redeem}").replace("otc_A", "otc_.")),
        ("code-last-bits", format!("{basic}\n{redeem}").replace("A&red", "B&red")),
        ("code-for-refresh", format!("{basic}\ngrant_type=refresh_token&refresh_token={code}")),
        ("two-methods", format!("{basic}\n{redeem}&client_secret=s")),
        ("two-names", format!("{basic}\n{redeem}&client_id=other")),
        ("assertion", format!("\n{redeem}&client_id=app&client_assertion=e30.e30.AA")),
        ("assertion-good", format!("\n{redeem}&{}", assertion("jwt-bearer"))),
        ("assertion-named", format!("\n{redeem}&client_id=app&{}", assertion("jwt-bearer"))),
        ("assertion-of-another", format!("\n{redeem}&client_id=b&{}", assertion("jwt-bearer"))),
        ("assertion-saml", format!("\n{redeem}&{}", assertion("saml2-bearer"))),
        ("bearer", format!("Bearer x\n{redeem}&client_id=app")),
        ("nobody", format!("\n{redeem}")),
        ("repeated", format!("{basic}\n{redeem}&code={code}")),
        ("repeated-unknown", format!("{basic}\n{redeem}&x=1&x=2")),
        ("password", format!("{basic}\ngrant_type=password&username=a&password=b")),
        ("credentials", format!("{basic}\ngrant_type=client_credentials")),
        (
            "credentials-narrow",
            format!("{basic}\ngrant_type=client_credentials&scope=a&audience=b"),
        ),
        ("device", format!("\n{device}&device_code=otd_{body}&client_id=app")),
        ("device-misspelt", format!("\n{device}&device_code=otq_{body}&client_id=app")),
        ("device-without", format!("\n{device}&client_id=app")),
        ("ciba", format!("{basic}\n{ciba}&auth_req_id=otq_{body}&resource=a")),
        ("ciba-without", format!("{basic}\n{ciba}&device_code=otd_{body}")),
        ("exchange", format!("{basic}\n{exchange}&subject_token=x")),
        ("exchange-without", format!("{basic}\n{exchange}")),
        ("no-grant", format!("{basic}\ncode={code}")),
        ("no-code", format!("{basic}\ngrant_type=authorization_code")),
        ("bad-scope", format!("{basic}\n{renew}&scope=a%22b")),
        ("bad-escape", format!("{basic}\n{redeem}&x=%zz")),
    ];
    all.into_iter().map(|(name, text)| (name.to_owned(), text.into_bytes())).collect()
}
