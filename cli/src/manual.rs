//! The manual and the completion of shells, from the definition of the command line itself.

use std::io::{self, Write as _};
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Args;
use crate::failure::Failure;

const NAME: &str = "opentrusty";

pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    // Not straight to standard output: a closed pipe would be a panic.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), NAME, &mut script);
    io::stdout().write_all(&script).map_err(Failure::io("standard output"))
}

/// `opentrusty.1`, `opentrusty-setup.1` and so on.
pub(crate) fn pages(folder: &Path) -> Result<(), Failure> {
    let command = Args::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, folder).map_err(Failure::io(folder.display().to_string()))
}
