//! The certificate and its key, replaceable without dropping a connection.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ProducesTickets;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Why a certificate cannot be served.
#[derive(Debug)]
pub enum TlsError {
    /// A file cannot be read.
    Read(PathBuf, io::Error),
    /// Everybody on this machine can read the key.
    Exposed(PathBuf),
    /// The file holds no PEM certificate, or a broken one.
    NoCertificate(PathBuf),
    /// The file holds no PEM private key, or a broken one.
    NoKey(PathBuf),
    /// The key is not the certificate's, or of a kind that cannot be used.
    Pair(rustls::Error),
    /// The cryptographic library does not work.
    Library(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, _) => write!(f, "{} cannot be read", path.display()),
            Self::Exposed(path) => {
                write!(f, "everybody can read the key {}: chmod o-rwx it", path.display())
            }
            Self::NoCertificate(path) => write!(f, "{} holds no PEM certificate", path.display()),
            Self::NoKey(path) => write!(f, "{} holds no PEM private key", path.display()),
            Self::Pair(_) => f.write_str("certificate and key do not fit together"),
            Self::Library(_) => f.write_str("TLS cannot be set up"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(_, error) => Some(error),
            Self::Pair(error) | Self::Library(error) => Some(error),
            Self::Exposed(_) | Self::NoCertificate(_) | Self::NoKey(_) => None,
        }
    }
}

/// A certificate, its key, and the files that newer ones will be in.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    tls12: bool,
    /// Kept over reloads, so that sessions resume across them.
    tickets: Arc<dyn ProducesTickets>,
    current: RwLock<Arc<ServerConfig>>,
    /// The files that were loaded first; a change while the process comes up is one too.
    loaded: [Option<Stamp>; 2],
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads both PEM files. TLS 1.3, and 1.2 if asked for; X25519MLKEM768 is preferred.
    ///
    /// They are read again at each change, by path: inside a sandbox, allow the folders that
    /// [`Tls::folders`] names.
    pub fn load(certificate: &Path, key: &Path, tls12: bool) -> Result<Arc<Self>, TlsError> {
        let tickets = aws_lc_rs::Ticketer::new().map_err(TlsError::Library)?;
        let loaded = stamps(certificate, key);
        let config = config(certificate, key, tls12, &tickets)?;
        Ok(Arc::new(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            tls12,
            tickets,
            current: RwLock::new(Arc::new(config)),
            loaded,
        }))
    }

    /// The folders that reloading reads: of both files, and of what they are links to.
    ///
    /// # Errors
    /// If a file is not there.
    pub fn folders(certificate: &Path, key: &Path) -> io::Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for path in [certificate, key] {
            for path in [std::path::absolute(path)?, path.canonicalize()?] {
                folders.extend(path.parent().map(Path::to_owned));
            }
        }
        folders.sort();
        folders.dedup();
        Ok(folders)
    }

    /// Reads both files again. Connections that exist keep the certificate they began with.
    ///
    /// # Errors
    /// If the new pair cannot be served; then the old one goes on being served.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = config(&self.certificate, &self.key, self.tls12, &self.tickets)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(())
    }

    /// Starts a task that looks at the files every `interval` and reloads them when they have
    /// changed. A pair that does not fit, as while only one file is replaced, is logged once and
    /// tried again each time.
    pub fn reload_on_change(self: &Arc<Self>, interval: Duration) -> JoinHandle<()> {
        let tls = self.clone();
        let mut served = tls.loaded.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut complained_of = None;
            loop {
                ticks.tick().await;
                let before = stamps(&tls.certificate, &tls.key);
                if before == served {
                    continue;
                }
                let again = tls.clone();
                let reload = tokio::task::spawn_blocking(move || again.reload());
                let Ok(outcome) = reload.await else { return };
                match outcome {
                    Ok(()) => {
                        tracing::info!("serving a new certificate");
                        served = before;
                        complained_of = None;
                    }
                    Err(error) if complained_of.as_ref() != Some(&before) => {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::error!(%error, cause, "keeping the old certificate");
                        complained_of = Some(before);
                    }
                    Err(_) => {}
                }
            }
        })
    }

    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What changes when a file does; `None` while it is not there.
fn stamps(certificate: &Path, key: &Path) -> [Option<Stamp>; 2] {
    [certificate, key].map(Stamp::of)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let about = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: about.ino(),
            bytes: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        })
    }
}

fn config(
    certificate: &Path,
    key: &Path,
    tls12: bool,
    tickets: &Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, TlsError> {
    let versions: &[&rustls::SupportedProtocolVersion] = if tls12 {
        &[&rustls::version::TLS13, &rustls::version::TLS12]
    } else {
        &[&rustls::version::TLS13]
    };
    let chain = chain(certificate)?;
    let key = private_key(key)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(TlsError::Library)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = tickets.clone();
    Ok(config)
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let (bytes, _) = bounded(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) | Err(_) => Err(TlsError::NoCertificate(path.to_owned())),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let (bytes, mode) = bounded(path)?;
    // Group-readable is how distributions share a key with a service.
    if mode & 0o007 != 0 {
        return Err(TlsError::Exposed(path.to_owned()));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| TlsError::NoKey(path.to_owned()))
}

fn bounded(path: &Path) -> Result<(Zeroizing<Vec<u8>>, u32), TlsError> {
    let fail = |error| TlsError::Read(path.to_owned(), error);
    let file = File::open(path).map_err(fail)?;
    let about = file.metadata().map_err(fail)?;
    if !about.is_file() || about.len() > FILE_BYTES_MAX {
        return Err(fail(io::Error::new(io::ErrorKind::InvalidData, "not a file of this kind")));
    }
    let room = usize::try_from(about.len()).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(fail)?;
    Ok((bytes, about.permissions().mode()))
}
