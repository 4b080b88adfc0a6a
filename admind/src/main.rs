//! admind: the management API. RBAC, key life cycle, housekeeping. With `--courier` it is another daemon: the
//! one that calls strangers (`courier.rs`).
//!
//! It sees no password, issues no token, signs nothing, takes no cookie. Callers bring an access token for
//! this API, signed by a key of the admin class.

mod app;
mod config;
mod courier;
mod endpoint;
mod failure;
mod keeper;
mod operator;
mod routes;
mod schedule;
mod store;

use std::process::ExitCode;
use std::sync::Arc;

use host::args::{Args, Role};
use host::config::ConfigError;
use host::exit::Fatal;
use secrecy::ExposeSecret as _;

const COURIER: Role = Role {
    flag: "--courier",
    about: "be the courier instead: fetch clients' keys, deliver the outbox",
};

fn main() -> ExitCode {
    let (args, courier) =
        host::args::parse_with_role("admind", env!("CARGO_PKG_VERSION"), &COURIER);
    if courier {
        return host::exit::run("courier", || courier::run(&args));
    }
    host::exit::run("admind", || run(&args))
}

/// The order is load-bearing: the sandbox binds the calling thread and those it later starts, so it is
/// entered before the runtime makes any.
fn run(args: &Args) -> Result<(), Fatal> {
    let config = config::load(args.config.as_deref())?;
    if args.check {
        return Ok(());
    }
    host::telemetry::init("admind");
    host::sandbox::harden(config.memory_lock)?;
    let listener = match host::systemd::inherited_tcp("api").map_err(Fatal::start)? {
        Some(listener) => listener,
        None => std::net::TcpListener::bind(config.listen).map_err(Fatal::start)?,
    };
    let keyd_uid = host::peer::uid_of(&config.keyd_user).map_err(|_| {
        ConfigError::new(
            "keyd_user",
            "names no user of this machine",
            "use keyd's user, by name or number",
        )
    })?;
    host::descriptors::raise_limit()?;
    let tls = app::tls(&config)?;
    let confined = host::sandbox::enter(config.sandbox, &app::policy(&config)?)?;
    let entered = confined.seal(&host::sandbox::syscalls::ADMIND)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Fatal::start)?;
    runtime.block_on(async {
        let (pool, pulse) = ::store::pool(
            config.database_url.expose_secret(),
            config.database_connections,
            "admind",
        )
        .map_err(Fatal::start)?;
        let app = Arc::new(app::App::new(config, pool, keyd_uid));
        app::serve(entered, listener, tls, app, &pulse).await
    })
}
