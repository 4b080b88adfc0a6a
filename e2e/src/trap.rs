//! A stranger's server: it counts who connects, writes down what it is asked, and answers as a test says.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Longest wait for a peer that neither speaks nor leaves.
const PATIENCE: Duration = Duration::from_secs(30);

/// What it says to a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These bytes, and the end of the connection.
    Bytes(Vec<u8>),
    /// Nothing, until the peer leaves.
    Silence,
    /// A good head, and then one byte now and then, until the peer leaves.
    Drip,
}

impl Answer {
    /// A status, fields with their line ends, and a body.
    pub fn new(status: u16, fields: &str, body: &str) -> Self {
        let head = format!(
            "HTTP/1.1 {status} Answer\r\n{fields}content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        Self::Bytes([head.as_bytes(), body.as_bytes()].concat())
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The request line without its version.
    pub line: String,
    /// The header fields, one a line, names in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

#[derive(Debug, Default)]
struct Book {
    answers: HashMap<String, Answer>,
    heard: Vec<Heard>,
}

/// The server; it listens until the test's process ends.
#[derive(Debug)]
pub struct Trap {
    address: IpAddr,
    port: u16,
    connections: Arc<AtomicUsize>,
    book: Arc<Mutex<Book>>,
}

impl Trap {
    /// Listen on a loopback address and a free port, with the pair in `folder` (see
    /// [`crate::authority::Leaf`]). What it has no answer for is 404.
    pub fn listen(address: IpAddr, folder: &Path) -> Self {
        Self::listen_at((address, 0), folder)
    }

    /// The same at a port that is chosen.
    pub fn listen_at((address, port): (IpAddr, u16), folder: &Path) -> Self {
        assert!(address.is_loopback());
        let certificates = CertificateDer::pem_file_iter(folder.join("certificate.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates.map(Result::unwrap).collect(), key)
            .unwrap();
        let listener = TcpListener::bind((address, port)).unwrap();
        let trap = Self {
            address,
            port: listener.local_addr().unwrap().port(),
            connections: Arc::default(),
            book: Arc::default(),
        };
        let (connections, book, config) =
            (Arc::clone(&trap.connections), Arc::clone(&trap.book), Arc::new(config));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (book, config) = (Arc::clone(&book), Arc::clone(&config));
                // A peer that leaves early is what some tests are about.
                std::thread::spawn(move || drop(serve(stream, &config, &book)));
            }
        });
        trap
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a path, by address.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}:{}{path}", self.address, self.port)
    }

    /// From now on answer this to whatever asks for a path.
    pub fn answer(&self, path: &str, answer: Answer) {
        book(&self.book).answers.insert(path.to_owned(), answer);
    }

    /// How many have connected, whatever came of it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// What was asked at a path.
    pub fn heard(&self, path: &str) -> Vec<Heard> {
        let at = |heard: &&Heard| heard.line.split(' ').nth(1) == Some(path);
        book(&self.book).heard.iter().filter(at).cloned().collect()
    }

    /// How much was asked, wherever.
    pub fn heard_in_all(&self) -> usize {
        book(&self.book).heard.len()
    }
}

fn book(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(
    stream: TcpStream,
    config: &Arc<ServerConfig>,
    notes: &Mutex<Book>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let heard = request(&mut stream)?;
    let path = heard.line.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = {
        let mut notes = book(notes);
        notes.heard.push(heard);
        notes.answers.get(&path).cloned()
    };
    match answer.unwrap_or_else(|| Answer::new(404, "", "")) {
        Answer::Bytes(bytes) => {
            stream.write_all(&bytes)?;
            stream.conn.send_close_notify();
            stream.flush()
        }
        Answer::Silence => stream.read_to_end(&mut Vec::new()).map(drop),
        Answer::Drip => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n{")?;
            loop {
                stream.write_all(b" ")?;
                stream.flush()?;
                std::thread::park_timeout(Duration::from_millis(100));
            }
        }
    }
}

fn request(stream: &mut impl Read) -> std::io::Result<Heard> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        bytes.extend(byte);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (line, head) = text.split_once("\r\n").unwrap_or_default();
    let head: Vec<String> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| format!("{}: {value}\n", name.to_lowercase()))
        .collect();
    let length = head.iter().find_map(|field| field.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.trim_end().parse().unwrap())];
    stream.read_exact(&mut body)?;
    Ok(Heard {
        line: line.trim_end_matches(" HTTP/1.1").to_owned(),
        head: head.concat(),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
