//! The token and the PIN that opens it. PINs are made on this machine, are encrypted for it at once
//! (`systemd-creds`), and are never an argument of a program.

use std::fs;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::ask::Ask;
use super::earlier::Earlier;
use super::files::{self, Rights};
use super::plan::Token;
use super::steps::{self, Steps};
use crate::appliance::{self, Daemon, KEYD_USER, PIN, SO_PIN, TOKENS};
use crate::credential;
use crate::failure::Failure;
use crate::program::Program;
use crate::serve;

/// Longest PIN, bytes; keyd takes no longer one.
const PIN_MAX: usize = 512;
/// Random bytes of a PIN that is made.
const PIN_BYTES: usize = 16;

pub(super) fn run(
    token: &Token,
    earlier: &Earlier,
    ask: Ask,
    steps: &mut Steps,
) -> Result<(), Failure> {
    match token {
        Token::SoftHsm { label, .. } => softhsm(label, steps),
        Token::Module { module, label, pin_file, .. } => {
            let same_token = earlier.module.as_ref() == Some(module)
                && earlier.token_label.as_ref() == Some(label);
            if pin_file.is_none() && same_token && PIN.is_there() {
                return steps::same(&format!("{}: the PIN of {label}", PIN.path));
            }
            let pin = match pin_file {
                Some(path) => read_pin(path)?,
                None => ask.for_secret("--pin-file", &format!("PIN of the token {label}"))?,
            };
            if PIN.is_there() && PIN.open()?.expose_secret() == pin.expose_secret() {
                return steps::same(&format!("{}: the PIN of {label}", PIN.path));
            }
            put(Path::new(PIN.path), PIN.name, &pin)?;
            steps.stale(Daemon::Keyd);
            steps.done(&format!("{}: the PIN of {label}, encrypted for this machine", PIN.path))
        }
    }
}

fn read_pin(path: &Path) -> Result<SecretString, Failure> {
    let named = || path.display().to_string();
    let bytes = host::secret::read(path, PIN_MAX).map_err(Failure::io(named()))?;
    let text = std::str::from_utf8(bytes.expose_secret())
        .map_err(|_| Failure::value(named(), "is not UTF-8"))?;
    Ok(SecretString::from(text))
}

/// What a run that was cut short may have left. The PIN takes its final name last, so without it there is
/// no token that was ever used.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Complete,
    CutShort,
    /// A token that this machine has no PIN for.
    Foreign,
    /// The PIN of a token that is not where it was: moved, or on a volume that is not mounted.
    Lost,
}

const fn found(token: bool, pin: bool, new_pin: bool) -> Found {
    match (token, pin, new_pin) {
        (true, true, _) => Found::Complete,
        (true, false, true) => Found::CutShort,
        (true, false, false) => Found::Foreign,
        (false, true, _) => Found::Lost,
        (false, false, _) => Found::Nothing,
    }
}

fn softhsm(label: &str, steps: &mut Steps) -> Result<(), Failure> {
    folders(steps)?;
    let new = new_pin();
    match found(has_token()?, PIN.is_there(), new.is_file()) {
        Found::Complete => {
            for credential in [PIN, SO_PIN].into_iter().filter(|one| one.is_there()) {
                let rights = Rights::of("root", "root", 0o600)?;
                let path = Path::new(credential.path);
                steps.mended(credential.path, files::correct(path, rights)?)?;
            }
            return steps::same(&format!("the token {label}, in {TOKENS}"));
        }
        Found::Foreign => {
            return Err(Failure::refused(format!(
                "{TOKENS} holds a token, but {} with its PIN is gone: restore it, or move the token away",
                PIN.path
            )));
        }
        Found::Lost => {
            return Err(Failure::refused(format!(
                "{} opens a token, but {TOKENS} is empty: mount or restore the token; if it is gone for good, move {} away",
                PIN.path, PIN.path
            )));
        }
        Found::CutShort => empty()?,
        Found::Nothing => {}
    }
    let (so_pin, pin) = (random()?, random()?);
    put(Path::new(SO_PIN.path), SO_PIN.name, &so_pin)?;
    put(&new, PIN.name, &pin)?;
    initialise(&so_pin, &pin)?;
    fs::rename(&new, PIN.path).map_err(Failure::io(PIN.path))?;
    steps.stale(Daemon::Keyd);
    steps.done(&format!("the token {label} made in {TOKENS}, its PINs encrypted for this machine"))
}

fn new_pin() -> PathBuf {
    PathBuf::from(format!("{}.unused", PIN.path))
}

fn folders(steps: &mut Steps) -> Result<(), Failure> {
    let tokens = Path::new(TOKENS);
    for path in [tokens.parent().unwrap_or(tokens), tokens] {
        let written = files::folder(path, Rights::of(KEYD_USER, KEYD_USER, 0o700)?)?;
        steps.wrote(&path.display().to_string(), written, &[])?;
    }
    Ok(())
}

fn has_token() -> Result<bool, Failure> {
    let mut entries = fs::read_dir(TOKENS).map_err(Failure::io(TOKENS))?;
    Ok(entries.next().is_some())
}

fn empty() -> Result<(), Failure> {
    let entries = fs::read_dir(TOKENS).map_err(Failure::io(TOKENS))?;
    for entry in entries {
        let path = entry.map_err(Failure::io(TOKENS))?.path();
        fs::remove_dir_all(&path).map_err(Failure::io(path.display().to_string()))?;
    }
    Ok(())
}

/// As keyd's user, by keyd itself: what the module writes is then keyd's, and nobody else's.
fn initialise(so_pin: &SecretString, pin: &SecretString) -> Result<(), Failure> {
    let keyd = serve::program("keyd")?;
    let settings = Daemon::Keyd.settings();
    let lines = Zeroizing::new(format!("{}\n{}\n", so_pin.expose_secret(), pin.expose_secret()));
    let answer = Program::new(&keyd.to_string_lossy())
        .args(["--init-token", "--config", &settings.to_string_lossy()])
        .env("SOFTHSM2_CONF", appliance::SOFTHSM_CONF)
        .user(KEYD_USER)?
        .input(lines.as_bytes().to_vec())
        .run()?;
    if answer.trim_ascii() == b"made" {
        return Ok(());
    }
    Err(Failure::refused("another token with this label is there already; name another one"))
}

fn random() -> Result<SecretString, Failure> {
    let mut bytes = Zeroizing::new([0_u8; PIN_BYTES]);
    getrandom::fill(bytes.as_mut())
        .map_err(|error| Failure::refused(format!("randomness: {error}")))?;
    let digits = |byte: u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16));
    Ok(SecretString::from(bytes.iter().copied().flat_map(digits).flatten().collect::<String>()))
}

/// What is written can be read by root and decrypted here alone.
fn put(path: &Path, name: &str, secret: &SecretString) -> Result<(), Failure> {
    let sealed = credential::seal(name, secret)?;
    files::put(path, &sealed, Rights::of("root", "root", 0o600)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_was_ever_used_is_never_made_again() {
        for pin in [true, false] {
            for new in [true, false] {
                let expected = match (pin, new) {
                    (true, _) => Found::Complete,
                    (false, true) => Found::CutShort,
                    (false, false) => Found::Foreign,
                };
                assert_eq!(found(true, pin, new), expected);
                let nothing = if pin { Found::Lost } else { Found::Nothing };
                assert_eq!(found(false, pin, new), nothing);
            }
        }
    }

    #[test]
    fn two_pins_differ_and_are_128_bits() {
        let [a, b] = [(); 2].map(|()| random().unwrap());
        assert_ne!(a.expose_secret(), b.expose_secret());
        assert_eq!(a.expose_secret().len(), 2 * PIN_BYTES);
        assert!(a.expose_secret().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
