//! The `opentrusty` command: what an operator does from a shell.
//!
//! One file per subcommand. It links no daemon: it talks to PostgreSQL as the schema's owner and to the
//! daemons as an ordinary client.

mod api;
mod appliance;
mod args;
mod audit;
mod bootstrap;
mod certificate;
mod clients;
mod config;
mod credential;
mod database;
mod destroy;
mod doctor;
mod failure;
mod http;
mod issuer;
mod keys;
mod listener;
mod login;
mod manual;
mod me;
mod migrate;
mod outcome;
mod output;
mod password;
mod program;
mod seed;
mod serve;
mod settings;
mod setup;
mod token;

use std::process::ExitCode;

use args::{Command, Config, ConfigAct, Token, TokenAct};
use failure::Failure;
use settings::Place;

fn main() -> ExitCode {
    let args = match args::read() {
        Ok(args) => args,
        Err(code) => return code,
    };
    host::exit::run("opentrusty", || Ok(run(args.command)?))
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        // These need no settings, and write or mend them.
        Command::Setup(flags) => setup::run(&flags),
        Command::Doctor(flags) => doctor::run(&flags),
        Command::Token(Token { act: TokenAct::Destroy { label, yes_destroy } }) => {
            destroy::run(&label, yes_destroy.as_deref())
        }
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { folder } => manual::pages(&folder),
        Command::Migrate => migrate::run(&Place::load()?),
        Command::Seed(seed) => seed::run(&Place::load()?, &seed),
        Command::Bootstrap(bootstrap) => bootstrap::run(&Place::load()?, &bootstrap),
        Command::Serve(serve) => serve::run(&Place::load()?, &serve),
        Command::Server(server) => serve::server(&Place::load()?, &server),
        Command::Login(login) => login::run(&Place::load()?, &login),
        Command::Me(caller) => me::run(&Place::load()?, &caller),
        Command::Keys(keys) => keys::run(&Place::load()?, &keys),
        Command::Config(Config { act: ConfigAct::Check(check) }) => {
            config::check(&Place::load()?, &check)
        }
    }
}
