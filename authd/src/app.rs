//! What every endpoint shares, and how authd comes up: in any order with PostgreSQL, keyd and admind.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use host::config::ConfigError;
use host::exit::Fatal;
use host::sandbox::{Entered, Policy};
use oauth::Plain;
use oauth::secret::Kind;
use oauth::throttle::{Door, Key};
use secrecy::ExposeSecret as _;
use signer::Signer;
use sqlx::PgPool;
use tokio::sync::OnceCell;
use web::{Tls, TlsError};
use wire::{DeriveLabel, Secret32};

use crate::config::Config;
use crate::failure::Failure;
use crate::hasher::Hasher;
use crate::keys::Keys;
use crate::limits::Limits;
use crate::store::Store;

/// How often an unmet condition of start-up is looked at again.
const RETRY: Duration = Duration::from_millis(500);
/// How often certificates are looked at.
const CERTIFICATES: Duration = Duration::from_secs(5);

pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) signer: Signer,
    pub(crate) keys: Keys,
    pub(crate) hasher: Hasher,
    limits: Limits,
    csrf: OnceCell<Secret32>,
    admitted: AtomicBool,
}

impl App {
    pub(crate) fn new(config: Config, pool: PgPool, keyd_uid: u32) -> Result<Self, Fatal> {
        Ok(Self {
            store: Store::new(pool),
            signer: Signer::new(config.keyd_socket.clone(), keyd_uid),
            keys: Keys::unread(&config.issuer),
            hasher: Hasher::new(config.hashing).map_err(Fatal::start)?,
            limits: Limits::new(config.anonymous.burst, config.anonymous.per_s),
            csrf: OnceCell::new(),
            admitted: AtomicBool::new(false),
            config,
        })
    }

    /// The subkey that binds forms to browsers, derived once by keyd: the same on every node.
    pub(crate) async fn csrf_key(&self) -> Result<&Secret32, Failure> {
        self.csrf
            .get_or_try_init(|| self.signer.derive(DeriveLabel::Csrf))
            .await
            .map_err(Failure::from)
    }

    /// Whether a network may leave one more row behind without having proved anything (W136).
    pub(crate) fn admit_anonymous(&self, request: &web::Request) -> Result<(), Failure> {
        if self.limits.admit(request.client, Instant::now()) {
            return Ok(());
        }
        Err(Failure::TooMany(1))
    }

    /// The counter of `subject` at `door`, the same on every node.
    pub(crate) async fn throttle_key(&self, door: Door, subject: &str) -> Result<Key, Failure> {
        let key = Key::of(door, &self.csrf_key().await?.0, subject);
        let attempts = self.config.attempts;
        Ok(match door {
            Door::Password | Door::PasswordKnown => key.with_free(attempts.sign_in),
            Door::Address | Door::ClientNetwork => key.with_free(attempts.network),
            Door::Client => key.with_free(attempts.client),
            Door::Account
            | Door::UserCode
            | Door::UserCodeNetwork
            | Door::Reset
            | Door::ResetNetwork
            | Door::Completion => key,
        })
    }

    /// Whether this node can do its main job: PostgreSQL answers and every default key signs.
    pub(crate) async fn is_ready(&self) -> bool {
        self.admitted.load(Ordering::Acquire)
            && self.keys.current().platform.is_ready()
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
        tracing::info!(issuer = self.config.issuer, "serving");
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
        match self.store.platform_issuer().await {
            Ok(Some(url)) if url == self.config.issuer => Ok(true),
            // "This value is embedded in signed tokens and cannot change" (seeds/003).
            Ok(Some(_)) => Err(Fatal::Config(ConfigError::new(
                "issuer",
                "differs from the issuer that this database was set up for",
                "restore the former value; an issuer cannot change",
            ))),
            Ok(None) | Err(_) => Ok(false),
        }
    }
}

/// 32 bytes of the operating system's generator.
pub(crate) fn random() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| Failure::internal("no randomness"))?;
    Ok(bytes)
}

/// A new bearer secret of its kind.
pub(crate) fn secret<K: Kind>() -> Result<Plain<K>, Failure> {
    Ok(Plain::from_random(&random()?))
}

/// What authd touches after start: certificates that are replaced while it runs, what a database that is
/// reached by TCP takes, and two Unix sockets.
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
    tokio::spawn(crate::keys::keep_fresh(Arc::clone(&app)));
    host::systemd::ready();
    let handler = Arc::new(crate::routes::Routes(Arc::clone(&app)));
    tokio::select! {
        ended = web::serve(entered, listener, server, handler, web::terminated()) => ended.map_err(Fatal::start),
        fatal = app.admission() => Err(fatal),
        hung = pulse.hung(app.store.pool()) => Err(Fatal::start(hung)),
    }
}
