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

use crate::appliance::{DAEMONS, DATABASE_URLS, Daemon, SETTINGS};
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
    configure(flags, &plan, &earlier, (&mut drop_ins, &mut steps))?;
    check(&plan)?;
    token::run(&plan.token, &earlier, ask, &mut steps)?;
    let place = Place::installed(Path::new(SETTINGS))?;
    schema(&plan, drop_ins, &place)?;
    units::run(&plan, drop_ins, &mut steps)?;
    units::wait(&plan)?;
    // Last: until now it could have been gone back to.
    clear(&plan, &mut steps)?;
    fs::remove_file(UNFINISHED).map_err(Failure::io(UNFINISHED))?;
    first_administrator(&place, &plan, bootstrap, &mut steps)?;
    if !steps.changed() {
        say("\nNothing was changed.")?;
    }
    say("")?;
    doctor::after_setup()
}

/// Folders, database access, settings with the drop-ins that belong to them, certificates.
fn configure(
    flags: &Setup,
    plan: &Plan,
    earlier: &Earlier,
    (drop_ins, steps): (&mut DropIns, &mut Steps),
) -> Result<(), Failure> {
    for (path, mode, group) in render::folders() {
        let written = files::folder(&path, Rights::of("root", group, mode)?)?;
        steps.wrote(&path.display().to_string(), written, &[])?;
    }
    one_database(plan)?;
    let root = access(flags, plan, earlier, steps)?;
    for text in render::settings(plan, root, tls::ca(plan).is_some()) {
        let written = files::put_text(None, &text)?;
        steps.wrote(&text.path.display().to_string(), written, &text.of)?;
    }
    write_units(plan, drop_ins, steps)?;
    tls::run(plan, steps)
}

/// A file that somebody edited stays. If it names a database and its unit would be given one, or neither, its
/// daemon would not start again: better to know before anything has changed.
fn one_database(plan: &Plan) -> Result<(), Failure> {
    let is_given = matches!(plan.database, Database::Remote(_));
    for text in render::settings(plan, None, false) {
        let is_about =
            DAEMONS.iter().any(|one| one.role().is_some() && one.settings() == text.path);
        if !is_about || !files::is_kept(&text)? {
            continue;
        }
        if earlier::table(&text.path).contains_key("database_url") == is_given {
            let problem = if is_given {
                "was edited and names a database; take its database_url out, setup seals one for it"
            } else {
                "was edited and names no database; give it a database_url"
            };
            return Err(Failure::value(text.path.display().to_string(), problem));
        }
    }
    Ok(())
}

/// How the roles get into the database. The authority behind a remote one's certificate, if it is new.
fn access(
    flags: &Setup,
    plan: &Plan,
    earlier: &Earlier,
    steps: &mut Steps,
) -> Result<Option<String>, Failure> {
    let passwords = flags.database.database_passwords.as_deref();
    let Database::Remote(server) = &plan.database else {
        if passwords.is_some() {
            let problem = "is for a database elsewhere; on this machine the kernel says who it is";
            return Err(Failure::value("--database-passwords", problem));
        }
        postgres::run(steps)?;
        return Ok(None);
    };
    postgres::say_remote(&server.host)?;
    let known = earlier.database.as_deref() == Some(&server.to_string());
    match passwords {
        Some(path) => {
            let root = server.root(known)?;
            remote::seal(server, &Passwords::read(path)?, root.is_some(), steps)?;
            Ok(root)
        }
        None if known && remote::is_sealed() => {
            remote::mend(steps)?;
            Ok(None)
        }
        None => Err(Failure::value(
            "--database-passwords",
            "is missing: the roles' passwords on that server",
        )),
    }
}

/// Only the daemons know their settings; a file that somebody edited may be wrong.
fn check(plan: &Plan) -> Result<(), Failure> {
    for daemon in [Plane::Keyd, Plane::Auth, Plane::Admin, Plane::Courier] {
        let installed = daemon.daemon();
        let is_given = matches!(plan.database, Database::Remote(_));
        let given = installed.database_url().filter(|_| is_given);
        config::ask(daemon, Some(&installed.settings()), &[], given)?;
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
    for (path, of) in render::obsolete_drop_ins(plan) {
        all.changed |= remove(&path, &of, steps)?;
    }
    Ok(())
}

/// What another plan needed, once nobody uses it any more.
fn clear(plan: &Plan, steps: &mut Steps) -> Result<(), Failure> {
    let Database::Local = plan.database else { return Ok(()) };
    let there = render::obsolete_relay().into_iter().filter(|path| path.exists());
    let there: Vec<_> = there.collect();
    units::close_relay(&there)?;
    for path in there.iter().chain(&render::obsolete_secrets()) {
        remove(path, &[], steps)?;
    }
    // Kept if somebody else has put something there, or where it never was.
    let _ = fs::remove_dir(DATABASE_URLS);
    Ok(())
}

/// Whether it was there, and nobody but setup has written it.
fn remove(path: &Path, of: &[Daemon], steps: &mut Steps) -> Result<bool, Failure> {
    let name = path.display().to_string();
    match files::remove(path)? {
        None => Ok(false),
        Some(Written::Kept) => {
            steps.wrote(&name, Written::Kept, &[])?;
            Ok(false)
        }
        Some(_) => {
            for daemon in of {
                steps.stale(*daemon);
            }
            steps.done(&format!("{name}: removed, the database is on this machine now"))?;
            Ok(true)
        }
    }
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
    plan: &Plan,
    wanted: Option<Bootstrap>,
    steps: &mut Steps,
) -> Result<(), Failure> {
    let done = database::with(place, async |pool| bootstrap::is_done(&pool).await)?;
    if done {
        let origin = plan.console_origin.as_deref();
        let moved = database::with(place, async |pool| {
            bootstrap::readdress(&pool, origin, plan.api.as_str()).await
        })?;
        if moved {
            steps.done("the clients of the platform: the API or the console is elsewhere now")?;
        }
    }
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
        Database::Remote(server) => server.root(false)?,
    };
    let mut all = render::settings(&plan, root, tls::ca(&plan).is_some());
    all.extend(render::units(&plan));
    for text in all {
        let written = files::put_text(Some(folder), &text)?;
        steps.wrote(&text.path.display().to_string(), written, &[])?;
    }
    Ok(())
}
