//! Objects in the token: what they are made of, how they are found, and what is read back before one is
//! believed.

use aws_lc_rs::rand;
use cryptoki::error::Error;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use wire::{Algorithm, Jwk, Kid};

use super::fault::Brief;
use crate::jws::{self, Verifier};

/// OID 1.2.840.10045.3.1.7 (prime256v1), DER.
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// OID 1.3.132.0.34 (secp384r1), DER.
const P384: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
/// OID 1.3.101.112 (id-Ed25519, RFC 8410), DER.
const ED25519: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];
const RSA_BITS: u64 = 2048;
const MAC_KEY_BYTES: u64 = 32;

/// Why an operation did not succeed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The module said no.
    Call(Error),
    /// There is no such object, or more than one.
    Missing,
    /// What came back failed a check.
    Unsound,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Call(error) => Brief(error).fmt(f),
            Self::Missing => f.write_str("not exactly one such object"),
            Self::Unsound => f.write_str("the answer failed a check"),
        }
    }
}

/// A fresh key id.
pub(super) fn random_id() -> Result<[u8; 16], Trouble> {
    let mut id = [0; 16];
    rand::fill(&mut id).map_err(|_| Trouble::Unsound)?;
    Ok(id)
}

/// The mechanisms that `algorithm` needs: to make a key, and to sign.
pub(super) fn needs(algorithm: Algorithm) -> [MechanismType; 2] {
    let makes = match algorithm {
        Algorithm::Es256 | Algorithm::Es384 => MechanismType::ECC_KEY_PAIR_GEN,
        Algorithm::Rs256 | Algorithm::Ps256 => MechanismType::RSA_PKCS_KEY_PAIR_GEN,
        Algorithm::EdDsa => MechanismType::ECC_EDWARDS_KEY_PAIR_GEN,
    };
    [makes, signs(algorithm).mechanism_type()]
}

/// The mechanism that signs what [`jws::to_be_signed`] makes.
pub(super) fn signs(algorithm: Algorithm) -> Mechanism<'static> {
    match algorithm {
        Algorithm::Es256 | Algorithm::Es384 => Mechanism::Ecdsa,
        Algorithm::Rs256 => Mechanism::RsaPkcs,
        // RFC 7518 §3.5: "The size of the salt value is the same size as the hash function output", and MGF1
        // uses the same hash function.
        Algorithm::Ps256 => Mechanism::RsaPkcsPss(PkcsPssParams {
            hash_alg: MechanismType::SHA256,
            mgf: PkcsMgfType::MGF1_SHA256,
            s_len: 32_u64.into(),
        }),
        Algorithm::EdDsa => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
    }
}

/// Finds the one object of a class with this id. `TOKEN` is in the template because copies in sessions
/// outlive their originals.
pub(super) fn find(
    session: &Session,
    class: ObjectClass,
    kid: Kid,
) -> Result<ObjectHandle, Trouble> {
    let template = [Attribute::Class(class), Attribute::Token(true), Attribute::Id(kid.0.to_vec())];
    match session.find_objects(&template)?.as_slice() {
        [only] => Ok(*only),
        _ => Err(Trouble::Missing),
    }
}

/// Deletes every object with this id; how many there were.
pub(super) fn destroy_all(session: &Session, kid: Kid) -> Result<usize, Error> {
    let template = [Attribute::Token(true), Attribute::Id(kid.0.to_vec())];
    let found = session.find_objects(&template)?;
    for object in &found {
        session.destroy_object(*object)?;
    }
    Ok(found.len())
}

/// Makes a key pair. In the token (`kept`), or only in this session for a self-test. After an error something
/// of a kept one may be there.
pub(super) fn make_pair(
    session: &Session,
    algorithm: Algorithm,
    kid: Kid,
    kept: bool,
) -> Result<Jwk, Trouble> {
    let label = format!("opentrusty:{}", algorithm.name()).into_bytes();
    let shared = [Attribute::Token(kept), Attribute::Id(kid.0.to_vec()), Attribute::Label(label)];
    let mut public = shared.to_vec();
    public.extend([
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::Encrypt(false),
        Attribute::Wrap(false),
    ]);
    let mut private = shared.to_vec();
    private.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ]);
    let mechanism = match algorithm {
        Algorithm::Es256 => {
            public.push(Attribute::EcParams(P256.to_vec()));
            Mechanism::EccKeyPairGen
        }
        Algorithm::Es384 => {
            public.push(Attribute::EcParams(P384.to_vec()));
            Mechanism::EccKeyPairGen
        }
        Algorithm::EdDsa => {
            public.push(Attribute::EcParams(ED25519.to_vec()));
            Mechanism::EccEdwardsKeyPairGen
        }
        Algorithm::Rs256 | Algorithm::Ps256 => {
            public.push(Attribute::ModulusBits(RSA_BITS.into()));
            public.push(Attribute::PublicExponent(vec![1, 0, 1]));
            Mechanism::RsaPkcsKeyPairGen
        }
    };
    let (public, private) = session.generate_key_pair(&mechanism, &public, &private)?;
    let sound = prove(session, algorithm, public, private);
    if !kept {
        for object in [private, public] {
            if let Err(error) = session.destroy_object(object) {
                tracing::warn!(error = %Brief(&error), "a key stays in the session");
            }
        }
    }
    sound
}

/// Reads back what the module made of our template, and lets the key sign once.
fn prove(
    session: &Session,
    algorithm: Algorithm,
    public: ObjectHandle,
    private: ObjectHandle,
) -> Result<Jwk, Trouble> {
    if !cannot_leave(session, private)? {
        return Err(Trouble::Unsound);
    }
    let jwk = read_public(session, algorithm, public)?;
    let verifier = Verifier::new(algorithm, &jwk).ok_or(Trouble::Unsound)?;
    let message = b"opentrusty self-test";
    let input = jws::to_be_signed(algorithm, message);
    let signature = session.sign(&signs(algorithm), private, &input)?;
    if verifier.accepts(message, &signature) { Ok(jwk) } else { Err(Trouble::Unsound) }
}

/// Whether this key was made in the token and could never be read out of it.
pub(super) fn cannot_leave(session: &Session, key: ObjectHandle) -> Result<bool, Trouble> {
    let wanted = [
        (AttributeType::Sensitive, Attribute::Sensitive(true)),
        (AttributeType::AlwaysSensitive, Attribute::AlwaysSensitive(true)),
        (AttributeType::Extractable, Attribute::Extractable(false)),
        (AttributeType::NeverExtractable, Attribute::NeverExtractable(true)),
        (AttributeType::Local, Attribute::Local(true)),
    ];
    let found = session.get_attributes(key, &wanted.clone().map(|(name, _)| name))?;
    Ok(wanted.iter().all(|(_, value)| found.contains(value)))
}

/// The public half, from the public object.
pub(super) fn read_public(
    session: &Session,
    algorithm: Algorithm,
    public: ObjectHandle,
) -> Result<Jwk, Trouble> {
    let names: &[AttributeType] = match algorithm {
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => &[AttributeType::EcPoint],
        Algorithm::Rs256 | Algorithm::Ps256 => {
            &[AttributeType::Modulus, AttributeType::PublicExponent]
        }
    };
    let values = session.get_attributes(public, names)?;
    let jwk = match (algorithm, values.as_slice()) {
        (Algorithm::Es256, [Attribute::EcPoint(point)]) => Jwk::from_p256_point(point),
        (Algorithm::Es384, [Attribute::EcPoint(point)]) => Jwk::from_p384_point(point),
        (Algorithm::EdDsa, [Attribute::EcPoint(point)]) => Jwk::from_ed25519_point(point),
        (
            Algorithm::Rs256 | Algorithm::Ps256,
            [Attribute::Modulus(n), Attribute::PublicExponent(e)],
        ) => Jwk::from_rsa(n, e),
        _ => return Err(Trouble::Unsound),
    };
    jwk.map_err(|_| Trouble::Unsound)
}

/// The MAC keys of this label that were made in the token, lowest id first. Two nodes on one token may have
/// made one each at the same moment; the order is the same for both.
pub(super) fn mac_keys(session: &Session, label: &str) -> Result<Vec<ObjectHandle>, Trouble> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    let mut keys = Vec::new();
    for key in session.find_objects(&template)? {
        // One that was brought in from outside is known to somebody outside.
        if !cannot_leave(session, key)? {
            tracing::error!(label, "ALARM: a MAC key that was not made in the token is ignored");
            continue;
        }
        let id = session.get_attributes(key, &[AttributeType::Id])?;
        let [Attribute::Id(id)] = id.as_slice() else { return Err(Trouble::Unsound) };
        keys.push((id.clone(), key));
    }
    keys.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

/// Makes the MAC key of this label unless there is one; whether it made one.
pub(super) fn ensure_mac_key(session: &Session, label: &str) -> Result<bool, Trouble> {
    if !mac_keys(session, label)?.is_empty() {
        return Ok(false);
    }
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Verify(false),
        Attribute::Encrypt(false),
        Attribute::Decrypt(false),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Id(random_id()?.to_vec()),
        Attribute::ValueLen(MAC_KEY_BYTES.into()),
    ];
    session.generate_key(&Mechanism::GenericSecretKeyGen, &template)?;
    tracing::info!(label, "made a MAC key");
    if mac_keys(session, label)?.is_empty() { Err(Trouble::Unsound) } else { Ok(true) }
}
