//! What this machine is to become: flags, answers and what was there before, judged and complete.

use std::net::IpAddr;
use std::path::PathBuf;

use host::config::ConfigError;

use super::args::{Setup, Tls, Token as TokenFlags};
use super::ask::Ask;
use super::earlier::Earlier;
use super::remote::Server;
use crate::appliance;
use crate::failure::Failure;
use crate::issuer::Issuer;

/// Label of the token that is made where none is named.
const LABEL: &str = "opentrusty";
/// The API's port where none is named.
const API_PORT: u16 = 8081;
/// Longest label in a token, bytes (CKA of PKCS#11).
const LABEL_MAX: usize = 32;

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) issuer: Issuer,
    pub(super) api: Issuer,
    pub(super) console_origin: Option<String>,
    pub(super) listen_port: u16,
    pub(super) api_port: u16,
    pub(super) certificates: Certificates,
    pub(super) token: Token,
    pub(super) database: Database,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Certificates {
    /// Made here, renewed here.
    LocalCa,
    /// Copied from where they are: certificate and key of each plane.
    Own { public: (PathBuf, PathBuf), api: (PathBuf, PathBuf), ca: Option<PathBuf> },
    /// Those that are in place.
    Kept,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    SoftHsm { module: PathBuf, label: String },
    Module { module: PathBuf, label: String, slot: Option<u64>, pin_file: Option<PathBuf> },
}

impl Token {
    pub(super) fn label(&self) -> &str {
        match self {
            Self::SoftHsm { label, .. } | Self::Module { label, .. } => label,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Database {
    Local,
    Remote(Server),
}

impl Plan {
    pub(super) fn of(flags: &Setup, earlier: &Earlier, ask: Ask) -> Result<Self, Failure> {
        let issuer: Issuer = ask.for_value(
            ("--issuer", "Issuer, for good (https://host)"),
            flags.issuer.clone(),
            earlier.issuer.clone(),
        )?;
        if earlier.issuer.as_deref().is_some_and(|before| before != issuer.as_str()) {
            let before = earlier.issuer.as_deref().unwrap_or_default();
            let fix = format!(
                "leave it out; if nothing was issued yet, remove {} first",
                appliance::SETTINGS
            );
            return Err(ConfigError::new(
                "--issuer",
                format!("is {before} already, for good"),
                fix,
            )
            .into());
        }
        let (host, issuer_port) = appliance::authority(issuer.as_str());
        let api: Issuer = ask.for_value(
            ("--api", "Management API"),
            flags.api.clone(),
            Some(earlier.api.clone().unwrap_or_else(|| default_api(&host))),
        )?;
        let (_, default_port) = appliance::authority(api.as_str());
        let listen_port = flags.listen_port.or(earlier.listen_port).unwrap_or(issuer_port);
        // Another URL for the API means another port, unless that is said too.
        let kept_port = earlier.api_port.filter(|_| earlier.api.as_deref() == Some(api.as_str()));
        let api_port = flags.api_port.or(kept_port).unwrap_or(default_port);
        if listen_port == api_port {
            let problem = format!("is {api_port}, the port of the public listener");
            return Err(ConfigError::new("--api-port", problem, "choose another one").into());
        }
        let origin = flags.console_origin.as_ref().map(|origin| origin.as_str().to_owned());
        Ok(Self {
            console_origin: origin.or_else(|| earlier.console_origin.clone()),
            certificates: certificates(&flags.tls, earlier, ask)?,
            token: token(&flags.token, earlier, ask)?,
            database: database(flags, earlier, ask)?,
            issuer,
            api,
            listen_port,
            api_port,
        })
    }
}

fn default_api(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => format!("https://[{host}]:{API_PORT}"),
        Ok(IpAddr::V4(_)) | Err(_) => format!("https://{host}:{API_PORT}"),
    }
}

fn certificates(flags: &Tls, earlier: &Earlier, ask: Ask) -> Result<Certificates, Failure> {
    if flags.local_ca {
        return Ok(Certificates::LocalCa);
    }
    let own = |certificate: &PathBuf, key: &PathBuf| {
        let public = (certificate.clone(), key.clone());
        let api = flags.api_certificate.clone().zip(flags.api_key.clone());
        Certificates::Own {
            api: api.unwrap_or_else(|| public.clone()),
            public,
            ca: flags.ca.clone(),
        }
    };
    if let (Some(certificate), Some(key)) = (&flags.certificate, &flags.key) {
        return Ok(own(certificate, key));
    }
    if earlier.certificates {
        return Ok(if earlier.local_ca { Certificates::LocalCa } else { Certificates::Kept });
    }
    let question = (
        "--certificate",
        "Certificate with its chain, a PEM file, or `local` for a local authority",
    );
    let certificate: PathBuf =
        ask.for_value(question, None, ask.reaches().then(|| "local".into()))?;
    if certificate.as_os_str() == "local" {
        return Ok(Certificates::LocalCa);
    }
    let key = ask.for_value(("--key", "Its key, a PEM file"), None, None)?;
    Ok(own(&certificate, &key))
}

/// Keys cannot be moved between tokens, and the sealed PIN may be the only copy of the former token's.
fn same_kind(flags: &TokenFlags, earlier: &Earlier) -> Result<(), ConfigError> {
    let to_module = flags.module.is_some() && earlier.softhsm;
    let to_softhsm = flags.softhsm && earlier.module.is_some() && !earlier.softhsm;
    if !(earlier.pin && (to_module || to_softhsm)) {
        return Ok(());
    }
    Err(ConfigError::new(
        if to_module { "--module" } else { "--softhsm" },
        "would replace the token whose keys sign now",
        "go by the handbook: hsm.md, \"A lost token\"; it moves the former PIN away",
    ))
}

fn token(flags: &TokenFlags, earlier: &Earlier, ask: Ask) -> Result<Token, Failure> {
    same_kind(flags, earlier)?;
    let label = flags.label.clone().or_else(|| earlier.token_label.clone());
    if let Some(module) = &flags.module {
        let label = judged(label.unwrap_or_else(|| LABEL.to_owned()))?;
        return module_token(module.clone(), label, flags);
    }
    let again = earlier.module.clone().filter(|_| !flags.softhsm && !earlier.softhsm);
    if let Some(module) = again {
        let label = judged(label.unwrap_or_else(|| LABEL.to_owned()))?;
        return match module_token(module, label, flags)? {
            Token::Module { module, label, slot, pin_file } => {
                Ok(Token::Module { module, label, slot: slot.or(earlier.slot), pin_file })
            }
            other @ Token::SoftHsm { .. } => Ok(other),
        };
    }
    if !(flags.softhsm || earlier.softhsm) {
        let question = ("--module", "PKCS#11 module, a file, or `softhsm` for trial");
        let module: PathBuf =
            ask.for_value(question, None, ask.reaches().then(|| "softhsm".into()))?;
        if module.as_os_str() != "softhsm" {
            let label = ask.for_value(("--token-label", "Label of its token"), label, None)?;
            return module_token(module, judged(label)?, flags);
        }
    }
    let label = judged(label.unwrap_or_else(|| LABEL.to_owned()))?;
    if earlier.softhsm && earlier.token_label.as_ref().is_some_and(|before| *before != label) {
        let before = earlier.token_label.as_deref().unwrap_or_default();
        let problem = format!("is {before} already, and its keys sign");
        let fix = "leave it out, or destroy that token first (opentrusty token destroy)";
        return Err(ConfigError::new("--token-label", problem, fix).into());
    }
    let module = appliance::softhsm().ok_or_else(|| {
        ConfigError::new("--softhsm", "finds no libsofthsm2.so", "install the package softhsm2")
    })?;
    Ok(Token::SoftHsm { module, label })
}

fn module_token(module: PathBuf, label: String, flags: &TokenFlags) -> Result<Token, Failure> {
    if !(module.is_absolute() && module.is_file()) {
        let problem = format!("{} is no file by its full path", module.display());
        return Err(
            ConfigError::new("--module", problem, "name the PKCS#11 module's library").into()
        );
    }
    Ok(Token::Module { module, label, slot: flags.slot, pin_file: flags.pin_file.clone() })
}

fn judged(label: String) -> Result<String, Failure> {
    let legal = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '\'');
    if label.is_empty() || label.len() > LABEL_MAX || !label.chars().all(legal) {
        let fix = "use 1 to 32 letters, digits and marks, without quotes and spaces";
        return Err(ConfigError::new("--token-label", "is no label", fix).into());
    }
    Ok(label)
}

fn database(flags: &Setup, earlier: &Earlier, ask: Ask) -> Result<Database, Failure> {
    let default = earlier.database.clone().or_else(|| ask.reaches().then(|| "local".to_owned()));
    let given = flags.database.database.clone();
    let text: String =
        ask.for_value(("--database", "Database: local, or a URL"), given, default)?;
    if text == "local" {
        return Ok(Database::Local);
    }
    Ok(Database::Remote(text.parse::<Server>()?))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
