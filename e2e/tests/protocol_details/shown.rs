//! Every element in words, before the person who decides, whichever door it came by; and the same, no more and no
//! less, in what comes of it.

use e2e::{Page, tokens};
use serde_json::{Value, json};

use crate::support::*;
use crate::{DOORS, Door, OPEN, PAYER, alone, ask, payment, together};

/// One element on a page: its sentence, the values that are marked in it, and the list after it.
#[derive(Debug, PartialEq)]
struct Item {
    sentence: String,
    marked: Vec<String>,
    rest: Vec<(String, String)>,
}

fn items(page: &Page) -> Vec<Item> {
    let html = page.response.text();
    let one = |inner: &str| {
        let mut part = page.clone();
        let inner = inner.split("</li>").next().unwrap();
        let (sentence, list) = inner.split_once("<dl>").unwrap_or((inner, ""));
        part.response.body = list.as_bytes().to_vec();
        let rest = part.texts("dt").into_iter().zip(part.texts("dd")).collect();
        part.response.body = sentence.as_bytes().to_vec();
        let marked = part.texts("strong");
        part.response.body = format!("<p>{sentence}</p>").into_bytes();
        Item { sentence: part.texts("p").remove(0), marked, rest }
    };
    html.split("<li class=\"detail\">").skip(1).map(one).collect()
}

/// The page on which `PAYER` asks for details, of nobody who decides yet.
#[track_caller]
fn asking(stand: &e2e::Stand, details: &Value) -> Page {
    let mut browser = signed_in(stand, CLEO);
    let page = browser.open(&ask(PAYER, &details.to_string()).url(stand)).clone();
    assert!(asks_consent(&page), "{}", page.response.text());
    assert_always(&page.url, &page.response);
    page
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn w64_what_is_asked_for_is_shown_granted_and_told_to_whom_it_concerns() {
    let stand = alone();
    let long = "many words ".repeat(30);
    let all = json!([
        payment(&json!({ "creditor": "Söhne & Co", "actions": ["initiate", "status"], "locations": ["orders-api"] })),
        { "type": OPEN, "note": "look", "flag": true, "deep": { "a": [1, { "b": null }], "c": {} },
          "locations": [OTHER] },
        { "type": OPEN, "note": long.trim() }
    ]);
    let expected = [
        Item {
            sentence: "Pay 12.50 EUR to Söhne & Co".to_owned(),
            marked: vec!["12.50".to_owned(), "EUR".to_owned(), "Söhne & Co".to_owned()],
            rest: vec![pair("actions", "initiate, status"), pair("locations", "orders-api")],
        },
        Item {
            sentence: "Do as follows: look".to_owned(),
            marked: vec!["look".to_owned()],
            rest: vec![
                pair("deep.a.1", "1"),
                pair("deep.a.2.b", "null"),
                pair("deep.c", "{ }"),
                pair("flag", "true"),
                pair("locations", OTHER),
            ],
        },
        Item {
            sentence: "Do as follows: …".to_owned(),
            marked: vec!["…".to_owned()],
            rest: vec![pair("note", long.trim())],
        },
    ];
    let jwks = stand.client().get(&format!("{}/.well-known/jwks.json", stand.issuer())).json();
    for door in DOORS {
        println!("{door:?}");
        let (got, page) = door.through(&stand, PAYER, &all);
        if let Some(page) = page {
            assert_eq!(items(&page), expected);
        }
        assert_eq!(got.reply["authorization_details"], all, "an array, RFC 9396 §7");
        let claims = tokens::verify(&got.access, &jwks, stand.issuer(), "orders-api").unwrap();
        assert_eq!(claims["authorization_details"], all, "RFC 9396 §9.1");
        if !got.id.is_empty() {
            assert_eq!(tokens::claims(&got.id).get("authorization_details"), None);
        }
        let own = PAYER.introspect(&stand, &got.access).expect(200).json();
        assert_eq!(own["authorization_details"], all);
        let theirs = ORDERS.introspect(&stand, &got.access).expect(200).json();
        assert_eq!(theirs["active"], true);
        assert_eq!(theirs["authorization_details"], json!([all[0], all[2]]), "RFC 9396 §9.2");
        for stranger in [TWIN, WEB, RIVAL] {
            assert_inactive(&stranger.introspect(&stand, &got.access));
        }
        if !got.refresh.is_empty() {
            let kept = PAYER.introspect(&stand, &got.refresh).expect(200).json();
            assert_eq!(kept["authorization_details"], all);
            let again = Tokens::of(&PAYER.refresh(&stand, &got.refresh));
            assert_eq!(again.reply["authorization_details"], all);
        }
        if door != Door::Itself {
            let served = userinfo(&stand, &got.access).expect(200).json();
            assert_eq!(served.get("authorization_details"), None);
        }
    }
    // To whom nothing of it concerns, nothing is said.
    let elsewhere = json!([payment(&json!({ "locations": [OTHER] }))]);
    let (got, _) = Door::Itself.through(&stand, PAYER, &elsewhere);
    let theirs = ORDERS.introspect(&stand, &got.access).expect(200).json();
    assert_eq!((&theirs["active"], theirs.get("authorization_details")), (&json!(true), None));
    assert!(!theirs.to_string().contains("Acme"), "{theirs}");
}

#[test]
fn w64_w114_markup_in_values_and_names_is_text() {
    let stand = together();
    let evil = "<script>alert(1)</script></li></ul><form action=\"https://evil.example\"><b>";
    let details = json!([
        payment(&json!({ "creditor": evil })),
        { "type": OPEN, "note": "a\"b'c&amp;d", evil: evil, "<dt>x": ["<i>", "</dd>"] }
    ]);
    let page = asking(&stand, &details);
    let html = page.response.text();
    for raw in ["<script", "<form action=\"https://evil", "<b>", "<i>", "<dt>x"] {
        assert!(!html.contains(raw), "{raw}: {html}");
    }
    assert_eq!(html.matches("<form").count(), 1);
    let shown = items(&page);
    assert_eq!(shown[0].marked[2], evil);
    assert_eq!(shown[1].marked, ["a\"b'c&amp;d"]);
    assert_eq!(shown[1].rest, [pair("<dt>x", "<i>, </dd>"), pair(evil, evil)]);
}

/// Characters that show nothing, or that change how others are read.
const UNSEEN: [char; 40] = [
    '\u{1}',
    '\u{1b}',
    '\u{7f}',
    '\u{85}',
    '\u{ad}',
    '\u{34f}',
    '\u{61c}',
    '\u{115f}',
    '\u{1160}',
    '\u{17b4}',
    '\u{17b5}',
    '\u{180b}',
    '\u{180e}',
    '\u{180f}',
    '\u{200b}',
    '\u{200c}',
    '\u{200d}',
    '\u{200e}',
    '\u{200f}',
    '\u{2028}',
    '\u{2029}',
    '\u{202a}',
    '\u{202d}',
    '\u{202e}',
    '\u{2060}',
    '\u{2064}',
    '\u{2066}',
    '\u{2069}',
    '\u{206a}',
    '\u{206f}',
    '\u{2800}',
    '\u{3164}',
    '\u{fe00}',
    '\u{feff}',
    '\u{ffa0}',
    '\u{fff9}',
    '\u{1bca0}',
    '\u{1d173}',
    '\u{e0041}',
    '\u{e0100}',
];

#[test]
fn w64_w123_nothing_is_invisible_or_turned_round() {
    let stand = together();
    for chunk in UNSEEN.chunks(10) {
        let elements: Vec<Value> = chunk
            .iter()
            .map(|c| json!({ "type": OPEN, "note": format!("A{c}B"), format!("na{c}me"): format!("C{c}") }))
            .collect();
        let page = asking(&stand, &json!(elements));
        for (item, c) in items(&page).iter().zip(chunk) {
            let code = u32::from(*c);
            assert_eq!(item.marked, ["A\u{fffd}B"], "U+{code:04X} in a sentence");
            assert_eq!(item.rest, [pair("na\u{fffd}me", "C\u{fffd}")], "U+{code:04X} in the list");
        }
    }
    // What is there and empty, or blank, is not nothing.
    for blank in ["", " ", "\n\t", "\u{a0}", "\u{2003}\u{3000}", "\u{fe0f}"] {
        let details = json!([{ "type": OPEN, "note": blank, "x": blank, "list": [blank, blank] }]);
        let shown = items(&asking(&stand, &details)).remove(0);
        for text in shown.marked.iter().chain(shown.rest.iter().map(|(_, value)| value)) {
            assert!(text.contains('“') && text.contains('”'), "{blank:?}: {shown:?}");
        }
        assert_eq!(shown.rest.len(), 2);
    }
    let empty =
        json!([{ "type": OPEN, "": "the empty name", "list": [], "object": {}, "null": null }]);
    let shown = items(&asking(&stand, &empty)).remove(0);
    assert_eq!(shown.marked, ["—"], "the note is missing");
    let rest = [("“”", "the empty name"), ("list", "[ ]"), ("null", "null"), ("object", "{ }")];
    assert_eq!(shown.rest, rest.map(|(name, value)| pair(name, value)));
}

#[test]
fn w64_long_and_many_values_are_shown_to_their_end() {
    let stand = together();
    let word = |n: usize| format!("{n}-{}", "w".repeat(100));
    let many: Vec<String> = (0..60).map(word).collect();
    let open: serde_json::Map<String, Value> =
        (0..40).map(|n| (format!("member{n:02}"), json!(n))).collect();
    let mut last = json!({ "type": OPEN, "note": "last" });
    last.as_object_mut().unwrap().extend(open);
    let mut elements = vec![
        payment(&json!({ "creditor": "z".repeat(3000) })),
        json!({ "type": OPEN, "many": many }),
    ];
    elements.extend((0..13).map(|n| payment(&json!({ "count": n + 1 }))));
    elements.push(last);
    assert_eq!(elements.len(), 16);
    // Too long for a query; a client pushes it.
    let mut browser = signed_in(&stand, CLEO);
    let url = crate::front(&stand, &ask(PAYER, &json!(elements).to_string()));
    let page = browser.open(&url).clone();
    let shown = items(&page);
    assert_eq!(shown.len(), 16);
    assert_eq!(shown[0].rest, [("creditor".to_owned(), "z".repeat(3000))]);
    assert_eq!(shown[1].rest, [("many".to_owned(), many.join(", "))]);
    for (n, item) in shown[2..15].iter().enumerate() {
        assert_eq!(item.rest, [pair("count", &(n + 1).to_string())]);
    }
    assert_eq!(shown[15].rest.len(), 40);
}
