//! `opentrusty setup`: from installed packages to a running installation, and again without changing anything.
//!
//! Each step looks at what is there, does what is missing and says so in one line. The order is that of need:
//! the daemons check their settings before a token is made by them, the schema is there before they start.

pub(crate) mod args;
mod ask;
mod authority;
mod earlier;
mod files;
mod plan;
mod postgres;
mod remote;
mod render;
mod steps;
mod tls;
mod token;
mod units;

use std::fs;
use std::path::Path;

pub(crate) use args::Setup;
use ask::Ask;
use earlier::Earlier;
use files::{Rights, Written};
use plan::{Database, Plan};
use remote::Passwords;
use steps::Steps;
use units::DropIns;

use crate::appliance::{DAEMONS, DATABASE_URLS, SETTINGS};
use crate::args::{Bootstrap, Plane};
use crate::failure::Failure;
use crate::output::say;
use crate::settings::Place;
use crate::{bootstrap, config, database, doctor, migrate, program};

/// There from the first change of a run to its last. What a run that failed in between has written, nobody was
/// told of yet; after a boot everybody knows.
const UNFINISHED: &str = "/run/opentrusty-setup.unfinished";

pub(crate) fn run(flags: &Setup) -> Result<(), Failure> {
    let ask = Ask::new(flags.yes);
    if let Some(folder) = &flags.only_files {
        return only_files(flags, folder, ask);
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::refused(
            "setup writes for five system users and starts units: run it as root",
        ));
    }
    for daemon in DAEMONS {
        program::user(daemon.user())?;
    }
    let earlier = Earlier::load();
    let plan = Plan::of(flags, &earlier, ask)?;
    tls::judge_given(&plan)?;
    // Asked now, so that whoever answers is not needed later.
    let bootstrap = administrator(flags, &plan, ask, earlier.issuer.is_none())?;
    let unfinished = Path::new(UNFINISHED).exists();
    fs::write(UNFINISHED, "").map_err(Failure::io(UNFINISHED))?;
    let mut steps = Steps::since(unfinished);
    let mut drop_ins = DropIns::since(unfinished);
    clear(&plan, &mut drop_ins, &mut steps)?;
    configure(flags, &plan, &earlier, &mut steps)?;
    check()?;
    token::run(&plan.token, &earlier, ask, &mut steps)?;
    let place = Place::installed(Path::new(SETTINGS))?;
    write_units(&plan, &mut drop_ins, &mut steps)?;
    // Behind the drop-ins: a database elsewhere is reached through units that they bring.
    schema(&plan, drop_ins, &place)?;
    units::run(&plan, drop_ins, &mut steps)?;
    units::wait(&plan)?;
    fs::remove_file(UNFINISHED).map_err(Failure::io(UNFINISHED))?;
    first_administrator(&place, bootstrap, &mut steps)?;
    if !steps.changed() {
        say("\nNothing was changed.")?;
    }
    say("")?;
    doctor::after_setup()
}

/// Folders, database access, settings, certificates.
fn configure(
    flags: &Setup,
    plan: &Plan,
    earlier: &Earlier,
    steps: &mut Steps,
) -> Result<(), Failure> {
    for (path, mode, group) in render::folders() {
        let written = files::folder(&path, Rights::of("root", group, mode)?)?;
        steps.wrote(&path.display().to_string(), written, &[])?;
    }
    let root = access(flags, plan, earlier, steps)?;
    for text in render::settings(plan, root, tls::ca(plan).is_some()) {
        let written = files::put_text(None, &text)?;
        steps.wrote(&text.path.display().to_string(), written, &text.of)?;
    }
    tls::run(plan, steps)
}

/// How the roles get into the database. The authority behind a remote one's certificate, if it is new.
fn access(
    flags: &Setup,
    plan: &Plan,
    earlier: &Earlier,
    steps: &mut Steps,
) -> Result<Option<String>, Failure> {
    let Database::Remote(server) = &plan.database else {
        postgres::run(steps)?;
        return Ok(None);
    };
    postgres::say_remote(&server.host)?;
    match &flags.database.database_passwords {
        Some(path) => {
            let root = server.root()?;
            remote::seal(server, &Passwords::read(path)?, root.is_some(), steps)?;
            Ok(root)
        }
        None if earlier.database.as_deref() == Some(&server.to_string()) => Ok(None),
        None => Err(Failure::value(
            "--database-passwords",
            "is missing: the roles' passwords on that server",
        )),
    }
}

/// Only the daemons know their settings; a file that somebody edited may be wrong.
fn check() -> Result<(), Failure> {
    for daemon in [Plane::Keyd, Plane::Auth, Plane::Admin, Plane::Courier] {
        config::ask(daemon, Some(&daemon.daemon().settings()), &[])?;
    }
    steps::same("the daemons take their settings")
}

fn schema(plan: &Plan, drop_ins: DropIns, place: &Place) -> Result<(), Failure> {
    match plan.database {
        Database::Local => postgres::wait(place)?,
        Database::Remote(_) => units::open_relay(drop_ins)?,
    }
    migrate::run(place)
}

fn write_units(plan: &Plan, all: &mut DropIns, steps: &mut Steps) -> Result<(), Failure> {
    for text in render::units(plan) {
        let written = files::put_text(None, &text)?;
        let changed = matches!(written, Written::Made | Written::Replaced);
        all.changed |= changed;
        all.ports |= changed && units::is_port(&text.path);
        all.relay |= changed && units::is_relay(&text.path);
        // The unit is stopped for it anyway.
        steps.wrote(&text.path.display().to_string(), written, &[])?;
    }
    Ok(())
}

/// What belonged to another plan goes before anybody looks at it: a database would have two names.
fn clear(plan: &Plan, drop_ins: &mut DropIns, steps: &mut Steps) -> Result<(), Failure> {
    let there = render::obsolete(plan).into_iter().filter(|(path, _)| path.exists());
    let there: Vec<_> = there.collect();
    if there.iter().any(|(path, _)| units::is_relay(path)) {
        units::close_relay()?;
    }
    for (path, of) in there {
        fs::remove_file(&path).map_err(Failure::io(path.display().to_string()))?;
        drop_ins.changed = true;
        for daemon in of {
            steps.stale(daemon);
        }
        steps.done(&format!("{}: removed, the database is on this machine now", path.display()))?;
    }
    // Kept if somebody else has put something there, or where it never was.
    if let Database::Local = plan.database {
        let _ = fs::remove_dir(DATABASE_URLS);
    }
    Ok(())
}

/// Who is to be the first administrator; later runs have one.
fn administrator(
    flags: &Setup,
    plan: &Plan,
    ask: Ask,
    first: bool,
) -> Result<Option<Bootstrap>, Failure> {
    if flags.admin_email.is_none() && !first {
        return Ok(None);
    }
    let question = ("--admin-email", "E-mail address of the first administrator");
    let email: String = ask.for_value(question, flags.admin_email.clone(), None)?;
    Ok(Some(Bootstrap {
        email: Some(email),
        renew_link: false,
        issuer: Some(plan.issuer.clone()),
        console_origin: plan.console_origin.clone(),
    }))
}

fn first_administrator(
    place: &Place,
    wanted: Option<Bootstrap>,
    steps: &mut Steps,
) -> Result<(), Failure> {
    let done = database::with(place, async |pool| bootstrap::is_done(&pool).await)?;
    match wanted {
        _ if done => steps::same("the first administrator"),
        Some(wanted) => {
            bootstrap::run(place, &wanted)?;
            steps.done("the first administrator")
        }
        None => Err(Failure::value("--admin-email", "is missing: there is no administrator yet")),
    }
}

/// The files alone, beneath a folder, owned by whoever runs this.
fn only_files(flags: &Setup, folder: &Path, ask: Ask) -> Result<(), Failure> {
    let plan = Plan::of(flags, &Earlier::default(), ask)?;
    let mut steps = Steps::since(false);
    let root = match &plan.database {
        Database::Local => None,
        Database::Remote(server) => server.root()?,
    };
    let mut all = render::settings(&plan, root, tls::ca(&plan).is_some());
    all.extend(render::units(&plan));
    for text in all {
        let written = files::put_text(Some(folder), &text)?;
        steps.wrote(&text.path.display().to_string(), written, &[])?;
    }
    Ok(())
}
