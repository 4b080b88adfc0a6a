//! keyd's ritual. The order is load-bearing: secrets and sockets before the sandbox, the sandbox before the
//! first thread, every thread before the self-test, the self-test before anybody is told that keyd is ready.

use std::process::ExitCode;
use std::sync::Arc;
use std::thread::Builder;

use host::args::Role;
use host::config::ConfigError;
use host::exit::{Fatal, run};
use host::{args, sandbox, signals, systemd, telemetry};
use keyd::answer::App;
use keyd::config::Config;
use keyd::hsm::{Hsm, HsmError};
use keyd::serve::{self, Listeners};

/// What `opentrusty setup` runs once.
const INIT: Role = Role {
    flag: "--init-token",
    about: "make the token; the security officer's PIN and the user's are lines of standard input",
};

fn main() -> ExitCode {
    run("keyd", start)
}

fn start() -> Result<(), Fatal> {
    let (args, init) = args::parse_with_role("keyd", env!("CARGO_PKG_VERSION"), &INIT);
    let config = Config::load(args.config.as_deref())?;
    if args.check {
        return Ok(());
    }
    telemetry::init("keyd");
    keyd::abort_on_panic();
    if init {
        return keyd::init::run(&config);
    }
    sandbox::harden(config.memory_lock)?;
    let ending = signals::hold()?;
    let uids = config.uids()?;
    let pin = config.pin()?;
    let root = config.derive_root()?;
    let listeners = Listeners::new(&config)?;
    let wanted = config.wanted();
    let hsm = Hsm::open(&config.module, wanted, pin).map_err(|error| {
        let problem = format!("cannot be loaded: {error}");
        ConfigError::new("pkcs11_module", problem, "name the PKCS#11 module's shared library")
    })?;
    let confined = sandbox::enter(config.sandbox, &config.reach())?;
    let entered = confined.seal(&sandbox::syscalls::KEYD)?;
    let app = Arc::new(App::new(Arc::clone(&hsm), config.policy, root));
    let running = serve::start(entered, &app, listeners, uids, config.workers)?;
    match hsm.prove() {
        Ok(()) => tracing::info!("ready"),
        // Not a reason to stop: the token may come back.
        Err(error @ (HsmError::Lost | HsmError::Locked)) => tracing::error!(%error, "started"),
        Err(
            error @ (HsmError::Missing
            | HsmError::Unsound
            | HsmError::Unsupported
            | HsmError::Device),
        ) => return Err(Fatal::start(error)),
    }
    let supervised = Arc::clone(&hsm);
    Builder::new().name("ending".to_owned()).spawn(move || match ending.wait() {
        Ok(()) => supervised.dismiss(),
        Err(error) => tracing::error!(%error, "signals cannot be waited for"),
    })?;
    systemd::ready();
    hsm.supervise(systemd::alive);
    running.drain();
    Ok(())
}
