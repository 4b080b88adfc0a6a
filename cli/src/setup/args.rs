//! The command line of `opentrusty setup`.

use std::path::PathBuf;

use crate::issuer::Issuer;

/// Configures the packages on this machine and starts them: settings, certificates, the token with its keys,
/// the database, the units, the first administrator. What is missing on the command line is asked for, with
/// what is there already as the default. A second run changes nothing; a settings file that somebody edited
/// stays as it is. Ends with what `opentrusty doctor` says. Runs as root.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Setup {
    /// Ask nothing: take the defaults, and fail where there is none
    #[arg(long)]
    pub(crate) yes: bool,
    /// The issuer for good, as in `https://auth.example.com`
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<Issuer>,
    /// The management API [default: the issuer's host at port 8081]
    #[arg(long, value_name = "URL")]
    pub(crate) api: Option<Issuer>,
    /// The first administrator
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin_email: Option<String>,
    /// Where the console is served
    #[arg(long, value_name = "URL")]
    pub(crate) console_origin: Option<Issuer>,
    /// The port of the public listener [default: the issuer's]
    #[arg(long, value_name = "PORT")]
    pub(crate) listen_port: Option<u16>,
    /// The port of the management API's listener [default: the API's]
    #[arg(long, value_name = "PORT")]
    pub(crate) api_port: Option<u16>,
    #[command(flatten)]
    pub(crate) tls: Tls,
    #[command(flatten)]
    pub(crate) token: Token,
    #[command(flatten)]
    pub(crate) database: Database,
    /// Write the settings files beneath this folder and do nothing else
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) only_files: Option<PathBuf>,
}

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Certificates")]
pub(crate) struct Tls {
    /// Make a local authority, and certificates that it signs; they are renewed by running setup again
    #[arg(long, conflicts_with_all = ["certificate", "ca"])]
    pub(crate) local_ca: bool,
    /// The certificate for the issuer's host with its chain, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
    /// The certificate for the API's host [default: the same]
    #[arg(long, value_name = "FILE", requires = "api_key", requires = "certificate")]
    pub(crate) api_certificate: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "api_certificate")]
    pub(crate) api_key: Option<PathBuf>,
    /// The authorities that signed them, if browsers do not know them, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Token")]
pub(crate) struct Token {
    /// A SoftHSM token with random PINs, made on this machine: for trial
    #[arg(long, conflicts_with = "module")]
    pub(crate) softhsm: bool,
    /// The PKCS#11 module of a hardware module, whose token exists
    #[arg(long, value_name = "FILE", requires = "token_label")]
    pub(crate) module: Option<PathBuf>,
    /// The token's label [default with --softhsm: opentrusty]
    #[arg(long = "token-label", id = "token_label", value_name = "LABEL")]
    pub(crate) label: Option<String>,
    /// The slot that the token must be in, if another one has the same label
    #[arg(long, value_name = "NUMBER", requires = "module")]
    pub(crate) slot: Option<u64>,
    /// A file with the token's PIN, closed to others; without it, the terminal asks
    #[arg(long, value_name = "FILE", requires = "module")]
    pub(crate) pin_file: Option<PathBuf>,
}

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Database")]
pub(crate) struct Database {
    /// `local` makes the roles and the database on this machine's PostgreSQL. A URL names a server elsewhere,
    /// without user and password and with `sslmode=verify-full`; its roles exist
    #[arg(long, value_name = "local|URL")]
    pub(crate) database: Option<String>,
    /// With a URL: a TOML file, closed to others, with the passwords of the roles: `owner`, `authd`,
    /// `admind`, `courier`
    #[arg(long, value_name = "FILE", conflicts_with = "only_files")]
    pub(crate) database_passwords: Option<PathBuf>,
}
