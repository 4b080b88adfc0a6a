//! `opentrusty doctor`: what an installation needs, looked at one by one, each with its remedy.
//!
//! Every area gathers facts and judges them, apart: the judges are pure, so tests can show them machines that
//! nobody wants to have.

mod clients;
mod database;
mod files;
mod finding;
mod machine;
mod processes;
mod settings;
mod tls;
mod web;

use std::path::Path;

use finding::{Finding, Verdict};
use serde::Serialize;
use settings::Files;

use crate::appliance::SETTINGS;
use crate::args::Doctor;
use crate::failure::Failure;
use crate::output::say;
use crate::settings::Place;

pub(crate) fn run(flags: &Doctor) -> Result<(), Failure> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::refused(
            "doctor looks into files and processes of others: run it as root",
        ));
    }
    let findings = examine()?;
    if flags.json {
        let report = Report { worst: worst(&findings), checks: &findings };
        let text = serde_json::to_string_pretty(&report);
        say(text.map_err(|error| Failure::refused(error.to_string()))?)?;
    } else {
        show(&findings)?;
    }
    verdict(&findings)
}

/// The end of `opentrusty setup`.
pub(crate) fn after_setup() -> Result<(), Failure> {
    let findings = examine()?;
    show(&findings)?;
    verdict(&findings)
}

#[derive(Serialize)]
struct Report<'a> {
    worst: Verdict,
    checks: &'a [Finding],
}

fn examine() -> Result<Vec<Finding>, Failure> {
    let place = Place::installed(Path::new(SETTINGS))?;
    let files = Files::read();
    let mut all = settings::check(&files);
    all.extend(settings::accepted(&files));
    all.push(settings::pin());
    all.extend(files::check());
    all.extend(tls::check(&files));
    all.extend(processes::check());
    all.extend(database::check(&place, &files));
    all.extend(web::check(&files));
    all.extend(machine::check(&place));
    Ok(all)
}

fn show(findings: &[Finding]) -> Result<(), Failure> {
    for finding in findings {
        say(finding.to_string())?;
    }
    Ok(())
}

fn worst(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
}

fn verdict(findings: &[Finding]) -> Result<(), Failure> {
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count();
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::refused(format!("{failed} of {} checks failed", findings.len())))
}
