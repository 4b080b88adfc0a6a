//! The courier: `admind --courier`, the one process of ours that calls strangers.
//!
//! It fetches what clients publish (`jwks_uri`) and delivers what the outbox holds, so that authd never
//! reaches the network (W138). It has a user and a database role of its own, listens to nobody, knows no keyd
//! and has no right of admind's: whoever takes it over can read where it was to go and what it was to carry.
//! What came of a request is told to nobody but its own log.

mod address;
mod config;
mod keys;
mod outbound;
mod rounds;
mod store;
mod target;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ::store::schema::Unfit;
use host::args::Args;
use host::exit::Fatal;
use host::resolver::{self, Resolver};
use host::sandbox::{Entered, Policy};
use secrecy::{ExposeSecret as _, SecretString};

use config::Config;
use outbound::Outbound;
use store::Store;

/// How often an unmet condition of start-up is looked at again.
const RETRY: Duration = Duration::from_millis(500);

/// What every errand shares.
struct Courier {
    store: Store,
    outbound: Outbound,
    mail_webhook: Option<SecretString>,
    jwks_max_age_s: u32,
}

/// The same order as admind's own: see its `main.rs`.
pub(crate) fn run(args: &Args) -> Result<(), Fatal> {
    let config = config::load(args.config.as_deref())?;
    if args.check {
        return Ok(());
    }
    host::telemetry::init("courier");
    host::sandbox::harden(config.memory_lock)?;
    let outbound = Outbound::new(config.ca.as_deref(), config.ports.clone(), config.allow.clone())?;
    let resolver = Resolver::now();
    let confined = host::sandbox::enter(config.sandbox, &policy(&config))?;
    let entered = confined.seal(&host::sandbox::syscalls::COURIER)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Fatal::start)?;
    let ended = runtime.block_on(serve(entered, config, outbound, &resolver));
    // A look-up that hangs in the resolver must not hold up the end.
    runtime.shutdown_background();
    ended
}

async fn serve(
    entered: Entered,
    config: Config,
    outbound: Outbound,
    resolver: &Resolver,
) -> Result<(), Fatal> {
    let url = config.database_url.expose_secret();
    let (pool, pulse) =
        ::store::pool(url, config.database_connections, "courier").map_err(Fatal::start)?;
    let courier = Courier {
        store: Store::new(pool),
        outbound,
        mail_webhook: config.mail_webhook,
        jwks_max_age_s: config.jwks_max_age_s,
    };
    host::systemd::ready();
    web::vouch();
    let mut stop = pin!(web::terminated());
    tokio::select! {
        admitted = courier.admission() => admitted?,
        () = &mut stop => return Ok(()),
    }
    tracing::info!("the courier is under way");
    let courier = Arc::new(courier);
    let watched = Arc::clone(&courier);
    tokio::select! {
        ended = rounds::run(entered, courier, resolver, stop) => ended,
        hung = pulse.hung(watched.store.pool()) => Err(Fatal::start(hung)),
    }
}

impl Courier {
    /// Waits for PostgreSQL, then refuses a schema of another release.
    async fn admission(&self) -> Result<(), Fatal> {
        loop {
            match ::store::schema::check(self.store.pool()).await {
                Ok(()) => return Ok(()),
                Err(Unfit::Database(error)) => tracing::warn!(%error, "waiting for the database"),
                Err(unfit) => return Err(Fatal::start(unfit)),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// The resolver's files to read; https, the other ports of the settings, DNS and the database to connect to.
fn policy(config: &Config) -> Policy {
    let mut connect_tcp = config.ports.clone();
    connect_tcp.extend([target::HTTPS, resolver::DNS]);
    let policy = Policy { read: Resolver::paths(), connect_tcp, ..Policy::default() };
    policy.and(host::database::reach(config.database_url.expose_secret()))
}
