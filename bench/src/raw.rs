//! What the token can do: `C_Sign` in a loop, with keys of the same kind and the same mechanisms as keyd's,
//! one session for each thread.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use wire::Algorithm;

use crate::child::say;
use crate::processor::used;

/// OID 1.2.840.10045.3.1.7 (prime256v1), DER.
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// OID 1.3.132.0.34 (secp384r1), DER.
const P384: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
/// OID 1.3.101.112 (id-Ed25519), DER.
const ED25519: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];
/// As long as the input of a usual token.
const MESSAGE: usize = 700;

/// A rate, and what one signature costs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Signatures {
    /// Of the algorithm.
    pub algorithm: Algorithm,
    /// Threads, each with a session of its own; or requests under way at once.
    pub at_once: usize,
    /// Signatures per second.
    pub rate: f64,
    /// Processor time of whoever signs for one, in microseconds.
    pub each_us: f64,
}

/// The part: makes a key pair of each kind in the token, and signs with each for `length` on one thread and on all.
pub fn measure(module: &Path, label: &str, pin: &Path, length: Duration) {
    let module = Pkcs11::new(module).unwrap();
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let slot = module
        .get_slots_with_initialized_token()
        .unwrap()
        .into_iter()
        .find(|slot| module.get_token_info(*slot).is_ok_and(|token| token.label() == label))
        .expect("a token with this label");
    let pin = SecretString::from(std::fs::read_to_string(pin).unwrap().trim().to_owned());
    let maker = module.open_rw_session(slot).unwrap();
    maker.login(UserType::User, Some(&pin)).unwrap();
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut results = Vec::new();
    for algorithm in Algorithm::ALL {
        let key = make_key(&maker, algorithm);
        for threads in [1, cores] {
            results.push(sign(&module, slot, key, (algorithm, threads, length)));
        }
    }
    say(&results);
}

fn make_key(session: &Session, algorithm: Algorithm) -> ObjectHandle {
    let mut public = vec![Attribute::Token(true), Attribute::Verify(true)];
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
    ];
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
            public.push(Attribute::ModulusBits(2048.into()));
            public.push(Attribute::PublicExponent(vec![1, 0, 1]));
            Mechanism::RsaPkcsKeyPairGen
        }
    };
    session.generate_key_pair(&mechanism, &public, &private).unwrap().1
}

fn sign(
    module: &Pkcs11,
    slot: Slot,
    key: ObjectHandle,
    (algorithm, threads, length): (Algorithm, usize, Duration),
) -> Signatures {
    let sessions: Vec<Session> =
        (0..threads).map(|_| module.open_ro_session(slot).unwrap()).collect();
    let before = used(std::process::id());
    let began = Instant::now();
    let count: u32 = thread::scope(|scope| {
        let threads: Vec<_> = sessions
            .into_iter()
            .map(|session| {
                scope.spawn(move || {
                    let (mechanism, input) = operation(algorithm);
                    let mut count = 0;
                    while began.elapsed() < length {
                        session.sign(&mechanism, key, &input).unwrap();
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let count = f64::from(count);
    Signatures {
        algorithm,
        at_once: threads,
        rate: count / began.elapsed().as_secs_f64(),
        each_us: used(std::process::id()).saturating_sub(before).as_secs_f64() * 1e6 / count,
    }
}

/// A digest, for RS256 with its `DigestInfo` around it: 19 bytes more; for Ed25519 a message.
fn operation(algorithm: Algorithm) -> (Mechanism<'static>, Vec<u8>) {
    match algorithm {
        Algorithm::Es256 => (Mechanism::Ecdsa, vec![7; 32]),
        Algorithm::Es384 => (Mechanism::Ecdsa, vec![7; 48]),
        Algorithm::Rs256 => (Mechanism::RsaPkcs, vec![7; 51]),
        Algorithm::Ps256 => {
            let (hash_alg, mgf) = (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256);
            let padding = PkcsPssParams { hash_alg, mgf, s_len: 32.into() };
            (Mechanism::RsaPkcsPss(padding), vec![7; 32])
        }
        Algorithm::EdDsa => {
            let pure = EddsaParams::new(EddsaSignatureScheme::Pure);
            (Mechanism::Eddsa(pure), vec![7; MESSAGE])
        }
    }
}
