//! What every endpoint shares, and how admind comes up: in any order with PostgreSQL, keyd and authd.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use host::config::ConfigError;
use host::exit::Fatal;
use host::sandbox::{Entered, Policy};
use secrecy::ExposeSecret as _;
use signer::{KeySet, Signer};
use sqlx::PgPool;
use tokio::sync::watch;
use uuid::Uuid;
use web::{Tls, TlsError};

use crate::config::Config;
use crate::store::Store;

/// How often an unmet condition of start-up is looked at again.
const RETRY: Duration = Duration::from_millis(500);
/// How long a caller waits for the first keys, as long as authd waits for a signature.
const KEYS: Duration = Duration::from_secs(2);
/// How often certificates are looked at.
const CERTIFICATES: Duration = Duration::from_secs(5);

pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) signer: Signer,
    keys: watch::Sender<Arc<KeySet>>,
    issuer: OnceLock<Uuid>,
    admitted: AtomicBool,
}

impl App {
    pub(crate) fn new(config: Config, pool: PgPool, keyd_uid: u32) -> Self {
        Self {
            store: Store::new(pool),
            signer: Signer::new(config.keyd_socket.clone(), keyd_uid),
            keys: watch::Sender::default(),
            issuer: OnceLock::new(),
            admitted: AtomicBool::new(false),
            config,
        }
    }

    /// The keys that verify callers' tokens: keyd's word, never a table's.
    pub(crate) fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.borrow())
    }

    /// The same, once there is anything to verify with. After a start callers may be here before keyd has
    /// answered, and must not be told that their tokens are worth nothing.
    pub(crate) async fn first_keys(&self) -> Option<Arc<KeySet>> {
        let mut keys = self.keys.subscribe();
        let complete = keys.wait_for(|keys| keys.is_complete());
        let keys = tokio::time::timeout(KEYS, complete).await.ok()?.ok()?;
        Some(Arc::clone(&keys))
    }

    pub(crate) fn replace_keys(&self, set: KeySet) {
        self.keys.send_replace(Arc::new(set));
    }

    /// The platform issuer's row, once admitted.
    pub(crate) fn issuer_row(&self) -> Option<Uuid> {
        self.issuer.get().copied()
    }

    pub(crate) async fn is_ready(&self) -> bool {
        self.admitted.load(Ordering::Acquire)
            && self.keys().is_complete()
            && sqlx::query("SELECT 1").execute(self.store.pool()).await.is_ok()
    }

    /// Waits for PostgreSQL, then refuses a schema of another release or another issuer's database. Comes
    /// back only to refuse.
    async fn admission(&self) -> Fatal {
        loop {
            match self.admit().await {
                Ok(true) => break,
                Ok(false) => tokio::time::sleep(RETRY).await,
                Err(fatal) => return fatal,
            }
        }
        ::store::fill(self.store.pool()).await;
        self.admitted.store(true, Ordering::Release);
        tracing::info!(api = self.config.api, "serving");
        std::future::pending().await
    }

    async fn admit(&self) -> Result<bool, Fatal> {
        match ::store::schema::check(self.store.pool()).await {
            Ok(()) => {}
            Err(::store::schema::Unfit::Database(error)) => {
                tracing::warn!(%error, "waiting for the database");
                return Ok(false);
            }
            Err(unfit) => return Err(Fatal::start(unfit)),
        }
        match self.store.platform_issuer(&self.config.issuer).await {
            Ok(Ok(id)) => {
                self.issuer.get_or_init(|| id);
                Ok(true)
            }
            // "This value is embedded in signed tokens and cannot change" (seeds/003).
            Ok(Err(_)) => Err(Fatal::Config(ConfigError::new(
                "issuer",
                "differs from the issuer that this database was set up for",
                "restore the former value; an issuer cannot change",
            ))),
            Err(error) => {
                tracing::warn!(%error, "the issuer could not be recorded yet");
                Ok(false)
            }
        }
    }
}

/// What admind touches after start: certificates that are replaced while it runs, and what a database that is
/// reached by TCP takes.
pub(crate) fn policy(config: &Config) -> std::io::Result<Policy> {
    let read = Tls::folders(&config.tls_certificate, &config.tls_key)?;
    let policy = Policy { read, ..Policy::default() };
    Ok(policy.and(host::database::reach(config.database_url.expose_secret())))
}

/// Certificate and key, read once before the sandbox closes: what is wrong with them is a matter of settings.
pub(crate) fn tls(config: &Config) -> Result<Arc<Tls>, ConfigError> {
    Tls::load(&config.tls_certificate, &config.tls_key, config.tls12).map_err(|error| {
        let of_key = match &error {
            TlsError::Read(path, _) => *path == config.tls_key,
            TlsError::Exposed(_) | TlsError::NoKey(_) => true,
            TlsError::NoCertificate(_) | TlsError::Pair(_) | TlsError::Library(_) => false,
        };
        let key = if of_key { "tls_key" } else { "tls_certificate" };
        ConfigError::new(
            key,
            error.to_string(),
            "give a PEM certificate and its own key, closed to others",
        )
    })
}

pub(crate) async fn serve(
    entered: Entered,
    listener: TcpListener,
    tls: Arc<Tls>,
    app: Arc<App>,
    pulse: &::store::Pulse,
) -> Result<(), Fatal> {
    let config = &app.config;
    tls.reload_on_change(CERTIFICATES);
    let hosts = web::Hosts::new([config.host.as_str()]).map_err(Fatal::start)?;
    let proxies = config.proxies.clone();
    let server = web::Server { limits: web::Limits::default(), hosts, proxies, tls };
    ::store::fill(app.store.pool()).await;
    tokio::spawn(crate::keeper::keep_keys(Arc::clone(&app)));
    tokio::spawn(crate::keeper::keep_house(Arc::clone(&app)));
    tokio::spawn(crate::keeper::keep_memberships(Arc::clone(&app)));
    host::systemd::ready();
    let handler = Arc::new(crate::routes::Routes(Arc::clone(&app)));
    tokio::select! {
        ended = web::serve(entered, listener, server, handler, web::terminated()) => ended.map_err(Fatal::start),
        fatal = app.admission() => Err(fatal),
        hung = pulse.hung(app.store.pool()) => Err(Fatal::start(hung)),
    }
}
