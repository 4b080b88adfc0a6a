//! Corpora of requests that a person decides elsewhere.

use crate::{Seed, named};

pub(crate) fn user_codes() -> Vec<Seed> {
    named(&[
        ("shown", "WDJB-MJHT"),
        ("lower", "wdjb mjht"),
        ("scattered", " w-D j--B mJ-H t "),
        ("bare", "BCDFGHJK"),
        ("short", "WDJB-MJH"),
        ("long", "WDJB-MJHT-X"),
        ("vowel", "WDAB-MJHT"),
        ("digit", "WDJB-MJH7"),
        ("dash", "WDJB\u{2010}MJHT"),
        ("wide", "\u{ff37}DJB-MJHT"),
        ("tab", "WDJB\tMJHT"),
        ("empty", ""),
    ])
}

pub(crate) fn device_requests() -> Vec<Seed> {
    named(&[
        ("plain", "scope=openid+email&client_id=app"),
        ("defaults", "client_id=app"),
        ("audience", "scope=read&resource=urn%3Aapi&audience=https%3A%2F%2Fapi.example"),
        ("empty-scope", "scope=&client_id=app"),
        ("foreign-scope", "scope=openid+write"),
        ("reserved-scope", "scope=openid+opentrusty%3Aadmin"),
        ("reserved-ciba", "scope=opentrusty%3Aciba"),
        ("foreign-audience", "scope=openid&audience=urn%3Aother"),
        ("repeated", "scope=openid&scope=openid"),
        ("malformed-scope", "scope=a%22b"),
        ("bad-escape", "scope=%zz"),
    ])
}

pub(crate) fn ciba_requests() -> Vec<Seed> {
    named(&[
        ("address", "-scope=openid&login_hint=ana%40example.org"),
        ("sub", "-scope=openid+email&login_hint=0aZ_-"),
        ("id-token", "-scope=openid&id_token_hint=e30.e30.AAAA"),
        (
            "everything",
            "-scope=openid&login_hint=Ana%40Example.org&binding_message=W4SCT&requested_expiry=600&acr_values=a+b",
        ),
        (
            "ping",
            "!scope=openid&login_hint=a&client_notification_token=8d67dc78-7faa-4d41-aabd-67707b374255",
        ),
        ("ping-short", "!scope=openid&login_hint=a&client_notification_token=8d67dc78"),
        ("ping-without", "!scope=openid&login_hint=a"),
        (
            "ping-spaced",
            "!scope=openid&login_hint=a&client_notification_token=8d67dc78+aaaaaaaaaaaaaaaa",
        ),
        ("poll-with-token", "-scope=openid&login_hint=a&client_notification_token=x"),
        ("no-openid", "-scope=email&login_hint=a"),
        ("no-hint", "-scope=openid"),
        ("two-hints", "-scope=openid&login_hint=a&id_token_hint=b"),
        ("hint-token", "-scope=openid&login_hint_token=a"),
        ("signed", "-scope=openid&login_hint=a&request=e30.e30.AAAA"),
        ("user-code", "-scope=openid&login_hint=a&user_code=1234"),
        ("reversed", "-scope=openid&login_hint=a&binding_message=a%E2%80%AEb"),
        ("multiline", "-scope=openid&login_hint=a&binding_message=a%0Ab"),
        ("for-ever", "-scope=openid&login_hint=a&requested_expiry=601"),
        ("signed-expiry", "-scope=openid&login_hint=a&requested_expiry=%2B1"),
        ("reserved", "-scope=openid+opentrusty%3Aciba&login_hint=a"),
    ])
}
