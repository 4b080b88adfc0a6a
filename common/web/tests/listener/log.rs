//! What the log says of a request, and what it never says.

use std::io;
use std::sync::{Arc, Mutex};

use crate::support::Stand;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One thread serves and asks here, so a log of this thread is a log of everything.
#[tokio::test]
async fn w92_the_log_has_method_path_status_and_id_and_nothing_that_was_sent() {
    let sink = Sink::default();
    let writer = sink.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("web=trace")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);

    let stand = Stand::start("log");
    let mut client = stand.http_1().await;
    for path in ["/echo?client_secret=canary", "/a?code=canary", "/missing/?x=canary"] {
        let mut request = client.request("POST", path, "password=canary");
        request.headers_mut().insert("authorization", "Bearer canary".parse().unwrap());
        request.headers_mut().insert("cookie", "__Host-session=canary".parse().unwrap());
        let answer = client.send(request).await.unwrap();
        let said = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let id = answer.headers["x-request-id"].to_str().unwrap();
        let of_this = |line: &&str| line.contains(id) && line.contains("answered");
        let line = said.lines().find(of_this).unwrap_or_else(|| panic!("{said}"));
        assert!(line.contains("method=POST") && line.contains("ms="), "{line}");
        assert!(line.contains(&format!("status={}", answer.status)), "{line}");
        assert!(line.contains(&format!("path=\"{}\"", path.split('?').next().unwrap())), "{line}");
        assert!(!said.contains("canary"), "{said}");
    }
    stand.end().await;
}
