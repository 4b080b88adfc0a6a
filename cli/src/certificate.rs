//! Certificates as their users see them: does this chain speak for that host, and for how long?

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore};

use crate::failure::Failure;

const DAY_S: u64 = 86_400;
/// Nobody has to know whether it is longer than this.
const DAYS_MAX: u64 = 3650;

/// Whom to believe.
pub(crate) struct Roots(Arc<RootCertStore>);

/// A certificate with what leads from it to an authority.
pub(crate) struct Chain(Vec<CertificateDer<'static>>);

/// What a verifier says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// For this many more days, of at most ten years.
    Days(u64),
    Expired,
    NotYet,
    /// The certificate names other hosts.
    OtherHost,
    /// No known authority signed it.
    UnknownAuthority,
    /// In the verifier's words.
    Unfit(String),
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl Roots {
    /// The web's authorities, or those in a file instead.
    pub(crate) fn new(ca: Option<&Path>) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        match ca {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                for one in Chain::load(path)?.0 {
                    roots.add(one).map_err(|error| unusable(path, error))?;
                }
            }
        }
        Ok(Self(Arc::new(roots)))
    }
}

impl Chain {
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let all = CertificateDer::pem_file_iter(path).map_err(|error| unusable(path, error))?;
        let all: Result<Vec<_>, _> = all.collect();
        let all = all.map_err(|error| unusable(path, error))?;
        if all.is_empty() {
            return Err(unusable(path, "holds no certificate"));
        }
        Ok(Self(all))
    }

    /// One that is no file yet.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, Failure> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        all.map(Self).map_err(|error| Failure::value("certificate", error.to_string()))
    }

    /// Whether a browser that believes `roots` would believe that this is `host`, and until when.
    pub(crate) fn trust(&self, host: &str, roots: &Roots, now_s: u64) -> Trust {
        if let Err(trust) = self.at(host, roots, now_s) {
            return trust;
        }
        // The last day that is good: it is good now, and once it is over it stays over.
        let (mut low, mut high) = (0, DAYS_MAX);
        while low < high {
            let middle = (low + high).div_ceil(2);
            if self.at(host, roots, now_s + middle * DAY_S).is_ok() {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Trust::Days(low)
    }

    fn at(&self, host: &str, roots: &Roots, at_s: u64) -> Result<(), Trust> {
        let unfit = |error: &dyn std::fmt::Display| Trust::Unfit(error.to_string());
        let (end, rest) = self.0.split_first().ok_or_else(|| unfit(&"no certificate"))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| unfit(&error))?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots.0), provider());
        let verifier = verifier.build().map_err(|error| unfit(&error))?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at_s));
        match verifier.verify_server_cert(end, rest, &name, &[], at) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(error)) => Err(trust_of(&error)),
            Err(error) => Err(unfit(&error)),
        }
    }

    /// Whether the key in this file belongs to the certificate.
    pub(crate) fn matches(&self, key: &Path) -> Result<(), Failure> {
        let der = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error))?;
        CertifiedKey::from_der(self.0.clone(), der, &provider())
            .map(|_| ())
            .map_err(|error| unusable(key, error))
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library may tell more apart later")]
fn trust_of(error: &CertificateError) -> Trust {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Trust::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Trust::NotYet
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Trust::OtherHost
        }
        CertificateError::UnknownIssuer => Trust::UnknownAuthority,
        other => Trust::Unfit(other.to_string()),
    }
}

fn unusable(path: &Path, problem: impl std::fmt::Display) -> Failure {
    Failure::value(path.display().to_string(), problem.to_string())
}
