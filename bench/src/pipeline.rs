//! keyd through its socket, asked by authd's own client as authd's own user, many requests under way.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use signer::Signer;
use wire::{Algorithm, Class, KeyState, Kid, Purpose};

use crate::child::say;

/// Requests under way at once: as many as authd has with 64 busy connections, half of keyd's queue.
pub const AT_ONCE: usize = 64;

/// What the client of keyd saw.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Seen {
    /// Signatures.
    pub count: u32,
    /// From the first request to the last reply, in seconds.
    pub wall_s: f64,
}

/// The part: signs with the active key of one algorithm for `length`.
pub fn measure(socket: PathBuf, keyd_uid: u32, algorithm: Algorithm, length: Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    say(&local.block_on(&runtime, async {
        let signer = Signer::new(socket, keyd_uid);
        pipeline(&signer, algorithm, length).await
    }));
}

async fn pipeline(signer: &Signer, algorithm: Algorithm, length: Duration) -> Seen {
    let keys = signer.public_keys().await.unwrap();
    let key = keys
        .iter()
        .find(|key| {
            (key.algorithm, key.class, key.state) == (algorithm, Class::Token, KeyState::Active)
        })
        .expect("an active key");
    let claims = claims(&key.issuer);
    let count = Rc::new(Cell::new(0_u32));
    let began = Instant::now();
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let asks = ask(signer.clone(), key.kid, claims.clone());
            let count = Rc::clone(&count);
            tokio::task::spawn_local(async move {
                while began.elapsed() < length {
                    asks().await;
                    count.set(count.get() + 1);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    Seen { count: count.get(), wall_s: began.elapsed().as_secs_f64() }
}

fn ask(signer: Signer, kid: Kid, claims: Vec<u8>) -> impl AsyncFn() {
    async move || {
        let jws = signer.sign(kid, Purpose::AccessToken, claims.clone()).await.unwrap();
        assert!(jws.len() > claims.len(), "a signature over other claims");
    }
}

/// As long as those of a real access token.
fn claims(issuer: &str) -> Vec<u8> {
    let now = host::clock::now_s();
    let claims = serde_json::json!({
        "iss": issuer, "sub": "4bTnGqzWQd-JpT0Q7UqvGA", "aud": issuer, "exp": now + 300, "iat": now,
        "jti": "00000000-0000-4000-8000-000000000000", "client_id": "bench", "auth_time": now,
        "scope": "offline_access openid profile", "amr": ["pwd"],
        "sid": "00000000-0000-7000-8000-000000000000",
    });
    claims.to_string().into_bytes()
}
