//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::appliance::Daemon;
use crate::issuer::Issuer;
use crate::setup::Setup;

/// OpenTrusty: an OAuth 2.0 and OpenID Connect authorization server.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = AFTER)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER: &str =
    "Settings come from the environment, else from /etc/opentrusty/opentrusty.toml: OPENTRUSTY_ISSUER, OPENTRUSTY_API, OPENTRUSTY_CA, and \
OPENTRUSTY_PG_SOCKET_DIR, OPENTRUSTY_PG_DATABASE, OPENTRUSTY_PG_OWNER or OPENTRUSTY_DATABASE_URL. \
A development instance writes them to .state/env.

Exit codes: 0 done, 1 not done, 64 wrong command line, 78 wrong setting.";

/// `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;

/// Reads the command line of this process. What it cannot be run with is said here, help included.
pub(crate) fn read() -> Result<Args, ExitCode> {
    Args::try_parse().map_err(|error| {
        // Nobody is left to hear it if the output is closed.
        let _ = error.print();
        if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
    })
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Configure the packages on this machine and start them
    Setup(Box<Setup>),
    /// Check everything that an installation needs, and say how to mend what is wrong
    Doctor(Doctor),
    /// Destroy the token and its keys
    Token(Token),
    /// Bring the database's schema up to date
    Migrate,
    /// Write declared tenants, users and clients, for development and tests
    Seed(Seed),
    /// Fix the issuer and make the first platform administrator, once
    Bootstrap(Bootstrap),
    /// Run the daemons
    Serve(Serve),
    /// The former name of `serve all`
    #[command(hide = true)]
    Server(Server),
    /// Sign in, for the commands that ask the management API
    Login(Login),
    /// Show who is signed in and what they may do
    Me(Caller),
    /// Show and change the signing keys
    Keys(Keys),
    /// Look at settings
    Config(Config),
    /// Write a shell's completion of this command to standard output
    #[command(hide = true)]
    Completions { shell: clap_complete::Shell },
    /// Write the manual, a page for each command, into a folder
    #[command(hide = true)]
    Man { folder: PathBuf },
}

/// Looks at the settings, certificates, database, token, units and sandboxes of this machine. One line for
/// each check, and a second one with the remedy where something is wrong. Exits with 1 if a check fails.
#[derive(clap::Args)]
pub(crate) struct Doctor {
    /// One JSON document instead of lines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    pub(crate) act: TokenAct,
}

#[derive(Subcommand)]
pub(crate) enum TokenAct {
    /// Destroy a SoftHSM token of this machine with all keys in it, and the PINs that open it. Every token
    /// that its keys have signed is void from then on; nothing brings them back. Refuses while keyd runs
    Destroy {
        /// The token's label, as keyd's settings name it
        #[arg(long)]
        label: String,
        /// The label once more, instead of typing it
        #[arg(long, value_name = "LABEL")]
        yes_destroy: Option<String>,
    },
}

/// Writes what a file declares; running it again changes nothing. It adds and updates, and takes nothing
/// away: a membership or role that the file no longer lists stays. Refuses an issuer that is not on this
/// machine.
#[derive(clap::Args)]
pub(crate) struct Seed {
    /// A JSON file, or - for standard input
    pub(crate) file: PathBuf,
}

/// `serve auth` and `serve admin` become that daemon; `serve all` runs all of them as separate processes,
/// for development on this machine.
#[derive(clap::Args)]
pub(crate) struct Serve {
    /// Which plane; without it, `OPENTRUSTY_MODE` says
    pub(crate) mode: Option<Mode>,
    /// `serve all`: the folder of the instance, with its dev.toml; without it, `OPENTRUSTY_STATE` says
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// `serve auth`, `serve admin`: the daemon's settings file
    #[arg(long, value_name = "FILE", conflicts_with = "state")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct Server {
    /// The folder of the instance, with its dev.toml; without it, `OPENTRUSTY_STATE` says
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The public identity provider
    Auth,
    /// The management API
    Admin,
    /// Both and the signing service
    All,
}

/// Makes the platform administrator with a one-time link to set a password, and the clients of the console
/// and of this command. A second run changes nothing and exits with 1; --renew-link is for a link that was
/// lost before anybody used it.
#[derive(clap::Args)]
pub(crate) struct Bootstrap {
    /// Whose account; without it, `OPENTRUSTY_BOOTSTRAP_ADMIN_EMAIL` says. With --renew-link: the
    /// administrator's address from now on, if it is not the one that is stored
    #[arg(long)]
    pub(crate) email: Option<String>,
    /// Print another one-time link and make the earlier ones useless, as long as no platform administrator
    /// has a password
    #[arg(long, conflicts_with_all = ["issuer", "console_origin"])]
    pub(crate) renew_link: bool,
    /// The issuer for good; without it, `OPENTRUSTY_ISSUER` says
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<Issuer>,
    /// Where the console is served [default: `https://localhost:8082`]
    #[arg(long, value_name = "URL")]
    pub(crate) console_origin: Option<String>,
}

/// Signs in through a browser on this machine and keeps the access token, readable by you alone.
#[derive(clap::Args)]
pub(crate) struct Login {
    /// Where to sign in; without it, `OPENTRUSTY_ISSUER` says
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<Issuer>,
    #[command(flatten)]
    pub(crate) caller: Caller,
    /// Print the access token and nothing else, instead of keeping it
    #[arg(long)]
    pub(crate) print: bool,
    /// Ask for the password even if the browser is signed in; changing keys needs a recent sign-in
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Open the address with xdg-open
    #[arg(long)]
    pub(crate) open: bool,
}

#[derive(clap::Args)]
pub(crate) struct Caller {
    /// Certificates to trust besides the public ones; without it, `OPENTRUSTY_CA` says
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct Keys {
    #[command(flatten)]
    pub(crate) caller: Caller,
    /// Without one: list
    #[command(subcommand)]
    pub(crate) act: Option<KeyAct>,
}

#[derive(Subcommand)]
pub(crate) enum KeyAct {
    /// Show all keys
    List,
    /// Make a key in the token; it is published and does not sign yet
    Stage {
        #[arg(long, default_value = "ES256", help = "ES256, RS256, PS256, ES384 or EdDSA")]
        algorithm: String,
        /// What it signs: token, admin or audit
        #[arg(long, default_value = "token")]
        class: String,
        /// The issuer that it is to sign for; without it, the platform's
        #[arg(long, value_name = "URL")]
        issuer: Option<String>,
    },
    /// Let a staged key sign, instead of the one that does
    Activate { kid: String },
    /// End a key's signing; it stays published as long as something it signed may be alive
    Retire { kid: String },
}

#[derive(clap::Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) act: ConfigAct,
}

#[derive(Subcommand)]
pub(crate) enum ConfigAct {
    /// Ask a daemon whether it would start with its settings; without --daemon, check this command's own
    Check(ConfigCheck),
}

#[derive(clap::Args)]
pub(crate) struct ConfigCheck {
    #[arg(long)]
    pub(crate) daemon: Option<Plane>,
    /// The daemon's settings file
    #[arg(long, value_name = "FILE", requires = "daemon")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Plane {
    /// The public identity provider
    Auth,
    /// The management API
    Admin,
    /// The signing service
    Keyd,
    /// What calls strangers: admind in another role
    Courier,
}

impl Plane {
    /// As packages install it.
    pub(crate) const fn daemon(self) -> Daemon {
        match self {
            Self::Auth => Daemon::Authd,
            Self::Admin => Daemon::Admind,
            Self::Keyd => Daemon::Keyd,
            Self::Courier => Daemon::Courier,
        }
    }

    /// The daemon's program.
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Auth => "authd",
            Self::Admin | Self::Courier => "admind",
            Self::Keyd => "keyd",
        }
    }

    /// The daemon's name, and the flag that makes its program that daemon.
    pub(crate) const fn role(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Auth | Self::Admin | Self::Keyd => (self.program(), None),
            Self::Courier => ("courier", Some("--courier")),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_make_up_runs_is_understood() {
        let args = Args::try_parse_from(["opentrusty", "serve", "all", "--state", "/s"]).unwrap();
        let Command::Serve(serve) = args.command else { panic!("serve") };
        assert_eq!((serve.mode, serve.state), (Some(Mode::All), Some("/s".into())));
        for words in [
            &["opentrusty", "seed"][..],
            &["opentrusty", "serve", "both"],
            &["opentrusty", "keys", "activate"],
            &["opentrusty", "bootstrap", "--renew-link", "--issuer", "https://localhost"],
        ] {
            assert!(Args::try_parse_from(words).is_err(), "{words:?}");
        }
    }
}
