//! The certificates of the two listeners: made, copied or left, and judged before anybody serves them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use host::clock;
use zeroize::Zeroizing;

use super::authority::{self, Pair};
use super::files::{self, Rights, Written};
use super::plan::{Certificates, Plan};
use super::steps::{self, Steps};
use crate::appliance::{self, CA, CA_KEY, Daemon};
use crate::certificate::{Chain, Roots, Trust};
use crate::failure::Failure;
use crate::issuer::Issuer;

/// A certificate of the local authority that has fewer days left is made anew.
const RENEW_DAYS: u64 = 30;
const PLANES: [Daemon; 2] = [Daemon::Authd, Daemon::Admind];

/// Certificates that were named on the command line, before anything is changed for them.
pub(super) fn judge_given(plan: &Plan) -> Result<(), Failure> {
    let Certificates::Own { public, api, ca } = &plan.certificates else { return Ok(()) };
    let roots = Roots::new(ca.as_deref())?;
    for ((certificate, key), host) in [public, api].into_iter().zip(hosts(plan)) {
        Chain::load(certificate)?.matches(key)?;
        judge(certificate, &host, &roots)?;
    }
    Ok(())
}

pub(super) fn run(plan: &Plan, steps: &mut Steps) -> Result<(), Failure> {
    match &plan.certificates {
        Certificates::LocalCa => local(&hosts(plan), steps),
        Certificates::Own { public, api, ca } => {
            match ca {
                Some(ca) => {
                    let rights = Rights::of("root", "root", 0o644)?;
                    put(Path::new(CA), &read(ca)?, rights, (steps, &PLANES))?;
                }
                // The next run would take it for the authority of what is there, and believe nobody else.
                None => retire(CA, steps)?,
            }
            for (daemon, (certificate, key)) in PLANES.into_iter().zip([public, api]) {
                own(daemon, (certificate, key), steps)?;
            }
            retire(CA_KEY, steps)
        }
        Certificates::Kept => {
            let roots = Roots::new(ca(plan))?;
            for (daemon, host) in PLANES.into_iter().zip(hosts(plan)) {
                keep(daemon, steps)?;
                judge(&daemon.certificate(), &host, &roots)?;
            }
            Ok(())
        }
    }
}

/// The authorities that our certificates come from; the web's are nobody's file.
pub(super) fn ca(plan: &Plan) -> Option<&'static Path> {
    let file = Path::new(CA);
    let ours = match &plan.certificates {
        Certificates::LocalCa | Certificates::Own { ca: Some(_), .. } => true,
        Certificates::Own { ca: None, .. } => false,
        Certificates::Kept => file.is_file(),
    };
    ours.then_some(file)
}

/// A part of a local authority that is not ours any more: whoever found its key could still speak for our hosts,
/// and a later run would take it up again.
fn retire(path: &str, steps: &mut Steps) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Ok(()) => steps.done(&format!("{path}: removed, the certificates come from elsewhere now")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::Io(path.to_owned(), error)),
    }
}

fn hosts(plan: &Plan) -> [String; 2] {
    [host(&plan.issuer), host(&plan.api)]
}

fn host(origin: &Issuer) -> String {
    appliance::authority(origin.as_str()).0
}

fn local(hosts: &[String; 2], steps: &mut Steps) -> Result<(), Failure> {
    let now = clock::now_s();
    let mut names = hosts.to_vec();
    names.dedup();
    let mut ca_key = fs::read_to_string(CA_KEY).map(Zeroizing::new).ok();
    // An authority made for other hosts cannot speak for these.
    let speaks = |key: &str| hosts.iter().all(|host| signs(key, host, now));
    if !ca_key.as_deref().is_some_and(|key| speaks(key)) {
        let pair = authority::authority(&names, now)?;
        let rights = |mode| Rights::of("root", "root", mode);
        files::put(Path::new(CA_KEY), pair.key.as_bytes(), rights(0o600)?)?;
        let written = files::put(Path::new(CA), pair.certificate.as_bytes(), rights(0o644)?)?;
        steps.wrote(
            &format!("{CA} (a local authority for {})", names.join(", ")),
            written,
            &PLANES,
        )?;
        ca_key = Some(pair.key);
    }
    let rights = |mode| Rights::of("root", "root", mode);
    steps.mended(CA_KEY, files::correct(Path::new(CA_KEY), rights(0o600)?)?)?;
    steps.mended(CA, files::correct(Path::new(CA), rights(0o644)?)?)?;
    let ca_key = ca_key.unwrap_or_default();
    for (daemon, host) in PLANES.into_iter().zip(hosts) {
        let days = match trust(&daemon.certificate(), host, now) {
            Ok(Trust::Days(days)) => days,
            Ok(_) | Err(_) => 0,
        };
        let in_order =
            Chain::load(&daemon.certificate()).and_then(|one| one.matches(&daemon.key()));
        if days >= RENEW_DAYS && in_order.is_ok() {
            keep(daemon, steps)?;
            steps::same(&format!("{}: good for {days} days", daemon.certificate().display()))?;
            continue;
        }
        let Pair { certificate, key } = authority::leaf(host, &ca_key, now)?;
        install(daemon, (certificate.as_bytes(), key.as_bytes()), steps)?;
    }
    Ok(())
}

/// Whether a certificate that this key signs for `host` would be believed under the authority that is there.
fn signs(key: &str, host: &str, now_s: u64) -> bool {
    let leaf = authority::leaf(host, key, now_s);
    let chain = leaf.and_then(|leaf| Chain::from_pem(leaf.certificate.as_bytes()));
    let roots = Roots::new(Some(Path::new(CA)));
    matches!((chain, roots), (Ok(chain), Ok(roots))
        if matches!(chain.trust(host, &roots, now_s), Trust::Days(RENEW_DAYS..)))
}

/// By the local authority.
fn trust(certificate: &Path, host: &str, now_s: u64) -> Result<Trust, Failure> {
    Ok(Chain::load(certificate)?.trust(host, &Roots::new(Some(Path::new(CA)))?, now_s))
}

fn own(
    daemon: Daemon,
    (certificate, key): (&PathBuf, &PathBuf),
    steps: &mut Steps,
) -> Result<(), Failure> {
    let key = Zeroizing::new(read(key)?);
    install(daemon, (&read(certificate)?, &key), steps)
}

/// The key first: a daemon that looks in between finds a pair that does not match, keeps the former one and
/// looks again.
fn install(
    daemon: Daemon,
    (certificate, key): (&[u8], &[u8]),
    steps: &mut Steps,
) -> Result<(), Failure> {
    let rights = Rights::of("root", daemon.user(), 0o640)?;
    files::put(&daemon.key(), key, rights)?;
    // It is read again when it changes: nobody has to be started anew.
    put(&daemon.certificate(), certificate, rights, (steps, &[]))
}

fn keep(daemon: Daemon, steps: &mut Steps) -> Result<(), Failure> {
    let rights = Rights::of("root", daemon.user(), 0o640)?;
    for path in [daemon.key(), daemon.certificate()] {
        steps.mended(&path.display().to_string(), files::correct(&path, rights)?)?;
    }
    Ok(())
}

fn put(
    path: &Path,
    bytes: &[u8],
    rights: Rights,
    (steps, of): (&mut Steps, &[Daemon]),
) -> Result<(), Failure> {
    let written: Written = files::put(path, bytes, rights)?;
    steps.wrote(&path.display().to_string(), written, of)
}

/// Nobody should find out from a browser.
fn judge(path: &Path, host: &str, roots: &Roots) -> Result<(), Failure> {
    let problem = match Chain::load(path)?.trust(host, roots, clock::now_s()) {
        Trust::Days(_) => return Ok(()),
        Trust::Expired => "has expired".to_owned(),
        Trust::NotYet => "is not valid yet".to_owned(),
        Trust::OtherHost => format!("is not for {host}"),
        Trust::UnknownAuthority => {
            "comes from an authority that browsers do not know; name it with --ca".to_owned()
        }
        Trust::Unfit(problem) => problem,
    };
    Err(Failure::value(path.display().to_string(), problem))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(Failure::io(path.display().to_string()))
}
