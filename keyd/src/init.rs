//! `keyd --init-token`: makes the token that the settings name. `opentrusty setup` runs it as keyd's user, so
//! that what the module writes is keyd's own.
//!
//! The two PINs come on standard input, a line each, the security officer's first: arguments are for every
//! user of the machine to read. A token with this label that is there already stays as it is.

use std::io::{self, BufRead as _, Write as _};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::Error;
use cryptoki::session::UserType;
use cryptoki::slot::Slot;
use host::config::ConfigError;
use host::exit::Fatal;
use host::sandbox::{self, MemoryLock};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::hsm::write_through;

/// Longest PIN, bytes, as in the settings.
const PIN_MAX: usize = 512;

/// Says `made` or `there` on standard output.
pub fn run(config: &Config) -> Result<(), Fatal> {
    // Whoever installs has not the limits of the unit.
    sandbox::harden(MemoryLock::Try)?;
    let so_pin = pin()?;
    let user_pin = pin()?;
    let module = Pkcs11::new(&config.module).map_err(|error| {
        let problem = format!("cannot be loaded: {error}");
        ConfigError::new("pkcs11_module", problem, "name the PKCS#11 module's shared library")
    })?;
    // Files are confined. keyd's list of calls is not entered: making a token is none of what keyd does later.
    let confined = sandbox::enter(config.sandbox, &config.reach())?;
    let _entered = confined.seal(&sandbox::syscalls::KEYD)?;
    let args = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    module.initialize(args).map_err(Fatal::start)?;
    let word = match vacancy(&module, &config.token_label).map_err(Fatal::start)? {
        Vacancy::Taken => "there",
        Vacancy::None => {
            return Err(Fatal::start("the module offers no slot whose token is not initialised"));
        }
        Vacancy::Slot(slot) => {
            make(&module, slot, &config.token_label, (&so_pin, &user_pin)).map_err(Fatal::start)?;
            config.wanted().folder.as_deref().map_or(Ok(()), write_through)?;
            "made"
        }
    };
    writeln!(io::stdout(), "{word}")?;
    Ok(())
}

/// Whether and where the token could be made.
enum Vacancy {
    Taken,
    Slot(Slot),
    None,
}

fn vacancy(module: &Pkcs11, label: &str) -> Result<Vacancy, Error> {
    let mut free = Vacancy::None;
    for slot in module.get_slots_with_token()? {
        let token = module.get_token_info(slot)?;
        if token.token_initialized() && token.label() == label {
            return Ok(Vacancy::Taken);
        }
        // Never a token of somebody else's: initializing it would destroy their keys.
        if !token.token_initialized() && matches!(free, Vacancy::None) {
            free = Vacancy::Slot(slot);
        }
    }
    Ok(free)
}

fn make(
    module: &Pkcs11,
    slot: Slot,
    label: &str,
    (so_pin, user_pin): (&SecretString, &SecretString),
) -> Result<(), Error> {
    module.init_token(slot, so_pin, label)?;
    // SoftHSM gives the new token a slot of its own.
    let slots = module.get_slots_with_initialized_token()?;
    let ours = slots
        .into_iter()
        .find(|slot| module.get_token_info(*slot).is_ok_and(|token| token.label() == label));
    let session = module.open_rw_session(ours.unwrap_or(slot))?;
    session.login(UserType::So, Some(so_pin))?;
    session.init_pin(user_pin)?;
    session.logout()?;
    // A token that does not take its PIN must show here and not when keyd starts.
    session.login(UserType::User, Some(user_pin))
}

/// One line of standard input.
fn pin() -> Result<SecretString, Fatal> {
    let mut line = Zeroizing::new(String::with_capacity(PIN_MAX + 2));
    io::Read::take(io::stdin().lock(), PIN_MAX as u64 + 1).read_line(&mut line)?;
    let pin = line.strip_suffix('\n').unwrap_or(&line);
    if pin.is_empty() {
        return Err(Fatal::start(
            "standard input has to hold the security officer's PIN and the user's",
        ));
    }
    Ok(SecretString::from(pin))
}
