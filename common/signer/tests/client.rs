//! The client against the other end of a real socket, which here plays keyd well and badly. Against keyd
//! itself it is tested in `e2e/`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test support")]

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use signer::{Believed, Signer, SignerError, Stated};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use wire::{
    Algorithm, Class, Decoder, DeriveLabel, FRAME_MAX, Jwk, KeyState, KeyView, Kid, Purpose,
    REPLY_MAX, Refused, Reply, Request, Sealed, Secret32,
};

static SOCKETS: AtomicU32 = AtomicU32::new(0);

/// A path for a socket; removed at the end.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let n = SOCKETS.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("signer-test-{}-{n}", std::process::id())))
    }

    fn listen(&self) -> UnixListener {
        let _ = std::fs::remove_file(&self.0);
        UnixListener::bind(&self.0).unwrap()
    }

    fn signer(&self) -> Signer {
        Signer::new(&self.0, rustix::process::getuid().as_raw())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// keyd's end of one connection.
struct Peer {
    stream: UnixStream,
    buffer: Vec<u8>,
    read: VecDeque<(u64, Request)>,
}

impl Peer {
    async fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        Self { stream, buffer: Vec::new(), read: VecDeque::new() }
    }

    /// The next request; `None` when the client has gone.
    async fn next(&mut self) -> Option<(u64, Request)> {
        loop {
            while let Some((id, request, used)) =
                Decoder::new(FRAME_MAX).next(&self.buffer).unwrap()
            {
                self.buffer.drain(..used);
                self.read.push_back((id, request));
            }
            if let Some(next) = self.read.pop_front() {
                return Some(next);
            }
            if self.stream.read_buf(&mut self.buffer).await.unwrap() == 0 {
                return None;
            }
        }
    }

    async fn reply(&mut self, id: u64, reply: &Reply) {
        self.stream.write_all(&wire::encode(id, reply, REPLY_MAX).unwrap()).await.unwrap();
    }
}

fn sign(signer: &Signer, n: u8) -> tokio::task::JoinHandle<Result<String, SignerError>> {
    let signer = signer.clone();
    tokio::spawn(async move { signer.sign(Kid([n; 16]), Purpose::IdToken, vec![n]).await })
}

fn kid_of(request: &Request) -> u8 {
    let Request::Sign(sign) = request else { panic!("{request:?}") };
    sign.kid.0[0]
}

#[tokio::test]
async fn answers_in_any_order_reach_whoever_asked() {
    let place = Place::new();
    let listener = place.listen();
    let signer = place.signer();
    let calls: Vec<_> = (0..200).map(|n| sign(&signer, n)).collect();
    let mut peer = Peer::accept(&listener).await;
    let mut asked = Vec::new();
    for _ in 0..200 {
        asked.push(peer.next().await.unwrap());
    }
    for (id, request) in asked.iter().rev() {
        peer.reply(*id, &Reply::Signed(format!("jws-{}", kid_of(request)))).await;
    }
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), Ok(format!("jws-{n}")));
    }
}

#[tokio::test]
async fn transient_refusals_are_tried_again_and_final_ones_are_not() {
    let place = Place::new();
    let listener = place.listen();
    let signer = place.signer();
    let call = sign(&signer, 1);
    let mut peer = Peer::accept(&listener).await;
    for why in [Refused::Busy, Refused::Unavailable] {
        let (id, _) = peer.next().await.unwrap();
        peer.reply(id, &Reply::Refused(why)).await;
    }
    let (id, _) = peer.next().await.unwrap();
    peer.reply(id, &Reply::Signed("jws".to_owned())).await;
    assert_eq!(call.await.unwrap(), Ok("jws".to_owned()));

    let call = sign(&signer, 2);
    let (id, _) = peer.next().await.unwrap();
    peer.reply(id, &Reply::Refused(Refused::ForeignIssuer)).await;
    assert_eq!(call.await.unwrap(), Err(SignerError::Refused(Refused::ForeignIssuer)));
}

#[tokio::test]
async fn a_token_that_stays_away_is_unavailable_after_two_seconds() {
    let place = Place::new();
    let listener = place.listen();
    let signer = place.signer();
    let began = Instant::now();
    let call = sign(&signer, 1);
    let mut peer = Peer::accept(&listener).await;
    let mut tries = 0;
    let refuse = async {
        while let Some((id, _)) = peer.next().await {
            tries += 1;
            peer.reply(id, &Reply::Refused(Refused::Unavailable)).await;
        }
    };
    let answer = tokio::select! { answer = call => answer.unwrap(), () = refuse => panic!("gone") };
    assert_eq!(answer, Err(SignerError::Unavailable));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1700), "{took:?}");
    assert!((5..50).contains(&tries), "{tries} tries");
}

#[tokio::test]
async fn a_lost_answer_to_sign_is_asked_for_again() {
    let place = Place::new();
    let listener = place.listen();
    let signer = place.signer();
    let call = sign(&signer, 1);
    let mut peer = Peer::accept(&listener).await;
    peer.next().await.unwrap();
    drop(peer);
    let mut peer = Peer::accept(&listener).await;
    let (id, request) = peer.next().await.unwrap();
    assert_eq!(kid_of(&request), 1);
    peer.reply(id, &Reply::Signed("jws".to_owned())).await;
    assert_eq!(call.await.unwrap(), Ok("jws".to_owned()));
}

#[tokio::test]
async fn a_change_to_a_key_is_sent_once_whatever_happens() {
    let place = Place::new();
    let listener = place.listen();
    let signer = place.signer();
    for lose in [true, false] {
        let other = signer.clone();
        let call = tokio::spawn(async move {
            other.generate("https://a.test".to_owned(), Algorithm::Es256, Class::Token).await
        });
        let mut peer = Peer::accept(&listener).await;
        let (id, request) = peer.next().await.unwrap();
        assert!(matches!(request, Request::Generate { .. }));
        if lose {
            drop(peer);
            assert_eq!(call.await.unwrap(), Err(SignerError::Unavailable));
        } else {
            peer.reply(id, &Reply::Refused(Refused::Busy)).await;
            assert_eq!(call.await.unwrap(), Err(SignerError::Refused(Refused::Busy)));
            // The next thing that keyd hears is something else.
            let call = sign(&signer, 9);
            let (id, request) = peer.next().await.unwrap();
            assert_eq!(kid_of(&request), 9);
            peer.reply(id, &Reply::Signed(String::new())).await;
            call.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn w170_a_socket_that_belongs_to_somebody_else_is_not_spoken_to() {
    let place = Place::new();
    let listener = place.listen();
    let signer = Signer::new(&place.0, rustix::process::getuid().as_raw() + 1);
    let call = tokio::spawn(async move { signer.public_keys().await });
    let mut heard = 0;
    let listen = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            heard += stream.read(&mut [0; 64]).await.unwrap();
        }
    };
    let answer = tokio::select! { answer = call => answer.unwrap(), () = listen => panic!() };
    assert_eq!((answer, heard), (Err(SignerError::Unavailable), 0));
}

#[tokio::test]
async fn keyd_may_come_late_but_not_too_late() {
    let place = Place::new();
    let signer = place.signer();
    let began = Instant::now();
    assert_eq!(signer.public_keys().await, Err(SignerError::Unavailable));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1700), "{took:?}");

    let call = tokio::spawn({
        let signer = signer.clone();
        async move { signer.public_keys().await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let listener = place.listen();
    let mut peer = Peer::accept(&listener).await;
    let (id, _) = peer.next().await.unwrap();
    peer.reply(id, &Reply::PublicKeys(Vec::new())).await;
    assert_eq!(call.await.unwrap(), Ok(Vec::new()));
}

#[tokio::test]
async fn nonsense_from_the_other_end_costs_the_connection_and_not_the_answer() {
    let place = Place::new();
    let listener = place.listen();
    let signer = place.signer();
    let stray = wire::encode(u64::MAX, &Reply::Destroyed, REPLY_MAX).unwrap();
    for nonsense in [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), stray] {
        let call = tokio::spawn({
            let signer = signer.clone();
            async move { signer.derive(DeriveLabel::Csrf).await }
        });
        let mut peer = Peer::accept(&listener).await;
        peer.next().await.unwrap();
        peer.stream.write_all(&nonsense).await.unwrap();
        assert!(peer.next().await.is_none(), "the client hangs up");
        let mut peer = Peer::accept(&listener).await;
        let (id, _) = peer.next().await.unwrap();
        peer.reply(id, &Reply::Derived(Secret32([5; 32]))).await;
        assert_eq!(call.await.unwrap(), Ok(Secret32([5; 32])));
    }
}

#[tokio::test]
async fn an_answer_of_the_wrong_kind_is_an_error() {
    let place = Place::new();
    let listener = place.listen();
    let signer = place.signer();
    let call = sign(&signer, 1);
    let mut peer = Peer::accept(&listener).await;
    let (id, _) = peer.next().await.unwrap();
    peer.reply(id, &Reply::Destroyed).await;
    assert_eq!(call.await.unwrap(), Err(SignerError::Protocol));
    let long = signer.sign(Kid([0; 16]), Purpose::IdToken, vec![0; FRAME_MAX]).await;
    assert_eq!(long, Err(SignerError::Protocol), "it fits into no frame");
}

fn view(n: u8, issuer: &str) -> KeyView {
    KeyView {
        kid: Kid([n; 16]),
        issuer: issuer.to_owned(),
        algorithm: Algorithm::EdDsa,
        class: Class::Token,
        state: KeyState::Active,
        public: Jwk::Ed25519 { x: [n; 32] },
        staged_at: 0,
        not_sign_before: Some(0),
        not_sign_after: None,
        signatures: 0,
    }
}

/// keyd's answers to a table that is told it once: what it accepts, and the keys that it knows then.
async fn told(peer: &mut Peer, accepted: u32, keys: Vec<KeyView>) {
    let (id, Request::Load(rows)) = peer.next().await.unwrap() else { panic!() };
    assert_eq!(rows.len(), 3);
    peer.reply(id, &Reply::Loaded { accepted, planted: Vec::new() }).await;
    let (id, Request::PublicKeys) = peer.next().await.unwrap() else { panic!() };
    peer.reply(id, &Reply::PublicKeys(keys)).await;
}

#[tokio::test]
async fn a_row_that_keyd_does_not_know_is_told_again_before_it_is_somebody_elses() {
    let place = Place::new();
    let listener = place.listen();
    let signer = place.signer();
    let kids: Vec<String> = (1..=3).map(|n| Kid([n; 16]).to_string()).collect();
    let sealed = Sealed { body: vec![7; 100], mac: [0; 32] };
    let table = move || {
        let (signer, kids, sealed) = (signer.clone(), kids.clone(), sealed.clone());
        tokio::spawn(async move {
            let row = |kid| Stated { issuer: "https://one", kid, sealed: &sealed };
            let rows: Vec<_> = kids.iter().map(|kid| row(kid)).collect();
            signer.believed(&rows).await
        })
    };
    let all = || vec![view(1, "https://one"), view(2, "https://one"), view(3, "https://one")];

    // It restarted in between, and has forgotten the first.
    let call = table();
    let mut peer = Peer::accept(&listener).await;
    told(&mut peer, 3, all()[1..].to_vec()).await;
    told(&mut peer, 3, all()).await;
    assert_eq!(call.await.unwrap(), Ok(Believed { keys: all(), planted: vec![] }));

    // It does not know the second, and holds the third for another issuer's.
    let call = table();
    let strange = || vec![view(1, "https://one"), view(3, "https://two")];
    told(&mut peer, 2, strange()).await;
    told(&mut peer, 2, strange()).await;
    assert_eq!(call.await.unwrap(), Ok(Believed { keys: strange(), planted: vec![1, 2] }));

    // It has forgotten everything: no set of keys at all, rather than an empty one.
    let call = table();
    told(&mut peer, 3, Vec::new()).await;
    assert_eq!(call.await.unwrap(), Err(SignerError::Unavailable));
}

#[tokio::test]
async fn cancelled_calls_leave_nothing_behind_and_pending_ones_are_bounded() {
    let place = Place::new();
    let listener = place.listen();
    let signer = place.signer();
    let calls: Vec<_> = (0..1024_u32).map(|_| sign(&signer, 1)).collect();
    let mut peer = Peer::accept(&listener).await;
    let mut asked = Vec::new();
    for _ in 0..1024 {
        asked.push(peer.next().await.unwrap().0);
    }
    for call in calls {
        call.abort();
    }
    // keyd still has all of them: there is no place for another.
    assert_eq!(signer.public_keys().await, Err(SignerError::Unavailable));
    for id in asked {
        peer.reply(id, &Reply::Signed(String::new())).await;
    }
    let call = tokio::spawn(async move { signer.public_keys().await });
    let (id, request) = peer.next().await.unwrap();
    assert_eq!(request, Request::PublicKeys);
    peer.reply(id, &Reply::PublicKeys(Vec::new())).await;
    assert_eq!(call.await.unwrap(), Ok(Vec::new()));
    assert!(peer.next().await.is_none(), "the last signer is gone, and so is the connection");
}
