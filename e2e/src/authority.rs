//! Certificates of a stand's own, to be replaced while it runs: the bench's authority, copied.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::{bench, is_root, run, script, serial};
use crate::http::Connection;

/// A folder of certificates that one stand uses.
#[derive(Clone, Debug)]
pub struct Certificates {
    folder: PathBuf,
}

/// A certificate and its key, not yet in use.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Where `certificate.pem` and `key.pem` lie, in a folder that the daemon's user may enter.
    pub folder: PathBuf,
}

impl Certificates {
    /// The bench's authority and leaves, copied.
    pub fn copied() -> Self {
        let folder = bench().dir().join(format!("tls-{}", serial()));
        copy(&bench().dir().join("tls"), &folder);
        Self { folder }
    }

    /// The folder of a daemon's pair.
    pub fn of(&self, daemon: &str) -> PathBuf {
        self.folder.join(daemon)
    }

    /// What makes a stand use them, for [`crate::Options::set`].
    pub fn settings(&self) -> Vec<(&'static str, &'static str)> {
        let mut set = Vec::new();
        for (daemon, certificate, key) in [
            ("authd", "authd.tls_certificate", "authd.tls_key"),
            ("admind", "admind.tls_certificate", "admind.tls_key"),
        ] {
            set.push((certificate, toml(&self.of(daemon).join("certificate.pem"))));
            set.push((key, toml(&self.of(daemon).join("key.pem"))));
        }
        set
    }

    /// A new leaf of the same authority for a daemon, elsewhere.
    pub fn new_leaf(&self, daemon: &str) -> Leaf {
        let number = serial();
        let work = bench().dir().join(format!("tls-work-{number}"));
        copy(&self.folder, &work);
        fs::remove_file(work.join(daemon).join("certificate.pem")).unwrap();
        let user = match daemon {
            "authd" => &bench().users().authd,
            _ => &bench().users().admind,
        };
        run(script("certificates").arg(&work).arg(format!("{daemon}:{user}")));
        let folder = bench().dir().join(format!("leaf-{number}"));
        copy(&work.join(daemon), &folder);
        Leaf { folder }
    }

    /// Replace one file of a daemon's pair, at once, by another with its owner and mode.
    pub fn put(&self, daemon: &str, name: &str, from: &Path) {
        let new = self.of(daemon).join(format!("{name}.new"));
        copy(from, &new);
        fs::rename(new, self.of(daemon).join(name)).unwrap();
    }
}

/// The certificate that is shown on a port of this machine.
///
/// # Errors
/// When nothing listens there or the handshake fails.
pub fn shown(port: u16) -> std::io::Result<Vec<u8>> {
    Ok(Connection::open(([127, 0, 0, 1], port).into(), bench().trust())?.certificate())
}

fn copy(from: &Path, to: &Path) {
    // Owners come along when root copies.
    let how = if is_root() { "-a" } else { "-r" };
    run(Command::new("cp").arg(how).arg(from).arg(to));
}

/// Options want what lives as long as the program.
fn toml(path: &Path) -> &'static str {
    format!("{:?}", path.display().to_string()).leak()
}
