use super::*;

/// The generator of P-256 (FIPS 186-4 §D.1.2.3), and so a real point.
const X: &str = "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY";
const Y: &str = "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU";

fn ec() -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y})
}

fn rsa(modulus: &[u8]) -> Value {
    json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"})
}

fn with(mut key: Value, name: &str, value: Value) -> Value {
    key[name] = value;
    key
}

fn set(keys: &[Value]) -> Value {
    json!({ "keys": keys })
}

#[test]
fn each_kind_is_read_and_written_in_one_spelling() {
    let p384 = json!({
        "kty": "EC", "crv": "P-384",
        "x": URL_SAFE_NO_PAD.encode([1; 48]), "y": URL_SAFE_NO_PAD.encode([2; 48])
    });
    let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([9; 32])});
    let mut named = with(with(ec(), "kid", "k".into()), "alg", "ES256".into());
    for key in [ec(), named.clone(), p384, ed, rsa(&[0xff; 256]), rsa(&[0xff; 512])] {
        assert_eq!(Key::parse(&key).unwrap().to_json(), key);
    }
    // What is not ours to understand is ignored (RFC 7517 §4), and not kept.
    let bare = named.clone();
    for (name, value) in [
        ("use", json!("sig")),
        ("key_ops", json!(["verify"])),
        ("x5c", json!(["MIIB"])),
        ("iat", json!(1)),
    ] {
        named[name] = value;
    }
    assert_eq!(Key::parse(&named).unwrap().to_json(), bare);
}

#[test]
fn w79_nothing_private_or_symmetric_is_a_key() {
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let key = with(ec(), name, "AQAB".into());
        assert_eq!(Key::parse(&key), Err(InvalidKey::Private), "{name}");
    }
    assert_eq!(Key::parse(&json!({"kty": "oct", "k": "AQAB"})), Err(InvalidKey::Private));
    assert_eq!(Key::parse(&json!({"kty": "oct"})), Err(InvalidKey::Private));
}

#[test]
fn w82_coordinates_are_full_size_and_within_the_field() {
    // The prime itself, and the sizes around the right one; other spellings of the right bytes.
    let prime = URL_SAFE_NO_PAD.encode(bounds::P256);
    let below = URL_SAFE_NO_PAD.encode({
        let mut below = bounds::P256;
        below[31] -= 1;
        below
    });
    let (short, long) = (URL_SAFE_NO_PAD.encode([1; 31]), URL_SAFE_NO_PAD.encode([0; 33]));
    let other_bits = format!("{}Z", &X[..42]);
    for bad in [
        &*prime,
        &short,
        &long,
        "",
        &format!("{X}="),
        &format!("{X} "),
        &other_bits,
        "!",
        &"A".repeat(64),
    ] {
        for name in ["x", "y"] {
            let key = with(ec(), name, bad.into());
            assert_eq!(Key::parse(&key), Err(InvalidKey::Point), "{name} {bad}");
        }
    }
    assert!(Key::parse(&with(ec(), "x", below.into())).is_ok());
    assert_eq!(Key::parse(&with(ec(), "crv", "P-384".into())), Err(InvalidKey::Point));
    for crv in ["P-521", "secp256k1", "p-256", "Ed25519"] {
        assert_eq!(Key::parse(&with(ec(), "crv", crv.into())), Err(InvalidKey::Kind), "{crv}");
    }
}

#[test]
fn the_primes_are_those_of_the_curves() {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat();
    assert_eq!(
        hex(&bounds::P256),
        "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"
    );
    assert_eq!(
        hex(&bounds::P384),
        "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff"
    );
}

#[test]
fn w83_weak_and_costly_rsa_keys_have_no_representation() {
    let sized = |bits: usize| {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        modulus[0] >>= (8 - bits % 8) % 8;
        modulus
    };
    for (bits, ok) in [(512, false), (2047, false), (2048, true), (4096, true), (4097, false)] {
        assert_eq!(Key::parse(&rsa(&sized(bits))).is_ok(), ok, "{bits} bits");
    }
    assert_eq!(Key::parse(&rsa(&sized(32_768))), Err(InvalidKey::Rsa));
    let mut even = sized(2048);
    even[255] = 0xfe;
    assert_eq!(Key::parse(&rsa(&even)), Err(InvalidKey::Rsa));
    let leading = [&[0], &sized(2048)[..]].concat();
    assert_eq!(Key::parse(&rsa(&leading)), Err(InvalidKey::Rsa));
    for e in ["AQ", "Aw", "AAEAAQ", "AQAC", "AQAB=", "AQABAA", ""] {
        let key = with(rsa(&sized(2048)), "e", e.into());
        assert_eq!(Key::parse(&key), Err(InvalidKey::Rsa), "{e}");
    }
}

#[test]
fn points_of_small_order_are_no_keys() {
    let mut one = [0; 32];
    one[0] = 1;
    let mut signed = one;
    signed[31] = 0x80;
    for point in [[0; 32], one, signed] {
        let key = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(point)});
        assert_eq!(Key::parse(&key), Err(InvalidKey::Point));
    }
}

#[test]
fn w78_a_key_verifies_its_own_algorithms_only() {
    let all =
        [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
    let fitting = |key: Value| {
        let key = Key::parse(&key).unwrap();
        all.into_iter().filter(|alg| key.fits(*alg)).collect::<Vec<_>>()
    };
    assert_eq!(fitting(ec()), [Algorithm::Es256]);
    assert_eq!(fitting(rsa(&[0xff; 256])), [Algorithm::Rs256, Algorithm::Ps256]);
    let pss = with(rsa(&[0xff; 256]), "alg", "PS256".into());
    assert_eq!(fitting(pss), [Algorithm::Ps256]);
    for alg in ["none", "HS256", "ES384", "RS256", "ES256K", "es256", "ECDH-ES"] {
        let key = with(ec(), "alg", alg.into());
        assert_eq!(Key::parse(&key), Err(InvalidKey::Algorithm), "{alg}");
    }
}

#[test]
fn keys_for_something_else_are_refused() {
    for (name, value, error) in [
        ("use", json!("enc"), InvalidKey::Use),
        ("key_ops", json!(["sign"]), InvalidKey::Use),
        ("key_ops", json!("verify"), InvalidKey::Use),
        ("use", json!(1), InvalidKey::Shape),
        ("kid", json!(""), InvalidKey::Kid),
        ("kid", json!("x".repeat(256)), InvalidKey::Kid),
        ("kid", json!("a\n"), InvalidKey::Kid),
        ("kid", json!(7), InvalidKey::Shape),
        ("kty", json!("AKP"), InvalidKey::Kind),
        ("kty", json!(null), InvalidKey::Shape),
    ] {
        assert_eq!(Key::parse(&with(ec(), name, value.clone())), Err(error), "{name} {value}");
    }
    assert_eq!(Key::parse(&json!([])), Err(InvalidKey::Shape));
}

#[test]
fn w90_w139_a_set_has_twenty_keys_at_most_and_each_name_once() {
    let named = |n: usize| with(ec(), "kid", format!("k{n}").into());
    let many = |n: usize| set(&(0..n).map(named).collect::<Vec<_>>());
    assert!(KeySet::parse(&many(20)).is_ok());
    for (bad, error) in [
        (many(21), InvalidKey::Count),
        (many(0), InvalidKey::Count),
        (set(&[named(1), named(1)]), InvalidKey::Repeated),
        (set(&[named(1), with(rsa(&[0xff; 256]), "kid", "k1".into())]), InvalidKey::Repeated),
        (json!({}), InvalidKey::Shape),
        (json!([ec()]), InvalidKey::Shape),
        (json!({"keys": {}}), InvalidKey::Shape),
        (set(&[json!("x")]), InvalidKey::Shape),
    ] {
        assert_eq!(KeySet::parse(&bad), Err(error), "{bad}");
    }
    let whole = KeySet::parse(&set(&[named(1), ec(), rsa(&[0xff; 256])])).unwrap();
    assert_eq!(KeySet::parse(&whole.to_json()), Ok(whole));
}

#[test]
fn a_published_set_may_hold_what_is_not_for_us_but_nothing_private() {
    let foreign = [
        with(ec(), "use", "enc".into()),
        with(ec(), "crv", "P-521".into()),
        rsa(&[0xff; 128]),
        json!(1),
    ];
    for key in &foreign {
        assert!(KeySet::parse(&set(&[ec(), key.clone()])).is_err(), "{key}");
        let published = KeySet::published(&set(&[ec(), key.clone()])).unwrap();
        assert_eq!(published.iter().count(), 1, "{key}");
    }
    assert_eq!(KeySet::published(&set(&[])).unwrap().iter().count(), 0);
    let leaked = set(&[ec(), with(ec(), "d", X.into())]);
    assert_eq!(KeySet::published(&leaked), Err(InvalidKey::Private));
    let twice = set(&[with(ec(), "kid", "k".into()), with(ec(), "kid", "k".into())]);
    assert_eq!(KeySet::published(&twice), Err(InvalidKey::Repeated));
    assert_eq!(KeySet::published(&set(&vec![json!(1); 21])), Err(InvalidKey::Count));
}

#[test]
fn w80_a_kid_is_looked_up_exactly_and_its_absence_is_no_choice() {
    let named = with(ec(), "kid", "k1".into());
    let keys = KeySet::parse(&set(&[named.clone(), rsa(&[0xff; 256])])).unwrap();
    let one = |kid, alg| match keys.named(kid, alg) {
        Named::One(key) => Some(key.to_json()),
        Named::Unknown | Named::Unfit => None,
    };
    assert_eq!(one(Some("k1"), Algorithm::Es256), Some(named.clone()));
    assert_eq!(one(None, Algorithm::Es256), Some(named.clone()));
    assert_eq!(keys.named(Some("k1"), Algorithm::Rs256), Named::Unfit);
    for kid in ["k", "k11", "K1", "../../dev/null", "' OR 1=1", ""] {
        assert_eq!(keys.named(Some(kid), Algorithm::Es256), Named::Unknown, "{kid}");
    }
    assert_eq!(keys.named(None, Algorithm::EdDsa), Named::Unknown);
    let two = KeySet::parse(&set(&[named, with(ec(), "kid", "k2".into())])).unwrap();
    assert_eq!(two.named(None, Algorithm::Es256), Named::Unfit);
}
