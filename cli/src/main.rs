//! The `opentrusty` command: what an operator does from a shell.
//!
//! One file per subcommand. It links no daemon: it talks to PostgreSQL as the schema's owner and to the
//! daemons as an ordinary client.

mod api;
mod args;
mod audit;
mod bootstrap;
mod clients;
mod config;
mod database;
mod failure;
mod http;
mod issuer;
mod keys;
mod login;
mod me;
mod migrate;
mod outcome;
mod output;
mod password;
mod seed;
mod serve;
mod settings;
mod token;

use std::process::ExitCode;

use args::{Command, Config, ConfigAct};
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
    let place = Place::load()?;
    match command {
        Command::Migrate => migrate::run(&place),
        Command::Seed(seed) => seed::run(&place, &seed),
        Command::Bootstrap(bootstrap) => bootstrap::run(&place, &bootstrap),
        Command::Serve(serve) => serve::run(&place, &serve),
        Command::Server(server) => serve::server(&place, &server),
        Command::Login(login) => login::run(&place, &login),
        Command::Me(caller) => me::run(&place, &caller),
        Command::Keys(keys) => keys::run(&place, &keys),
        Command::Config(Config { act: ConfigAct::Check(check) }) => config::check(&place, &check),
    }
}
