//! authd: the public identity provider. Sign-in, consent and every OAuth and OpenID Connect endpoint.
//!
//! It holds no key and no administration: keyd signs, admind administers, PostgreSQL's role for it can write
//! neither tenants nor clients nor keys.

mod answer;
mod app;
mod browser;
mod config;
mod endpoint;
mod failure;
mod hasher;
mod issuer;
mod keyed;
mod keys;
mod limits;
mod pages;
mod routes;
mod store;

use std::process::ExitCode;
use std::sync::Arc;

use host::config::ConfigError;
use host::exit::Fatal;
use secrecy::ExposeSecret as _;

fn main() -> ExitCode {
    host::exit::run("authd", run)
}

/// The order is load-bearing: the sandbox binds the calling thread and those it later starts, so it is
/// entered before the runtime makes any.
fn run() -> Result<(), Fatal> {
    let args = host::args::parse("authd", env!("CARGO_PKG_VERSION"));
    let config = config::load(args.config.as_deref())?;
    if args.check {
        return Ok(());
    }
    host::telemetry::init("authd");
    host::sandbox::harden(config.memory_lock)?;
    let listener = match host::systemd::inherited_tcp("public").map_err(Fatal::start)? {
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
    let entered = confined.seal(&host::sandbox::syscalls::AUTHD)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Fatal::start)?;
    runtime.block_on(async {
        let (pool, pulse) = ::store::pool(
            config.database_url.expose_secret(),
            config.database_connections,
            "authd",
        )
        .map_err(Fatal::start)?;
        let app = Arc::new(app::App::new(config, pool, keyd_uid)?);
        app::serve(entered, listener, tls, app, &pulse).await
    })
}
