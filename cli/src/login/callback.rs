//! The loopback listener that the browser returns to.
//!
//! Anything on this machine can connect to it: only a request that carries this attempt's `state` counts,
//! and everything else is answered and forgotten. Browsers also open connections that they never use, so
//! no connection waits for another.

use std::sync::Arc;
use std::time::Duration;

use oauth::form::Form;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

use crate::failure::Failure;

/// Longest request head, bytes.
const HEAD_MAX: usize = 16 * 1024;
/// Connections at once.
const CONNECTIONS_MAX: usize = 32;
/// Longest wait for a request head, and for somebody to sign in.
const HEAD: Duration = Duration::from_secs(10);
const SIGN_IN: Duration = Duration::from_secs(300);
/// Pause after a connection could not be accepted.
const AGAIN: Duration = Duration::from_millis(100);

pub(super) struct Callback {
    listener: TcpListener,
    port: u16,
}

impl Callback {
    pub(super) async fn bind() -> Result<Self, Failure> {
        let what = "no port of 127.0.0.1 can be listened on";
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(Failure::io(what))?;
        let port = listener.local_addr().map_err(Failure::io(what))?.port();
        Ok(Self { listener, port })
    }

    pub(super) fn redirect_uri(&self) -> String {
        format!("http://127.0.0.1:{}/callback", self.port)
    }

    /// The answer that carries `state`.
    pub(super) async fn wait(self, state: &str) -> Result<Form, Failure> {
        let (found, mut answers) = mpsc::channel(1);
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let accept = async {
            loop {
                let Ok(permit) = Arc::clone(&room).acquire_owned().await else { continue };
                let Ok((stream, _)) = self.listener.accept().await else {
                    // Too many open files, say: not to be asked again at once.
                    tokio::time::sleep(AGAIN).await;
                    continue;
                };
                let (found, state) = (found.clone(), state.to_owned());
                tokio::spawn(async move {
                    if let Some(answer) = converse(stream, &state).await {
                        // A second answer with the same state comes too late.
                        let _ = found.try_send(answer);
                    }
                    drop(permit);
                });
            }
        };
        tokio::select! {
            () = accept => Err(Failure::refused("nobody can be listened to any more")),
            answer = tokio::time::timeout(SIGN_IN, answers.recv()) => match answer {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) | Err(_) => {
                    Err(Failure::refused(format!("nobody signed in within {} s", SIGN_IN.as_secs())))
                }
            },
        }
    }
}

/// One request and its answer.
async fn converse(mut stream: TcpStream, state: &str) -> Option<Form> {
    let head = tokio::time::timeout(HEAD, read_head(&mut stream)).await.ok()??;
    let answer = answer_in(&head, state);
    let (status, text) = match answer {
        Some(_) => (
            "200 OK",
            "OpenTrusty has heard from your browser. You can close this page and return to the terminal.",
        ),
        None => ("404 Not Found", "There is nothing here."),
    };
    let reply = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nreferrer-policy: no-referrer\r\nx-content-type-options: nosniff\r\n\
         connection: close\r\n\r\n{text}",
        text.len()
    );
    // A browser that has gone away has still brought its answer.
    let _ = tokio::time::timeout(HEAD, stream.write_all(reply.as_bytes())).await;
    answer
}

async fn read_head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::with_capacity(2048);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read_buf(&mut head).await.ok()?;
        if read == 0 || head.len() > HEAD_MAX {
            return None;
        }
    }
    Some(head)
}

/// The parameters of `GET /callback?… HTTP/1.1`, if they are an answer to this attempt.
fn answer_in(head: &[u8], state: &str) -> Option<Form> {
    let line = head.split(|b| *b == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let target = line.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1")?;
    let form = Form::parse(target.strip_prefix("/callback?")?.as_bytes()).ok()?;
    (form.one("state") == Ok(Some(state))).then_some(form)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[test]
    fn only_the_answer_to_this_attempt_counts() {
        let found =
            |line: &str| answer_in(format!("{line}\r\nhost: x\r\n\r\n").as_bytes(), "s").is_some();
        assert!(found("GET /callback?code=c&state=s HTTP/1.1"));
        for line in [
            "GET /callback?code=c HTTP/1.1",
            "GET /callback?code=c&state=t HTTP/1.1",
            "GET /callback?code=c&state=s&state=s HTTP/1.1",
            "GET /callback?code=c&state=s",
            "POST /callback?code=c&state=s HTTP/1.1",
            "GET /other?code=c&state=s HTTP/1.1",
            "GET /callback?state=s%zz HTTP/1.1",
            "",
        ] {
            assert!(!found(line), "{line}");
        }
    }

    #[tokio::test]
    async fn strangers_and_idle_connections_do_not_keep_the_browser_from_returning() {
        let callback = Callback::bind().await.unwrap();
        let port = callback.port;
        let connect = || async move { TcpStream::connect(("127.0.0.1", port)).await.unwrap() };
        let browser = async move {
            let _idle = connect().await;
            let mut stranger = connect().await;
            stranger
                .write_all(b"GET /callback?code=evil&state=guess HTTP/1.1\r\n\r\n")
                .await
                .unwrap();
            let mut said = String::new();
            stranger.read_to_string(&mut said).await.unwrap();
            assert!(said.starts_with("HTTP/1.1 404"), "{said}");
            let mut returning = connect().await;
            returning
                .write_all(b"GET /callback?code=c&state=s HTTP/1.1\r\nhost: x\r\n\r\n")
                .await
                .unwrap();
            let mut said = String::new();
            returning.read_to_string(&mut said).await.unwrap();
            said
        };
        let (answer, said) = tokio::join!(callback.wait("s"), browser);
        assert_eq!(answer.unwrap().one("code"), Ok(Some("c")));
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    }
}
