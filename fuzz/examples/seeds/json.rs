//! Corpora of JSON: claims, client metadata, tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::{Seed, named};

pub(crate) fn claims() -> Vec<Seed> {
    let nested = |n: usize| format!("{{\"a\":{}1{}}}", "[".repeat(n), "]".repeat(n)).into_bytes();
    let mut seeds = named(&[
        (
            "access-token",
            r#"{"iss":"https://as.example","sub":"s","aud":["a","b"],"exp":1160,"iat":1100,"jti":"00000000-0000-0000-0000-000000000000","client_id":"app","scope":"openid read","auth_time":90,"amr":["pwd"]}"#,
        ),
        ("empty", "{}"),
        ("white-space", " \t\r\n{ \"a\" : [ 1 , true , null ] } \n"),
        (
            "numbers",
            r#"{"a":-0,"b":1e2,"c":0.1,"d":18446744073709551615,"e":-9223372036854775808,"f":1E-400}"#,
        ),
        ("same-name-apart", r#"{"a":{"x":1},"b":{"x":1}}"#),
        ("escapes", "{\"a\\u0000\\\"\\\\:\":\"\\ud83d\\ude00\u{1f600}\"}"),
        ("duplicate", r#"{"sub":"a","sub":"b"}"#),
        ("duplicate-deep", r#"{"act":{"sub":"a","sub":"b"}}"#),
        ("duplicate-escaped", r#"{"sub":1,"\u0073ub":2}"#),
        ("duplicate-in-array", r#"{"a":[{"x":1,"x":1}]}"#),
        ("duplicate-empty-name", r#"{"":1,"":2}"#),
        ("array", "[]"),
        ("text", "\"a\""),
        ("two-objects", "{} {}"),
        ("cut", "{\"a\":1"),
        ("trailing-comma", "{\"a\":1,}"),
        ("byte-order-mark", "\u{feff}{}"),
        ("not-a-number", "{\"a\":NaN}"),
        ("huge-number", "{\"a\":1e999}"),
        ("lone-surrogate", r#"{"a":"\ud800"}"#),
        ("control", "{\"a\":\"\n\"}"),
        ("comment", "{/*a*/}"),
    ]);
    seeds.push(("deepest".to_owned(), nested(15)));
    seeds.push(("too-deep".to_owned(), nested(16)));
    seeds.push(("much-too-deep".to_owned(), nested(2000)));
    seeds.push(("not-utf8".to_owned(), b"{\"a\":\"\xff\"}".to_vec()));
    seeds
}

pub(crate) fn client_metadata() -> Vec<Seed> {
    named(&[
        ("least", r#"{"redirect_uris":["https://a.example/cb"]}"#),
        (
            "most",
            r#"{"client_name":"Shop","redirect_uris":["https://a.example/cb","http://127.0.0.1/cb"],"post_logout_redirect_uris":["https://a.example/bye"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"client_secret_post","scope":"openid offline_access read","audiences":["https://api.example"],"skip_authorization":true,"require_pkce":false,"refresh_retry_s":30,"access_token_lifetime":300,"refresh_token_lifetime":86400,"id_token_signed_response_alg":"ES256"}"#,
        ),
        ("machine", r#"{"grant_types":["client_credentials"],"scope":"read"}"#),
        (
            "public",
            r#"{"redirect_uris":["com.example.app:/cb"],"token_endpoint_auth_method":"none"}"#,
        ),
        (
            "nulls",
            r#"{"client_name":null,"redirect_uris":["https://a.example/cb"],"jwks":null,"scope":null}"#,
        ),
        (
            "trimmed-name",
            "{\"client_name\":\" \u{a0}Caf\u{e9}\u{3000}\",\"redirect_uris\":[\"https://a.example/\"]}",
        ),
        (
            "repeated-values",
            r#"{"redirect_uris":["https://a.example/","https://a.example/"],"grant_types":["authorization_code","authorization_code"],"scope":"b a b"}"#,
        ),
        (
            "edges",
            r#"{"grant_types":[],"scope":"","refresh_retry_s":0,"access_token_lifetime":30,"refresh_token_lifetime":31536000}"#,
        ),
        ("no-uri", r#"{"redirect_uris":[]}"#),
        ("clear-text", r#"{"redirect_uris":["http://a.example/cb"]}"#),
        ("implicit", r#"{"redirect_uris":["https://a.example/cb"],"grant_types":["implicit"]}"#),
        (
            "hybrid",
            r#"{"redirect_uris":["https://a.example/cb"],"response_types":["code","token"]}"#,
        ),
        (
            "public-without-pkce",
            r#"{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"none","require_pkce":false}"#,
        ),
        (
            "public-machine",
            r#"{"grant_types":["client_credentials"],"token_endpoint_auth_method":"none"}"#,
        ),
        ("keys", r#"{"redirect_uris":["https://a.example/cb"],"jwks":{"keys":[]}}"#),
        ("unknown-member", r#"{"redirect_urls":["https://a.example/cb"]}"#),
        (
            "duplicate-member",
            r#"{"scope":"a","scope":"b","redirect_uris":["https://a.example/cb"]}"#,
        ),
        (
            "reversed-name",
            "{\"client_name\":\"Bank\u{202e}kcaH\",\"redirect_uris\":[\"https://a.example/\"]}",
        ),
        (
            "long-lifetime",
            r#"{"redirect_uris":["https://a.example/cb"],"access_token_lifetime":86401}"#,
        ),
        ("negative", r#"{"redirect_uris":["https://a.example/cb"],"refresh_retry_s":-1}"#),
        (
            "alg-none",
            r#"{"redirect_uris":["https://a.example/cb"],"id_token_signed_response_alg":"none"}"#,
        ),
    ])
}

pub(crate) fn tokens() -> Vec<Seed> {
    let b64 = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let token = |header: &str, claims: &str| format!("{}.{}.AAAA", b64(header), b64(claims));
    let plain =
        token(r#"{"alg":"ES256","kid":"AAAAAAAAAAAAAAAAAAAAAA","typ":"at+jwt"}"#, r#"{"sub":"s"}"#);
    let all = [
        ("plain", plain.clone()),
        ("id-token", token(r#"{"typ":"JWT","alg":"RS256"}"#, r#"{"iss":"https://as.example","aud":"app","exp":2,"iat":1,"nonce":"n"}"#)),
        ("unknown-alg", token(r#"{"alg":"none"}"#, "{}")),
        ("unknown-member", token(r#"{"alg":"HS256","cty":"JWT","x":[1]}"#, r#"{"a":{"b":[{}]}}"#)),
        ("white-space", token("{ \"alg\" : \"ES256\" }", "\n{}")),
        ("rfc-7515-a1", "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned()),
        ("unsigned", plain.replace(".AAAA", ".")),
        ("two-parts", plain.replace(".AAAA", "")),
        ("four-parts", format!("{plain}.AAAA")),
        ("five-parts", format!("{plain}.AAAA.AAAA")),
        ("padded", format!("{plain}=")),
        ("last-bits", plain.replace(".AAAA", ".AB")),
        ("standard-alphabet", plain.replace(".AAAA", ".AA+/")),
        ("duplicate-alg", token(r#"{"alg":"ES256","alg":"none"}"#, "{}")),
        ("duplicate-claim", token(r#"{"alg":"ES256"}"#, r#"{"sub":"a","sub":"b"}"#)),
        ("own-key", token(r#"{"alg":"ES256","jwk":{"kty":"EC"}}"#, "{}")),
        ("key-address", token(r#"{"alg":"ES256","jku":"https://evil.example/jwks"}"#, "{}")),
        ("critical", token(r#"{"alg":"ES256","crit":["exp"],"exp":1}"#, "{}")),
        ("alg-number", token(r#"{"alg":256}"#, "{}")),
        ("kid-object", token(r#"{"alg":"ES256","kid":{}}"#, "{}")),
        ("no-alg", token("{}", "{}")),
        ("claims-array", token(r#"{"alg":"ES256"}"#, "[]")),
        ("json-serialisation", r#"{"payload":"e30","signatures":[]}"#.to_owned()),
    ];
    all.into_iter().map(|(name, text)| (name.to_owned(), text.into_bytes())).collect()
}
