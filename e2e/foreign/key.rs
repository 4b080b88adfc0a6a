//! An RSA key that a client proves to hold: a file for the client, a JWK for whoever registers it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::bench::bench;
use serde_json::{Value, json};

/// A key that nothing else in this run has.
pub(crate) struct Key {
    id: &'static str,
    file: PathBuf,
}

impl Key {
    /// A new one; `id` is its `kid` and names its file.
    pub(crate) fn new(id: &'static str) -> Self {
        let file = bench().dir().join(format!("{id}.pem"));
        openssl(&["genpkey", "-algorithm", "RSA", "-out"], &file);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode");
        Self { id, file }
    }

    /// Its `kid`.
    pub(crate) fn id(&self) -> &'static str {
        self.id
    }

    /// Where it lies, PKCS #8 in PEM.
    pub(crate) fn file(&self) -> &str {
        self.file.to_str().expect("a name in UTF-8")
    }

    /// RFC 7517 §5, the public half alone.
    pub(crate) fn jwks(&self) -> Value {
        let said = openssl(&["rsa", "-noout", "-modulus", "-in"], &self.file);
        let digits = said.trim().strip_prefix("Modulus=").expect("a modulus");
        let modulus: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits"))
            .collect();
        json!({"keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id,
            // openssl makes keys with 65537.
            "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(modulus),
        }]})
    }
}

fn openssl(words: &[&str], file: &Path) -> String {
    let output = Command::new("openssl")
        .args(words)
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .expect("openssl starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
