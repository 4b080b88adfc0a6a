//! Corpora of bytes: frames of keyd's sockets, rows, attributes of a token.

use serde::Serialize;
use wire::{
    Algorithm, AuditRoot, Class, DeriveLabel, HEADER_LEN, Jwk, KeyState, KeyView, Kid, Purpose,
    REPLY_MAX, Refused, Reply, Request, Sealed, Secret32, Sign, Statement, TokenState, thumbprint,
};

use crate::Seed;

fn point() -> Jwk {
    Jwk::P256 { x: [0x11; 32], y: [0x22; 32] }
}

fn statement(class: Class, from: Option<u64>, until: Option<u64>) -> Statement {
    Statement {
        kid: Kid([7; 16]),
        issuer: "https://as.example".to_owned(),
        algorithm: Algorithm::Es256,
        class,
        public: point(),
        thumbprint: thumbprint(&point()),
        staged_at: 1_700_000_000,
        not_sign_before: from,
        not_sign_after: until,
        serial: 3,
    }
}

fn view() -> KeyView {
    KeyView {
        kid: Kid([7; 16]),
        issuer: "https://as.example".to_owned(),
        algorithm: Algorithm::Rs256,
        class: Class::Token,
        public: Jwk::Rsa { n: vec![0xcd; 256], e: vec![1, 0, 1] },
        state: KeyState::Active,
        staged_at: 1_700_000_000,
        not_sign_before: Some(1_700_000_600),
        not_sign_after: None,
        signatures: 42,
    }
}

fn frame<T: Serialize>(message: &T) -> Vec<u8> {
    wire::encode(0x0102_0304, message, REPLY_MAX).expect("small")
}

/// The message without its header, behind the number of the layout.
fn body(statement: &Statement) -> Vec<u8> {
    let mut body = vec![1];
    body.extend(frame(statement).split_off(HEADER_LEN));
    body
}

fn sealed(statement: &Statement) -> Sealed {
    Sealed { body: body(statement), mac: [9; 32] }
}

pub(crate) fn frames() -> Vec<Seed> {
    let kid = Kid([7; 16]);
    let sign =
        Sign { kid, purpose: Purpose::IdToken, claims: br#"{"iss":"https://as.example"}"#.into() };
    let generate = Request::Generate {
        issuer: "https://as.example".to_owned(),
        algorithm: Algorithm::Es256,
        class: Class::Admin,
    };
    let load = Request::Load(vec![sealed(&statement(Class::Token, None, None)); 2]);
    let status = Reply::Status {
        token: TokenState::Ready,
        keys: vec![view()],
        signatures: 1 << 40,
        refusals: 0,
    };
    let changed = Reply::Changed {
        sealed: sealed(&statement(Class::Audit, Some(1_700_000_600), None)),
        view: view(),
    };
    let mut all = vec![
        ("sign", frame(&Request::Sign(sign))),
        ("public-keys", frame(&Request::PublicKeys)),
        ("load", frame(&load)),
        ("derive", frame(&Request::Derive(DeriveLabel::Cursor))),
        ("generate", frame(&generate)),
        ("activate", frame(&Request::Activate { kid, first: true })),
        ("retire", frame(&Request::Retire(kid))),
        ("destroy", frame(&Request::Destroy(kid))),
        ("seal-audit", frame(&Request::SealAudit(AuditRoot([5; 32])))),
        (
            "pipelined",
            [frame(&Request::Health), frame(&Request::Status), frame(&Request::Health)].concat(),
        ),
        ("reply-signed", frame(&Reply::Signed("a.b.c".to_owned()))),
        ("reply-keys", frame(&Reply::PublicKeys(vec![view(), view()]))),
        ("reply-loaded", frame(&Reply::Loaded { accepted: 3, planted: vec![1, 300] })),
        ("reply-derived", frame(&Reply::Derived(Secret32([3; 32])))),
        ("reply-changed", frame(&changed)),
        ("reply-sealed", frame(&Reply::AuditSealed { kid, signature: vec![1; 64] })),
        ("reply-status", frame(&status)),
        ("reply-refused", frame(&Reply::Refused(Refused::ForeignIssuer))),
        ("nothing", Vec::new()),
        ("too-long", u32::MAX.to_le_bytes().to_vec()),
        ("too-short", vec![8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
        ("no-message", vec![9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    let health = frame(&Request::Health);
    all.push(("cut", health[..health.len() - 1].to_vec()));
    all.push(("trailing", changed_at(&[&health[..], &[0]].concat(), 0, health[0] + 1)));
    all.push(("other-version", changed_at(&health, 4, 2)));
    all.push(("unknown-request", changed_at(&health, HEADER_LEN, 200)));
    // Announces four thousand million statements in five bytes.
    let many = [&[15, 0, 0, 0, 1][..], &[0; 8], &[2, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
    all.push(("hollow-list", many));
    all.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

pub(crate) fn statements() -> Vec<Seed> {
    let row = |statement: &Statement| sealed(statement).to_bytes();
    let staged = row(&statement(Class::Token, None, None));
    let mut rsa = statement(Class::Admin, Some(1), Some(2));
    rsa.algorithm = Algorithm::Rs256;
    rsa.public = Jwk::Rsa { n: vec![0xcd; 512], e: vec![1, 0, 1] };
    let mut p384 = statement(Class::Token, Some(1), None);
    p384.algorithm = Algorithm::Es384;
    p384.public = Jwk::P384 { x: [0x33; 48], y: [0x34; 48] };
    let mut edwards = statement(Class::Token, Some(1), None);
    edwards.algorithm = Algorithm::EdDsa;
    edwards.public = Jwk::Ed25519 { x: [0x44; 32] };
    let all = [
        ("p384", row(&p384)),
        ("edwards", row(&edwards)),
        ("staged", staged.clone()),
        ("active", row(&statement(Class::Token, Some(1_700_000_600), None))),
        ("retired", row(&statement(Class::Audit, Some(1_700_000_600), Some(1_700_001_000)))),
        ("retired-before-active", row(&statement(Class::Token, Some(100), Some(50)))),
        ("retired-unused", row(&statement(Class::Token, None, Some(50)))),
        ("ends-of-time", row(&statement(Class::Token, Some(0), Some(u64::MAX)))),
        ("rsa", row(&rsa)),
        ("only-mac", vec![9; 32]),
        ("short", vec![9; 31]),
        ("nothing", Vec::new()),
        ("other-layout", changed_at(&staged, 32, 2)),
        ("trailing", [&staged[..], &[0]].concat()),
        ("cut", staged[..staged.len() - 1].to_vec()),
        ("unknown-class", changed_at(&staged, 32 + 1 + 16 + 1 + 18 + 1, 9)),
    ];
    all.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

pub(crate) fn points_and_moduli() -> Vec<Seed> {
    let bare = [&[0x04][..], &[0x11; 64]].concat();
    let wrapped = [&[0x04, 0x41][..], &bare].concat();
    let p384 = [&[0x04][..], &[0x33; 96]].concat();
    let all = [
        ("point-384", p384.clone()),
        ("point-384-wrapped", [&[0x04, 0x61][..], &p384].concat()),
        ("point-384-compressed", [&[0x03][..], &[0x33; 96]].concat()),
        ("edwards", vec![0x44; 32]),
        ("edwards-wrapped", [&[0x04, 0x20][..], &[0x44; 32]].concat()),
        ("edwards-wrong-length", [&[0x04, 0x21][..], &[0x44; 32]].concat()),
        ("point", bare.clone()),
        ("point-wrapped", wrapped.clone()),
        ("point-like-a-wrapping", [&[0x04, 0x41][..], &[0x22; 63]].concat()),
        ("modulus-2048", vec![0xcd; 256]),
        ("modulus-4096", vec![0xcd; 512]),
        ("modulus-leading-zero", [&[0][..], &[0x80; 256]].concat()),
        ("modulus-3071", [&[0x40][..], &[0xff; 383]].concat()),
        ("modulus-2047", [&[0x7f][..], &[0xff; 255]].concat()),
        ("modulus-1024", vec![0xff; 128]),
        ("modulus-4097", [&[1][..], &[0; 512]].concat()),
        ("zeros", vec![0; 256]),
        ("compressed", [&[0x02][..], &[0x11; 32]].concat()),
        ("hybrid", changed_at(&bare, 0, 0x06)),
        ("wrong-tag", changed_at(&wrapped, 0, 0x03)),
        ("long-form-length", [&[0x04, 0x81, 0x41][..], &bare].concat()),
        ("cut", bare[..64].to_vec()),
        ("nothing", Vec::new()),
    ];
    all.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

pub(crate) fn proxy_headers() -> Vec<Seed> {
    let header = |command: u8, family: u8, rest: &[u8]| {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length, rest].concat()
    };
    let v4 = [198, 51, 100, 7, 192, 0, 2, 1, 0x1f, 0x90, 1, 0xbb];
    let v6 =
        [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[7], &[0; 15], &[1, 0x1f, 0x90, 1, 0xbb]].concat();
    let mapped = [&[0; 10][..], &[0xff, 0xff, 198, 51, 100, 7], &[0; 20]].concat();
    let with = |extensions: &[u8]| header(0x21, 0x11, &[&v4[..], extensions].concat());
    let plain = with(&[]);
    let longest = [&[4, 1, 0xf9][..], &[0; 505]].concat();
    let all = [
        ("tcp4", plain.clone()),
        ("tcp6", header(0x21, 0x21, &v6)),
        ("tcp6-mapped", header(0x21, 0x21, &mapped)),
        ("extensions", with(&[0xEA, 0, 3, 1, b'v', b'p', 4, 0, 1, 0, 2, 0, 0])),
        ("longest", with(&longest)),
        ("then-tls", [&plain[..], &[0x16, 3, 1, 2, 0]].concat()),
        ("local", header(0x20, 0, &[])),
        ("local-with-block", header(0x20, 0x31, &[1; 216])),
        ("too-long", with(&[&longest[..], &[0; 3]].concat())),
        ("unspecified", header(0x21, 0, &[])),
        ("unix", header(0x21, 0x31, &[0; 216])),
        ("udp4", header(0x21, 0x12, &v4)),
        ("short-of-addresses", header(0x21, 0x11, &v4[..11])),
        ("tcp4-as-tcp6", header(0x21, 0x21, &v4)),
        ("trailing", with(&[4, 0])),
        ("hollow-extension", with(&[4, 0xff, 0xff, 0])),
        ("other-version", changed_at(&plain, 12, 0x11)),
        ("other-command", changed_at(&plain, 12, 0x22)),
        ("other-signature", changed_at(&plain, 11, b'\r')),
        ("cut", plain[..27].to_vec()),
        ("text", b"PROXY TCP4 198.51.100.7 192.0.2.1 8080 443\r\n".to_vec()),
        ("tls", vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
        ("nothing", Vec::new()),
    ];
    all.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

fn changed_at(bytes: &[u8], at: usize, value: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] = value;
    bytes
}
